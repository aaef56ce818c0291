"""The age at each visit, from whatever table or date tells it."""

from datetime import datetime
from itertools import count

import pytest

from bids_app.bids.covariate_sources import NOTHING, load_source
from bids_app.bids.layout import Scan
from bids_app.bids.visit_ages import VisitAges, visit_order
from tests.bids.conftest import table

PEOPLE = table("participant_id age", "sub-01 40")


@pytest.fixture
def ages(make_dataset):
    numbers = count()

    def made(files, *sessions, people=PEOPLE, **options):
        root = make_dataset({"participants.tsv": people, **files}, f"bids{next(numbers)}")
        scans = [Scan("01", session) for session in sessions] or [Scan("01")]
        return VisitAges(root, load_source(root / "participants.tsv"), scans, **options)

    return made


def visits(*rows, header="session_id acq_time"):
    return {"sub-01/sub-01_sessions.tsv": table(header, *rows)}


def test_labels_in_order_of_time():
    labels = ["10", "2", "post", "pre", "followup1", "baseline", "retest", "m06", "exit", "screening"]
    assert sorted(labels, key=visit_order) == [
        *("baseline", "pre", "screening", "2", "10", "m06"),
        *("exit", "followup1", "post", "retest"),
    ]
    assert visit_order("PRE") < visit_order("1") < visit_order("Post")


def test_sessions_are_scans_folders_and_visits_without_folder(ages):
    files = visits("ses-1 n/a", "ses-02 n/a", "ses-9 n/a", "ses-5 n/a")
    files |= {"sub-01/ses-3/anat/x": "", "sub-01/ses-4/func/x": "", "sub-01/ses-5/func/x": "", "sub-01/ses-6": "a file"}
    found = ages(files, "1", "2")
    assert found.sessions("01") == ["1", "2", "3", "9"]
    assert found.sessions("02") == []


def test_the_age_is_advanced_by_dates(ages):
    found = ages(visits("ses-1 2010-01-01", "ses-2 2012-01-01"), "1", "2")
    assert (found.at(Scan("01", "1")).value, found.at(Scan("01", "1")).note) == (40, None)
    later = found.at(Scan("01", "2"))
    assert later.value == pytest.approx(40 + 730 / 365.25)
    assert later.note == "age of the first session plus 2.00 years by the dates"
    assert later.column == "participants.tsv:age + dates"
    assert later.findings == ()


def test_the_age_of_the_first_visit_whose_date_is_not_known_is_not_advanced(ages):
    found = ages(visits("ses-1 n/a", "ses-2 2011-01-01", "ses-3 2012-01-01"), "1", "2", "3")
    assert "is not known" in found.at(Scan("01", "3")).problem
    assert "is not known" in found.at(Scan("01", "1")).problem  # dates without the first one's tell nothing of it
    known = ages(visits("ses-1 2010-01-01", "ses-2 n/a", "ses-3 2012-01-01"), "1", "2", "3")
    assert known.at(Scan("01", "3")).value == pytest.approx(42, abs=0.01)
    assert "is not known" in known.at(Scan("01", "2")).problem


def test_one_age_for_all_where_that_is_asked_for(ages):
    found = ages({}, "1", "2", one_age=True)
    first, second = found.at(Scan("01", "1")), found.at(Scan("01", "2"))
    assert (first.value, second.value) == (40, 40)
    assert first.note == "one age for 2 sessions, used for each"
    assert [[finding.kind for finding in answer.findings] for answer in (first, second)] == [[], ["age-one-for-all"]]
    strict = ages({}, "1", "2")
    assert (strict.at(Scan("01", "1")).value, strict.at(Scan("01", "1")).note) == (40, None)
    assert strict.at(Scan("01", "2")).findings[0].kind == "age-of-visit-unknown"


def test_a_single_session_has_the_persons_age(ages):
    assert ages({}, "1").at(Scan("01", "1")).value == 40
    assert ages({}).at(Scan("01")).value == 40


