"""Train a normative model from a table of healthy people, with this software's engine or with PCNtoolkit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from bids_app.errors import CovariateError, InputError, UsageError, did_you_mean
from bids_app.normative.card import ModelCard
from bids_app.normative.engines import native_file as model_file
from bids_app.normative.training import default_regions, train
from bids_app.regions import ETIV, MEASURES, THICKNESS, VOLUME, add_asymmetry, canonical, names, reference_regions
from bids_app.tables import read_json, write_tsv
from bids_app.workbench.score import Say
from bids_app.workbench.table_findings import finding_lines
from bids_app.workbench.table_input import TableChoice
from bids_app.workbench.training_checks import refuse_constant_regions, refuse_inseparable, site_findings


@dataclass(frozen=True, kw_only=True)
class Recipe(TableChoice):
    """How a model is trained.

    Parameters
    ----------
    mode : str
        ``calibrated`` (scale and shape vary) or ``reference`` (constant Gaussian residual).
    harmonise : str or None
        ComBat across sites; None: the usual kind where the table has sites.
    regions : str
        ``reference`` or ``all`` volumes, ``thickness`` or ``area`` of the cortex.
    etiv : str or None
        Whether eTIV is a covariate; None: of everything but thickness.
    min_per_sex : int
    """

    mode: Literal["calibrated", "reference"] = "calibrated"
    harmonise: Literal["none", "mean_only", "location", "full"] | None = None
    regions: Literal["reference", "all", "thickness", "area"] = "all"
    etiv: Literal["yes", "no"] | None = None
    min_per_sex: int = 30

    @property
    def needs_etiv(self) -> bool:
        """Whether the model has eTIV as covariate."""
        return self.regions != THICKNESS if self.etiv is None else self.etiv == "yes"


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Recipe):
    """What ``normvol-model train`` was asked to do.

    Parameters
    ----------
    output : Path
    name : str or None
        The model's; None: the file's.
    no_counts : bool
        Do not count deviations of healthy people out of fold.
    card, dropped : Path or None
        Words for the card; table of rows that were left out.
    engine : str
    pcn_model, basis, knots, powers, constant_variance, no_warp, site_effect, effects_in_mean, exact_gradient, region
        Of the engine ``pcntoolkit``; see ``PCNtoolkitOptions``.
    """

    output: Path
    name: str | None = None
    no_counts: bool = False
    card: Path | None = None
    dropped: Path | None = None
    engine: Literal["normvol", "pcntoolkit"] = "normvol"
    pcn_model: Literal["blr", "hbr"] = "blr"
    basis: Literal["linear", "polynomial", "bspline", "fractional-polynomial"] = "bspline"
    knots: int = 5
    powers: tuple[float, ...] = (0.5, 1.0)
    constant_variance: bool = False
    no_warp: bool = False
    site_effect: bool = False
    effects_in_mean: bool = False
    exact_gradient: bool = False
    region: tuple[str, ...] = ()


def train_model(config: TrainConfig, say: Say) -> None:
    """Train, save, and say what was left out.

    Raises
    ------
    InputError, UsageError
        When the table or the configuration cannot be used.
    """
    data, impossible = healthy_people(config, say, config.engine != "normvol" or config.needs_etiv)
    words = _card(config.card) if config.card else {}
    if config.engine == "pcntoolkit":
        _train_pcntoolkit(config, data, impossible, words, say)
        return
    name, recipe = config.name or config.output.stem, training_options(config, data, say)
    check_training(data, impossible, recipe, say)
    trained = train(data, name=name, reference_counts=not config.no_counts, card=words, progress=say, **recipe)
    path = model_file.save(trained.model, config.output)
    for sentence in trained.report.sentences():
        say(sentence)
    if config.dropped:
        write_tsv(trained.report.dropped, config.dropped)
    n_regions, people = len(trained.model.regions), trained.model.card.n
    say(f"wrote {path} ({path.stat().st_size / 1000:.0f} kB): {n_regions} regions, {people}")


def healthy_people(config: TableChoice, say: Say, needs_etiv: bool = True) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of a table that can train a model: those without a ``qc_flag``.

    Parameters
    ----------
    config : TableChoice
    say : callable
        Is told what is left out.
    needs_etiv : bool
        Whether the model has eTIV as covariate.

    Returns
    -------
    data : DataFrame
        Model input, numbered from 0.
    impossible : DataFrame of bool
        Its cells that cannot be, same rows.

    Raises
    ------
    CovariateError
        Without intracranial volume, unless `needs_etiv` is False.
    """
    table, findings = config.read(say, None if needs_etiv else ())
    if needs_etiv and ETIV not in table.data:
        used = "only training of thickness does without (--regions thickness, no --etiv)"
        if not isinstance(config, TrainConfig):
            used = "only models of thickness do without"
        raise CovariateError(
            f"{config.table.name} has no column {ETIV} (intracranial volume, mm^3)",
            f"name it with --map {ETIV}=COLUMN; {used}",
        )
    for line in finding_lines(findings, "--dropped FILE.tsv lists the rows that are left out"):
        say(line)
    data = table.data
    if not needs_etiv and ETIV in data and data[ETIV].isna().all():
        data = data.drop(columns=ETIV)
    if "qc_flag" not in data:
        return data, table.impossible
    flagged = data["qc_flag"].notna()
    if flagged.any():
        say(f"{int(flagged.sum())} rows left out: their qc_flag is filled")
    return data[~flagged].reset_index(drop=True), table.impossible[~flagged].reset_index(drop=True)


