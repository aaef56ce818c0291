"""Designs and linear regression against statsmodels and by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from statsmodels.api import OLS

from bids_app.clinical.stats.linear import design, false_discovery, fit_linear, person_parts, standardise
from bids_app.errors import AnalysisError


def test_several_responses_equal_ordinary_regressions():
    rng = np.random.default_rng(0)
    X = np.column_stack([np.ones(20), rng.normal(size=(20, 2))])
    Y = rng.normal(size=(20, 3))
    found = fit_linear(Y, X)
    for column in range(3):
        peer = OLS(Y[:, column], X).fit()
        np.testing.assert_allclose(found.beta[:, column], peer.params)
        np.testing.assert_allclose(found.se[:, column], peer.bse)
        assert found.sigma2[column] == pytest.approx(peer.mse_resid)
    assert found.df == 17


def test_the_fewest_rows_and_dependent_predictors():
    X = np.column_stack([np.ones(3), [1.0, 2, 4]])
    assert fit_linear(np.array([[1.0], [2], [3]]), X).df == 1
    with pytest.raises(AnalysisError, match="2 people are too few for a model with 2"):
        fit_linear(np.ones((2, 1)), X[:2])
    x = np.array([1.0, 2, 4, 8, 9])
    for extra in (2 * x, np.zeros(5), np.full(5, 3.0)):
        with pytest.raises(AnalysisError, match="depend on each other"):
            fit_linear(np.ones((5, 1)), np.column_stack([np.ones(5), x, extra]))


def test_scales_have_mean_0_and_sd_1_of_r():
    np.testing.assert_allclose(standardise([1.0, 2, 3]), [-1, 0, 1])
    np.testing.assert_allclose(standardise([[1.0, 10], [3, 30]]), np.array([[-1, -1], [1, 1]]) / np.sqrt(2))
    for values in ([0.1 + 0.2, 0.1 + 0.2, 0.30000000000000004], [[1.0, 1], [2, 1]]):
        with pytest.raises(AnalysisError, match="same for everybody"):
            standardise(values)


def test_parts_of_a_person_sum_to_the_values():
    mean, deviation = person_parts([1.0, 3, 10], np.array([0, 0, 2]))
    assert mean.tolist() == [2, 2, 10]
    assert deviation.tolist() == [-1, 1, 0]


def test_text_becomes_indicators_without_its_first_level():
    people = pd.DataFrame({"age": [1, 2, 3, 4], "site": ["b", "a", None, "c"]}, index=[3, 5, 7, 9])
    found = design(people, ["age", "site"])
    assert list(found) == ["age", "site: b", "site: c"]
    np.testing.assert_array_equal(found["site: b"], [1, 0, np.nan, 0])
    np.testing.assert_array_equal(found["site: c"], [0, 0, np.nan, 1])
    assert found.index.tolist() == [3, 5, 7, 9]
    assert design(people, []).shape == (4, 0)
    with pytest.raises(AnalysisError, match=r"the column x, y is not"):
        design(people, ["x", "y"])


def test_twenty_levels_are_the_most():
    levels = pd.DataFrame({"site": [f"s{n:02}" for n in range(21)]})
    assert design(levels[:20], ["site"]).shape == (20, 19)
    with pytest.raises(AnalysisError, match="21 levels"):
        design(levels, ["site"])


def test_adjusted_p_values_worked_by_hand():
    np.testing.assert_allclose(
        false_discovery(np.array([0.01, np.nan, 0.04, 0.03])), [0.03, np.nan, 0.04, 0.04], equal_nan=True
    )
    assert np.isnan(false_discovery(np.array([np.nan, np.nan]))).all()
    assert false_discovery(np.array([])).shape == (0,)
