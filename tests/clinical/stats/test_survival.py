from itertools import combinations

import numpy as np
import pytest

from bids_app.clinical.stats.survival import _layer, checked_times, kaplan_meier, log_rank, log_rank_permutation
from bids_app.errors import AnalysisError
from tests.clinical.parity import invented, recorded


@pytest.fixture(scope="module")
def people():
    return invented("surv.csv")


def test_kaplan_meier_equals_r(people):
    curves = [kaplan_meier(part["tt"], part["ev"]) for _, part in people.groupby("hi")]
    survival, low, _, _ = np.array([curve.at([5.0])[:, 0] for curve in curves]).T
    np.testing.assert_allclose(survival, recorded("km_surv5"), rtol=1e-9)
    np.testing.assert_allclose(low, recorded("km_lo5"), rtol=1e-9)
    se = [curve.se[np.searchsorted(curve.time, 5, side="right") - 1] for curve in curves]
    np.testing.assert_allclose(se, recorded("km_se5"), rtol=1e-9)


def test_log_rank_equals_r(people):
    test = log_rank(people["tt"], people["ev"], people["hi"])
    np.testing.assert_allclose([test.statistic, test.p], recorded("logrank"), rtol=1e-9)


def test_a_curve_worked_by_hand():
    # 5 people; 2 of 5 at time 1, one censored at 1, one of 2 at 3.
    curve = kaplan_meier([1, 1, 1, 3, 4], [1, 1, 0, 1, 0])
    np.testing.assert_allclose(curve.survival, [0.6, 0.3, 0.3])
    np.testing.assert_array_equal(curve.at_risk, [5, 2, 1])
    np.testing.assert_array_equal(curve.censored, [1, 0, 1])
    assert curve.median()[0] == 3


def test_numbers_between_and_after_the_times():
    curve = kaplan_meier([1, 2, 4], [1, 0, 1])
    survival, _, _, at_risk = curve.at([0, 1, 1.5, 2, 3, 5])
    np.testing.assert_allclose(survival, [1, 2 / 3, 2 / 3, 2 / 3, 2 / 3, np.nan])
    np.testing.assert_array_equal(at_risk, [3, 3, 2, 2, 1, 0])


def test_without_an_event_nobody_is_lost():
    curve = kaplan_meier([1, 2], [0, 0])
    np.testing.assert_array_equal(curve.survival, [1, 1])
    np.testing.assert_array_equal(curve.low, [1, 1])
    assert np.isnan(curve.median()[0])


def test_everybody_lost_has_no_interval():
    curve = kaplan_meier([1, 2], [1, 1])
    assert curve.survival[-1] == 0
    assert np.isnan(curve.low[-1])


def test_ages_that_differ_by_rounding_are_the_same_time():
    curve = kaplan_meier([0.1 + 0.2, 0.3], [1, 1])
    assert len(curve.time) == 1
    assert curve.events[0] == 2


def test_the_test_does_not_depend_on_the_labels():
    generator = np.random.default_rng(0)
    time, event, group = generator.exponential(size=60).round(1), generator.integers(0, 2, 60), np.arange(60) % 3
    first = log_rank(time, event, group)
    second = log_rank(time, event, np.array(["c", "a", "b"])[group])
    assert first.statistic == pytest.approx(second.statistic)
    assert first.df == 2


@pytest.mark.parametrize(("time", "event"), [([], []), ([1, np.nan], [1, 0]), ([-1, 2], [1, 0]), ([1, 2], [1, 2])])
def test_impossible_times_are_refused(time, event):
    with pytest.raises(AnalysisError):
        kaplan_meier(time, event)


def test_a_test_needs_groups_and_events():
    with pytest.raises(AnalysisError):
        log_rank([1, 2], [1, 1], [0, 0])
    with pytest.raises(AnalysisError):
        log_rank([1, 2], [0, 0], [0, 1])
    with pytest.raises(AnalysisError):
        log_rank_permutation([1, 2], [1, 1], [True, True])
    with pytest.raises(AnalysisError):
        log_rank_permutation([1, 2], [0, 0], [False, True])


