"""Train a normative model from a table of healthy people."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bids_app.cli import exitcodes, model_train_pcntoolkit
from bids_app.cli.model_options import add_table, read, say

if TYPE_CHECKING:
    import pandas as pd

HELP = "train a model from a table of healthy people"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """TABLE, the recipe, and where the model goes."""
    add_table(parser)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="MODEL.json", help="the model file")
    parser.add_argument("--name", help="the model's name (default: the file's)")
    add_recipe(parser)
    parser.add_argument(
        "--no-counts",
        action="store_true",
        help="do not count deviations of healthy people out of fold (five trainings less)",
    )
    parser.add_argument(
        "--card",
        type=Path,
        metavar="FILE",
        help="JSON with words for the card: title, licence, citations, limitations, ...",
    )
    parser.add_argument("--dropped", type=Path, metavar="FILE.tsv", help="write the rows left out, with reasons")
    model_train_pcntoolkit.add_engine(parser)


def add_recipe(parser: argparse.ArgumentParser) -> None:
    """How to train; shared with ``evaluate --train``."""
    parser.add_argument(
        "--mode",
        choices=("calibrated", "reference"),
        default="calibrated",
        help="calibrated (default): scale and shape of the distribution vary; reference: constant "
        "Gaussian residual, as in the source study",
    )
    parser.add_argument(
        "--harmonise",
        choices=("none", "mean_only", "location", "full"),
        help="ComBat across sites (default where TABLE has a column site: location, or "
        "mean_only in mode reference; otherwise none)",
    )
    parser.add_argument(
        "--regions",
        choices=("reference", "all"),
        default="all",
        help="reference: the 82 regions of the source study; all (default): those of the mode",
    )
    parser.add_argument("--min-per-sex", type=int, default=30, metavar="N", help="fewest people per sex (30)")


def run(arguments: argparse.Namespace) -> int:
    """Train, save, report what was left out."""
    from bids_app.normative import model_file
    from bids_app.normative.training import train
    from bids_app.tables import write_tsv

    data = usable(read(arguments).data)
    card = _card(arguments.card) if arguments.card else {}
    if arguments.engine == "pcntoolkit":
        return model_train_pcntoolkit.run(arguments, data, card)
    trained = train(
        data,
        name=arguments.name or arguments.output.stem,
        reference_counts=not arguments.no_counts,
        card=card,
        progress=say,
        **recipe(arguments, data),
    )
    path = model_file.save(trained.model, arguments.output)
    for sentence in trained.report.sentences():
        say(sentence)
    if arguments.dropped:
        write_tsv(trained.report.dropped, arguments.dropped)
    say(
        f"wrote {path} ({path.stat().st_size / 1000:.0f} kB): {len(trained.model.regions)} regions, "
        f"{trained.model.card.n}"
    )
    return exitcodes.OK


def _card(path: Path) -> dict[str, Any]:
    from dataclasses import fields

    from bids_app.errors import InputError
    from bids_app.normative.card import ModelCard
    from bids_app.tables import read_json

    card = read_json(path)
    known = {field.name for field in fields(ModelCard)} - {"name"}
    unknown = sorted(set(card) - known) if isinstance(card, dict) else ["no JSON object"]
    if unknown:
        raise InputError(
            f"{path} is not a model card ({', '.join(unknown)})", f"a card has the fields {', '.join(sorted(known))}"
        )
    return {name: tuple(value) if isinstance(value, list) else value for name, value in card.items()}


def usable(data: pd.DataFrame) -> pd.DataFrame:
    """All rows but those with a ``qc_flag``; says how many are left out."""
    if "qc_flag" not in data:
        return data
    flagged = data["qc_flag"].notna()
    if flagged.any():
        say(f"{int(flagged.sum())} rows left out: their qc_flag is filled")
    return data[~flagged].reset_index(drop=True)


def recipe(arguments: argparse.Namespace, data: pd.DataFrame) -> dict[str, Any]:
    """Keyword arguments of `training.train`."""
    from bids_app.normative.training import default_regions
    from bids_app.regions import add_asymmetry, reference_regions

    usual = "mean_only" if arguments.mode == "reference" else "location"
    sites = "site" in data and data["site"].notna().any()
    harmonise = arguments.harmonise or (usual if sites else "none")
    if arguments.harmonise is None:
        say(f"harmonisation: {harmonise} ({'column site found' if sites else 'no column site that is filled'})")
    if harmonise != "none" and not sites:
        from bids_app.errors import UsageError

        raise UsageError("harmonisation needs a column site", "name it with --map site=COLUMN, or --harmonise none")
    whole = add_asymmetry(data) if arguments.mode == "calibrated" else data
    regions = default_regions(whole, arguments.mode)
    if arguments.regions == "reference":
        regions = tuple(name for name in regions if name in set(reference_regions()))
    return {"mode": arguments.mode, "harmonise": harmonise, "regions": regions, "min_per_sex": arguments.min_per_sex}
