"""Finding a scan's directory: identifiers, precedence, ambiguity; read-only."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bids_app.errors import FreeSurferError, UsageError
from bids_app.freesurfer.locate import (
    _is_parent_of_sessions,
    every_tree,
    find_subject,
    is_subject_directory,
    shared_tree,
    subject_directories,
    trees_of_nobody,
)


@pytest.fixture
def root(tmp_path) -> Path:
    return tmp_path / "subjects"


def make(root: Path, *names: str, output: bool = True) -> None:
    for name in names:
        (root / name / "stats" if output else root / name).mkdir(parents=True)


def identifier(*roots, participant="01", session=None, **options):
    found = find_subject(roots, participant, session, **options)
    return found and found.identifier


@pytest.mark.parametrize(
    ("there", "session", "expected"),
    [
        (["sub-01"], None, "sub-01"),
        (["01"], None, "01"),
        (["sub-01", "01"], None, "sub-01"),
        (["sub-01_ses-1", "sub-01/ses-1", "sub-01_ses-2"], "1", "sub-01_ses-1"),
        (["sub-01/ses-1", "sub-01/ses-2"], "1", "sub-01/ses-1"),
        (["ses-1/sub-01", "ses-2/sub-01"], "2", "ses-2/sub-01"),
        (["ses-1/sub-01", "sub-01/ses-1"], "1", "sub-01/ses-1"),
        (["sub-01"], "1", "sub-01"),
        (["sub-01", "sub-01_ses-2"], "1", None),
        (["01_ses-1"], "1", "01_ses-1"),
        (["01_1"], "1", "01_1"),
        (["sub-010", "sub-1", "fsaverage"], None, None),
        (["sub-01_ses-1"], None, None),
        (["sub-01/ses-1"], None, None),
    ],
)
def test_identifiers_and_their_precedence(root, there, session, expected):
    make(root, *there)
    assert identifier(root, session=session) == expected


def test_a_tree_without_session_is_not_used_for_people_with_several(root):
    make(root, "sub-01")
    assert identifier(root, session="1", only_session=False) is None


@pytest.mark.parametrize(
    ("there", "session", "expected"),
    [
        (["sub-01", "sub-01_ses-1", "sub-01_ses-1.long.sub-01"], "1", "sub-01_ses-1.long.sub-01"),
        (["sub-01_ses-1.long.template", "sub-01_ses-1.long.sub-01"], "1", "sub-01_ses-1.long.sub-01"),
        (["sub-01_ses-1.long.template"], "1", "sub-01_ses-1.long.template"),
        (["sub-01_ses-1", "sub-01_ses-2.long.sub-01"], "1", None),
        (["sub-01.long.base"], None, "sub-01.long.base"),
    ],
)
def test_time_points_of_the_longitudinal_stream(root, there, session, expected):
    make(root, *there)
    assert identifier(root, session=session, longitudinal=True) == expected


def test_two_bases_are_ambiguous_and_both_are_named(root):
    make(root, "sub-01_ses-1.long.a", "sub-01_ses-1.long.b")
    with pytest.raises(FreeSurferError, match=r"long\.a and .*long\.b"):
        identifier(root, session="1", longitudinal=True)


def test_bare_names_that_fit_equally_well_are_ambiguous(root):
    make(root, "01_1", "01/1")
    with pytest.raises(FreeSurferError, match="equally well"):
        identifier(root, session="1")


def test_the_first_root_wins_and_the_others_are_told(root, tmp_path):
    make(root, "sub-01")
    make(tmp_path / "other", "sub-01")
    found = find_subject([tmp_path / "absent", root, tmp_path / "other", root], "01", None)
    assert found.path == root / "sub-01"
    assert found.subjects_dir == root
    assert found.matches == (root / "sub-01", tmp_path / "other" / "sub-01")
    assert str(tmp_path / "other" / "sub-01") in found.note


def test_a_single_match_has_no_note(root):
    make(root, "sub-01")
    assert find_subject([root], "01", None).note == ""


def test_fsaverage_is_never_a_subject(root):
    make(root, "fsaverage", "fsaverage5")
    assert identifier(root, participant="fsaverage") is None


def test_a_broken_link_is_found_so_that_the_check_can_say_so(root, tmp_path):
    root.mkdir()
    (root / "sub-01").symlink_to(tmp_path / "nowhere")
    assert identifier(root) == "sub-01"


def test_subjects_directories_of_a_dataset(tmp_path):
    bids = tmp_path / "bids"
    places = [
        "derivatives/freesurfer",
        "derivatives/fmriprep/sourcedata/freesurfer",
        "derivatives/fastsurfer",
        "derivatives/petprep/sourcedata/freesurfer",
        "sourcedata/freesurfer",
    ]
    for place in places:
        (bids / place).mkdir(parents=True)
    found = [str(path.relative_to(bids)) for path in subject_directories(bids)]
    assert found == [places[0], places[1], places[3], places[2], places[4]]


def test_given_derivatives_come_first_with_and_without_a_name(tmp_path):
    (tmp_path / "bids" / "derivatives" / "freesurfer").mkdir(parents=True)
    (tmp_path / "prep" / "sourcedata" / "freesurfer").mkdir(parents=True)
    (tmp_path / "fs").mkdir()
    found = subject_directories(tmp_path / "bids", derivatives=[f"fmriprep={tmp_path / 'prep'}", str(tmp_path / "fs")])
    assert [path.relative_to(tmp_path).as_posix() for path in found] == [
        "prep/sourcedata/freesurfer",
        "prep",
        "fs",
        "bids/derivatives/freesurfer",
    ]


def test_a_derivative_may_have_an_equals_sign_in_its_path(tmp_path):
    (tmp_path / "site=1" / "fs").mkdir(parents=True)
    for given in (str(tmp_path / "site=1"), f"site1={tmp_path / 'site=1'}"):
        assert subject_directories(tmp_path / "bids", derivatives=[given]) == [tmp_path / "site=1"]
    with pytest.raises(UsageError) as error:
        subject_directories(tmp_path / "bids", derivatives=[f"my name={tmp_path}"])
    assert "letters, digits and _.+-" in error.value.remedy


def test_the_option_for_the_subjects_directory_stands_alone(tmp_path):
    (tmp_path / "bids" / "derivatives" / "freesurfer").mkdir(parents=True)
    make(tmp_path / "fs", "sub-01")
    assert subject_directories(tmp_path / "bids", tmp_path / "fs") == [tmp_path / "fs"]
    (tmp_path / "fs" / "sub-01" / "stats" / "aseg.stats").touch()
    with pytest.raises(UsageError, match="directory of one subject"):
        subject_directories(tmp_path / "bids", tmp_path / "fs" / "sub-01")
    for options in ({"fs_subjects_dir": tmp_path / "no"}, {"derivatives": [f"x={tmp_path / 'no'}"]}):
        with pytest.raises(UsageError, match="does not exist"):
            subject_directories(tmp_path / "bids", **options)


def test_searching_changes_nothing_and_works_without_write_permission(root):
    make(root, "sub-01_ses-1", "sub-02", "01")
    paths = [root, *root.rglob("*")]
    for path in paths:
        path.chmod(0o555)
    try:
        before = {path: os.stat(path).st_mtime_ns for path in paths}
        find_subject([root], "01", "1")
        subject_directories(root.parent, root)
        assert {path: os.stat(path).st_mtime_ns for path in [root, *root.rglob("*")]} == before
    finally:
        for path in paths:
            path.chmod(0o755)


def test_a_subject_added_after_the_first_look_is_found(tmp_path):
    long_ago = 1_000_000_000
    os.utime(tmp_path, (long_ago, long_ago))
    assert find_subject([tmp_path], "01", "1", longitudinal=True) is None
    (tmp_path / "sub-01_ses-1.long.sub-01" / "stats").mkdir(parents=True)
    assert find_subject([tmp_path], "01", "1", longitudinal=True) is not None


def test_a_large_folder_is_listed_once(tmp_path, monkeypatch):
    for index in range(3):
        (tmp_path / f"sub-0{index}_ses-1" / "stats").mkdir(parents=True)
    os.utime(tmp_path, (1_000_000_000, 1_000_000_000))
    listed = []
    whole = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: listed.append(str(path)) or whole(path))
    for index in range(3):
        assert find_subject([tmp_path], f"0{index}", "1", only_session=True) is not None
    assert listed.count(str(tmp_path)) == 1


@pytest.mark.parametrize(
    ("there", "session", "options", "expected"),
    [
        (["01/1"], "1", {}, "01/1"),
        (["01"], "1", {}, "01"),
        (["01"], "1", {"only_session": False}, None),
        (["01_ses-1", "01_1"], "1", {}, "01_ses-1"),
        (["sub-01", "01_ses-1"], "1", {}, "sub-01"),
        (["01_1", "01"], "1", {}, "01_1"),
        (["sub-01.long.sub-01", "01_ses-1.long.sub-01"], "1", {"longitudinal": True}, "sub-01.long.sub-01"),
        (["01_ses-1.long.sub-01"], "1", {"longitudinal": True}, "01_ses-1.long.sub-01"),
        (
            ["sub-01_ses-1.long.a", "sub-01_ses-1.long.sub-01_base"],
            "1",
            {"longitudinal": True},
            "sub-01_ses-1.long.sub-01_base",
        ),
        (
            ["sub-01_ses-1.long.sub-01_base", "sub-01_ses-1.long.sub-01"],
            "1",
            {"longitudinal": True},
            "sub-01_ses-1.long.sub-01",
        ),
        (["sub-01_ses-1.long.sub-01"], None, {"longitudinal": True}, None),
    ],
)
def test_further_names_and_their_precedence(root, there, session, options, expected):
    make(root, *there)
    assert identifier(root, session=session, **options) == expected


def test_a_directory_with_output_goes_before_an_empty_one_of_the_same_tier(root):
    make(root, "01_1", output=False)
    make(root, "01/1")
    found = find_subject([root], "01", "1")
    assert found.identifier == "01/1"
    assert found.matches == (root / "01/1", root / "01_1", root / "01")


def test_empty_directories_alone_are_taken_as_they_are(root):
    make(root, "sub-01", output=False)
    assert identifier(root) == "sub-01"
    make(root, "02_1", "02/1", output=False)
    with pytest.raises(FreeSurferError, match="equally well"):
        identifier(root, participant="02", session="1")


def test_time_points_beside_a_cross_sectional_tree_are_told(root):
    make(root, "sub-01_ses-1", "sub-01_ses-1.long.sub-01")
    found = find_subject([root], "01", "1")
    assert found.note == f"{root / 'sub-01_ses-1'} was taken; {root / 'sub-01_ses-1.long.sub-01'} would have fitted too"
    assert found.matches == (root / "sub-01_ses-1",)
    assert find_subject([root], "01", "1", longitudinal=True).note == ""


def test_the_tree_that_stands_for_all_sessions_has_output_and_is_no_base(root, tmp_path):
    other = tmp_path / "other"
    assert shared_tree([root], "01") is None
    make(root, "sub-01", output=False)
    assert shared_tree([root], "01") is None
    make(root, "01")
    assert shared_tree([root], "01") == root / "01"
    make(other, "sub-01")
    assert shared_tree([other, root], "01") == other / "sub-01"
    (other / "sub-01" / "base-tps").write_text("")
    assert shared_tree([other, root], "01") == root / "01"
    make(root, "sub-02/ses-1")
    assert shared_tree([root], "02") is None


def test_trees_of_nobody_have_output_and_another_label(root, tmp_path):
    make(root, "sub-01", "sub-03_ses-1", "bert", "fsaverage")
    make(root, "sub-04", output=False)
    make(tmp_path / "other", "sub-02", "sub-03_ses-1")
    assert trees_of_nobody([root, tmp_path / "other"], ["01", "2"]) == ["bert", "sub-03_ses-1"]


def test_every_tree_of_a_folder_in_natural_order(root):
    make(root, "sub-10", "sub-2", "bert", "fsaverage", ".hidden", "sub-3/ses-10", "sub-3/ses-2", "lh.EC_average")
    make(root, "sub-4", "notes", output=False)
    make(root, "sub-3/other", output=False)
    (root / "sub-file").write_text("")
    trees, strangers = every_tree(root)
    assert [str(tree.relative_to(root)) for tree in trees] == [
        "bert",
        "sub-2",
        "sub-3/ses-2",
        "sub-3/ses-10",
        "sub-4",
        "sub-10",
    ]
    assert strangers == ["notes"]


@pytest.mark.parametrize("name", ["stats", "scripts", "mri", "surf"])
def test_any_folder_of_freesurfer_is_output(root, name):
    (root / "bert" / name).mkdir(parents=True)
    assert every_tree(root) == ([root / "bert"], [])


def test_a_tree_with_output_is_no_parent_of_sessions(root):
    make(root, "sub-01", "sub-01/ses-1")
    assert is_subject_directory(root / "sub-01")
    make(root, "sub-02/ses-1")
    assert not is_subject_directory(root / "sub-02")
    assert not is_subject_directory(root / "absent")
    (root / "file").write_text("")
    assert not is_subject_directory(root / "file")


def test_the_option_for_the_subjects_directory_may_name_a_derivative(tmp_path):
    inside = tmp_path / "prep" / "sourcedata" / "freesurfer"
    inside.mkdir(parents=True)
    assert subject_directories(tmp_path, tmp_path / "prep") == [tmp_path / "prep", inside]


def test_one_folder_under_two_names_is_searched_once(tmp_path):
    (tmp_path / "fs").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "fs")
    found = subject_directories(tmp_path / "bids", derivatives=[str(tmp_path / "link"), str(tmp_path / "fs")])
    assert found == [tmp_path / "link"]


def test_a_folder_that_cannot_be_listed_is_no_parent_of_sessions(root):
    make(root, "sub-01")
    assert _is_parent_of_sessions(root / "sub-01") is False
    assert _is_parent_of_sessions(root / "none") is False
    make(root, "sub-02/ses-1")
    assert _is_parent_of_sessions(root / "sub-02") is True
