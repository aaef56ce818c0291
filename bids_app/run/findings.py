"""The findings of a participant-level run: recorded per scan, collected and summed up at its end."""

from __future__ import annotations

from pathlib import Path

from bids_app.bids.finding_files import (
    FOLDER,
    GROUP_FILE,
    collect_findings,
    findings_path,
    read_findings_file,
    write_findings,
)
from bids_app.bids.names import participant_id, session_id
from bids_app.findings import Finding, summary_lines
from bids_app.freesurfer.annex import fetch_command
from bids_app.run.alike import record
from bids_app.run.planned import Omission, Plan


def planned(plan: Plan) -> list[Finding]:
    """What the plan found: on the dataset, on the scans to score, on those left out."""
    found = list(plan.findings)
    for scan in (*plan.scans, *plan.up_to_date):
        name = participant_id(scan.participant), session_id(scan.session)
        found += [Finding(**item).of(*name) for item in scan.covariates.get("findings", ())]
    for omission in plan.omissions:
        found += [finding.of(*_scan(omission)) for finding in omission.findings]
    return found


def _scan(omission: Omission) -> tuple[str, str | None]:
    return participant_id(omission.participant), session_id(omission.session)


def record_planned(plan: Plan, output_dir: Path) -> None:
    """Write what the plan found about scans that are left out and, in a run of all people, about the dataset."""
    for omission in plan.omissions:
        found = [finding.of(*_scan(omission)) for finding in omission.findings]
        write_findings(found, findings_path(output_dir, omission.participant, omission.session))
    if plan.everybody:
        write_findings(plan.findings, findings_path(output_dir, None))


def closing_lines(plan: Plan, output_dir: Path) -> list[str]:
    """The findings on the scans of this run by kind; ``group_findings.tsv`` is made when the run is of all people."""
    found: list[Finding] = list(plan.findings)
    keys = [(scan.participant, scan.session) for scan in (*plan.scans, *plan.up_to_date)]
    keys += [(omission.participant, omission.session) for omission in plan.omissions]
    for key in keys:
        found += read_findings_file(findings_path(output_dir, *key))
    if plan.everybody:
        collect_findings(output_dir)
    # At the end: until then a run that is started again finds what the folder held before
    record(output_dir, plan.scored_as)
    fetch = [path for omission in plan.omissions for path in omission.to_fetch]
    lines = [f"to fetch all that is missing: {fetch_command(fetch)}"] if fetch else []
    return lines + summary_lines(found, str(output_dir / (GROUP_FILE if plan.everybody else FOLDER)))
