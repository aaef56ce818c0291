"""The tables of a BIDS dataset as rows of text: participants, sessions, scans, phenotype."""

from __future__ import annotations

import codecs
import csv
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from bids_app import bounded
from bids_app.bids.age_sex import is_missing
from bids_app.bids.names import bare, is_label
from bids_app.bounded import names_in
from bids_app.errors import BIDSError, InputError
from bids_app.tables import SPREADSHEETS, read_json, read_table
from bids_app.tsv import without_mark

Row = dict[str, str]
_ID_NAMES = (
    "participant_id",
    "participant",
    "subject_id",
    "subject",
    "sub",
    "sub_id",
    "patient_id",
    "patient",
    "subj_id",
    "subj",
    "participantid",
    "subjectid",
    "patientid",
    "id",
)
_SESSION_NAMES = ("session_id", "ses_id", "sessionid")
# Columns that hold a session only where they tell the rows of one person apart
PERHAPS_SESSION = ("session", "ses", "visit", "timepoint", "time_point", "visit_id")


def plain(name: str) -> str:
    """A column's name in lower case with one ``_`` for anything but letters and digits."""
    return re.sub(r"[^a-z0-9]+", "_", name.strip().lower()).strip("_")


def read_rows(path: Path) -> list[Row]:
    """The rows of `read_sheet`."""
    return read_sheet(path)[1]


def read_sheet(path: Path) -> tuple[list[str], list[Row]]:
    """What `_read_sheet` finds; of the last two tables what was found is kept while their files stay as they are."""
    try:
        status = os.stat(path)
    except OSError:
        return _read_sheet(path)
    return _kept_sheet(path, (status.st_ino, status.st_size, status.st_mtime_ns))


@lru_cache(maxsize=2)
def _kept_sheet(path: Path, state: tuple[int, ...]) -> tuple[list[str], list[Row]]:
    return _read_sheet(path)


def _read_sheet(path: Path) -> tuple[list[str], list[Row]]:
    """Header of a small TSV, and its rows as mappings of column to text without the missing cells.

    Split by hand: a dataset has one ``sessions.tsv`` per person, and pandas needs a millisecond for each. A table
    without tabs is split by what its header uses, when every line then has as many cells (`separator_of`).

    Raises
    ------
    BIDSError
        When the file cannot be read, has no header, a column twice, or a row longer than its header.
    """
    numbered = [(number, cells) for number, cells in enumerate(_cells(path), start=1) if any(cells)]
    if not numbered:
        raise BIDSError(f"{path} is empty", "write a header line, or remove the file")
    for number, cells in numbered[1:]:
        if any(cells[len(numbered[0][1]) :]):
            raise BIDSError(
                f"{path}: line {number} has {len(cells)} cells but the header has {len(numbered[0][1])}",
                "columns must be separated by one tab",
            )
    return _as_rows(path, numbered[0][1], [cells for _, cells in numbered[1:]])


def _as_rows(path: Path, names: list[str], cells: Iterable[Sequence[str]]) -> tuple[list[str], list[Row]]:
    """Header under BIDS names, and the rows without their missing cells."""
    header = _standard(names)
    twice = next((name for name, times in Counter(header).items() if name and times > 1), None)
    if twice:
        raise BIDSError(f"{path} has more than one column {twice}", "rename or remove one")
    rows = [{name: cell for name, cell in zip(header, line) if name and not is_missing(cell)} for line in cells]
    return _with_sessions(header, rows)


def _with_sessions(header: list[str], rows: list[Row]) -> tuple[list[str], list[Row]]:
    """A column such as ``session`` as ``session_id``, where only it tells the rows of one person apart."""
    people = [row.get("participant_id") for row in rows]
    name = next((name for name in header if plain(name) in PERHAPS_SESSION), None)
    if "session_id" in header or name is None or len(set(people)) == len(people):
        return header, rows
    keys = {(row.get("participant_id"), row.get(name)) for row in rows}
    if len(keys) < len(rows) or not all(is_label(bare(row.get(name, ""), "ses")) for row in rows):
        return header, rows
    renamed = ["session_id" if other == name else other for other in header]
    return renamed, [{"session_id" if key == name else key: cell for key, cell in row.items()} for row in rows]


def _cells(path: Path) -> list[list[str]]:
    """Cells of every line, without the blanks and quotes around them; a lone quote is just a character."""
    lines = _lines(path)
    split = _SPLIT[separator_of(lines)]
    if any(sign in line for sign in "\"'" for line in lines):
        return [[_unquoted(cell.strip()) for cell in split(line)] for line in lines]
    return [[cell.strip() for cell in split(line)] for line in lines]


