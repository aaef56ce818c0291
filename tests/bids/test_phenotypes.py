"""Clinical columns from every BIDS location."""

import pandas as pd
import pytest

from bids_app.bids.layout import Scan, find_scans
from bids_app.bids.phenotypes import (
    _says_when,
    all_visits,
    clinical_table,
    every_visit,
    phenotype_findings,
    years_from_first,
)
from tests.bids.conftest import table

FILES = {
    "participants.tsv": table("participant_id age sex group", "sub-01 40 F ms", "sub-02 50 M control"),
    "sub-01/sub-01_sessions.tsv": table(
        "session_id acq_time edss", "ses-1 2010-01-01 2", "ses-2 2011-01-01 2.5", "ses-3 2012-01-01 3"
    ),
    "sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz": "",
    "sub-01/ses-3/anat/sub-01_ses-3_T1w.nii.gz": "",
    "sub-02/anat/sub-02_T1w.nii.gz": "",
    "phenotype/pasat.tsv": table("participant_id session_id pasat group", "sub-01 ses-1 50 x", "sub-01 ses-2 48 y"),
    "phenotype/education.tsv": table("participant_id years_of_school", "sub-01 12", "sub-02 n/a"),
    "phenotype/relapses.tsv": table("participant_id relapse_age", "sub-01 40.5", "sub-01 41.5"),
}


def test_columns_of_every_location_meet_per_scan(make_dataset):
    root = make_dataset(FILES)
    found = clinical_table(root, find_scans(root))
    assert found["participant_id"].tolist() == ["sub-01", "sub-01", "sub-02"]
    assert found["session_id"].tolist()[:2] == ["ses-1", "ses-3"]
    assert found["edss"].tolist()[:2] == [2, 3]
    assert found["group"].tolist() == ["ms", "ms", "control"]
    assert found["pasat"].tolist()[0] == 50
    assert pd.isna(found["pasat"].iloc[1])
    assert found["pasat_group"].tolist()[0] == "x"
    assert found["years_of_school"].tolist()[:2] == [12, 12]
    assert found["visit_date"].tolist()[:2] == ["2010-01-01", "2012-01-01"]
    assert found["years_from_first"].tolist() == pytest.approx([0, 730 / 365.25, 0])
    assert found["age"].iloc[1] == pytest.approx(42, abs=0.01)


def test_events_without_a_moment_are_not_joined_and_named(make_dataset):
    root = make_dataset(FILES)
    found = clinical_table(root, find_scans(root))
    assert "relapse_age" not in found
    assert found.attrs["notes"] == (
        "phenotype/relapses.tsv has several rows per visit; no column says when, so it was not joined",
    )


RELAPSES = table(
    "participant_id session_id relapse_date severity",
    "sub-01 ses-2 2010-05-01 mild",
    "sub-01 n/a 2011-07-02 n/a",
    "sub-01 n/a 2011-07-02 n/a",
    "sub-01 n/a n/a severe",
    "sub-02 n/a n/a n/a",
)


def test_a_list_of_relapses_is_on_every_row_of_the_person(make_dataset):
    root = make_dataset(FILES | {"phenotype/relapses.tsv": RELAPSES})
    for found in (clinical_table(root, find_scans(root)), clinical_table(root)):
        listed = found.groupby("participant_id")["relapse_date"].unique()
        assert listed["sub-01"].tolist() == ["2010-05-01; 2011-07-02"]
        assert listed["sub-02"].tolist() == [None] or pd.isna(listed["sub-02"]).all()
        assert found.attrs["notes"] == (
            "phenotype/relapses.tsv has several rows per visit; joined as lists: relapse_date; not joined: severity",
            "2 rows of phenotype/relapses.tsv without relapse_date",
        )


def test_a_row_that_is_there_twice_counts_once_and_that_is_said(make_dataset):
    rows = table("participant_id walk", "sub-01 2.5", "sub-02 3", "sub-01 2.5")
    root = make_dataset(FILES | {"phenotype/clinic.tsv": rows})
    found = clinical_table(root)
    assert found.groupby("participant_id")["walk"].first().tolist() == [2.5, 3.0]
    assert "phenotype/clinic.tsv repeats 1 of its rows, which count once" in found.attrs["notes"]


@pytest.mark.parametrize(
    ("column", "name"),
    [("date", "relapses_date"), ("onset", "relapses_onset"), ("relapse_years", "relapse_years"), ("age", None)],
)
def test_the_moment_of_an_event_gets_the_name_of_its_file(make_dataset, column, name):
    rows = table(f"participant_id {column}", "sub-01 0.5", "sub-01 1.5")
    found = clinical_table(make_dataset(FILES | {"phenotype/relapses.tsv": rows}))
    assert name is None or found[name].tolist()[0] == "0.5; 1.5"
    assert bool(name) == any("relapse" in column for column in found)


