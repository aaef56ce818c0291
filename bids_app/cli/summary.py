"""The words at the end of a run (or before it, for --dry-run): what happened and what to do next."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bids_app.bids.names import listed, scan_name
from bids_app.cli.words import STATUS_LINE
from bids_app.clinical.results import AnalysisResult
from bids_app.run.config import RunConfig
from bids_app.run.findings import planned
from bids_app.run.planned import Omission, Plan, PlannedScan

REASONS_AT_MOST = 20


def describe_plan(plan: Plan) -> str:
    """What a run would do, one line per scan."""
    lines = [f"would score   {_name(scan)}  ({_source(scan)})" for scan in plan.scans]
    lines += [f"up to date    {_name(scan)}" for scan in plan.up_to_date]
    lines += [f"would omit    {_name(scan)}  {scan.reason}" for scan in plan.omissions]
    lines += [f"finding       {finding.scan}  {finding.seen}; {finding.effect}" for finding in planned(plan)]
    lines.append(f"{len(plan.scans)} to score, {len(plan.up_to_date)} up to date, {len(plan.omissions)} to leave out")
    return "\n".join(lines)


def closing(config: RunConfig, plan: Plan, failed: Sequence[Omission]) -> str:
    """Numbers, names of who is not in, and the next command."""
    crashed = {(omission.participant, omission.session) for omission in failed}
    scored = [scan for scan in plan.scans if (scan.participant, scan.session) not in crashed]
    lines = [
        f"scored {len(scored)}, up to date {len(plan.up_to_date)}, left out {len(plan.omissions)}, "
        f"failed {len(crashed)}"
    ]
    lines += _named("left out", plan.omissions) + _named("failed", failed)
    if failed:
        lines.append("run the same command again: it does only what is missing")
    if scored or plan.up_to_date:
        lines.append(f"reports: {config.output_dir}/sub-*.html")
        again = f" --anonymise-map {config.anonymise_map}" if config.anonymise_map else ""
        lines.append(f"next: normvol {config.bids_dir} {config.output_dir} group{again}")
    else:
        lines.append("no scan could be scored; each reason is above and in logs/status")
    lines.append(STATUS_LINE.format(config.output_dir))
    return "\n          ".join(lines)


def _named(word: str, omissions: Sequence[Omission]) -> list[str]:
    """One line per reason, with the scans that share it."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for item in omissions:
        reasons.setdefault((item.reason, item.remedy), []).append(_name(item))
    lines = [
        f"  {word}: {listed(names)}: {reason}" + (f"; {remedy}" if remedy else "")
        for (reason, remedy), names in list(reasons.items())[:REASONS_AT_MOST]
    ]
    if len(reasons) > REASONS_AT_MOST:
        lines.append(f"  and {len(reasons) - REASONS_AT_MOST} more reasons, all in logs/status")
    return lines


def left_out_lines(omissions: Sequence[Omission]) -> list[str]:
    """Who is left out, one line per reason."""
    return [line.strip() for line in _named("left out", omissions)]


def _source(scan: PlannedScan) -> str:
    return f"FreeSurfer subject {scan.subject_dir}" if scan.subject_dir else "recon-all will run"


def _name(scan: PlannedScan | Omission) -> str:
    return scan_name(scan.participant, scan.session)


def not_computed_lines(results: Iterable[AnalysisResult]) -> list[str]:
    """One line per reason why analyses could not be computed, with the analyses that share it."""
    without: dict[str, list[str]] = {}
    for result in results:
        if "reason" in result.table:
            without.setdefault(str(result.table["reason"].iloc[0]), []).append(result.name)
    return [f"not computed: {', '.join(names)}: {reason}" for reason, names in without.items()]
