"""Labels and names of derivative files."""

from pathlib import Path

import pytest

from bids_app.bids.names import (
    bare,
    derivative_path,
    listed,
    named_path,
    natural_key,
    output_path,
    scan_name,
    split_freesurfer_name,
)
from bids_app.errors import InputError, UsageError


@pytest.mark.parametrize(("label", "expected"), [("sub-01", "01"), ("01", "01"), (" sub-01 ", "01"), (1, "1")])
def test_prefix_is_optional(label, expected):
    assert bare(label, "sub") == expected


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"desc": "deviations"}, "out/sub-01/ses-1/anat/sub-01_ses-1_desc-deviations_morph.tsv"),
        ({"desc": "volumes", "seg": "DKT"}, "out/sub-01/ses-1/anat/sub-01_ses-1_seg-DKT_desc-volumes_morph.tsv"),
        ({"desc": "summary", "extension": ".json"}, "out/sub-01/ses-1/anat/sub-01_ses-1_desc-summary_morph.json"),
        ({"desc": "x", "folder": ""}, "out/sub-01/ses-1/sub-01_ses-1_desc-x_morph.tsv"),
    ],
)
def test_derivative_paths(options, path):
    assert derivative_path("out", "01", "1", **options) == Path(path)
    assert derivative_path("out", "sub-01", "ses-1", **options) == Path(path)


def test_derivative_path_of_a_person():
    assert derivative_path("out", "01", desc="change") == Path("out/sub-01/anat/sub-01_desc-change_morph.tsv")


@pytest.mark.parametrize("label", ["../x", "a b", "01_ses-1", ""])
def test_a_label_cannot_leave_the_folder(label):
    with pytest.raises(UsageError, match="not a BIDS label"):
        derivative_path("out", label, desc="x")


def test_natural_order():
    assert sorted(["10", "2", "1", None, "b1", "01"], key=natural_key) == [None, "01", "1", "2", "10", "b1"]


@pytest.mark.parametrize(
    ("name", "pair"),
    [
        ("sub-01", ("01", None)),
        ("sub-01_ses-a", ("01", "a")),
        ("sub-01_ses-a.long.sub-01", ("01", "a")),
        ("fsaverage", None),
        ("bert", None),
        ("sub-01_run-1", None),
    ],
)
def test_freesurfer_names(name, pair):
    assert split_freesurfer_name(name) == pair


def test_scan_names_and_lists():
    assert scan_name("01") == "sub-01"
    assert scan_name("01", "a") == "sub-01_ses-a"
    assert listed("abc") == "a, b, c"
    assert listed("abcd", limit=2) == "a, b, ... (4 in all)"


def test_a_link_below_the_output_folder_may_not_lead_out_of_it(tmp_path):
    inside, outside = tmp_path / "out", tmp_path / "elsewhere"
    for folder in (inside / "sub-1", outside):
        folder.mkdir(parents=True)
    (inside / "sub-2").symlink_to(inside / "sub-1")
    (inside / "sub-3").symlink_to(outside)
    (tmp_path / "link").symlink_to(inside)
    assert output_path(inside, "sub-2", "anat", "a.tsv") == inside / "sub-2/anat/a.tsv"
    assert output_path(tmp_path / "link", "sub-1", "a.tsv") == tmp_path / "link/sub-1/a.tsv"
    for root in (inside, tmp_path / "link"):
        with pytest.raises(InputError, match="leads out of"):
            output_path(root, "sub-3", "anat", "a.tsv")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("/data/fs", ("", "/data/fs")),
        ("fmriprep=/data/fs", ("fmriprep", "/data/fs")),
        ("v2=rel/a=b", ("v2", "rel/a=b")),
        ("/data/site=1/fs", ("", "/data/site=1/fs")),
        ("a-b=/data", ("", "a-b=/data")),
        ("=/data", ("", "=/data")),
        ("x=", ("", "x=")),
    ],
)
def test_a_name_before_a_path_is_of_letters_and_digits(given, expected):
    name, path = named_path(given)
    assert (name, str(path)) == expected


def test_a_text_that_is_a_path_has_no_name(tmp_path, monkeypatch):
    (tmp_path / "a=b").mkdir()
    monkeypatch.chdir(tmp_path)
    assert named_path("a=b") == ("", Path("a=b"))
    assert named_path("a=c") == ("a", Path("c"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert named_path("~/a=b") == ("", Path("~/a=b"))
    assert named_path(Path("a=b")) == ("", Path("a=b"))
