"""Evaluate a model, or cross-validate a training recipe, on a table of healthy people."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bids_app.cli import exitcodes
from bids_app.cli.model_options import add_table, read, say
from bids_app.cli.model_train import add_recipe, recipe, usable

if TYPE_CHECKING:
    import pandas as pd

    from bids_app.normative.base import NormativeModel
    from bids_app.normative.evaluation import HeldOut

HELP = "how well a model (or a training recipe, cross-validated) describes healthy people"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """TABLE, what to evaluate, and where the files go."""
    add_table(parser)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--model",
        metavar="NAME|PATH",
        help="score TABLE with this model; for an honest answer the people of TABLE must not have been in its training",
    )
    what.add_argument("--train", action="store_true", help="cross-validate training on TABLE itself")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DIR", help="folder for evaluation.html and its tables"
    )
    parser.add_argument(
        "--folds", type=int, default=5, metavar="K", help="with --train: folds, stratified by site and sex (5)"
    )
    parser.add_argument("--by-site", action="store_true", help="with --train: leave one site out instead of folds")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="with --train: seed of the folds (0)")
    add_recipe(parser)


def run(arguments: argparse.Namespace) -> int:
    """Predict, measure, write tables and HTML."""
    from bids_app.normative.evaluation import evaluate, summarise, usual_groups
    from bids_app.normative.evaluation_tables import write_evaluation
    from bids_app.reports.pages.evaluation import write_evaluation_report

    data = usable(read(arguments).data)
    predictions, model, data, about = (_cross_validated if arguments.train else _scored)(arguments, data)
    measures = evaluate(predictions, usual_groups(data))
    write_evaluation(arguments.output, measures, predictions, data, model, about)
    report = write_evaluation_report(arguments.output)
    overall = summarise(measures).iloc[0]
    say(
        f"{int(overall['n'])} people, {int(overall['n_regions'])} regions: mean |skew| {overall['abs_skew']:.3f}, "
        f"z < -1.96 in {100 * overall['below']:.2f} %, z > 1.96 in {100 * overall['above']:.2f} %, "
        f"MSLL {overall['msll']:.3f}, centile error {overall['mace']:.4f}"
    )
    say(f"wrote {report} and its tables")
    return exitcodes.OK


def _scored(
    arguments: argparse.Namespace, data: pd.DataFrame
) -> tuple[HeldOut, NormativeModel, pd.DataFrame, dict[str, Any]]:
    from bids_app.normative.evaluation import held_out
    from bids_app.normative.registry import load_model
    from bids_app.regions import add_asymmetry

    model = load_model(arguments.model)
    if any(name.startswith("asymmetry_") for name in model.regions):
        data = add_asymmetry(data)
    about = _about(
        model, data, "scored with the model as it is; whether these people were in its training is not known here"
    )
    predictions = held_out(model, data)
    _say_unscored(predictions)
    return predictions, model, data, about


def _say_unscored(predictions: HeldOut) -> None:
    import numpy as np

    from bids_app.errors import InputError

    unscored = int((~np.isfinite(predictions.z).any(axis=1)).sum())
    why = "age, sex, intracranial volume or every region is missing or unreadable"
    if unscored == len(predictions.z):
        raise InputError(f"no row can be scored: {why}", "check these columns, or name others with --map")
    if unscored:
        say(f"{unscored} of {len(predictions.z)} rows left out: {why}")


def _cross_validated(
    arguments: argparse.Namespace, data: pd.DataFrame
) -> tuple[HeldOut, NormativeModel, pd.DataFrame, dict[str, Any]]:
    from functools import partial

    from bids_app.normative.cross_validation import cross_validate, harmonise_as_trained
    from bids_app.normative.training import train
    from bids_app.regions import add_asymmetry

    options = recipe(arguments, data)
    fit = partial(train, name="a training recipe", reference_counts=False, **options)
    whole = fit(data)
    left_out = set(whole.report.dropped["row"])
    for sentence in whole.report.sentences():
        say(sentence)
    data = data.drop(index=list(left_out)).reset_index(drop=True)
    data = add_asymmetry(data) if options["mode"] == "calibrated" else data
    folds, scheme = _folds(arguments, data)
    known = options["harmonise"] != "none" and not arguments.by_site
    adjust = (
        partial(
            harmonise_as_trained,
            kind=options["harmonise"],
            regions=whole.model.regions,
            logarithms=options["mode"] == "calibrated",
        )
        if known
        else None
    )
    predictions = cross_validate(lambda rows: fit(rows).model, data, folds, adjust, say)
    about = _about(whole.model, data, scheme)
    return predictions, whole.model, data, {**about, "harmonisation": options["harmonise"]}


def _folds(arguments: argparse.Namespace, data: pd.DataFrame) -> tuple[Any, str]:
    from bids_app.errors import UsageError
    from bids_app.normative.folds import site_folds, stratified_folds

    if arguments.by_site:
        if "site" not in data:
            raise UsageError("--by-site needs a column site", "name it with --map site=COLUMN")
        folds = site_folds(data["site"])
        return folds, f"leave one site out, {folds.max() + 1} sites"
    strata = [data[name] for name in ("site", "sex") if name in data]
    words = " and ".join(column.name for column in strata)
    return (
        stratified_folds(*strata, n_folds=arguments.folds, seed=arguments.seed),
        f"{arguments.folds}-fold cross-validation, stratified by {words}, seed {arguments.seed}",
    )


def _about(model: NormativeModel, data: pd.DataFrame, scheme: str) -> dict[str, Any]:
    from bids_app import __version__

    return {
        "model": model.card.name,
        "model_version": model.card.version,
        "mode": model.card.mode,
        "scheme": scheme,
        "n": len(data),
        "software": {"normvol": __version__},
    }
