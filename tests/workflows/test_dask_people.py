"""People on real Dask workers: the same bytes as here, whatever happens to a worker, its disk or the scheduler."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bids_app.bids.status import read_statuses
from bids_app.cli import exitcodes
from bids_app.cli.main import main
from bids_app.freesurfer.synthetic import write_subject
from bids_app.workflows import dask_people
from tests.integration.test_runs import make_dataset

pytest.importorskip("distributed", reason="Dask is not installed (extra hpc)")
pytestmark = pytest.mark.slow
LABELS = ("01", "02", "03", "04", "05", "06")

# Loaded by each worker: the process that is about to write sub-01 does something to itself, the first N times.
PRELOAD = """
import os, signal
from pathlib import Path
from bids_app.run import scan

write = getattr(scan.write_scan, "first", scan.write_scan)  # Dask may load this twice
marks, times, number = Path({marks!r}), {times}, {number}

def struck(result, *arguments):
    if result.summary["participant_id"] == "sub-01":
        for index in range(times):
            try:
                (marks / str(index)).touch(exist_ok=False)
            except FileExistsError:
                continue
            os.kill(os.getpid(), number)
            break
    return write(result, *arguments)

struck.first = write
scan.write_scan = struck
"""


@pytest.fixture
def bids(tmp_path):
    folder = make_dataset(tmp_path / "bids", labels=LABELS)
    for label in LABELS:
        write_subject(folder / "derivatives/freesurfer" / f"sub-{label}", {"Left-Thalamus": 7000.0}, etiv=1.5e6)
    return folder


class Dask:
    """A scheduler and two workers, each a process group of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.processes = folder, []
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{self.port}"
        (folder / "marks").mkdir()
        self.preload = folder / "preload.py"
        self.preload.write_text("")

    def strike(self, number: int, times: int) -> None:
        text = PRELOAD.format(marks=str(self.folder / "marks"), times=times, number=int(number))
        self.preload.write_text(text)

    def _start(self, module: str, *arguments: str) -> subprocess.Popen:
        settings = {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "10s", "OMP_NUM_THREADS": "1"}
        root = str(Path(__file__).parents[2])
        with (self.folder / f"dask-{len(self.processes)}.txt").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{module}", *arguments],
                stdout=log,
                stderr=log,
                env={**os.environ, **settings, "PYTHONPATH": root},
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def start_scheduler(self) -> None:
        self.scheduler = self._start(
            "dask_scheduler", "--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard", "--no-jupyter"
        )

    def start_workers(self, scratch=(None, None)) -> None:
        for number, place in enumerate(scratch):
            place = place or self.folder / f"scratch{number}"
            options = ["--nthreads", "1", "--no-dashboard", "--local-directory", str(place)]
            self._start("dask_worker", self.address, *options, "--preload", str(self.preload))

    def stop(self) -> None:
        for process in self.processes:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            process.wait()


@pytest.fixture
def dask(tmp_path):
    made = Dask(tmp_path)
    made.start_scheduler()
    yield made
    made.stop()


def command(bids, out, scheduler):
    return [str(bids), str(out), "participant", "--recon", "ingest", "--scheduler", scheduler]


def run(bids, out, dask):
    return main(command(bids, out, f"dask:{dask.address}"))


def statuses(out):
    return read_statuses(out).set_index("participant_id")["status"].to_dict()


def results(out):
    found = [*out.rglob("*_morph.*"), *out.glob("*.html"), *out.rglob("figures/*")]
    return {path.relative_to(out): path.read_bytes() for path in found}


def test_outputs_are_the_bytes_of_a_local_run(bids, tmp_path, dask, capsys):
    dask.start_workers()
    assert run(bids, tmp_path / "out", dask) == exitcodes.OK
    assert "sub-06  finished" in capsys.readouterr().err
    assert main([str(bids), str(tmp_path / "local"), "participant", "--recon", "ingest"]) == exitcodes.OK
    assert results(tmp_path / "out") == results(tmp_path / "local")
    assert len(results(tmp_path / "out")) > 6 * 5
    assert not list(tmp_path.glob("scratch*/**/normvol-*"))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
