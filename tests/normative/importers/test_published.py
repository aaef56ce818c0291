"""The files as their authors publish them, where they are at hand: equal to R's and the authors' results."""

from __future__ import annotations

import tarfile
import zipfile

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtri

from bids_app.errors import ModelError, UsageError
from bids_app.normative.engines.generalised_gamma import RESPONSE_SCALE, cumulative, log_age, quantile
from bids_app.normative.engines.native_file import from_document, to_document
from bids_app.normative.importers.brainchart import import_brainchart, read_fit
from bids_app.normative.importers.braincharts import import_braincharts
from bids_app.normative.importers.centilebrain import import_centilebrain
from bids_app.normative.importers.names import name_table
from bids_app.normative.importers.nomis import import_nomis
from bids_app.regions import ETIV

REGION = {row["published"]: row["region"] for row in name_table("centilebrain")}


@pytest.fixture(scope="module")
def published(shared):
    folder = shared / "data" / "published"
    if not folder.is_dir():
        pytest.skip("the published models (../shared/data/published) are not at hand")
    return folder


@pytest.fixture(scope="module")
def recorded(published):
    return pd.read_csv(published / "centilebrain_predictions.tsv", sep="\t")


def predicted(model, rows, etiv):
    """The model's expectation for every recorded row."""
    data = pd.DataFrame({"age": rows["age"], "sex": rows["sex"], ETIV: etiv}).reset_index(drop=True)
    for region in model.regions:
        data[region] = 1000.0
    found = model.deviations(data)
    columns = [found.regions.index(REGION[name]) for name in rows["region"]]
    return found.expected[np.arange(len(rows)), columns]


def test_centilebrain_without_global_measures_predicts_as_r_does(published, recorded):
    rows = recorded[recorded["model_set"] == "models_without_globalMeasures"]
    model = import_centilebrain(published / "centilebrain" / "models_without_globalMeasures")
    np.testing.assert_allclose(predicted(model, rows, 1.5e6), rows["prediction"], rtol=1e-8)
    for row in rows.drop_duplicates(["sex", "region"]).itertuples():
        fit = model.parameters_of(REGION[row.region]).fits[row.sex]
        assert (fit.rmse, fit.n) == (pytest.approx(row.rmse_from_deviance, rel=1e-8), row.n)
    assert any("male file holds no residuals" in text for text in model.card.limitations)
    assert not any("female file" in text for text in model.card.limitations)
    assert "does not use intracranial volume" in model.card.z_notes[0]
    assert from_document(to_document(model), "test") == model


def test_centred_centilebrain_is_refused_until_its_means_are_given(published, recorded, tmp_path):
    folder = published / "centilebrain" / "models"
    with pytest.raises(ModelError, match="mean-centred volumes"):
        import_centilebrain(folder)
    rows = recorded[(recorded["model_set"] == "models") & recorded["ICV_as_given_to_model"].between(-2e5, 2e5)]
    means = rows.drop_duplicates(["sex", "region"])[["sex", "region", "mean_y_of_set_without_global"]]
    means.columns = ["sex", "region", "K"]
    means.to_csv(tmp_path / "k.tsv", sep="\t", index=False)
    with pytest.raises(ModelError, match="mean-centred intracranial volumes"):
        import_centilebrain(folder, tmp_path / "k.tsv")
    means.assign(ICV=1.45e6).to_csv(tmp_path / "means.tsv", sep="\t", index=False)
    model = import_centilebrain(folder, tmp_path / "means.tsv")
    expected = rows["prediction"] + rows["mean_y_of_set_without_global"]
    np.testing.assert_allclose(
        predicted(model, rows, 1.45e6 + rows["ICV_as_given_to_model"]), expected, rtol=1e-8, atol=1e-5
    )


@pytest.fixture(scope="module")
def healthy(shared):
    table = pd.read_csv(shared / "data" / "reference" / "healthy.tsv.gz", sep="\t", low_memory=False)
    table = table[table["qc_flag"].isna() & table["fs_version"].astype(str).str.startswith("6")]
    return table.query("18 <= age <= 60").drop(columns="site").reset_index(drop=True)


