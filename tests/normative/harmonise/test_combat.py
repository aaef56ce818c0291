"""ComBat against R neuroCombat, and its behaviour on new people and new sites."""

import numpy as np
import pandas as pd
import pytest

from bids_app.errors import InputError, UsageError
from bids_app.normative.harmonise import combat as combat_module
from bids_app.normative.harmonise.combat import Combat
from bids_app.regions import ETIV, reference_regions


@pytest.fixture
def two_sites():
    rng = np.random.default_rng(1)
    sites = np.repeat(["a", "b"], 60)
    age = rng.uniform(20, 80, 120)
    shift, spread = rng.normal(0, 3, 20), rng.uniform(1.5, 2.5, 20)
    noise = rng.normal(size=(120, 20))
    noise[sites == "b"] = shift + spread * noise[sites == "b"]
    return 100 - 0.1 * age[:, None] + noise, sites, age[:, None]


@pytest.mark.shared
@pytest.mark.parametrize(("mean_only", "name"), [(True, "mean_only"), (False, "full")])
def test_equals_neurocombat(shared, mean_only, name):
    table = pd.read_csv(shared / "data/reference/healthy.tsv.gz", sep="\t", low_memory=False)
    table = table[table["qc_flag"].isna()].reset_index(drop=True)
    table = table[table.groupby("site")["site"].transform("size") > 1]
    covariates = np.column_stack([table["age"], table["sex"] == "male"])
    features = table[[ETIV, *reference_regions()]]
    harmonised = Combat(mean_only=mean_only).fit_transform(features, table["site"], covariates)
    expected = pd.read_csv(shared / f"parity/combat/{name}.tsv", sep="\t").set_index("row")
    position = table.index.get_indexer(expected.index)
    np.testing.assert_allclose(harmonised[position], expected.to_numpy(), rtol=1e-8)


def test_removes_shift_and_scale_and_keeps_the_age_effect(two_sites):
    features, sites, age = two_sites
    out = Combat().fit_transform(features, sites, age)
    residual = out - 100 + 0.1 * age
    gap = residual[sites == "a"].mean(0) - residual[sites == "b"].mean(0)
    ratio = residual[sites == "a"].std(0) / residual[sites == "b"].std(0)
    assert np.abs(gap).mean() < 0.2
    assert abs(np.log(ratio).mean()) < 0.1
    slope = np.polyfit(age[:, 0], out.mean(1), 1)[0]
    assert slope == pytest.approx(-0.1, abs=0.01)


def test_preserves_a_curved_age_effect_when_its_basis_is_given():
    rng = np.random.default_rng(2)
    # Ages differ between sites, so that a straight line would take curvature for a site effect.
    age = np.concatenate([rng.uniform(10, 30, 300), rng.uniform(25, 80, 300)])
    sites = np.repeat([1, 2], 300)
    curve = -0.02 * (age - 40) ** 2
    features = curve[:, None] + rng.normal(0, 1, (600, 10))
    straight = Combat().fit_transform(features, sites, age)
    curved = Combat().fit_transform(features, sites, np.column_stack([age, age**2]))
    assert np.abs(curved.mean(1) - curve).mean() < 0.5 * np.abs(straight.mean(1) - curve).mean()


def test_new_people_at_known_sites_get_the_same_correction(two_sites):
    features, sites, age = two_sites
    combat = Combat().fit(features, sites, age)
    whole = combat.transform(features, sites, age)
    two = combat.transform(features[[70, 3]], sites[[70, 3]], age[[70, 3]])
    np.testing.assert_allclose(two, whole[[70, 3]])


def test_an_unseen_site_is_named(two_sites):
    features, sites, age = two_sites
    combat = Combat().fit(features, sites, age)
    with pytest.raises(InputError, match="scanner-x"):
        combat.transform(features[:1], ["scanner-x"], age[:1])


def test_a_single_person_site_is_refused_unless_mean_only(two_sites):
    features, sites, age = two_sites
    sites = sites.copy()
    sites[0] = "c"
    with pytest.raises(InputError, match="site\\(s\\) c have one person"):
        Combat().fit(features, sites, age)
    assert np.isfinite(Combat(mean_only=True).fit_transform(features, sites, age)).all()


