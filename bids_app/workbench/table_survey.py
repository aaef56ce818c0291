"""What a table holds, seen piece by piece: kinds of columns, remarks on cells, rows that are there twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from bids_app.bids.names import listed
from bids_app.findings import Finding
from bids_app.workbench.table_columns import IDENTIFIERS, NAMED_AT_MOST
from bids_app.workbench.table_numbers import Forms

# More different remarks than this are only counted, so that memory does not grow with the table.
REMARKS_AT_MOST = 1000
MISSING = "missing"
KIND_OF_TYPE = {"i": "int", "u": "int", "f": "float", "b": "bool"}


class Survey:
    """Running notes on the pieces of a table, so that its columns mean the same in every piece.

    Attributes
    ----------
    n_rows : int
    forms : Forms
        How the numbers of columns of text are written.
    understood, cells : mapping of covariate
        Whether any cell could be read, and the first cells.
    """

    def __init__(self) -> None:
        self.n_rows = 0
        self.forms = Forms()
        self.understood: dict[str, bool] = {}
        self.cells: dict[str, list[str]] = {}
        self._kinds: dict[str, set[str]] = {}
        self._said: dict[str, Counter[str]] = {}
        self._below: Counter[str] = Counter()
        self._above: Counter[str] = Counter()
        self._filled: Counter[str] = Counter()

    @property
    def kinds(self) -> dict[str, str]:
        """Column to ``int``, ``float``, ``bool``, ``text`` or '' (no cell is filled), of the whole column."""
        return {name: _whole(kinds) for name, kinds in self._kinds.items()}

    def see(self, table: pd.DataFrame, ids: Iterable[str], numbers: Iterable[str]) -> None:
        """Take in a piece of the table.

        Parameters
        ----------
        table : DataFrame
        ids : iterable of str
            Columns that are read as text.
        numbers : iterable of str
            Columns whose type shows what they hold.
        """
        self.n_rows += len(table)
        for name in ids:
            self._kinds.setdefault(name, set()).update(_kinds_of_text(table[name]))
        for name in numbers:
            self._kinds.setdefault(name, set()).update(_kinds_of(table[name]))
            self.forms.see(name, table[name])

    def count(self, covariate: str, remarks: Mapping[str, int], understood: bool, cells: list[str]) -> None:
        """Take in what was said of a piece's cells of a covariate."""
        said = self._said.setdefault(covariate, Counter())
        for text, rows in remarks.items():
            said[text if text in said or len(said) < REMARKS_AT_MOST else ""] += rows
        self.understood[covariate] = self.understood.get(covariate, False) or understood
        known = self.cells.setdefault(covariate, [])
        known += [cell for cell in cells if cell not in known][: NAMED_AT_MOST - len(known)]

    def count_outside(self, what: str, values: pd.DataFrame | pd.Series, low: float, high: float = np.inf) -> None:
        """Count the filled cells of some columns, and those outside limits.

        Parameters
        ----------
        what : str
            Under which they are counted.
        values : DataFrame or Series of float
            NaN and infinite cells are not filled.
        low, high : float
            In the unit of `values`.
        """
        filled = values.to_numpy(dtype=float)
        filled = filled[np.isfinite(filled)]
        self._below[what] += int((filled < low).sum())
        self._above[what] += int((filled > high).sum())
        self._filled[what] += filled.size

    def share_below(self, what: str) -> float:
        """Share of the filled cells of `count_outside` that were below its limit."""
        return self._below[what] / max(1, self._filled[what])

    def share_above(self, what: str) -> float:
        """Share of the filled cells of `count_outside` that were above its limit."""
        return self._above[what] / max(1, self._filled[what])

    def above(self, what: str) -> tuple[int, int]:
        """Cells of `count_outside` above its limit, and all that were filled."""
        return self._above[what], self._filled[what]

    def sentences(self, covariate: str) -> list[str]:
        """The remarks on a covariate, the first ones in words."""
        said = [(text, rows) for text, rows in self._said.get(covariate, Counter()).items() if text]
        rest = sum(self._said.get(covariate, Counter()).values()) - sum(rows for _, rows in said[:NAMED_AT_MOST])
        out = [f"{text} ({rows} row(s))" for text, rows in said[:NAMED_AT_MOST]]
        return out + ([f"{rest} more row(s) with other such values"] if rest else [])

    def text(self, names: Iterable[str]) -> list[str]:
        """Those of `names` that are not numbers everywhere."""
        return [name for name in names if self.kinds[name] == "text"]

    def numbers(self, names: Iterable[str]) -> list[str]:
        """Those of `names` that are numbers, or empty, everywhere."""
        return [name for name in names if self.kinds[name] in ("int", "float", "")]


@dataclass
class _Seen:
    rows: int = 0
    cells: dict[str, None] = field(default_factory=dict)
    line: int = 0
    scan: tuple[str | None, str | None] = (None, None)