def unpacked(archive, folder):
    """The members of a zip or tar file that the importer reads."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as packed:
            kept = {f"/{row['published']}/" for row in name_table("braincharts")}
            packed.extractall(folder, [name for name in packed.namelist() if any(part in name for part in kept)])
    else:
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
    return folder


def test_braincharts_files_with_their_list_of_sites(published, healthy, tmp_path):
    folder = unpacked(published / "braincharts" / "lifespan_57K_82sites.zip", tmp_path) / "lifespan_57K_82sites"
    model = import_braincharts(folder, published / "braincharts" / "site_ids_ct_82sites.txt")
    assert model.card.sites == len(model.sites) == 82
    assert {"Left-Thalamus", "Right-Hippocampus", "Left-Putamen"} <= set(model.regions)
    z = np.clip(model.deviations(healthy).z, -5, 5)
    assert np.isfinite(z).all()
    assert np.abs(np.median(z, axis=0)).max() < 1.5
    assert 0.7 < np.median(z.std(axis=0)) < 1.3


def test_nomis_files(published, healthy, tmp_path):
    folder = unpacked(published / "nomis" / "bin.tar.gz", tmp_path) / "bin"
    with pytest.raises(ModelError, match=r"cnr, .*voxel"):
        import_nomis(folder)
    assumed = {"manufacturer": "siemens", "mfs": "3", "voxel": "1", "surfaceholes": "mean", "cnr": "mean"}
    model = import_nomis(folder, assumed)
    assert {"Left-Thalamus", "Right-Hippocampus", "Left-Putamen"} <= set(model.regions)
    z = np.clip(model.deviations(healthy).z, -5, 5)
    assert np.isfinite(z).all()
    assert np.abs(np.median(z, axis=0)).max() < 1.5
    assert 0.7 < np.median(z.std(axis=0)) < 1.3


def test_every_recorded_row_of_brainchart_is_reproduced(published):
    table = pd.read_csv(published / "brainchart_predictions.tsv.gz", sep="\t")
    assert len(table) == 14080
    for file, rows in table.groupby("file"):
        fit = read_fit(published / "brainchart" / file)
        x, male = log_age(rows["age_years"].to_numpy(float)), (rows["sex"] == "Male").to_numpy(float)
        level = [0.0 if name == "MEAN" else fit.levels[name] for name in rows["fs_version"]]
        mu, sigma = np.exp(fit.mu.at(x, male) + level), np.exp(fit.sigma.at(x, male))
        np.testing.assert_allclose(mu, rows["mu"], rtol=1e-9)
        np.testing.assert_allclose(sigma, rows["sigma"], rtol=1e-9)
        np.testing.assert_allclose(fit.nu, rows["nu"], rtol=1e-9)
        for centile in (2.5, 25, 50, 75, 97.5):
            value = RESPONSE_SCALE * quantile(np.full(len(rows), ndtri(centile / 100)), mu, sigma, fit.nu)
            np.testing.assert_allclose(value, rows[f"c{centile:g}"], rtol=1e-9)
        z = cumulative(rows["sample"].to_numpy() / RESPONSE_SCALE, mu, sigma, fit.nu)
        np.testing.assert_allclose(z, rows["sample_z"], atol=1e-8)


def test_brainchart_becomes_a_model_of_bilateral_means(published, healthy):
    folder = published / "brainchart"
    model = import_brainchart(folder / "RefittedModels")
    assert {"mean_Hippocampus", "mean_bankssts", "mean_Thalamus", "CC_Central", "CortexVol"} <= set(model.regions)
    assert sum(name.startswith("mean_") for name in model.regions) >= 44
    assert model.card.licence == "CC-BY-NC-ND-4.0"
    assert "means of left and right" in model.card.z_notes[0]
    found = model.deviations(healthy)
    assert np.abs(np.nanmedian(found.z, axis=0)).max() < 1.5
    at = found.regions.index("mean_Hippocampus")
    sides = healthy["Left-Hippocampus"] + healthy["Right-Hippocampus"]
    np.testing.assert_allclose(found.observed[:, at], sides / 2)
    with pytest.raises(UsageError, match="FS9 is not a level"):
        import_brainchart(folder / "RefittedModels", "FS9")


def test_brainchart_without_names_of_levels_is_refused_until_their_mean_is_chosen(published):
    folder = published / "brainchart" / "OriginalModels"
    with pytest.raises(ModelError, match="do not name their levels"):
        import_brainchart(folder)
    assert "mean_bankssts" in import_brainchart(folder, "MEAN").regions
