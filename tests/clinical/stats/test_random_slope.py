from types import SimpleNamespace

import numpy as np
import pytest

from bids_app.clinical.stats.mixed import MixedModel
from bids_app.clinical.stats.random_slope import RandomSlopeModel, _satterthwaite
from bids_app.errors import AnalysisError


def visits(n_people=60, slope_sd=0.5, seed=2):
    generator = np.random.default_rng(seed)
    people = np.repeat(np.arange(n_people), 5)
    time = np.tile(np.arange(5.0), n_people) + generator.uniform(0, 0.3, len(people))
    x = generator.normal(size=len(people))
    y = (
        0.4 * x
        + 0.2 * time
        + generator.normal(size=n_people)[people]
        + slope_sd * generator.normal(size=n_people)[people] * time
        + 0.5 * generator.normal(size=len(people))
    )
    return y, np.column_stack([np.ones(len(y)), x, time]), people, time


def test_estimates_equal_those_of_statsmodels():
    from statsmodels.regression.mixed_linear_model import MixedLM

    y, X, people, time = visits()
    ours = RandomSlopeModel(X, people, time).fit(y)
    theirs = MixedLM(y, X, people, exog_re=np.column_stack([np.ones(len(y)), time])).fit(reml=True, method="bfgs")
    np.testing.assert_allclose(ours.beta, theirs.fe_params, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(ours.se, theirs.bse_fe, rtol=2e-3)
    assert ours.variance_residual == pytest.approx(theirs.scale, rel=1e-3)


def test_the_slope_of_time_has_about_one_degree_of_freedom_per_person():
    y, X, people, time = visits()
    fit = RandomSlopeModel(X, people, time).fit(y)
    assert 50 < fit.df[2] < 70
    assert fit.df[1] > 100


def test_without_slope_variance_it_agrees_with_the_random_intercept():
    y, X, people, time = visits(slope_sd=0.0, seed=8)
    slope, intercept = RandomSlopeModel(X, people, time).fit(y), MixedModel(X, people).fit(y)
    np.testing.assert_allclose(slope.beta, intercept.beta, rtol=0.02)
    np.testing.assert_allclose(slope.se[1], intercept.se[1], rtol=0.02)


def test_the_unit_of_time_does_not_matter():
    y, X, people, time = visits()
    months = RandomSlopeModel(X * [1, 1, 12], people, time * 12).fit(y)
    years = RandomSlopeModel(X, people, time).fit(y)
    np.testing.assert_allclose(months.beta * [1, 1, 12], years.beta, rtol=1e-5)
    np.testing.assert_allclose(months.df, years.df, rtol=1e-3)


def test_single_visits_are_refused():
    with pytest.raises(AnalysisError, match="several visits"):
        RandomSlopeModel(np.ones((6, 1)), np.arange(6), np.arange(6.0))


def test_a_variance_that_no_parameter_moves_has_the_degrees_of_freedom_of_the_residuals():
    sums = SimpleNamespace(n_rows=20, variances=lambda x: np.full(3, 0.5), deviance=lambda x: float((x**2).sum()))
    assert _satterthwaite(sums, np.ones(4), np.full(3, 0.5)).tolist() == [17, 17, 17]
