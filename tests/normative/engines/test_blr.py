"""The packaged second opinion: PCNtoolkit's own z from PCNtoolkit's own files."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pandas as pd
import pytest

from bids_app.errors import ModelError
from bids_app.normative.engines import blr
from bids_app.normative.registry import load_model, packaged_files
from bids_app.regions import ETIV, reference_regions


@pytest.fixture(scope="module")
def model():
    return load_model("open-blr")


@pytest.fixture(scope="module")
def people(model):
    rng = np.random.default_rng(5)
    n = 12
    known = pd.DataFrame(
        {
            "age": rng.uniform(8, 80, n),
            "sex": ["female", "male"] * (n // 2),
            ETIV: rng.uniform(1.2e6, 1.8e6, n),
            "site": rng.choice(model.sites, n),
            "fs_version": "7.3.2",
        }
    )
    volumes = model.volumes_at(known, rng.normal(0, 1, (n, len(model.regions))), model.regions)
    return pd.concat([known, pd.DataFrame(volumes, columns=list(model.regions))], axis=1)


def test_it_covers_the_reference_regions_in_a_small_file(model):
    assert set(model.regions) == set(reference_regions())
    assert packaged_files()["open-blr"].stat().st_size < 2_000_000


def test_volumes_at_a_z_score_that_z(model, people):
    z = np.linspace(-3, 3, people.shape[0])[:, None] + np.zeros((1, len(model.regions)))
    volumes = model.volumes_at(people, z, model.regions)
    again = model.deviations(people.assign(**dict(zip(model.regions, volumes.T))))
    np.testing.assert_allclose(again.z, z, atol=1e-9)


def test_an_unknown_site_is_scored_at_known_ones_of_its_freesurfer_version(model, people):
    row = people.iloc[[0]]
    seven = [site for site in model.sites if model.site_versions[site] == "7"][:20]
    at_each = [model.deviations(row.assign(site=site)).z[0] for site in seven]
    found = model.deviations(row.assign(site="elsewhere"))
    np.testing.assert_allclose(found.z[0], np.mean(at_each, axis=0), atol=1e-12)
    assert (found.z_se[0] > np.std(at_each, axis=0)).all()
    six = model.deviations(row.assign(site="elsewhere", fs_version="6.0.1"))
    thalamus = model.regions.index("Left-Thalamus")
    assert abs(six.z[0, thalamus] - found.z[0, thalamus]) > 0.2


def test_sites_of_one_version_differ_by_a_known_amount(model):
    spread = model.site_sd(("Left-Thalamus", "lh_insula_volume", "nothing"))
    assert (spread[:2] > 0.2).all()
    assert (spread[:2] < 0.8).all()
    assert np.isnan(spread[2])


@pytest.mark.slow
def test_its_z_is_what_pcntoolkit_computes_from_the_unpacked_archive(model, people, tmp_path):
    pytest.importorskip("pcntoolkit")
    zipfile.ZipFile(packaged_files()["open-blr"]).extractall(tmp_path)
    theirs = load_model(tmp_path).deviations(people)
    ours = model.deviations(people)
    assert ours.regions == theirs.regions
    for name in ("z", "z_se"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), atol=1e-10)
    np.testing.assert_allclose(ours.expected, theirs.expected, rtol=1e-10)


def test_a_damaged_archive_is_refused(tmp_path):
    path = tmp_path / "broken.zip"
    path.write_bytes(b"PK\x03\x04 not an archive")
    with pytest.raises(ModelError, match="damaged"):
        blr.load(path)


def test_an_archive_of_another_regression_is_refused(tmp_path):
    source = packaged_files()["open-blr"]
    path = tmp_path / "other.zip"
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
        for name in ("card.json", "model/normative_model.json", "model/Left-Thalamus/regression_model.json"):
            content = json.loads(old.read(name))
            if "model" in content:
                content["model"]["warp_name"] = "WarpBoxCox"
            new.writestr(name, json.dumps(content))
    with pytest.raises(ModelError, match="B-splines"):
        blr.load(path)
