"""Which columns hold age and sex, and how a row answers."""

import pytest

from bids_app.bids.covariate_columns import Roles, age_at_visit, age_of, find_roles, sex_of


def ages(*header, sidecar=None, rows=()):
    return find_roles(header, sidecar or {}, rows).ages


@pytest.mark.parametrize(
    ("name", "rank"),
    [
        ("age", 0),
        ("Age (years)", 0),
        ("age_at_scan", 1),
        ("AgeAtMRI", None),
        ("age_at_first_visit", 2),
        ("baseline_age", 2),
        ("age_at_onset", None),
        ("stage", None),
        ("participant_age", 1),
    ],
)
def test_the_rank_of_an_age_column(name, rank):
    assert ages(name) == (() if rank is None else ((name, rank, "years"),))


def test_ages_are_in_order_of_trust():
    assert [name for name, _, _ in ages("baseline_age", "age_at_scan", "age")] == ["age", "age_at_scan", "baseline_age"]


@pytest.mark.parametrize(
    ("name", "visit"),
    [
        ("age_ses-02", "2"),
        ("age_at_scan_2", "2"),
        ("age_tp_3", "3"),
        ("age_visit_2", "2"),
        ("age_tp3_years", "tp3"),
        ("age_bl", "bl"),
        ("ses-02", None),
    ],
)
def test_an_age_of_one_visit(name, visit):
    roles = find_roles([name], {})
    assert roles.wide == (() if visit is None else ((name, visit, "years"),))
    assert roles.ages == ()


@pytest.mark.parametrize(
    ("name", "entry", "unit"),
    [
        ("age_months", {"Units": "years"}, "months"),
        ("age", {"Units": "weeks", "Description": "in days"}, "weeks"),
        ("age", {"Description": "age in days", "LongName": "age (weeks)"}, "days"),
        ("age", {"LongName": "age (weeks)"}, "weeks"),
        ("age", {}, "years"),
        ("age", "no mapping", "years"),
    ],
)
def test_units_by_name_units_and_words(name, entry, unit):
    assert ages(name, sidecar={name.upper(): entry})[0][2] == unit


def test_a_column_that_cannot_be_years_has_no_unit():
    rows = [{"age": "700"}, {"age": "800"}, {}]
    roles = find_roles(["age"], {}, rows)
    assert roles.ages == (("age", 0, "unknown"),)
    assert roles.highest == {"age": "800"}
    assert "holds ages up to 800" in age_of({"age": "700"}, roles).problem
    assert age_of({}, roles).problem == ""
    known = find_roles(["age"], {"age": {"Units": "months"}}, rows)
    assert (known.ages[0][2], known.highest) == ("months", {})


def test_sexes_in_order_with_their_levels():
    roles = find_roles(["gender", "sex", "sexuality"], {"sex": {"Levels": {"1": "male"}}, "gender": {"Levels": "x"}})
    assert roles.sexes == (("sex", {"1": "male"}), ("gender", {}))
    assert roles.columns == {"sex", "gender"}
    assert sex_of({"sex": "1", "gender": "F"}, roles).value == "male"
    assert (sex_of({"gender": "F"}, roles).value, sex_of({"gender": "F"}, roles).column) == ("female", "gender")
    assert "neither female nor male" in sex_of({"sex": "other", "gender": "F"}, roles).problem
    assert "is a code" in sex_of({"gender": "2"}, roles).problem
    assert "is a code" in sex_of({"gender": "2.0"}, roles).problem
    assert "neither" in sex_of({"gender": "2.0.1"}, roles).problem
    assert sex_of({}, roles).value is None
    assert sex_of({}, roles).problem == ""


def test_dates_and_births():
    header = ["scan_date", "acq_time", "birth_date", "date", "date_of_onset", "dob", "time", "date_time_of_visit"]
    roles = find_roles(header, {})
    assert roles.dates == ("acq_time", "scan_date", "date_time_of_visit", "date")
    assert roles.births == ("birth_date", "dob")


def roles_of(*columns):
    return Roles(ages=tuple((name, rank, "years") for name, rank in columns))


def test_the_most_trusted_column_that_can_be_read_answers():
    roles = roles_of(("a", 0), ("b", 0), ("c", 1))
    assert (age_of({"a": "40", "b": "40", "c": "50"}, roles).value, age_of({"c": "50"}, roles).column) == (40, "c")
    assert age_of({"b": "41", "c": "50"}, roles).column == "b"
    assert age_of({"a": "40", "b": "41"}, roles).problem == "columns a and b give different ages"
    found = age_of({"a": "x", "b": "-", "c": "50"}, roles)
    assert (found.value, found.problem) == (50, "")
    refused = age_of({"a": "x", "c": "30-40"}, roles)
    assert refused.value is None
    assert refused.problem == (
        "age 'x' cannot be read as an age (column a); age '30-40' is a range, not an age (column c)"
    )
    assert age_of({}, roles).problem == ""


def test_the_age_of_a_visit_is_that_of_its_column():
    roles = find_roles(["age_ses-01", "age_v1", "age_visit_2"], {})
    assert age_at_visit({"age_ses-01": "40", "age_visit_2": "42"}, roles, "1").value == 40
    assert age_at_visit({"age_visit_2": "42"}, roles, "02").value == 42
    assert age_at_visit({"age_visit_2": "42"}, roles, "1").value is None
    assert (
        age_at_visit({"age_visit_2": "n"}, roles, "2").problem
        == "age 'n' cannot be read as an age (column age_visit_2)"
    )


def test_two_columns_of_one_visit_must_agree():
    roles = Roles(wide=(("a", "1", "years"), ("b", "1", "years")))
    assert age_at_visit({"a": "40", "b": "40"}, roles, "1").value == 40
    assert age_at_visit({"b": "40"}, roles, "1").value == 40
    assert age_at_visit({"a": "40", "b": "41"}, roles, "1").problem == "columns a and b give different ages"
    assert age_at_visit({"a": "40", "b": "x"}, roles, "1").problem == "columns a and b give different ages"


def test_what_was_read_tolerantly_is_a_finding_but_for_a_comma():
    roles = roles_of(("age", 0))
    kinds = {text: [f.kind for f in age_of({"age": text}, roles).findings] for text in ("89+", "018M", "61,5", "61")}
    assert kinds == {"89+": ["age-limit"], "018M": ["age-units"], "61,5": [], "61": []}
    assert age_of({"age": "89+"}, roles).findings[0].seen.endswith(" (column age)")
