"""``normvol-plot``: brain maps of any table with one row per region, and charts of results."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bids_app.cli import exitcodes
from bids_app.cli.options import Option, Parser, add_options
from bids_app.cli.words import tell

if TYPE_CHECKING:
    import pandas as pd

EPILOG = """examples:
  normvol-plot sub-01_desc-deviations_morph.tsv -o sub-01.svg
  normvol-plot group_prevalence.tsv --column share_infra --where group=MS --scale sequential -o map.pdf
  normvol-plot group_hazards.tsv --kind forest -o hazards.pdf
  normvol-plot effects.csv --kind forest --columns label=score estimate=beta low=low high=high -o effects.png
  normvol-plot sub-01_desc-centiles_morph.tsv --kind centile --where region=Left-Thalamus -o thalamus.svg
  normvol-plot group_visits.tsv --column mean_z --facet panel -o visits.svg
  normvol-plot group_courses.tsv --kind courses --fan sub-01_desc-centiles_morph.tsv -o courses.pdf
  normvol-plot group_scores_people.tsv --kind scatter -o scores.png
"""
OPTIONS: list[Option] = [
    ("TABLE", "TSV, CSV or Parquet; for a map with a column `region` (FreeSurfer's names)"),
    ("-o --output FILE", "figure to write: .svg, .png or .pdf", {"required": True}),
    (
        "--kind {map,forest,trajectory,centile,courses,scatter,calibration,shift}",
        "brain map; estimates with intervals; lines with bands by group; centiles by age; everybody's z by age on "
        "centiles; dots with a fitted line; observed against expected shares; before and after a step (default: map)",
        {"default": "map"},
    ),
    (
        "--columns ROLE=COLUMN...",
        "forest: label, estimate, low, high, p; trajectory: x, y, low, high, group; courses: x, y (z), person, colour; "
        "scatter: x, y, fit, low, high; calibration: label, expected, observed, low, high; shift: label, before, "
        "after; without it, what the JSON file beside a group_*.tsv says",
        {"default": []},
    ),
    ("--facet COLUMN", "a part for each value of this column, all with one scale"),
    ("--fan TABLE", "courses: a desc-centiles table whose centiles they stand on (default: flat centiles of z)"),
    (
        "--visits TABLE",
        "centile: a person's scans as dots, a table with `age` and `volume_mm3`, and `region` when it holds several",
    ),
    ("--column COLUMN", "column with the numbers (default: z)", {"default": "z"}),
    ("--where COLUMN=VALUE", "use only the rows with this value; may be repeated", {"action": "append", "default": []}),
    (
        "--scale {diverging,sequential}",
        "colours for signed values, or for amounts (default: diverging)",
        {"default": "diverging"},
    ),
    (
        "--limits LIMIT",
        "ends of the colour scale (default: -4 4, or 0 and the next round number)",
        {"type": float, "nargs": 2, "metavar": ("LOW", "HIGH")},
    ),
    (
        "--threshold NUMBER",
        "outline regions at or beyond this magnitude and hatch the negative ones; 0 for none "
        "(default: 1.96 for the column z, otherwise none)",
        {"type": float},
    ),
    ("--label LABEL", "what the numbers are (default: the column's name)"),
    ("--title TITLE", "heading of the figure"),
    (
        "--views VIEW...",
        "draw only these: lh_lateral lh_medial rh_medial rh_lateral coronal_anterior coronal_middle axial_superior "
        "axial_inferior sagittal",
    ),
    ("--width MM", "width of a PNG or PDF (default: 180)", {"type": float, "default": 180}),
    ("--dpi N", "resolution of a PNG (default: 300)", {"default": 300}),
]


def build_parser() -> argparse.ArgumentParser:
    """The arguments of ``normvol-plot``."""
    parser = Parser(
        prog="normvol-plot",
        description="Paint a column of a per-region table on a drawing of the brain, or draw a chart of results.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_options(parser, OPTIONS)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Draw, and return an exit code of `exitcodes`."""
    arguments = build_parser().parse_args(argv)
    from bids_app.cli.guard import guarded

    return guarded(lambda: _draw(arguments))


def _draw(arguments: argparse.Namespace) -> int:
    from pathlib import Path

    from bids_app.reports.figures.files import checked_ending
    from bids_app.tables import read_table

    checked_ending(Path(arguments.output))
    table = read_table(arguments.table)
    return _draw_map(arguments, table) if arguments.kind == "map" else _draw_chart(arguments, table)


def _draw_chart(arguments: argparse.Namespace, table: pd.DataFrame) -> int:
    from pathlib import Path

    from bids_app.reports.figures.files import save_figure
    from bids_app.reports.figures.tables import centile_figure, result_figure
    from bids_app.reports.figures.values import matching_rows
    from bids_app.tables import read_table

    rows = matching_rows(table, arguments.where, str(arguments.table))
    visits, fan = (read_table(name) if name else None for name in (arguments.visits, arguments.fan))
    if arguments.kind == "centile":
        svg = centile_figure(rows, visits, str(arguments.table))
    else:
        svg = result_figure(
            rows, arguments.kind, arguments.columns, Path(arguments.table), facet=arguments.facet, fan=fan
        )
    save_figure(svg, Path(arguments.output), width_mm=arguments.width, dpi=arguments.dpi)
    return exitcodes.OK


def _draw_map(arguments: argparse.Namespace, table: pd.DataFrame) -> int:
    from pathlib import Path

    from bids_app.reports.figures.files import save_figure
    from bids_app.reports.figures.scene import undrawn
    from bids_app.reports.figures.tables import map_figure
    from bids_app.reports.figures.values import parted_values

    parts = parted_values(table, arguments.column, arguments.where, str(arguments.table), arguments.facet)
    options = {"views": tuple(arguments.views)} if arguments.views else {}
    threshold = arguments.threshold
    if threshold is None and arguments.column == "z":
        threshold = 1.96
    svg = map_figure(
        parts,
        scale=arguments.scale,
        limits=tuple(arguments.limits) if arguments.limits else None,
        threshold=threshold or None,
        label=arguments.label or arguments.column,
        title=arguments.title,
        **options,
    )
    save_figure(svg, Path(arguments.output), width_mm=arguments.width, dpi=arguments.dpi)
    left_out = dict.fromkeys(name for _, values in parts for name in undrawn(values))
    if left_out:
        tell(f"normvol-plot: not in the drawing: {', '.join(left_out)}")
    return exitcodes.OK


if __name__ == "__main__":
    sys.exit(main())