@pytest.mark.parametrize(
    ("time", "event", "group"),
    [([1, 2, 3, 4], [0, 0, 1, 1], [1, 1, 0, 0]), ([1, 1, 2], [0, 1, 1], [0, 1, 1]), ([1, 1], [1, 1], [0, 1])],
)
def test_groups_that_are_never_at_risk_together_at_an_event_cannot_be_compared(time, event, group):
    if time == [1, 1, 2]:  # at the first event both are
        assert log_rank(time, event, group).df == 1
        return
    with pytest.raises(AnalysisError, match="two groups are at risk"):
        log_rank(time, event, group)


def test_a_group_that_leaves_before_the_first_event_has_no_degree_of_freedom():
    time, event, group = [1, 1, 3, 4, 5, 6], [0, 0, 1, 1, 0, 1], ["a", "a", "b", "c", "b", "c"]
    assert log_rank(time, event, group) == log_rank(time[2:], event[2:], group[2:])
    assert log_rank(time, event, group).df == 1


def test_the_permutation_test_equals_all_splits():
    time, event, members = [1, 2, 2, 3, 4, 4, 5, 6, 7], [1, 1, 0, 1, 1, 1, 0, 1, 1], (0, 1, 3)
    splits = list(combinations(range(9), 3))
    statistic = np.array([log_rank(time, event, np.isin(np.arange(9), split)).statistic for split in splits])
    exact = np.mean(statistic >= statistic[splits.index(members)] * (1 - 1e-9))
    found = log_rank_permutation(time, event, np.isin(np.arange(9), members), samples=4999)
    assert found == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 4999))
    assert found != pytest.approx(log_rank(time, event, np.isin(np.arange(9), members)).p, abs=0.005)


def test_the_permutation_test_agrees_with_chi_square_in_large_groups():
    generator = np.random.default_rng(3)
    group = np.arange(400) % 2 == 1
    time, event = generator.exponential(np.where(group, 1.0, 1.25)), generator.random(400) < 0.7
    assert log_rank_permutation(time, event, group) == pytest.approx(log_rank(time, event, group).p, abs=0.02)
    again = [log_rank_permutation(time[rows], event[rows], group[rows], 99) for rows in (slice(None), slice(None))]
    assert again[0] == again[1]


def stratified(seed):
    """Two strata of different hazard; the group is frequent in the one of the higher hazard and does nothing."""
    generator = np.random.default_rng(seed)
    stratum = np.repeat([0, 1], 60)
    group = generator.random(120) < np.where(stratum, 0.8, 0.2)
    time = generator.exponential(np.where(stratum, 1.0, 4.0))
    return np.minimum(time, 6.0), time < 6, group, stratum


def test_within_strata_a_group_is_not_taken_for_its_stratum():
    found = []
    for seed in range(120):
        time, event, group, stratum = stratified(seed)
        found.append((log_rank(time, event, group).p, log_rank(time, event, group, stratum).p))
    crude, within = (np.array(found) < 0.05).mean(axis=0)
    assert crude > 0.9
    assert within < 0.12


def test_the_permutation_test_within_strata_agrees_with_chi_square():
    time, event, group, stratum = stratified(3)
    p = log_rank(time, event, group, stratum).p
    assert log_rank_permutation(time, event, group, 1999, strata=stratum) == pytest.approx(p, abs=0.04)


@pytest.mark.parametrize("n", [4, 30])
def test_the_statistic_of_a_split_is_that_of_the_log_rank_test(n):
    rng = np.random.default_rng(n)
    time, event = np.ceil(rng.exponential(4, n)), np.ones(n)
    event[rng.integers(0, n)] = 0
    split = rng.permuted(np.tile(np.arange(n) % 2 == 0, (20, 1)), axis=1)
    layer = _layer(np.arange(n), time, event)
    surplus, variance = layer.parts(split[:, layer.people].astype(float))
    for row, value in zip(split, surplus**2 / variance, strict=True):
        assert value == pytest.approx(log_rank(time, event, row).statistic, rel=1e-10)


