"""The findings of a command on plain tables: lines for its end, and a table."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from bids_app.bids.columns import columns_for
from bids_app.findings import COLUMNS, LINES_AT_MOST, Finding, kinds
from bids_app.tables import write_tsv


def finding_lines(findings: Iterable[Finding], place: str) -> list[str]:
    """At most `LINES_AT_MOST` lines, the first finding of each kind before the others; `place` holds them all."""
    found = list(dict.fromkeys(findings))
    if not found:
        return []
    first = {finding.kind: finding for finding in reversed(found)}
    ordered = [finding for finding in found if first[finding.kind] is finding]
    ordered += [finding for finding in found if first[finding.kind] is not finding]
    shown = ordered if len(ordered) <= LINES_AT_MOST - 2 else ordered[: LINES_AT_MOST - 2]
    rest = len(ordered) - len(shown)
    last = f"each finding, its effect and remedy: {place}"
    return [
        f"{len(found)} finding{'s' if len(found) > 1 else ''} that can change a number:",
        *(f"  {kinds()[finding.kind].title}: {finding.seen}" for finding in shown),
        f"and {rest} more; {last}" if rest else last,
    ]


def write_findings(findings: Iterable[Finding], path: Path) -> Path:
    """Write a table of findings with its dictionary."""
    rows = [[getattr(finding, name) for name in COLUMNS] for finding in dict.fromkeys(findings)]
    return write_tsv(pd.DataFrame(rows, columns=list(COLUMNS), dtype=object), path, columns_for("group_findings"))
