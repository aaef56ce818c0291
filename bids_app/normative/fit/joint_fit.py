"""Location and scale at the maximum of their joint likelihood under the sinh-arcsinh distribution.

Fisher scoring of both predictors at a given shape (Rigby & Stasinopoulos 2005, doi:10.1111/j.1467-9876.2005.00510.x),
the shape anew after each step. From `MIN_FOR_THIRD_DEGREE` people on, the age curve of the location is chosen anew
under this likelihood, among the fractional polynomials of third degree. A region keeps what it had when a step does
not raise the likelihood.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bids_app.arrays import FloatArray
from bids_app.normative.fit import age_curve, shape_fit, sinh_arcsinh
from bids_app.normative.fit.designs import Design

MIN_FOR_THIRD_DEGREE = 2000
SEX_SD = 0.05


@dataclass(frozen=True)
class Data:
    """What is fitted: scaled age (n,), male (n,), eTIV (n,) or None, its power, values (n, p) on the modelled scale.

    `offset` (n, p) is added to log sigma: half the log of one minus the leverage, by which residuals are too small.
    """

    scaled: FloatArray
    male: FloatArray
    etiv: FloatArray | None
    etiv_power: float
    values: FloatArray
    offset: FloatArray

    def mean_design(self, powers: FloatArray) -> Design:
        """Design of the location.

        Parameters
        ----------
        powers : (p, 2) array
            Of age; NaN where a region uses one power.

        Returns
        -------
        Design
        """
        return Design(self.scaled, self.male, self.etiv, powers, np.full(len(powers), self.etiv_power))


@dataclass(frozen=True)
class Parts:
    """Powers (p, 3), coefficients (p, 6), roots (p, 6, 6) and shape (p, 4) of a fit."""

    powers: FloatArray
    beta: FloatArray
    roots: FloatArray
    gamma: FloatArray
    sigma_roots: FloatArray
    shape: FloatArray

    def where(self, chosen: NDArray[np.bool_], other: Parts) -> Parts:
        """These parts in the `chosen` (p,) regions, the `other` elsewhere.

        Parameters
        ----------
        chosen : (p,) bool array
        other : Parts

        Returns
        -------
        Parts
        """

        def pick(mine: FloatArray, theirs: FloatArray) -> FloatArray:
            return np.where(chosen.reshape(-1, *(1,) * (mine.ndim - 1)), mine, theirs)

        return Parts(**{name: pick(value, getattr(other, name)) for name, value in vars(self).items()})


@dataclass(frozen=True)
class _Point:
    """A fit, its log sigma (n, p), log likelihood (p,), and per person the scores of location and of log sigma."""

    parts: Parts
    mean: Design
    mu: FloatArray
    eta: FloatArray
    value: FloatArray
    location_score: FloatArray
    scale_score: FloatArray


def fit_jointly(data: Data, mean: Design, spread: Design, first: Parts) -> Parts:
    """Go on from a first fit.

    Parameters
    ----------
    data : Data
    mean, spread : Design
        Of the location of `first`, and of log sigma.
    first : Parts
        A fit by least squares and normal likelihood, with its shape.

    Returns
    -------
    Parts
    """
    point, _ = _at(data, spread, mean, first)
    steps = (_new_curve if data.scaled.size >= MIN_FOR_THIRD_DEGREE else _step, _step)
    for step in steps:
        trial, shaped = _at(data, spread, *step(data, spread, point), reshape=True)
        better = shaped & (trial.value > point.value)
        if better.all():
            point = trial
        elif better.any():
            parts = trial.parts.where(better, point.parts)
            point, _ = _at(data, spread, data.mean_design(parts.powers), parts)
    return point.parts


def _at(
    data: Data, spread: Design, mean: Design, parts: Parts, reshape: bool = False
) -> tuple[_Point, NDArray[np.bool_]]:
    """The fit as a point, with the shape of its residuals anew when asked, and where there is a shape."""
    mu, eta = mean.predict(parts.beta), spread.predict(parts.gamma) + data.offset
    u, found = data.values - mu, np.ones(len(parts.beta), dtype=bool)
    u *= np.exp(-eta)
    if reshape:
        shape, found = shape_fit.fit_shapes(u, parts.shape)
        parts = replace(parts, shape=shape)
    density, score = sinh_arcsinh.log_density(u, parts.shape)
    density -= eta
    value = np.sum(density, axis=0) - 0.5 * (parts.gamma[:, 1] / SEX_SD) ** 2
    value += shape_fit.log_prior(parts.shape)
    u *= score
    u += 1
    return _Point(parts, mean, mu, eta, np.where(np.isfinite(value), value, -np.inf), score, u), found


def _new_curve(data: Data, spread: Design, point: _Point) -> tuple[Design, Parts]:
    """One step on to the age curve of third degree that fits the working response best."""
    precision, information = np.exp(-2 * point.eta), _information(point.location_score)
    response = point.mu - point.location_score * np.exp(point.eta) / information
    linear = linear_columns(data.male, data.etiv, data.etiv_power)
    powers = age_curve.select_powers(data.scaled, linear, response, precision)
    mean = data.mean_design(powers)
    beta, roots = mean.step(precision * response, precision)
    return mean, replace(
        _scale_step(spread, point), powers=powers, beta=beta, roots=roots / np.sqrt(information)[:, None, None]
    )


def linear_columns(male: FloatArray, etiv: FloatArray | None, power: float) -> FloatArray:
    """Columns (n, 1 or 2) beside age: male and, where it is a covariate, ``eTIV^power``.

    Parameters
    ----------
    male : (n,) array
        1 for males, 0 for females.
    etiv : (n,) array or None
        In mm^3 over its typical size.
    power : float
        Of eTIV.

    Returns
    -------
    (n, 1 or 2) array
    """
    return np.column_stack([male] if etiv is None else [male, etiv**power])


def _step(data: Data, spread: Design, point: _Point) -> tuple[Design, Parts]:
    """One step of Fisher scoring."""
    information = _information(point.location_score)
    gradient = -point.location_score * np.exp(-point.eta) / information
    step, roots = point.mean.step(gradient, np.exp(-2 * point.eta))
    return point.mean, replace(
        _scale_step(spread, point), beta=point.parts.beta + step, roots=roots / np.sqrt(information)[:, None, None]
    )


def _information(score: FloatArray) -> FloatArray:
    """Fisher information (p,) per person from scores (n, p)."""
    return np.maximum(np.mean(score**2, axis=0), np.finfo(float).tiny)


def _scale_step(spread: Design, point: _Point) -> Parts:
    """The fit after one step of log sigma, whose sex difference has a normal prior of SD 0.05."""
    gamma, roots = point.parts.gamma.copy(), np.zeros_like(point.parts.sigma_roots)
    information, prior = _information(point.scale_score), 1 / SEX_SD**2
    for q, r, members in spread.parts:
        width = r.shape[1]
        own = gamma[members, :width]
        male = np.linalg.solve(r.T, np.eye(width)[1])
        gradient = -(q.T @ point.scale_score[:, members]).T - prior * own[:, [1]] * male
        precision = information[members, None, None] * np.eye(width) + prior * np.outer(male, male)
        step = np.linalg.solve(precision, gradient[:, :, None])[:, :, 0]
        gamma[members, :width] = own + np.linalg.solve(r, step.T).T
        roots[members, :width, :width] = np.linalg.inv(np.linalg.cholesky(precision)) @ np.linalg.inv(r).T
    return replace(point.parts, gamma=gamma, sigma_roots=roots)
