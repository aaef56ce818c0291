import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import norm

from bids_app.clinical.stats.negative_binomial import fit_counts
from bids_app.errors import AnalysisError
from tests.clinical.parity import invented, recorded


@pytest.fixture(scope="module")
def study():
    table = invented("nb.csv")
    return table["cnt"].to_numpy(), np.column_stack([np.ones(len(table)), table["dg"]])


def test_theta_one_equals_r(study):
    fit = fit_counts(*study, theta=1.0)
    np.testing.assert_allclose(fit.coef, recorded("nb_coef"), rtol=1e-9)
    np.testing.assert_allclose(fit.se, recorded("nb_se"), rtol=1e-7)
    np.testing.assert_allclose(fit.statistic, recorded("nb_t"), rtol=1e-7)
    np.testing.assert_allclose(fit.p, recorded("nb_p"), rtol=1e-5)
    assert fit.dispersion == pytest.approx(recorded("nb_disp")[0], rel=1e-7)
    assert fit.deviance == pytest.approx(recorded("nb_dev")[0], rel=1e-9)
    irr = np.exp([fit.coef[1], fit.low[1], fit.high[1]])
    np.testing.assert_allclose(irr, recorded("nb_IRR"), rtol=2e-6)


def test_profile_interval_equals_r_within_its_interpolation(study):
    fit = fit_counts(*study, theta=1.0)
    ours = np.array([fit.low[0], fit.high[0], fit.low[1], fit.high[1]])
    np.testing.assert_allclose(ours, recorded("nb_profci"), atol=3e-6)


def test_estimated_theta_maximises_the_likelihood(study):
    y, X = study
    best = fit_counts(y, X)
    for theta in (best.theta * 0.9, best.theta * 1.1):
        assert fit_counts(y, X, theta).loglik < best.loglik
    assert best.theta == pytest.approx(0.546805, abs=1e-6)
    assert np.isinf(best.df)


def test_the_interval_is_where_the_profile_rises_by_its_cut(study):
    y, X = study
    best = fit_counts(y, X, 1.0)

    def criterion(intercept, slope):
        mu = np.exp(intercept + slope * X[:, 1])
        return -2 * np.sum(y * np.log(mu) - (y + 1) * np.log1p(mu))

    smallest = criterion(*best.coef)
    for bound in (best.low[1], best.high[1]):
        rise = minimize_scalar(criterion, bracket=(0.0, 1.0), args=(bound,)).fun - smallest
        assert rise / best.dispersion == pytest.approx(norm.ppf(0.975) ** 2, rel=1e-6)


def test_counts_without_extra_spread_reach_the_poisson_limit():
    y = np.tile([2, 3, 3, 4], 50)
    fit = fit_counts(y, np.ones((200, 1)))
    assert fit.theta == pytest.approx(1e5)
    assert fit.coef[0] == pytest.approx(np.log(3), rel=1e-6)


@pytest.mark.parametrize("theta", [1.0, None])
def test_a_group_of_zeros_gives_a_one_sided_interval(theta):
    y = np.concatenate([np.zeros(40), np.tile([0, 1, 2, 3], 10)])
    X = np.column_stack([np.ones(80), np.repeat([0, 1], 40)])
    fit = fit_counts(y, X, theta)
    assert fit.unbounded[1]
    assert np.isinf(fit.high[1])
    assert fit.low[1] > 0
    assert fit.p[1] < 0.001


def test_all_zero_counts_are_refused_in_words():
    with pytest.raises(AnalysisError, match="every count is zero"):
        fit_counts(np.zeros(10), np.ones((10, 1)))


@pytest.mark.parametrize(("count", "predictor"), [(-1, 1.0), (np.nan, 1.0), (np.inf, 1.0), (1, np.nan)])
def test_what_is_no_count_or_no_predictor_is_refused(count, predictor):
    X = np.column_stack([np.ones(5), [0.0, 1.0, 0.0, 1.0, predictor]])
    with pytest.raises(AnalysisError, match="non-negative counts and complete predictors"):
        fit_counts([0, 2, 1, 3, count], X)


def test_dependent_predictors_are_refused():
    with pytest.raises(AnalysisError, match="depend on each other"):
        fit_counts([1, 0, 2, 1], np.ones((4, 2)))


@settings(max_examples=25)
@given(st.lists(st.integers(0, 60), min_size=4, max_size=30), st.lists(st.integers(0, 60), min_size=4, max_size=30))
def test_two_groups_are_fitted_by_their_means(a, b):
    y = np.array(a + b, dtype=float)
    assume(any(a) and any(b) and np.ptp(y) > 0)  # refused, see below
    X = np.column_stack([np.ones(len(y)), np.repeat([0, 1], [len(a), len(b)])])
    fit = fit_counts(y, X, 1.0)
    np.testing.assert_allclose(np.exp([fit.coef[0], fit.coef.sum()]), [np.mean(a), np.mean(b)], rtol=1e-6)
    assert (fit.low <= fit.coef).all()
    assert (fit.coef <= fit.high).all()


def test_counts_without_any_spread_are_said_or_certain():
    X = np.column_stack([np.ones(8), np.repeat([0, 1], 4)])
    with pytest.raises(AnalysisError, match="same number of deviations"):
        fit_counts(np.full(8, 3), X)
    fit = fit_counts(np.repeat([1, 2], 4), X, theta=1.0)
    assert fit.dispersion == pytest.approx(0, abs=1e-9)
    assert fit.low[1] == pytest.approx(np.log(2), abs=1e-6)


