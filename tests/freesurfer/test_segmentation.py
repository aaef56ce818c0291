"""Labels that SynthSeg does not have are not segmented, whatever says that it was SynthSeg; a volume is a volume."""

from __future__ import annotations

import pytest

from bids_app.freesurfer.segmentation import ATLAS, FILLED, SYNTHSEG, chosen, lacking, not_segmented, of_tree
from bids_app.freesurfer.synthetic import write_subject
from bids_app.freesurfer.volumes import extract_volumes, region_values
from bids_app.normative.plausible import impossible
from bids_app.regions import region_table

EMPTY = dict.fromkeys(lacking(SYNTHSEG), 0.0)
PARTLY = {"WM-hypointensities": 0.0}


def test_the_table_names_the_labels_that_the_scripts_write_as_rows_of_0():
    labels = set(region_table().loc[list(lacking(SYNTHSEG)), "label"])
    assert labels >= {30, 31, 62, 63, 72, 77, 80, 85}
    assert lacking(ATLAS) == ()


@pytest.mark.parametrize(
    ("version", "words", "environ", "expected"),
    [
        ("6.0.0", (), {}, ATLAS),
        ("7.4.1", (), {}, ATLAS),
        ("7.4.1", ("-synthseg",), {}, SYNTHSEG),
        ("7.4.1", (), {"FS_V8_XOPTS": "1"}, ATLAS),
        ("8.0.0-beta", (), {}, SYNTHSEG),
        ("8.1.0", (), {}, SYNTHSEG),
        ("8.1.0", (), {"FS_V8_XOPTS": "0"}, ATLAS),
        ("8.1.0", ("-synthseg",), {"FS_V8_XOPTS": "0"}, SYNTHSEG),
        ("8.1.0", ("-no-synthseg",), {}, ATLAS),
        ("8.1.0", ("-no-synthseg", "-synthseg"), {}, SYNTHSEG),
        ("10.0.0", (), {}, SYNTHSEG),
        (None, (), {}, ATLAS),
    ],
)
def test_version_options_and_environment_decide(version, words, environ, expected):
    assert chosen(version, words, environ) == expected


@pytest.mark.parametrize("volumes", [EMPTY, PARTLY])
@pytest.mark.parametrize("version", ["8.0.0", "8.1.0"])
def test_zeros_of_freesurfer_8_are_not_segmented(tmp_path, version, volumes):
    found = extract_volumes(write_subject(tmp_path / "sub-01", volumes, etiv=1.5e6, fs_version=version))
    assert "WM-hypointensities" in found.not_segmented
    assert "WM-hypointensities" not in region_values(found.table.itertuples(), found.measures)
    assert any("not segmented by SynthSeg" in note for note in found.notes)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("scripts/recon-all.env", "FS_V8_XOPTS=0\n"),
        ("scripts/recon-all.log", "-s sub-01 -all -no-synthseg\n"),
        ("scripts/recon-all.done", "SUBJECT sub-01\nCMDARGS -s sub-01 -all -no-v8\n"),
    ],
)
def test_freesurfer_8_told_to_use_the_atlas_has_its_labels(tmp_path, file, text):
    tree = write_subject(tmp_path / "sub-01", {"Optic-Chiasm": 0.0, **PARTLY}, etiv=1.5e6, fs_version="8.1.0")
    (tree / file).write_text(text)
    found = extract_volumes(tree)
    assert found.not_segmented == ()
    assert region_values(found.table.itertuples(), found.measures)["Optic-Chiasm"] == 0


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("scripts/recon-all.log", "-s sub-01 -all -synthseg\n"),
        ("scripts/recon-all.cmd", "\n mri_synthseg --i orig.mgz --o synthseg.rca.mgz\n"),
        ("mri/synthseg.rca.mgz", ""),
    ],
)
def test_synthseg_in_freesurfer_7_is_seen(tmp_path, file, text):
    tree = write_subject(tmp_path / "sub-01", PARTLY, etiv=1.5e6, fs_version="7.4.1")
    (tree / file).parent.mkdir(exist_ok=True)
    (tree / file).write_text(text)
    assert extract_volumes(tree).not_segmented


