"""What became of each scan: ``logs/status/sub-X[_ses-Y].json``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from bids_app.bids.names import bare, file_stem, names_beginning, natural_key, output_path, participant_id, session_id
from bids_app.tables import read_json, write_json

STATUSES = ("scored", "omitted", "failed")
COLUMNS = ("participant_id", "session_id", "status", "stage", "reason", "remedy", "run_uuid")


def status_path(output_dir: Path | str, participant: str, session: str | None = None) -> Path:
    """Where the status of a scan is kept."""
    return output_path(output_dir, "logs", "status", f"{file_stem(participant, session)}.json")


def write_status(
    output_dir: Path | str,
    participant: str,
    session: str | None = None,
    *,
    status: str,
    stage: str,
    reason: str = "",
    remedy: str = "",
    run_uuid: str = "",
) -> Path:
    """Record the outcome of a scan; the last run's word stands.

    Parameters
    ----------
    participant, session : str
        Labels, with or without prefix.
    status : {'scored', 'omitted', 'failed'}
    stage : str
        The step that decided it.
    reason, remedy : str
        A sentence on why, and one on what to do.

    Raises
    ------
    ValueError
        When `status` is another word.
    """
    if status not in STATUSES:
        raise ValueError(f"status {status!r} is none of {STATUSES}")
    participant = bare(participant, "sub")
    session = None if session is None else bare(session, "ses")
    values = (participant_id(participant), session_id(session), status, stage, reason, remedy, run_uuid)
    return write_json(dict(zip(COLUMNS, values, strict=True)), status_path(output_dir, participant, session))


def person_statuses(output_dir: Path | str, participant: str) -> dict[str | None, dict[str, Any]]:
    """``session_id`` and status of each scan of a person (label without prefix)."""
    folder, name = Path(output_dir) / "logs" / "status", participant_id(participant)
    names = [f"{name}.json", *(other for other in names_beginning(folder, f"{name}_") if other.endswith(".json"))]
    found = [read_json(folder / file) for file in names if os.path.isfile(folder / file)]
    return {status.get("session_id"): status for status in found}


def read_statuses(output_dir: Path | str) -> pd.DataFrame:
    """All statuses, one row per scan in natural order, with the columns `COLUMNS`.

    Texts that are empty, and ``session_id`` without sessions, are None.

    Parameters
    ----------
    output_dir : path-like
        Its ``logs/status/sub-*.json`` are read.

    Returns
    -------
    DataFrame
        Of object columns; no rows where nothing was run yet.
    """
    paths = (Path(output_dir) / "logs" / "status").glob("sub-*.json")
    rows = [tuple(_text(row.get(name)) for name in COLUMNS) for row in map(read_json, paths)]
    rows.sort(key=lambda row: (natural_key(row[0]), natural_key(row[1])))
    return pd.DataFrame(rows, columns=list(COLUMNS), dtype=object)


def _text(value: Any) -> Any:
    """One text in memory for all scans that it is said of."""
    return sys.intern(value) if isinstance(value, str) and value else value or None