@pytest.mark.parametrize(
    ("rows", "value"),
    [
        (("ses-1 1980-01-01", "ses-2 2009-12-31"), 69.99),
        (("ses-1 1980-01-01", "ses-2 2010-01-02"), None),
        (("ses-1 2012-01-01", "ses-2 2010-01-01"), None),
    ],
)
def test_dates_that_cannot_be_true_are_not_used(ages, rows, value):
    found = ages(visits(*rows), "1", "2").at(Scan("01", "2"))
    assert found.value == (None if value is None else pytest.approx(value, abs=0.02))


def test_visits_without_numbers_may_run_against_the_alphabet(ages):
    found = ages(visits("ses-b 2010-01-01", "ses-a 2012-01-01"), "a", "b")
    assert found.at(Scan("01", "a")).value == pytest.approx(42, abs=0.01)
    assert found.at(Scan("01", "b")).value == 40


def test_age_by_birth(ages):
    people = table("participant_id age dob", "sub-01 n/a 1970-01-01")
    found = ages(visits("ses-1 2010-01-01", "ses-2 1969-01-01", "ses-3 1970-01-01"), "1", "2", "3", people=people)
    answer = found.at(Scan("01", "1"))
    assert answer.value == pytest.approx(40, abs=0.01)
    assert answer.column == "date of birth and of the visit"
    assert found.at(Scan("01", "2")).value is None
    assert found.at(Scan("01", "3")).value == 0
    twice = ages(
        visits("ses-1 2010-01-01") | {"phenotype/x.tsv": table("participant_id age dob", "sub-01 n/a 1971-01-01")},
        "1",
        people=people,
    )
    assert twice.at(Scan("01", "1")).value is None


def test_a_person_older_than_120_has_a_wrong_date(ages):
    people = table("participant_id dob", "sub-01 1890-01-01")
    found = ages(visits("ses-1 2009-12-31", "ses-2 2010-02-01"), "1", "2", people=people)
    assert found.at(Scan("01", "1")).value == pytest.approx(120, abs=0.01)
    assert found.at(Scan("01", "2")).value is None


def test_an_age_stated_for_another_visit_is_advanced_too(ages):
    files = visits("ses-1 2010-01-01 40", "ses-2 2012-01-01 n/a", header="session_id acq_time age")
    found = ages(files, "1", "2", people=table("participant_id sex", "sub-01 F"))
    answer = found.at(Scan("01", "2"))
    assert answer.value == pytest.approx(42, abs=0.01)
    assert answer.note == "age at ses-1 plus 2.00 years by the dates"
    assert answer.column.endswith("sessions.tsv:age + dates")
    undated = ages(
        visits("ses-1 n/a 40", "ses-2 2012-01-01 n/a", header="session_id acq_time age"),
        "1",
        "2",
        people=table("participant_id sex", "sub-01 F"),
    )
    assert undated.at(Scan("01", "2")).value is None


@pytest.mark.parametrize(
    ("second", "kinds"), [("43.4", []), ("43.6", ["age-contradicts-dates"]), ("40.4", ["age-contradicts-dates"])]
)
def test_stated_ages_are_held_against_the_dates(ages, second, kinds):
    files = visits("ses-1 2010-01-01 40", f"ses-2 2012-01-01 {second}", header="session_id acq_time age")
    found = ages(files, "1", "2")
    assert [finding.kind for finding in found.at(Scan("01", "2")).findings] == kinds
    assert found.at(Scan("01", "1")).findings == ()
    assert found.at(Scan("01", "2")).value == float(second)


def test_the_users_table_goes_before_the_sessions_where_it_is_named(ages):
    people = table("participant_id session_id age", "sub-01 ses-1 41")
    files = visits("ses-1 40", header="session_id age")
    assert ages(files, "1", people=people).at(Scan("01", "1")).value == 40
    assert ages(files, "1", people=people, explicit=True).at(Scan("01", "1")).value == 41


