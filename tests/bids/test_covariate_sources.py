"""The tables that may know a scan's age and sex."""

from datetime import datetime

import pytest

from bids_app.bids.covariate_columns import Roles, age_of
from bids_app.bids.covariate_sources import NOTHING, Source, load_phenotypes, load_scans_table, load_source, load_visits
from bids_app.errors import BIDSError
from tests.bids.conftest import table

AGES = Roles(ages=(("age", 0, "years"),))


def source(*rows, roles=AGES, **more):
    return Source("t.tsv", {"01": {session: list(found) for session, found in rows}}, roles, **more)


def test_a_source_without_rows_answers_nothing():
    assert NOTHING.row("01", None) == {}
    assert NOTHING.ask(age_of, "01", None).value is None
    assert not NOTHING.found
    assert source().row("02", "1") == {}


def test_the_first_row_of_a_scan_and_the_sessions_that_have_rows():
    found = source((None, [{"a": "1"}, {"a": "2"}]), ("2", [{"a": "3"}]))
    assert found.row("01", None) == {"a": "1"}
    assert found.row("01", "2") == {"a": "3"}
    assert found.row("01", "3") == {}
    assert found.sessions("01") == {"2"}
    assert found.sessions("02") == set()


def test_several_rows_must_agree():
    assert source((None, [{"age": "40"}, {"age": "40"}])).ask(age_of, "01", None).value == 40
    differ = source((None, [{"age": "40", "visit": "a"}, {"age": "41"}])).ask(age_of, "01", None)
    assert differ.problem == "t.tsv has 2 rows for sub-01 that differ; is visit the session? then call it session_id"
    assert source((None, [{"age": "40"}, {"age": "41"}])).ask(age_of, "01", None).problem.endswith("differ; keep one")


def test_answers_name_their_table():
    found = source((None, [{"age": "89+"}])).ask(age_of, "01", None)
    assert (found.column, found.findings[0].seen[:7]) == ("t.tsv:age", "t.tsv: ")
    refused = source((None, [{"age": "x"}])).ask(age_of, "01", None)
    assert refused.problem == "t.tsv: age 'x' cannot be read as an age (column age)"
    assert source((None, [{}])).ask(age_of, "01", None).problem == ""


@pytest.mark.parametrize(
    ("known", "session", "others", "label"),
    [
        (["1"], "1", [], "1"),
        (["1"], "01", ["01"], "1"),
        (["01"], "1", [], "01"),
        (["1", "001"], "01", ["01"], "01"),
        (["1"], "01", ["01", "1"], "01"),
        (["2"], "1", ["1"], "1"),
    ],
)
def test_another_spelling_of_a_session_counts_where_only_one_can_be_meant(known, session, others, label):
    assert source(*((name, [{}]) for name in known)).label_of("01", session, others) == label


def test_dates_and_births_of_the_rows():
    roles = Roles(dates=("acq_time", "date", "scan_date"), births=("dob",))
    rows = [{"acq_time": "2010-01-01", "date": "2011-01-01", "scan_date": "2012-01-01", "dob": "1970-01-01"}]
    found = source(("1", rows), (None, [{"dob": "1971-01-01", "date": "soon"}]), roles=roles)
    first, last = ("acq_time", datetime(2010, 1, 1)), ("scan_date", datetime(2012, 1, 1))
    assert found.dates("01", "1") == [[first, ("date", datetime(2011, 1, 1)), last]]
    assert found.dates("01", "1", of_scan=True) == [[last]]
    assert found.dates("01", None) == []
    assert found.dates("02", "1") == []
    assert found.births("01") == {datetime(1970, 1, 1), datetime(1971, 1, 1)}
    assert found.births("02") == set()


def test_a_table_of_people_must_name_them(make_dataset):
    root = make_dataset({"a.tsv": table("person age", "sub-01 40"), "b.tsv": table("participant_id age", "sub-01 40")})
    with pytest.raises(BIDSError, match="is it person"):
        load_source(root / "a.tsv")
    found = load_source(root / "b.tsv")
    assert (found.name, found.found, found.remark) == ("b.tsv", True, "")
    assert found.row("01", None) == {"participant_id": "sub-01", "age": "40"}


def test_phenotypes_that_tell_age_or_date_are_asked(make_dataset):
    root = make_dataset(
        {
            "phenotype/age.tsv": table("participant_id age", "sub-01 40"),
            "phenotype/wide.tsv": table("participant_id age_ses-01", "sub-01 40"),
            "phenotype/date.tsv": table("participant_id scan_date", "sub-01 2010-01-01"),
            "phenotype/other.tsv": table("participant_id edss", "sub-01 2"),
            "phenotype/nobody.tsv": table("age", "2"),
            "phenotype/age.json": "{}",
            "phenotype/notes.txt": table("participant_id age", "sub-01 40"),
        }
    )
    assert [found.name for found in load_phenotypes(root)] == ["age.tsv", "date.tsv", "wide.tsv"]
    assert load_phenotypes(root / "none") == []


def test_the_rows_of_scans_are_those_of_the_anatomy_where_there_are_any(make_dataset):
    name = "sub-01/ses-1/sub-01_ses-1_scans.tsv"
    both = table("filename acq_time", "func/a.nii 2010-01-01", "anat/a.nii 2011-01-01", "anat/b.nii 2012-01-01")
    root = make_dataset({name: both, "sub-02/sub-02_scans.tsv": table("filename acq_time", "func/a.nii 2010-01-01")})
    found = load_scans_table(root, "01", "1")
    assert (found.name, found.found) == ("sub-01_ses-1_scans.tsv", True)
    assert found.dates("01", "1") == [[("acq_time", datetime(year, 1, 1))] for year in (2011, 2012)]
    assert load_scans_table(root, "02", None).dates("02", None) == [[("acq_time", datetime(2010, 1, 1))]]
    assert load_scans_table(root, "03", None) is NOTHING


def test_the_sessions_of_a_person_go_before_those_of_the_dataset(make_dataset):
    root = make_dataset(
        {
            "sessions.tsv": table("participant_id session_id age", "sub-01 ses-1 40", "sub-02 ses-1 50"),
            "sessions.json": {"age": {"Units": "months"}},
            "sub-01/sub-01_sessions.tsv": table("session_id age", "ses-1 480"),
        }
    )
    found = load_visits(root, ["01", "02"])
    assert found["01"].name == "sub-01_sessions.tsv"
    assert found["01"].ask(age_of, "01", "1").value == 40
    assert found["02"].name == "sessions.tsv"
    assert found["02"].ask(age_of, "02", "1").value == pytest.approx(50 / 12)
    (root / "sessions.tsv").unlink()
    assert set(load_visits(root, ["01", "02"])) == {"01"}
