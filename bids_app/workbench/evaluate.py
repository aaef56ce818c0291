"""Evaluate a model, or cross-validate a training recipe, on a table of healthy people."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bids_app import __version__
from bids_app.errors import InputError, UsageError
from bids_app.normative.base import NormativeModel
from bids_app.normative.cross_validation import cross_validate, harmonise_as_trained
from bids_app.normative.evaluation import HeldOut, evaluate, held_out, summarise, usual_groups
from bids_app.normative.evaluation_tables import write_evaluation
from bids_app.normative.folds import site_folds, stratified_folds
from bids_app.normative.plausible import too_young
from bids_app.normative.registry import load_model
from bids_app.normative.training import Trained, train
from bids_app.regions import add_asymmetry
from bids_app.reports.pages.evaluation import write_evaluation_report
from bids_app.workbench.score import Say
from bids_app.workbench.train import Recipe, check_training, healthy_people, training_options


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(Recipe):
    """What ``normvol-model evaluate`` was asked to do.

    Parameters
    ----------
    output : Path
        Folder.
    model : str or None
        Score the table with this model; None with `train`, which cross-validates the recipe on the table.
    folds : int
    by_site : bool
        Leave one site out instead of folds.
    seed : int
    """

    output: Path
    model: str | None = None
    train: bool = False
    folds: int = 5
    by_site: bool = False
    seed: int = 0


@dataclass(frozen=True)
class _Predictions:
    """What is known of people whom the model has not seen, whose it is, and how it was got."""

    held_out: HeldOut
    model: NormativeModel
    data: pd.DataFrame
    about: dict[str, Any]


def evaluate_table(config: EvaluateConfig, say: Say) -> None:
    """Predict, measure, write tables and HTML.

    Raises
    ------
    InputError, ModelError, UsageError
        When the table, the model or the configuration cannot be used.
    """
    model = None if config.model is None else load_model(config.model)
    data, impossible = healthy_people(config, say, config.needs_etiv if model is None else model.needs_etiv)
    if model is None:
        found = _cross_validated(config, data, impossible, say)
    else:
        found = _scored(model, data, say)
    measures = evaluate(found.held_out, usual_groups(found.data))
    write_evaluation(config.output, measures, found.held_out, found.data, found.model, found.about)
    report = write_evaluation_report(config.output)
    overall = summarise(measures).iloc[0]
    say(
        f"{int(overall['n'])} people, {int(overall['n_regions'])} regions: mean |skew| {overall['abs_skew']:.3f}, "
        f"z < -1.96 in {100 * overall['below']:.2f} %, z > 1.96 in {100 * overall['above']:.2f} %, "
        f"MSLL {overall['msll']:.3f}, centile error {overall['mace']:.4f}"
    )
    say(f"wrote {report} and its tables")


def _scored(model: NormativeModel, data: pd.DataFrame, say: Say) -> _Predictions:
    if any(name.startswith("asymmetry_") for name in model.regions):
        data = add_asymmetry(data)
    young = too_young(data["age"], data["sex"], model.card.age_range)
    data = data.assign(age=data["age"].mask(young))
    scheme = "scored with the model as it is; whether these people were in its training is not known here"
    predictions = held_out(model, data)
    unscored = int((~np.isfinite(predictions.z).any(axis=1)).sum())
    known = "age, sex, intracranial volume" if model.needs_etiv else "age, sex"
    why = f"{known} or every region is missing or unreadable"
    if unscored == len(data):
        raise InputError(f"no row can be scored: {why}", "check these columns, or name others with --map")
    if unscored:
        say(f"{unscored} of {len(data)} rows left out: {why}")
    return _Predictions(predictions, model, data, _about(model, data, scheme))


def _cross_validated(config: EvaluateConfig, data: pd.DataFrame, impossible: pd.DataFrame, say: Say) -> _Predictions:
    options = training_options(config, data, say)
    check_training(data, impossible, options, say)

    def fit(rows: pd.DataFrame) -> Trained:
        return train(rows, name="a training recipe", reference_counts=False, **options)

    whole = fit(data)
    for sentence in whole.report.sentences():
        say(sentence)
    data = data.drop(index=list(set(whole.report.dropped["row"]))).reset_index(drop=True)
    calibrated, kind = options["mode"] == "calibrated", options["harmonise"]
    data = add_asymmetry(data) if calibrated else data
    folds, scheme = _folds(config, data)
    adjust = partial(harmonise_as_trained, kind=kind, regions=whole.model.regions, logarithms=calibrated)
    known = kind != "none" and not config.by_site
    predictions = cross_validate(lambda rows: fit(rows).model, data, folds, adjust if known else None, say)
    return _Predictions(predictions, whole.model, data, {**_about(whole.model, data, scheme), "harmonisation": kind})


def _folds(config: EvaluateConfig, data: pd.DataFrame) -> tuple[Any, str]:
    if config.by_site:
        if "site" not in data:
            raise UsageError("--by-site needs a column site", "name it with --map site=COLUMN")
        folds = site_folds(data["site"])
        return folds, f"leave one site out, {folds.max() + 1} sites"
    strata = [data[name] for name in ("site", "sex") if name in data]
    words = " and ".join(str(column.name) for column in strata)
    return (
        stratified_folds(*strata, n_folds=config.folds, seed=config.seed),
        f"{config.folds}-fold cross-validation, stratified by {words}, seed {config.seed}",
    )


def _about(model: NormativeModel, data: pd.DataFrame, scheme: str) -> dict[str, Any]:
    card, software = model.card, {"normvol": __version__}
    known = {"model": card.name, "model_version": card.version, "mode": card.mode}
    return {**known, "scheme": scheme, "n": len(data), "software": software}
