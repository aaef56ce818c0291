"""Counts of deviations in healthy people."""

from __future__ import annotations

import numpy as np

from bids_app.normative.reference_counts import ReferenceCounts, count_deviations


def test_both_limits_count():
    z = np.array([[-1.96, 1.96, 0.0], [-1.95, 3.0, 2.0]])
    counts = count_deviations(z, ["female", "male"])
    assert counts.histograms["female"] == {"n_infra": (0, 1), "n_supra": (0, 1), "n_total": (0, 0, 1)}
    assert counts.histograms["male"] == {"n_infra": (1,), "n_supra": (0, 0, 1), "n_total": (0, 0, 1)}


def test_expected_counts_are_mean_and_central_95_percent():
    z = np.random.default_rng(0).standard_normal((20_000, 82))
    expected = count_deviations(z, ["female"] * 20_000).expected(82, "female")
    assert abs(expected["n_infra"]["mean"] - 82 * 0.025) < 0.03
    assert expected["n_infra"]["low"] == 0
    assert expected["n_infra"]["high"] == 5
    assert abs(expected["n_total"]["mean"] - 82 * 0.05) < 0.05


def test_fewer_regions_are_taken_in_proportion():
    counts = ReferenceCounts(82, {"male": dict.fromkeys(("n_infra", "n_supra", "n_total"), (0, 0, 10))})
    assert counts.expected(41, "male")["n_infra"] == {"mean": 1.0, "low": 1.0, "high": 1.0}


def test_an_unknown_sex_has_no_expectation():
    assert ReferenceCounts(82, {}).expected(82, "male") is None
    assert ReferenceCounts(82, {}).expected(82, "male", adapted=False) is None


def test_json_round_trip():
    counts = count_deviations(np.random.default_rng(1).standard_normal((50, 82)), ["female"] * 50)
    assert ReferenceCounts.from_json(counts.to_json()) == counts
