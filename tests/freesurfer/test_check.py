"""The trust check: one status per kind of trouble, and nothing touched."""

from __future__ import annotations

import os
import socket
import time

import pytest

from bids_app.errors import FreeSurferError
from bids_app.freesurfer.check import STALE_AFTER_HOURS, SubjectCheck, check_subject, needed_stats, require_usable
from bids_app.freesurfer.stats_folder import StatsFolder
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


def test_a_directory_that_may_not_be_read_is_told(tree):
    (tree / "stats").chmod(0)
    try:
        if os.access(tree / "stats", os.R_OK):
            pytest.skip("this user reads everything")
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


@pytest.mark.parametrize("closed", ["sub-01", "sub-01/stats"])
@pytest.mark.parametrize("right", [os.R_OK, os.X_OK])
def test_a_folder_that_lacks_one_right_is_told(tree, monkeypatch, closed, right):
    """Root may read everything, so the answer of the system is given here."""
    folder = str(tree.parent / closed)
    monkeypatch.setattr(os, "access", lambda path, mode: not (str(path) == folder and mode & right))
    found = check_subject(tree)
    assert (found.status, found.message) == ("missing", f"{folder} may not be read by this user")


def test_a_link_to_nowhere_is_told_from_nothing(tmp_path):
    (tmp_path / "sub-01").symlink_to(tmp_path / "none")
    assert "link to nowhere" in check_subject(tmp_path / "sub-01").message
    assert "does not exist" in check_subject(tmp_path / "sub-02").message


@pytest.mark.parametrize(
    ("place", "empty"),
    [
        ("mri/orig/001.mgz", False),
        ("scripts/x.log", False),
        ("mri/.keep", True),
        ("mri/orig/.keep", True),
        ("surf/lh.white", True),
    ],
)
def test_a_tree_whose_first_file_lies_deep_is_not_empty(tmp_path, place, empty):
    path = tmp_path / "sub-01" / place
    path.parent.mkdir(parents=True)
    path.touch()
    assert (check_subject(tmp_path / "sub-01").status == "empty") is empty


def test_the_last_line_of_the_status_decides_wherever_the_words_stand_in_it(tree):
    (tree / "scripts" / "recon-all-status.log").write_text("exited with ERRORS at Wed\n\n \n")
    found = check_subject(tree)
    assert (found.status, "recon-all-status.log ends with an error" in found.message) == ("failed", True)
    (tree / "scripts" / "recon-all-status.log").write_text("")
    assert check_subject(tree).status == "complete"


@pytest.mark.parametrize(
    ("done", "status"), [("0\n", "complete"), ("", "complete"), ("1\n", "failed"), ("SUBJECT sub-01\n1\n", "complete")]
)
def test_what_the_done_file_may_hold(tree, done, status):
    (tree / "scripts" / "recon-all.done").write_text(done)
    assert check_subject(tree).status == status


def test_the_step_that_failed_is_named(tree):
    (tree / "scripts" / "recon-all.error").write_text("SUBJECT sub-01\nCMD mri_ca_label -align x\n")
    assert "recon-all failed in mri_ca_label for" in check_subject(tree).message
    (tree / "scripts" / "recon-all.error").write_text("")
    assert "recon-all failed for" in check_subject(tree).message


@pytest.mark.parametrize(("hours", "status"), [(23.9, "running"), (24.1, "stale")])
def test_a_day_without_a_sign_of_life_is_the_end(tree, hours, status, monkeypatch):
    mark_running(tree, "elsewhere", 1, hours_ago=hours)
    found = check_subject(tree)
    assert found.status == status
    assert "host elsewhere, last sign of life 24 hours ago" in found.message


def test_exactly_a_day_is_the_end(tree, monkeypatch):
    mark_running(tree, "elsewhere", 1)
    monkeypatch.setattr("bids_app.freesurfer.check._last_activity", lambda *_: 1000.0)
    for seconds, status in ((86399.9, "running"), (86400.0, "stale")):
        monkeypatch.setattr("bids_app.freesurfer.check.time.time", lambda seconds=seconds: 1000.0 + seconds)
        assert check_subject(tree).status == status


def test_without_any_date_the_newest_script_is_the_last_sign_of_life(tree):
    mark_running(tree, "elsewhere", 1)
    for name, text in (("IsRunning.lh+rh", "no date"), ("recon-all-status.log", "Xxx Foo 99 00:00:00 UTC 2020\n")):
        (tree / "scripts" / name).write_text(text)
    long_ago = time.time() - 90 * 3600
    for path in (tree / "scripts").iterdir():
        os.utime(path, (long_ago, long_ago))
    assert "unknown host, last sign of life 90 hours ago" in check_subject(tree).message
    recent = time.time() - 3 * 3600
    os.utime(tree / "scripts" / "recon-all-status.log", (recent, recent))
    found = check_subject(tree)
    assert (found.status, "3 hours ago" in found.message) == ("running", True)


