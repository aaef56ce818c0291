"""Done means done: the next run finishes an interrupted one; merged outputs of single sessions are made whole."""

from __future__ import annotations

import shutil
import sys

import pytest

from bids_app.bids.markers import is_person_done, person_marker
from bids_app.cli import exitcodes, status
from bids_app.cli.main import main
from bids_app.freesurfer.synthetic import write_subject
from scripts import kill_points
from tests.integration.test_runs import make_dataset

pytestmark = pytest.mark.slow


@pytest.fixture
def two_visits(tmp_path):
    """A dataset of two people with two visits each; returns its folder."""
    bids = make_dataset(tmp_path / "bids", sessions=("1", "2"))
    for label in ("01", "02"):
        for session in ("1", "2"):
            tree = bids / f"derivatives/freesurfer/sub-{label}_ses-{session}"
            write_subject(tree, {"Left-Thalamus": 7000.0 - 200 * int(session)}, etiv=1.5e6)
    return bids


def run(bids, output, *more):
    return main([str(bids), str(output), "participant", "--nprocs", "1", "--recon", "ingest", *more])


def person_files(output):
    """Tables and report of the person, and the marker."""
    places = [*(output / "sub-01/anat").glob("*"), output / "sub-01.html", person_marker(output, "01")]
    return {path.relative_to(output).as_posix(): path.read_bytes() for path in places}


@pytest.mark.parametrize("order", [("1", "2"), ("2", "1")])
@pytest.mark.parametrize("adapted", [False, True])
def test_outputs_of_single_sessions_are_whole_after_reports_only(two_visits, tmp_path, order, adapted, capsys):
    options = ["--adapt-controls", 'participant_id == "sub-02"'] if adapted else []
    for session in order:
        job = tmp_path / f"job-{session}"
        assert run(two_visits, job, *options, "--session-label", session) == exitcodes.OK
        shutil.copytree(job, tmp_path / "merged", dirs_exist_ok=True)
    assert not is_person_done(tmp_path / "merged", "01")
    assert run(two_visits, tmp_path / "whole", *options) == exitcodes.OK
    assert run(two_visits, tmp_path / "merged", "--reports-only") == exitcodes.OK
    whole, merged = person_files(tmp_path / "whole"), person_files(tmp_path / "merged")
    assert sorted(merged) == sorted(whole)
    tables = [name for name in whole if name.endswith(".tsv")]
    assert len(tables) == 5
    assert all(merged[name] == whole[name] for name in tables)
    capsys.readouterr()
    assert run(two_visits, tmp_path / "merged", *options) == exitcodes.OK
    assert "0 to score, 4 up to date" in capsys.readouterr().err


def test_tables_stay_and_it_is_said_when_the_model_is_another(two_visits, tmp_path, capsys):
    assert run(two_visits, tmp_path / "out") == exitcodes.OK
    person_marker(tmp_path / "out", "01").unlink()
    capsys.readouterr()
    assert run(two_visits, tmp_path / "out", "--reports-only", "--model", "open-reference") in (0, 3)
    said = capsys.readouterr().err
    assert "its change and centile tables stay as they are" in said
    assert not is_person_done(tmp_path / "out", "01")


def test_a_report_that_was_not_written_any_more_is_written_by_the_next_run(two_visits, tmp_path, monkeypatch):
    assert run(two_visits, tmp_path / "out") == exitcodes.OK
    ages = two_visits / "sub-01/sub-01_sessions.tsv"
    ages.write_text(ages.read_text().replace("\t30", "\t28"))
    assert run(two_visits, tmp_path / "whole") == exitcodes.OK

    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("bids_app.run.person.write_person_tables", interrupted)
        run(two_visits, tmp_path / "out", "--stop-on-first-crash")
    assert run(two_visits, tmp_path / "out") == exitcodes.OK
    assert person_files(tmp_path / "out") == person_files(tmp_path / "whole")


def test_a_repaired_persons_report_does_not_link_the_old_crash(two_visits, tmp_path, monkeypatch):
    def broken(*arguments, **options):
        raise ZeroDivisionError("planted")

    with monkeypatch.context() as patch:
        patch.setattr("bids_app.run.figures.end_scan", broken)
        assert run(two_visits, tmp_path / "out") == exitcodes.FAILED
    assert "crash-" in (tmp_path / "out/sub-01.html").read_text()
    assert run(two_visits, tmp_path / "out") == exitcodes.OK
    assert "crash-" not in (tmp_path / "out/sub-01.html").read_text()


def test_twelve_seeded_kills_change_no_byte_of_the_end(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["kill_points.py", "--points", "12", "--seed", "16"])
    assert kill_points.main() == 0


def test_status_says_what_a_next_run_would_do(two_visits, tmp_path, capsys):
    assert run(two_visits, tmp_path / "out") == exitcodes.OK
    write_subject(two_visits / "derivatives/freesurfer/sub-02_ses-1", {"Left-Thalamus": 6000.0}, etiv=1.5e6)
    capsys.readouterr()
    assert status.main([str(tmp_path / "out"), "--bids", str(two_visits)]) == exitcodes.OK
    said = capsys.readouterr().out
    assert "4 scans: 4 done" in said
    assert "a next run: 2 to score, 2 up to date, 0 to leave out" in said
    assert "to score: sub-02_ses-1, sub-02_ses-2" in said