def test_all_labels_at_0_are_synthsegs_trace_without_any_log(tmp_path):
    tree = write_subject(tmp_path / "sub-01", EMPTY, etiv=1.5e6, fs_version="7.4.1")
    assert set(extract_volumes(tree).not_segmented) == set(lacking(SYNTHSEG))


def test_a_tree_with_hypointensities_and_choroid_plexus_was_segmented_by_the_atlas(tmp_path):
    tree = write_subject(tmp_path / "sub-01", {"Optic-Chiasm": 0.0}, etiv=1.5e6, fs_version="8.1.0")
    assert extract_volumes(tree).not_segmented == ()


def test_a_region_that_is_there_is_never_dropped():
    values = EMPTY | {"Left-vessel": 12.0}
    assert "Left-vessel" not in not_segmented(values, SYNTHSEG)


def test_no_hypointensities_at_all_are_impossible_for_an_atlas(tmp_path):
    import pandas as pd

    data = pd.DataFrame({"WM-hypointensities": [0.0, 108765.0, 210.0, float("nan")]})
    assert list(impossible(data)["WM-hypointensities"]) == [True, False, False, False]


def test_what_was_segmented_is_told_by_version_and_environment_alone():
    assert chosen("v8.1.0") == SYNTHSEG
    assert chosen("8.1.0", ("a", "-no-synthseg", "b"), None) == ATLAS
    assert chosen("7.9.9", ("-all",)) == ATLAS
    assert chosen("dev") == ATLAS


@pytest.mark.parametrize("absent", ["WM-hypointensities", "Left-choroid-plexus", "Right-choroid-plexus"])
def test_each_label_that_an_atlas_fills_tells(absent):
    filled = dict.fromkeys(FILLED, 1.0)
    assert not_segmented(filled, SYNTHSEG) == ()
    assert absent in not_segmented({**filled, absent: 0.0}, SYNTHSEG)
    assert absent in not_segmented({name: value for name, value in filled.items() if name != absent}, SYNTHSEG)


def test_so_many_rows_of_0_tell_where_none_has_a_volume():
    names = lacking(SYNTHSEG)
    assert not_segmented(dict.fromkeys(names[:2], 0.0), ATLAS) == ()
    assert not_segmented(dict.fromkeys(names[:3], 0.0), ATLAS) == names
    assert not_segmented(dict.fromkeys(names, 0.0) | {names[-1]: 0.5}, ATLAS) == ()
    assert not_segmented({}, ATLAS) == ()
    assert not_segmented({}, SYNTHSEG) == names


def test_the_signs_of_a_tree(tmp_path):
    assert of_tree(tmp_path, "7.4.1") == ATLAS
    assert of_tree(tmp_path, "8.1.0") == SYNTHSEG
    (tmp_path / "scripts").mkdir()
    log = tmp_path / "scripts" / "recon-all.log"
    log.write_text("FS_V8_XOPTS 0\n")
    assert of_tree(tmp_path, "8.1.0") == ATLAS
    log.write_text("FS_V8_XOPTS=1\n")
    assert of_tree(tmp_path, "8.1.0") == SYNTHSEG
    log.write_text(20_000 * " " + "-no-synthseg")
    assert of_tree(tmp_path, "8.1.0") == SYNTHSEG
    log.write_text(19_987 * " " + "-no-synthseg")
    assert of_tree(tmp_path, "8.1.0") == ATLAS
    (tmp_path / "scripts" / "recon-all.cmd").write_text("x mri_synthseg\n")
    assert of_tree(tmp_path, "7.4.1") == ATLAS
    (tmp_path / "scripts" / "recon-all.cmd").write_text("x\n  mri_synthseg --i\n")
    assert of_tree(tmp_path, "7.4.1") == SYNTHSEG