def test_another_spelling_of_the_session_is_a_finding(ages):
    found = ages(visits("ses-1 41", header="session_id age"), "01").at(Scan("01", "01"))
    assert (found.value, [finding.kind for finding in found.findings]) == (41, ["session-label-matched"])
    assert found.findings[0].seen == "sub-01_sessions.tsv writes session 1 for ses-01"


def test_a_refused_age_of_the_visit_is_no_reason_to_take_another(ages):
    found = ages(visits("ses-1 30-40", header="session_id age"), "1").at(Scan("01", "1"))
    assert (found.value, "is a range" in found.problem) == (None, True)
    phenotype = {"phenotype/x.tsv": table("participant_id session_id age", "sub-01 ses-1 30-40")}
    assert ages(phenotype, "1").at(Scan("01", "1")).value == 40


def test_a_person_without_sessions_takes_the_age_of_people_or_phenotype(ages):
    phenotype = {"phenotype/x.tsv": table("participant_id age", "sub-01 45")}
    assert ages(phenotype).at(Scan("01")).value == 40
    assert ages(phenotype, people=table("participant_id sex", "sub-01 F")).at(Scan("01")).value == 45
    scans = {"sub-01/sub-01_scans.tsv": table("filename age", "anat/a 50")}
    assert ages(scans).at(Scan("01")).value == 50


def test_the_time_of_a_visit_is_that_of_bids_own_column(ages):
    """The image was taken in June; a test in March and a form in May are not its date."""
    header = "session_id test_date acq_time date"
    files = visits("ses-1 2010-03-01 2010-06-01 2010-05-01", "ses-2 2011-03-01 n/a 2011-05-01", header=header)
    found = ages(files, "1", "2")
    for time in (found.time, found.imaging_time):
        assert time("01", "1") == datetime(2010, 6, 1)
        assert time("01", "2") == datetime(2011, 3, 1)
        assert time("02", "1") is None
    first, second = found.at(Scan("01", "1")), found.at(Scan("01", "2"))
    assert first.findings == ()  # the one age, not advanced
    assert [(finding.kind, finding.seen) for finding in second.findings] == [
        ("visit-dates-differ", "sub-01_sessions.tsv gives sub-01_ses-2 test_date 2011-03-01, date 2011-05-01")
    ]


def test_two_times_of_one_day_are_no_two_days(ages):
    files = visits(
        "ses-1 2010-06-01 2010-06-01T08:00:00",
        "ses-2 2011-06-01 2011-06-01T09:00:00",
        header="session_id date acq_time",
    )
    assert ages(files, "1", "2").at(Scan("01", "2")).findings == ()


def test_of_several_scans_the_earliest_counts_and_the_sessions_go_first(ages):
    scans = {
        "sub-01/ses-1/sub-01_ses-1_scans.tsv": table("filename acq_time", "anat/b 2011-01-01", "anat/a 2010-01-01")
    }
    found = ages(scans, "1")
    assert found.imaging_time("01", "1") == found.time("01", "1") == datetime(2010, 1, 1)
    both = ages(scans | visits("ses-1 2012-01-01"), "1")
    assert both.imaging_time("01", "1") == both.time("01", "1") == datetime(2012, 1, 1)


def test_dates_of_phenotypes_count_where_they_name_visit_or_image(ages):
    found = ages(
        {"phenotype/x.tsv": table("participant_id session_id scan_date date", "sub-01 1 2010-01-01 2009-01-01")}, "1"
    )
    assert found.time("01", "1") == datetime(2010, 1, 1)
    assert found.imaging_time("01", "1") is None
    other = ages({"phenotype/x.tsv": table("participant_id session_id date", "sub-01 1 2009-01-01")}, "1")
    assert other.time("01", "1") is None


def test_nothing_is_known_of_nobody(make_dataset):
    found = VisitAges(make_dataset({}), NOTHING, [])
    answer = found.at(Scan("01", "1"))
    assert (answer.value, answer.problem) == (None, "")
    assert found.label_in(NOTHING, Scan("01")) is None
