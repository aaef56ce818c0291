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
    at_mean_time = np.array([1, time.mean()])
    assert ours.variance_person == pytest.approx(at_mean_time @ theirs.cov_re @ at_mean_time, rel=1e-3)
    assert not ours.singular


def test_the_deviance_from_sums_is_that_of_the_whole_covariance_matrix():
    y, X, people, time = visits(n_people=7)
    model = RandomSlopeModel(X, people, time)
    sums = model._sums(np.column_stack([X, y]))
    a, b, c, sigma = 0.8, -0.3, 0.4, 0.7
    Z = np.column_stack([np.ones(len(y)), (time - time.mean()) / time.std()])
    factor = np.array([[a, 0], [b, c]])
    V = sigma**2 * (np.eye(len(y)) + (Z @ factor @ factor.T @ Z.T) * (people[:, None] == people))
    inverse = np.linalg.inv(V)
    information = X.T @ inverse @ X
    residual = y - X @ np.linalg.solve(information, X.T @ inverse @ y)
    rss = residual @ inverse @ residual
    logs = np.linalg.slogdet(V)[1] + np.linalg.slogdet(information)[1]
    expected = (len(y) - 3) * np.log(2 * np.pi) + logs + rss
    assert sums.deviance(np.array([a, b, c, sigma])) == pytest.approx(expected, rel=1e-10)
    np.testing.assert_allclose(sums.variances(np.array([a, b, c, sigma])), np.diag(np.linalg.inv(information)))
    best_sigma = sigma * np.sqrt(rss / (len(y) - 3))
    at_best = sums.deviance(np.array([a, b, c, best_sigma]))
    assert sums.profiled(np.array([a, b, c])) == pytest.approx(at_best, rel=1e-10)


SLOPE = np.array([0.1, -0.2, 0.3, 0.4])


def quadratic(curvature):
    """A deviance of this curvature and a variance of slope `SLOPE`, both around 1."""
    return SimpleNamespace(
        n_rows=1000,
        variances=lambda x: np.array([0.5 + SLOPE @ (x - 1)]),
        deviance=lambda x: float((x - 1) @ curvature @ (x - 1) / 2),
    )


def test_degrees_of_freedom_follow_from_the_curvature_and_the_slope_of_the_variance():
    curvature = np.array([[4.0, 1, 0, 0], [1, 3, 0, 0.5], [0, 0, 2, 0], [0, 0.5, 0, 5]])
    expected = 2 * 0.5**2 / (2 * SLOPE @ np.linalg.inv(curvature) @ SLOPE)
    assert _satterthwaite(quadratic(curvature), np.ones(4), np.array([0.5])) == pytest.approx([expected], rel=1e-6)


def test_a_direction_without_curvature_is_left_out_of_the_degrees_of_freedom():
    curvature = np.diag([4.0, 3.0, 1e-7, 0.0])
    expected = 2 * 0.5**2 / (2 * (0.1**2 / 4 + 0.2**2 / 3))
    assert _satterthwaite(quadratic(curvature), np.ones(4), np.array([0.5])) == pytest.approx([expected], rel=1e-6)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_missing_predictor_or_time_is_refused(wrong):
    _, X, people, time = visits(n_people=6)
    for bad_X, bad_time in (
        (np.where(np.isclose(X, X[3, 1]), wrong, X), time),
        (X, np.where(np.isclose(time, time[2]), wrong, time)),
    ):
        with pytest.raises(AnalysisError, match="finite numbers"):
            RandomSlopeModel(bad_X, people, bad_time)


def test_five_people_with_two_visits_are_enough_and_four_are_not():
    time = np.tile([0.0, 1.0], 5)
    RandomSlopeModel(np.ones((10, 1)), np.repeat(np.arange(5), 2), time)
    with pytest.raises(AnalysisError, match="several visits"):
        RandomSlopeModel(np.ones((9, 1)), [0, 0, 1, 1, 2, 2, 3, 3, 4], time[:9])
    with pytest.raises(AnalysisError, match="several visits"):
        RandomSlopeModel(np.ones((10, 1)), np.repeat(np.arange(5), 2), np.ones(10))


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
    assert slope.singular


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
