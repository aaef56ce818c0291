"""Ingesting opens nothing for writing and creates, renames, removes or stamps nothing: every system call is watched."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager

import pytest

from bids_app.freesurfer.bulk import read_record
from bids_app.freesurfer.check import check_subject
from bids_app.freesurfer.locate import find_subject, subject_directories
from bids_app.freesurfer.volumes import extract_volumes

CHANGING = {
    "os.mkdir",
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.chmod",
    "os.chown",
    "os.utime",
    "os.symlink",
    "os.link",
    "os.truncate",
    "os.setxattr",
    "shutil.rmtree",
    "tempfile.mkstemp",
}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_watching: list[list] = []


def _hook(event: str, arguments: tuple) -> None:
    if not _watching:
        return
    if event in CHANGING or (event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING):
        _watching[-1].append((event, arguments[0]))


@pytest.fixture(scope="module")
def hook():
    # An audit hook cannot be removed, so it stays and sleeps outside `changes`
    sys.addaudithook(_hook)


@contextmanager
def changes():
    seen: list = []
    _watching.append(seen)
    try:
        yield seen
    finally:
        _watching.pop()


def test_the_watch_sees_changes(hook, tmp_path):
    with changes() as seen:
        (tmp_path / "a").write_text("x")
        (tmp_path / "b").mkdir()
    assert [event for event, _ in seen] == ["open", "os.mkdir"]


@pytest.mark.parametrize("state", ["complete", "stale"])
def test_finding_checking_and_reading_change_nothing(hook, tree, state):
    if state == "stale":
        (tree / "scripts" / "recon-all.done").unlink()
        (tree / "scripts" / "IsRunning.lh+rh").write_text("HOST elsewhere\nDATE Wed May 28 16:11:06 UTC 2025\n")
    with changes() as seen:
        roots = subject_directories(tree.parents[1], tree.parent)
        located = find_subject(roots, "01", None)
        assert check_subject(located.path, expected_subject="sub-01").status == state
        extract_volumes(located.path, expected_subject="sub-01")
        read_record(located.path)
    assert seen == []