def test_visits_without_imaging_are_there_when_no_scans_are_given(make_dataset):
    found = clinical_table(make_dataset(FILES))
    assert found["session_id"].tolist()[:3] == ["ses-1", "ses-2", "ses-3"]
    assert found["edss"].tolist()[:3] == [2, 2.5, 3]
    assert found["pasat"].tolist()[:2] == [50, 48]
    assert len(found) == 4


def test_years_by_age_without_dates(make_dataset):
    root = make_dataset(
        {
            "participants.tsv": FILES["participants.tsv"],
            "sub-01/sub-01_sessions.tsv": table("session_id age", "ses-1 40", "ses-2 41.5"),
        }
    )
    found = clinical_table(root, [Scan("01", "1"), Scan("01", "2"), Scan("02")])
    assert found["years_from_first"].tolist() == [0, 1.5, 0]


def test_real_phenotype_tables(shared):
    root = shared / "data/bids_examples/pheno004"
    found = clinical_table(root, find_scans(root))
    assert found["ceahd15"].tolist()[0] == 0
    assert pd.isna(found["ceahd15"].iloc[1])
    assert found["gender"].tolist()[2] == "f"
    assert found.attrs["notes"] == ()


def test_a_visit_without_a_date_does_not_take_the_time_of_the_first(make_dataset):
    root = make_dataset(FILES | {"phenotype/pasat.tsv": table("participant_id session_id pasat", "sub-01 ses-9 50")})
    found = clinical_table(root).set_index("session_id")["years_from_first"]
    assert found["ses-3"] == pytest.approx(730 / 365.25)
    assert pd.isna(found["ses-9"])


def test_one_age_for_all_sessions_tells_no_time(make_dataset):
    root = make_dataset(
        {
            "participants.tsv": FILES["participants.tsv"],
            "sub-01/sub-01_sessions.tsv": table("session_id edss", "ses-1 2", "ses-2 3"),
        }
    )
    found = clinical_table(root, [Scan("01", "1"), Scan("01", "2"), Scan("02")])
    assert found["years_from_first"].isna().tolist() == [True, True, False]


def test_columns_that_have_the_names_of_ours_are_kept_once(make_dataset):
    root = make_dataset(
        {
            "participants.tsv": FILES["participants.tsv"],
            "sub-01/sub-01_sessions.tsv": table(
                "session_id visit_date years_from_first", "ses-1 2010-01-01 0", "ses-2 2011-01-01 0.9"
            ),
        }
    )
    found = clinical_table(root, [Scan("01", "1"), Scan("01", "2")])
    assert list(found.columns).count("visit_date") == 1
    assert found["visit_date"].tolist() == ["2010-01-01", "2011-01-01"]
    assert found["years_from_first"].tolist() == [0, 0.9]


SPELT = {
    "participants.tsv": table("participant_id age sex", "sub-01 40 F", "sub-02 50 M"),
    "sub-01/ses-01/anat/sub-01_ses-01_T1w.nii.gz": "",
    "sub-01/ses-02/anat/sub-01_ses-02_T1w.nii.gz": "",
    "sub-02/ses-01/anat/sub-02_ses-01_T1w.nii.gz": "",
    "phenotype/edss.tsv": table("participant_id session_id edss", "sub-01 1 2", "sub-01 ses-2 3", "sub-02 ses-01 4"),
}


def test_sessions_of_phenotype_tables_match_as_those_of_ages_do(make_dataset):
    root = make_dataset(SPELT)
    found = clinical_table(root, find_scans(root))
    assert found["edss"].tolist() == [2, 3, 4]
    assert found.attrs["notes"] == ("phenotype/edss.tsv writes ses-1 for ses-01, ses-2 for ses-02",)


def test_a_visit_is_one_visit_however_tables_spell_it(make_dataset):
    other = table("participant_id session_id pasat", "sub-01 ses-02 50", "sub-01 ses-3 60", "sub-02 n/a 70")
    third = table("participant_id session_id sdmt", "sub-01 ses-03 5")
    found = clinical_table(make_dataset(SPELT | {"phenotype/pasat.tsv": other, "phenotype/sdmt.tsv": third}))
    assert found["session_id"].tolist() == ["ses-01", "ses-02", "ses-3", "ses-01"]
    assert found["edss"].tolist()[:2] == [2, 3]
    assert found["pasat"].tolist()[1:] == [50, 60, 70]
    assert found["sdmt"].tolist()[2] == 5


