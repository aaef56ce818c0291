import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from bids_app.clinical.deviations import (
    count_distribution,
    count_table,
    expected_count,
    expected_counts,
    first_scans,
    region_set,
)
from bids_app.errors import UsageError
from bids_app.normative.base import deviation_flag
from bids_app.regions import reference_regions


def test_the_cut_itself_is_a_deviation():
    assert list(deviation_flag([-1.96, -1.9599, 1.96, np.nan])) == ["infra", "none", "supra", None]


def test_region_sets_partition_the_reference():
    assert len(region_set("cortical")) == 68
    assert len(region_set("subcortical")) == 14
    assert set(region_set("cortical")) | set(region_set("subcortical")) == set(reference_regions())


def test_an_unknown_region_or_set_is_named():
    with pytest.raises(UsageError, match="Left-Nothing"):
        region_set(["Left-Nothing"])
    with pytest.raises(UsageError, match="deep"):
        region_set("deep")


@settings(max_examples=25)
@given(st.lists(st.floats(-6, 6) | st.just(float("nan")), min_size=82, max_size=82), st.floats(0.5, 4))
def test_counts_agree_with_flags(values, threshold):
    z = pd.DataFrame([values], columns=list(reference_regions()))
    counts = count_table(z, threshold=threshold).iloc[0]
    flags = list(deviation_flag(values, threshold))
    assert counts["n_infra"] == flags.count("infra")
    assert counts["n_total"] == counts["n_infra"] + counts["n_supra"]
    assert counts["n_regions"] == 82 - flags.count(None)


def test_the_cortical_count_ignores_the_thalamus():
    z = pd.DataFrame({"Left-Thalamus": [-3.0], "lh_insula_volume": [-2.5]})
    assert count_table(z, "cortical")["n_infra"].item() == 1


@pytest.mark.parametrize("tail", ["infra", "supra", "total"])
def test_the_expected_distribution_is_a_distribution_with_the_nominal_mean(tail):
    probability = count_distribution(82, tail)
    assert probability.sum() == pytest.approx(1, abs=1e-12)
    nominal = 82 * 0.024997895 * (2 if tail == "total" else 1)
    assert probability @ np.arange(83) == pytest.approx(nominal, rel=1e-5)


def test_correlated_regions_widen_the_expected_range():
    assert expected_count(82).high > expected_count(82, correlation=0.0).high


def test_no_regions_no_deviations():
    assert expected_count(0) == (0.0, 0, 0)


def test_the_expected_range_matches_simulated_people():
    generator = np.random.default_rng(7)
    factor = generator.standard_normal((20000, 1))
    z = np.sqrt(0.16) * factor + np.sqrt(0.84) * generator.standard_normal((20000, 82))
    counts = (z <= -1.96).sum(axis=1)
    expected = expected_count(82, correlation=0.16)
    assert counts.mean() == pytest.approx(expected.mean, abs=0.1)
    assert abs(np.quantile(counts, 0.975) - expected.high) <= 1


def test_the_first_scan_is_the_youngest_and_the_upper_of_equals():
    scans = pd.DataFrame(
        {"participant_id": list("aabbccd"), "age": [31.0, 30, 40, 40, np.nan, 50, np.nan]}, index=range(3, 10)
    )
    assert first_scans(scans).tolist() == [False, True, True, False, False, True, True]


def test_counts_worked_by_hand_with_the_index_of_the_scans():
    z = pd.DataFrame(
        {"Left-Thalamus": [-1.96, np.nan, 2.0], "lh_insula_volume": [-3.0, 1.96, 1.0], "other": [-9.0] * 3},
        index=[4, 2, 9],
    )
    found = count_table(z)
    assert found.index.tolist() == [4, 2, 9]
    assert list(found) == ["n_infra", "n_supra", "n_total", "n_regions"]
    assert found.to_numpy().tolist() == [[2, 0, 2, 2], [0, 1, 1, 1], [0, 1, 1, 2]]
    assert count_table(z, ["Left-Thalamus", "Right-Thalamus"], 1.97).to_numpy().tolist() == [
        [0, 0, 0, 1],
        [0, 0, 0, 0],
        [0, 1, 1, 1],
    ]
    assert count_table(z, "subcortical")["n_regions"].tolist() == [1, 0, 1]


def test_independent_regions_are_binomial():
    peer = stats.binom(10, stats.norm.cdf(-1.5))
    np.testing.assert_allclose(count_distribution(10, "supra", 1.5, 0.0), peer.pmf(range(11)), rtol=1e-9)
    twice = stats.binom(10, 2 * stats.norm.cdf(-1.5))
    np.testing.assert_allclose(count_distribution(10, "total", 1.5, 0.0), twice.pmf(range(11)), rtol=1e-9)
    found = expected_count(10, "infra", 1.5, 0.0)
    assert found == (pytest.approx(peer.mean()), peer.ppf(0.025), peer.ppf(0.975))


def test_correlated_regions_equal_the_integral_over_their_factor():
    def density(factor):
        chance = stats.norm.cdf((-1.0 - np.sqrt(0.3) * factor) / np.sqrt(0.7))
        return stats.binom.pmf(2, 5, chance) * stats.norm.pdf(factor)

    assert count_distribution(5, "infra", 1.0, 0.3)[2] == pytest.approx(integrate.quad(density, -10, 10)[0], rel=1e-7)
    assert count_distribution(5, "supra", 1.0, 0.3)[2] == pytest.approx(count_distribution(5, "infra", 1.0, 0.3)[2])


def test_expected_counts_have_a_row_per_scan():
    table = expected_counts([82, 0, 10], "total", 2.5)
    assert list(table) == ["mean", "low", "high"]
    assert table.iloc[0].tolist() == list(expected_count(82, "total", 2.5))
    assert table.iloc[1].tolist() == [0, 0, 0]
    assert table.iloc[2].tolist() == list(expected_count(10, "total", 2.5))


@pytest.mark.parametrize("tail", ["infra", "supra", "total"])
def test_low_thresholds_have_an_expectation_too(tail):
    """Where the factor makes a deviation sure, all regions deviate with the chance 1 and not with 0 times infinity."""
    probability = count_distribution(82, tail, 0.5)
    assert probability.sum() == pytest.approx(1)
    nominal = 82 * stats.norm.cdf(-0.5) * (2 if tail == "total" else 1)
    assert expected_count(82, tail, 0.5).mean == pytest.approx(nominal, rel=1e-5)
