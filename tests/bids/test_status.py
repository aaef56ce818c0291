"""Statuses of scans."""

import pytest

from bids_app.bids.status import COLUMNS, person_statuses, read_statuses, status_path, write_status


def test_statuses_come_back_in_natural_order(tmp_path):
    write_status(tmp_path, "10", status="scored", stage="done", run_uuid="u")
    write_status(tmp_path, "sub-2", "ses-10", status="omitted", stage="covariates", reason="no age", remedy="add it")
    write_status(tmp_path, "2", "9", status="failed", stage="score", reason="x")
    found = read_statuses(tmp_path)
    assert tuple(found.columns) == COLUMNS
    assert found["participant_id"].tolist() == ["sub-2", "sub-2", "sub-10"]
    assert found["session_id"].tolist() == ["ses-9", "ses-10", None]
    assert found["reason"].tolist() == ["x", "no age", None]


def test_the_last_word_stands(tmp_path):
    write_status(tmp_path, "1", status="omitted", stage="freesurfer", reason="missing")
    write_status(tmp_path, "1", status="scored", stage="done")
    assert read_statuses(tmp_path)["status"].tolist() == ["scored"]


def test_no_status_is_an_empty_table(tmp_path):
    assert read_statuses(tmp_path).empty
    assert tuple(read_statuses(tmp_path).columns) == COLUMNS


def test_another_word_is_refused(tmp_path):
    with pytest.raises(ValueError, match="none of"):
        write_status(tmp_path, "1", status="fine", stage="x")


def test_labels_may_have_their_prefix_and_texts_that_are_empty_are_none(tmp_path):
    path = write_status(tmp_path, "sub-01", "ses-2", status="scored", stage="done")
    assert path == status_path(tmp_path, "01", "2") == tmp_path / "logs" / "status" / "sub-01_ses-2.json"
    row = read_statuses(tmp_path).iloc[0]
    assert (row["participant_id"], row["session_id"], row["reason"]) == ("sub-01", "ses-2", None)


def test_the_statuses_of_one_person(tmp_path):
    write_status(tmp_path, "1", status="scored", stage="a")
    write_status(tmp_path, "1", "2", status="failed", stage="b")
    write_status(tmp_path, "10", status="failed", stage="c")
    (tmp_path / "logs" / "status" / "sub-1_note.txt").write_text("")
    found = person_statuses(tmp_path, "1")
    assert {session: status["stage"] for session, status in found.items()} == {None: "a", "ses-2": "b"}
    assert person_statuses(tmp_path / "none", "1") == {}
