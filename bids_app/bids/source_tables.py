"""The tables of a BIDS dataset as rows of text: participants, sessions, scans, phenotype."""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bids_app.bids.age_sex import is_missing
from bids_app.bids.names import bare
from bids_app.errors import BIDSError
from bids_app.tables import read_json, read_table

Row = dict[str, str]
_ID_NAMES = ("participant_id", "participant", "subject_id", "subject", "sub", "sub_id", "id")
_SESSION_NAMES = ("session_id", "ses_id")


def plain(name: str) -> str:
    """A column's name in lower case with one ``_`` for anything but letters and digits."""
    return re.sub(r"[^a-z0-9]+", "_", name.strip().lower()).strip("_")


def read_rows(path: Path) -> list[Row]:
    """The rows of `read_sheet`."""
    return read_sheet(path)[1]


def read_sheet(path: Path) -> tuple[list[str], list[Row]]:
    """Header of a small TSV, and its rows as mappings of column to text without the missing cells.

    Split by hand: a dataset has one ``sessions.tsv`` per person, and pandas needs a millisecond for each.

    Raises
    ------
    BIDSError
        When the file cannot be read, has no header, a column twice, or a row longer than its header.
    """
    numbered = [(number, cells) for number, cells in enumerate(_cells(path), start=1) if any(cells)]
    if not numbered:
        raise BIDSError(f"{path} is empty", "write a header line, or remove the file")
    header = _standard(numbered[0][1])
    twice = next((name for name in header if name and header.count(name) > 1), None)
    if twice:
        raise BIDSError(f"{path} has more than one column {twice}", "rename or remove one")
    for number, cells in numbered[1:]:
        if any(cells[len(header) :]):
            raise BIDSError(
                f"{path}: line {number} has {len(cells)} cells but the header has {len(header)}",
                "columns must be separated by one tab",
            )
    return header, [
        {name: cell for name, cell in zip(header, cells) if name and not is_missing(cell)} for _, cells in numbered[1:]
    ]


def _cells(path: Path) -> list[list[str]]:
    """Cells of every line, without the blanks and quotes around them; a lone quote is just a character."""
    try:
        lines = re.split(r"\r\n|\r|\n", _decoded(path.read_bytes()))
    except (OSError, UnicodeDecodeError) as error:
        raise BIDSError(f"cannot read {path} as a table ({error})", "it must be tab-separated text") from error
    return [[_unquoted(cell.strip()) for cell in line.split("\t")] for line in lines]


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
    return cell[1:-1].replace('""', '"').strip() if quoted else cell


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
    """Like `read_sheet` for a table the user names: TSV, CSV (also gzipped) or Parquet."""
    if path.suffix in (".tsv", ".txt"):
        return read_sheet(path)
    table = read_table(path, text=True)
    header = _standard([str(name).strip() for name in table.columns])
    table.columns = header
    rows = [
        {str(name): str(cell).strip() for name, cell in record.items() if not is_missing(cell)}
        for record in table.to_dict("records")
    ]
    return header, rows


def read_sidecar(path: Path) -> Mapping[str, Any]:
    """The JSON dictionary beside a table; empty when there is none."""
    sidecar = path.with_name(path.name.removesuffix(".gz")).with_suffix(".json")
    content = read_json(sidecar) if sidecar.exists() else {}
    return content if isinstance(content, Mapping) else {}


def row_key(row: Row) -> tuple[str, str | None]:
    """Participant and session label of a row, without prefixes."""
    session = row.get("session_id")
    return bare(row.get("participant_id", ""), "sub"), None if session is None else bare(session, "ses")
