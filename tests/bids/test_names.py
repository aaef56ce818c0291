"""Labels and names of derivative files."""

import hashlib
import os
from pathlib import Path

import pytest

from bids_app.bids.names import (
    bare,
    derivative_parts,
    derivative_path,
    file_stem,
    is_label,
    listed,
    named_path,
    names_beginning,
    natural_key,
    output_path,
    relative_place,
    scan_name,
    split_freesurfer_name,
    unpadded,
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
        ("fmriprep-23.1=/data", ("fmriprep-23.1", "/data")),
        ("my_fs+x=/data", ("my_fs+x", "/data")),
        ("-b=/data", ("", "-b=/data")),
        ("=/data", ("", "=/data")),
        ("x=", ("", "x=")),
    ],
)
def test_a_name_before_a_path_has_no_slash(given, expected):
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


def test_labels_have_at_most_64_signs():
    assert is_label(64 * "a")
    assert not is_label(65 * "a")
    assert not is_label("")
    assert not is_label("a-b")
    assert is_label("a+1")


@pytest.mark.parametrize("part", ["", ".", "..", "a/b", "a\\b", "a\nb", "a\x7fb", 241 * "a", 121 * "ä"])
def test_what_cannot_be_the_name_of_a_file(tmp_path, part):
    with pytest.raises(InputError, match="cannot be the name of a file"):
        output_path(tmp_path, "logs", part)


def test_names_of_240_bytes_are_names(tmp_path):
    assert output_path(tmp_path, 240 * "a").parent == tmp_path
    assert output_path(tmp_path, 120 * "ä").parent == tmp_path


def test_links_inside_the_output_folder_stay_allowed(tmp_path):
    (tmp_path / "out" / "real").mkdir(parents=True)
    (tmp_path / "out" / "link").symlink_to(tmp_path / "out" / "real")
    (tmp_path / "out" / "self").symlink_to(tmp_path / "out")
    (tmp_path / "out-other").mkdir()
    (tmp_path / "out" / "away").symlink_to(tmp_path / "out-other")
    assert output_path(tmp_path / "out", "link", "a") == tmp_path / "out" / "link" / "a"
    assert output_path(tmp_path / "out", "self", "a") == tmp_path / "out" / "self" / "a"
    assert output_path(tmp_path / "out", "away") == tmp_path / "out" / "away"
    with pytest.raises(InputError, match="leads out of"):
        output_path(tmp_path / "out", "away", "a")
    with pytest.raises(InputError, match="leads out of"):
        output_path(tmp_path / "out", "away", "b", "a")


@pytest.mark.parametrize(
    ("path", "root", "expected"),
    [
        ("/home/a/bids", "/home/a/out", "../bids"),
        ("/home/b/bids", "/home/a/out", None),
        ("/data/bids", "/home/a/out", None),
        ("/home", "/home/a", None),
        ("/", "/home", None),
        ("/home/a", "/home/a", "."),
    ],
)
def test_a_place_is_told_relatively_where_it_is_near(path, root, expected):
    assert relative_place(path, root) == expected


def test_a_label_that_is_none_becomes_part_of_a_name():
    assert file_stem("01", "1") == "sub-01_ses-1"
    assert file_stem("01") == "sub-01"
    digest = hashlib.sha256(b"a/../b").hexdigest()[:8]
    assert file_stem("a/../b") == f"sub-abx{digest}"
    assert file_stem("01", "a/../b") == f"sub-01_ses-abx{digest}"
    long = 70 * "a"
    assert file_stem(long) == f"sub-{20 * 'a'}x{hashlib.sha256(long.encode()).hexdigest()[:8]}"


@pytest.mark.parametrize(
    ("label", "plain"),
    [("sub-01", "1"), ("SES_002", "2"), ("ses 1", "1"), ("A01b002", "a1b2"), ("0", "0"), ("10", "10"), ("sub1", "1")],
)
def test_labels_as_people_vary_them(label, plain):
    assert unpadded(label) == plain


def test_parts_of_a_derivative():
    assert derivative_parts("01", "1", "volumes") == ("sub-01", "ses-1", "anat", "sub-01_ses-1_desc-volumes_morph.tsv")
    assert derivative_parts("01", None, "volumes", "x.json", "DKT", "") == (
        "sub-01",
        "sub-01_seg-DKT_desc-volumes_x.json",
    )
    for labels in (("a b", None, "x"), ("01", "a b", "x"), ("01", None, "a-b")):
        with pytest.raises(UsageError, match="is not a BIDS label"):
            derivative_parts(*labels)
    with pytest.raises(UsageError):
        derivative_parts("01", None, "x", seg="a b")


def test_names_that_begin_alike_are_listed_whether_the_folder_is_settled_or_not(tmp_path):
    for name in ("b2", "b1", "a", "c"):
        (tmp_path / name).touch()
    assert names_beginning(tmp_path, "b") == ["b1", "b2"]
    assert names_beginning(tmp_path, "") == ["a", "b1", "b2", "c"]
    os.utime(tmp_path, (1_000_000_000, 1_000_000_000))
    assert names_beginning(tmp_path, "b") == ["b1", "b2"]
    assert names_beginning(tmp_path, "") == ["a", "b1", "b2", "c"]
    assert names_beginning(tmp_path, "bb") == []
    assert names_beginning(tmp_path / "none", "b") == []


@pytest.mark.parametrize(("ago", "kept"), [(1.0, False), (-1.0, False), (3.0, True), (-3.0, True)])
def test_a_folder_that_changed_just_now_is_listed_anew(tmp_path, monkeypatch, ago, kept):
    stamp = 1_500_000_000
    os.utime(tmp_path, (stamp, stamp))
    monkeypatch.setattr("bids_app.bids.names.time.time_ns", lambda: int((stamp + ago) * 1e9))
    assert names_beginning(tmp_path, "") == []
    (tmp_path / "a").touch()
    os.utime(tmp_path, (stamp, stamp))
    assert names_beginning(tmp_path, "") == ([] if kept else ["a"])


def test_long_lists_are_cut():
    assert listed(map(str, range(20))).endswith("18, 19")
    assert listed(map(str, range(21))).endswith("18, 19, ... (21 in all)")
    assert listed(["a", "b", "c"], 2) == "a, b, ... (3 in all)"


def test_numbers_go_before_words_and_none_before_all():
    assert sorted(["b", "10", "2", "", "02", "a1", "a10", "a9"], key=natural_key)[:4] == ["", "02", "2", "10"]
    assert natural_key(None) == ()
    assert natural_key("\u0661") == ((1, 0, "", "\u0661"),)
