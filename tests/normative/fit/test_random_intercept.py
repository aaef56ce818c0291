"""REML of the random-intercept model: lme4's numbers, the likelihood itself, and the edges."""

import numpy as np
import pytest
from numpy.linalg import slogdet, solve

from bids_app.errors import AnalysisError
from bids_app.normative.fit.random_intercept import RandomInterceptDesign
from tests.clinical.parity import invented, recorded


def fit_random_intercept(y, X, groups):
    return RandomInterceptDesign(X, groups).fit(y)


def standardise(values):
    return (values - values.mean()) / values.std()


def test_equals_lme4():
    table = invented("long.csv")
    one = np.ones(len(table))
    first = fit_random_intercept(table["edss"], np.column_stack([one, table["nb_deviations"]]), table["eid"])
    np.testing.assert_allclose(first.beta, recorded("lmer1_fixef"), rtol=1e-7)
    np.testing.assert_allclose(first.se, recorded("lmer1_se"), rtol=1e-7)
    np.testing.assert_allclose([first.tau2, first.sigma2], recorded("lmer1_vc"), rtol=5e-7)
    assert first.reml_loglik == pytest.approx(recorded("lmer1_reml")[0], rel=1e-10)
    z, edss = standardise(table["z"]), standardise(table["edss"])
    second = fit_random_intercept(z, np.column_stack([one, edss]), table["eid"])
    np.testing.assert_allclose(second.beta, recorded("lmer2_fixef"), rtol=1e-7)
    np.testing.assert_allclose(second.se, recorded("lmer2_se"), rtol=1e-7)


@pytest.fixture
def simulated():
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(400), rng.integers(1, 7, 400))
    X = np.column_stack([np.ones(len(groups)), rng.normal(size=len(groups))])
    y = X @ [2.0, -0.5] + rng.normal(0, 1.5, 400)[groups] + rng.normal(0, 1, len(groups))
    return y, X, groups


def test_recovers_simulated_parameters(simulated):
    fit = fit_random_intercept(*simulated)
    assert abs(fit.beta[1] + 0.5) < 3 * fit.se[1]
    assert fit.tau2 == pytest.approx(2.25, rel=0.2)
    assert fit.sigma2 == pytest.approx(1.0, rel=0.1)
    assert len(fit.intercepts) == 400


def test_likelihood_is_the_dense_one_and_its_maximum():
    rng = np.random.default_rng(4)
    groups = np.repeat(np.arange(12), [1, 2, 3, 4] * 3)
    X = np.column_stack([np.ones(30), rng.normal(size=30)])
    y = rng.normal(size=12)[groups] + rng.normal(size=30)
    fit = fit_random_intercept(y, X, groups)

    def dense(sigma2, tau2):
        cov = sigma2 * np.eye(30) + tau2 * (groups[:, None] == groups)
        info = X.T @ solve(cov, X)
        residual = y - X @ solve(info, X.T @ solve(cov, y))
        return 28 * np.log(2 * np.pi) + slogdet(cov)[1] + slogdet(info)[1] + residual @ solve(cov, residual)

    best = dense(fit.sigma2, fit.tau2)
    assert best == pytest.approx(-2 * fit.reml_loglik, rel=1e-12)
    for sigma2, tau2 in [(1.01, 1), (0.99, 1), (1, 1.01), (1, 0.99)]:
        assert dense(fit.sigma2 * sigma2, fit.tau2 * tau2) > best
    cov = fit.sigma2 * np.eye(30) + fit.tau2 * (groups[:, None] == groups)
    np.testing.assert_allclose(fit.cov_beta, np.linalg.inv(X.T @ solve(cov, X)), rtol=1e-10)
    blup = fit.tau2 * (np.arange(12)[:, None] == groups) @ solve(cov, y - X @ fit.beta)
    np.testing.assert_allclose(fit.intercepts, blup, rtol=1e-9)


def test_no_variance_between_groups_gives_zero_and_least_squares():
    groups = np.repeat(np.arange(20), 2)
    y = np.tile([1.0, -1.0], 20) + np.arange(40) * 1e-3
    fit = fit_random_intercept(y, np.ones((40, 1)), groups)
    assert fit.singular
    assert fit.beta[0] == pytest.approx(y.mean())


def test_one_design_serves_many_responses(simulated):
    y, X, groups = simulated
    design = RandomInterceptDesign(X, groups)
    assert design.fit(2 * y).tau2 == pytest.approx(4 * fit_random_intercept(y, X, groups).tau2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda y, X, g: (y, X, np.arange(len(g))), "two people"),
        (lambda y, X, g: (y, np.column_stack([X, 2 * X[:, 1]]), g), "depend on each other"),
        (lambda y, X, g: (np.where(g == 0, np.nan, y), X, g), "missing"),
    ],
)
def test_impossible_input_is_refused(simulated, change, message):
    with pytest.raises(AnalysisError, match=message):
        fit_random_intercept(*change(*simulated))


