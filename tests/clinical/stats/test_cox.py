import numpy as np
import pytest

from bids_app.clinical.stats.cox import PartialLikelihood, baseline_hazard, concordance, fit_cox, proportionality
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
    assert fit.unbounded[0]
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


def test_without_predictors_effect_the_baseline_hazard_is_nelson_aalen():
    time, event = np.array([1.0, 2, 3, 4]), np.array([1, 1, 0, 1])
    x = np.array([1.0, -1, -1, 1])
    fit = fit_cox(time, event, x)
    flat = type(fit)(**{**vars(fit), "linear": np.zeros(4)})
    times, hazard = baseline_hazard(flat, time, event)
    np.testing.assert_allclose(times, [1, 2, 4])
    np.testing.assert_allclose(hazard, np.cumsum([1 / 4, 1 / 3, 1 / 1]))


@pytest.mark.parametrize("x", [np.ones(4), np.array([1, np.nan, 0, 1]), np.ones((4, 2)) * [[1, 2]]])
def test_impossible_predictors_are_refused(x):
    with pytest.raises(AnalysisError):
        fit_cox([1, 2, 3, 4], [1, 1, 0, 1], x)
    with pytest.raises(AnalysisError, match="nobody has an event"):
        fit_cox([1, 2], [0, 0], [0, 1])
