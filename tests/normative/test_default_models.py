"""The packaged models are what the training script makes, and healthy people they have not seen are ordinary."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest
from scipy.stats import skew

from bids_app.errors import CovariateError
from bids_app.normative import fitting, training
from bids_app.normative.engines import native_file as model_file
from bids_app.normative.note_findings import note_findings
from bids_app.normative.registry import load_model
from bids_app.normative.surfaces import surface_failures
from bids_app.normative.training_data import prepare
from bids_app.regions import ETIV, add_asymmetry, add_pair_measures, counted_regions, measured_names, reference_regions

DATE = "2026-11-28"


@pytest.fixture(scope="module")
def healthy(shared):
    table = pd.read_csv(shared / "data" / "reference" / "healthy.tsv.gz", sep="\t", low_memory=False)
    return table[table["qc_flag"].isna()].reset_index(drop=True)


@pytest.fixture(scope="module")
def surfaces(shared, healthy):
    table = pd.read_csv(shared / "data" / "reference" / "surface.tsv.gz", sep="\t")
    return healthy.merge(table, on=["participant_id", "site"], how="left")


def script(repository):
    sys.path.insert(0, str(repository / "scripts"))
    try:
        import train_default_models
    finally:
        sys.path.pop(0)
    return train_default_models


@pytest.mark.slow
@pytest.mark.parametrize("name", ["open-reference", "open-calibrated", "open-sums"])
def test_the_script_makes_the_packaged_model(name, healthy, repository, tmp_path):
    script(repository).train(healthy, name, DATE, tmp_path)
    made, packaged = model_file.load(tmp_path / f"{name}.json"), load_model(name)
    assert made.card == packaged.card
    assert made.regions == packaged.regions
    sample = add_pair_measures(add_asymmetry(healthy.iloc[::40]), made.regions)
    np.testing.assert_allclose(made.deviations(sample).z, packaged.deviations(sample).z, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["open-thickness", "open-area"])
def test_the_script_makes_the_packaged_model_of_surfaces(name, surfaces, repository, tmp_path):
    script(repository).train(surfaces, name, DATE, tmp_path)
    made, shipped = model_file.load(tmp_path / f"{name}.json"), load_model(name)
    assert made.card == shipped.card
    assert made.counts == shipped.counts
    sample = surfaces.iloc[::40]
    np.testing.assert_allclose(made.deviations(sample).z, shipped.deviations(sample).z, atol=1e-4)


@pytest.mark.parametrize(("name", "measure"), [("open-thickness", "thickness"), ("open-area", "area")])
def test_models_of_surfaces_are_small_and_know_their_own_counts(name, measure, repository):
    model = load_model(name)
    assert (repository / "bids_app" / "data" / "models" / f"{name}.json").stat().st_size < 300_000
    assert set(model.regions) == set(measured_names(measure))
    assert model.needs_etiv == (measure == "area")
    assert model.expected_counts(68, "female", measure=measure)["n_total"]["mean"] == pytest.approx(3.4, abs=0.4)
    assert model.expected_counts(68, "female") is None


def test_thickness_is_scored_without_intracranial_volume(surfaces):
    model, rows = load_model("open-thickness"), surfaces.iloc[::200]
    found = model.deviations(rows.drop(columns=ETIV))
    np.testing.assert_array_equal(found.z, model.deviations(rows).z)
    with pytest.raises(CovariateError, match="has no column Estimated"):
        load_model("open-area").deviations(rows.drop(columns=ETIV))


def test_surfaces_that_failed_are_the_known_ones(surfaces):
    failed = surfaces.loc[surface_failures(surfaces), "participant_id"]
    assert set(failed) == {"ds004056_sub-14", "IXIHH_IXI274-HH-2294", "IXIHH_IXI383-HH-2099", "IXIHH_IXI646-HH-2653"}
    notes = load_model("open-thickness").deviations(surfaces[surfaces["participant_id"].isin(failed)]).notes
    assert sum("surfaces-failed" in [found.kind for found in note_findings([note])] for note in notes) >= 3


@pytest.mark.slow
@pytest.mark.parametrize("measure", ["thickness", "area"])
def test_healthy_surfaces_that_the_model_has_not_seen_are_ordinary(measure, surfaces):
    options = {"logarithms": True, "min_per_site": 2, "min_per_sex": 30, "uses_etiv": measure == "area"}
    data = prepare(surfaces, counted_regions(measure), **options)
    z = fitting.out_of_fold(data, "calibrated", "location", corrected=True)
    assert np.abs(skew(z)).mean() < 0.10
    assert 0.020 < np.mean(z < -1.96) < 0.030
    assert 0.020 < np.mean(z > 1.96) < 0.030


def test_reference_powers_are_those_of_the_study_method(healthy):
    model = load_model("open-reference")
    assert model.card.mode == "reference"
    assert all(
        fit.etiv_power == 1 and fit.sigma is None and fit.shape is None
        for region in model.region_models
        for fit in region.fits.values()
    )


@pytest.mark.slow
def test_healthy_people_that_the_model_has_not_seen_are_ordinary(healthy):
    data = prepare(healthy, reference_regions(), logarithms=True, min_per_site=2, min_per_sex=30)
    z = fitting.out_of_fold(data, "calibrated", "location", corrected=True)
    assert np.isfinite(z).all()
    assert np.abs(skew(z)).mean() < 0.10
    assert 0.045 < np.mean(np.abs(z) > 1.96) < 0.055
    assert 0.020 < np.mean(z < -1.96) < 0.030
    assert 0.020 < np.mean(z > 1.96) < 0.030


@pytest.mark.slow
def test_left_out_sites_are_scored_with_their_version_only(healthy):
    data = prepare(healthy, reference_regions(), logarithms=True, min_per_site=2, min_per_sex=30)
    z = training.new_site_z(data, "calibrated", "location", 1.03)
    majors = data.table["fs_version"].str[0]
    for version in ("6", "7"):
        assert abs(z[majors == version].mean()) < 0.12
    assert 1.0 < z.std() < 1.2


def test_versions_differ_in_the_thalamus_as_known(healthy):
    model = load_model("open-calibrated")
    thalamus = model.region_models[model.regions.index("Left-Thalamus")]
    assert 0.3 < thalamus.versions["7"][0] - thalamus.versions["6"][0] < 1.2