def test_one_spelling_is_not_taken_for_another_where_both_are_there(make_dataset):
    files = SPELT | {"sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz": ""}
    root = make_dataset(files)
    found = clinical_table(root, find_scans(root)).set_index(["participant_id", "session_id"])["edss"]
    assert found["sub-01", "ses-1"] == 2
    assert pd.isna(found["sub-01", "ses-01"])


def test_a_persons_row_without_session_is_of_every_visit_and_the_visits_own_goes_first(make_dataset):
    rows = table("participant_id session_id edss", "sub-01 n/a 1", "sub-01 2 3")
    root = make_dataset(SPELT | {"phenotype/edss.tsv": rows})
    assert clinical_table(root, find_scans(root))["edss"].tolist()[:2] == [1, 3]


def test_a_table_of_other_sessions_is_a_finding(make_dataset):
    rows = table("participant_id session_id pasat", "sub-01 m12 50", "sub-02 m00 50")
    root = make_dataset(SPELT | {"phenotype/pasat.tsv": rows, "phenotype/empty.tsv": "participant_id\tsession_id\tx\n"})
    (finding,) = phenotype_findings(root)
    assert (finding.kind, finding.seen) == (
        "phenotype-unmatched",
        "phenotype/pasat.tsv has the sessions ses-m00, ses-m12; the dataset has ses-01, ses-02",
    )
    assert phenotype_findings(root, [Scan("01", "M12")]) == []
    (root / "phenotype/pasat.tsv").write_text(rows + "sub-01\tn/a\t1\n")
    assert phenotype_findings(root) == []
    (root / "phenotype/pasat.tsv").write_text(rows + "sub-09\t1\t1\n")
    assert phenotype_findings(root) == []


@pytest.mark.parametrize(
    ("sessions", "lines", "said"),
    [
        (["1"], ["sub-01 ses-01 5", "sub-01 ses-001 6"], "ses-001 and ses-01 of sub-01 may be ses-1 or not"),
        (
            ["1", "01"],
            ["sub-01 ses-001 5"],
            "ses-001 of sub-01 may be ses-01 or not, ses-001 of sub-01 may be ses-1 or not",
        ),
        (["1"], ["sub-01 ses-01 5", "sub-01 ses-1 6"], None),
        (["1", "01"], ["sub-01 ses-01 5"], None),
        (["1", "2"], ["sub-01 ses-01 5"], None),
        (["1"], ["sub-01 ses-01 5", "sub-01 ses-01 6", "sub-01 ses-001 6"], None),
    ],
)
def test_a_row_that_may_be_of_another_visit_is_a_finding(make_dataset, sessions, lines, said):
    images = {f"sub-01/ses-{label}/anat/sub-01_ses-{label}_T1w.nii.gz": "" for label in sessions}
    people = {"participants.tsv": table("participant_id age sex", "sub-01 40 F")}
    root = make_dataset(images | people | {"phenotype/pasat.tsv": table("participant_id session_id pasat", *lines)})
    found = phenotype_findings(root)
    assert [(item.kind, item.seen) for item in found] == (
        [("phenotype-row-unused", f"phenotype/pasat.tsv: {said}")] if said else []
    )
    values = clinical_table(root, find_scans(root)).get("pasat", pd.Series(dtype=float))
    assert values.isna().all() == (said is not None or len(lines) == 3)


def test_a_table_with_sessions_of_a_dataset_without_is_a_finding(make_dataset):
    root = make_dataset(FILES | {"phenotype/pasat.tsv": table("participant_id session_id x", "sub-02 9 1")})
    for path in ("sub-01/sub-01_sessions.tsv",):
        (root / path).unlink()
    for session in ("ses-1", "ses-3"):
        (root / "sub-01" / session).rename(root / session)
    assert phenotype_findings(root)[0].seen.endswith("has the sessions ses-9; the dataset has none")
    assert phenotype_findings(root / "none") == []


def times(rows, dates=None):
    frame = pd.DataFrame(rows, columns=["participant_id", "age", "note"])
    return years_from_first(frame, dates or [None] * len(rows)).tolist()


def near(values):
    return [pytest.approx(value, abs=0.01, nan_ok=True) for value in values]


NAN = float("nan")