def test_each_unusable_design_is_refused():
    people = np.array([1, 1, 2, 2, 3])
    x = np.column_stack([np.ones(5), [1.0, 2.0, 4.0, 3.0, 5.0]])
    RandomInterceptDesign(x, people)
    broken = x.copy()
    broken[0, 0] = np.nan
    for wrong, groups, words in (
        (x[:, 0], people, "row of finite numbers"),
        (x[:4], people, "row of finite numbers"),
        (broken, people, "row of finite numbers"),
        (x, np.arange(5), "two people, one of them with two visits"),
        (x, np.ones(5), "two people, one of them with two visits"),
        (np.column_stack([x, np.eye(5)[:, :3]]), people, "5 rows are too few for a mixed model with 5 coefficients"),
        (np.column_stack([x, np.zeros(5)]), people, "depend on each other"),
        (np.column_stack([x, 2 * x[:, 1]]), people, "depend on each other"),
    ):
        with pytest.raises(AnalysisError, match=words):
            RandomInterceptDesign(wrong, groups)
    RandomInterceptDesign(np.column_stack([x, np.eye(5)[:, :2]]), people)
    for y in (np.ones(4), np.array([1.0, 2.0, np.nan, 1.0, 2.0])):
        with pytest.raises(AnalysisError, match="response of a mixed model"):
            RandomInterceptDesign(x, people).fit(y)


def test_people_who_do_not_differ_or_do_only_differ_end_at_the_boundary():
    people = np.repeat(np.arange(6), 3)
    x = np.ones((18, 1))
    fit = RandomInterceptDesign(x, people).fit(np.tile([0.0, 1.0, 2.0], 6))
    assert fit.singular
    assert (fit.tau2, fit.sigma2) == (0.0, pytest.approx(12 / 17))
    assert not fit.intercepts.any()
    apart = RandomInterceptDesign(x, people).fit(1e5 * people + np.tile([0.0, 1e-3, 2e-3], 6))
    assert not apart.singular
    assert apart.tau2 / apart.sigma2 == pytest.approx(1e6)


def test_likelihood_slope_and_coefficients_are_those_of_the_whole_matrices():
    rng = np.random.default_rng(3)
    people = np.array([0, 0, 0, 1, 1, 2, 3, 3, 3, 4])
    x, y = np.column_stack([np.ones(10), rng.normal(size=10)]), rng.normal(size=10) + np.array([0, 2, -1, 1, 0])[people]
    fit = RandomInterceptDesign(x, people).fit(y)
    sums = fit.sums
    same = people[:, None] == people[None]
    for ratio in (0.0, 0.4, 3.0):
        v = np.eye(10) + ratio * same
        a = np.column_stack([x, y])
        np.testing.assert_allclose(sums.weighted(ratio), a.T @ np.linalg.solve(v, a), rtol=1e-10)
        beta, rss = sums.coefficients(ratio)
        expected = np.linalg.solve(x.T @ np.linalg.solve(v, x), x.T @ np.linalg.solve(v, y))
        np.testing.assert_allclose(beta, expected)
        residual = y - x @ expected
        assert rss == pytest.approx(residual @ np.linalg.solve(v, residual))
        deviance = 8 * (1 + np.log(2 * np.pi * rss / 8)) + np.linalg.slogdet(v)[1]
        deviance += np.linalg.slogdet(x.T @ np.linalg.solve(v, x))[1]
        assert sums.profiled_deviance(ratio) == pytest.approx(deviance)
        step = 1e-6
        slope = (sums.profiled_deviance(ratio + step) - sums.profiled_deviance(ratio)) / step
        assert sums.profiled_slope(ratio) == pytest.approx(slope, rel=1e-3, abs=1e-4)
        change = (sums.weighted(ratio + step) - sums.weighted(ratio)) / step
        np.testing.assert_allclose(sums.weighted_slope(ratio), change, rtol=1e-4, atol=1e-6)
    ratio = fit.tau2 / fit.sigma2
    v = np.eye(10) + ratio * same
    np.testing.assert_allclose(fit.cov_beta, fit.sigma2 * np.linalg.inv(x.T @ np.linalg.solve(v, x)))
    np.testing.assert_allclose(fit.se, np.sqrt(np.diag(fit.cov_beta)))
    blup = ratio * (people[None] == np.arange(5)[:, None]) @ np.linalg.solve(v, y - x @ fit.beta)
    np.testing.assert_allclose(fit.intercepts, blup)
    assert fit.reml_loglik == pytest.approx(-sums.profiled_deviance(ratio) / 2)
