"""The trust check: one status per kind of trouble, and nothing touched."""

from __future__ import annotations

import os
import socket
import time

import pytest

from bids_app.errors import FreeSurferError
from bids_app.freesurfer.check import STALE_AFTER_HOURS, check_subject, require_usable
from bids_app.freesurfer.synthetic import write_subject
from tests.freesurfer.conftest import edit


def remove(tree, *names):
    for name in names:
        (tree / name).unlink()


def mark_running(tree, host, process, hours_ago=0.0):
    remove(tree, "scripts/recon-all.done")
    moment = time.strftime("%a %b %d %H:%M:%S UTC %Y", time.localtime(time.time() - 3600 * hours_ago))
    text = f"SUBJECT sub-01\nDATE {moment}\nHOST {host}\nPROCESSID {process} \n"
    (tree / "scripts" / "IsRunning.lh+rh").write_text(text)
    (tree / "scripts" / "recon-all-status.log").write_text(f"status file for recon-all\n#@# MotionCor {moment}\n")


def test_a_finished_run_is_complete(tree):
    found = check_subject(tree, expected_subject="sub-01")
    assert (found.status, found.remedy, found.notes, found.usable) == ("complete", "", (), True)
    require_usable(found)


def test_missing_and_empty(tmp_path):
    assert check_subject(tmp_path / "sub-01").status == "missing"
    (tmp_path / "sub-02" / "surf").mkdir(parents=True)
    (tmp_path / "sub-02" / "stats").mkdir()
    (tmp_path / "sub-02" / "stats" / ".keep").touch()
    found = check_subject(tmp_path / "sub-02")
    assert found.status == "empty"
    with pytest.raises(FreeSurferError, match="holds no FreeSurfer output; remove it"):
        require_usable(found)


@pytest.mark.parametrize("sign", ["error file", "done holds 1", "status log"])
def test_each_sign_of_an_error_is_a_failure(tree, sign):
    scripts = tree / "scripts"
    if sign == "error file":
        (scripts / "recon-all.error").write_text("SUBJECT sub-01\nCMD mri_ca_register -T x\n")
        assert "in mri_ca_register" in check_subject(tree).message
    elif sign == "done holds 1":
        (scripts / "recon-all.done").write_text("1\n")
    else:
        (scripts / "recon-all-status.log").write_text("recon-all -s sub-01 exited with ERRORS at Wed May 28\n\n")
    assert check_subject(tree).status == "failed"


def test_an_error_that_a_later_run_repaired_is_no_failure(tree):
    with open(tree / "scripts" / "recon-all-status.log", "r+") as stream:
        text = stream.read()
        stream.seek(0)
        stream.write("recon-all -s sub-01 exited with ERRORS at Wed May 28\n" + text)
    assert check_subject(tree).status == "complete"


def test_killed_without_a_trace(tree):
    remove(tree, "scripts/recon-all.done", "stats/aseg.stats")
    assert check_subject(tree).status == "killed"


def test_whole_statistics_without_scripts_or_done_are_accepted_with_a_note(tree):
    remove(tree, "scripts/recon-all.done")
    assert "no scripts/recon-all.done" in check_subject(tree).notes[0]
    for path in (tree / "scripts").iterdir():
        path.unlink()
    (tree / "scripts").rmdir()
    found = check_subject(tree)
    assert found.status == "complete"
    assert "no scripts folder" in found.notes[0]


def test_a_process_of_this_host_decides_between_running_and_stale(tree):
    mark_running(tree, socket.gethostname(), os.getpid(), hours_ago=100)
    assert check_subject(tree).status == "running"
    remove(tree, "scripts/IsRunning.lh+rh")
    (tree / "scripts" / "recon-all.done").touch()
    mark_running(tree, socket.gethostname(), 2**22 + 1)
    found = check_subject(tree)
    assert found.status == "stale"
    assert "remove scripts/IsRunning.lh+rh" in found.remedy


def test_on_another_host_the_last_sign_of_life_decides(tree):
    mark_running(tree, "elsewhere", 1, hours_ago=STALE_AFTER_HOURS - 2)
    assert check_subject(tree).status == "running"
    (tree / "scripts" / "recon-all.done").touch()
    mark_running(tree, "elsewhere", 1, hours_ago=STALE_AFTER_HOURS + 2)
    assert check_subject(tree).status == "stale"


