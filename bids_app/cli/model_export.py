"""Write a model in a form that others can use without this software."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from bids_app.cli import exitcodes
from bids_app.cli.model_options import say

HELP = "export a model: JSON with its schema, coefficients for R, centile table"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """MODEL, kind, file, and the grid of the centiles."""
    parser.add_argument("model", metavar="NAME|PATH", help="a packaged model's name, a model file or folder")
    parser.add_argument(
        "kind",
        choices=("json", "coefficients", "centiles"),
        help="json: the model file and its JSON Schema; coefficients: CSV that R's read.csv reads; "
        "centiles: TSV of region x sex x age x centile",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="the file to write")
    parser.add_argument(
        "--etiv",
        type=float,
        metavar="MM3",
        help="centiles: intracranial volume (default: the middle of the training range of each sex)",
    )
    parser.add_argument("--ages", nargs="+", type=float, metavar="YEARS", help="centiles: default every trained year")
    parser.add_argument(
        "--centiles", nargs="+", type=float, metavar="PERCENT", help="default 1 2.5 5 25 50 75 95 97.5 99"
    )


def run(arguments: argparse.Namespace) -> int:
    """Export one kind."""
    from bids_app.errors import UsageError
    from bids_app.normative.export import export
    from bids_app.normative.registry import load_model

    given: dict[str, Any] = {name: getattr(arguments, name) for name in ("etiv", "ages", "centiles")}
    options = {name: value for name, value in given.items() if value is not None}
    if options and arguments.kind != "centiles":
        raise UsageError(f"--{', --'.join(options)} belong to the kind centiles")
    model = load_model(arguments.model)
    path = export(model, arguments.output, arguments.kind, **options)
    say(
        f"wrote {path} ({path.stat().st_size / 1000:.0f} kB), {len(model.regions)} regions of {model.card.name} "
        f"{model.card.version}, licence {model.card.licence}"
    )
    return exitcodes.OK
