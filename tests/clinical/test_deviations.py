import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bids_app.clinical.deviations import count_distribution, count_table, expected_count, region_set
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
