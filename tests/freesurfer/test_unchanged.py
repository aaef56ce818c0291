"""A tree that was read before is known again by its bytes, and only that."""

import pytest

from bids_app.freesurfer.stats_folder import StatsFolder
from bids_app.freesurfer.synthetic import write_subject
from bids_app.freesurfer.unchanged import is_unchanged
from bids_app.freesurfer.volumes import read_volumes


@pytest.fixture
def tree(tmp_path):
    return write_subject(tmp_path / "sub-01", {"Left-Thalamus": 7000.0}, etiv=1.5e6)


def ask(tree, inputs, version="7.4.1", expected="sub-01"):
    return is_unchanged(StatsFolder(tree), inputs, version, expected)


def replaced(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_what_was_read_is_known_again(tree, monkeypatch):
    inputs = read_volumes(tree).inputs
    monkeypatch.setattr("bids_app.freesurfer.stats_folder.parse_stats", None)
    assert ask(tree, inputs)
    assert not ask(tree, inputs, version="6.0.1")
    assert not ask(tree, inputs, expected="sub-02")


@pytest.mark.parametrize("name", ["aseg.stats", "rh.aparc.stats", "brainvol.stats"])
def test_a_changed_or_absent_file_needs_a_closer_look(tree, name):
    inputs = read_volumes(tree).inputs
    path = tree / "stats" / name
    path.write_text(path.read_text() + "\n")
    assert not ask(tree, inputs)
    path.unlink()
    assert not ask(tree, inputs)


def test_a_new_atlas_needs_a_closer_look(tree):
    inputs = read_volumes(tree).inputs
    (tree / "stats/lh.aparc.DKTatlas.stats").write_text((tree / "stats/lh.aparc.stats").read_text())
    assert not ask(tree, inputs)


def test_a_name_of_somebody_else_in_any_file_needs_a_closer_look(tree):
    inputs = read_volumes(tree).inputs
    other = tree / "stats/wmparc.stats"
    other.write_text((tree / "stats/aseg.stats").read_text())
    assert ask(tree, inputs)
    replaced(other, "subjectname sub-01", "subjectname sub-02")
    assert not ask(tree, inputs)


def test_a_run_of_somebody_else_needs_a_closer_look(tree):
    inputs = read_volumes(tree).inputs
    (tree / "scripts/recon-all.done").write_text("SUBJECT sub-02\n")
    assert not ask(tree, inputs)


def test_a_version_that_only_the_build_stamp_tells_counts(tree):
    replaced(tree / "stats/aseg.stats", "cvs_version 7.4.1", "cvs_version $Id: mri_segstats.c $")
    (tree / "scripts/build-stamp.txt").write_text("freesurfer-linux-ubuntu22_x86_64-7.3.2-20220804\n")
    reading = read_volumes(tree)
    assert reading.fs_version == "7.3.2"
    assert ask(tree, reading.inputs, version="7.3.2")
    (tree / "scripts/build-stamp.txt").write_text("freesurfer-linux-ubuntu22_x86_64-7.2.0-20210720\n")
    assert not ask(tree, reading.inputs, version="7.3.2")
