"""The tables of a BIDS dataset as rows of text: participants, sessions, scans, phenotype."""

from __future__ import annotations

import csv
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

    Plain `csv`: a dataset has one ``sessions.tsv`` per person, and pandas needs a millisecond for each.

    Raises
    ------
    BIDSError
        When the file cannot be read, has no header or has a row longer than its header.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, delimiter="\t")
            lines = [line for line in reader if any(cell.strip() for cell in line)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BIDSError(f"cannot read {path} as a table ({error}); it must be tab-separated text") from error
    if not lines:
        raise BIDSError(f"{path} is empty; write a header line, or remove the file")
    header = _standard([name.strip() for name in lines[0]])
    for number, line in enumerate(lines[1:], start=2):
        if len(line) > len(header):
            raise BIDSError(f"{path}: line {number} has {len(line)} cells but the header has {len(header)}; "
                            "columns must be separated by one tab")
    rows = [{name: cell.strip() for name, cell in zip(header, line) if not is_missing(cell)}
            for line in lines[1:]]
    return header, rows


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
    rows = [{str(name): str(cell).strip() for name, cell in record.items() if not is_missing(cell)}
            for record in table.to_dict("records")]
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