def check_training(data: pd.DataFrame, impossible: pd.DataFrame, recipe: Mapping[str, Any], say: Say) -> None:
    """Refuse what no training can use, and say what weakens it (`training_checks`).

    Parameters
    ----------
    data, impossible : DataFrame
        Of `healthy_people`.
    recipe : mapping
        Of `training_options`.
    say : callable

    Raises
    ------
    InputError
        Where a region does not vary, or sites cannot be told from age or sex.
    """
    refuse_constant_regions(data, impossible, recipe["regions"])
    if "site" not in data:
        return
    if recipe["harmonise"] != "none":
        refuse_inseparable(data)
    for line in finding_lines(site_findings(data), "docs/findings.md"):
        say(line)


def training_options(recipe: Recipe, data: pd.DataFrame, say: Say) -> dict[str, Any]:
    """Keyword arguments of `training.train`; says which harmonisation a table without a wish gets.

    Parameters
    ----------
    recipe : Recipe
    data : DataFrame
        Model input.
    say : callable

    Returns
    -------
    dict
        ``mode harmonise regions min_per_sex etiv``.

    Raises
    ------
    UsageError
        When a harmonisation is wanted and no site is there.
    """
    usual = "mean_only" if recipe.mode == "reference" else "location"
    sites = "site" in data and data["site"].notna().any()
    harmonise = recipe.harmonise or (usual if sites else "none")
    if recipe.harmonise is None:
        say(f"harmonisation: {harmonise} ({'column site found' if sites else 'no column site that is filled'})")
    if harmonise != "none" and not sites:
        raise UsageError("harmonisation needs a column site", "name it with --map site=COLUMN, or --harmonise none")
    measure = recipe.regions if recipe.regions in MEASURES else VOLUME
    regions = default_regions(add_asymmetry(data) if recipe.mode == "calibrated" else data, recipe.mode, measure)
    if recipe.regions == "reference":
        regions = tuple(name for name in regions if name in set(reference_regions()))
    options = {"mode": recipe.mode, "harmonise": harmonise, "regions": regions, "min_per_sex": recipe.min_per_sex}
    return {**options, "etiv": None if recipe.etiv is None else recipe.etiv == "yes"}


def _card(path: Path) -> dict[str, Any]:
    card = read_json(path)
    known = {field.name for field in fields(ModelCard)} - {"name"}
    unknown = sorted(set(card) - known) if isinstance(card, dict) else ["no JSON object"]
    if unknown:
        raise InputError(
            f"{path} is not a model card ({', '.join(unknown)})", f"a card has the fields {', '.join(sorted(known))}"
        )
    return {name: tuple(value) if isinstance(value, list) else value for name, value in card.items()}


def _train_pcntoolkit(
    config: TrainConfig, data: pd.DataFrame, impossible: pd.DataFrame, words: Mapping[str, Any], say: Say
) -> None:
    from bids_app.normative.engines.pcntoolkit_training import PCNtoolkitOptions, train_pcntoolkit

    if config.harmonise not in (None, "none"):
        raise UsageError("PCNtoolkit is not given harmonised volumes", "use --site-effect")
    regions, name = _pcntoolkit_regions(config, data), config.name or config.output.name
    check_training(data, impossible, {"regions": regions, "harmonise": "none"}, say)
    known = {"name": name, "version": "1.0.0", "title": name, "licence": "unspecified", "date": "unspecified"}
    known["summary"] = f"PCNtoolkit model of {len(regions)} regions."
    versions = tuple(sorted(data["fs_version"].dropna().astype(str).unique())) if "fs_version" in data else ()
    sites = int(data["site"].nunique()) if "site" in data else 0
    card = ModelCard(**{**known, "fs_versions": versions, "sites": sites, **words})
    options = PCNtoolkitOptions(
        model=config.pcn_model,
        basis=config.basis,
        knots=config.knots,
        powers=config.powers,
        heteroscedastic=not config.constant_variance,
        warp=not config.no_warp,
        site_effect=config.site_effect,
        effects_in_variance=not config.effects_in_mean,
        exact_gradient=config.exact_gradient,
    )
    model = train_pcntoolkit(data, config.output, regions, card, options, progress=say)
    say(f"wrote {config.output}: {len(model.regions)} regions, {dict(model.card.n)}; {model.card.transform}")


def _pcntoolkit_regions(config: TrainConfig, data: pd.DataFrame) -> tuple[str, ...]:
    """The regions asked for that the table has; every region that was named must be there."""
    usual = reference_regions() if config.regions == "reference" else names("reference", "extended")
    wanted = [canonical(name) for name in config.region] or usual
    regions = tuple(name for name in wanted if name in data.columns)
    if not regions or (config.region and len(regions) < len(wanted)):
        lacking = sorted(set(wanted) - set(regions))
        raise UsageError(f"TABLE has no column {', '.join(lacking[:5])}", did_you_mean(lacking[0], data.columns))
    return regions