def _lines(path: Path) -> list[str]:
    try:
        with bounded.bounded_table(path) as stream:
            content = bounded.read_at_most(stream, path, bounded.MAX_SHEET_BYTES)
        lines = re.split(r"\r\n|\r|\n", _decoded(content))
        bounded.check_lines(path, len(lines))
        bounded.check_columns(path, max(map(lines[0].count, "\t;,")) + 1, len(lines))
        return lines
    except InputError as error:
        raise BIDSError(error.reason, error.remedy) from error
    except (OSError, UnicodeDecodeError) as error:
        raise BIDSError(f"cannot read {path} as a table ({error})", "it must be tab-separated text") from error


_SPLIT: Mapping[str, Callable[[str], list[str]]] = {
    "tabs": lambda line: line.split("\t"),
    "semicolons": lambda line: line.split(";"),
    "commas": lambda line: next(csv.reader([line]), []),
    "spaces": lambda line: re.split(r"\s{2,}|\s", line.strip()),
}


def separator_of(lines: Sequence[str]) -> str:
    """``tabs``, or what else splits every line into as many cells as the header: semicolons, commas or spaces."""
    filled = [line for line in lines if line.strip()]
    if not filled or any("\t" in line for line in filled):
        return "tabs"
    for name in ("semicolons", "commas", "spaces"):
        counts = {len(_SPLIT[name](line)) for line in filled}
        if len(counts) == 1 and counts != {1}:
            return name
    return "tabs"


def format_remark(path: Path) -> str:
    """What is odd about the format of a table of text; empty when nothing is."""
    if path.suffix.lower() in SPREADSHEETS:
        return f"{path.name} is a spreadsheet, its first sheet was read"
    separator = separator_of(_lines(path)) if path.suffix.lower() in (".tsv", ".txt") else "tabs"
    return "" if separator == "tabs" else f"{path.name} has {separator} where BIDS wants tabs"


def _decoded(content: bytes) -> str:
    """Text in UTF-8 or, as spreadsheets export it, UTF-16 or Latin-1."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _unquoted(cell: str) -> str:
    quoted = len(cell) > 1 and cell[0] == cell[-1] == '"'
    return without_mark(cell[1:-1].replace('""', '"').strip() if quoted else cell)


def _standard(header: list[str]) -> list[str]:
    """`header` with the key columns under their BIDS names."""
    renamed = list(header)
    for standard, others in (("participant_id", _ID_NAMES), ("session_id", _SESSION_NAMES)):
        plains = [plain(name) for name in header]
        match = next((other for other in others if other in plains), None)
        if match is not None:
            renamed[plains.index(match)] = standard
    return renamed


def read_any_sheet(path: Path) -> tuple[list[str], list[Row]]:
    """Like `read_sheet` for a table the user names: TSV, CSV (also gzipped), Parquet or a spreadsheet."""
    if path.suffix.lower() in (".tsv", ".txt"):
        return read_sheet(path)
    table = _read_spreadsheet(path) if path.suffix.lower() in SPREADSHEETS else read_table(path, text=True)
    cells = ([_text(cell) for cell in row] for row in table.itertuples(index=False, name=None))
    return _as_rows(path, [str(name).strip() for name in table.columns], cells)


def _read_spreadsheet(path: Path) -> pd.DataFrame:
    try:
        table: pd.DataFrame = bounded.first_sheet(path, dtype=object)
        return table
    except (InputError, OSError) as error:
        raise BIDSError(
            *((error.reason, error.remedy) if isinstance(error, InputError) else (f"cannot read {path} ({error})",))
        ) from error


def _text(cell: Any) -> str:
    """A cell as text: whole numbers without the decimals, and days without the time, that spreadsheets add."""
    if is_missing(cell):
        return "n/a"
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, datetime):
        return cell.date().isoformat() if (cell.hour, cell.minute, cell.second) == (0, 0, 0) else cell.isoformat()
    return str(cell).strip()


def people_tables(folder: Path) -> list[Path]:
    """The tables of text and spreadsheets in a folder, by name."""
    paths = (folder / name for name in names_in(folder))
    return [path for path in paths if path.suffix.lower() in (".tsv", *SPREADSHEETS)]


def read_sidecar(path: Path) -> Mapping[str, Any]:
    """The JSON dictionary beside a table; empty when there is none."""
    sidecar = path.with_name(path.name.removesuffix(".gz")).with_suffix(".json")
    content = read_json(sidecar) if sidecar.exists() else {}
    return content if isinstance(content, Mapping) else {}


def row_key(row: Row) -> tuple[str, str | None]:
    """Participant and session label of a row, without prefixes."""
    session = row.get("session_id")
    return bare(row.get("participant_id", ""), "sub"), None if session is None else bare(session, "ses")
