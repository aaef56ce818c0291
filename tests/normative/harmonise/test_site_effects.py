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


def test_offsets_and_spread_are_those_of_the_method_of_moments():
    """DerSimonian and Laird by hand: two versions and one site of an unknown version."""
    rng = np.random.default_rng(4)
    sizes = {("6", "a"): 4, ("6", "b"): 9, ("6", "c"): 5, ("7", "d"): 7, ("7", "e"): 3, ("7", "f"): 6, ("", "g"): 8}
    sizes |= {("5", "h"): 4, ("5", "i"): 5}
    rows = {key: rng.normal(rng.normal(0, 0.8), 1, n) for key, n in sizes.items()}
    residuals = np.concatenate(list(rows.values()))[:, None]
    versions = [version for (version, _), n in sizes.items() for _ in range(n)]
    sites = [site for (_, site), n in sizes.items() for _ in range(n)]
    found = site_effects.estimate(residuals, sites, versions)
    within = sum(((values - values.mean()) ** 2).sum() for values in rows.values()) / (len(residuals) - len(rows))
    q = correction = freedom = 0.0
    for members in (("6",), ("7",), ("", "5")):
        some = [values for (version, _), values in rows.items() if version in members]
        w = np.array([len(values) / within for values in some])
        m = np.array([values.mean() for values in some])
        q += (w * (m - (w * m).sum() / w.sum()) ** 2).sum()
        correction += w.sum() - (w**2).sum() / w.sum()
        freedom += len(some) - 1
    variance = max(q - freedom, 0) / correction
    assert variance > 0
    assert found.site_sd[0] == pytest.approx(np.sqrt(variance))
    assert found.versions == ("6", "7")
    for i, version in enumerate(found.versions):
        some = [values for (known, _), values in rows.items() if known == version]
        w = np.array([1 / (within / len(values) + variance) for values in some])
        m = np.array([values.mean() for values in some])
        assert found.offsets[i, 0] == pytest.approx((w * m).sum() / w.sum())
        assert found.errors[i, 0] == pytest.approx(1 / np.sqrt(w.sum()))


def test_one_site_has_no_spread_and_one_person_per_site_is_no_division_by_nothing():
    one = site_effects.estimate(np.array([[0.5], [1.0], [0.2]]), ["a"] * 3, ["7"] * 3)
    assert (one.versions, one.site_sd.tolist()) == ((), [0.0])
    with np.errstate(divide="ignore", invalid="ignore"):
        assert site_effects._within_variance(np.ones((3, 1)), np.ones((3, 1)), np.arange(3)).tolist() == [0.0]
