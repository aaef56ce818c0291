"""What matters at a thousand people: killed workers, runs in several graphs, scratch space that does not grow."""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
from pathlib import Path

import pytest

from bids_app.bids.status import read_statuses
from bids_app.cli import exitcodes, reports_only
from bids_app.cli.main import main
from bids_app.run import scan
from bids_app.workflows import participant
from tests.integration.test_runs import scored

# Workers are forked, so they see what the test has replaced.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(multiprocessing.get_start_method() != "fork", reason="workers are not forked here"),
]


def kill_worker(monkeypatch, tmp_path, *, times: int):
    """Kill the worker that is about to write sub-01, the first `times` times."""
    write = scan.write_scan

    def killed(result, *arguments):
        marks = list(tmp_path.glob("killed*"))
        if result.summary["participant_id"] == "sub-01" and len(marks) < times:
            (tmp_path / f"killed{len(marks)}").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return write(result, *arguments)

    monkeypatch.setattr(scan, "write_scan", killed)


def run(bids, tmp_path, *more):
    return main([str(bids), str(tmp_path / "out"), "participant", "--nprocs", "2", *more])


def test_people_of_a_killed_worker_are_tried_again(bids, tmp_path, monkeypatch, capsys):
    kill_worker(monkeypatch, tmp_path, times=1)
    assert run(bids, tmp_path) == exitcodes.OK
    assert scored(tmp_path / "out") == ["sub-01", "sub-02"]
    said = capsys.readouterr().err
    assert "lost their worker process" in said
    assert "sub-01  finished" in said


def test_a_person_who_always_kills_the_worker_fails_alone(bids, tmp_path, monkeypatch):
    kill_worker(monkeypatch, tmp_path, times=9)
    assert run(bids, tmp_path) == exitcodes.FAILED
    statuses = read_statuses(tmp_path / "out").set_index("participant_id")
    assert list(statuses["status"]) == ["failed", "scored"]
    assert "memory" in statuses.loc["sub-01", "reason"]


def test_several_graphs_give_what_one_gives(bids, tmp_path, monkeypatch):
    assert run(bids, tmp_path) == exitcodes.OK
    whole = {path.name: path.read_bytes() for path in (tmp_path / "out").rglob("*_morph.tsv")}
    (tmp_path / "out").rename(tmp_path / "one_graph")
    monkeypatch.setattr(participant, "PEOPLE_PER_GRAPH", 1)
    monkeypatch.setattr(participant, "ROUNDS_PER_GRAPH", 0)
    assert run(bids, tmp_path) == exitcodes.OK
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").rglob("*_morph.tsv")} == whole


def test_scratch_space_is_given_back_and_a_work_folder_kept(bids, tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    assert run(bids, tmp_path) == exitcodes.OK
    assert list(scratch.iterdir()) == []
    assert run(bids, tmp_path, "--force", "-w", str(tmp_path / "work")) == exitcodes.OK
    assert list((tmp_path / "work").rglob("result_score.pklz"))


def test_reports_are_rebuilt_in_graphs_of_a_bounded_size(bids, tmp_path, monkeypatch):
    assert run(bids, tmp_path) == exitcodes.OK
    reports = sorted(Path(tmp_path / "out").glob("sub-*.html"))
    before = [path.read_bytes() for path in reports]
    for path in reports:
        path.unlink()
    monkeypatch.setattr(reports_only, "REPORTS_PER_GRAPH", 1)
    assert run(bids, tmp_path, "--reports-only") == exitcodes.OK
    assert [path.read_bytes() for path in reports] == before
