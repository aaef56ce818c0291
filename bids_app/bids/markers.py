"""What is done: a marker per scan and one per person in ``logs/done``, each written last, with what it covers.

A marker is taken away before anything that it covers is changed. What has no marker, or one that does not fit
what lies there, is made again, so an interruption at any moment costs work and nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bids_app.bids.derivatives import person_summary_paths
from bids_app.bids.names import derivative_path, file_stem, output_path, scan_name
from bids_app.bids.status import person_statuses
from bids_app.errors import InputError
from bids_app.tables import read_json, write_json

# The change model that the people's tables were made with, where there is one
CHANGE_MODEL = "change_model.json"
SCANS, PEOPLE = Path("logs", "done", "scans"), Path("logs", "done", "people")


def scan_marker(output_dir: Path | str, participant: str, session: str | None = None) -> Path:
    """Where the marker of a scan lies (labels without prefix)."""
    return output_path(output_dir, *SCANS.parts, f"{file_stem(participant, session)}.json")


def person_marker(output_dir: Path | str, participant: str) -> Path:
    """Where the marker of a person lies (label without prefix)."""
    return output_path(output_dir, *PEOPLE.parts, f"{file_stem(participant)}.json")


def begin_scan(output_dir: Path, participant: str, session: str | None) -> None:
    """Take away the markers of a scan and its person, before the scan's files are changed."""
    scan_marker(output_dir, participant, session).unlink(missing_ok=True)
    begin_person(output_dir, participant)


def begin_person(output_dir: Path, participant: str) -> None:
    """Take away the marker of a person, before the person's tables and report are changed."""
    person_marker(output_dir, participant).unlink(missing_ok=True)


def end_scan(output_dir: Path, participant: str, session: str | None) -> None:
    """Mark a scan as done: tables, summary, findings, status and figures are there."""
    write_json(_scan_cover(output_dir, participant, session), scan_marker(output_dir, participant, session))


def end_person(output_dir: Path, participant: str, cover: Mapping[str, Any]) -> None:
    """Mark a person as done; `cover` is `person_cover` from before the report was made."""
    write_json(dict(cover), person_marker(output_dir, participant))


def is_scan_done(output_dir: Path, participant: str, session: str | None) -> bool:
    """Whether the scan has a marker that covers the summary that is there."""
    recorded = _recorded(scan_marker(output_dir, participant, session))
    return recorded is not None and recorded == _scan_cover(output_dir, participant, session)


def is_person_done(output_dir: Path, participant: str, left_out: Mapping[str, str] | None = None) -> bool:
    """Whether the person has a marker that covers all scans that are there.

    `left_out` are names and reasons of scans that a plan leaves out, which their statuses may not say yet.
    """
    recorded = _recorded(person_marker(output_dir, participant))
    return recorded is not None and recorded == person_cover(output_dir, participant, left_out)


def person_cover(output_dir: Path, participant: str, left_out: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What a person's tables and report are made from: summaries, and the scans that are not in with their reasons."""
    paths = person_summary_paths(output_dir, participant)
    absent = {
        scan_name(participant, session and session.removeprefix("ses-")): row["reason"]
        for session, row in person_statuses(output_dir, participant).items()
        if row["status"] != "scored"
    }
    absent |= left_out or {}
    change = _digest(Path(output_dir) / CHANGE_MODEL)
    return {
        "scans": {path.name.partition("_desc-")[0]: _digest(path) for path in paths},
        "left_out": {name: absent[name] for name in sorted(absent)},
        **({"change_model": change} if change else {}),
    }


def _scan_cover(output_dir: Path, participant: str, session: str | None) -> dict[str, Any]:
    path = derivative_path(output_dir, participant, session, desc="summary", extension=".json")
    return {"summary": _digest(path)}


def _digest(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return None


def _recorded(path: Path) -> Any:
    try:
        return read_json(path) if path.exists() else None
    except InputError:
        return None
