"""Harmonise, fit both sexes, score people at the same sites, in and out of fold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_app.arrays import FloatArray
from bids_app.normative import resampling
from bids_app.normative.fit import location_scale, mfpr, sinh_arcsinh
from bids_app.normative.folds import stratified_folds
from bids_app.normative.harmonise.training_sites import Harmoniser
from bids_app.normative.parameters import SEXES, RegionFit, ScaleFit, flat, lower_root, stack
from bids_app.normative.prediction import moments
from bids_app.normative.training_data import TrainingData

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
        """z (n, p) after removing the effects of the sites that the harmonisation knows.

        Parameters
        ----------
        data : TrainingData
            n people, p regions.

        Returns
        -------
        (n, p) array
        """
        etiv, values = self.harmoniser.transform(data)
        return self._z(data, etiv, values, shaped=True)

    def residuals(self, data: TrainingData) -> FloatArray:
        """Residuals in units of sigma of data that keep their site effects.

        Parameters
        ----------
        data : TrainingData
            n people, p regions.

        Returns
        -------
        (n, p) array
            ``(y - mean) / sigma``, before the transform to normality.
        """
        return self._z(data, data.etiv, data.modelled(), shaped=False)

    def _z(self, data: TrainingData, etiv: FloatArray, values: FloatArray, shaped: bool) -> FloatArray:
        out = values.copy()
        for sex in SEXES:
            rows, fits = data.sex == sex, stack(self.fits[sex])
            m = moments(fits, data.age[rows], etiv[rows], uncertainty=False)
            u = (values[rows] - m.mean) / m.sigma
            out[rows] = sinh_arcsinh.to_z(u, fits.shape) if shaped else u
        return out


def harmonise_and_fit(data: TrainingData, mode: str, harmonise: str, progress: Progress | None = None) -> Fitted:
    """Harmonise and fit both sexes."""
    harmoniser = Harmoniser(harmonise).fit(data)
    etiv, values = harmoniser.transform(data)
    if progress is not None:
        progress(f"Fitting {values.shape[1]} regions.")
    return Fitted(harmoniser, _fit(data.age, data.sex, etiv, values, mode, data.uses_etiv))


def with_choices(data: TrainingData, mode: str, fitted: Fitted, always: bool = False) -> Fitted:
    """The fits with standard errors that hold the choice of powers and shape, when people are few or `always`."""
    if len(data.table) >= resampling.ENOUGH_PEOPLE and not always:
        return fitted
    etiv, _ = fitted.harmoniser.transform(data)
    refit = partial(_fit, mode=mode, uses_etiv=data.uses_etiv)
    return replace(fitted, fits=resampling.with_choices(fitted.fits, refit, data.age, data.sex, etiv))


def _fit(
    age: FloatArray, sex: NDArray[np.object_], etiv: FloatArray, values: FloatArray, mode: str, uses_etiv: bool
) -> dict[str, list[RegionFit]]:
    """Fits of both sexes."""
    if mode == "calibrated":
        return fit_calibrated(age, sex, etiv, values, uses_etiv=uses_etiv)
    rows = {name: sex == name for name in SEXES}
    return {name: _fit_reference(age[r], etiv[r], values[r], uses_etiv=uses_etiv) for name, r in rows.items()}


def _fit_reference(age: FloatArray, etiv: FloatArray, values: FloatArray, *, uses_etiv: bool = True) -> list[RegionFit]:
    """Fits of one sex with constant residual standard deviation: `values` (n, p) on the modelled scale."""
    mean = mfpr.fit_mfpr(age, etiv if uses_etiv else np.empty((age.size, 0)), values)
    coefficients, roots, width = mean.coefficients, mean.roots, mean.parameters
    if not uses_etiv:
        coefficients, roots, width = np.insert(coefficients, 1, 0.0, axis=1), _with_zero(roots), width + 1
    unbiased = mean.rmse * np.sqrt(mean.n / (mean.n - mean.parameters))
    ranges = _ranges(age, etiv, values)
    return [
        RegionFit(
            n=mean.n,
            shift=mean.shift,
            scale=mean.scale,
            powers=_used(powers),
            rmse=float(mean.rmse[i]),
            coefficients=_floats(coefficients[i, : width[i]]),
            root=flat(roots[i] * unbiased[i], width[i]),
            **ranges[i],
        )
        for i, powers in enumerate(mean.powers)
    ]


def _with_zero(roots: FloatArray) -> FloatArray:
    """Roots (p, q, q) with a row and a column of zeros for eTIV."""
    return np.insert(np.insert(roots, 1, 0.0, axis=1), 1, 0.0, axis=2)


def fit_calibrated(
    age: FloatArray, sex: NDArray[np.object_], etiv: FloatArray, values: FloatArray, *, uses_etiv: bool = True
) -> dict[str, list[RegionFit]]:
    """Fits with location, scale and shape; the sexes share all but their intercepts.

    Parameters
    ----------
    age : (n,) array
        Years.
    sex : (n,) array of {'female', 'male'}
    etiv : (n,) array
        mm^3.
    values : (n, p) array
        On the modelled scale (log mm^3 where the region has it).
    uses_etiv : bool

    Returns
    -------
    dict of str to list of RegionFit
        Sex to p fits.
    """
    male = (sex == "male").astype(float)
    fitted = location_scale.fit_location_scale_shape(age, male, etiv if uses_etiv else None, values)
    residuals = values - fitted.location(age, male, etiv)
    fits = {}
    for name in SEXES:
        rows = sex == name
        rmse = np.sqrt(np.mean(residuals[rows] ** 2, axis=0))
        ranges = _ranges(age[rows], etiv[rows], values[rows])
        fits[name] = [
            RegionFit(n=int(rows.sum()), rmse=float(rmse[i]), **ranges[i], **_region(fitted, name, i))
            for i in range(values.shape[1])
        ]
    return fits


def _region(fitted: location_scale.CalibratedFit, sex: str, i: int) -> dict[str, Any]:
    """Parameters of region i in one sex."""
    powers, sigma_powers = _used(fitted.powers[i]), _used(fitted.sigma_powers[i])
    sigma = ScaleFit(
        powers=sigma_powers, **_of_sex(sex, fitted.sigma_coefficients[i], fitted.sigma_roots[i], len(sigma_powers))
    )
    return {
        "shift": fitted.shift,
        "scale": fitted.scale,
        "etiv_power": float(fitted.etiv_power[i]),
        "powers": powers,
        **_of_sex(sex, fitted.coefficients[i], fitted.roots[i], len(powers)),
        "sigma": sigma,
        "shape": _floats(fitted.shape[i]),
        "fallback": fitted.fallback(i),
    }


def _of_sex(sex: str, coefficients: FloatArray, root: FloatArray, n_powers: int) -> dict[str, Any]:
    """Coefficients and root for the design without the column of sex, whose effect joins the intercept."""
    width = 3 + n_powers
    own = np.delete(coefficients[:width], 1)
    turned = np.delete(root[:width, :width], 1, axis=1)
    if sex == "male":
        own[0] += coefficients[1]
        turned[:, 0] += root[:width, 1]
    return {"coefficients": _floats(own), "root": flat(lower_root(turned), width - 1)}


def _ranges(age: FloatArray, etiv: FloatArray, values: FloatArray) -> list[dict[str, Any]]:
    """Ranges of covariates and volumes, per region."""
    limits = np.quantile(values, VOLUME_QUANTILES, axis=0)
    return [
        {"age_range": outward(age, 1), "etiv_range": outward(etiv, -3), "volume_range": rounded(pair)}
        for pair in limits.T
    ]


def _floats(values: FloatArray) -> tuple[Any, ...]:
    return tuple(float(value) for value in values)


def _used(powers: FloatArray) -> tuple[float, ...]:
    return tuple(float(p) for p in powers if not np.isnan(p))


def out_of_fold(data: TrainingData, mode: str, harmonise: str, *, corrected: bool = False) -> FloatArray:
    """z (n, p) of each person from fits without them, at a site that the fits know.

    `N_FOLDS` folds, stratified by site and sex.

    Parameters
    ----------
    data : TrainingData
    mode, harmonise : str
    corrected : bool
        Whether each fold's fits get their own `spread_factor` (nested cross-validation).

    Returns
    -------
    (n, p) array
    """
    folds = stratified_folds(data.site, data.sex, n_folds=N_FOLDS)
    z = np.empty((len(data.table), len(data.regions)))
    for fold in range(N_FOLDS):
        training, test = data.subset(folds != fold), data.subset(folds == fold)
        fitted = harmonise_and_fit(training, mode, harmonise)
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

    Parameters
    ----------
    z : (n, p) array

    Returns
    -------
    float
    """
    return float(np.clip(np.median(np.sqrt(np.mean(z**2, axis=0))), *SPREAD_LIMITS))


