"""Statuses of scans."""

import pytest

from bids_app.bids.status import COLUMNS, read_statuses, write_status


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
