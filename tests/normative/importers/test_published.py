"""The files as their authors publish them, where they are at hand: equal to R's and the authors' results."""

from __future__ import annotations

import tarfile
import zipfile

import numpy as np
import pandas as pd
import pytest

from bids_app.errors import ModelError
from bids_app.normative.engines.native_file import from_document, to_document
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
    with pytest.raises(ModelError, match="cnr, .*voxel"):
        import_nomis(folder)
    assumed = {"manufacturer": "siemens", "mfs": "3", "voxel": "1", "surfaceholes": "mean", "cnr": "mean"}
    model = import_nomis(folder, assumed)
    assert {"Left-Thalamus", "Right-Hippocampus", "Left-Putamen"} <= set(model.regions)
    z = np.clip(model.deviations(healthy).z, -5, 5)
    assert np.isfinite(z).all()
    assert np.abs(np.median(z, axis=0)).max() < 1.5
    assert 0.7 < np.median(z.std(axis=0)) < 1.3
