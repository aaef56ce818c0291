"""Negative binomial regression of counts with a log link (Venables & Ripley 2002, section 7.4).

The variance is ``mu + mu^2 / theta``. With a given theta the fit, its dispersion and its t tests are
those of R's ``summary(glm(family = negative.binomial(theta)))``; without one, theta is estimated by
maximum likelihood as in MASS's ``glm.nb``. Intervals are exact roots of the profile likelihood (R
interpolates them with a spline, which moves the bounds by about 1e-6).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bids_app.arrays import FloatArray
from bids_app.errors import AnalysisError

MAX_ETA = 30.0
THETA_RANGE = (1e-3, 1e5)
# |log rate ratio| from which an estimate counts as infinite (a group without a single event).
INFINITE = 12.0
# 1 - leverage below which a row is fitted exactly, whatever its count.
ALONE = 1e-8


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
    robust_se : (k,) array
        Standard errors that do not rest on the distribution of the counts (sandwich, HC3); NaN for a coefficient
        that one row alone determines.
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
    robust_se: FloatArray
    df: float
    theta: float
    dispersion: float
    deviance: float
    loglik: float
    theta_estimated: bool

    @property
    def unbounded(self) -> np.ndarray:
        """Coefficients whose estimate is infinite (separation, a group of zeros).

        Returns
        -------
        (k,) bool array
        """
        return np.abs(self.coef) > INFINITE


def fit_counts(
    y: ArrayLike,
    X: ArrayLike,
    theta: float | None = None,
    level: float = 0.95,
    terms: Sequence[int] | None = None,
    weights: ArrayLike | None = None,
    clusters: ArrayLike | None = None,
) -> CountFit:
    """Fit ``log E[y] = X beta``.

    Parameters
    ----------
    y : (n,) array of non-negative integers
    X : (n, k) array, the intercept's column included
    theta : float, optional
        Fixed shape (the study: 1); estimated by maximum likelihood when None.
    level : float
        Level of the intervals.
    terms : sequence of int, optional
        Columns whose interval is wanted (default all); the others get NaN.
    weights : (n,) array, optional
        How much each row counts (scaled to a sum of n); profile intervals then only hold for whole numbers.
    clusters : (n,) array, optional
        Rows that belong together (a matched set), for `robust_se`; its statistic then has clusters - 1 degrees of
        freedom.

    Returns
    -------
    CountFit

    Raises
    ------
    AnalysisError
        When all counts are zero, rows are too few, or predictors depend on each other.
    """
    counts, predictors = np.asarray(y, dtype=float), np.asarray(X, dtype=float)
    _check(counts, predictors)
    wanted = range(predictors.shape[1]) if terms is None else terms
    if weights is not None or clusters is not None:
        weight = np.ones(len(counts)) if weights is None else np.asarray(weights, dtype=float)
        model = _Model(counts, predictors, weight * len(weight) / weight.sum(), theta, clusters)
        return model.fit(level, wanted)
    # People with the same count and predictors are one row with a weight: fits get far smaller.
    rows, number = np.unique(np.column_stack([counts, predictors]), axis=0, return_counts=True)
    return _Model(rows[:, 0], rows[:, 1:], number.astype(float), theta).fit(level, wanted)


def _check(y: FloatArray, X: FloatArray) -> None:
    n, k = X.shape
    if not np.isfinite(X).all() or not np.isfinite(y).all() or (y < 0).any():
        raise AnalysisError("a model of counts needs non-negative counts and complete predictors")
    if n <= k:
        raise AnalysisError(f"{n} scans are too few for a model with {k} coefficients")
    if not y.any():
        raise AnalysisError("every count is zero, so groups cannot be compared", "lower the threshold")
    if np.ptp(y) == 0:
        raise AnalysisError("everybody has the same number of deviations, so groups cannot be compared")
    if np.linalg.matrix_rank(X / np.maximum(np.sqrt((X**2).sum(axis=0)), 1e-300)) < k:
        raise AnalysisError("the predictors of the count model depend on each other", "leave one out")


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
    weight: FloatArray
    fixed_theta: float | None
    clusters: ArrayLike | None = None

    def fit(self, level: float, terms: Iterable[int]) -> CountFit:
        from scipy.stats import norm, t

        n, k = self.weight.sum(), self.X.shape[1]
        best = self.maximise(self.X, np.zeros(len(self.y)))
        given = self.fixed_theta is not None
        dispersion = self.dispersion(best) if given else 1.0
        information = self.weight * best.mu / (1 + best.mu / best.theta)
        se = np.sqrt(np.diag(np.linalg.pinv((self.X.T * information) @ self.X)) * dispersion)
        with np.errstate(divide="ignore", invalid="ignore"):
            statistic = best.coef / se
        for j in (int(column) for column in np.flatnonzero(np.abs(best.coef) > INFINITE)):
            # Wald tests fail at infinite estimates (Hauck & Donner 1977); the likelihood ratio does not.
            without = self.maximise(np.delete(self.X, j, axis=1), np.zeros(len(self.y))).criterion
            statistic[j] = np.sign(best.coef[j]) * np.sqrt(max(without - best.criterion, 0) / dispersion)
        df = float(n - k) if given else np.inf
        p = 2 * (t.sf(np.abs(statistic), df) if given else norm.sf(np.abs(statistic)))
        cut = dispersion * norm.ppf((1 + level) / 2) ** 2
        bounds = np.full((k, 2), np.nan)
        for term in terms:
            bounds[term] = [self.bound(best, term, side, cut, se[term]) for side in (-1, 1)]
        return CountFit(
            coef=best.coef,
            se=se,
            statistic=statistic,
            p=p,
            low=bounds[:, 0],
            high=bounds[:, 1],
            robust_se=self.robust_se(best),
            df=df,
            theta=best.theta,
            dispersion=dispersion,
            deviance=_deviance(self.y, best.mu, best.theta, self.weight),
            loglik=-best.criterion / 2,
            theta_estimated=not given,
        )

    def robust_se(self, point: _Point) -> FloatArray:
        """Sandwich standard errors (MacKinnon & White 1985, doi:10.1016/0304-4076(85)90158-7), as vcovHC of R."""
        spread = 1 + point.mu / point.theta
        information = point.mu / spread
        bread: FloatArray = np.asarray(np.linalg.pinv((self.X.T * (self.weight * information)) @ self.X), dtype=float)
        if self.clusters is not None:
            return self._clustered_se(point, np.asarray(self.weight * information, dtype=float), bread)
        leverage = information * np.einsum("ij,jk,ik->i", self.X, bread, self.X)
        alone = leverage > 1 - ALONE
        score = np.where(alone, 0.0, (self.y - point.mu) / spread / np.where(alone, 1.0, 1 - leverage))
        pull = self.X @ bread
        # Sums of squares: the same sandwich, but rounding cannot make it negative.
        se = np.sqrt(self.weight @ (pull * score[:, None]) ** 2)
        moved = np.abs(pull[alone]) > ALONE * np.sqrt(np.abs(np.diag(bread)) * np.max(np.abs(np.diag(bread))))
        return np.where(moved.any(axis=0), np.nan, se)

    def _clustered_se(self, point: _Point, information: FloatArray, bread: FloatArray) -> FloatArray:
        """The same with whole clusters in place of rows (CR3; Bell & McCaffrey 2002): a jackknife over clusters."""
        root = np.sqrt(information)
        design, residual = self.X * root[:, None], root * (self.y - point.mu) / point.mu
        codes = np.unique(np.asarray(self.clusters), return_inverse=True)[1]
        order = np.argsort(codes, kind="stable")
        sizes = np.bincount(codes)
        starts = np.cumsum(sizes) - sizes
        moved = np.zeros((len(sizes), len(bread)))
        for size in np.unique(sizes):  # clusters of one size at once
            rows = order[starts[sizes == size][:, None] + np.arange(size)]
            part = design[rows]
            left = np.eye(size) - part @ bread @ part.transpose(0, 2, 1)
            if np.linalg.eigvalsh(left)[:, 0].min() < ALONE:
                return np.full(len(bread), np.nan)
            freed = np.linalg.solve(left, residual[rows][..., None])
            moved[sizes == size] = (part.transpose(0, 2, 1) @ freed)[..., 0] @ bread
        return np.sqrt((moved**2).sum(axis=0))

    def dispersion(self, point: _Point) -> float:
        pearson = (self.y - point.mu) ** 2 / (point.mu + point.mu**2 / point.theta)
        return float(self.weight @ pearson / (self.weight.sum() - self.X.shape[1]))

    def maximise(self, X: FloatArray, offset: FloatArray) -> _Point:
        """Maximum likelihood over the coefficients and, unless it is given, theta."""
        if self.fixed_theta is not None:
            return self._at(self.fixed_theta, X, offset)
        from scipy.optimize import brentq

        last: list[FloatArray] = []

        def slope(log_theta: float) -> float:
            theta = float(np.exp(log_theta))
            last[:] = [self._irls(X, theta, offset, last[0] if last else None)[1]]
            return self._theta_score(last[0], theta) * theta

        low, high = np.log(THETA_RANGE)
        if slope(high) >= 0:
            return self._at(THETA_RANGE[1], X, offset)
        if slope(low) <= 0:
            return self._at(THETA_RANGE[0], X, offset)
        best = brentq(slope, low, high, xtol=1e-10)
        return self._at(float(np.exp(best)), X, offset, last[0])

    def _at(self, theta: float, X: FloatArray, offset: FloatArray, start: FloatArray | None = None) -> _Point:
        coef, mu = self._irls(X, theta, offset, start)
        return _Point(coef, mu, theta, -2 * self._loglik(mu, theta))

    def bound(self, best: _Point, j: int, side: int, cut: float, se: float) -> float:
        """Where the profile criterion of coefficient `j` rises by `cut`, on one `side` of the estimate."""
        from scipy.optimize import brentq

        if cut < 1e-9:  # counts without any spread within groups: nothing is uncertain
            return float(best.coef[j])
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
        return float(brentq(excess, inner, outer, xtol=1e-11))

    def _irls(
        self, X: FloatArray, theta: float, offset: FloatArray, start: FloatArray | None
    ) -> tuple[FloatArray, FloatArray]:
        """Iteratively reweighted least squares with step halving; coefficients and means."""
        y = self.y
        if X.shape[1] == 0:
            return np.empty(0), np.exp(np.clip(offset, -MAX_ETA, MAX_ETA))
        mu = y + (y == 0) / 6 if start is None else start
        eta, old, deviance = np.log(mu), None, np.inf
        for _ in range(200):
            weighted = X.T * (self.weight * mu / (1 + mu / theta))
            working = eta - offset + (y - mu) / mu
            coef = np.linalg.lstsq(weighted @ X, weighted @ working, rcond=None)[0]
            for _ in range(30):
                eta = np.clip(X @ coef + offset, -MAX_ETA, MAX_ETA)
                mu = np.exp(eta)
                new = _deviance(y, mu, theta, self.weight)
                if old is None or new <= deviance * (1 + 1e-12) + 1e-12:
                    break
                coef = (coef + old) / 2
            settled = old is not None and np.max(np.abs(coef - old)) < 1e-11 * (1 + np.max(np.abs(coef)))
            if settled or abs(deviance - new) < 1e-15 * (1 + new):
                break
            old, deviance = coef, new
        return np.asarray(coef), mu

    def _loglik(self, mu: FloatArray, theta: float) -> float:
        from scipy.special import gammaln, xlogy

        y = self.y
        constant = gammaln(y + theta) - gammaln(theta) - gammaln(y + 1)
        return float(self.weight @ (constant + xlogy(y, mu / (mu + theta)) - theta * np.log1p(mu / theta)))

    def _theta_score(self, mu: FloatArray, theta: float) -> float:
        from scipy.special import digamma

        log_part = digamma(self.y + theta) - digamma(theta) - np.log1p(mu / theta)
        return float(self.weight @ (log_part + 1 - (self.y + theta) / (mu + theta)))


def _deviance(y: FloatArray, mu: FloatArray, theta: float, weight: FloatArray) -> float:
    gain = np.where(y > 0, y * np.log(np.where(y > 0, y, 1) / mu), 0)
    return float(2 * weight @ (gain - (y + theta) * np.log((y + theta) / (mu + theta))))
