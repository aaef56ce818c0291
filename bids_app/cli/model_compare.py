"""Score the same people with two models and show how far they agree, as tables and HTML."""

from __future__ import annotations

import argparse
from pathlib import Path

from bids_app.cli import exitcodes
from bids_app.cli.model_options import add_table, read, say

HELP = "agreement of two models on the same people"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Two models, TABLE, and the folder to write."""
    parser.add_argument("model_a", metavar="A", help="model A: a packaged model's name, a model file or folder")
    parser.add_argument("model_b", metavar="B", help="model B")
    add_table(parser)
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="DIR",
        help="for comparison.tsv (per region), comparison_scans.tsv, comparison_models.json and comparison.html",
    )


def run(arguments: argparse.Namespace) -> int:
    """Compare, write, and summarise in three lines."""
    from bids_app.normative.compare import full_comparison, write_comparison
    from bids_app.normative.registry import load_model
    from bids_app.regions import add_asymmetry
    from bids_app.reports.pages.comparison import write_comparison_report

    model_a, model_b = load_model(arguments.model_a), load_model(arguments.model_b)
    found = full_comparison(model_a, model_b, add_asymmetry(read(arguments).data))
    write_comparison(found, model_a.card, model_b.card, arguments.output)
    page = write_comparison_report(arguments.output)
    table = found.regions
    say(
        f"{len(table)} regions in common; median correlation {table['correlation'].median():.3f}, "
        f"median |bias| {table['bias'].abs().median():.3f}, median kappa of z <= -1.96 "
        f"{table['infra_kappa'].median():.2f}"
    )
    if found.only_a or found.only_b:
        say(f"{len(found.only_a)} regions only in A, {len(found.only_b)} only in B")
    say(f"wrote {page}")
    return exitcodes.OK
