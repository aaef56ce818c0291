"""Ages and sexes as people write them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_app.bids.age_sex import cannot_be_years, described_unit, is_missing, parse_age, parse_sex, units_of


@pytest.mark.parametrize(
    ("text", "age"),
    [
        ("61.2", 61.2),
        (" 61 ", 61),
        (61, 61),
        (61.5, 61.5),
        ("61,2", 61.2),
        ("61 years", 61),
        ("45 years old", 45),
        ("061Y", 61),
        ("018M", 1.5),
        ("12 months", 1),
        ("0", 0),
        ("89+", 89),
        (">89", 89),
        (">= 89", 89),
        ("≥89", 89),
        ("90 or older", 90),
        ("89+ years", 89),
        ("100D", 100 / 365.25),
        ("104 weeks", 728 / 365.25),
    ],
)
def test_age_is_read_in_years(text, age):
    assert parse_age(text)[0] == pytest.approx(age)


@pytest.mark.parametrize("text", ["89+", "61,2", "12 months", "018M", ">89"])
def test_tolerant_reading_leaves_a_note(text):
    assert text in parse_age(text)[1]


@pytest.mark.parametrize("text", ["61.2", "61 years", "061Y", 61])
def test_plain_age_leaves_no_note(text):
    assert parse_age(text)[1] is None


@pytest.mark.parametrize(
    "text",
    [
        "20-25",
        "20–25",
        "20 to 25",
        "[20, 25)",
        "<18",
        "-4",
        "abc",
        "1e2",
        "999",
        "121",
        "61M",
        "61 F",
        "33.5.2",
        "P61Y",
        "inf",
        "20-25 years",
        "5 parsecs",
    ],
)
def test_anything_else_is_refused_with_the_reason(text):
    age, note = parse_age(text)
    assert age is None
    assert text in note


@pytest.mark.parametrize("text", ["n/a", "", None, math.nan, "NaN", " "])
def test_missing_age_has_neither_value_nor_note(text):
    assert parse_age(text) == (None, None)


def test_range_is_named_as_such():
    assert "range" in parse_age("20-25")[1]


def test_units_of_the_column_apply_to_bare_numbers_only():
    assert parse_age("30", units="months")[0] == pytest.approx(2.5)
    assert parse_age("30 years", units="months")[0] == 30


@given(st.floats(min_value=0, max_value=120, allow_nan=False))
def test_every_plain_number_survives(age):
    assert parse_age(f"{age:.6f}")[0] == pytest.approx(age, abs=1e-6)


@given(st.one_of(st.text(), st.integers(), st.floats(), st.none()))
def test_any_cell_gives_a_plausible_age_or_none(cell):
    age, note = parse_age(cell)
    assert age is None or 0 <= age <= 120
    assert age is not None or note is not None or is_missing(cell)


@pytest.mark.parametrize(
    ("value", "sex"),
    [
        ("F", "female"),
        ("f", "female"),
        ("Female", "female"),
        (" woman ", "female"),
        ("M", "male"),
        ("male", "male"),
        ("MAN", "male"),
        ("O", None),
        ("other", None),
        ("1", None),
        (1, None),
        ("0", None),
        ("n/a", None),
        (None, None),
        (math.nan, None),
        ("fm", None),
        ("unknown", None),
    ],
)
def test_sex_by_its_spelling(value, sex):
    assert parse_sex(value) == sex


@pytest.mark.parametrize(
    ("value", "levels", "sex"),
    [
        ("1", {"1": "Male", "2": "Female"}, "male"),
        (2, {"1": "Male", "2": "Female"}, "female"),
        ("2.0", {"1": "Male", "2": "Female"}, "female"),
        ("1", {"1": {"Description": "Female sex"}}, "female"),
        ("1", {"1": "male or female"}, None),
        ("1", {"2": "Female"}, None),
        ("1", {"1": ""}, None),
        ("M", {"M": "Male", "F": "Female"}, "male"),
        ("k", {"K": "kvinne", "M": "mann"}, "female"),
        ("F", {"0": "male"}, "female"),
    ],
)
def test_sex_by_the_levels_of_the_sidecar(value, levels, sex):
    assert parse_sex(value, levels) == sex


@given(st.integers())
def test_a_code_is_never_guessed(code):
    assert parse_sex(code) is None


def test_units_of_a_sidecar():
    assert units_of("Years") == "years"
    assert units_of("month") == "months"
    assert units_of("arbitrary") is None


@pytest.mark.parametrize(
    ("cells", "largest"),
    [
        (["121", "130"], "130"),
        (["120", "120"], None),
        (["121"], None),
        (["121", "40"], None),
        (["121", "121.5", *8 * ["40"]], "121.5"),
        (["121", "122", *9 * ["40"]], None),
        (["777", "888", "999", "9999", "40"], None),
        (["700", "800", "x", None, "-"], "800"),
        (["121,5", "122,5"], "122.5"),
        ([500, 600.5], "600.5"),
        ([], None),
    ],
)
def test_a_column_that_cannot_be_years(cells, largest):
    assert cannot_be_years(cells) == largest


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("age in months", "months"),
        ("Age (weeks)", "weeks"),
        ("in days or in weeks", None),
        ("months", None),
        (None, None),
        ("IN YEARS", "years"),
    ],
)
def test_a_unit_in_a_description(text, unit):
    assert described_unit(text) == unit


def test_units_that_are_two_are_none():
    assert units_of("months, years") is None
    assert units_of("yrs") == "years"
    assert units_of("") is None


@pytest.mark.parametrize(
    ("text", "units", "age"),
    [
        ("120", "years", 120),
        ("120.1", "years", None),
        ("0", "years", 0),
        ("24", "months", 2),
        ("52.17857142857143", "weeks", 1),
        ("365.25", "days", 1),
        ("018M", "years", 1.5),
        ("018m", "years", None),
        ("052W", "years", 52 * 7 / 365.25),
        ("061Y", "months", 61),
        (None, "years", None),
        (40, "years", 40),
        (" 40 ", "years", 40),
        ("40 parsecs", "years", None),
    ],
)
def test_ages_in_their_units(text, units, age):
    found = parse_age(text, units)[0]
    assert found == (None if age is None else pytest.approx(age))


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("61,5", "age '61,5' was read with a decimal comma"),
        (">89", "age '>89' is a lower limit and was read as 89"),
        ("89 or older", "age '89 or older' is a lower limit and was read as 89"),
        ("6 months", "age '6 months' (months) was read as 0.5 years"),
        ("<18", "age '<18' is only an upper limit"),
        ("≤18", "age '≤18' is only an upper limit"),
        ("old", "age 'old' cannot be read as an age"),
        ("130", "age '130' is above 120 years"),
        ("20-30", "age '20-30' is a range, not an age"),
        ("[20, 30]", "age '[20, 30]' is a range, not an age"),
    ],
)
def test_what_was_read_and_what_was_not_is_said(text, note):
    assert parse_age(text)[1] == note


def test_levels_explain_codes_and_win():
    assert parse_sex("1.0", {"1": {"Description": "male"}}) == "male"
    assert parse_sex("1", {1: {"LongName": "Female participants"}}) == "female"
    assert parse_sex("f", {"F": "male"}) == "male"
    assert parse_sex("m", {"1": "female"}) == "male"
    assert parse_sex("1", {"1": "female or male"}) is None
    assert parse_sex("1", {"1": {}}) is None
    assert parse_sex("10", {"1": "male"}) is None
    assert parse_sex(None) is None
    assert is_missing(float("nan"))
    assert is_missing(" n/a ")
    assert not is_missing("0")
    assert not is_missing(0)
