"""Group statistics and report of a table that was scored, no BIDS dataset needed."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bids_app.cli import exitcodes
from bids_app.cli.model_options import add_table, read, say
from bids_app.cli.model_score import add_scoring

if TYPE_CHECKING:
    from bids_app.workbench.table_analysis import TableAnalysis

HELP = "group statistics and report of a scored table"
ZSCORES = "zscores.tsv"
NOTES = "zscores_notes.tsv"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """TABLE, its z-scores or how to make them, analysis, output folder."""
    add_table(parser, optional=True)
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="OUTDIR",
        help="folder of tables and group.html; results of an earlier run in it are replaced",
    )
    parser.add_argument(
        "--zscores",
        type=Path,
        metavar="Z.tsv",
        help="z of the same rows, as normvol-model score wrote them; without it TABLE is scored first "
        f"(OUTDIR/{ZSCORES})",
    )
    parser.add_argument(
        "--analysis",
        default="auto",
        metavar="auto|FILE.toml",
        help="which column plays which role, and options (docs/clinical.md); auto (the default) "
        "proposes from the columns and writes OUTDIR/analysis.toml",
    )
    parser.add_argument(
        "--visits",
        type=Path,
        metavar="FILE.tsv",
        help="clinical visits, with or without a scan: participant_id, session_id or age, and scores",
    )
    parser.add_argument(
        "--reports-only", action="store_true", help="rebuild group.html from the tables in OUTDIR; nothing else is read"
    )
    add_scoring(parser.add_argument_group("scoring, without --zscores"))
    # told apart from the default, to refuse it beside --zscores
    parser.set_defaults(model=None)


def run(arguments: argparse.Namespace) -> int:
    """Analyse and report; OMISSIONS when rows have no z."""
    from bids_app.errors import UsageError

    if arguments.reports_only:
        return _rebuild(arguments.output)
    if arguments.table is None:
        raise UsageError("name the TABLE to analyse (or --reports-only)")
    from bids_app.workbench.table_analysis import TableFiles, analyse_tables, check_request

    scoring = [name for name in ("model", "scoring", "adapt_controls", "adapt_by") if getattr(arguments, name)]
    if arguments.zscores and scoring:
        raise UsageError(
            f"--{scoring[0].replace('_', '-')} says how to score, but --zscores gives scores", "use one of them"
        )
    scores = arguments.zscores or arguments.output / ZSCORES
    files = TableFiles(arguments.table, scores, arguments.visits)
    check_request(files, arguments.output, arguments.analysis)
    if arguments.zscores is None:
        _score(arguments, scores)
    table = read(arguments, quiet=arguments.zscores is None)
    found = analyse_tables(table, files, arguments.output, arguments.analysis, dict(arguments.map))
    _report(found)
    failures = [result.failure for result in found.results if result.failure]
    for text in failures:
        print(f"an analysis failed: {text}", file=sys.stderr)
    if failures:
        return exitcodes.FAILED
    return exitcodes.OK if (found.cohort.inclusion["status"] == "scored").all() else exitcodes.OMISSIONS


def _score(arguments: argparse.Namespace, scores: Path) -> None:
    """The first of the two steps, as ``normvol-model score`` does it."""
    from bids_app.cli import model_score

    scores.parent.mkdir(parents=True, exist_ok=True)
    model_score.run(
        argparse.Namespace(
            **{
                **vars(arguments),
                "model": arguments.model or model_score.DEFAULT_MODEL,
                "output": str(scores),
                "se": None,
                "chunk_rows": model_score.CHUNK_ROWS,
                "centiles": None,
                "counts": scores.with_name(NOTES),
                "adaptation": None,
            }
        )
    )


def _rebuild(output: Path) -> int:
    from bids_app.reports.pages.group import write_group_report

    say(f"wrote {write_group_report(output)}")
    return exitcodes.OK


def _report(found: TableAnalysis) -> None:
    """Who is in, who is not and why, what was computed and what was not."""
    from bids_app.cli.summary import not_computed_lines

    for note in found.notes:
        say(note)
    left_out = found.cohort.inclusion[found.cohort.inclusion["status"] != "scored"]
    scans = found.cohort.scans
    say(f"{len(scans)} rows of {scans['participant_id'].nunique()} people are in; {len(left_out)} are not")
    for (reason, remedy), rows in left_out.groupby(["reason", "remedy"], sort=True):
        say(f"left out: {len(rows)} row(s): {reason}; {remedy} (group_inclusion.tsv lists them)")
    for line in not_computed_lines(found.results):
        say(line)
    computed = sum("reason" not in result.table for result in found.results)
    say(f"{computed} result tables. For research use only.")
    say(f"report: {found.report}")
