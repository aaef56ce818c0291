"""Synthetic trees, what is read from them and how they are judged: no byte and no number moves unnoticed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from bids_app.freesurfer.check import check_subject
from bids_app.freesurfer.completeness import completeness_notes
from bids_app.freesurfer.quality import assess_quality
from bids_app.freesurfer.recon_command import expected_cost
from bids_app.freesurfer.synthetic import write_subject
from bids_app.freesurfer.volumes import extract_volumes
from tests.recorded import check_recorded, constants

PLANTED = {"Left-Thalamus": 6123.4, "rh_insula_volume": 7321.0, "Left-Lateral-Ventricle": 18000.5, "BrainSegVol": 1.1e6}
TREES = {
    "sub-01": {"volumes": PLANTED, "etiv": 1.43e6},
    "sub-02": {"volumes": {}, "etiv": 1.9e6, "fs_version": "6.0.0", "measures": {"SurfaceHoles": 80.0}},
    "sub-03_ses-1.long.sub-03": {"volumes": {}, "etiv": 1.3e6, "fs_version": "8.0.0", "thickness": {"lh_insula": 3.1}},
}


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("name", TREES)
def test_the_bytes_of_a_synthetic_tree_are_as_recorded(name, tmp_path):
    check_recorded(f"synthetic_{name}", digests(write_subject(tmp_path / name, **TREES[name])))


def read(folder: Path) -> dict:
    found = extract_volumes(folder)
    values = dict(zip(found.table["region"], found.table["volume_mm3"], strict=True))
    ranges = {"Left-Thalamus": (6500.0, 9000.0), "EstimatedTotalIntraCranialVol": (1.1e6, 1.8e6)}
    quality = assess_quality(found, ranges=ranges, other_sessions_etiv=(1.5e6, 1.52e6), z={"Left-Thalamus": -6.0})
    check = check_subject(folder)
    return {
        "table": found.table,
        "etiv": found.etiv_mm3,
        "version": found.fs_version,
        "atlases": found.other_atlases,
        "measures": found.measures,
        "inputs": list(found.inputs),
        "notes": found.notes,
        "quality": vars(quality),
        "alone": vars(assess_quality(found)),
        "check": {key: str(value).replace(str(folder.parent), "ROOT") for key, value in vars(check).items()},
        "complete": completeness_notes(values, "freesurfer"),
        "cut": completeness_notes(dict(list(values.items())[::2]), "fastsurfer"),
    }


@pytest.mark.parametrize("name", TREES)
def test_what_is_read_from_a_tree_is_as_recorded(name, tmp_path):
    check_recorded(f"read_{name}", read(write_subject(tmp_path / name, **TREES[name])))


def test_what_is_read_from_fastsurfer_is_as_recorded(fastsurfer):
    check_recorded("read_fastsurfer", read(fastsurfer))


def test_what_recon_all_costs_is_as_recorded():
    kinds = [
        (version, stream, n)
        for version in (None, "6.0.0", "7.4.1", "8.0.0")
        for stream in ("cross", "base", "long")
        for n in (1, 4)
    ]
    check_recorded("recon_costs", {"_".join(map(str, kind)): expected_cost(*kind)._asdict() for kind in kinds})


def test_limits_and_defaults_are_as_recorded():
    check_recorded("constants_freesurfer", constants("freesurfer"))
