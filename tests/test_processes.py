"""Nothing outlives a process that is killed: no folder, no worker, nothing that a worker runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from bids_app.errors import UsageError
from bids_app.processes import full_places, private_folder

PARENT = """
import os, subprocess, sys, time
from pathlib import Path
from types import SimpleNamespace
from bids_app.freesurfer import recon_all
from bids_app.processes import end_with, temporary_folder

folder = temporary_folder("killed-")
parent = os.getpid()
child = os.fork()
if child == 0:
    running = subprocess.Popen(["sleep", "600"], start_new_session=True)
    recon_all._RUNNING.add(running.pid)
    end_with(parent, recon_all.end_running)
    print(running.pid, os.getpid(), folder, flush=True)
    while True:
        (folder / "still-at-work").write_text("x")
        time.sleep(0.05)
time.sleep(600)
"""


def alive(process):
    try:
        with open(f"/proc/{process}/stat", encoding="ascii") as stream:
            return stream.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(true, seconds=8.0):
    until = time.monotonic() + seconds
    while not true() and time.monotonic() < until:
        time.sleep(0.05)
    return true()


def test_a_killed_process_takes_workers_their_programs_and_its_folder_along(tmp_path):
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    process = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, env=environment)
    running, worker, folder = process.stdout.readline().split()
    assert alive(running)
    assert alive(worker)
    assert os.path.isdir(folder)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert wait_until(lambda: not alive(worker) and not alive(running), 5)
    assert wait_until(lambda: not os.listdir(tmp_path))


def test_a_folder_of_a_process_that_ends_by_itself_goes_too(tmp_path):
    code = "from bids_app.processes import temporary_folder as t; (t('x y-') / 'file').touch(); t('second-')"
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "TMPDIR": str(tmp_path)}, check=True)
    assert wait_until(lambda: not os.listdir(tmp_path))


def mode(folder):
    return folder.stat().st_mode & 0o777


def test_a_work_folder_is_this_users_alone(tmp_path):
    private_folder(tmp_path / "a" / "work")
    assert mode(tmp_path / "a" / "work") == 0o700
    assert mode(tmp_path / "a") != 0o700
    (tmp_path / "b").mkdir(mode=0o755)
    (tmp_path / "b" / "kept").touch()
    private_folder(tmp_path / "b", make=False)
    assert mode(tmp_path / "b") == 0o755
    private_folder(tmp_path / "b")
    assert mode(tmp_path / "b") == 0o700
    private_folder(tmp_path / "absent", make=False)
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize(("permissions", "empty"), [(0o777, True), (0o702, True), (0o770, False), (0o1777, True)])
def test_a_work_folder_that_others_can_write_is_refused(tmp_path, permissions, empty):
    folder = tmp_path / "work"
    folder.mkdir()
    if not empty:
        (folder / "result_read.pklz").touch()
    folder.chmod(permissions)
    with pytest.raises(UsageError, match="can be written by others") as caught:
        private_folder(folder)
    assert f"chmod 700 {folder}" in caught.value.remedy
    assert mode(folder) == permissions & 0o777


def test_an_empty_work_folder_of_a_group_becomes_this_users_alone(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    folder.chmod(0o775)
    private_folder(folder)
    assert mode(folder) == 0o700


def test_a_work_folder_of_somebody_else_is_refused(tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(UsageError, match="belongs to another user"):
        private_folder(tmp_path / "work")


def test_a_file_is_no_work_folder(tmp_path):
    Path(tmp_path / "work").touch()
    with pytest.raises(UsageError, match="is a file"):
        private_folder(tmp_path / "work")


@pytest.mark.parametrize("lacking", [{"f_bavail": 0}, {"f_favail": 0}])
def test_a_place_without_bytes_or_inodes_is_named(tmp_path, monkeypatch, lacking):
    room = {"f_bavail": 10**9, "f_frsize": 4096, "f_blocks": 10**9, "f_files": 10**6, "f_favail": 10**6}

    def statvfs(folder):
        return SimpleNamespace(**(room | lacking if str(folder).startswith(str(tmp_path / "full")) else room))

    (tmp_path / "full").mkdir()
    monkeypatch.setattr(os, "statvfs", statvfs)
    assert full_places([tmp_path / "full" / "new", tmp_path, None]) == [str(tmp_path / "full" / "new")]