class Tally:
    """Cells of one kind and column, counted, with the first of them; becomes one finding each."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], _Seen] = {}

    def add(self, kind: str, what: str, table: pd.DataFrame, rows: np.ndarray, cells: pd.Series | None = None) -> None:
        """Take in the rows of a piece where something was seen.

        Parameters
        ----------
        kind, what : str
            Kind of the finding, and its words.
        table : (n, q) DataFrame
            The piece; its index counts the whole table's rows from 0.
        rows : (n,) array of bool
        cells : (n,) Series, optional
            What was in them; the first `NAMED_AT_MOST` different ones are shown.
        """
        places = np.flatnonzero(rows)
        if not places.size:
            return
        seen = self._seen.setdefault((kind, what), _Seen())
        if not seen.rows:
            first = table.iloc[places[0]]
            participant, session = (first.get(name) if name in table else None for name in IDENTIFIERS)
            seen.line, seen.scan = int(table.index[places[0]]) + 2, (_text(participant), _text(session))
        seen.rows += places.size
        if cells is not None and len(seen.cells) < NAMED_AT_MOST:
            shown = [
                f"{cell:g}" if isinstance(cell, float) else str(cell) for cell in cells.iloc[places[:NAMED_AT_MOST]]
            ]
            seen.cells.update(dict.fromkeys(shown[: NAMED_AT_MOST - len(seen.cells)]))

    def findings(self) -> list[Finding]:
        """One finding per kind and column; on a scan where it is the only one."""
        found = []
        for (kind, what), seen in sorted(self._seen.items(), key=lambda item: (item[1].line, item[0])):
            shown = f" ({', '.join(seen.cells)})" if seen.cells else ""
            if seen.rows == 1:
                found.append(Finding(kind, f"{what}{shown} in line {seen.line}").of(*_known(seen)))
            else:
                found.append(Finding(kind, f"{what}{shown} in {seen.rows} rows, the first in line {seen.line}"))
        return found


def _known(seen: _Seen) -> tuple[str, str | None]:
    participant, session = seen.scan
    return participant or f"line {seen.line}", session


def _text(cell: object) -> str | None:
    return cell if isinstance(cell, str) else None


class Doubles:
    """Rows that are there twice, by hashes of 8 bytes a row: by identifiers and age, and by volumes."""

    def __init__(self) -> None:
        self._rows: list[np.ndarray] = []
        self._brains: list[np.ndarray] = []

    def see(self, data: pd.DataFrame, volumes: list[str]) -> None:
        """Take in a piece of model input.

        Parameters
        ----------
        data : DataFrame
            ``participant_id session_id age``, as far as they are there, and `volumes`.
        volumes : list of str
        """
        self._brains.append(_hashes(data[volumes], data[volumes].notna().any(axis=1)))
        if "participant_id" in data:
            keys = [name for name in (*IDENTIFIERS, "age") if name in data]
            self._rows.append(_hashes(data[keys].astype(str), data["participant_id"].notna()))

    def findings(self) -> list[Finding]:
        """What is there twice, with the lines of the first pairs."""
        rows, brains = _pairs(self._rows), _pairs(self._brains)
        again = set(rows)
        others = [pair for pair in brains if pair not in again]
        found = []
        if rows:
            found.append(Finding("rows-twice", f"{_lines(rows)}: the same person, session and age"))
        if others:
            found.append(Finding("brains-alike", f"{_lines(others)}: every volume is the same"))
        return found


def _hashes(table: pd.DataFrame, known: pd.Series) -> np.ndarray:
    """One hash per row, 0 for rows that are not known."""
    if table.columns.empty:
        return np.zeros(len(table), np.uint64)
    found = pd.util.hash_pandas_object(table, index=False).to_numpy(dtype=np.uint64)
    return np.where(known.to_numpy(), found, np.uint64(0))


def _pairs(parts: list[np.ndarray]) -> list[tuple[int, int]]:
    """Pairs of rows with the same hash: each row that is not the first of its kind, with the first."""
    hashes = np.concatenate(parts) if parts else np.zeros(0, np.uint64)
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    same = np.flatnonzero((ordered[1:] == ordered[:-1]) & (ordered[1:] != 0)) + 1
    starts = np.searchsorted(ordered, ordered[same], side="left")
    return sorted(zip(order[starts].tolist(), order[same].tolist()))


def _lines(pairs: list[tuple[int, int]]) -> str:
    shown = listed([f"{first + 2} and {second + 2}" for first, second in pairs], NAMED_AT_MOST)
    return f"{len(pairs)} pair(s) of rows (lines {shown})"


def typed(column: pd.Series, kind: str) -> pd.Series:
    """A column of text as what the whole column of the table is.

    Parameters
    ----------
    column : (n,) Series of str
    kind : {'int', 'float', 'bool', 'text', ''}
        Of `Survey.kinds`.

    Returns
    -------
    (n,) Series
        '' (nothing is filled) becomes floating point.
    """
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
