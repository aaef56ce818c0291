"""Linear regression of many responses, standardising, and covariates as numbers."""

import numpy as np
import pandas as pd
import pytest
from statsmodels.api import OLS

from bids_app.clinical.stats.linear import MAX_LEVELS, design, false_discovery, fit_linear, person_parts, standardise
from bids_app.errors import AnalysisError


def test_coefficients_errors_and_variance_are_those_of_statsmodels():
    rng = np.random.default_rng(2)
    X = np.column_stack([np.ones(12), rng.normal(size=(12, 2)) * [1, 1000]])
    Y = X @ rng.normal(size=(3, 4)) + rng.normal(size=(12, 4))
    found = fit_linear(Y, X)
    assert found.df == 9
    for column in range(4):
        fit = OLS(Y[:, column], X).fit()
        assert found.beta[:, column] == pytest.approx(fit.params, rel=1e-9)
        assert found.se[:, column] == pytest.approx(fit.bse, rel=1e-9)
        assert found.sigma2[column] == pytest.approx(fit.scale, rel=1e-9)


def test_as_many_people_as_coefficients_are_too_few_and_one_more_is_enough():
    X = np.array([[1.0, 0], [1, 1], [1, 3]])
    with pytest.raises(AnalysisError, match="2 people are too few for a model with 2"):
        fit_linear(np.ones((2, 1)), X[:2])
    assert fit_linear(np.array([[1.0], [2], [5]]), X).df == 1


@pytest.mark.parametrize("column", [[0.0] * 5, [2.0] * 5, [1e-12, 2e-12, 3e-12, 4e-12, 5e-12]])
def test_predictors_that_depend_on_each_other_are_refused_and_small_ones_are_not(column):
    X = np.column_stack([np.ones(5), column])
    if np.ptp(column):
        assert fit_linear(np.array(column)[:, None], X).beta[1, 0] == pytest.approx(1)
    else:
        with pytest.raises(AnalysisError, match="depend on each other"):
            fit_linear(np.ones((5, 1)), X)


def test_standardised_columns_have_mean_0_and_sd_1_with_n_minus_1():
    assert standardise([1.0, 2, 3]) == pytest.approx([-1, 0, 1])
    both = standardise(np.column_stack([[1.0, 2, 3], [10.0, 10, 40]]))
    assert both.std(axis=0, ddof=1) == pytest.approx([1, 1])
    assert both.mean(axis=0) == pytest.approx([0, 0])


@pytest.mark.parametrize("column", [[0.1] * 7, [3.0, 3.0]])
def test_what_does_not_vary_is_refused(column):
    with pytest.raises(AnalysisError, match="the same for everybody"):
        standardise(column)
    with pytest.raises(AnalysisError, match="the same for everybody"):
        standardise(np.column_stack([np.arange(len(column)), column]))


def test_a_row_is_its_persons_mean_and_the_rest():
    mean, rest = person_parts([1.0, 5, 3, 10], np.array([0, 2, 0, 2]))
    assert mean.tolist() == [2, 7.5, 2, 7.5]
    assert rest.tolist() == [-1, -2.5, 1, 2.5]


def test_text_becomes_indicators_beside_its_first_level_and_missing_stays_missing():
    cohort = pd.DataFrame({"age": [40, 50, 60], "site": ["b", "a", None], "scan": ["x", "z", "y"]})
    found = design(cohort, ["age", "site", "scan"])
    assert list(found) == ["age", "site: b", "scan: y", "scan: z"]
    assert found["age"].dtype == float
    assert found["site: b"].tolist()[:2] == [1, 0]
    assert np.isnan(found["site: b"].iloc[2])
    assert found["scan: z"].tolist() == [0, 1, 0]
    assert design(cohort, []).shape == (3, 0)
    with pytest.raises(AnalysisError, match="column dose, drug is not in"):
        design(cohort, ["age", "dose", "drug"])


def test_twenty_levels_are_allowed_and_one_more_is_not():
    design(pd.DataFrame({"id": [f"{i:02d}" for i in range(MAX_LEVELS)]}), ["id"])
    with pytest.raises(AnalysisError, match=f"text with {MAX_LEVELS + 1} levels"):
        design(pd.DataFrame({"id": [f"{i:02d}" for i in range(MAX_LEVELS + 1)]}), ["id"])


def test_missing_p_values_are_not_part_of_the_family():
    assert false_discovery(np.array([0.01, np.nan, 0.04])) == pytest.approx([0.02, np.nan, 0.04], nan_ok=True)
    assert np.isnan(false_discovery(np.array([np.nan, np.nan]))).all()