@pytest.mark.parametrize(
    ("ages", "dates", "years"),
    [
        ([40, 41], ["2010-01-01", "2012-01-01"], [0, 2]),
        ([40, 41], ["2012-01-01", "2010-01-01"], [2, 0]),
        ([40, 41], [None, None], [0, 1]),
        ([40, 41], ["2010-01-01", None], [0, 1]),
        ([40, NAN, NAN], ["2010-01-01", "2012-01-01", None], [0, 2, NAN]),
        ([40, 41, NAN], ["2010-01-01", "2012-01-01", None], [0, 1, NAN]),
        ([40, 41], ["1980-01-01", "2009-12-31"], [0, 30]),
        ([40, 41], ["1980-01-01", "2010-02-01"], [0, 1]),
        ([NAN, NAN], ["1980-01-01", "2010-02-01"], [NAN, NAN]),
        ([40, 41], ["1700-01-01", "soon"], [0, 1]),
    ],
)
def test_years_by_date_or_by_age(ages, dates, years):
    assert times([("a", age, "") for age in ages], dates) == near(years)


def test_people_are_timed_each_by_themselves():
    rows = [("a", 40, ""), ("b", 50, ""), ("a", 42, ""), ("b", 55, "")]
    assert times(rows, ["2010-01-01", None, "2011-01-01", None]) == near([0, 0, 1, 5])


def test_one_age_for_several_sessions_is_no_time():
    rows = [("a", 40, "one age for 2 sessions, used for each"), ("a", 40, "x; one age for 2 sessions, used for each")]
    assert times(rows) == near([NAN, NAN])
    frame = pd.DataFrame({"participant_id": ["a", "a"], "age": [40.0, 41.0]})
    assert years_from_first(frame, [None, None]).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("column", "when"),
    [
        ("relapse_date", True),
        ("onset", True),
        ("relapse_years", True),
        ("relapses", False),
        ("date_of_attack", True),
        ("attack_time", False),
        ("time", True),
        ("start", True),
        ("relapse_time", True),
        ("years_of_school", False),
    ],
)
def test_columns_that_say_when(column, when):
    assert _says_when(column) is when


def test_a_list_of_events_has_each_moment_once_and_names_what_is_left_out(make_dataset):
    rows = table("participant_id relapse_date drug", "sub-01 2010 x", "sub-01 2010 y", "sub-01 2011 x", "sub-02 n/a z")
    found = clinical_table(make_dataset(SPELT | {"phenotype/events.tsv": rows}))
    assert found["relapse_date"].tolist()[:2] == ["2010; 2011"] * 2
    assert pd.isna(found["relapse_date"].iloc[2])
    assert found.attrs["notes"][-2:] == (
        "phenotype/events.tsv has several rows per visit; joined as lists: relapse_date; not joined: drug",
        "1 row of phenotype/events.tsv without relapse_date",
    )


def test_the_number_of_rows_without_a_moment_is_said(make_dataset):
    rows = table("participant_id onset", "sub-01 2010", "sub-01 2011", "sub-02 n/a", "sub-03 n/a")
    found = clinical_table(make_dataset(SPELT | {"phenotype/events.tsv": rows}))
    assert "2 rows of phenotype/events.tsv without onset" in found.attrs["notes"]
    assert "events_onset" in found


def test_visits_that_only_folders_name(make_dataset):
    root = make_dataset(SPELT | {"sub-09/anat/sub-09_T1w.nii": "", "sub-x": "a file"})
    assert [scan.name for scan in every_visit(root)] == [
        *("sub-01_ses-01", "sub-01_ses-02", "sub-02_ses-01", "sub-01", "sub-02", "sub-09")
    ]


def test_people_of_another_table_in_natural_order(make_dataset, tmp_path):
    people = tmp_path / "people.tsv"
    people.write_text(table("participant_id session_id", "sub-10 n/a", "sub-9 2", "sub-9 10", "sub-9 n/a"))
    root = make_dataset({"participants.tsv": table("participant_id", "sub-77")})
    assert [scan.name for scan in all_visits(root, {}, people)] == ["sub-9_ses-2", "sub-9_ses-10", "sub-10"]
    assert [scan.name for scan in all_visits(root, {})] == ["sub-77"]
    assert all_visits(root / "none", {}) == []


def test_columns_that_are_taken_get_the_name_of_their_file_and_dates_are_filled_up(make_dataset):
    files = {
        "participants.tsv": table("participant_id age sex visit_date", "sub-01 40 F 2009-01-01", "sub-02 50 M n/a"),
        "sub-02/sub-02_scans.tsv": table("filename acq_time", "anat/x 2012-01-01"),
        "sub-01/sub-01_scans.tsv": table("filename acq_time", "anat/x 2010-01-01"),
        "phenotype/x.tsv": table("participant_id sex years_from_first date y", "sub-01 1 2 3 4"),
    }
    found = clinical_table(make_dataset(files))
    assert found["visit_date"].tolist() == ["2010-01-01", "2012-01-01"]
    assert {"x_sex", "x_years_from_first", "x_date", "y"} <= set(found)
    assert found["y"].tolist()[0] == 4