@pytest.mark.parametrize("form", ["link", "text", "pointer"])
def test_content_that_git_annex_has_not_fetched(tree, form):
    path = tree / "stats" / "aseg.stats"
    path.unlink()
    target = ".git/annex/objects/4f/Pm/SHA256E-s508--7e9d.stats/SHA256E-s508--7e9d.stats"
    if form == "link":
        path.symlink_to("../../../../" + target)
    else:
        path.write_text("../../../../" + target if form == "text" else "/annex/objects/SHA256E-s508--7e9d.stats\n")
    found = check_subject(tree)
    assert found.status == "not_fetched"
    root = "" if form != "link" else f"{tree.parents[1].name}/subjects/"
    paths = f"{root}sub-01/stats {root}sub-01/scripts"
    assert found.remedy == f"fetch it, in the root of the dataset: datalad get {paths}  (or: git annex get {paths})"


def test_content_that_git_annex_has_fetched_is_read_through_its_link(tree, tmp_path):
    path = tree / "stats" / "aseg.stats"
    store = tmp_path / ".git" / "annex" / "objects" / "key"
    store.parent.mkdir(parents=True)
    path.rename(store)
    path.symlink_to(store)
    assert check_subject(tree).status == "complete"


@pytest.mark.parametrize("damage", ["cut", "cut at a line", "empty", "header only"])
def test_damaged_statistics_are_truncated(tree, damage):
    path = tree / "stats" / "lh.aparc.stats"
    text = path.read_text()
    cuts = {
        "cut": text[:-10],
        "cut at a line": text[: text.index("superiorfrontal")],
        "empty": "",
        "header only": text[: text.index("bankssts")],
    }
    path.write_text(cuts[damage])
    found = check_subject(tree)
    assert found.status == "truncated"
    assert "lh.aparc.stats" in found.message


def test_a_region_that_is_absent_inside_is_no_truncation(tree):
    text = (tree / "stats" / "lh.aparc.stats").read_text().splitlines(keepends=True)
    (tree / "stats" / "lh.aparc.stats").write_text("".join(line for line in text if not line.startswith("bankssts")))
    assert check_subject(tree).status == "complete"


def test_missing_statistics_of_a_finished_run_are_incomplete(tree):
    remove(tree, "stats/rh.aparc.stats")
    found = check_subject(tree)
    assert found.status == "incomplete"
    assert "stats/rh.aparc.stats" in found.message


@pytest.mark.parametrize(
    ("recorded", "expected", "status"),
    [
        ("sub-02", "sub-01", "wrong_subject"),
        ("sub-01_ses-1", "sub-01_ses-2", "wrong_subject"),
        ("sub-01_ses-1", "sub-01", "complete"),
        ("sub-01", "sub-01_ses-1", "complete"),
        ("output", "sub-01", "complete"),
        ("sub-01_ses-1.long.sub-01", "sub-01_ses-1", "complete"),
        ("sub-02", None, "wrong_subject"),
        ("output", None, "complete"),
    ],
)
def test_statistics_of_another_person(tree, recorded, expected, status):
    for name in ("aseg", "lh.aparc", "rh.aparc"):
        edit(tree / "stats" / f"{name}.stats", "subjectname sub-01", f"subjectname {recorded}")
    assert check_subject(tree, expected_subject=expected).status == status


def test_files_of_two_people_in_one_folder(tree):
    edit(tree / "stats" / "lh.aparc.stats", "subjectname sub-01", "subjectname somebody")
    assert check_subject(tree).status == "wrong_subject"


def test_a_longitudinal_base_is_not_a_scan_but_its_time_point_is(tmp_path):
    base = write_subject(tmp_path / "sub-01", {}, etiv=1.5e6)
    (base / "base-tps").write_text("sub-01_ses-1\n")
    found = check_subject(base)
    assert found.status == "longitudinal_base"
    assert ".long.sub-01" in found.remedy
    assert check_subject(write_subject(tmp_path / "sub-01_ses-1.long.sub-01", {}, etiv=1.5e6)).usable


def test_fastsurfer_needs_its_own_statistics(fastsurfer):
    assert check_subject(fastsurfer, expected_subject="sub-01").status == "complete"
    remove(fastsurfer, "stats/lh.aparc.DKTatlas.mapped.stats")
    assert check_subject(fastsurfer).status == "incomplete"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_directory_that_may_not_be_read_is_told(tree):
    (tree / "stats").chmod(0)
    try:
        assert "may not be read" in check_subject(tree).message
    finally:
        (tree / "stats").chmod(0o755)


def test_nothing_is_touched(tree):
    def snapshot():
        return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in [tree, *tree.rglob("*")]}

    mark_running(tree, "elsewhere", 1, hours_ago=1000)
    before = snapshot()
    check_subject(tree, expected_subject="sub-01")
    assert snapshot() == before
