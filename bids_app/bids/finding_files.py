"""Findings on disk: ``logs/findings/sub-X[_ses-Y].tsv`` per scan; ``group_findings.tsv``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from bids_app.bids.columns import columns_for
from bids_app.bids.names import file_stem, natural_key, output_path
from bids_app.bids.source_tables import read_rows
from bids_app.findings import COLUMNS, Finding
from bids_app.tables import write_tsv

FOLDER = Path("logs") / "findings"
GROUP_FILE = "group_findings.tsv"
DATASET = "dataset"


def findings_path(output_dir: Path | str, participant: str | None, session: str | None = None) -> Path:
    """Where the findings on a scan are kept (labels without prefix; None: on the dataset as a whole)."""
    name = DATASET if participant is None else file_stem(participant, session)
    return output_path(output_dir, *FOLDER.parts, f"{name}.tsv")


def write_findings(findings: Iterable[Finding], path: Path) -> Path | None:
    """Write the findings of one file, or remove it when there is none."""
    found = list(dict.fromkeys(findings))
    if not found:
        path.unlink(missing_ok=True)
        path.with_suffix(".json").unlink(missing_ok=True)
        return None
    return write_tsv(_table(found), path)


def findings_of(summary: Mapping[str, Any]) -> list[Finding]:
    """The findings that a scan's summary holds."""
    return [
        Finding(**item).of(summary["participant_id"], summary.get("session_id")) for item in summary.get("findings", ())
    ]


def read_findings(output_dir: Path | str) -> list[Finding]:
    """The findings of every scan and of the dataset, the dataset's first, then in natural order of scans."""
    paths = sorted((Path(output_dir) / FOLDER).glob("*.tsv"), key=lambda path: natural_key(path.stem))
    paths.sort(key=lambda path: path.stem != DATASET)
    return [finding for path in paths for finding in read_findings_file(path)]


def read_findings_file(path: Path) -> list[Finding]:
    """The findings of one file; none when it is not there."""
    rows = read_rows(path) if path.exists() else []
    return [Finding(**{name: row[name] for name in COLUMNS if name in row}) for row in rows]


def collect_findings(
    output_dir: Path | str, also: Iterable[Finding] = (), scans: Iterable[Finding] | None = None
) -> list[Finding]:
    """Write ``group_findings.tsv`` and return what it holds.

    `also` are findings of the group level, `scans` those of the scans (default: those of the output folder).
    """
    found = [*also, *(read_findings(output_dir) if scans is None else scans)]
    write_tsv(_table(found), output_path(output_dir, GROUP_FILE), columns_for("group_findings"))
    return found


def add_findings(output_dir: Path | str, findings: Iterable[Finding]) -> None:
    """Put findings of the group level before those that ``group_findings.tsv`` holds."""
    path = Path(output_dir) / GROUP_FILE
    collect_findings(output_dir, findings, read_findings_file(path))


def _table(findings: Iterable[Finding]) -> pd.DataFrame:
    rows = [[getattr(finding, name) for name in COLUMNS] for finding in findings]
    return pd.DataFrame(rows, columns=list(COLUMNS), dtype=object)
