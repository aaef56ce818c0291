"""Harmonise, fit both sexes, score people at the same sites, in and out of fold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_app.normative import location_scale, mfpr, sinh_arcsinh
from bids_app.normative.folds import stratified_folds
from bids_app.normative.harmonisation import Harmoniser
from bids_app.normative.parameters import SEXES, RegionFit, ScaleFit, flat, stack
from bids_app.normative.prediction import moments
from bids_app.normative.training_data import TrainingData

FloatArray = NDArray[np.float64]
Progress = Callable[[str], None]

VOLUME_QUANTILES = (0.005, 0.995)
N_FOLDS = 5
SPREAD_LIMITS = (0.9, 1.3)


@dataclass(frozen=True)
class Fitted:
    """Fits of all regions by sex, and the harmonisation that they were made under."""

    harmoniser: Harmoniser
    fits: dict[str, list[RegionFit]]

    def z(self, data: TrainingData) -> FloatArray:
        """z (n, p) after removing the effects of the sites that the harmonisation knows."""
        etiv, values = self.harmoniser.transform(data)
        return self._z(data, etiv, values, shaped=True)

    def residuals(self, data: TrainingData) -> FloatArray:
        """``(y - mean) / sigma`` (n, p) of data with their site effects."""
        return self._z(data, data.etiv, data.modelled(), shaped=False)

    def _z(self, data: TrainingData, etiv: FloatArray, values: FloatArray, shaped: bool) -> FloatArray:
        out = values.copy()
        for sex in SEXES:
            rows, fits = data.sex == sex, stack(self.fits[sex])
            m = moments(fits, data.age[rows], etiv[rows], uncertainty=False)
            u = (values[rows] - m.mean) / m.sigma
            out[rows] = sinh_arcsinh.to_z(u, fits.shape) if shaped else u
        return out


def fit(data: TrainingData, mode: str, harmonise: str, progress: Progress | None = None) -> Fitted:
    """Harmonise and fit both sexes."""
    harmoniser = Harmoniser(harmonise).fit(data)
    etiv, values = harmoniser.transform(data)
    fits = {}
    for sex in SEXES:
        if progress is not None:
            progress(f"Fitting {values.shape[1]} regions, {sex}.")
        rows = data.sex == sex
        fits[sex] = fit_sex(data.age[rows], etiv[rows], values[rows], mode)
    return Fitted(harmoniser, fits)


def fit_sex(age: FloatArray, etiv: FloatArray, values: FloatArray, mode: str) -> list[RegionFit]:
    """Fits of one sex: `values` (n, p) on the modelled scale."""
    limits = np.quantile(values, VOLUME_QUANTILES, axis=0)
    ranges: dict[str, Any] = {"age_range": outward(age, 1), "etiv_range": outward(etiv, -3)}
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
            volume_range=rounded(limits[:, i]), root=flat(root, width), **ranges,
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


def out_of_fold(data: TrainingData, mode: str, harmonise: str, *, corrected: bool = False,
                n_folds: int = N_FOLDS) -> FloatArray:
    """z (n, p) of each person from fits without them, at a site that the fits know.

    Parameters
    ----------
    data : TrainingData
    mode, harmonise : str
    corrected : bool
        Whether each fold's fits get their own `spread_factor` (nested cross-validation).
    n_folds : int
        Folds are stratified by site and sex.
    """
    folds = stratified_folds(data.site, data.sex, n_folds=n_folds)
    z = np.empty((len(data.table), len(data.regions)))
    for fold in range(n_folds):
        training, test = data.subset(folds != fold), data.subset(folds == fold)
        fitted = fit(training, mode, harmonise)
        if corrected:
            fitted = widen(fitted, spread_factor(out_of_fold(training, mode, harmonise)))
        z[folds == fold] = fitted.z(test)
    return z


def widen(fitted: Fitted, factor: float) -> Fitted:
    """Multiply the sigma of every calibrated fit by `factor`."""
    return replace(fitted, fits={sex: [_widen(fit, factor) for fit in fits] for sex, fits in fitted.fits.items()})


def spread_factor(z: FloatArray) -> float:
    """Median over regions of the root mean square of out-of-fold z (n, p), kept within 0.9 to 1.3.

    Removing the effects of many sites also removes some of the variation between people, so that sigma
    is too small, by about the same factor in every region; people that the fits have not seen show it.
    """
    return float(np.clip(np.median(np.sqrt(np.mean(z**2, axis=0))), *SPREAD_LIMITS))


def _widen(fit: RegionFit, factor: float) -> RegionFit:
    if fit.sigma is None:
        return fit
    first, *rest = fit.sigma.coefficients
    root = None if fit.root is None else tuple(float(f"{value * factor:.7e}") for value in fit.root)
    return replace(fit, rmse=float(fit.rmse * factor), root=root,
                   sigma=replace(fit.sigma, coefficients=(float(first + np.log(factor)), *rest)))


def outward(values: FloatArray, decimals: int) -> tuple[float, float]:
    """Range of `values`, rounded outward so that a model does not hold a person's exact value."""
    unit = 10.0**-decimals
    low, high = np.floor(np.min(values) / unit) * unit, np.ceil(np.max(values) / unit) * unit
    return float(round(low, max(decimals, 0))), float(round(high, max(decimals, 0)))


def rounded(limits: FloatArray) -> tuple[float, float]:
    """A range with four significant digits."""
    return float(f"{limits[0]:.4g}"), float(f"{limits[1]:.4g}")
