"""Filters and kept indices are data: what is wrong with them is a sentence."""

from __future__ import annotations

import json
import sqlite3

import pytest
from bids.layout import Query

from bids_app.bids.layout import find_scans
from bids_app.bids.query import find_images, read_filters
from bids_app.errors import UsageError

FILES = {"sub-01/anat/sub-01_T1w.nii.gz": "", "sub-02/anat/sub-02_T1w.nii.gz": ""}


def test_an_index_that_holds_code_is_refused(make_dataset, tmp_path):
    bids, index, mark = make_dataset(FILES), tmp_path / "index", tmp_path / "mark"
    find_scans(bids, database_dir=index)
    database = next(path for path in index.rglob("*") if path.is_file() and path.read_bytes()[:6] == b"SQLite")
    with sqlite3.connect(database) as connection:
        changed = connection.execute("update entities set _dtype = ?", (f"open({str(mark)!r}, 'w')",))
        assert changed.rowcount
    with pytest.raises(UsageError):
        find_scans(bids, database_dir=index)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("Query.X", "'Query.X' .acquisition. is no filter; known are Query.NONE"),
        (["Query.__class__"], "is no filter"),
        ({"a": 1}, "the filter acquisition is a table"),
    ],
)
def test_a_filter_that_is_none_is_a_sentence(tmp_path, value, words):
    path = tmp_path / "filters.json"
    path.write_text(json.dumps({"t1w": {"acquisition": value}}))
    with pytest.raises(UsageError, match=words):
        read_filters(path)


def filters(tmp_path, content):
    path = tmp_path / "filters.json"
    path.write_text(json.dumps(content))
    return read_filters(path)


def test_filters_in_the_words_of_the_nipreps(tmp_path):
    found = filters(
        tmp_path,
        {
            "t1w": {
                "acquisition": None,
                "run": "*",
                "session": ["ses-1", "2"],
                "subject": "sub-01",
                "part": "Query.ANY",
            },
            "flair": {"reconstruction": "ses-x", "run": 1},
            "bold": {"task": "rest"},
        },
    )
    assert set(found) == {"t1w", "flair"}
    assert found["t1w"]["acquisition"] is Query.NONE
    assert found["t1w"]["run"] is found["t1w"]["part"] is Query.ANY
    assert (found["t1w"]["session"], found["t1w"]["subject"]) == (["1", "2"], "01")
    assert found["flair"] == {"reconstruction": "ses-x", "run": 1}


@pytest.mark.parametrize("content", [[], {"t1w": []}, {"t1w": {}, "t2w": 1}])
def test_a_file_of_filters_maps_image_types_to_filters(tmp_path, content):
    with pytest.raises(UsageError, match="must map image types"):
        filters(tmp_path, content)


IMAGES = {
    "sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz": "",
    "sub-01/ses-1/anat/sub-01_ses-1_acq-x_T1w.nii": "",
    "sub-01/ses-1/anat/sub-01_ses-1_T2w.nii.gz": "",
    "sub-01/ses-1/anat/sub-01_ses-1_FLAIR.nii.gz": "",
    "sub-01/ses-1/anat/sub-01_ses-2_T1w.nii.gz": "",
    "sub-01/ses-1/anat/sub-01_ses-1_T1w.json": "{}",
    "sub-02/anat/sub-02_T1w.nii.gz": "",
    "sub-03/anat/sub-03_T1w.nii.gz": "",
    "derivatives/x/sub-04/anat/sub-04_T1w.nii.gz": "",
}


def named(found):
    return {key: {suffix: [p.name for p in paths] for suffix, paths in images.items()} for key, images in found.items()}


def anat(root, *people):
    """The folders of images of some people."""
    return sorted(path for who in people for path in (root / f"sub-{who}").rglob("anat"))


def test_images_by_scan_and_suffix_of_the_people_asked_for(make_dataset):
    root = make_dataset(IMAGES)
    found = named(find_images(root, anat(root, "01", "02"), {"t1w": {"acquisition": Query.NONE}}))
    assert found == {
        ("01", "1"): {
            "T1w": ["sub-01_ses-1_T1w.nii.gz"],
            "T2w": ["sub-01_ses-1_T2w.nii.gz"],
            "FLAIR": ["sub-01_ses-1_FLAIR.nii.gz"],
        },
        ("02", None): {"T1w": ["sub-02_T1w.nii.gz"]},
    }


def test_a_kept_index_is_used_while_the_state_is_the_same_and_alone_in_its_folder(make_dataset, tmp_path):
    root, folder = make_dataset(IMAGES), tmp_path / "work" / "kept"
    assert set(find_images(root, anat(root, "01", "02", "03"), {}, kept=(folder, "a"))) == {
        ("01", "1"),
        ("02", None),
        ("03", None),
    }
    (root / "sub-03/anat/sub-03_T1w.nii.gz").unlink()
    assert ("03", None) in find_images(root, anat(root, "01", "02", "03"), {}, kept=(folder, "a"))
    assert len(list(folder.iterdir())) == 1
    assert ("03", None) not in find_images(root, anat(root, "01", "02", "03"), {}, kept=(folder, "b"))
    assert len(list(folder.iterdir())) == 1
    given = find_images(root, anat(root, "01", "02"), {}, database_dir=tmp_path / "index", kept=(folder, "c"))
    assert ("02", None) in given
    assert len(list(folder.iterdir())) == 1
    other = make_dataset({"sub-09/anat/sub-09_T1w.nii.gz": ""}, "other")
    assert set(find_images(other, anat(other, "09"), {}, kept=(folder, "a"))) == {("09", None)}
    assert len(list(folder.iterdir())) == 2


def test_an_index_of_another_dataset_is_refused(make_dataset, tmp_path):
    find_images(make_dataset(IMAGES), ["01"], {}, database_dir=tmp_path / "index")
    with pytest.raises(UsageError, match="index in"):
        find_images(make_dataset({}, "other"), ["01"], {}, database_dir=tmp_path / "index")
