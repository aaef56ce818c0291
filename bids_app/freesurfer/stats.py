"""Read FreeSurfer's ``stats/*.stats`` files, in the dialects of FreeSurfer 5.1 to 8 and FastSurfer.

A file has comment lines (``# key value``), measures (``# Measure Cortex, CortexVol, words, 1.0, mm^3``) and
mostly a table whose columns ``# ColHeaders`` names. A measure is known by its second field: the first one
repeats.
"""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain, cycle
from pathlib import Path
from typing import NamedTuple, NoReturn

import pandas as pd

from bids_app.errors import StatsFileError
from bids_app.freesurfer.annex import is_pointer_text

NAME = "StructName"
INTEGER_COLUMNS = frozenset({"Index", "SegId", "NVoxels", "NVertices", "NumVert", "FoldInd"})
_TITLES = ("Title", "Table")
_LARGEST = 8 * 2**20
_MOST_DIGITS = 9
_CONTROL = bytes({*range(32), 127} - set(b"\t\n\r"))
_REPAIR = "run the last steps of recon-all again, or fetch the file anew"


class Measure(NamedTuple):
    """One ``# Measure`` line."""

    name: str
    description: str
    value: float
    unit: str


@dataclass(frozen=True)
class StatsFile:
    """The content of one stats file.

    Parameters
    ----------
    header : dict
        Comment lines, first word to the rest of the line (first one wins).
    measures : dict
        ``# Measure`` lines by their second field (``CortexVol``, ``eTIV``, ...).
    columns : dict or None
        The table by column: ``StructName`` as text, all others as float; None when the file has no table.
    notes : tuple of str
        What was read tolerantly.
    """

    header: dict[str, str]
    measures: dict[str, Measure]
    columns: dict[str, list] | None
    notes: tuple[str, ...] = field(default=())

    @property
    def table(self) -> pd.DataFrame | None:
        """The rows under ``# ColHeaders``, one per structure.

        Returns
        -------
        DataFrame or None
            Columns as the header names them, in the units of the file (``# TableCol``); `INTEGER_COLUMNS` are int64
            where no cell is missing. None when the file has no table.
        """
        if self.columns is None:
            return None
        table = pd.DataFrame(self.columns)
        whole = [name for name in table.columns if name in INTEGER_COLUMNS and table[name].notna().all()]
        return table.astype(dict.fromkeys(whole, "int64"))


def read_stats(path: Path | str) -> StatsFile:
    """Read one stats file.

    Survives a byte-order mark, CRLF, FreeSurfer 6.0's missing comma, ``nan``, and a file that was appended to
    itself.

    Parameters
    ----------
    path : path-like
        A regular file; it is read once.

    Raises
    ------
    StatsFileError
        When the file is absent, not fetched, empty, truncated, contradicts itself or is no stats file.
    """
    return parse_stats(read_content(path), str(path))


