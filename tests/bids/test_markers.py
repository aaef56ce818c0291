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


def test_a_change_model_is_covered_where_there_is_one(out):
    assert "change_model" not in markers.person_cover(out, "01")
    finish(out)
    (out / "change_model.json").write_text("{}")
    assert not markers.is_person_done(out, "01")
    assert len(markers.person_cover(out, "01")["change_model"]) == 64


def test_what_a_person_is_made_of_and_what_is_left_out(out):
    write_status(out, "01", "3", status="omitted", stage="x", reason="no age")
    cover = markers.person_cover(out, "01", {"sub-01_ses-2x": "why", "sub-01_ses-0": "what"})
    assert list(cover["scans"]) == ["sub-01_ses-1", "sub-01_ses-2"]
    assert list(cover["left_out"].items()) == [
        ("sub-01_ses-0", "what"),
        ("sub-01_ses-2x", "why"),
        ("sub-01_ses-3", "no age"),
    ]


def test_a_scan_without_summary_is_covered_as_such_and_markers_have_their_places(tmp_path):
    markers.end_scan(tmp_path, "09", None)
    assert markers.scan_marker(tmp_path, "09") == tmp_path / "logs/done/scans/sub-09.json"
    assert markers.person_marker(tmp_path, "09") == tmp_path / "logs/done/people/sub-09.json"
    assert markers.is_scan_done(tmp_path, "09", None)
    assert not markers.is_person_done(tmp_path, "09")
    markers.begin_scan(tmp_path, "09", None)
    assert not markers.is_scan_done(tmp_path, "09", None)
