"""Training of native models from a table of healthy people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from bids_app.arrays import FloatArray
from bids_app.errors import ModelError, UsageError
from bids_app.normative import fitting
from bids_app.normative.card import ModelCard
from bids_app.normative.covariates import major_version
from bids_app.normative.engines.native import NativeModel
from bids_app.normative.engines.native_file import with_digest
from bids_app.normative.fit.location_scale import MIN_FOR_SHAPE
from bids_app.normative.harmonise import site_effects
from bids_app.normative.parameters import SEXES, RegionFit, RegionModel
from bids_app.normative.reference_counts import ReferenceCounts, count_deviations
from bids_app.normative.training_data import TrainingData, TrainingReport, prepare
from bids_app.regions import (
    THICKNESS,
    VOLUME,
    add_asymmetry,
    add_pair_measures,
    asymmetry_names,
    counted_regions,
    extended_regions,
    measure_of,
    measured_names,
    reference_regions,
)

Progress = Callable[[str], None]

MODES = ("reference", "calibrated")
HARMONISE = {
    "none": "none",
    "mean_only": "ComBat, mean only, of eTIV and regions; age and sex preserved",
    "location": "ComBat, full empirical Bayes estimate of the site offset, which alone is removed; "
    "age (non-linear), sex and eTIV preserved",
    "full": "ComBat, full empirical Bayes, offset and scale; age (non-linear), sex and eTIV preserved",
}
UNCALIBRATED = (
    f"The tails are not calibrated: {{n}} people were used, and the shape of the distribution needs {MIN_FOR_SHAPE}; "
    "more or fewer than 2.5 % of healthy people may lie beyond -1.96 or 1.96."
)
AGE_BAND = 10
SITE_GROUPS = 10


class Trained(NamedTuple):
    """A model and the report on its training data."""

    model: NativeModel
    report: TrainingReport


def train(
    table: pd.DataFrame,
    *,
    name: str,
    mode: str = "calibrated",
    harmonise: str = "none",
    regions: tuple[str, ...] | None = None,
    etiv: bool | None = None,
    min_per_sex: int = 30,
    reference_counts: bool = True,
    refit: bool = False,
    card: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> Trained:
    """Train a model.

    Parameters
    ----------
    table : DataFrame
        One row per scan: ``age``, ``sex``, ``EstimatedTotalIntraCranialVol``, regions; ``site`` for
        harmonisation; optionally ``participant_id`` (the earliest scan of a person is used), ``fs_version``,
        ``source`` and ``licence`` (for the card).
    name : str
    mode : {'calibrated', 'reference'}
        ``reference``: constant Gaussian residual, as the source study. ``calibrated``: location, scale and
        shape vary.
    harmonise : {'none', 'mean_only', 'location', 'full'}
        ComBat over the column ``site``, see `HARMONISE`.
    regions : tuple of str, optional
        Default: `default_regions`. All of one measure.
    etiv : bool, optional
        Whether eTIV is a covariate; default: of everything but thickness.
    min_per_sex : int
        Fewest people of each sex.
    reference_counts : bool
        Whether to count deviations of healthy people that the model has not seen (fifteen more fits).
    refit : bool
        Whether standard errors hold the choice of powers and shape however many people there are
        (`resampling.N_REFITS` more fits); always so below `resampling.ENOUGH_PEOPLE`.
    card : dict, optional
        Fields of the `ModelCard` (title, licence, citations, ...).
    progress : callable, optional
        Called with a sentence per step.

    Returns
    -------
    Trained

    Raises
    ------
    ModelError, UsageError
        When columns are absent or people too few; for an unknown mode or harmonisation.
    """
    _check_options(mode, harmonise)
    tell = progress or (lambda sentence: None)
    data = _prepared(table, mode, harmonise, regions, etiv, min_per_sex)
    tell(data.report.sentences()[0])
    fitted, counts = _fit_and_count(data, mode, harmonise, reference_counts, refit, tell)
    return _trained(data, fitted, counts, name, mode, harmonise, dict(card or {}))


def _prepared(
    table: pd.DataFrame, mode: str, harmonise: str, regions: tuple[str, ...] | None, etiv: bool | None, min_per_sex: int
) -> TrainingData:
    calibrated = mode == "calibrated"
    table = add_pair_measures(add_asymmetry(table) if calibrated else table, regions or ())
    regions = regions or default_regions(table, mode)
    each = {"min_per_sex": min_per_sex, "min_per_site": 2 if harmonise in ("location", "full") else 1}
    uses_etiv = measure_of(regions[0]) != THICKNESS if etiv is None else etiv
    return prepare(table, regions, logarithms=calibrated, uses_etiv=uses_etiv, **each)


def _trained(
    data: TrainingData,
    fitted: fitting.Fitted,
    counts: ReferenceCounts | None,
    name: str,
    mode: str,
    harmonise: str,
    words: dict[str, Any],
) -> Trained:
    """The model with its card and digest, and the report with what could not be done."""
    regions_ = region_models(data, fitted, mode)
    report = replace(data.report, fallbacks=_fallbacks(regions_))
    if mode == "calibrated" and len(data.table) < MIN_FOR_SHAPE:
        report = replace(report, warnings=(UNCALIBRATED.format(n=len(data.table)),))
        words["limitations"] = [*words.get("limitations", ()), *report.warnings]
    model = NativeModel(make_card(data, name, mode, harmonise, words), regions_, counts)
    return Trained(with_digest(model), report)


def _fit_and_count(
    data: TrainingData, mode: str, harmonise: str, reference_counts: bool, refit: bool, tell: Progress
) -> tuple[fitting.Fitted, ReferenceCounts | None]:
    """The fits, widened to what held-out people show, and those people's counts of deviations."""
    fitted, counts, factor = fitting.harmonise_and_fit(data, mode, harmonise, tell), None, 1.0
    fitted = fitting.with_choices(data, mode, fitted, refit)
    corrects = mode == "calibrated" and harmonise != "none"
    if reference_counts or corrects:
        tell(f"Scoring healthy people out of fold ({fitting.N_FOLDS} more trainings).")
        z = fitting.out_of_fold(data, mode, harmonise)
        factor = fitting.spread_factor(z) if corrects else 1.0
        fitted = fitting.widen(fitted, factor)
    if reference_counts:
        tell(f"Scoring healthy people at left-out sites ({SITE_GROUPS} more trainings).")
        counts = _healthy_counts(data, z / factor, new_site_z(data, mode, harmonise, factor))
    return fitted, counts