def test_missing_values_constant_features_and_dependent_covariates_are_refused(two_sites):
    features, sites, age = two_sites
    broken = features.copy()
    broken[0, 0] = np.nan
    with pytest.raises(InputError, match="missing"):
        Combat().fit(broken, sites, age)
    with pytest.raises(InputError, match="depend on each other"):
        Combat().fit(features, sites, np.column_stack([age, 2 * age]))
    with pytest.raises(InputError, match="constant within"):
        Combat().fit(features, sites, (sites == "a").astype(float))
    constant = features.copy()
    constant[:, 1] = 5
    with pytest.raises(InputError, match="does not vary"):
        Combat().fit(constant, sites, age)


def test_transform_before_fit_says_so(two_sites):
    with pytest.raises(UsageError, match="call fit"):
        Combat().transform(*two_sites)


def test_without_covariates_shift_and_scale_are_removed_around_the_grand_mean(two_sites):
    features, sites, _ = two_sites
    combat = Combat().fit(features, sites)
    assert combat.coefficients_.shape == (0, 20)
    codes = (sites == "b").astype(int)
    means = np.array([features[codes == site].mean(axis=0) for site in (0, 1)])
    sd = np.sqrt(np.mean((features - means[codes]) ** 2, axis=0))
    grand = features.mean(axis=0)
    np.testing.assert_allclose(combat.grand_mean_, grand)
    np.testing.assert_allclose(combat.pooled_sd_, sd)
    np.testing.assert_allclose(combat.gamma_hat_, (means - grand) / sd)
    cleaned = features - grand - sd * combat.gamma_star_[codes]
    np.testing.assert_allclose(
        combat.transform(features, sites), grand + cleaned / np.sqrt(combat.delta_star_)[codes], rtol=1e-12
    )


def test_the_mean_only_shrinks_as_if_a_site_were_one_observation(two_sites):
    features, sites, age = two_sites
    combat = Combat(mean_only=True).fit(features, sites, age)
    prior, variance = combat.gamma_hat_.mean(axis=1), combat.gamma_hat_.var(axis=1, ddof=1)
    expected = (variance[:, None] * combat.gamma_hat_ + prior[:, None]) / (variance[:, None] + 1)
    np.testing.assert_allclose(combat.gamma_star_, expected)
    assert (combat.delta_hat_ == 1).all()
    assert (combat.delta_star_ == 1).all()
    assert combat.counts_.tolist() == [60, 60]


def test_each_other_width_is_refused(two_sites):
    features, sites, age = two_sites
    combat = Combat().fit(features, sites, age)
    for other, covariates in ((features[:, :5], age), (features, np.column_stack([age, age**2])), (features, None)):
        with pytest.raises(InputError, match="columns that the fit had"):
            combat.transform(other, sites, covariates)


def test_each_other_number_of_rows_is_refused(two_sites):
    features, sites, age = two_sites
    for wrong in ((features[:-1], sites, age), (features, sites[:-1], age), (features, sites, age[:-1])):
        with pytest.raises(InputError, match="one row per scan"):
            Combat().fit(*wrong)
    with pytest.raises(InputError, match="one row per scan"):
        Combat().fit(features[:, 0], sites, age)
    with pytest.raises(InputError, match="must be finite"):
        Combat().fit(features, sites, np.where(age == age[0], np.inf, age))


def test_too_few_sites_or_features_are_refused(two_sites):
    features, sites, age = two_sites
    with pytest.raises(InputError, match="at least two sites"):
        Combat().fit(features, np.full(120, "a"), age)
    with pytest.raises(InputError, match="at least two of them"):
        Combat().fit(features[:, :1], sites, age)
    assert np.isfinite(Combat().fit_transform(features[:, :2], sites, age[:, 0])).all()
    two = np.where(np.arange(120) < 2, "c", sites)
    assert Combat().fit(features, two, age).counts_.tolist() == [58, 60, 2]


def test_the_search_stops_where_nothing_changes(two_sites, monkeypatch):
    features, sites, age = two_sites
    steps = []
    real = combat_module._posterior_mean
    monkeypatch.setattr(combat_module, "CONVERGENCE", 0.0)
    monkeypatch.setattr(combat_module, "_posterior_mean", lambda *given: steps.append(1) or real(*given))
    Combat().fit(features, sites, age)
    assert len(steps) < combat_module.MAX_ITERATIONS


def test_rows_are_transformed_the_same_in_chunks(two_sites, monkeypatch):
    features, sites, age = two_sites
    combat = Combat().fit(features, sites, age)
    whole = combat.transform(features, sites, age)
    monkeypatch.setattr(combat_module, "CHUNK", 7)
    np.testing.assert_array_equal(combat.transform(features, sites, age), whole)
