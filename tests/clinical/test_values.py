import numpy as np
import pandas as pd
import pytest

from bids_app.clinical.values import FSS_MEAN, FSS_SUM, date_problem, dates, looks_dated, off_scale, scale_of


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