def default_regions(table: pd.DataFrame, mode: str, measure: str = VOLUME) -> tuple[str, ...]:
    """Regions of `table` that a model of this mode and measure covers.

    Volumes of the reference set (mode ``reference``), and also the extended set and asymmetry indices (mode
    ``calibrated``); thickness or area of 68 cortical regions and of the hemispheres.

    Parameters
    ----------
    table : DataFrame
    mode : {'calibrated', 'reference'}
    measure : str

    Returns
    -------
    tuple of str

    Raises
    ------
    ModelError
        When the table has none of them.
    """
    wanted = reference_regions()
    if measure != VOLUME:
        wanted = measured_names(measure)
    elif mode == "calibrated":
        wanted += extended_regions() + asymmetry_names()
    present = tuple(name for name in wanted if name in table.columns)
    if not present:
        raise ModelError(f"the training table has no region with a FreeSurfer name, for example {wanted[0]}")
    return present


def region_models(data: TrainingData, fitted: fitting.Fitted, mode: str) -> tuple[RegionModel, ...]:
    """The fits with what sites and FreeSurfer versions add to them, estimated on the raw data."""
    versions = np.array([major_version(version) for version in data.fs_version])
    effects = site_effects.estimate(fitted.residuals(data), data.site, versions)
    known = effects.versions if mode == "calibrated" else ()
    several = np.unique(data.site).size > 1
    return tuple(
        RegionModel(
            name=name,
            transform="log" if data.log[i] else "identity",
            fits={sex: _in_volume(fits[i]) if data.log[i] else fits[i] for sex, fits in fitted.fits.items()},
            versions={
                version: (_short(effects.shrunk[k, i]), _short(effects.errors[k, i])) for k, version in enumerate(known)
            },
            site_sd=_short(effects.site_sd[i]) if several else None,
        )
        for i, name in enumerate(data.regions)
    )


def _healthy_counts(data: TrainingData, z: FloatArray, new: FloatArray | None) -> ReferenceCounts | None:
    """Counts over the counted regions of the model's measure, at known sites (z) and at new ones."""
    counted = set(counted_regions(measure_of(data.regions[0])))
    reference = [i for i, name in enumerate(data.regions) if name in counted]
    if not reference:
        return None
    counts = count_deviations(z[:, reference], data.sex)
    if new is None:
        return counts
    return replace(counts, new_site=count_deviations(new[:, reference], data.sex).histograms)


