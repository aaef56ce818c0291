"""When a session was scanned: ``acq_time`` of sessions.tsv or scans.tsv."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from bids_app.bids.age_sex import DAYS_PER_YEAR
from bids_app.bids.names import scan_name
from bids_app.bids.source_tables import Row, read_rows

MAX_FOLLOW_UP = 30.0


def parse_time(text: str | None) -> datetime | None:
    """A BIDS ``acq_time`` (ISO 8601, date alone allowed) without time zone; None when unreadable."""
    if not text:
        return None
    try:
        return datetime.fromisoformat(text.strip()).replace(tzinfo=None)
    except ValueError:
        return None


def visit_time(bids_dir: Path, participant: str, session: str | None, row: Row) -> datetime | None:
    """Time of a session: ``acq_time`` of its row in sessions.tsv, else the earliest in its scans.tsv."""
    stated = parse_time(row.get("acq_time"))
    if stated is not None:
        return stated
    folder = bids_dir / f"sub-{participant}"
    folder = folder if session is None else folder / f"ses-{session}"
    table = folder / f"{scan_name(participant, session)}_scans.tsv"
    if not table.exists():
        return None
    times = [time for time in (parse_time(line.get("acq_time")) for line in read_rows(table)) if time]
    return min(times, default=None)


def first_visit_age_offset(bids_dir: Path, participant: str, session: str, rows: Mapping[str, Row]) -> float | None:
    """Years from the person's first session to `session`, given the rows of all sessions in sessions.tsv.

    None unless every session has a time, and when the times span more than `MAX_FOLLOW_UP` years: dates that
    were shifted separately to hide them (BIDS allows it) say nothing about the interval.
    """
    times = {name: visit_time(bids_dir, participant, name, row) for name, row in rows.items()}
    known = [time for time in times.values() if time is not None]
    this = times[session]
    if len(known) < len(times) or this is None or _years(min(known), max(known)) > MAX_FOLLOW_UP:
        return None
    return _years(min(known), this)


def _years(start: datetime, end: datetime) -> float:
    return (end - start).total_seconds() / 86400 / DAYS_PER_YEAR