def test_robust_errors_of_two_groups_are_those_of_their_means():
    generator = np.random.default_rng(8)
    y = np.concatenate([generator.poisson(generator.gamma(0.5, 8, 60)), generator.poisson(2.0, 90)]).astype(float)
    group = np.repeat([1.0, 0.0], [60, 90])
    expected = sum(
        np.sum((part - part.mean()) ** 2) / (len(part) - 1) ** 2 / part.mean() ** 2
        for part in (y[group == 1], y[group == 0])
    )
    for theta in (None, 1.0):
        fit = fit_counts(y, np.column_stack([np.ones(150), group]), theta, terms=[])
        assert fit.robust_se[1] == pytest.approx(np.sqrt(expected), rel=1e-6)


@pytest.mark.filterwarnings("error")
def test_a_coefficient_of_one_person_has_no_robust_error():
    generator = np.random.default_rng(10)
    y = generator.poisson(3.0, 40).astype(float)
    group, alone = np.arange(40) % 2, np.arange(40) == 5
    with_one = fit_counts(y, np.column_stack([np.ones(40), group, alone]), terms=[]).robust_se
    without = fit_counts(y[~alone], np.column_stack([np.ones(40), group])[~alone], terms=[]).robust_se
    assert np.isnan(with_one[2])
    np.testing.assert_allclose(with_one[:2], without, rtol=1e-5)


def test_robust_errors_with_covariates_are_the_sandwich_of_all_rows():
    generator = np.random.default_rng(9)
    X = np.column_stack([np.ones(80), generator.integers(0, 2, 80), generator.integers(0, 3, 80)]).astype(float)
    y = generator.poisson(np.exp(0.3 + 0.5 * X[:, 1]) * generator.gamma(2, 0.5, 80)).astype(float)
    fit = fit_counts(y, X, terms=[])
    mu = np.exp(X @ fit.coef)
    weight = np.diag(mu / (1 + mu / fit.theta))
    bread = np.linalg.inv(X.T @ weight @ X)
    hat = np.diag(weight @ X @ bread @ X.T)
    score = X * ((y - mu) / (1 + mu / fit.theta) / (1 - hat))[:, None]
    np.testing.assert_allclose(fit.robust_se, np.sqrt(np.diag(bread @ score.T @ score @ bread)), rtol=1e-8)


@pytest.fixture(scope="module")
def matched():
    generator = np.random.default_rng(11)
    X = np.column_stack([np.ones(40), np.arange(40) % 2, generator.integers(0, 3, 40)]).astype(float)
    return generator.poisson(np.exp(0.5 + 0.4 * X[:, 1]) * generator.gamma(2, 0.5, 40)).astype(float), X


def test_robust_errors_of_clusters_are_the_jackknife_over_them(matched):
    y, X = matched
    alone = fit_counts(y, X, 1.0, terms=[])
    single = fit_counts(y, X, 1.0, terms=[], clusters=np.arange(40)[::-1])
    np.testing.assert_allclose(single.robust_se, alone.robust_se, rtol=1e-8)
    # sets of 2 and of 3 whose members do not stand together
    clusters = np.r_[np.arange(8), np.arange(16), np.arange(16)]
    found = fit_counts(y, X, 1.0, terms=[], clusters=clusters)
    mu = np.exp(X @ found.coef)
    weight = mu / (1 + mu)
    bread = np.linalg.inv((X.T * weight) @ X)
    moved = []
    for cluster in range(16):
        rows = clusters == cluster
        hat = X[rows] @ bread @ (X[rows].T * weight[rows])
        freed = np.linalg.solve(np.eye(rows.sum()) - hat, (y - mu)[rows] / mu[rows])
        moved.append(bread @ (X[rows].T * weight[rows]) @ freed)
    np.testing.assert_allclose(found.robust_se, np.sqrt(np.sum(np.square(moved), axis=0)), rtol=1e-6)


def test_a_coefficient_of_one_cluster_leaves_no_robust_errors(matched):
    y, X = matched
    clusters = np.r_[np.zeros(2), np.arange(1, 39)]
    only = (clusters == 0).astype(float)
    assert np.isnan(fit_counts(y + only, np.column_stack([X, only]), 1.0, terms=[], clusters=clusters).robust_se).all()


def test_weights_count_rows_and_their_sum_does_not_matter(matched):
    y, X = matched
    weights = np.where(np.arange(40) < 10, 2.0, 1.0)
    rows = np.repeat(np.arange(40), weights.astype(int))
    found, repeated = fit_counts(y, X, 1.0, weights=3 * weights), fit_counts(y[rows], X[rows], 1.0)
    np.testing.assert_allclose(found.coef, repeated.coef, rtol=1e-7)
    assert (found.df, repeated.df) == (37, 47)
    assert found.deviance == pytest.approx(repeated.deviance * 40 / 50, rel=1e-7)
    assert found.loglik == pytest.approx(repeated.loglik * 40 / 50, rel=1e-7)
    assert found.dispersion == pytest.approx(repeated.dispersion * 40 / 50 * 47 / 37, rel=1e-7)
    evenly, plain = fit_counts(y, X, 1.0, weights=np.full(40, 0.3), terms=[1]), fit_counts(y, X, 1.0, terms=[1])
    assert evenly.low[1] == pytest.approx(plain.low[1], rel=1e-6)
    assert np.isnan(evenly.low[[0, 2]]).all()


def test_as_many_coefficients_as_scans_are_refused():
    X = np.column_stack([np.ones(3), [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    with pytest.raises(AnalysisError, match="3 scans are too few for a model with 3 coefficients"):
        fit_counts([1, 2, 3], X)
    assert fit_counts([1, 2, 3, 5], np.vstack([X, [1.0, 1.0, 0.0]]), 1.0, terms=[]).df == 1
