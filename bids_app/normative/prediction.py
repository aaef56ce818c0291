"""Mean, scale and their uncertainty at given covariates, for the stacked fits of one sex."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bids_app.arrays import FloatArray
from bids_app.normative.fit import fractional_polynomials as fp
from bids_app.normative.parameters import Stack, Terms

# Matrix products treat the last few rows differently; whole groups of rows give every row the same bits, alone
# or among others.
ROW_GROUP = 16


@dataclass(frozen=True)
class Moments:
    """Arrays (n, p): mean and sigma on the modelled scale, variances of mean and of log sigma."""

    mean: FloatArray
    sigma: FloatArray
    mean_variance: FloatArray | None
    log_sigma_variance: FloatArray | None


def moments(fits: Stack, age: FloatArray, etiv: FloatArray, uncertainty: bool = True) -> Moments:
    """Evaluate the model of one sex.

    Parameters
    ----------
    fits : Stack of p regions
    age, etiv : (n,) arrays
        Years, mm^3. Age beyond a region's trained range is taken at the end of that range.
    uncertainty : bool
        Whether to compute the variances.

    Returns
    -------
    Moments
    """
    mean, mean_variance = _evaluate(fits.mean, age, etiv, uncertainty)
    log_sigma, variance = _evaluate(fits.sigma, age, etiv, uncertainty)
    sigma = np.exp(log_sigma, out=log_sigma)
    sigma[:, fits.constant] = fits.rmse[fits.constant]
    return Moments(mean, sigma, mean_variance, variance)


def _evaluate(
    terms: Terms, age: FloatArray, etiv: FloatArray, uncertainty: bool
) -> tuple[FloatArray, FloatArray | None]:
    value = np.empty((age.size, len(terms.coefficients)))
    variance = np.empty_like(value) if uncertainty else None
    for powers, shift, scale, (low, high), etiv_power, members in terms.groups:
        scaled = (np.clip(age, low, high) + shift) / scale
        x = np.column_stack([np.ones(age.size), etiv**etiv_power, fp.basis(scaled, powers)])
        x = np.pad(x, ((0, -age.size % ROW_GROUP), (0, 0)))
        width = x.shape[1]
        value[:, members] = (x @ terms.coefficients[members, :width].T)[: age.size]
        if variance is not None:
            variance[:, members] = _quadratic(x, terms.roots[members, :width, :width])[: age.size]
    return value, variance


def _quadratic(x: FloatArray, roots: FloatArray) -> FloatArray:
    """``|L x|^2`` (n, m) for rows x (n, q) and lower triangular roots (m, q, q)."""
    out = np.zeros((x.shape[0], roots.shape[0]))
    for i in range(x.shape[1]):
        term = x[:, : i + 1] @ roots[:, i, : i + 1].T
        out += np.square(term, out=term)
    return out
