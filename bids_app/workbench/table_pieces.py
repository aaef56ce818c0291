"""Large tables on disk, a piece at a time: reading with the same result whatever the piece, atomic writing."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd

from bids_app.bounded import bounded_table, check_columns
from bids_app.tables import (
    NA_VALUES,
    SPREADSHEETS,
    UNWRITABLE,
    atomic_stream,
    read_spreadsheet,
    table_errors,
    text_dialect,
    typed_cells,
)
from bids_app.tsv import format_tsv, without_marks

# Bytes of a column that Parquet's reader holds at a time.
PARQUET_BUFFER = 1 << 20


class TableFile:
    """A TSV, CSV (also gzipped), Parquet or spreadsheet table that is read in pieces.

    Parameters
    ----------
    path : path-like
        The ending decides the format, as in `tables.read_table`.

    Raises
    ------
    InputError
        When the file is absent, empty or not a table.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._parquet = self.path.suffix == ".parquet"
        self._spreadsheet = self.path.suffix.lower() in SPREADSHEETS

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        with table_errors(self.path):
            if self._spreadsheet:
                return tuple(map(str, read_spreadsheet(self.path).columns))
            if self._parquet:
                return tuple(map(str, self._open().schema_arrow.empty_table().to_pandas().columns))
            dialect = text_dialect(self.path)
            with bounded_table(self.path) as stream:
                return tuple(map(str, without_marks(pd.read_csv(stream, nrows=0, **dialect)).columns))

    def pieces(
        self, rows: int | None, text: tuple[str, ...] = (), numbers: tuple[str, ...] = ()
    ) -> Iterator[pd.DataFrame]:
        """The table in pieces, at least one.

        Parameters
        ----------
        rows : int or None
        text : tuple of str
            Columns that are kept as they are written, as text (missing: NaN).
        numbers : tuple of str
            Columns that are floating point, whatever a piece holds. All others are what the piece shows.

        Yields
        ------
        DataFrame
            Of `rows` rows (None: everything), each with index 0 to its size - 1.
        """
        with table_errors(self.path):
            if self._spreadsheet:
                yield from self._sheet_pieces(rows, text, numbers)
            else:
                yield from (self._parquet_pieces if self._parquet else self._text_pieces)(rows, text, numbers)

    def _sheet_pieces(
        self, rows: int | None, text: tuple[str, ...], numbers: tuple[str, ...]
    ) -> Iterator[pd.DataFrame]:
        """A spreadsheet is read whole: it holds at most a million rows."""
        yield from _cut(read_spreadsheet(self.path, text), rows, numbers)

    def _text_pieces(self, rows: int | None, text: tuple[str, ...], numbers: tuple[str, ...]) -> Iterator[pd.DataFrame]:
        types: dict[str, Any] = dict.fromkeys(text, str) | dict.fromkeys(numbers, float)
        dialect = text_dialect(self.path)
        with bounded_table(self.path) as stream, pd.read_csv(stream, dtype=types, iterator=True, **dialect) as reader:
            # An empty table ends at once; it still has one piece, without rows.
            first = reader.get_chunk(rows) if rows else reader.read()
            yield without_marks(first.reset_index(drop=True))
            while rows and len(first) == rows:
                try:
                    first = reader.get_chunk(rows)
                except StopIteration:
                    return
                if len(first):
                    yield without_marks(first.reset_index(drop=True))

    def _open(self) -> Any:
        from pyarrow.parquet import ParquetFile

        source = ParquetFile(self.path, buffer_size=PARQUET_BUFFER)
        check_columns(self.path, source.metadata.num_columns)
        return source

    def _parquet_pieces(
        self, rows: int | None, text: tuple[str, ...], numbers: tuple[str, ...]
    ) -> Iterator[pd.DataFrame]:
        import pyarrow as pa

        source, kept, size = self._open(), [], 0
        # Group by group and without threads: Arrow's reader keeps what it has read of a file.
        for group in range(source.num_row_groups):
            for batch in source.iter_batches(rows or source.metadata.num_rows, row_groups=[group], use_threads=False):
                kept.append(batch)
                size += batch.num_rows
                if rows and size >= rows:
                    whole = pa.Table.from_batches(kept)
                    yield _frame(whole.slice(0, rows), text, numbers)
                    kept, size = whole.slice(rows).to_batches(), size - rows
        if size or not source.metadata.num_rows:
            yield _frame(pa.Table.from_batches(kept, source.schema_arrow), text, numbers)


