"""``normvol-status OUT``: what is done there, what is not and why, and what a next run would do."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bids_app import __version__
from bids_app.bids.names import listed
from bids_app.bids.progress import DONE, FAILED, STATES, UNFINISHED, ScanState, scan_states
from bids_app.cli import exitcodes
from bids_app.cli.guard import guarded
from bids_app.cli.options import Option, Parser, add_general_options, add_options
from bids_app.cli.words import show

REASONS_AT_MOST = 20
OPTIONS: list[Option] = [
    ("OUTPUT_DIR", "output folder of normvol"),
    ("--json", "print JSON instead of words"),
    ("--bids BIDS_DIR", "also say what is new or changed in this dataset, and what a next run would do"),
    ("--fs-subjects-dir DIR", "with --bids: the FreeSurfer subjects, where the dataset does not hold them"),
    ("--model MODEL", "with --bids: the model that the next run uses", {"default": "open-calibrated"}),
    ("--second-model MODEL", "with --bids: the second model that the next run uses"),
]


def build_parser() -> argparse.ArgumentParser:
    """The arguments of ``normvol-status``."""
    parser = Parser(
        prog="normvol-status",
        description="What is done in an output folder, what was left out or failed and why. Writes nothing.",
        epilog="exit codes are those of normvol: 0 all done, 1 failed or unfinished, 3 no output folder, 4 left out",
        allow_abbrev=False,
    )
    add_options(parser, OPTIONS)
    add_general_options(parser, __version__)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Print the state of an output folder and return an exit code of `exitcodes`."""
    arguments = build_parser().parse_args(argv)
    return guarded(lambda: _status(arguments))


def _status(arguments: argparse.Namespace) -> int:
    states = scan_states(Path(arguments.output_dir))
    coming = None if arguments.bids is None else _next_run(arguments)
    counts = Counter(scan.state for scan in states)
    if arguments.json:
        content: dict[str, Any] = {"counts": {state: counts[state] for state in STATES}}
        content["scans"] = [asdict(scan) for scan in states]
        show(json.dumps(content if coming is None else {**content, "next_run": coming}, indent=2))
    else:
        show("\n".join(_words(states, counts, coming)))
    if counts[FAILED] or counts[UNFINISHED]:
        return exitcodes.FAILED
    return exitcodes.OK if counts[DONE] == len(states) else exitcodes.OMISSIONS


def _words(states: Sequence[ScanState], counts: Counter[str], coming: dict[str, list[str]] | None) -> list[str]:
    lines = [
        f"{len(states)} scan{'' if len(states) == 1 else 's'}: "
        + ", ".join(f"{counts[state]} {state}" for state in STATES)
    ]
    reasons: dict[tuple[str, str, str], list[str]] = {}
    for scan in states:
        if scan.state != DONE:
            reasons.setdefault((scan.state, scan.reason, scan.remedy), []).append(scan.name)
    for (state, reason, remedy), names in list(reasons.items())[:REASONS_AT_MOST]:
        lines.append(f"  {state}: {listed(names)}: {reason}" + (f"; {remedy}" if remedy else ""))
    if len(reasons) > REASONS_AT_MOST:
        lines.append(f"  and {len(reasons) - REASONS_AT_MOST} more reasons, all in logs/status and with --json")
    if counts[FAILED] or counts[UNFINISHED]:
        lines.append("run the same command again: it does only what is missing")
    if coming is not None:
        lines.append("a next run: " + ", ".join(f"{len(names)} {what}" for what, names in coming.items()))
        lines += [f"  {what}: {listed(names)}" for what, names in coming.items() if names and what != "up to date"]
    return lines


def _next_run(arguments: argparse.Namespace) -> dict[str, list[str]]:
    """The scans that a next run of all people would score, leave alone and leave out."""
    from bids_app.bids.disguise import is_anonymised
    from bids_app.errors import UsageError
    from bids_app.processes import scratch_folder
    from bids_app.run.config import RunConfig
    from bids_app.run.plan import make_plan

    places = {"fs_subjects_dir": Path(arguments.fs_subjects_dir).absolute()} if arguments.fs_subjects_dir else {}
    bids, output = Path(arguments.bids).absolute(), Path(arguments.output_dir).absolute()
    if is_anonymised(output):
        raise UsageError(f"the labels in {output} are anonymised, and --bids names people", "leave --bids out")
    second = arguments.second_model and str(arguments.second_model)
    models = {"model": str(arguments.model), "second_model": second}
    config = RunConfig(bids_dir=bids, output_dir=output, recon="ingest", **models, **places, **_scored_as(output))
    with scratch_folder("normvol-status-") as work_dir:
        plan = make_plan(config, work_dir)
    return {
        "to score": [scan.name for scan in plan.scans],
        "up to date": [scan.name for scan in plan.up_to_date],
        "to leave out": [scan.name for scan in plan.omissions],
    }


def _scored_as(output_dir: Path) -> dict[str, Any]:
    """Scoring and adaptation of the run that filled the folder."""
    from bids_app.run.alike import RECORD
    from bids_app.tables import read_json

    path = output_dir / RECORD
    recorded = read_json(path) if path.exists() else {}
    return {name: recorded[name] for name in ("scoring", "adapt_controls", "adapt_by") if recorded.get(name)}


if __name__ == "__main__":
    sys.exit(main())