def test_greenwoods_interval_worked_by_hand():
    """4 people, events at 1 and 3, the second of two at risk: variance of log S is 1/(4*3) + 1/(2*1)."""
    curve = kaplan_meier([1, 2, 3, 4], [1, 0, 1, 0])
    np.testing.assert_allclose(curve.survival, [0.75, 0.75, 0.375, 0.375])
    log_se = np.sqrt([1 / 12, 1 / 12, 1 / 12 + 1 / 2, 1 / 12 + 1 / 2])
    np.testing.assert_allclose(curve.se, curve.survival * log_se)
    np.testing.assert_allclose(curve.low, curve.survival * np.exp(-1.959964 * log_se), rtol=1e-6)
    np.testing.assert_allclose(curve.high, np.minimum(curve.survival * np.exp(1.959964 * log_se), 1), rtol=1e-6)
    narrow = kaplan_meier([1, 2, 3, 4], [1, 0, 1, 0], level=0.5)
    np.testing.assert_allclose(narrow.low, curve.survival * np.exp(-0.6744898 * log_se), rtol=1e-6)
    np.testing.assert_array_equal(curve.events, [1, 0, 1, 0])
    median, low, high = curve.median()
    assert (median, low) == (3, 1)
    assert np.isnan(high)


def test_half_is_reached_at_half_itself():
    assert kaplan_meier([1, 2], [1, 0]).median()[0] == 1
    assert np.isnan(kaplan_meier([1, 2, 3], [1, 0, 0]).median()[0])


def test_times_within_rounding_of_the_curves_own_are_equal():
    curve = kaplan_meier([1, 2, 4], [1, 1, 1])
    survival, low, high, at_risk = curve.at([1 - 1e-12, 2 + 1e-12, 4 + 1e-12, 4.001, 0.5])
    np.testing.assert_allclose(survival, [2 / 3, 1 / 3, 0, np.nan, 1])
    np.testing.assert_array_equal(at_risk, [3, 2, 1, 0, 3])
    assert (low[4], high[4]) == (1, 1)
    assert curve.at(2.0).shape == (4, 1)


def test_times_merge_by_the_longest_and_at_least_one():
    merged, status = checked_times([0.5, 0.5 + 5e-10, 0.5 + 3e-9], [1, 0, 1])
    assert merged.tolist() == [0.5, 0.5, 0.5 + 3e-9]
    assert status.tolist() == [1, 0, 1]
    assert len(np.unique(checked_times([10, 10 + 5e-9, 10.1], [1, 1, 1])[0])) == 2
    assert checked_times([0.0], [0])[0].tolist() == [0.0]
    for time, event in (([1, 2], [1]), ([np.inf], [1]), ([1], [0.5]), ([1], [np.nan])):
        with pytest.raises(AnalysisError):
            checked_times(time, event)


def test_the_log_rank_statistic_worked_by_hand():
    """Groups 1 (events at 1, 3) and 0 (events at 2, 4): expected of 1 is 2/4 + 1/3 + 1/2, variance 1/4 + 2/9 + 1/4."""
    found = log_rank([1, 2, 3, 4], [1, 1, 1, 1], [1, 0, 1, 0])
    assert found.statistic == pytest.approx((2 - 4 / 3) ** 2 / (1 / 4 + 2 / 9 + 1 / 4))
    assert found.df == 1
    # tied events: 2 of 4 die at once, 1 of each group; the variance is hypergeometric
    tied = log_rank([1, 1, 2, 2], [1, 1, 0, 1], [1, 0, 1, 0])
    assert tied.statistic == pytest.approx((1 - 1 - 0.5) ** 2 / (2 * 0.25 * 2 / 3 + 0.25))


def test_a_stratum_without_a_comparison_adds_nothing():
    time, event, group = [1, 2, 3, 4, 1, 2], [1, 1, 1, 1, 1, 1], [1, 0, 1, 0, 1, 1]
    stratum = [0, 0, 0, 0, 1, 1]
    assert log_rank(time, event, group, stratum).statistic == pytest.approx(
        log_rank(time[:4], event[:4], group[:4]).statistic
    )
    alone = log_rank_permutation(time, event, np.array(group) == 1, 299, strata=stratum)
    assert alone == log_rank_permutation(time[:4], event[:4], np.array(group[:4]) == 1, 299)


def test_the_least_p_of_a_permutation_test_counts_the_observed_split():
    time, event, group = np.arange(1, 21), np.ones(20), np.arange(20) < 10
    assert log_rank_permutation(time, event, group, 9) == 0.1
    assert log_rank_permutation(time, event, group, 501) == 1 / 502
    # every split of two people is as far as the observed one
    assert log_rank_permutation([1, 2], [1, 1], [True, False], 9) == 1.0


def test_without_a_comparison_every_split_is_as_far_as_the_observed_one():
    with np.errstate(invalid="raise"):
        assert log_rank_permutation([1, 2], [0, 1], [True, False], 9) == 1.0