def new_site_z(data: TrainingData, mode: str, harmonise: str, factor: float) -> FloatArray | None:
    """z (n, p) of each person from a model that knows their FreeSurfer version but not their site.

    Sites are left out in ten groups; None with fewer than ten sites. `factor` is the spread correction.

    Parameters
    ----------
    data : TrainingData
        n people, p regions.
    mode, harmonise : str
        As for `train`.
    factor : float

    Returns
    -------
    (n, p) array or None
    """
    order = np.unique(np.char.add(data.fs_version.astype(str), data.site.astype(str)), return_inverse=True)[1]
    if np.unique(order).size < SITE_GROUPS:
        return None
    z = np.empty((len(data.table), len(data.regions)))
    for group in range(SITE_GROUPS):
        out = order % SITE_GROUPS == group
        rest = data.subset(~out)
        fitted = fitting.widen(fitting.harmonise_and_fit(rest, mode, harmonise), factor)
        model = NativeModel(make_card(rest, "left-out", mode, harmonise, {}), region_models(rest, fitted, mode))
        z[out] = model.deviations(data.table[out]).z
    return z


def make_card(data: TrainingData, name: str, mode: str, harmonise: str, given: dict[str, Any]) -> ModelCard:
    """The card: facts from the data, words from `given`."""
    table = data.table
    by_sex = {sex: table[table["sex"] == sex] for sex in SEXES}
    facts: dict[str, Any] = {
        "version": "1.0.0",
        "title": name,
        "summary": f"Normative model of {len(data.regions)} regions.",
        "licence": "unspecified",
        "date": "unspecified",
        "training": _sources(table),
        "n": {sex: len(rows) for sex, rows in by_sex.items()},
        "age_range": {sex: fitting.outward(rows["age"].to_numpy(), 1) for sex, rows in by_sex.items()},
        "etiv_range": {sex: fitting.outward(data.etiv[data.sex == sex], -3) for sex in SEXES} if data.uses_etiv else {},
        **({} if data.uses_etiv else {"covariates": "age (years), sex"}),
        "age_bands": {sex: _age_bands(rows["age"].to_numpy()) for sex, rows in by_sex.items()},
        "ages": {sex: _ages(rows["age"].to_numpy()) for sex, rows in by_sex.items()},
        "sites": int(np.unique(data.site).size) if "site" in table else 0,
        "fs_versions": tuple(sorted({v for v in data.fs_version if v})),
        "harmonisation": HARMONISE[harmonise] if data.knows_etiv else _without_etiv(HARMONISE[harmonise]),
        "transform": "logarithm for ventricles and hypointensities" if data.log.any() else "none",
    }
    return ModelCard(name=name, mode=mode, **{**facts, **given})


def _without_etiv(harmonisation: str) -> str:
    return harmonisation.replace("eTIV and regions", "regions").replace(", sex and eTIV", " and sex")


def _sources(table: pd.DataFrame) -> tuple[dict[str, Any], ...]:
    if "source" not in table or "licence" not in table:
        return ()
    counts = Counter(zip(table["source"].astype(str), table["licence"].astype(str)))
    return tuple({"source": source, "licence": licence, "n": n} for (source, licence), n in sorted(counts.items()))


def _age_bands(age: FloatArray) -> dict[str, int]:
    low, n = np.unique((age // AGE_BAND * AGE_BAND).astype(int), return_counts=True)
    return {f"{start}-{start + AGE_BAND - 1}": int(people) for start, people in zip(low, n)}


def _ages(age: FloatArray) -> dict[str, int]:
    years, n = np.unique(np.floor(age).astype(int), return_counts=True)
    return {str(year): int(people) for year, people in zip(years, n)}


def _fallbacks(fitted: tuple[RegionModel, ...]) -> pd.DataFrame:
    rows = [(region.name, sex, fit.fallback) for region in fitted for sex, fit in region.fits.items() if fit.fallback]
    return pd.DataFrame(rows, columns=["region", "sex", "fallback"])


def _check_options(mode: str, harmonise: str) -> None:
    for what, value, allowed in (("mode", mode, MODES), ("harmonisation", harmonise, tuple(HARMONISE))):
        if value not in allowed:
            raise UsageError(f"unknown {what} {value!r}", f"use one of {', '.join(allowed)}")


def _short(value: float) -> float:
    return float(f"{value:.5g}")


def _in_volume(fit: RegionFit) -> RegionFit:
    return replace(fit, volume_range=fitting.rounded(np.exp(np.array(fit.volume_range))))
