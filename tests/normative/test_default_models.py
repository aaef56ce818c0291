"""The packaged models are what the training script makes, and healthy people they have not seen are ordinary."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest
from scipy.stats import skew

from bids_app.normative import fitting, training
from bids_app.normative.engines import native_file as model_file
from bids_app.normative.registry import load_model
from bids_app.normative.training_data import prepare
from bids_app.regions import add_asymmetry, reference_regions


@pytest.fixture(scope="module")
def healthy(shared):
    table = pd.read_csv(shared / "data" / "reference" / "healthy.tsv.gz", sep="\t", low_memory=False)
    return table[table["qc_flag"].isna()].reset_index(drop=True)


def script(repository):
    sys.path.insert(0, str(repository / "scripts"))
    try:
        import train_default_models
    finally:
        sys.path.pop(0)
    return train_default_models


@pytest.mark.slow
@pytest.mark.parametrize("name", ["open-reference", "open-calibrated"])
def test_the_script_makes_the_packaged_model(name, healthy, repository, tmp_path):
    script(repository).train(healthy, name, "2026-11-26", tmp_path)
    made, packaged = model_file.load(tmp_path / f"{name}.json"), load_model(name)
    assert made.card == packaged.card
    assert made.regions == packaged.regions
    sample = add_asymmetry(healthy.iloc[::40])
    np.testing.assert_allclose(made.deviations(sample).z, packaged.deviations(sample).z, atol=1e-4)


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
