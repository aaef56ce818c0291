"""Filters and kept indices are data: what is wrong with them is a sentence."""

from __future__ import annotations

import json
import sqlite3

import pytest

from bids_app.bids.layout import find_scans
from bids_app.bids.query import read_filters
from bids_app.errors import UsageError

FILES = {"sub-01/anat/sub-01_T1w.nii.gz": "", "sub-02/anat/sub-02_T1w.nii.gz": ""}


def test_an_index_that_holds_code_is_refused(make_dataset, tmp_path):
    bids, index, mark = make_dataset(FILES), tmp_path / "index", tmp_path / "mark"
    find_scans(bids, database_dir=index)
    database = next(path for path in index.rglob("*") if path.is_file() and path.read_bytes()[:6] == b"SQLite")
    with sqlite3.connect(database) as connection:
        changed = connection.execute("update entities set _dtype = ?", (f"open({str(mark)!r}, 'w')",))
        assert changed.rowcount
    with pytest.raises(UsageError):
        find_scans(bids, database_dir=index)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("Query.X", "'Query.X' .acquisition. is no filter; known are Query.NONE"),
        (["Query.__class__"], "is no filter"),
        ({"a": 1}, "the filter acquisition is a table"),
    ],
)
def test_a_filter_that_is_none_is_a_sentence(tmp_path, value, words):
    path = tmp_path / "filters.json"
    path.write_text(json.dumps({"t1w": {"acquisition": value}}))
    with pytest.raises(UsageError, match=words):
        read_filters(path)
