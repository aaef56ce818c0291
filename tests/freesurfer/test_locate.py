"""Finding a scan's directory: identifiers, precedence, ambiguity; read-only."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bids_app.errors import FreeSurferError, UsageError
from bids_app.freesurfer.locate import find_subject, subject_directories


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
        subject_directories(tmp_path / "bids", derivatives=[f"my-name={tmp_path}"])
    assert "letters and digits" in error.value.remedy


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
