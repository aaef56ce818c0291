import numpy as np
import pandas as pd
import pytest

from bids_app.clinical.deviations import expected_count
from bids_app.clinical.stats.cox import PartialLikelihood, fit_cox
from bids_app.clinical.stats.risk_rules import (
    _validated_likelihood,
    balanced_folds,
    candidates,
    choose_k,
    chosen_rules,
    count_rule,
    reference_k,
    reference_rule,
    thalamus_rule,
)
from bids_app.errors import AnalysisError


def cohort(effect, n=200, seed=0):
    generator = np.random.default_rng(seed)
    counts = generator.negative_binomial(1, 1 / 5.5, n)
    time = generator.exponential(5 * np.exp(-effect * (counts >= 6)))
    return counts, np.minimum(time, 8).round(1) + 0.1, time < 8


def test_the_reference_rule_starts_above_the_centile():
    assert reference_k(82) == expected_count(82).high + 1
    rule = count_rule([9, 10], 10, "reference")
    assert rule.at_risk.tolist() == [False, True]
    assert rule.definition == "at least 10 infra-normal deviations, more than 97.5 % of healthy people have"


def test_either_thalamus_counts():
    z = pd.DataFrame({"Left-Thalamus": [-2, 0, np.nan, 0], "Right-Thalamus": [0, -1.96, -3, -1.9]})
    assert thalamus_rule(z).at_risk.tolist() == [True, True, True, False]
    assert thalamus_rule(pd.DataFrame({"Left-Caudate": [0.0]})) is None


def test_candidates_keep_people_and_events_on_both_sides():
    counts = np.array([0] * 15 + [3] * 4 + [9])
    event = np.array([1] + [0] * 14 + [1] * 5)
    assert candidates(counts, event) == [1, 2, 3]
    assert candidates(counts, np.r_[np.zeros(19), 1]) == []


def test_the_cut_that_makes_the_difference_is_found():
    chosen = [choose_k(*cohort(1.5, seed=seed)) for seed in range(5)]
    assert abs(np.median(chosen) - 6) <= 1


def test_choosing_is_warned_of_and_the_other_groups_are_out_of_fold():
    counts, time, event = cohort(0.0, seed=2)
    apparent, honest = chosen_rules(counts, time, event)
    assert "too good" in apparent.warning
    assert apparent.definition.endswith("chosen on these data")
    assert honest.name == "count cross-validated"
    assert honest.warning is None
    np.testing.assert_array_equal(chosen_rules(counts, time, event)[1].at_risk, honest.at_risk)
    # Without an effect the choice varies over folds, so some people are grouped otherwise than by the k of all.
    assert (honest.at_risk != apparent.at_risk).any()


def test_nothing_to_choose_from_is_an_error():
    with pytest.raises(AnalysisError, match="risk_rule"):
        choose_k(np.zeros(20), np.arange(1, 21), np.ones(20))


def test_a_bound_for_everybody_is_the_rule_of_its_count():
    rule = reference_rule([3, 4, 5], [4, 4, 4])
    assert (rule.name, rule.k, rule.at_risk.tolist()) == ("count", 5.0, [False, False, True])
    assert rule.definition == "at least 5 infra-normal deviations, more than 97.5 % of healthy people have"


def test_own_bounds_are_compared_person_by_person():
    rule = reference_rule([3, 4, 9], [2, 4, 9])
    assert rule.at_risk.tolist() == [True, False, False]
    assert rule.k == 5.0
    assert rule.definition.endswith("have (at least 3 to 10)")


def test_rules_are_said_in_words_and_singular():
    assert count_rule([0, 1], 1).definition == "at least 1 infra-normal deviation"
    assert count_rule([0, 1], 2, "data").definition == "at least 2 infra-normal deviations, chosen on these data"
    rule = count_rule([0, 1, 2], 1)
    assert (rule.at_risk.tolist(), rule.k, rule.warning, rule.known) == ([False, True, True], 1.0, None, None)
    rows = np.array([True, False, True])
    assert rule.told(rows).tolist() == rows.tolist()


def test_a_person_with_one_thalamus_is_known_only_at_risk():
    z = pd.DataFrame({"Left-Thalamus": [np.nan, np.nan, 0.0], "Right-Thalamus": [-3.0, 0.0, 0.0]})
    rule = thalamus_rule(z, 2.5)
    assert rule.at_risk.tolist() == [True, False, False]
    assert rule.known.tolist() == [True, False, True]
    assert rule.told(np.array([True, True, False])).tolist() == [True, False, False]
    assert rule.definition == "left or right thalamus with z <= -2.5"
    assert np.isnan(rule.k)
    assert thalamus_rule(z[["Left-Thalamus"]]).known.tolist() == [False, False, True]


def test_a_tenth_of_the_people_on_either_side_is_enough():
    counts = np.array([0] * 9 + [1])
    event = np.ones(10)
    assert candidates(counts, event) == [1]
    assert candidates(np.array([0] + [1] * 9), event) == [1]
    assert candidates(np.array([0] * 10 + [1]), np.ones(11)) == []
    assert candidates(np.array([0] + [1] * 10), np.ones(11)) == []
    assert candidates(counts, np.r_[np.ones(9), 0]) == []
    assert candidates([], []) == []
    assert candidates(np.array([0, 2]), np.ones(2)) == [1, 2]


def test_folds_share_people_and_events_evenly_and_by_seed():
    event = np.array([1.0] * 7 + [0.0] * 16)
    fold = balanced_folds(event, 5, 3)
    assert sorted(np.bincount(fold)) == [4, 4, 5, 5, 5]
    assert sorted(np.bincount(fold[event == 1], minlength=5)) == [1, 1, 1, 2, 2]
    np.testing.assert_array_equal(fold, balanced_folds(event, 5, 3))
    assert (fold != balanced_folds(event, 5, 4)).any()


def test_the_validated_likelihood_is_a_sum_over_folds_of_what_is_left_out():
    time, event = np.array([3.0, 1, 4, 2, 6, 5, 8, 7, 9, 10]), np.ones(10)
    high = np.array([0.0, 1, 0, 1, 1, 0, 1, 0, 0, 1])
    fold = np.arange(10) % 2
    total = 0.0
    for part in (0, 1):
        fit = fit_cox(time[fold != part], event[fold != part], high[fold != part])
        total += PartialLikelihood(time, event, high).loglik(fit.coef) - fit.loglik
    assert _validated_likelihood(high, time, event, fold) == pytest.approx(total)
    apart = np.where(np.arange(10) < 5, 1.0, 0.0)
    assert _validated_likelihood(apart, np.arange(1.0, 11), event, fold) == -np.inf
    assert _validated_likelihood(high, time, event, 1 - high.astype(int)) == -np.inf
