"""What is read of a file at most: bytes, lines, columns, cells, and what compressed tables unpack to."""

from __future__ import annotations

import errno
import gzip
import io
import json
import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from bids_app.errors import InputError

MEGABYTE = 1_000_000
MAX_LEVELS = 200
MAX_JSON_BYTES = 128 * 1024**2
MAX_SETTINGS_BYTES = 4 * MEGABYTE
# A table that is held in memory as text (participants, sessions, phenotype)
MAX_SHEET_BYTES = 512 * MEGABYTE
MAX_LINES = 5_000_000
MAX_LINE_BYTES = 8 * MEGABYTE
MAX_COLUMNS = 20_000
MAX_CELLS = 500_000_000
MAX_UNPACKED_BYTES = 64_000 * MEGABYTE
# gzip makes at most 1 of 1,032; tables of numbers 1 of 2 to 10, of few words 1 of 100
MAX_RATIO, RATIO_FROM_BYTES = 300, 64 * MEGABYTE
MAX_SPREADSHEET_BYTES = 1_000 * MEGABYTE
MAX_SPREADSHEET_MEMBERS = 10_000
MAX_SPREADSHEET_CELLS = 50_000_000
_SPLIT = "split it, or keep the columns and rows that are needed"
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_CELL = re.compile(rb"<(?:\w+:)?c\s[^>]*?\br=[\"']([A-Z]{1,3})([0-9]{1,7})[\"']")


def names_in(folder: Path | str) -> list[str]:
    """The names in a folder, sorted; none where it is not there. InputError where it cannot be read."""
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise InputError(f"the folder {folder} cannot be read ({error.strerror})", "check its permissions") from error


def read_text(path: Path | str, limit: int, encoding: str = "utf-8-sig") -> str:
    """The text of a file of at most `limit` bytes; InputError when it has more."""
    return read_bytes(path, limit).decode(encoding)


def read_bytes(path: Path | str, limit: int) -> bytes:
    """The content of a file of at most `limit` bytes; InputError when it has more.

    A file whose size is known is read as that, without Python's stream: groups of scans have very many small files.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        about = os.fstat(handle)
        if stat.S_ISDIR(about.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
        known = stat.S_ISREG(about.st_mode) and about.st_size <= limit
        if known and len(content := os.read(handle, about.st_size + 1)) == about.st_size:
            return content
        with open(handle, "rb", buffering=0, closefd=False) as stream:
            if known:  # it grows, or is read in pieces
                stream.seek(0)
            return read_at_most(io.BufferedReader(stream), path, limit)
    finally:
        os.close(handle)


def read_at_most(stream: io.BufferedIOBase | Any, path: Path | str, limit: int) -> bytes:
    """All bytes of `stream`; InputError, naming `path`, when there are more than `limit`."""
    content: bytes = stream.read(limit + 1)
    if len(content) > limit:
        raise InputError(f"{path} has more than {limit / MEGABYTE:,.0f} MB, and is not read", _SPLIT)
    return content


def check_columns(path: Path, number: int, rows: int = 0) -> None:
    """InputError when a table has more columns, or cells, than are read."""
    if number > MAX_COLUMNS:
        raise InputError(f"{path} has {number:,} columns, more than the {MAX_COLUMNS:,} that are read", _SPLIT)
    if number * rows > MAX_CELLS:
        raise InputError(f"{path} has {number * rows:,} cells, more than the {MAX_CELLS:,} that are read", _SPLIT)


def check_lines(path: Path, number: int) -> None:
    """InputError when a table of text has more lines than are read."""
    if number > MAX_LINES:
        raise InputError(f"{path} has {number:,} lines, more than the {MAX_LINES:,} that are read", _SPLIT)


class BoundedTable(io.RawIOBase):
    """A table of text, unpacked when its name ends in ``.gz``; reading raises InputError where it has no end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._packed = path.stat().st_size if path.suffix == ".gz" else 0
        self._stream: Any = gzip.open(path, "rb") if self._packed else open(path, "rb")  # noqa: SIM115
        self._read, self._line = 0, 0

    def readable(self) -> bool:
        """It is read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer`, and look at what fills it."""
        content = self._stream.read(len(buffer))
        buffer[: len(content)] = content
        self._check(content)
        return len(content)

    def _check(self, content: bytes) -> None:
        self._read += len(content)
        ended = max(content.rfind(b"\n"), content.rfind(b"\r"))
        self._line = self._line + len(content) if ended < 0 else len(content) - ended - 1
        if self._line > MAX_LINE_BYTES:
            raise InputError(
                f"{self._path} has a line of more than {MAX_LINE_BYTES / MEGABYTE:g} MB, and is not read",
                "check that it is a table",
            )
        beyond = self._packed and self._read > max(RATIO_FROM_BYTES, MAX_RATIO * self._packed)
        if beyond or self._read > MAX_UNPACKED_BYTES:
            raise InputError(
                f"{self._path} unpacks to more than {self._read / MEGABYTE:,.0f} MB, and is not read", _SPLIT
            )

    def close(self) -> None:
        """Close the file."""
        self._stream.close()
        super().close()


