"""Training of native models from a table of healthy people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bids_app.errors import ModelError, UsageError
from bids_app.normative import location_scale, mfpr, site_effects
from bids_app.normative.card import ModelCard
from bids_app.normative.covariate_notes import major_version
from bids_app.normative.harmonisation import Harmoniser
from bids_app.normative.model import NativeModel
from bids_app.normative.parameters import SEXES, RegionFit, RegionModel, ScaleFit, flat, stack
from bids_app.normative.prediction import moments
from bids_app.normative.reference_counts import count_deviations
from bids_app.normative.training_data import TrainingData, TrainingReport, prepare
from bids_app.regions import add_asymmetry, asymmetry_names, extended_regions, reference_regions

FloatArray = NDArray[np.float64]
Progress = Callable[[str], None]

MODES = ("reference", "calibrated")
HARMONISE = ("none", "mean_only", "full")
VOLUME_QUANTILES = (0.005, 0.995)
AGE_BAND = 10
COUNT_FOLDS = 5


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
    min_per_sex: int = 30,
    reference_counts: bool = True,
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
    harmonise : {'none', 'mean_only', 'full'}
        ComBat over the column ``site``.
    regions : tuple of str, optional
        Default: the regions of the reference set (mode ``reference``), or also the extended set and
        asymmetry indices (mode ``calibrated``), as far as the table has them.
    min_per_sex : int
        Fewest people of each sex.
    reference_counts : bool
        Whether to count deviations of healthy people out of fold (five more trainings).
    card : dict, optional
        Fields of the `ModelCard` (title, licence, citations, ...).
    progress : callable, optional
        Called with a sentence per step.

    Returns
    -------
    Trained
        Model and training report.

    Raises
    ------
    ModelError
        When columns are absent or people too few.
    UsageError
        For an unknown mode or harmonisation.
    """
    _check_options(mode, harmonise)
    tell = progress or (lambda sentence: None)
    table = add_asymmetry(table) if mode == "calibrated" else table
    data = prepare(table, regions or default_regions(table, mode), logarithms=mode == "calibrated",
                   min_per_site=2 if harmonise == "full" else 1, min_per_sex=min_per_sex)
    tell(data.report.sentences()[0])
    fitted = fit_regions(data, mode, harmonise, tell)
    model = NativeModel(make_card(data, name, mode, harmonise, card or {}), fitted)
    if reference_counts:
        tell("Counting deviations of healthy people out of fold.")
        model = replace(model, counts=_counts(data, mode, harmonise))
    return Trained(model, replace(data.report, fallbacks=_fallbacks(fitted)))


def default_regions(table: pd.DataFrame, mode: str) -> tuple[str, ...]:
    """Regions of `table` that a model of this mode covers."""
    wanted = reference_regions()
    if mode == "calibrated":
        wanted += extended_regions() + asymmetry_names()
    present = tuple(name for name in wanted if name in table.columns)
    if not present:
        raise ModelError("the training table has no region with a FreeSurfer name, for example "
                         f"{reference_regions()[0]}")
    return present


def fit_regions(data: TrainingData, mode: str, harmonise: str, tell: Progress) -> tuple[RegionModel, ...]:
    """Harmonise, fit both sexes, and estimate how sites and FreeSurfer versions differ."""
    harmoniser = Harmoniser(harmonise).fit(data)
    etiv, values = harmoniser.transform(data)
    fits = {}
    for sex in SEXES:
        tell(f"Fitting {values.shape[1]} regions, {sex}.")
        rows = data.sex == sex
        fits[sex] = fit_sex(data.age[rows], etiv[rows], values[rows], mode)
    return _with_sites(data, fits, mode)


