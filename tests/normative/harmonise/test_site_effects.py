"""Differences between sites and FreeSurfer versions."""

from __future__ import annotations

import numpy as np
import pytest

from bids_app.normative.harmonise import site_effects


def simulated(offsets, site_sd, sites_per_version=40, people=30, seed=0):
    rng = np.random.default_rng(seed)
    residuals, sites, versions = [], [], []
    for version, offset in offsets.items():
        for s in range(sites_per_version):
            residuals.append(offset + rng.normal(0, site_sd) + rng.standard_normal((people, 1)))
            sites += [f"{version}-{s}"] * people
            versions += [version] * people
    return np.concatenate(residuals), sites, versions


def test_version_offsets_and_site_spread_are_recovered():
    effects = site_effects.estimate(*simulated({"6": -0.5, "7": 0.3}, 0.4))
    assert effects.versions == ("6", "7")
    np.testing.assert_allclose(effects.offsets[:, 0], [-0.5, 0.3], atol=0.2)
    np.testing.assert_allclose(effects.errors[:, 0], 0.4 / np.sqrt(40), rtol=0.3)
    assert effects.site_sd[0] == pytest.approx(0.4, abs=0.08)


def test_the_standard_error_covers_the_truth():
    inside = 0
    for seed in range(100):
        effects = site_effects.estimate(*simulated({"7": 0.2}, 0.3, sites_per_version=15, people=10, seed=seed))
        inside += abs(effects.offsets[0, 0] - 0.2) < 2 * effects.errors[0, 0]
    assert inside >= 88


def test_equal_sites_have_no_spread():
    effects = site_effects.estimate(*simulated({"7": 0.0}, 0.0, people=200))
    assert effects.site_sd[0] < 0.05


def test_a_version_with_fewer_than_three_sites_is_not_known():
    residuals, sites, versions = simulated({"6": 0.0, "7": 0.0}, 0.2, sites_per_version=2)
    effects = site_effects.estimate(residuals, sites, versions)
    assert effects.versions == ()
    assert np.isfinite(effects.site_sd).all()


def test_unknown_versions_count_for_the_spread_only():
    residuals, sites, _ = simulated({"7": 0.0}, 0.4)
    effects = site_effects.estimate(residuals, sites, [""] * len(sites))
    assert effects.versions == ()
    assert effects.site_sd[0] == pytest.approx(0.4, abs=0.1)


def test_offsets_without_evidence_are_taken_for_none_and_clear_ones_stay():
    effects = site_effects.SiteEffects(
        ("6", "7"), np.array([[0.5, 0.04], [-0.2, 0.0]]), np.array([[0.1, 0.05], [0.1, 0.05]]), np.full(2, 0.4)
    )
    np.testing.assert_allclose(effects.shrunk, [[0.5 * 0.96, 0.0], [-0.2 * 0.75, 0.0]])