def test_people_of_a_lost_worker_are_finished_by_another(bids, tmp_path, dask, number):
    dask.strike(number, times=1)
    dask.start_workers()
    assert run(bids, tmp_path / "out", dask) == exitcodes.OK
    assert list((tmp_path / "marks").iterdir())
    assert set(statuses(tmp_path / "out").values()) == {"scored"}


def test_who_always_kills_the_worker_fails_alone(bids, tmp_path, dask):
    dask.strike(signal.SIGKILL, times=99)
    dask.start_workers()
    assert run(bids, tmp_path / "out", dask) == exitcodes.FAILED
    found = read_statuses(tmp_path / "out").set_index("participant_id")
    assert found["status"].to_dict() == {f"sub-{x}": "failed" if x == "01" else "scored" for x in LABELS}
    assert "memory" in found.loc["sub-01", "reason"]


def test_a_full_disk_of_one_worker_costs_nobody(bids, tmp_path, dask, capsys):
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(place)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        dask.start_workers((place, None))
        assert run(bids, tmp_path / "out", dask) == exitcodes.OK
        assert "disk was full" in capsys.readouterr().err
        assert set(statuses(tmp_path / "out").values()) == {"scored"}
    finally:
        dask.stop()
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_worker_of_another_version_does_nobody(bids, tmp_path, dask, capsys):
    dask.start_workers((None,))
    other = dask.folder / "other.py"
    other.write_text("from bids_app.workflows import dask_people\ndask_people.__version__ = '9.9'\n")
    dask.preload = other
    dask.start_workers((tmp_path / "other-scratch",))
    assert run(bids, tmp_path / "out", dask) == exitcodes.OK
    assert set(statuses(tmp_path / "out").values()) == {"scored"}


def test_workers_of_another_version_only_are_named(bids, tmp_path, dask):
    dask.preload.write_text("from bids_app.workflows import dask_people\ndask_people.__version__ = '9.9'\n")
    dask.start_workers()
    assert run(bids, tmp_path / "out", dask) == exitcodes.FAILED
    found = read_statuses(tmp_path / "out")
    assert set(found["status"]) == {"failed"}
    assert found["reason"].str.startswith("a worker has normvol 9.9, and this command is ").all()


def test_a_worker_that_does_not_see_the_folders_says_so(bids, tmp_path, dask):
    hides = "from pathlib import Path\nlook = getattr(Path.is_dir, 'first', Path.is_dir)\n"
    hides += "def is_dir(path):\n    return path.name != 'bids' and look(path)\n"
    dask.preload.write_text(f"{hides}is_dir.first = look\nPath.is_dir = is_dir\n")
    dask.start_workers()
    assert run(bids, tmp_path / "out", dask) == exitcodes.FAILED
    assert (
        read_statuses(tmp_path / "out")["reason"].str.contains("a worker does not see .*bids, which every node").all()
    )


def start_and_wait_for_one(bids, out, scheduler):
    """The command in a process of its own, once somebody is finished."""
    arguments = [sys.executable, "-m", "bids_app.cli.main", *command(bids, out, scheduler)]
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
    for line in process.stderr:
        if "finished in" in line:
            return process
    raise AssertionError(f"ended with {process.wait()} before anybody was finished")


def test_an_interrupted_run_goes_on_where_it_stopped(bids, tmp_path, dask):
    dask.start_workers()
    process = start_and_wait_for_one(bids, tmp_path / "out", f"dask:{dask.address}")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == exitcodes.INTERRUPTED
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("sub-*.html")}
    assert run(bids, tmp_path / "out", dask) == exitcodes.OK
    assert before
    assert all(path.stat().st_mtime_ns == when for path, when in before.items() if path.name == "sub-01.html")
    assert set(statuses(tmp_path / "out").values()) == {"scored"}


