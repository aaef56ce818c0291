"""The demo dataset: synthetic, deterministic, and scored to its own truth."""

import hashlib
import json
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest

from bids_app.bids.covariates import read_covariates
from bids_app.bids.layout import find_scans
from bids_app.bids.names import bare
from bids_app.freesurfer.check import check_subject
from bids_app.freesurfer.volumes import extract_volumes
from bids_app.normative.registry import load_model
from bids_app.regions import ETIV, reference_regions
from bids_app.simulation.demo import make_demo
from bids_app.simulation.demo_people import PEOPLE
from bids_app.tables import read_table


@pytest.fixture(scope="module")
def model():
    return load_model("open-calibrated")


@pytest.fixture(scope="module")
def demo(model, tmp_path_factory):
    return make_demo(tmp_path_factory.mktemp("demo") / "bids", model)


def digests(root):
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_same_bytes_every_time(demo, model, tmp_path):
    again = make_demo(tmp_path / "elsewhere", model)
    assert digests(again.bids_dir) == digests(demo.bids_dir)


def test_another_seed_gives_other_people(demo, model, tmp_path):
    other = make_demo(tmp_path / "other", model, seed=1)
    assert other.truth.read_bytes() != demo.truth.read_bytes()


def test_who_is_in_it(demo):
    scans = find_scans(demo.bids_dir)
    covariates = read_covariates(demo.bids_dir, scans)
    people = covariates.groupby("participant_id").first()
    assert len(people) == 12
    assert len(scans) == 18
    assert (covariates["participant_id"].value_counts() == 3).sum() == 3
    assert covariates["problem"].isna().all()
    assert covariates["note"].isna().all()
    assert covariates["age"].min() < 10
    assert covariates["age"].max() > 78
    assert people["group"].value_counts().to_dict() == {"patient": 6, "control": 6}
    assert people["sex"].nunique() == 2
    patients = covariates["group"] == "patient"
    assert covariates.loc[patients, ["edss", "pasat", "fss", "disease_duration"]].notna().all(None)
    assert covariates.loc[~patients, "edss"].isna().all()


def test_every_scan_scores_its_truth(demo, model):
    truth = read_table(demo.truth)
    covariates = read_covariates(demo.bids_dir, find_scans(demo.bids_dir))
    left_out = covariates["participant_id"].map(lambda name: bare(name, "sub")).isin(demo.incomplete)
    complete = covariates[~left_out].to_dict("records")
    rows = []
    for row in complete:
        volumes = extract_volumes(demo.fs_subjects_dir / f"{row['participant_id']}_{row['session_id']}")
        measured = dict(zip(volumes.table["region"], volumes.table["volume_mm3"]))
        rows.append(
            {**measured, "age": row["age"], "sex": row["sex"], ETIV: volumes.etiv_mm3, "fs_version": volumes.fs_version}
        )
    scored = model.deviations(pd.DataFrame(rows))
    for row, z in zip(complete, scored.z, strict=True):
        mine = truth[(truth["participant_id"] == row["participant_id"]) & (truth["session_id"] == row["session_id"])]
        found = pd.Series(z, index=scored.regions)[mine["region"]].to_numpy()
        np.testing.assert_allclose(found, mine["z"], atol=0.02)
        assert set(mine["region"]) >= set(reference_regions())


def test_planted_deviations_are_in_the_truth(demo):
    truth = read_table(demo.truth).set_index(["participant_id", "session_id", "region"])
    assert truth.loc[("sub-01", "ses-1", "Left-Thalamus"), "z"] == -1.7
    assert truth.loc[("sub-01", "ses-3", "Left-Thalamus"), "z"] == pytest.approx(-3.3)
    planted = sum(len(person.planted) * person.n_sessions for person in PEOPLE)
    assert truth["planted"].sum() == planted


def test_one_run_is_incomplete_and_the_others_are_whole(demo):
    for folder in sorted(demo.fs_subjects_dir.glob("sub-*")):
        whole = folder.name.split("_")[0] not in {f"sub-{label}" for label in demo.incomplete}
        assert check_subject(folder, expected_subject=folder.name).usable == whole, folder.name
    assert len(demo.incomplete) == 1


def test_it_is_labelled_synthetic_everywhere(demo):
    for path in (
        "dataset_description.json",
        "README.md",
        "participants.json",
        "sub-01/ses-1/anat/sub-01_ses-1_T1w.json",
        "derivatives/freesurfer/README.md",
    ):
        assert "SYNTHETIC" in (demo.bids_dir / path).read_text(), path
    for stats in demo.fs_subjects_dir.glob("*/stats/*aparc.stats"):
        assert "SYNTHETIC" in stats.read_text()[:500]


def test_image_loads(demo):
    import nibabel as nib

    image = nib.load(demo.bids_dir / "sub-07/ses-1/anat/sub-07_ses-1_T1w.nii.gz")
    assert image.shape == (8, 8, 8)
    assert np.asarray(image.dataobj).max() == 100


def test_bids_validator_finds_no_error(demo):
    validator = shutil.which("bids-validator-deno")
    if validator is None:
        pytest.skip("bids-validator-deno is not installed")
    result = subprocess.run(
        [validator, str(demo.bids_dir), "-r", "--format", "json"], capture_output=True, text=True, check=False
    )
    report = json.loads(result.stdout)
    parts = [report, *report.get("derivativesSummary", {}).values()]
    errors = [issue for part in parts for issue in part["issues"]["issues"] if issue["severity"] == "error"]
    assert errors == []
