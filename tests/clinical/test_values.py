import numpy as np
import pandas as pd
import pytest

from bids_app.clinical.values import (
    FSS_MEAN,
    FSS_SUM,
    SCALES,
    Scale,
    date_problem,
    dates,
    from_lines,
    labels,
    looks_dated,
    named_values,
    numbers,
    off_scale,
    scale_of,
    spelling_notes,
    spellings,
    unusable,
    without_date,
)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (["2019-05-31", "2019/6/1"], ["2019-05-31", "2019-06-01"]),
        (["04/03/2015", "31/12/2015"], ["2015-03-04", "2015-12-31"]),
        (["04/03/2015", "12/31/2015"], ["2015-04-03", "2015-12-31"]),
        (["4.3.2015", "13.4.2015", None, "soon"], ["2015-03-04", "2015-04-13", None, None]),
        (["2019-05-31T10:00:00", "2019-02-30"], ["2019-05-31", None]),
    ],
)
def test_a_column_has_one_order_of_day_and_month(column, expected):
    values = pd.Series(column, dtype=object)
    assert date_problem(values) is None
    assert dates(values).tolist() == [pd.NaT if day is None else pd.Timestamp(day) for day in expected]


@pytest.mark.parametrize(
    ("column", "why"), [(["04/03/2015", "05/06/2016"], "cannot"), (["13/01/2015", "01/13/2015"], "only")]
)
def test_a_column_whose_order_cannot_be_told_is_refused(column, why):
    values = pd.Series(column)
    assert why in date_problem(values)
    assert dates(values).isna().all()
    assert looks_dated(values)


@pytest.mark.parametrize(
    ("role", "column", "inside", "outside"),
    [
        ("edss", "edss", [0, 1.5, 10], [-1, 10.5, 2.25, 99, -999]),
        ("pasat", "pasat_3s", [0, 60], [61, -9]),
        ("sdmt", "sdmt", [0, 110], [111, 99]),
        ("disease_duration", "duration", [0, 40.3], [-0.1, 99, 999]),
        ("relapses", "relapses", [0, 3], [-1, 0.5, 99]),
        ("lesion_volume", "lesion_volume", [0, 5e4], [-1, np.inf]),
    ],
)
def test_scales(role, column, inside, outside):
    values = pd.Series([*inside, *outside, np.nan], dtype=float)
    off = off_scale(values, scale_of(role, column, values))
    assert off.tolist() == [False] * len(inside) + [True] * len(outside) + [False]


def test_fss_is_a_mean_or_a_sum_by_its_values():
    assert scale_of("fss", "fss", pd.Series([1, 5.3, 7, 99])) == FSS_MEAN
    assert scale_of("fss", "fss", pd.Series([9, 40, 63, 5])) == FSS_SUM
    assert scale_of("pasat", "pasat_z", pd.Series([-2.0])) is None


def test_limits_of_scales_belong_to_them():
    whole = Scale(1, 3, 1, "1 to 3")
    assert off_scale(pd.Series([0.99, 1, 1.5, 2, 2 + 1e-7, 3 - 1e-7, 3, 3.01]), whole).tolist() == [
        True,
        False,
        True,
        False,
        False,
        False,
        False,
        True,
    ]
    # infinity is no value even where there is no highest one, and 99 is one where there are no codes
    volume = SCALES["lesion_volume"]
    assert off_scale(pd.Series([99, 999, np.inf, 0, -0.1]), volume).tolist() == [False, False, True, False, True]
    assert off_scale(pd.Series([777.0, 776.0]), Scale(0, 1000, 0, "")).tolist() == [True, False]


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([], FSS_MEAN),
        ([0.5, 64], FSS_MEAN),
        ([7, 63], FSS_SUM),
        ([7, 7, 63], FSS_MEAN),
        ([7, 8, 9], FSS_SUM),
        ([1, 1, 63], FSS_MEAN),
        ([0.9, 63], FSS_SUM),
        ([64, 64, 2], FSS_MEAN),
    ],
)
def test_the_scale_of_fss_is_that_of_most_possible_values(values, scale):
    assert scale_of("fss", "fss", pd.Series(values, dtype=float)) == scale