def read_content(path: Path | str) -> bytes:
    """The bytes of a stats file; raise StatsFileError where there are none to read."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST:
            raise StatsFileError(f"{path} is not a stats file (no regular file, or far too large)")
        with open(path, "rb", buffering=0) as stream:
            return stream.readall()
    except FileNotFoundError as error:
        linked = os.path.islink(path)
        what = "is a link whose content has not been fetched; run datalad get" if linked else "does not exist"
        raise StatsFileError(f"the stats file {path} {what}") from error
    except OSError as error:
        raise StatsFileError(
            f"cannot read the stats file {path} ({error.strerror})", "check its permissions"
        ) from error


@lru_cache(maxsize=8)
def parse_stats(content: bytes, path: str) -> StatsFile:
    """Parse the bytes of a stats file; `path` is for messages. See `read_stats`.

    The last ones are kept: a tree is checked first and read afterwards.
    """
    lines = _lines(content, path)
    header: dict[str, str] = {}
    measures: dict[str, Measure] = {}
    described: list[str] = []
    rows: list[str] = []
    for line in lines:
        if line[:1] != "#":
            if line and not line.isspace():
                rows.append(line)
            continue
        if line[:11] == "# TableCol ":
            described.append(line[11:])
            continue
        words = line[1:].split(None, 1)
        key, rest = words if len(words) == 2 else ("".join(words), "")
        if key == "TableCol":
            described.append(rest)
        elif key == "Measure":
            _add_measure(measures, rest, path)
        elif key in _CONSISTENT and header.get(key, rest).split() != rest.split():
            _fail(path, f"gives {key} twice with different values")
        else:
            header.setdefault(key, rest.rstrip())
    if not header and not measures:
        _fail(path, "is not a FreeSurfer stats file: it has no header")
    columns, notes = _table(rows, header, _declared(tuple(described)) or _columns_of(described, path), path)
    return StatsFile(header, measures, columns, notes)


_CONSISTENT = frozenset({"ColHeaders", "NRows", "NTableCols", "subjectname", "hemi"})


def _fail(path: str, problem: str) -> NoReturn:
    raise StatsFileError(f"the stats file {path} {problem}", _REPAIR)


def _lines(content: bytes, path: str) -> list[str]:
    if not content or content.isspace():
        _fail(path, "is empty")
    if is_pointer_text(content):
        raise StatsFileError(f"the content of {path} has not been fetched", f"run datalad get {path}")
    if len(content.translate(None, _CONTROL)) != len(content):
        _fail(path, "is not text")
    if content[-1:] not in (b"\n", b"\r"):
        _fail(path, "is truncated: its last line is not complete")
    lines = content.decode("utf-8-sig", errors="replace").replace("\r\n", "\n").split("\n")
    if b"\r" in content and any("\r" in line.rstrip("\r") for line in lines):
        _fail(path, "has line ends inside its lines")
    return lines


def _number(text: str, path: str, what: str) -> float:
    if _is_number(text):
        return float(text)
    _fail(path, f"holds {text!r} where {what} should be a number")


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS


def _add_measure(measures: dict[str, Measure], line: str, path: str) -> None:
    words, _, rest = line.rpartition(",")
    words, _, value = words.rpartition(",")
    named = _named(words, rest) if "#" not in value and value.isascii() else None
    if named is None:
        _fail(path, f"has a measure that cannot be read ({line.strip()[:60]!r})")
    name, description, unit = named
    if not name:
        _fail(path, f"has a measure without a name ({line.strip()[:60]!r})")
    measure = Measure(name, description, _number(value.strip(), path, name), unit)
    known = measures.setdefault(name, measure)
    if known.value != measure.value and not math.isnan(known.value + measure.value):
        _fail(path, f"gives {name} twice with different values ({known.value:g} and {measure.value:g})")


@lru_cache(maxsize=256)
def _named(words: str, rest: str) -> tuple[str, str, str] | None:
    """Name (empty where there is none), description and unit of a measure, which are the same in the files of all
    people, from what stands before and after its value; None where they cannot be read."""
    parts = [part.strip() for part in words.split(",")]
    if len(parts) not in (2, 3) or "#" in words + rest or not (words + rest).isascii():
        return None
    fields = parts[1].split(None, 1)
    # FreeSurfer 6.0 lost the comma after CortexVol, so name and description share a field
    if len(fields) != 4 - len(parts):
        return "", "", ""
    return fields[0], (fields[1] if len(parts) == 2 else parts[2]), rest.strip()


@lru_cache(maxsize=16)
def _declared(described: tuple[str, ...]) -> dict[int, str]:
    """`_columns_of`, which are the same in the files of all people; empty where they contradict each other."""
    try:
        return _columns_of(described, "")
    except StatsFileError:
        return {}


def _columns_of(described: Iterable[str], path: str) -> dict[int, str]:
    """Number and name of the columns that the lines ``# TableCol`` describe."""
    declared: dict[int, str] = {}
    for line in described:
        if "ColHeader" in line:
            _declare_column(declared, line, path)
    return declared