def test_the_newest_of_all_dates_counts(tree):
    mark_running(tree, "elsewhere", 1, hours_ago=50)
    log = tree / "scripts" / "recon-all-status.log"
    newer = time.strftime("%a %b %d %H:%M:%S UTC %Y", time.localtime(time.time() - 3600 * 5))
    log.write_text(f"#@# Skull {newer}\n" + log.read_text())
    assert "last sign of life 5 hours ago" in check_subject(tree).message


def test_a_process_of_another_host_with_a_known_number_tells_nothing(tree):
    mark_running(tree, "elsewhere", os.getpid(), hours_ago=100)
    assert check_subject(tree).status == "stale"
    edit(tree / "scripts" / "IsRunning.lh+rh", "HOST elsewhere", f"HOST {socket.gethostname()}")
    edit(tree / "scripts" / "IsRunning.lh+rh", "PROCESSID", "PROCESS")
    (tree / "scripts" / "recon-all.done").touch()
    assert check_subject(tree).status == "stale"


def test_without_a_list_of_processes_the_one_of_this_host_counts_as_alive(tree, monkeypatch):
    mark_running(tree, socket.gethostname(), 2**22 + 1)
    whole = os.path.isdir
    monkeypatch.setattr(os.path, "isdir", lambda path: str(path) != "/proc/self" and whole(path))
    assert check_subject(tree).status == "running"


def test_without_looking_inside_a_tree_is_whole_when_its_files_are_there(tree):
    (tree / "stats" / "aseg.stats").write_text("")
    assert check_subject(tree, look_inside=False) == SubjectCheck("complete", f"{tree} is complete")
    remove(tree, "stats/lh.aparc.stats")
    assert check_subject(tree, look_inside=False).status == "truncated"


def test_needed_files_of_fastsurfer(fastsurfer):
    needed = needed_stats(StatsFolder(fastsurfer))
    assert needed == ("stats/aseg.stats", *(f"stats/{h}.aparc.DKTatlas.mapped.stats" for h in ("lh", "rh")))
    remove(fastsurfer, "stats/rh.aparc.DKTatlas.mapped.stats", "stats/aseg.stats")
    assert needed_stats(StatsFolder(fastsurfer))[0] == "stats/aseg+DKT.stats"
    assert len(needed_stats(StatsFolder(fastsurfer))) == 3
    assert "lacks stats/rh.aparc.DKTatlas.mapped.stats" in check_subject(fastsurfer).message
    remove(fastsurfer, "stats/lh.aparc.DKTatlas.mapped.stats")
    assert needed_stats(StatsFolder(fastsurfer)) == ("stats/aseg+DKT.stats",)


def test_a_name_in_a_file_that_is_not_needed_counts_when_it_contradicts(tree):
    other = tree / "stats" / "wmparc.stats"
    other.write_text("# subjectname sub-09\n")
    found = check_subject(tree)
    assert (found.status, "stats/wmparc.stats names sub-09, not sub-01" in found.message) == ("wrong_subject", True)
    assert check_subject(tree, trust_names=True).status == "complete"
    for text in ("# subjectname bert\n", "# subjectname sub-01_ses-1\n", 3000 * "x" + "\n# subjectname sub-09\n"):
        other.write_text(text)
        assert check_subject(tree).status == "complete"
    other.rename(tree / "stats" / "wmparc.txt")
    (tree / "stats" / "wmparc.txt").write_text("# subjectname sub-09\n")
    assert check_subject(tree).status == "complete"


def test_the_name_in_the_done_file_counts(tree):
    edit(tree / "scripts" / "recon-all.done", "SUBJECT sub-01", "SUBJECT sub-07")
    assert "scripts/recon-all.done names sub-07, not sub-01" in check_subject(tree).message


def test_a_name_without_labels_is_taken_as_it_comes(tmp_path):
    tree = write_subject(tmp_path / "bert", {}, etiv=1.5e6)
    for path in (tree / "stats").iterdir():
        path.write_text(path.read_text().replace("# subjectname bert", "# subjectname sub-05"))
    assert check_subject(tree).status == "complete"
    assert check_subject(tree, expected_subject="ernie").status == "wrong_subject"


def test_a_killed_run_is_told_from_a_copy_that_lacks_files(tree):
    remove(tree, "stats/rh.aparc.stats")
    assert check_subject(tree).status == "incomplete"
    remove(tree, "scripts/recon-all.done")
    assert check_subject(tree).status == "killed"
    for path in (tree / "scripts").iterdir():
        path.unlink()
    (tree / "scripts").rmdir()
    assert check_subject(tree).status == "incomplete"
