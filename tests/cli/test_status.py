"""``normvol-status`` says what is done and why the rest is not."""

from __future__ import annotations

import json
import os

import pytest

from bids_app.bids import markers
from bids_app.bids.names import derivative_path
from bids_app.bids.status import write_status
from bids_app.cli import exitcodes
from bids_app.cli.status import main
from bids_app.tables import write_json


def score(out, label, session=None):
    write_json({"person": label}, derivative_path(out, label, session, desc="summary", extension=".json"))
    write_status(out, label, session, status="scored", stage="done")
    markers.end_scan(out, label, session)
    markers.end_person(out, label, markers.person_cover(out, label))


@pytest.fixture
def out(tmp_path):
    for session in ("1", "2"):
        score(tmp_path, "01", session)
    return tmp_path


def test_all_done_is_0(out, capsys):
    assert main([str(out)]) == exitcodes.OK
    assert capsys.readouterr().out == "2 scans: 2 done, 0 left out, 0 failed, 0 unfinished\n"


def test_left_out_is_4_with_its_reason(out, capsys):
    write_status(out, "02", status="omitted", stage="covariates", reason="no age", remedy="add it")
    assert main([str(out)]) == exitcodes.OMISSIONS
    assert "left out: sub-02: no age; add it" in capsys.readouterr().out


def test_failed_is_1_and_stands_in_json(out, capsys):
    write_status(out, "02", status="failed", stage="score", reason="broken")
    assert main([str(out), "--json"]) == exitcodes.FAILED
    content = json.loads(capsys.readouterr().out)
    assert content["counts"] == {"done": 2, "left out": 0, "failed": 1, "unfinished": 0}
    assert content["scans"][-1]["reason"] == "broken"


def test_a_scan_without_its_marker_is_unfinished(out, capsys):
    markers.scan_marker(out, "01", "2").unlink()
    assert main([str(out)]) == exitcodes.FAILED
    assert "unfinished: sub-01_ses-2" in capsys.readouterr().out


def test_a_summary_that_is_newer_than_its_marker_is_unfinished(out, capsys):
    summary = derivative_path(out, "01", "1", desc="summary", extension=".json")
    later = markers.scan_marker(out, "01", "1").stat().st_mtime_ns + 10**9
    os.utime(summary, ns=(later, later))
    assert main([str(out)]) == exitcodes.FAILED
    assert "unfinished: sub-01_ses-1" in capsys.readouterr().out


def test_a_person_whose_tables_lack_a_session_is_unfinished(out, capsys):
    before = markers.person_marker(out, "01").read_bytes()
    score(out, "01", "3")
    markers.person_marker(out, "01").write_bytes(before)
    assert main([str(out)]) == exitcodes.FAILED
    assert "unfinished: sub-01_ses-3: the person's tables" in capsys.readouterr().out


def test_a_folder_of_somebody_else_is_3(tmp_path, capsys):
    assert main([str(tmp_path)]) == exitcodes.INPUT
    assert "no logs/status" in capsys.readouterr().err


def test_reasons_never_steer_the_terminal(out, capsys):
    write_status(out, "02", status="failed", stage="score", reason="broken \x1b[2J")
    main([str(out)])
    assert "\x1b" not in capsys.readouterr().out
