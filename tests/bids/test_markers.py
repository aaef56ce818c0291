"""Markers say what is done and what it was made from."""

from __future__ import annotations

import pytest

from bids_app.bids import markers
from bids_app.bids.names import derivative_path
from bids_app.bids.status import write_status
from bids_app.tables import write_json


@pytest.fixture
def out(tmp_path):
    for session in ("1", "2"):
        summarise(tmp_path, session, 1)
        write_status(tmp_path, "01", session, status="scored", stage="done")
    return tmp_path


def summarise(out, session, value):
    write_json({"value": value}, derivative_path(out, "01", session, desc="summary", extension=".json"))


def finish(out):
    for session in ("1", "2"):
        markers.end_scan(out, "01", session)
    markers.end_person(out, "01", markers.person_cover(out, "01"))


def test_nothing_is_done_without_a_marker(out):
    assert not markers.is_scan_done(out, "01", "1")
    assert not markers.is_person_done(out, "01")


def test_markers_cover_what_is_there(out):
    finish(out)
    assert markers.is_scan_done(out, "01", "1")
    assert markers.is_person_done(out, "01")


def test_a_summary_that_was_written_later_is_not_covered(out):
    finish(out)
    summarise(out, "2", 2)
    assert markers.is_scan_done(out, "01", "1")
    assert not markers.is_scan_done(out, "01", "2")
    assert not markers.is_person_done(out, "01")


def test_a_scan_that_is_begun_takes_the_persons_marker_away(out):
    finish(out)
    markers.begin_scan(out, "01", "1")
    assert not markers.is_scan_done(out, "01", "1")
    assert not markers.is_person_done(out, "01")
    assert markers.is_scan_done(out, "01", "2")


def test_a_session_that_came_later_by_a_merge_is_not_covered(out):
    finish(out)
    summarise(out, "3", 1)
    assert not markers.is_person_done(out, "01")


def test_another_reason_to_leave_a_session_out_is_not_covered(out):
    finish(out)
    assert not markers.is_person_done(out, "01", {"sub-01_ses-3": "no age"})
    write_status(out, "01", "3", status="omitted", stage="covariates", reason="no age")
    markers.end_person(out, "01", markers.person_cover(out, "01"))
    assert markers.is_person_done(out, "01", {"sub-01_ses-3": "no age"})
    assert not markers.is_person_done(out, "01", {"sub-01_ses-3": "no sex"})


def test_a_damaged_marker_is_none(out):
    finish(out)
    markers.person_marker(out, "01").write_text('{"scans": {')
    assert not markers.is_person_done(out, "01")


def test_people_whose_names_begin_alike_are_kept_apart(out):
    finish(out)
    write_status(out, "011", None, status="failed", stage="score", reason="broken")
    assert markers.is_person_done(out, "01")