def _declare_column(declared: dict[int, str], line: str, path: str) -> None:
    parts = line.split()
    if len(parts) != 3 or parts[1] != "ColHeader":
        return
    if not _is_count(parts[0]) or declared.setdefault(int(parts[0]), parts[2]) != parts[2]:
        _fail(path, f"describes its columns inconsistently ({line.strip()!r})")


def _table(
    rows: list[str], header: dict[str, str], declared: dict[int, str], path: str
) -> tuple[dict[str, list] | None, tuple[str, ...]]:
    names = header.get("ColHeaders", "").split()
    if not names:
        if rows or declared or any(title in header for title in _TITLES):
            _fail(path, "is truncated or damaged: it does not name the columns of its table")
        return None, ()
    _check_columns(names, header, declared, path)
    columns, repeated = _unique(_columns(rows, names, path), path)
    _check_count(len(columns[NAME]), header.get("NRows"), path)
    notes = (f"{repeated} rows of {os.path.basename(path)} were there twice, with equal values",) if repeated else ()
    return columns, notes


def _check_columns(names: list[str], header: dict[str, str], declared: dict[int, str], path: str) -> None:
    count = header.get("NTableCols", "").strip()
    if NAME not in names or len(set(names)) != len(names) or (count and count != str(len(names))):
        _fail(path, f"names its columns wrongly ({' '.join(names)[:80]})")
    if declared and declared != dict(enumerate(names, start=1)):
        _fail(path, "describes other columns than its table has")


def _columns(lines: list[str], names: list[str], path: str) -> dict[str, list]:
    rows = [line.split() for line in lines]
    if set(map(len, rows)) - {len(names)}:
        line, row = next((line, row) for line, row in zip(lines, rows) if len(row) != len(names))
        where = f"{line.strip()[:50]!r} ({len(row)} of {len(names)} columns)"
        _fail(path, f"is truncated or damaged at {where}")
    texts = dict(zip(names, zip(*rows))) if rows else dict.fromkeys(names, ())
    structures = list(texts.pop(NAME))
    values = _floats(list(chain.from_iterable(texts.values())), structures, path)
    ends = range(len(rows), len(values) + 1, len(rows) or 1)
    columns = dict(zip(texts, (values[end - len(rows) : end] for end in ends))) if rows else {}
    return {name: structures if name == NAME else columns.get(name, []) for name in names}


def _floats(cells: list[str], structures: list[str], path: str) -> list[float]:
    """The numbers of all columns, one after the other."""
    # float() also takes 1_000, Arabic digits and inf, which FreeSurfer never writes
    joined = "".join(cells)
    try:
        values = list(map(float, cells))
        if "_" not in joined and joined.isascii() and (math.isfinite(sum(values)) or not any(map(math.isinf, values))):
            return values
    except ValueError:
        pass
    where = next((name for cell, name in zip(cells, cycle(structures)) if not _is_number(cell)), "?")
    _fail(path, f"holds something that is not a number in the row of {where}")


def _is_number(cell: str) -> bool:
    try:
        return "_" not in cell and cell.isascii() and not math.isinf(float(cell))
    except ValueError:
        return False


def _unique(columns: dict[str, list], path: str) -> tuple[dict[str, list], int]:
    """Columns without rows that are there twice, and how many those were; unequal ones are an error."""
    structures = columns[NAME]
    first: dict[str, int] = {}
    for number, name in enumerate(structures):
        first.setdefault(name, number)
    repeated = len(structures) - len(first)
    if not repeated:
        return columns, 0
    for number, name in enumerate(structures):
        for values in columns.values():
            one, other = values[number], values[first[name]]
            if one != other and not (one != one and other != other):
                _fail(path, f"gives {name} twice with different values")
    return {name: [values[number] for number in first.values()] for name, values in columns.items()}, repeated


def _check_count(found: int, declared: str | None, path: str) -> None:
    if declared is None:
        if not found:
            _fail(path, "has a header but no rows: it was cut off while it was written")
    elif not _is_count(declared):
        _fail(path, f"says NRows {declared!r}, which is not a count")
    elif int(declared) != found:
        _fail(path, f"is truncated or damaged: it announces {declared} rows and has {found}")
