import numpy as np
import pandas as pd
import pytest

from bids_app.clinical.deviations import expected_count
from bids_app.clinical.stats.risk_rules import (
    candidates,
    choose_k,
    chosen_rules,
    count_rule,
    reference_k,
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
