"""Findings: whatever was seen that can change a number, as one type with one table of kinds (``data/findings.tsv``)."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files

COLUMNS = ("kind", "participant_id", "session_id", "seen", "effect", "remedy")
LINES_AT_MOST = 12
_NAMED_AT_MOST = 3


@dataclass(frozen=True)
class Kind:
    """A kind of finding: its short title, what it means, and its usual effect and remedy."""

    kind: str
    title: str
    meaning: str
    effect: str
    remedy: str


@lru_cache(maxsize=1)
def kinds() -> Mapping[str, Kind]:
    """Every kind by its name, in the order of ``data/findings.tsv``."""
    text = (files("bids_app.data") / "findings.tsv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    return {row["kind"]: Kind(**row) for row in rows}


@dataclass(frozen=True)
class Finding:
    """One thing that was seen and can change a number.

    Parameters
    ----------
    kind : str
        One of `kinds`.
    seen : str
        What was seen, as a sentence without a full stop: file, column, cell.
    effect, remedy : str
        What it does to the result, and what to do; those of the kind when left out.
    participant_id, session_id : str or None
        The scan, with prefixes; both None for a finding on the whole dataset or before the scan is known.
    """

    kind: str
    seen: str
    effect: str = ""
    remedy: str = ""
    participant_id: str | None = None
    session_id: str | None = None

    def __post_init__(self) -> None:
        known = kinds()[self.kind]
        for name, text in (
            ("seen", self.seen),
            ("effect", self.effect or known.effect),
            ("remedy", self.remedy or known.remedy),
        ):
            object.__setattr__(self, name, " ".join(text.split()))  # one line: findings live in tables

    def of(self, participant_id: str, session_id: str | None = None) -> Finding:
        """The same finding on a scan (labels with prefix)."""
        return replace(self, participant_id=participant_id, session_id=session_id)

    @property
    def scan(self) -> str:
        """``sub-X[_ses-Y]``, or ``dataset``."""
        return "_".join(part for part in (self.participant_id, self.session_id) if part) or "dataset"

    def to_json(self) -> dict[str, str]:
        """Plain values for a scan's summary, which names the scan itself."""
        return {"kind": self.kind, "seen": self.seen, "effect": self.effect, "remedy": self.remedy}


def summary_lines(findings: Iterable[Finding], file: str) -> list[str]:
    """At most `LINES_AT_MOST` lines: how many findings, one line per kind, the commonest first, and the file."""
    by_kind: dict[str, list[Finding]] = {}
    for finding in dict.fromkeys(findings):
        by_kind.setdefault(finding.kind, []).append(finding)
    if not by_kind:
        return []
    total = sum(map(len, by_kind.values()))
    ordered = sorted(by_kind.items(), key=lambda item: -len(item[1]))
    shown = ordered[: LINES_AT_MOST - 2]
    rest = len(ordered) - len(shown)
    last = f"every finding, its effect and remedy: {file}"
    return [
        f"{total} finding{'s' if total > 1 else ''} that can change a number:",
        *(f"  {kinds()[kind].title}: {_scans(found)}" for kind, found in shown),
        f"and {rest} more kinds; {last}" if rest else last,
    ]


def _scans(findings: list[Finding]) -> str:
    scans = list(dict.fromkeys(finding.scan for finding in findings))
    if scans == ["dataset"]:
        return findings[0].seen
    more = f" and {len(scans) - _NAMED_AT_MOST} more" if len(scans) > _NAMED_AT_MOST else ""
    return f"{len(scans)} scan{'s' if len(scans) > 1 else ''} ({', '.join(scans[:_NAMED_AT_MOST])}{more})"
