import numpy as np
import pytest
from statsmodels.duration.hazard_regression import PHReg

from bids_app.clinical.stats.cox import PartialLikelihood, concordance, concordance_columns, fit_cox, proportionality
from bids_app.clinical.stats.survival import log_rank
from bids_app.errors import AnalysisError
from tests.clinical.parity import invented, recorded


@pytest.fixture(scope="module")
def people():
    return invented("surv.csv")


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_coefficients_equal_coxph(people, ties):
    fit = fit_cox(people["tt"], people["ev"], people[["hi", "age"]], ties)
    found = [*fit.coef, *fit.se, fit.loglik_null, fit.loglik]
    np.testing.assert_allclose(found, recorded(f"cox_{ties}"), rtol=1e-7)


def test_proportional_hazards_check_equals_cox_zph(people):
    test = proportionality(people["tt"], people["ev"], people[["hi", "age"]])
    np.testing.assert_allclose([*test.p, test.global_p], recorded("cox_zph"), rtol=1e-7)


def test_concordance_equals_r(people):
    fit = fit_cox(people["tt"], people["ev"], people[["hi", "age"]])
    found = concordance(people["tt"], people["ev"], fit.linear)
    assert found.c == pytest.approx(recorded("cindex")[0], rel=1e-9)


def test_without_ties_both_treatments_agree_and_the_score_test_is_the_log_rank():
    generator = np.random.default_rng(3)
    time, event, x = generator.exponential(size=80), generator.integers(0, 2, 80), np.arange(80.0) % 2
    efron, breslow = (fit_cox(time, event, x, ties) for ties in ("efron", "breslow"))
    np.testing.assert_allclose(efron.coef, breslow.coef, rtol=1e-12)
    _, score, information = PartialLikelihood(time, event, x).terms(np.zeros(1))
    statistic = score.sum() ** 2 / information.sum()
    assert statistic == pytest.approx(log_rank(time, event, x).statistic)


def test_hazards_that_cross_are_found():
    generator = np.random.default_rng(5)
    x = np.repeat([0.0, 1.0], 200)
    time = np.where(x == 1, generator.weibull(4, 400), generator.weibull(0.7, 400))
    assert proportionality(time, np.ones(400), x).p[0] < 1e-6
    assert proportionality(generator.exponential(np.exp(-x)), np.ones(400), x).p[0] > 0.01


def test_events_at_one_time_say_nothing_about_proportionality():
    test = proportionality([1, 1, 2, 2, 3], [1, 1, 0, 0, 0], [0.0, 1, 0, 1, 1])
    assert np.isnan(test.p[0])
    assert np.isnan(test.global_p)


def test_a_group_without_events_has_no_finite_ratio():
    x = np.repeat([0.0, 1.0], 10)
    fit = fit_cox(np.arange(1, 21), 1 - x, x)
    assert not fit.estimable[0]
    assert np.isnan([fit.se[0], fit.p[0], fit.low[0]]).all()
    assert np.isfinite(fit.likelihood_ratio[1])


def test_concordance_worked_by_hand():
    # pairs (1,2) (1,3) (2,3): the second has the highest risk, the first the middle one
    assert concordance([1, 2, 3], [1, 1, 0], [2, 3, 1]).c == pytest.approx(2 / 3)
    assert concordance([1, 2, 3], [1, 1, 0], [1, 1, 1]).c == 0.5
    # a person censored at the time of an event outlived it
    assert concordance([1, 1], [1, 0], [2, 1]).pairs == 1
    with pytest.raises(AnalysisError):
        concordance([1, 2], [0, 1], [1, 2])


def test_its_standard_error_is_that_of_simulations():
    generator = np.random.default_rng(1)
    found = []
    for _ in range(200):
        x = generator.normal(size=100)
        found.append(concordance(generator.exponential(np.exp(-x)), np.ones(100), x)[:2])
    c, se = np.array(found).T
    assert np.mean(se) == pytest.approx(c.std(), rel=0.2)


def test_the_fit_equals_phreg():
    generator = np.random.default_rng(0)
    X, time = generator.normal(size=(200, 3)), generator.exponential(5, 200).round(1) + 0.1
    event = (generator.random(200) < 0.4).astype(float)
    for ties in ("efron", "breslow"):
        fit, peer = fit_cox(time, event, X, ties), PHReg(time, X, status=event, ties=ties).fit(tol=1e-12)
        np.testing.assert_allclose(fit.coef, peer.params, rtol=0, atol=1e-13)
        np.testing.assert_allclose(fit.se, peer.bse, rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("time", "event", "x"),
    [
        # one event, of the person with the highest value: the likelihood rises for ever
        ([1, 2, 3, 4, 5, 6], [1, 0, 0, 0, 0, 0], [9.0, 1, 4, 2, 0, 3]),
        # everybody at risk at the event has the same value: the likelihood is flat
        ([1, 2, 3, 4, 5, 6], [0, 0, 0, 1, 0, 0], [9.0, 1, 4, 2, 2, 2]),
        # each event is of the highest value at risk
        ([1, 2, 3, 4, 5, 6], [1, 1, 0, 1, 0, 0], [9.0, 8, 4, 7, 2, 1]),
    ],
)
def test_without_a_finite_estimate_there_is_no_error_test_or_check(time, event, x):
    fit = fit_cox(time, event, x)
    assert not fit.estimable.any()
    assert np.isnan([fit.se[0], fit.p[0], fit.low[0], fit.high[0]]).all()
    assert np.isnan(proportionality(time, event, x).p).all()


