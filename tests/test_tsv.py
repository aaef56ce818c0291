"""Tables as text are what pandas writes, whole however long, and their formulas inert."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_app import tsv
from bids_app.tables import write_tsv
from bids_app.tsv import format_tsv, inert, without_mark


@given(st.lists(st.text(alphabet="'=+-@1.ea ", min_size=1), min_size=1))
def test_marks_of_formulas_come_off_as_they_went_on(texts):
    assert [without_mark(inert(text)) for text in texts] == texts


def written_by_pandas(table):
    return table.to_csv(sep="\t", index=False, na_rep="n/a", float_format="%.12g", lineterminator="\n")


CELLS = {
    "texts": ["a", None, "", "n/a"],
    "quotes": ['"', "a\tb", "c\nd", "e"],
    "numbers": [0.1 + 0.2, float("nan"), float("-inf"), -0.0],
    "more numbers": [1e-320, 1e20, 123456789012345.0, 2.0],
    "whole": [1, -2, 3, 4],
    "truth": [True, False, True, True],
    "missing whole": pd.array([1, None, 3, 4], dtype="Int64"),
    "mixed": [1.5, "a", None, True],
    "small": pd.array([0.1, 0.2, 0.3, 0.4], dtype="float32"),
    "kinds": pd.Categorical(["a", "b", "a", None]),
    "days": pd.to_datetime(["2020-01-01", "2021-01-01", None, "2022-01-01"]),
}


@pytest.mark.parametrize("names", [list(CELLS), *([name, "numbers"] for name in CELLS), *([name] for name in CELLS)])
def test_a_table_is_written_as_pandas_writes_it(names):
    table = pd.concat([pd.Series(CELLS[name], name=name) for name in names], axis=1)
    assert format_tsv(table) == written_by_pandas(table)
    assert format_tsv(table.iloc[:0]) == written_by_pandas(table.iloc[:0])


def test_a_long_table_is_written_whole(monkeypatch, tmp_path):
    monkeypatch.setattr(tsv, "ROWS_PER_PIECE", 3)
    table = pd.DataFrame({"who": [f"sub-{n}" for n in range(10)], "z": [n / 7 for n in range(10)]})
    assert write_tsv(table, tmp_path / "t.tsv").read_text() == written_by_pandas(table)
    assert format_tsv(table, header=False) == written_by_pandas(table).partition("\n")[2]
