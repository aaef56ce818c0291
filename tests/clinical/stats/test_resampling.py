import numpy as np
import pytest
from statsmodels.duration.hazard_regression import PHReg

from bids_app.clinical.stats.cox import fit_cox
from bids_app.clinical.stats.resampling import hazard_ratios, percentile_interval, resample


def people(seed=0, n=80):
    generator = np.random.default_rng(seed)
    group = generator.random(n) < 0.4
    return generator.exponential(np.where(group, 1.0, 2.0)).round(1) + 0.1, generator.random(n) < 0.7, group


def test_each_sample_gives_the_ratio_that_cox_gives():
    time, event, group = people()
    samples = resample(80, 20, seed=3)
    found = hazard_ratios(time, event, group, samples)
    for sample, value in zip(samples, found, strict=True):
        rows = np.repeat(np.arange(80), sample)
        expected = fit_cox(time[rows], event[rows], group[rows].astype(float)).coef[0]
        assert value == pytest.approx(expected, rel=1e-7)


def test_a_group_without_an_event_is_infinite_and_an_empty_one_unknown():
    ones = np.ones((1, 4), dtype=int)
    assert hazard_ratios([1, 2, 3, 4], [1, 1, 0, 0], [True, True, False, False], ones)[0] == np.inf
    assert hazard_ratios([1, 2, 3, 4], [1, 1, 0, 0], [False, False, True, True], ones)[0] == -np.inf
    assert np.isnan(hazard_ratios([1, 2, 3, 4], [1, 1, 0, 0], [False] * 4, ones)[0])
    assert np.isnan(hazard_ratios([1, 2], [0, 0], [True, False], np.ones((1, 2), dtype=int))[0])


@pytest.mark.parametrize("group", [[True, False, True, False, True], [False, True, False, True, False]])
def test_one_event_in_each_group_is_a_finite_ratio(group):
    time, event = [1, 2, 3, 4, 5], [1, 1, 0, 0, 0]
    found = hazard_ratios(time, event, group, np.ones((1, 5), dtype=int))[0]
    assert found == pytest.approx(fit_cox(np.array(time), np.array(event), np.array(group, dtype=float)).coef[0])


def test_samples_are_seeded_and_of_the_same_size():
    np.testing.assert_array_equal(resample(10, 5, 1), resample(10, 5, 1))
    assert (resample(10, 5, 1).sum(axis=1) == 10).all()
    assert hazard_ratios([1, 2], [1, 1], [True, False], resample(2, 0, 1)).shape == (0,)


def test_percentile_interval():
    low, high = percentile_interval(np.arange(1001.0))
    assert (low, high) == (25, 975)
    assert np.isnan(percentile_interval([])[0])
    assert percentile_interval([0.0] * 10 + [np.inf] * 10 + [np.nan])[1] == np.inf


def test_strata_are_not_compared_with_each_other():
    time, event, group = people(n=120)
    stratum = np.arange(120) % 2
    ones = np.ones((1, 120), dtype=int)
    found = hazard_ratios(time, event, group, ones, stratum)[0]
    peer = PHReg(time, group.astype(float)[:, None], status=event.astype(float), ties="efron", strata=stratum).fit()
    assert found == pytest.approx(peer.params[0], rel=1e-6)
