import numpy as np
import pytest

from bids_app.clinical.stats.cox import fit_cox
from bids_app.clinical.stats.decision_curves import event_probability, net_benefit, predicted_risk
from bids_app.clinical.stats.resampling import resample
from bids_app.clinical.stats.survival import kaplan_meier

TIME, EVENT = np.array([1.0, 2, 3, 4, 5, 6]), np.array([1.0, 1, 0, 1, 0, 0])


def test_probability_is_that_of_kaplan_meier():
    found = event_probability(TIME, EVENT, np.ones((1, 6)), 4.0)
    assert found[0] == pytest.approx(1 - kaplan_meier(TIME, EVENT).at([4.0])[0, 0])


def test_weights_are_repetitions():
    weights = np.array([[2.0, 0, 1, 3, 1, 1]])
    rows = np.repeat(np.arange(6), weights[0].astype(int))
    expected = 1 - kaplan_meier(TIME[rows], EVENT[rows]).at([4.0])[0, 0]
    assert event_probability(TIME, EVENT, weights, 4.0)[0] == pytest.approx(expected)


def test_net_benefit_without_censoring_by_hand():
    # 10 people, 4 events; the rule picks 5 people with 3 events: 3/10 - 2/10 * 0.25
    event = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0])
    picked = np.array([1, 1, 1, 0, 1, 1, 0, 0, 0, 0], dtype=bool)
    found = net_benefit(np.where(event, 1.0, 5.0), event, picked, 2.0, [0.2])
    assert found[0, 0] == pytest.approx(0.3 - 0.2 * 0.25)


def test_acting_on_everybody_and_nobody():
    event = np.array([1, 1, 0, 0, 0])
    time = np.where(event, 1.0, 5.0)
    everybody = net_benefit(time, event, np.ones(5, dtype=bool), 2.0, [0.4, 0.2])[0]
    np.testing.assert_allclose(everybody, [0, 0.4 - 0.6 * 0.25], atol=1e-12)
    assert net_benefit(time, event, np.zeros(5, dtype=bool), 2.0, [0.3])[0, 0] == 0


def test_a_sample_that_takes_everybody_once_changes_nothing():
    picked = np.array([1, 1, 0, 1, 0, 0], dtype=bool)
    whole = net_benefit(TIME, EVENT, picked, 4.0, [0.1, 0.3])
    np.testing.assert_allclose(
        net_benefit(TIME, EVENT, picked, 4.0, [0.1, 0.3], np.ones((2, 6), dtype=int)), np.vstack([whole, whole])
    )
    assert net_benefit(TIME, EVENT, picked, 4.0, [0.1], resample(6, 30, 1)).std() > 0


def test_a_rule_per_threshold():
    picked = np.array([[True] * 6, [False] * 6])
    found = net_benefit(TIME, EVENT, picked, 4.0, [0.1, 0.3])[0]
    assert found[0] > 0
    assert found[1] == 0


def test_predicted_risk_is_out_of_fold_and_breslow():
    generator = np.random.default_rng(2)
    x = generator.normal(size=120)
    time, event = generator.exponential(np.exp(-x)), generator.random(120) < 0.8
    fold = np.arange(120) % 2
    risk = predicted_risk(time, event, x, 0.5, fold)
    rest = fold == 1
    fit = fit_cox(time[rest], event[rest], x[rest])
    times, dead, weight = time[rest], event[rest], np.exp(fit.linear)
    base = sum(1 / weight[times >= moment].sum() for moment in times[dead & (times <= 0.5)])
    expected = 1 - np.exp(-base * np.exp((x[~rest] - x[rest].mean()) * fit.coef[0]))
    np.testing.assert_allclose(risk[~rest], expected, rtol=1e-9)