class FrameFile:
    """A DataFrame in the manner of `TableFile`; a named index is a column, and a cell such as ``n/a`` is missing."""

    def __init__(self, table: pd.DataFrame) -> None:
        named = [str(name) for name in table.index.names if name is not None]
        kept = table if not named or set(named) & set(map(str, table.columns)) else table.reset_index()
        seen: dict[str, int] = {}
        kept = kept.astype(object)
        self._cells = kept.where(kept.notna() & ~kept.isin(NA_VALUES), np.nan)
        self._cells = self._cells.set_axis([_distinct(str(name), seen) for name in kept.columns], axis=1)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns, a name that is there twice with ``.1`` at its end."""
        return tuple(self._cells.columns)

    def pieces(
        self, rows: int | None, text: tuple[str, ...] = (), numbers: tuple[str, ...] = ()
    ) -> Iterator[pd.DataFrame]:
        """As `TableFile.pieces`.

        Parameters
        ----------
        rows, text, numbers
            As for `TableFile.pieces`.

        Yields
        ------
        DataFrame
            With index 0 to its size - 1.
        """
        yield from _cut(typed_cells(self._cells, text), rows, numbers)


def _distinct(name: str, seen: dict[str, int]) -> str:
    seen[name] = seen.get(name, -1) + 1
    return f"{name}.{seen[name]}" if seen[name] else name


def _cut(whole: pd.DataFrame, rows: int | None, numbers: tuple[str, ...]) -> Iterator[pd.DataFrame]:
    """A table in pieces of `rows` rows, at least one."""
    whole = whole.astype(dict.fromkeys(numbers, float))
    for start in range(0, max(1, len(whole)), rows or max(1, len(whole))):
        yield whole.iloc[start : start + rows if rows else None].reset_index(drop=True)


def _frame(table: Any, text: tuple[str, ...], numbers: tuple[str, ...]) -> pd.DataFrame:
    """An Arrow table as a DataFrame, with columns as text and as numbers."""
    frame = table.to_pandas().reset_index(drop=True)
    frame.columns = [str(name) for name in frame.columns]
    written = {name: _as_text(table.column(name)) for name in text if name in table.column_names}
    return frame.assign(**written, **{name: frame[name].astype(float) for name in numbers})


def _as_text(column: Any) -> pd.Series:
    import pyarrow as pa

    try:
        # pandas 2 makes the word "None" of None
        return pd.Series(column.cast(pa.string()).to_pandas().fillna(np.nan).to_numpy(), dtype="str")
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return pd.Series([np.nan if cell is None else str(cell) for cell in column.to_pylist()], dtype="str")


class TsvWriter:
    """Appends tables with the same columns to one TSV, in the form of `tables.write_tsv`."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._started = False

    def write(self, table: pd.DataFrame) -> None:
        """Append the rows of `table`; the first table brings the header.

        Parameters
        ----------
        table : DataFrame
            The same columns every time.
        """
        self._stream.write(format_tsv(table, header=not self._started))
        self._started = True


@contextmanager
def tsv_writer(path: Path | str) -> Iterator[TsvWriter]:
    """A `TsvWriter` on `path` (``-``: standard output); the file appears whole at the end, or not at all."""
    if str(path) == "-":
        yield TsvWriter(sys.stdout)
        return
    with atomic_stream(path) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8", errors=UNWRITABLE, newline="")
        yield TsvWriter(text)
        text.detach()  # flushed; the file stays open, and so locked, until it has its name
