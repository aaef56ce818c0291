"""Synthetic subject directories: whole, labelled, deterministic, holding what was asked for."""

from __future__ import annotations

import pytest

from bids_app import regions
from bids_app.freesurfer.check import check_subject
from bids_app.freesurfer.synthetic import write_subject
from bids_app.freesurfer.volumes import extract_volumes


def test_the_volumes_asked_for_come_back_within_freesurfers_rounding(tmp_path):
    asked = {name: 1000.0 + 1.37 * i for i, name in enumerate(regions.names("reference", "extended"))}
    found = extract_volumes(write_subject(tmp_path / "sub-01", asked, etiv=1_432_109.87))
    read = dict(zip(found.table["region"], found.table["volume_mm3"]))
    for name, volume in asked.items():
        assert read[name] == pytest.approx(volume, abs=0.5 if name[:3] in ("lh_", "rh_") else 0.051)
    assert read[regions.ETIV] == 1_432_109.87


def test_globals_are_the_sums_of_their_parts(tmp_path):
    read = extract_volumes(write_subject(tmp_path / "sub-01", {}, etiv=1.5e6)).table.set_index("region")["volume_mm3"]
    left = read[[name for name in read.index if name.startswith("lh_")]].sum()
    assert read["lhCortexVol"] == pytest.approx(left, abs=34)
    assert read["CortexVol"] == read["lhCortexVol"] + read["rhCortexVol"]
    assert read["BrainSegVolNotVent"] < read["BrainSegVol"] < 0.9 * 1.5e6


def test_two_writes_give_the_same_bytes_and_say_that_they_are_synthetic(tmp_path):
    one, two = (write_subject(tmp_path / run / "sub-01", {"CSF": 900.0}, etiv=1.5e6) for run in ("a", "b"))
    files = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    assert files
    assert all((one / name).read_bytes() == (two / name).read_bytes() for name in files)
    assert (one / "SYNTHETIC").exists()
    assert "# SYNTHETIC" in (one / "stats" / "aseg.stats").read_text()
    assert any("synthetic" in note for note in extract_volumes(one).notes)
    assert check_subject(one, expected_subject="sub-01").usable


def test_unknown_regions_and_negative_volumes_are_refused(tmp_path):
    for wrong in ({"Left-Thalamus-Proper": 1.0}, {"Left-Thalamus": -1.0}):
        with pytest.raises(ValueError, match="synthetic"):
            write_subject(tmp_path / "sub-01", wrong, etiv=1.5e6)
