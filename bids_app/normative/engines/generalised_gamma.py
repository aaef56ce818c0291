"""Models with a generalised gamma distribution whose mean and scale follow fractional polynomials of log age.

The form of BrainChart (Bethlehem et al. 2022, doi:10.1038/s41586-022-04554-y), GAMLSS family ``GG`` of gamlss.dist
(Rigby et al. 2019, section 19.4.3). With x = ln(365.245 age + 280), days after conception, and y = value / 10000::

    ln mu = a + b [male] + level of FreeSurfer version + FP(x),    ln sigma = c + d [male] + FP(x),    nu constant
    P(y) = gammainc(theta, theta (y / mu)^nu),    theta = 1 / (sigma nu)^2    (1 - P for nu < 0; log-normal at nu = 0)

Effects of the studies that the model was fitted on are left at 0; their standard deviations are the prior of a site
adaptation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.special import gammainc, gammaincc, gammainccinv, gammaincinv, ndtr, ndtri

from bids_app.arrays import FloatArray
from bids_app.normative.base import Adaptation, Deviations, NormativeModel, adapt, scored_regions, unadapt
from bids_app.normative.card import ModelCard
from bids_app.normative.covariates import major_versions, read_basics
from bids_app.normative.fit import fractional_polynomials as fp

RESPONSE_SCALE = 10000.0
DAYS_PER_YEAR, GESTATION_DAYS = 365.245, 280.0
SMALLEST_NU = 1e-6
SMALLEST_TAIL = 1e-300
MEAN_LEVEL = "MEAN"
LEVELS = {"5": "FS53", "6": "FS6_T1", "7": "FS7_T1"}
STAND_IN = "FS6_T1"
TYPICAL_AGE = 30.0


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """``intercept + male [male] + FP(x)``; one coefficient per power."""

    intercept: float
    male: float
    powers: tuple[float, ...]
    coefficients: tuple[float, ...]

    def at(self, x: FloatArray, male: FloatArray) -> FloatArray:
        """The predictor (n,) at log age `x` and `male` (0 or 1).

        Parameters
        ----------
        x : (n,) array
            ln of the days since conception.
        male : (n,) array of 0 or 1

        Returns
        -------
        (n,) array
            ln mu or ln sigma, without the levels of FreeSurfer version.
        """
        value: FloatArray = self.intercept + self.male * male
        return value + fp.basis(x, self.powers) @ np.array(self.coefficients) if self.powers else value


@dataclass(frozen=True, kw_only=True)
class GammaFit:
    """One region.

    Parameters
    ----------
    columns : tuple of str
        Columns of the input that the region is made of.
    combine : str
        ``mean`` or ``sum`` of `columns`.
    n : int
        People it was fitted on.
    mu, sigma : Predictor
        Of ln mu (of value / 10000) and ln sigma.
    nu : float
    levels : mapping of str to float
        FreeSurfer version's addition to ln mu, by the authors' name; their unweighted mean is 0.
    mu_sd, sigma_sd : float, optional
        Standard deviation between studies in ln mu and ln sigma.
    """

    columns: tuple[str, ...]
    combine: str
    n: int
    mu: Predictor
    sigma: Predictor
    nu: float
    levels: Mapping[str, float] = field(default_factory=dict)
    mu_sd: float | None = None
    sigma_sd: float | None = None

    def measured(self, data: pd.DataFrame) -> FloatArray:
        """The region's value from the columns that it is made of.

        Parameters
        ----------
        data : DataFrame
            n rows with `columns`, in mm^3, mm^2 or mm.

        Returns
        -------
        (n,) array
            In the unit of the columns; NaN where one of them is.
        """
        values = data[list(self.columns)].to_numpy(dtype=float)
        total: FloatArray = values.sum(axis=1)
        return total / len(self.columns) if self.combine == "mean" else total


def cumulative(y: FloatArray, mu: FloatArray, sigma: FloatArray, nu: float) -> FloatArray:
    """Standard normal deviate (n,) of `y` (n,) > 0, from the smaller tail; NaN stays NaN.

    The distribution function of the generalised gamma in its GAMLSS form (Rigby et al. 2019, section 19.4.3).

    Parameters
    ----------
    y, mu, sigma : (n,) arrays
    nu : float
        Near 0 the log normal.

    Returns
    -------
    (n,) array
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        log_ratio = np.log(y / mu)
        if abs(nu) < SMALLEST_NU:
            return np.asarray(log_ratio / sigma)
        theta = 1 / (sigma * nu) ** 2
        at = theta * np.exp(nu * log_ratio)
        low, high = gammainc(theta, at), gammaincc(theta, at)
    tail = np.maximum(np.minimum(low, high), SMALLEST_TAIL)
    return np.asarray(np.sign(nu) * np.where(low < high, 1.0, -1.0) * ndtri(tail))


