"""Mixed models of repeated visits: random intercept per person, Satterthwaite degrees of freedom.

The fit is REML in closed sums (`normative.fit.random_intercept`). The degrees of freedom of a coefficient
with variance v are ``2 v^2 / (g' A g)`` (Satterthwaite 1946; Kuznetsova et al. 2017,
doi:10.18637/jss.v082.i13): g is the gradient of v over the variance parameters and A their asymptotic
covariance, twice the inverse Hessian of the REML deviance. Both derivatives are analytic here; lmerTest
takes them numerically.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bids_app.arrays import FloatArray
from bids_app.errors import AnalysisError
from bids_app.normative.fit.random_intercept import RandomInterceptDesign, RandomInterceptFit, RandomInterceptSums


@dataclass(frozen=True)
class FixedEffects:
    """Tests of the fixed effects of a model.

    Parameters
    ----------
    beta, se, df, statistic, p, low, high : (k,) arrays
        `low` and `high` bound the 95 % t interval ``beta +- t(df) se``.
    variance_person, variance_residual : float
        Variance of the random intercepts and within people.
    singular : bool
        The intercepts' variance is estimated as zero; df are then those of a linear model.
    """

    beta: FloatArray
    se: FloatArray
    df: FloatArray
    statistic: FloatArray
    p: FloatArray
    low: FloatArray
    high: FloatArray
    variance_person: float
    variance_residual: float
    singular: bool


class MixedModel:
    """``y ~ X + (1 | person)`` for many responses that share X and people (82 regions, one design).

    Parameters
    ----------
    X : (n, k) array
        Fixed effects, the intercept's column included.
    people : (n,) array
        Label of each row's person.

    Raises
    ------
    AnalysisError
        When X has missing values or dependent columns, or nobody has two visits.
    """

    def __init__(self, X: ArrayLike, people: ArrayLike) -> None:
        self.design = RandomInterceptDesign(X, people)

    def fit(self, y: ArrayLike, level: float = 0.95) -> FixedEffects:
        """Fit one response and test its fixed effects.

        Parameters
        ----------
        y : (n,) array
        level : float
            Of the intervals.

        Returns
        -------
        FixedEffects
            Arrays (k,), one value per column of the design.
        """
        return self.test(self.design.fit(y), level)

    def test(self, fit: RandomInterceptFit, level: float = 0.95) -> FixedEffects:
        """Test the fixed effects of a fit of `design`."""
        return effects(fit.beta, fit.se, satterthwaite(fit), fit.tau2, fit.sigma2, fit.singular, level)


def effects(
    beta: FloatArray,
    se: FloatArray,
    df: FloatArray,
    variance_person: float,
    variance_residual: float,
    singular: bool,
    level: float = 0.95,
) -> FixedEffects:
    """t tests and intervals of estimates with their standard errors and degrees of freedom.

    Parameters
    ----------
    beta, se, df : (k,) arrays
    variance_person, variance_residual : float
    singular : bool
        Whether a variance lies at its bound of 0.
    level : float
        Of the intervals.

    Returns
    -------
    FixedEffects
    """
    from scipy.stats import t

    statistic = beta / se
    half = t.ppf((1 + level) / 2, df) * se
    p = 2 * t.sf(np.abs(statistic), df)
    return FixedEffects(
        beta, se, df, statistic, p, beta - half, beta + half, variance_person, variance_residual, singular
    )


def satterthwaite(fit: RandomInterceptFit) -> FloatArray:
    """Satterthwaite's degrees of freedom of the t tests of the fixed effects.

    Parameters
    ----------
    fit : RandomInterceptFit

    Returns
    -------
    (k,) array
        n - k where the intercepts' variance is 0.

    Raises
    ------
    AnalysisError
        When the likelihood is flat, so that variances have no finite error.
    """
    sums, ratio = fit.sums, fit.tau2 / fit.sigma2
    residual = float(sums.n_rows - sums.n_coefficients)
    if fit.singular:
        return np.full(len(fit.beta), residual)
    inverse: FloatArray = np.asarray(np.linalg.inv(sums.weighted(ratio)[:-1, :-1]), dtype=float)
    change = -fit.sigma2 * inverse @ sums.weighted_slope(ratio)[:-1, :-1] @ inverse
    gradient = np.column_stack([np.diag(inverse), np.diag(change)])
    hessian: FloatArray = _deviance_hessian(sums, fit.sigma2, ratio, inverse)
    if not np.isfinite(hessian).all() or np.linalg.matrix_rank(hessian) < len(hessian):
        raise AnalysisError("visits are too few to tell the variance between people from that within people")
    covariance = 2 * np.linalg.inv(hessian)
    spread = np.einsum("ki,ij,kj->k", gradient, covariance, gradient)
    return np.asarray(2 * np.diag(fit.cov_beta) ** 2 / spread)


def _deviance_hessian(sums: RandomInterceptSums, sigma2: float, ratio: float, inverse: FloatArray) -> FloatArray:
    """Second derivatives of the REML deviance over (sigma2, ratio), at its minimum."""
    slope = sums.weighted_slope(ratio)
    weight = 1 + sums.sizes * ratio
    curve = np.tensordot(2 * sums.sizes / weight**3, sums.between, 1)
    beta, rss = sums.coefficients(ratio)
    contrast = np.append(-beta, 1.0)
    pull = (slope @ contrast)[:-1]
    rss_slope = contrast @ slope @ contrast
    rss_curve = contrast @ curve @ contrast - 2 * pull @ inverse @ pull
    turn = inverse @ slope[:-1, :-1]
    log_curve = (
        -np.sum(sums.counts * (sums.sizes / weight) ** 2) + np.trace(inverse @ curve[:-1, :-1]) - np.trace(turn @ turn)
    )
    free = sums.n_rows - sums.n_coefficients
    cross = -rss_slope / sigma2**2
    return np.array([[2 * rss / sigma2**3 - free / sigma2**2, cross], [cross, rss_curve / sigma2 + log_curve]])
