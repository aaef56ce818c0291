"""Scoring with the native model, and the inverse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from bids_app.errors import CovariateError, ModelError
from bids_app.normative.base import NormativeModel
from bids_app.normative.covariates import major_version
from bids_app.normative.engines import native as model_module
from bids_app.normative.registry import load_model
from bids_app.regions import ETIV, reference_regions
from tests.normative.simulated import covariates


@pytest.fixture(scope="module")
def calibrated():
    return load_model("open-calibrated")


@pytest.fixture(scope="module")
def reference():
    return load_model("open-reference")


def at(model, z, n=40, regions=None, **columns):
    """People with deviation `z` in every region."""
    regions = regions or model.regions
    table = covariates(n, seed=1, low=8).assign(**columns)
    volumes = model.volumes_at(table, np.full((n, len(regions)), float(z)), regions)
    return table.join(pd.DataFrame(volumes, columns=list(regions)))


@pytest.mark.parametrize("name", ["open-calibrated", "open-reference"])
@pytest.mark.parametrize("z", [-6.0, -1.96, 0.0, 3.0])
@pytest.mark.parametrize("version", [None, "6.0.1", "7.4.1"])
def test_volumes_at_is_the_inverse_of_deviations(name, z, version):
    model = load_model(name)
    logarithmic = {r.name for r in model.region_models if r.transform == "log"}
    regions = tuple(r for r in model.regions if z > -3 or r not in logarithmic)
    found = model.deviations(at(model, z, regions=regions, fs_version=version))
    np.testing.assert_allclose(found.z, z, atol=1e-6)
    np.testing.assert_allclose(found.centile, 100 * norm.cdf(z), atol=1e-4)


def test_models_keep_the_protocol(calibrated, reference):
    assert isinstance(calibrated, NormativeModel)
    assert isinstance(reference, NormativeModel)


def test_expected_is_the_median(calibrated):
    table = at(calibrated, -1.0, fs_version="7.4.1")
    found = calibrated.deviations(table)
    np.testing.assert_allclose(found.expected, calibrated.volumes_at(table, np.zeros(found.z.shape), found.regions))


def test_extreme_volumes_have_finite_ordered_z(calibrated):
    table = covariates(5, seed=2)
    table["Left-Thalamus"] = [0.0, 1.0, 1e3, 1e5, 1e8]
    table[["age", "sex", ETIV]] = [30.0, "male", 1.6e6]
    z = calibrated.deviations(table).z[:, 0]
    assert np.isfinite(z).all()
    assert (np.diff(z) > 0).all()


def test_zero_volume_of_a_log_region_is_taken_as_one_cubic_millimetre(calibrated):
    table = covariates(2, seed=2).assign(**{"Left-Lateral-Ventricle": [0.0, 1.0]})
    table["age"], table["sex"], table[ETIV] = 30.0, "female", 1.4e6
    z = calibrated.deviations(table).z[:, 0]
    assert z[0] == z[1] < -5


def test_reference_z_is_the_residual_over_the_own_sex_rmse(reference):
    region = reference.region_models[0]
    table = at(reference, 0.0)[["age", "sex", ETIV, region.name]]
    observed = table[region.name] + 1000.0
    found = reference.deviations(table.assign(**{region.name: observed}))
    rmse = table["sex"].map({sex: fit.rmse for sex, fit in region.fits.items()})
    np.testing.assert_allclose(found.z[:, 0], 1000 / rmse, rtol=1e-9)


def test_reference_compat_divides_by_the_male_rmse_and_says_so(reference):
    compat = reference.with_scoring("reference-compat")
    table = at(reference, -2.0)
    own, published = reference.deviations(table), compat.deviations(table)
    women = (table["sex"] == "female").to_numpy()
    ratio = np.array([r.fits["female"].rmse / r.fits["male"].rmse for r in reference.region_models])
    np.testing.assert_allclose(published.z[women], own.z[women] * ratio)
    np.testing.assert_allclose(published.z[~women], own.z[~women])
    assert compat.card.scoring == "reference-compat"
    assert any("reference-compat" in note for note in compat.card.z_notes)
    assert compat.with_scoring("own-sex") == reference


def test_reference_compat_of_a_calibrated_model_is_refused(calibrated):
    with pytest.raises(ModelError, match="reference mode"):
        calibrated.with_scoring("reference-compat")
    with pytest.raises(ModelError, match="unknown scoring"):
        calibrated.with_scoring("z")


def test_age_out_of_range_is_flagged_and_scored_at_the_end_of_the_range(calibrated):
    inside = pd.DataFrame({"age": [88.0], "sex": ["male"], ETIV: [1.6e6], "Left-Thalamus": [6500.0]})
    outside = inside.assign(age=97.0)
    a, b = calibrated.deviations(inside), calibrated.deviations(outside)
    assert a.in_range.all()
    assert not b.in_range.any()
    assert b.z[0, 0] == pytest.approx(a.z[0, 0])
    assert "97.0" in b.notes[0]
    assert "88" in b.notes[0]


def test_extreme_etiv_is_flagged(calibrated):
    found = calibrated.deviations(
        pd.DataFrame({"age": [30.0], "sex": ["female"], ETIV: [2.6e6], "Left-Thalamus": [6500.0]})
    )
    assert not found.in_range.any()
    assert "2600 cm^3" in found.notes[0]


@pytest.mark.parametrize(
    ("column", "value"), [("age", np.nan), ("sex", "other"), (ETIV, np.nan), (ETIV, 0.0), ("sex", None)]
)
def test_a_person_without_a_covariate_is_not_scored_and_the_others_are(calibrated, column, value):
    table = at(calibrated, 0.0, n=3, regions=("Left-Thalamus",)).astype({"sex": object})
    table.loc[1, column] = value
    found = calibrated.deviations(table)
    assert list(np.isnan(found.z[:, 0])) == [False, True, False]
    assert found.notes[1].startswith("not scored")
    assert not found.in_range[1].any()


def test_a_missing_volume_is_missing_and_no_more(calibrated):
    table = at(calibrated, 0.0, n=2, regions=("Left-Thalamus", "Left-Caudate"))
    table.loc[0, "Left-Caudate"] = np.nan
    np.testing.assert_array_equal(np.isnan(calibrated.deviations(table).z), [[False, True], [False, False]])


def test_a_missing_column_is_an_error_in_words(calibrated):
    with pytest.raises(CovariateError, match="no column sex"):
        calibrated.deviations(pd.DataFrame({"age": [1.0], ETIV: [1.0], "Left-Thalamus": [1.0]}))
    with pytest.raises(ModelError, match="none of the"):
        calibrated.deviations(pd.DataFrame({"age": [1.0], ETIV: [1.0], "sex": ["male"], "thalamus": [1.0]}))


@pytest.mark.parametrize(
    ("version", "major"),
    [
        ("7.4.1", "7"),
        ("6.0.x", "6"),
        ("freesurfer-linux-centos7_x86_64-7.4.1-20230614-7eb8460", "7"),
        ("v5.3.0", "5"),
        (None, ""),
        (np.nan, ""),
        ("dev", ""),
        (7, "7"),
    ],
)
def test_major_version(version, major):
    assert major_version(version) == major


def test_a_known_version_moves_z_by_its_offset_and_an_unknown_one_is_noted(calibrated):
    base = at(calibrated, 0.0, n=4, regions=("Left-Thalamus",))
    table = base.assign(fs_version=["6.0.1", "7.4.1", "5.3.0", None])
    table[["age", "sex", ETIV, "Left-Thalamus"]] = [30.0, "female", 1.4e6, 7000.0]
    found = calibrated.deviations(table)
    region = calibrated.region_models[calibrated.regions.index("Left-Thalamus")]
    assert found.z[0, 0] > found.z[2, 0] > found.z[1, 0]
    assert region.versions["6"][0] < 0 < region.versions["7"][0]
    assert found.z[2, 0] == found.z[3, 0]
    assert "FreeSurfer 5 is not among" in found.notes[2]
    assert "not given" in found.notes[3]
    assert found.notes[0] == found.notes[1] == ""


class Shifted:
    """An adaptation that has measured a shift of half a standard deviation."""

    def parameters(self, data, regions):
        shape = (len(data), len(regions))
        return np.full(shape, 0.5), np.full(shape, 1.25), np.full(shape, 0.1)


def test_adaptation_acts_on_z_and_replaces_the_uncertainty_between_sites(calibrated):
    table = at(calibrated, -2.0, regions=reference_regions(), fs_version="7.4.1")
    raw, adapted = calibrated.deviations(table), calibrated.deviations(table, Shifted())
    np.testing.assert_allclose(adapted.z, (raw.z - 0.5) / 1.25)
    assert (adapted.z_se < raw.z_se).all()
    assert (adapted.z_se > 0.1 / 1.25).all()
    half = np.full(raw.z.shape, 0.5)
    np.testing.assert_allclose(adapted.expected, calibrated.volumes_at(table, half, raw.regions))
    back = calibrated.volumes_at(table, adapted.z, raw.regions, Shifted())
    np.testing.assert_allclose(back, adapted.observed, rtol=1e-9)


def test_standard_error_grows_where_people_are_few(calibrated):
    table = pd.DataFrame({"age": [25.0, 86.0], "sex": "male", ETIV: 1.6e6, "fs_version": "7.4.1"})
    regions = ("Left-Thalamus",)
    table["Left-Thalamus"] = calibrated.volumes_at(table, np.zeros((2, 1)), regions)

    class Known:
        def parameters(self, data, names):
            return np.zeros((2, 1)), np.ones((2, 1)), np.zeros((2, 1))

    se = calibrated.deviations(table, Known()).z_se[:, 0]
    assert se[0] < 0.06
    assert se[1] > 3 * se[0]


def test_chunks_change_nothing(calibrated, monkeypatch):
    table = at(calibrated, -1.0, n=57)
    whole = calibrated.deviations(table)
    monkeypatch.setattr(model_module, "CHUNK_CELLS", 159 * 10)
    np.testing.assert_array_equal(calibrated.deviations(table).z, whole.z)


def test_subset_scores_the_same(calibrated):
    some = calibrated.subset(("Left-Thalamus", "lh_insula_volume"))
    table = at(calibrated, 1.0)
    names = list(calibrated.regions)
    z = calibrated.deviations(table).z[:, [names.index(r) for r in some.regions]]
    np.testing.assert_allclose(some.deviations(table).z, z, rtol=1e-12)


def test_the_row_order_does_not_matter(calibrated):
    table = at(calibrated, -1.0, n=20)
    shuffled = table.sample(frac=1, random_state=0)
    z = pd.DataFrame(calibrated.deviations(shuffled).z, index=shuffled.index).loc[table.index]
    np.testing.assert_array_equal(z, calibrated.deviations(table).z)


def test_ranges_and_counts_for_quality_checks(calibrated):
    assert calibrated.parameters_of("Left-Thalamus").fits["female"].age_range == (3.5, 82.0)
    low, high = calibrated.parameters_of("Left-Lateral-Ventricle").fits["male"].volume_range
    assert 500 < low < 5000 < high < 60_000
    expected = calibrated.expected_counts(82, "female")
    assert 1 < expected["n_infra"]["mean"] < 3
    assert replace(calibrated, counts=None).expected_counts(82, "female") is None
    unadapted = calibrated.expected_counts(82, "female", adapted=False)
    assert unadapted["n_total"]["mean"] > calibrated.expected_counts(82, "female")["n_total"]["mean"]
    assert 0.2 < calibrated.site_sd(("Left-Thalamus",))[0] < 0.9


def test_ages_with_few_training_people_are_noted(calibrated):
    table = pd.DataFrame(
        {"age": [84.0, 70.0], "sex": "male", ETIV: 1.6e6, "fs_version": "7.4.1", "Left-Thalamus": 6000.0}
    )
    found = calibrated.deviations(table)
    assert found.in_range.all()
    assert found.notes[0].startswith("only 7 male people of 80-89 years")
    assert found.notes[1] == ""
