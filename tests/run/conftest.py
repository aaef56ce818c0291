"""A small BIDS dataset with synthetic FreeSurfer subjects."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bids_app.freesurfer.synthetic import write_subject
from bids_app.normative.registry import load_model
from bids_app.run.config import RunConfig


@pytest.fixture(scope="session")
def model():
    return load_model("open-calibrated")


@pytest.fixture
def dataset(tmp_path) -> Path:
    """Four people: 01 and 02 (two sessions) complete, 03 without age, 04 without FreeSurfer output."""
    bids = tmp_path / "bids"
    bids.mkdir()
    (bids / "dataset_description.json").write_text(json.dumps({"Name": "test", "BIDSVersion": "1.9.0"}))
    (bids / "participants.tsv").write_text(
        "participant_id\tage\tsex\tgroup\nsub-01\t30\tF\tcontrol\nsub-02\t41\tM\tpatient\n"
        "sub-03\tn/a\tF\tcontrol\nsub-04\t50\tM\tpatient\n"
    )
    for place in ("sub-01", "sub-02/ses-1", "sub-02/ses-2", "sub-03", "sub-04"):
        (bids / place / "anat").mkdir(parents=True)
    ages = "session_id\tage\nses-1\t41\nses-2\t43\n"
    (bids / "sub-02" / "sub-02_sessions.tsv").write_text(ages)
    subjects = bids / "derivatives" / "freesurfer"
    for name in ("sub-01", "sub-02_ses-1", "sub-02_ses-2", "sub-03"):
        write_subject(subjects / name, {"Left-Thalamus": 7000.0}, etiv=1.5e6)
    return bids


@pytest.fixture
def config(dataset, tmp_path) -> RunConfig:
    return RunConfig(bids_dir=dataset, output_dir=tmp_path / "out", recon="ingest", nprocs=1, mem_mb=2000)
