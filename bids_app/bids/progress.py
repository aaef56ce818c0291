"""How far an output folder is, from statuses and markers alone: fast for thousands of people."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bids_app.bids.derivatives import SUMMARY_SUFFIX
from bids_app.bids.group_files import group_file
from bids_app.bids.markers import PEOPLE, SCANS
from bids_app.bids.names import file_stem, natural_key
from bids_app.bounded import loads
from bids_app.errors import InputError
from bids_app.tables import read_table

DONE, LEFT_OUT, FAILED, UNFINISHED = STATES = ("done", "left out", "failed", "unfinished")
_STATES = {"omitted": LEFT_OUT, "failed": FAILED}


@dataclass(frozen=True)
class ScanState:
    """One scan: `state` is one of `STATES`, with the reason and what to do where it is not done."""

    participant_id: str
    session_id: str | None
    state: str
    reason: str = ""
    remedy: str = ""

    @property
    def name(self) -> str:
        """``sub-X`` or ``sub-X_ses-Y``."""
        return "_".join(part for part in (self.participant_id, self.session_id) if part)


def scan_states(output_dir: Path) -> list[ScanState]:
    """The state of every scan that a run has looked at, in natural order.

    Raises
    ------
    InputError
        When `output_dir` has no statuses, or one is damaged.
    """
    folder = output_dir / "logs" / "status"
    if not folder.is_dir():
        return _of_a_table(output_dir)
    people = {name: _loaded(path) for name, path in _json_files(output_dir / PEOPLE)}
    marked = dict(_json_files(output_dir / SCANS))
    found = []
    for _, path in _json_files(folder):
        status = _loaded(path)
        if status is None:
            raise InputError(f"{path} is damaged", "run the participant level again")
        found.append(_state(output_dir, status, marked, people))
    return sorted(found, key=lambda scan: (natural_key(scan.participant_id), natural_key(scan.session_id)))


def _of_a_table(output_dir: Path) -> list[ScanState]:
    """The rows of a folder that ``normvol-model analyse``, or a pool, wrote: they name no run's statuses."""
    table = group_file(output_dir, "inclusion")
    if not table.is_file():
        raise InputError(
            f"{output_dir} has no logs/status and no {table.name}, so no level of normvol wrote there", "check the path"
        )
    rows = read_table(table, text=True).astype(object)
    if {"participant_id", "status"} - set(rows):
        raise InputError(f"{table} is damaged", "run the command that wrote it again")
    rows = rows.where(rows.notna(), None)
    return [
        ScanState(
            str(row["participant_id"]),
            row.get("session_id"),
            DONE if row["status"] == "scored" else _STATES.get(str(row["status"]), LEFT_OUT),
            row.get("reason") or "",
            row.get("remedy") or "",
        )
        for row in rows.to_dict("records")
    ]


def _state(
    output_dir: Path, status: Mapping[str, Any], marked: Mapping[str, str], people: Mapping[str, Any]
) -> ScanState:
    participant, session = str(status["participant_id"]), status.get("session_id")
    if status["status"] != "scored":
        state = _STATES[status["status"]]
        return ScanState(participant, session, state, status.get("reason") or "", status.get("remedy") or "")
    label, visit = participant.removeprefix("sub-"), session and session.removeprefix("ses-")
    stem = file_stem(label, visit)
    covered = (people.get(file_stem(label)) or {}).get("scans", {})
    if stem not in marked or not _is_newer(marked[stem], output_dir, participant, session):
        return ScanState(participant, session, UNFINISHED, "its last run was stopped before it was done")
    if stem not in covered:
        return ScanState(participant, session, UNFINISHED, "the person's tables and report are not of this scan")
    return ScanState(participant, session, DONE)


def _is_newer(marker: str, output_dir: Path, participant: str, session: str | None) -> bool:
    """Whether the marker was written after the summary that it covers."""
    name = "_".join(part for part in (participant, session) if part) + SUMMARY_SUFFIX
    summary = os.path.join(output_dir, participant, session or "", "anat", name)
    try:
        return os.stat(summary).st_mtime_ns <= os.stat(marker).st_mtime_ns
    except OSError:
        return False


def _json_files(folder: Path) -> Iterator[tuple[str, str]]:
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".json") and entry.name.startswith("sub-"):
                yield entry.name[:-5], entry.path


def _loaded(path: str) -> Any:
    try:
        with open(path, "rb") as stream:
            content = loads(stream.read())
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None