def quantile(z: FloatArray, mu: FloatArray, sigma: FloatArray, nu: float) -> FloatArray:
    """The y (n,) whose deviate is `z` (n,).

    Inverse of `cumulative`.

    Parameters
    ----------
    z, mu, sigma : (n,) arrays
    nu : float

    Returns
    -------
    (n,) array
    """
    if abs(nu) < SMALLEST_NU:
        return np.asarray(mu * np.exp(sigma * z))
    theta = 1 / (sigma * nu) ** 2
    side = np.sign(nu) * z
    tail = ndtr(-np.abs(side))
    at = np.where(side < 0, gammaincinv(theta, tail), gammainccinv(theta, tail))
    with np.errstate(divide="ignore"):
        return np.asarray(mu * (at / theta) ** (1 / nu))


@dataclass(frozen=True, kw_only=True)
class GammaModel(NormativeModel):
    """A `NormativeModel` made of `GammaFit`.

    Parameters
    ----------
    card : ModelCard
    fits : mapping of region to GammaFit
    level : str
        Level of FreeSurfer version of all scans; empty: by each scan's ``fs_version``.
    digest : str
    """

    card: ModelCard
    fits: Mapping[str, GammaFit]
    level: str = ""
    digest: str = ""

    @cached_property
    def regions(self) -> tuple[str, ...]:
        return tuple(self.fits)

    @property
    def corrected_versions(self) -> frozenset[str]:
        """FreeSurfer major versions whose level the models of regions hold."""
        names = {name for fit in self.fits.values() for name in fit.levels}
        return frozenset() if self.level else frozenset(major for major, name in LEVELS.items() if name in names)

    @property
    def needs_etiv(self) -> bool:
        """Never: these models are of age and sex."""
        return False

    def deviations(self, data: pd.DataFrame, adaptation: Adaptation | None = None) -> Deviations:
        """Score the scans of `data`; `z_se` is NaN without an adaptation: the coefficients' errors are not known."""
        scans = _Scans.read(self, data)
        regions = scored_regions(self, self._with_regions(data))
        observed = np.column_stack([self._observed(name, data) for name in regions])
        z = np.empty(observed.shape)
        for j, name in enumerate(regions):
            y = np.where(observed[:, j] > 0, observed[:, j], np.nan) / RESPONSE_SCALE
            z[:, j] = cumulative(y, *self._parameters_at(name, scans))
        known = np.full(z.shape, np.nan) if adaptation is None else np.zeros(z.shape)
        z, se = adapt(z, known, adaptation, data, regions)
        expected = self.volumes_at(data, np.zeros(observed.shape), regions, adaptation)
        in_range = np.repeat(scans.in_range[:, None], len(regions), axis=1)
        notes = scans.notes(self, regions)
        return Deviations(regions, observed, expected, z, se, 100 * ndtr(z), in_range, notes)

    def volumes_at(
        self, data: pd.DataFrame, z: FloatArray, regions: tuple[str, ...], adaptation: Adaptation | None = None
    ) -> FloatArray:
        raw = unadapt(z, adaptation, data, regions)
        scans = _Scans.read(self, data)
        columns = [quantile(raw[:, j], *self._parameters_at(name, scans)) for j, name in enumerate(regions)]
        return RESPONSE_SCALE * np.column_stack(columns)

    def _parameters_at(self, region: str, scans: _Scans) -> tuple[FloatArray, FloatArray, float]:
        """mu and sigma (n,) and nu of `region`, for value / 10000."""
        fit = self.fits[region]
        mu = np.exp(fit.mu.at(scans.x, scans.male) + scans.level_effects(fit))
        return mu, np.exp(fit.sigma.at(scans.x, scans.male)), fit.nu

    def site_sd(self, regions: tuple[str, ...]) -> FloatArray:
        """Standard deviation between studies, in z at 30 years: of a study one `mu_sd` up, mean of both sexes."""
        return np.array([self._site_sd(self.fits[name]) for name in regions])

    def site_scale_sd(self, regions: tuple[str, ...]) -> FloatArray:
        """Standard deviation between studies of the logarithm of the scale (`sigma_sd`)."""
        values = [self.fits[name].sigma_sd for name in regions]
        return np.array([np.nan if value is None else value for value in values])

    def _site_sd(self, fit: GammaFit) -> float:
        if fit.mu_sd is None:
            return np.nan
        x, one = log_age(np.full(2, TYPICAL_AGE)), np.array([0.0, 1.0])
        mu, sigma = np.exp(fit.mu.at(x, one)), np.exp(fit.sigma.at(x, one))
        median = quantile(np.zeros(2), mu, sigma, fit.nu)
        # z of the median of a study that is one standard deviation up
        return float(np.mean(cumulative(median * np.exp(fit.mu_sd), mu, sigma, fit.nu)))

    def _observed(self, region: str, data: pd.DataFrame) -> FloatArray:
        return self.fits[region].measured(data)

    def _with_regions(self, data: pd.DataFrame) -> pd.DataFrame:
        """A table whose columns are the regions that `data` allows."""
        return pd.DataFrame(columns=[name for name, fit in self.fits.items() if set(fit.columns) <= set(data.columns)])


