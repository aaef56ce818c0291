"""Tables as tab-separated text: numbers, missing cells, and cells that a spreadsheet would run."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd

NA = "n/a"
FLOAT_FORMAT = "%.12g"
_FORMULA = re.compile(r"'*[=+\-@].", re.DOTALL)
_MARKED = re.compile(r"'+[=+\-@].", re.DOTALL)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]inf")
ROWS_PER_PIECE = 2_000
_QUOTED = re.compile(r'["\t\r\n]')


def format_tsv(table: pd.DataFrame, header: bool = True) -> str:
    """The bytes of `write_tsv` as text: tab separated, ``n/a`` for missing, 12 significant digits.

    Text that a spreadsheet would run as a formula has a ``'`` in front, which `read_table` takes away.

    Parameters
    ----------
    table : DataFrame
        The index is not written.
    header : bool
        Whether the first line names the columns.

    Returns
    -------
    str
        Lines that end in a line feed.
    """
    return "".join(tsv_pieces(table, header))


def tsv_pieces(table: pd.DataFrame, header: bool = True) -> Iterator[str]:
    """The text of `format_tsv`, some rows at a time: a wide table as one text takes twice the memory of its numbers.

    Parameters
    ----------
    table : DataFrame
    header : bool
        Whether the first piece begins with the line of names.

    Yields
    ------
    str
        Whole lines of `ROWS_PER_PIECE` rows.
    """
    for start in range(0, max(len(table), 1), ROWS_PER_PIECE):
        piece = _each_text(table.iloc[start : start + ROWS_PER_PIECE], _FORMULA, inert)
        yield _joined_blocks(piece, header and start == 0) or _to_csv(piece, header and start == 0)


def _to_csv(table: pd.DataFrame, header: bool) -> str:
    return table.to_csv(sep="\t", index=False, na_rep=NA, float_format=FLOAT_FORMAT, lineterminator="\n", header=header)


def _joined_blocks(table: pd.DataFrame, header: bool) -> str | None:
    """What `_to_csv` gives, in a fifth of its time: neighbouring columns of numbers are formatted as one block.

    None for a table that only pandas can write: one column, no row, cells that need quotes, other types.
    """
    if min(table.shape) < 1 or table.shape[1] < 2 or not _unquoted(table.columns):
        return None
    blocks: list[list[str]] = []
    for numbers, run in groupby((column for _, column in table.items()), _is_float):
        if numbers:
            blocks.append(_lines_of_numbers([column.to_numpy() for column in run]))
            continue
        for column in run:
            cells = _cells(column)
            if cells is None:
                return None
            blocks.append(cells)
    lines = ["\t".join(table.columns)] if header else []
    return "\n".join([*lines, *map("\t".join, zip(*blocks, strict=True)), ""])


def _is_float(column: pd.Series) -> bool:
    return column.dtype == np.float64


def _lines_of_numbers(columns: Sequence[np.ndarray]) -> list[str]:
    """A line of text per row of `columns`."""
    line = "\t".join([FLOAT_FORMAT] * len(columns)) + "\n"
    numbers = tuple(np.column_stack(columns).ravel().tolist())
    return (line * len(columns[0]) % numbers).replace("nan", NA).split("\n")[:-1]


def _cells(column: pd.Series) -> list[str] | None:
    """Texts, truth values and whole numbers as they are written; None for others, and for texts that need quotes."""
    cells = _objects(column)
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "bi":
        return list(map(str, cells))
    for place in np.flatnonzero(column.isna()):
        cells[place] = NA
    return cells if _unquoted(cells) else None


def _unquoted(cells: Iterable[Any]) -> bool:
    return set(map(type, cells)) <= {str} and not _QUOTED.search("".join(cells))


def inert(text: str) -> str:
    """`text` as a cell that no spreadsheet runs (``=``, ``+``, ``-``, ``@`` in front); numbers stay as they are."""
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def without_mark(text: str) -> str:
    """The text that `inert` wrote."""
    return text[1:] if _MARKED.match(text) else text


def _each_text(table: pd.DataFrame, pattern: re.Pattern[str], change: Callable[[str], str]) -> pd.DataFrame:
    """`table` with the cells and names of columns that match `pattern` changed."""
    changed = {}
    for place, kind in enumerate(table.dtypes):
        if pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_datetime64_any_dtype(kind):
            continue
        column = table.iloc[:, place]
        cells = _objects(column)
        if any(isinstance(cell, str) and pattern.match(cell) for cell in _distinct(cells)):
            cells = [change(cell) if isinstance(cell, str) else cell for cell in cells]
            as_text = object if isinstance(kind, pd.CategoricalDtype) else kind
            changed[place] = pd.Series(cells, index=column.index, dtype=as_text)
    if changed:
        parts = [changed.get(place, table.iloc[:, place]) for place in range(table.shape[1])]
        table = pd.concat(parts, axis=1, keys=range(len(parts))).set_axis(table.columns, axis=1)
    if any(isinstance(name, str) and pattern.match(name) for name in table.columns):
        table = table.set_axis([change(name) if isinstance(name, str) else name for name in table.columns], axis=1)
    return table


def _objects(column: pd.Series) -> list[Any]:
    """The cells: pandas goes through text that Arrow holds in ten times the time."""
    return column.to_numpy(dtype=object).tolist()


def _distinct(cells: Iterable[Any]) -> Iterable[Any]:
    try:
        return set(cells)
    except TypeError:  # lists and such
        return cells


def without_marks(table: pd.DataFrame) -> pd.DataFrame:
    """A table as it was before `format_tsv` made its formulas inert.

    Parameters
    ----------
    table : DataFrame
        As it was read.

    Returns
    -------
    DataFrame
        `table` itself where no cell and no name has a mark.
    """
    return _each_text(table, _MARKED, without_mark)