def test_a_covariate_without_an_estimate_leaves_the_others_theirs():
    generator = np.random.default_rng(4)
    x, rare = generator.normal(size=60), (np.arange(60) % 20 == 0).astype(float)
    time = generator.exponential(np.exp(-x))
    fit = fit_cox(time, np.where(rare == 1, 0, 1), np.column_stack([x, rare]))
    np.testing.assert_array_equal(fit.estimable, [True, False])
    assert fit.se[0] > 0


@pytest.mark.parametrize("x", [np.ones(4), np.array([1, np.nan, 0, 1]), np.ones((4, 2)) * [[1, 2]]])
def test_impossible_predictors_are_refused(x):
    with pytest.raises(AnalysisError):
        fit_cox([1, 2, 3, 4], [1, 1, 0, 1], x)
    with pytest.raises(AnalysisError, match="nobody has an event"):
        fit_cox([1, 2], [0, 0], [0, 1])


def test_concordance_columns_are_a_normal_interval_cut_at_0_and_1():
    time, event, risk = [1, 2, 3, 4, 5], [1, 1, 0, 1, 1], [5, 3, 4, 2, 1]
    found, columns = concordance(time, event, risk), concordance_columns(time, event, risk)
    assert columns["concordance"] == found.c
    assert columns["concordance_low"] == pytest.approx(found.c - 1.959964 * found.se, rel=1e-6)
    assert columns["concordance_high"] == min(1.0, found.c + 1.959964 * found.se)
    assert found.pairs == 8
    assert found.c == pytest.approx(7 / 8)
    worst = concordance_columns([1, 2, 3], [1, 1, 1], [1, 2, 3])
    assert (worst["concordance"], worst["concordance_low"]) == (0, 0)


def test_the_jackknife_of_concordance_worked_by_hand():
    """Pairs (1,2) won, (1,3) lost, (2,3) lost: c = 1/3; the gaps of each person are 1/3, 1/3 and -2/3."""
    found = concordance([1, 2, 3], [1, 1, 0], [2, 1, 3])
    assert found.c == pytest.approx(1 / 3)
    assert found.se == pytest.approx(np.sqrt(1 / 9 + 1 / 9 + 4 / 9) / 3)


def test_a_fit_worked_by_hand():
    """Events at 1 (x = 1), 2 (x = 0), 3 (x = 1), one censored at 4 (x = 0)."""
    fit = fit_cox([1, 2, 3, 4], [1, 1, 1, 0], [1.0, 0, 1, 0])
    r = np.exp(fit.coef[0])
    score = 2 - 2 * r / (2 * r + 2) - r / (r + 2) - r / (r + 1)
    assert score == pytest.approx(0, abs=1e-9)
    p = np.array([2 * r / (2 * r + 2), r / (r + 2), r / (r + 1)])
    assert fit.se[0] == pytest.approx(1 / np.sqrt((p * (1 - p)).sum()))
    assert fit.loglik_null == pytest.approx(-np.log(4 * 3 * 2))
    assert fit.loglik == pytest.approx(2 * fit.coef[0] - np.log((2 * r + 2) * (r + 2) * (r + 1)))
    assert fit.likelihood_ratio[0] == pytest.approx(2 * (fit.loglik - fit.loglik_null))
    assert (fit.n_people, fit.n_events) == (4, 3)
    np.testing.assert_allclose(fit.linear, (np.array([1, 0, 1, 0]) - 0.5) * fit.coef[0])
    assert fit.low[0] == pytest.approx(fit.coef[0] - 1.959964 * fit.se[0], rel=1e-6)
    assert fit.high[0] == pytest.approx(fit.coef[0] + 1.959964 * fit.se[0], rel=1e-6)
    assert fit.statistic[0] == pytest.approx(fit.coef[0] / fit.se[0])


def test_scale_and_place_of_a_predictor_do_not_matter():
    generator = np.random.default_rng(6)
    x, time = generator.normal(size=40), generator.exponential(size=40)
    event = generator.random(40) < 0.7
    small, large = fit_cox(time, event, x), fit_cox(time, event, 1e6 + 1000 * x)
    assert large.coef[0] * 1000 == pytest.approx(small.coef[0], rel=1e-6)
    assert large.loglik == pytest.approx(small.loglik)
    assert large.estimable[0]


@pytest.mark.parametrize("constant", [0.1, 1.4e6 / 3])
def test_a_predictor_that_is_constant_but_for_rounding_is_refused(constant):
    X = np.column_stack([np.arange(11.0), np.full(11, constant)])
    with pytest.raises(AnalysisError, match="the same for everybody"):
        fit_cox(np.arange(1.0, 12), np.ones(11), X)