def log_age(age: FloatArray) -> FloatArray:
    """ln of the days after conception at `age` (n,) in years.

    Parameters
    ----------
    age : (n,) array
        In years after birth.

    Returns
    -------
    (n,) array
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.log(age * DAYS_PER_YEAR + GESTATION_DAYS))


@dataclass(frozen=True)
class _Scans:
    """Variables of n scans; NaN where a scan cannot be scored. `wanted` and `taken` are names of levels."""

    x: FloatArray
    male: FloatArray
    wanted: np.ndarray
    in_range: np.ndarray

    @classmethod
    def read(cls, model: GammaModel, data: pd.DataFrame) -> _Scans:
        basics = read_basics(data, model.card, etiv=False)
        age, sex, bad = basics.age, basics.sex, ~basics.usable
        low, high = model.card.age_range["female"]
        x = np.where(bad, np.nan, log_age(np.clip(age, low, high)))
        return cls(x, (sex == "male").astype(float), _levels(model, data), ~bad & (age >= low) & (age <= high))

    def level_effects(self, fit: GammaFit) -> FloatArray:
        """Addition to ln mu (n,): of the scan's level, else of the stand-in, else 0."""
        stand_in = fit.levels.get(STAND_IN, 0.0)
        effects = {name: fit.levels.get(name, stand_in) for name in set(self.wanted)} | {MEAN_LEVEL: 0.0}
        return np.array([effects[name] for name in self.wanted])

    def notes(self, model: GammaModel, regions: tuple[str, ...]) -> tuple[str, ...]:
        about = {name: _level_note(model, name, regions) for name in set(self.wanted)}
        out = []
        for x, inside, level in zip(self.x, self.in_range, self.wanted):
            if np.isnan(x):
                out.append("not scored: age or sex is missing or unreadable.")
                continue
            age = "" if inside else "age is outside the model's range; scored as if at its end."
            out.append(" ".join(filter(None, (age, about[level]))))
        return tuple(out)


def _levels(model: GammaModel, data: pd.DataFrame) -> np.ndarray:
    """Name of each scan's level of FreeSurfer version."""
    if model.level:
        return np.full(len(data), model.level, dtype=object)
    return np.array([LEVELS.get(major, "") for major in major_versions(data)], dtype=object)


def _level_note(model: GammaModel, level: str, regions: tuple[str, ...]) -> str:
    if level == MEAN_LEVEL:
        return (
            "FreeSurfer version left out: the unweighted mean of the authors' levels, about 0.4 SD above that of "
            "FreeSurfer 6 for volumes."
        )
    lacking = [name for name in regions if level not in model.fits[name].levels]
    if not lacking:
        return ""
    if not level:
        return f"FreeSurfer version not given or not known to the model; scored at the level {STAND_IN}."
    return (
        f"{len(lacking)} of {len(regions)} regions have no level {level} and were scored at {STAND_IN}: on healthy "
        "people of FreeSurfer 7 that gave a mean z of -0.18, up to 0.35 off in single regions."
    )