def _widen(fit: RegionFit, factor: float) -> RegionFit:
    if fit.sigma is None:
        return fit
    first, *rest = fit.sigma.coefficients
    root = None if fit.root is None else tuple(float(f"{value * factor:.7e}") for value in fit.root)
    return replace(
        fit,
        rmse=float(fit.rmse * factor),
        root=root,
        sigma=replace(fit.sigma, coefficients=(float(first + np.log(factor)), *rest)),
    )


def outward(values: FloatArray, decimals: int) -> tuple[float, float]:
    """Range of `values`, rounded outward so that a model does not hold a person's exact value.

    Parameters
    ----------
    values : (n,) array
    decimals : int
        Negative for tens, hundreds and so on before the point.

    Returns
    -------
    (float, float)
        Lowest and highest, in the unit of `values`.
    """
    unit = 10.0**-decimals
    low, high = np.floor(np.min(values) / unit) * unit, np.ceil(np.max(values) / unit) * unit
    return float(round(low, max(decimals, 0))), float(round(high, max(decimals, 0)))


def rounded(limits: FloatArray) -> tuple[float, float]:
    """A range with four significant digits.

    Parameters
    ----------
    limits : (2,) array

    Returns
    -------
    (float, float)
    """
    return float(f"{limits[0]:.4g}"), float(f"{limits[1]:.4g}")