def test_text_becomes_numbers_with_point_or_comma():
    cells = pd.Series(["1,5", " -2,25 ", "3.5", "+4", "1,000,000", "x", None, "1,", ",5"], index=range(10, 19))
    found = numbers(cells)
    np.testing.assert_array_equal(found, [1.5, -2.25, 3.5, 4, np.nan, np.nan, np.nan, np.nan, np.nan])
    assert found.index.tolist() == cells.index.tolist()
    assert numbers(pd.Series([1, 2])).dtype == float


@pytest.mark.parametrize(
    ("n_dates", "n_other", "dated"), [(10, 0, True), (9, 1, False), (10, 1, True), (0, 1, False), (0, 0, False)]
)
def test_a_column_looks_dated_with_more_than_nine_of_ten_dates(n_dates, n_other, dated):
    cells = ["2019-01-02", "03.04.2015"] * n_dates
    assert looks_dated(pd.Series([*cells[:n_dates], *["x"] * n_other, None], dtype=object)) is dated


def test_the_twelfth_is_a_month_and_the_thirteenth_a_day():
    assert dates(pd.Series(["12.11.2015", "13.11.2015"])).tolist() == [
        pd.Timestamp("2015-11-12"),
        pd.Timestamp("2015-11-13"),
    ]
    assert dates(pd.Series(["12/12/2015"])).isna().all()
    # a date in the one order that is sure is read in a column whose other dates are not
    mixed = pd.Series(["2015-03-04", "05/06/2016"], index=["a", "b"])
    assert dates(mixed).tolist() == [pd.Timestamp("2015-03-04"), pd.NaT]
    assert dates(mixed).index.tolist() == ["a", "b"]


def test_levels_are_text_and_whole_numbers_have_no_decimals():
    found = labels(pd.Series([1.0, 1.5, 2, "x", None, np.nan], dtype=object, index=range(5, 11)))
    assert found.tolist() == ["1", "1.5", "2", "x", None, None]
    assert found.index.tolist() == list(range(5, 11))


def test_the_most_frequent_spelling_is_kept_and_said():
    spelled = spellings([pd.Series(["MS", "ms", "ms", "H  C", "h c", None, 3]), pd.Series(["MS", "MS", "one"])])
    assert spelled == {"MS": "MS", "ms": "MS", "H  C": "H C", "h c": "H C", "one": "one"}
    assert spelling_notes("dx", spelled) == [
        "'H  C' and 'h c' are one level of dx: H C.",
        "'MS' and 'ms' are one level of dx: MS.",
    ]
    assert spelling_notes("dx", {"a": "a", "b": "b"}) == []


def test_a_date_is_told_by_its_form_only():
    assert without_date("seen 2019-05-31") == "seen ####-##-##"
    assert without_date("1.2.2019") == "#.#.####"
    assert without_date("12") == "12"
    assert without_date(20190531) == 20190531


def test_unusable_values_are_named_with_person_file_and_line():
    table = pd.DataFrame({"participant_id": ["sub-1", "sub-2", "sub-3"], "session_id": ["ses-1", None, "ses-1"]})
    values = pd.Series([-999.0, 1.0, 12.0])
    bad = pd.Series([True, False, True])
    assert unusable(table, values, values > 100, "edss", "odd") == []
    table.attrs = from_lines("people.tsv", np.array([2, 3]))
    assert table.attrs == {"file": "people.tsv", "lines": (2, 3)}
    assert unusable(table, values, bad, "edss", "odd") == [
        "2 values of edss are odd and are counted as missing: -999 (sub-1, ses-1; people.tsv, line 2) and 12 "
        "(sub-3, ses-1)."
    ]
    text = pd.Series(["x", "soon, 2019-05-31", "y"])
    assert unusable(table, text, pd.Series([False, True, False]), "edss", "no number") == [
        "1 value of edss is no number and is counted as missing: 'soon, ####-##-##' (sub-2; people.tsv, line 3)."
    ]


def test_four_values_are_named_by_three():
    table = pd.DataFrame({"participant_id": list("abcd")})
    words = named_values(table, pd.Series([1.5, 2, 3, 4]), pd.Series([True] * 4))
    assert words.startswith("1.5 (a), 2 (b)")
    assert "4 (d)" not in words