def test_a_scheduler_that_starts_again_is_found_again(bids, tmp_path, dask):
    dask.start_workers()
    process = start_and_wait_for_one(bids, tmp_path / "out", f"dask:{dask.address}")
    dask.stop()
    dask.start_scheduler()
    dask.start_workers()
    said = process.communicate(timeout=180)[1]
    assert process.returncode == exitcodes.OK, said
    assert "connecting again" in said
    assert set(statuses(tmp_path / "out").values()) == {"scored"}


def test_a_scheduler_file_serves(bids, tmp_path):
    made = Dask(tmp_path)
    place = tmp_path / "scheduler.json"
    try:
        made._start("dask_scheduler", "--scheduler-file", str(place), "--host", "127.0.0.1", "--port", str(made.port))
        made.start_workers()
        until = time.monotonic() + 60
        while not place.exists() and time.monotonic() < until:
            time.sleep(0.1)
        arguments = [*command(bids, tmp_path / "out", f"dask:{place}"), "--participant-label", "01"]
        assert main(arguments) == exitcodes.OK
    finally:
        made.stop()


def test_a_cluster_of_dask_jobqueue_on_slurm(bids, shared, tmp_path, monkeypatch, repository):
    pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed (extra hpc)")
    if not shutil.which("slurmctld") or os.getuid() != 0:
        pytest.skip("Slurm is not installed, or not root")
    tools, state = shared / "tools", tmp_path / "slurm"
    up = ["bash", str(tools / "slurm-up.sh"), str(state), "2"]
    started = subprocess.run(up, capture_output=True, text=True, check=False, timeout=120)
    if started.returncode:
        pytest.skip(f"Slurm does not start here: {started.stderr[-300:]}")
    monkeypatch.setenv("SLURM_CONF", str(state / "slurm.conf"))
    monkeypatch.setenv("PYTHONPATH", str(repository))
    settings = "{cores: 1, memory: 1500MB, walltime: '00:10:00', interface: lo, adapt: {minimum: 0, maximum: 2}"
    cluster = tmp_path / "cluster.yaml"
    cluster.write_text(f"jobqueue:\n  slurm: {settings}, log_directory: '{tmp_path / 'logs'}'}}\n")
    try:
        assert main(command(bids, tmp_path / "out", f"dask:{cluster}")) == exitcodes.OK
        assert set(statuses(tmp_path / "out").values()) == {"scored"}
        assert list((tmp_path / "logs").iterdir())
    finally:
        down = ["bash", str(tools / "slurm-down.sh"), str(state)]
        subprocess.run(down, check=False, capture_output=True, timeout=60)


def test_jobs_that_the_cluster_refuses_end_the_run_with_its_words(bids, tmp_path, monkeypatch, capsys):
    pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed (extra hpc)")
    sbatch = tmp_path / "bin" / "sbatch"
    sbatch.parent.mkdir()
    sbatch.write_text("#!/bin/sh\necho 'sbatch: error: invalid account' >&2\nexit 1\n")
    sbatch.chmod(0o755)
    monkeypatch.setenv("PATH", f"{sbatch.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(dask_people, "LOOK_SECONDS", 0.2)
    for number, more in enumerate(("jobs: 2", "adapt: {minimum: 0, maximum: 2}")):
        cluster = tmp_path / f"cluster{number}.yaml"
        cluster.write_text(f"jobqueue: {{slurm: {{cores: 1, memory: 1GB, interface: lo, {more}}}}}\n")
        assert main(command(bids, tmp_path / "out", f"dask:{cluster}")) == exitcodes.INPUT
        said = capsys.readouterr().err
        assert "none will come: the cluster refused its jobs (sbatch: error: invalid account)" in said
        assert "Traceback" not in said