def fit_sex(age: FloatArray, etiv: FloatArray, values: FloatArray, mode: str) -> list[RegionFit]:
    """Fits of one sex: `values` (n, p) on the modelled scale."""
    limits = np.quantile(values, VOLUME_QUANTILES, axis=0)
    ranges = {"age_range": _outward(age, 1), "etiv_range": _outward(etiv, -3)}
    calibrated = location_scale.fit(age, etiv, values) if mode == "calibrated" else None
    mean = mfpr.fit(age, etiv, values) if calibrated is None else calibrated.mean
    fits = []
    for i, (powers, width) in enumerate(zip(mean.powers, mean.parameters)):
        residual_sd = mean.rmse[i] * np.sqrt(mean.n / (mean.n - width))
        root = mean.roots[i] * (residual_sd if calibrated is None else 1.0)
        fits.append(RegionFit(
            n=mean.n, shift=mean.shift, scale=mean.scale, powers=_used(powers),
            coefficients=tuple(float(c) for c in mean.coefficients[i, :width]),
            rmse=float(mean.rmse[i] if calibrated is None else residual_sd),
            volume_range=_rounded(limits[:, i]), root=flat(root, width), **ranges,
            **({} if calibrated is None else _spread(calibrated, i))))
    return fits


def _spread(fitted: location_scale.CalibratedFit, i: int) -> dict[str, Any]:
    """Scale, shape and fallback of region `i`."""
    powers = _used(fitted.sigma_powers[i])
    width = 1 + len(powers)
    return {"sigma": ScaleFit(powers=powers, root=flat(fitted.sigma_roots[i], width),
                              coefficients=tuple(float(c) for c in fitted.sigma_coefficients[i, :width])),
            "shape": tuple(float(value) for value in fitted.shape[i]),
            "fallback": fitted.fallbacks[i] or None}


def _used(powers: FloatArray) -> tuple[float, ...]:
    return tuple(float(p) for p in powers if not np.isnan(p))


def _with_sites(data: TrainingData, fits: dict[str, list[RegionFit]], mode: str) -> tuple[RegionModel, ...]:
    residuals = standardised(data, fits)
    versions = np.array([major_version(version) for version in data.fs_version])
    effects = site_effects.estimate(residuals, data.site, versions)
    known = effects.versions if mode == "calibrated" else ()
    several = np.unique(data.site).size > 1
    return tuple(RegionModel(
        name=name, transform="log" if data.log[i] else "identity",
        fits={sex: _exponentiate(fits[sex][i]) if data.log[i] else fits[sex][i] for sex in SEXES},
        versions={v: (_short(effects.offsets[k, i]), _short(effects.errors[k, i])) for k, v in enumerate(known)},
        site_sd=_short(effects.site_sd[i]) if several else None,
    ) for i, name in enumerate(data.regions))


def standardised(data: TrainingData, fits: dict[str, list[RegionFit]]) -> FloatArray:
    """``(y - mean) / sigma`` (n, p) of the raw training data."""
    out = data.modelled()
    for sex in SEXES:
        rows = data.sex == sex
        m = moments(stack(fits[sex]), data.age[rows], data.etiv[rows], uncertainty=False)
        out[rows] = (out[rows] - m.mean) / m.sigma
    return out


def _counts(data: TrainingData, mode: str, harmonise: str) -> Any:
    reference = [i for i, name in enumerate(data.regions) if name in set(reference_regions())]
    if not reference:
        return None
    return count_deviations(out_of_fold(data, mode, harmonise)[:, reference], data.sex)


def out_of_fold(data: TrainingData, mode: str, harmonise: str, n_folds: int = COUNT_FOLDS) -> FloatArray:
    """z (n, p) of each person from a model trained without them, at a site known to the harmonisation."""
    from bids_app.normative.folds import stratified_folds

    folds = stratified_folds(data.site, data.sex, n_folds=n_folds)
    z = np.empty((len(data.table), len(data.regions)))
    for fold in range(n_folds):
        train_rows, test_rows = folds != fold, folds == fold
        z[test_rows] = score_known_sites(subset(data, train_rows), subset(data, test_rows), mode, harmonise)
    return z


