"""What a table holds, seen piece by piece: kinds of columns, remarks on cells, counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from bids_app.workbench.table_columns import NAMED_AT_MOST

# More different remarks than this are only counted, so that memory does not grow with the table.
REMARKS_AT_MOST = 1000
MISSING = "missing"
KIND_OF_TYPE = {"i": "int", "u": "int", "f": "float", "b": "bool"}


class Survey:
    """Running notes on the pieces of a table.

    Attributes
    ----------
    n_rows : int
    kinds : mapping of column to kind
        ``int``, ``float``, ``bool``, ``text`` or '' (no cell is filled), of the whole column.
    understood, cells : mapping of covariate
        Whether any cell could be read, and the first cells.
    bad : mapping of column to int
        Cells of numeric columns that are not numbers.
    negative : mapping of column to int
        Cells of `volumes` below zero.
    """

    def __init__(self) -> None:
        self.n_rows = 0
        self.understood: dict[str, bool] = {}
        self.cells: dict[str, list[str]] = {}
        self.bad: Counter[str] = Counter()
        self.negative: Counter[str] = Counter()
        self._kinds: dict[str, set[str]] = {}
        self._said: dict[str, Counter[str]] = {}
        self._below: Counter[str] = Counter()
        self._filled: Counter[str] = Counter()

    @property
    def kinds(self) -> dict[str, str]:
        return {name: _whole(kinds) for name, kinds in self._kinds.items()}

    def mostly_below(self, what: str) -> bool:
        """Whether most of the filled cells of `count_below` were below its limit."""
        return 2 * self._below[what] > self._filled[what]

    def see(self, table: pd.DataFrame, ids: Iterable[str], others: Iterable[str]) -> None:
        """Take in a piece: `ids` are read as text, of `others` the type shows what they hold."""
        self.n_rows += len(table)
        for name in ids:
            self._kinds.setdefault(name, set()).update(_kinds_of_text(table[name]))
        for name in others:
            self._kinds.setdefault(name, set()).update(_kinds_of(table[name]))
            if table[name].dtype.kind not in "iufb":
                numbers = pd.to_numeric(table[name], errors="coerce")
                self.bad[name] += int((numbers.isna() & table[name].notna()).sum())

    def count_negative(self, volumes: pd.DataFrame) -> None:
        """Take in the columns of a piece that cannot be below zero."""
        for name, column in volumes.items():
            self.negative[str(name)] += int((pd.to_numeric(column, errors="coerce") < 0).sum())

    def count(self, covariate: str, remarks: Mapping[str, int], understood: bool, cells: list[str]) -> None:
        """Take in what was said of a piece's cells of a covariate."""
        said = self._said.setdefault(covariate, Counter())
        for text, rows in remarks.items():
            said[text if text in said or len(said) < REMARKS_AT_MOST else ""] += rows
        self.understood[covariate] = self.understood.get(covariate, False) or understood
        known = self.cells.setdefault(covariate, [])
        known += [cell for cell in cells if cell not in known][: NAMED_AT_MOST - len(known)]

    def count_below(self, what: str, table: pd.DataFrame, limit: float) -> None:
        """Count the filled cells of some columns, and those below `limit`."""
        values = table.apply(pd.to_numeric, errors="coerce").to_numpy(dtype=float)
        self._below[what] += int(np.sum(values < limit))
        self._filled[what] += int(np.isfinite(values).sum())

    def sentences(self, covariate: str) -> list[str]:
        """The remarks on a covariate, the first ones in words."""
        said = [(text, rows) for text, rows in self._said.get(covariate, Counter()).items() if text]
        rest = sum(self._said.get(covariate, Counter()).values()) - sum(rows for _, rows in said[:NAMED_AT_MOST])
        out = [f"{text} ({rows} row(s))" for text, rows in said[:NAMED_AT_MOST]]
        return out + ([f"{rest} more row(s) with other such values"] if rest else [])

    def text(self, names: list[str]) -> list[str]:
        """Those of `names` that are not numbers everywhere."""
        return [name for name in names if self.kinds[name] == "text"]

    def numbers(self, names: list[str]) -> list[str]:
        """Those of `names` that are numbers, or empty, everywhere."""
        return [name for name in names if self.kinds[name] in ("int", "float", "")]


def typed(column: pd.Series, kind: str) -> pd.Series:
    """A column of text as what the whole column of the table is."""
    if kind == "text":
        return column
    if kind == "bool":
        return column.str.lower().map({"true": True, "false": False})
    # Every cell is known to be a number; pandas 2 would still raise at one beyond 64 bits
    return pd.to_numeric(column, errors="coerce").astype(float if kind != "int" else int)


def _kinds_of(column: pd.Series) -> set[str]:
    found = {MISSING} if column.isna().any() else set()
    if column.dtype.kind in "iufb":
        return found | (set() if column.isna().all() else {KIND_OF_TYPE[column.dtype.kind]})
    return found | ({"text"} if column.notna().any() else set())


def _kinds_of_text(column: pd.Series) -> set[str]:
    found, filled = ({MISSING} if column.isna().any() else set()), column.dropna()
    if filled.empty:
        return found
    if filled.str.lower().isin(["true", "false"]).all():
        return found | {"bool"}
    numbers = pd.to_numeric(filled, errors="coerce")
    if numbers.isna().any():
        return found | {"text"}
    return found | {"int" if numbers.dtype.kind == "i" else "float"}


def _whole(kinds: set[str]) -> str:
    """The kind of a whole column from those of its pieces."""
    filled = kinds - {MISSING}
    if len(filled) == 1 and filled != {"int"}:
        return next(iter(filled))
    if filled <= {"int", "float"}:
        return "" if not filled else "float" if MISSING in kinds or "float" in filled else "int"
    return "text"
