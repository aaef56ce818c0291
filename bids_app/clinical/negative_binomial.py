"""Negative binomial regression of counts with a log link (Venables & Ripley 2002, section 7.4).

The variance is ``mu + mu^2 / theta``. With a given theta the fit, its dispersion and its t tests are
those of R's ``summary(glm(family = negative.binomial(theta)))``; without one, theta is estimated by
maximum likelihood as in MASS's ``glm.nb``. Intervals are exact roots of the profile likelihood (R
interpolates them with a spline, which moves the bounds by about 1e-6).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bids_app.errors import AnalysisError
from bids_app.normative.base import FloatArray

MAX_ETA = 30.0
THETA_RANGE = (1e-3, 1e5)
# |log rate ratio| from which an estimate counts as infinite (a group without a single event).
INFINITE = 12.0


@dataclass(frozen=True)
class CountFit:
    """A fitted model of counts.

    Parameters
    ----------
    coef, se : (k,) arrays
        On the log scale, in the order of the columns of X.
    statistic, p : (k,) arrays
        t (given theta) or z (estimated theta) and its two-sided p value; the signed root of the
        likelihood ratio where the estimate is infinite.
    low, high : (k,) arrays
        Profile likelihood interval of `coef`; infinite where the likelihood does not bound it.
    df : float
        Degrees of freedom of the t tests; infinite for z tests.
    theta, dispersion, deviance, loglik : float
    theta_estimated : bool
    """

    coef: FloatArray
    se: FloatArray
    statistic: FloatArray
    p: FloatArray
    low: FloatArray
    high: FloatArray
    df: float
    theta: float
    dispersion: float
    deviance: float
    loglik: float
    theta_estimated: bool

    @property
    def unbounded(self) -> np.ndarray:
        """Coefficients whose estimate is infinite (separation, a group of zeros)."""
        return np.abs(self.coef) > INFINITE


def fit_counts(y: ArrayLike, X: ArrayLike, theta: float | None = None, level: float = 0.95) -> CountFit:
    """Fit ``log E[y] = X beta``.

    Parameters
    ----------
    y : (n,) array of non-negative integers
    X : (n, k) array, the intercept's column included
    theta : float, optional
        Fixed shape (the study: 1); estimated by maximum likelihood when None.
    level : float
        Level of the intervals.

    Raises
    ------
    AnalysisError
        When all counts are zero, rows are too few, or predictors depend on each other.
    """
    model = _Model(np.asarray(y, dtype=float), np.asarray(X, dtype=float), theta)
    model.check()
    return model.fit(level)


@dataclass(frozen=True)
class _Point:
    """A maximised likelihood: coefficients, means, and minus twice the log-likelihood."""

    coef: FloatArray
    mu: FloatArray
    theta: float
    criterion: float


@dataclass(frozen=True)
class _Model:
    y: FloatArray
    X: FloatArray
    fixed_theta: float | None

    def check(self) -> None:
        n, k = self.X.shape
        if not np.isfinite(self.X).all() or not np.isfinite(self.y).all() or (self.y < 0).any():
            raise AnalysisError("a model of counts needs non-negative counts and complete predictors")
        if n <= k:
            raise AnalysisError(f"{n} scans are too few for a model with {k} coefficients")
        if not self.y.any():
            raise AnalysisError("every count is zero, so groups cannot be compared; lower the threshold")
        if np.linalg.matrix_rank(self.X / np.sqrt((self.X**2).sum(axis=0))) < k:
            raise AnalysisError("the predictors of the count model depend on each other; leave one out")

    def fit(self, level: float) -> CountFit:
        from scipy.stats import norm, t

        n, k = self.X.shape
        best = self.maximise(self.X, np.zeros(n))
        given = self.fixed_theta is not None
        dispersion = self.dispersion(best) if given else 1.0
        weight = best.mu / (1 + best.mu / best.theta)
        se = np.sqrt(np.diag(np.linalg.pinv((self.X.T * weight) @ self.X)) * dispersion)
        statistic = best.coef / se
        for j in np.flatnonzero(np.abs(best.coef) > INFINITE):
            # Wald tests fail at infinite estimates (Hauck & Donner 1977); the likelihood ratio does not.
            without = self.maximise(np.delete(self.X, j, axis=1), np.zeros(n)).criterion
            statistic[j] = np.sign(best.coef[j]) * np.sqrt(max(without - best.criterion, 0) / dispersion)
        df = float(n - k) if given else np.inf
        p = 2 * (t.sf(np.abs(statistic), df) if given else norm.sf(np.abs(statistic)))
        cut = dispersion * norm.ppf((1 + level) / 2) ** 2
        bounds = np.array([[self.bound(best, j, side, cut, se[j]) for side in (-1, 1)] for j in range(k)])
        loglik = -best.criterion / 2
        return CountFit(
            best.coef,
            se,
            statistic,
            p,
            bounds[:, 0],
            bounds[:, 1],
            df,
            best.theta,
            dispersion,
            _deviance(self.y, best.mu, best.theta),
            loglik,
            not given,
        )

    def dispersion(self, point: _Point) -> float:
        n, k = self.X.shape
        pearson = (self.y - point.mu) ** 2 / (point.mu + point.mu**2 / point.theta)
        return float(pearson.sum() / (n - k))

    def maximise(self, X: FloatArray, offset: FloatArray) -> _Point:
        """Maximum likelihood over the coefficients and, unless it is given, theta."""
        if self.fixed_theta is not None:
            return self._at(self.fixed_theta, X, offset)
        from scipy.optimize import brentq

        def slope(log_theta: float) -> float:
            theta = float(np.exp(log_theta))
            return _theta_score(self.y, self._at(theta, X, offset).mu, theta) * theta

        low, high = np.log(THETA_RANGE)
        if slope(high) >= 0:
            return self._at(THETA_RANGE[1], X, offset)
        if slope(low) <= 0:
            return self._at(THETA_RANGE[0], X, offset)
        return self._at(float(np.exp(brentq(slope, low, high, xtol=1e-12))), X, offset)

    def _at(self, theta: float, X: FloatArray, offset: FloatArray) -> _Point:
        coef, mu = _irls(self.y, X, theta, offset)
        return _Point(coef, mu, theta, -2 * _loglik(self.y, mu, theta))

    def bound(self, best: _Point, j: int, side: int, cut: float, se: float) -> float:
        """Where the profile criterion of coefficient `j` rises by `cut`, on one `side` of the estimate."""
        from scipy.optimize import brentq

        others = np.delete(self.X, j, axis=1)

        def excess(value: float) -> float:
            return self.maximise(others, self.X[:, j] * value).criterion - best.criterion - cut

        start = float(np.clip(best.coef[j], -MAX_ETA / 2, MAX_ETA / 2))
        step = min(max(2 * se, 1e-3), 2.0)
        inner, outer = start, start + side * step
        while excess(outer) < 0:
            inner, outer, step = outer, outer + side * step, step * 1.5
            if abs(outer) > MAX_ETA:
                return side * np.inf
        return float(brentq(excess, inner, outer, xtol=1e-13))


def _irls(y: FloatArray, X: FloatArray, theta: float, offset: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Iteratively reweighted least squares with step halving; coefficients and means."""
    if X.shape[1] == 0:
        return np.empty(0), np.exp(np.clip(offset, -MAX_ETA, MAX_ETA))
    mu = y + (y == 0) / 6
    eta, old, deviance = np.log(mu), None, np.inf
    for _ in range(200):
        weight = mu / (1 + mu / theta)
        weighted = X.T * weight
        coef = np.linalg.lstsq(weighted @ X, weighted @ (eta - offset + (y - mu) / mu), rcond=None)[0]
        for _ in range(30):
            eta = np.clip(X @ coef + offset, -MAX_ETA, MAX_ETA)
            mu = np.exp(eta)
            new = _deviance(y, mu, theta)
            if old is None or new <= deviance * (1 + 1e-12) + 1e-12:
                break
            coef = (coef + old) / 2
        if old is not None and np.max(np.abs(coef - old)) < 1e-11 * (1 + np.max(np.abs(coef))):
            break
        if abs(deviance - new) < 1e-15 * (1 + new):
            break
        old, deviance = coef, new
    return np.asarray(coef), mu


def _deviance(y: FloatArray, mu: FloatArray, theta: float) -> float:
    positive = np.where(y > 0, y, 1)
    gain = np.where(y > 0, y * np.log(positive / mu), 0)
    return float(2 * np.sum(gain - (y + theta) * np.log((y + theta) / (mu + theta))))


def _loglik(y: FloatArray, mu: FloatArray, theta: float) -> float:
    from scipy.special import gammaln, xlogy

    return float(
        np.sum(
            gammaln(y + theta)
            - gammaln(theta)
            - gammaln(y + 1)
            + xlogy(y, mu / (mu + theta))
            - theta * np.log1p(mu / theta)
        )
    )


def _theta_score(y: FloatArray, mu: FloatArray, theta: float) -> float:
    from scipy.special import digamma

    log_part = digamma(y + theta) - digamma(theta) - np.log1p(mu / theta)
    return float(np.sum(log_part + 1 - (y + theta) / (mu + theta)))