@contextmanager
def bounded_table(path: Path) -> Iterator[Any]:
    """The bytes of a table of text, gzipped ones unpacked, no further than a table may go."""
    with io.BufferedReader(BoundedTable(path), 1 << 18) as stream:
        yield stream


def check_spreadsheet(path: Path) -> None:
    """InputError when a spreadsheet unpacks to more bytes, files or cells than are read."""
    with ZipFile(path) as archive:
        members = archive.infolist()
        size = sum(member.file_size for member in members)
        if len(members) > MAX_SPREADSHEET_MEMBERS or size > MAX_SPREADSHEET_BYTES:
            raise InputError(
                f"{path} unpacks to {len(members):,} files of {size / MEGABYTE:,.0f} MB, more than the "
                f"{MAX_SPREADSHEET_MEMBERS:,} of {MAX_SPREADSHEET_BYTES / MEGABYTE:,.0f} MB that are read",
                "save its first sheet as tab-separated text",
            )
        for member in members:
            if member.filename.startswith("xl/worksheets/"):
                with archive.open(member) as stream:
                    _check_sheet(path, stream)


def first_sheet(path: Path, **how: Any) -> Any:
    """The first sheet of a spreadsheet, as `pandas.read_excel` reads it.

    Raises
    ------
    InputError
        When it is damaged, has more than is read, or openpyxl, which reads spreadsheets, is not installed.
    """
    import pandas as pd

    try:
        check_spreadsheet(path)
        return pd.read_excel(path, **how)
    except (InputError, FileNotFoundError):
        raise
    except ImportError as error:
        raise InputError(
            f"{path.name} is a spreadsheet, and openpyxl, which reads it, is not installed",
            "install normvol[xlsx], or save the first sheet as tab-separated text",
        ) from error
    except Exception as error:  # openpyxl raises whatever its code meets in a damaged file
        raise InputError(
            f"cannot read {path} as a spreadsheet ({error})", "save its first sheet as tab-separated text"
        ) from error


def _check_sheet(path: Path, stream: Any) -> None:
    """A sheet is as large as its last column and row say, whatever lies between."""
    columns = rows = 0
    rest = b""
    while part := stream.read(1 << 22):
        content = rest + part
        for letters, row in _CELL.findall(content):
            columns, rows = max(columns, _column(letters)), max(rows, int(row))
        rest = content[-200:]
    if columns * rows > MAX_SPREADSHEET_CELLS:
        raise InputError(
            f"{path} has {columns:,} columns and {rows:,} rows, more than the {MAX_SPREADSHEET_CELLS:,} cells that "
            "are read",
            "remove the cells far to the right and below, or save its first sheet as tab-separated text",
        )


def _column(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = 26 * number + letter - 64
    return number


def values_in(content: object, known: dict[int, int] | None = None) -> int:
    """How many values there are when those that aliases share are counted each time."""
    known = {} if known is None else known
    if id(content) not in known:
        known[id(content)] = 0  # of an alias within itself
        known[id(content)] = 1 + sum(values_in(inner, known) for inner in _within(content))
    return known[id(content)]


def check_levels(content: object, left: int = MAX_LEVELS) -> None:
    """RecursionError for values nested more deeply than `left`: Python's own limit is raised by some libraries."""
    if left == 0:
        raise RecursionError
    for inner in _within(content):
        check_levels(inner, left - 1)


def loads(text: str | bytes, **how: Any) -> Any:
    """`json.loads` of text that is nested at most `MAX_LEVELS` deep; RecursionError before anything is made of it."""
    content = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    deep = _levels(content) > MAX_LEVELS  # brackets in strings are counted too
    if deep and _levels(_STRING.sub(b"", content)) > MAX_LEVELS:
        raise RecursionError("nested too deeply")
    return json.loads(text, **how)


def _levels(content: bytes) -> int:
    """How deep the brackets of a text nest at most; 0 when they are too few to matter."""
    brackets = content.translate(None, _NO_BRACKETS)
    if len(brackets) <= MAX_LEVELS:
        return 0
    return max(accumulate(1 if sign in b"[{" else -1 for sign in brackets))


def _within(content: object) -> Iterable[object]:
    """The values of a mapping, the items of a list."""
    return content.values() if isinstance(content, dict) else content if isinstance(content, list | set) else ()
