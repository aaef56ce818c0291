"""What no brain has is taken out, up to the limits that a brain may have."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

from bids_app.normative import plausible
from bids_app.normative.plausible import (
    ETIV_RANGE,
    impossible,
    too_young,
    typical_value,
    why_impossible,
    without_impossible,
)
from bids_app.regions import ETIV

THALAMUS, THICKNESS, EMPTY = "Left-Thalamus", "lh_insula_thickness", "WM-hypointensities"


def judged(name, values):
    return impossible(pd.DataFrame({name: values}))[name].tolist()


def test_the_limits_belong_to_what_is_possible():
    typical, usual = typical_value(THALAMUS), typical_value(THICKNESS)
    eps = 1e-9
    for name, low, high in (
        (ETIV, *ETIV_RANGE),
        (THALAMUS, typical / 100, typical * 100),
        (THICKNESS, usual / 5, usual * 5),
    ):
        values = [low, high, low * (1 - eps), high * (1 + eps), np.nan, np.inf, -np.inf, 0.0, -1.0]
        assert judged(name, values) == [False, False, True, True, False, True, True, True, True]


def test_a_region_that_nobody_lacks_has_no_upper_limit_and_others_of_no_usual_size_may_be_0():
    assert judged(EMPTY, [0.0, -1.0, 1e-6, 1e9, np.inf]) == [True, True, False, False, True]
    unusual = next(name for name in plausible._bounds() if typical_value(name) is None and name != EMPTY)
    assert judged(unusual, [0.0, -1.0, 1e9, np.inf]) == [False, True, False, True]


def test_other_columns_are_not_judged_and_text_counts_as_missing():
    data = pd.DataFrame({"age": [-5.0, 9.0], THALAMUS: ["1", "x"], ETIV: [1, 1500000]}, index=["a", "b"])
    mask = impossible(data)
    assert mask.to_dict() == {ETIV: {"a": True, "b": False}, THALAMUS: {"a": True, "b": False}}
    assert impossible(data[["age"]]).shape == (2, 0)
    mixed = pd.DataFrame({THALAMUS: pd.array([1.0, None], dtype="Float64"), ETIV: [1.5e6, 1.0]})
    assert impossible(mixed)[THALAMUS].tolist() == [True, False]


def test_impossible_cells_become_missing_and_a_good_table_stays_the_same_object():
    good = pd.DataFrame({THALAMUS: [7000.0, 7100.0], "age": [1.0, 2.0]})
    same, mask = without_impossible(good)
    assert same is good
    assert not mask.to_numpy().any()
    bad = good.assign(**{THALAMUS: [7.0, 7100.0]})
    found, mask = without_impossible(bad)
    assert np.isnan(found[THALAMUS][0])
    assert found[THALAMUS][1] == 7100
    assert found["age"].tolist() == [1.0, 2.0]
    assert mask[THALAMUS].tolist() == [True, False]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        (ETIV, 1500.0, "outside 600 to 2,600 cm^3, as if written in cm^3"),
        (ETIV, 600.0, "outside 600 to 2,600 cm^3, as if written in cm^3"),
        (ETIV, 2600.0, "outside 600 to 2,600 cm^3, as if written in cm^3"),
        (ETIV, 1.5, "outside 600 to 2,600 cm^3, as if written in litres"),
        (ETIV, 3e6, "outside 600 to 2,600 cm^3"),
        (THALAMUS, np.inf, "infinite"),
        (THALAMUS, 0.0, "0"),
        (THALAMUS, -1.0, "below 0"),
        (THALAMUS, 7.0, "less than a hundredth of what is usual"),
        (THALAMUS, 7e6, "more than a hundred times of what is usual"),
        (THICKNESS, 0.01, "less than a fifth of what is usual in mm"),
        (THICKNESS, 2500.0, "more than five times of what is usual in mm"),
    ],
)
def test_the_reason_is_said(name, value, words):
    assert why_impossible(name, value) == words


def test_a_year_below_the_youngest_is_too_young():
    age = pd.Series([5.0, 4.99, 7.0, 6.99, 1.0, 1.0, np.nan])
    sex = pd.Series(["female", "female", "male", "male", "n/a", None, "male"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = too_young(age, sex, {"female": (6.0, 90.0), "male": (8.0, 80.0)})
    assert found.tolist() == [False, True, False, True, False, False, False]


def test_usual_values():
    assert typical_value(ETIV) == 1.5e6
    assert 5000 < typical_value(THALAMUS) < 9000
    assert typical_value("no-region") is None
    assert typical_value(EMPTY) is None
