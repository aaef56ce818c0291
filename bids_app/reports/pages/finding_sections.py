"""Findings at the top of the reports: what was seen that can change a number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bids_app.findings import kinds
from bids_app.reports.loading import Group, Person, Scan

NAMED_AT_MOST = 8


@dataclass(frozen=True)
class KindShown:
    """One kind in the group's report: its title, the row of the file that stands for it, and whom it concerns."""

    title: str
    file: str
    index: int
    row: dict[str, object]
    scans: str


def person_findings(person: Person) -> Iterator[tuple[Scan, str]]:
    """Scan and key of each finding in its summary, the latest scan first."""
    for scan in reversed(person.scans):
        for index in range(len(scan.summary.get("findings") or ())):
            yield scan, f"findings.{index}"


def group_findings(group: Group) -> list[KindShown]:
    """One entry per kind and effect, in the order of the file."""
    sheet = group.sheets.get("findings")
    if sheet is None:
        return []
    first: dict[tuple[str, str], tuple[int, dict[str, object]]] = {}
    scans: dict[tuple[str, str], list[str]] = {}
    for index, row in sheet.rows():
        key = str(row["kind"]), str(row["effect"])
        first.setdefault(key, (index, row))
        name = "_".join(str(row[part]) for part in ("participant_id", "session_id") if isinstance(row[part], str))
        scans.setdefault(key, []).append(name or "the dataset")
    return [
        KindShown(kinds()[key[0]].title if key[0] in kinds() else key[0], sheet.file, index, row, _named(scans[key]))
        for key, (index, row) in first.items()
    ]


def _named(scans: Sequence[str]) -> str:
    names = list(dict.fromkeys(scans))
    more = f" and {len(names) - NAMED_AT_MOST} more" if len(names) > NAMED_AT_MOST else ""
    return ", ".join(names[:NAMED_AT_MOST]) + more