def score_known_sites(training: TrainingData, test: TrainingData, mode: str, harmonise: str) -> FloatArray:
    """z (n, p) of `test` after removing the site effects that `training` knows."""
    from bids_app.normative import sinh_arcsinh

    harmoniser = Harmoniser(harmonise).fit(training)
    etiv, values = harmoniser.transform(training)
    test_etiv, out = harmoniser.transform(test)
    for sex in SEXES:
        rows, held = training.sex == sex, test.sex == sex
        fits = stack(fit_sex(training.age[rows], etiv[rows], values[rows], mode))
        m = moments(fits, test.age[held], test_etiv[held], uncertainty=False)
        out[held] = sinh_arcsinh.to_z((out[held] - m.mean) / m.sigma, fits.shape)
    return out


def subset(data: TrainingData, rows: NDArray[np.bool_]) -> TrainingData:
    """Some rows of the training data."""
    return replace(data, table=data.table[rows].reset_index(drop=True))


def make_card(data: TrainingData, name: str, mode: str, harmonise: str, given: dict[str, Any]) -> ModelCard:
    """The card: facts from the data, words from `given`."""
    table = data.table
    by_sex = {sex: table[table["sex"] == sex] for sex in SEXES}
    bands = {sex: (rows["age"] // AGE_BAND * AGE_BAND).astype(int).value_counts().sort_index()
             for sex, rows in by_sex.items()}
    facts: dict[str, Any] = {
        "version": "1.0.0", "title": name, "summary": f"Normative model of {len(data.regions)} regions.",
        "licence": "unspecified", "date": "unspecified", "training": _sources(table),
        "n": {sex: len(rows) for sex, rows in by_sex.items()},
        "age_range": {sex: _outward(rows["age"].to_numpy(), 1) for sex, rows in by_sex.items()},
        "etiv_range": {sex: _outward(data.etiv[data.sex == sex], -3) for sex in SEXES},
        "age_bands": {sex: {f"{low}-{low + AGE_BAND - 1}": int(n) for low, n in counts.items()}
                      for sex, counts in bands.items()},
        "sites": int(np.unique(data.site).size) if "site" in table else 0,
        "fs_versions": tuple(sorted({v for v in data.fs_version if v})),
        "harmonisation": {"none": "none", "mean_only": "ComBat, mean only, age and sex preserved; eTIV too",
                          "full": "ComBat, full empirical Bayes; age (non-linear), sex and eTIV preserved"
                          }[harmonise],
        "transform": "logarithm for ventricles and hypointensities" if data.log.any() else "none",
    }
    return ModelCard(name=name, mode=mode, **{**facts, **given})


def _sources(table: pd.DataFrame) -> tuple[dict[str, Any], ...]:
    if "source" not in table or "licence" not in table:
        return ()
    counts = table.groupby(["source", "licence"], sort=True).size()
    return tuple({"source": source, "licence": licence, "n": int(n)} for (source, licence), n in counts.items())


def _fallbacks(fitted: tuple[RegionModel, ...]) -> pd.DataFrame:
    rows = [(region.name, sex, fit.fallback) for region in fitted for sex, fit in region.fits.items() if fit.fallback]
    return pd.DataFrame(rows, columns=["region", "sex", "fallback"])


def _check_options(mode: str, harmonise: str) -> None:
    for what, value, allowed in (("mode", mode, MODES), ("harmonisation", harmonise, HARMONISE)):
        if value not in allowed:
            raise UsageError(f"unknown {what} {value!r}; use one of {', '.join(allowed)}")


def _outward(values: FloatArray, decimals: int) -> tuple[float, float]:
    """Range of `values`, rounded outward so that the file does not hold a person's exact value."""
    unit = 10.0**-decimals
    low, high = np.floor(np.min(values) / unit) * unit, np.ceil(np.max(values) / unit) * unit
    return float(round(low, max(decimals, 0))), float(round(high, max(decimals, 0)))


def _rounded(limits: FloatArray) -> tuple[float, float]:
    return float(f"{limits[0]:.4g}"), float(f"{limits[1]:.4g}")


def _short(value: float) -> float:
    return float(f"{value:.5g}")


def _exponentiate(fit: RegionFit) -> RegionFit:
    return replace(fit, volume_range=_rounded(np.exp(np.array(fit.volume_range))))
