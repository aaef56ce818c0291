"""Linear model with a random intercept per group, fitted by REML in closed sums.

The model is ``y = X beta + b[group] + e`` with ``b ~ N(0, tau2)`` and ``e ~ N(0, sigma2)``. With
``lambda = tau2 / sigma2`` the inverse covariance of a group of size m is
``(I - lambda / (1 + m lambda) 11') / sigma2``, so every quantity of the REML criterion is a sum over
groups that is computed once; what remains is one dimension (Bates et al. 2015,
doi:10.18637/jss.v067.i01, section 3.4). Agrees with lme4 to its own convergence tolerance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bids_app.arrays import FloatArray
from bids_app.errors import AnalysisError


@dataclass(frozen=True)
class RandomInterceptSums:
    """Sufficient statistics of one response: all that REML needs, whatever the number of rows.

    Parameters
    ----------
    n_rows, n_groups : int
    sizes, counts : (u,) arrays
        The distinct group sizes, and how many groups have each.
    cross : (k + 1, k + 1) array
        ``A'A`` with ``A = [X y]``.
    between : (u, k + 1, k + 1) array
        For each distinct size, the sum over its groups of ``s s'``; s are A's column sums in a group.
    """

    n_rows: int
    n_groups: int
    sizes: FloatArray
    counts: FloatArray
    cross: FloatArray
    between: FloatArray

    @property
    def n_coefficients(self) -> int:
        return len(self.cross) - 1

    def weighted(self, ratio: float) -> FloatArray:
        """``sigma2 A' V^-1 A`` at ``ratio = tau2 / sigma2``, shape (k + 1, k + 1).

        Parameters
        ----------
        ratio : float
            Not negative.

        Returns
        -------
        (k + 1, k + 1) array
            By Woodbury's identity, from the sums within each size of person.
        """
        return self.cross - np.tensordot(ratio / (1 + self.sizes * ratio), self.between, 1)

    def weighted_slope(self, ratio: float) -> FloatArray:
        """Derivative of `weighted` with respect to `ratio`.

        Parameters
        ----------
        ratio : float

        Returns
        -------
        (k + 1, k + 1) array
        """
        return -np.tensordot(1 / (1 + self.sizes * ratio) ** 2, self.between, 1)

    def coefficients(self, ratio: float) -> tuple[FloatArray, float]:
        """Generalised least squares at `ratio`: beta (k,) and the weighted residual sum of squares.

        Parameters
        ----------
        ratio : float

        Returns
        -------
        beta : (k,) array
        rss : float
        """
        matrix = self.weighted(ratio)
        beta: FloatArray = np.asarray(np.linalg.solve(matrix[:-1, :-1], matrix[:-1, -1]), dtype=float)
        return beta, float(matrix[-1, -1] - matrix[:-1, -1] @ beta)

    def cov_beta(self, sigma2: float, tau2: float) -> FloatArray:
        """Covariance (k, k) of the fixed effects at the given variances.

        Parameters
        ----------
        sigma2, tau2 : float
            Variances within and between people.

        Returns
        -------
        (k, k) array
        """
        return np.asarray(sigma2 * np.linalg.inv(self.weighted(tau2 / sigma2)[:-1, :-1]))

    def profiled_deviance(self, ratio: float) -> float:
        """Minus twice the restricted log-likelihood at `ratio`, sigma2 and beta profiled out."""
        return float(self.profiled_deviances(np.array([ratio]))[0])

    def profiled_deviances(self, ratios: FloatArray) -> FloatArray:
        """`profiled_deviance` at many ratios (m,) at once.

        Parameters
        ----------
        ratios : (m,) array

        Returns
        -------
        (m,) array
            -2 log restricted likelihood, the residual variance profiled out (Bates et al. 2015, section 3.4).
        """
        matrix = self.cross - np.tensordot(ratios[:, None] / (1 + ratios[:, None] * self.sizes), self.between, 1)
        fixed, right = matrix[:, :-1, :-1], matrix[:, :-1, -1]
        rss = matrix[:, -1, -1] - np.sum(right * np.linalg.solve(fixed, right[..., None])[..., 0], axis=1)
        degrees = self.n_rows - self.n_coefficients
        spread = np.log1p(ratios[:, None] * self.sizes) @ self.counts + np.linalg.slogdet(fixed)[1]
        return np.asarray(degrees * (1 + np.log(2 * np.pi * rss / degrees)) + spread)

    def profiled_slope(self, ratio: float) -> float:
        """Derivative of `profiled_deviance` with respect to `ratio`."""
        matrix, slope = self.weighted(ratio), self.weighted_slope(ratio)
        beta, rss = self.coefficients(ratio)
        contrast = np.append(-beta, 1.0)
        return float(
            np.sum(self.counts * self.sizes / (1 + self.sizes * ratio))
            + np.trace(np.linalg.solve(matrix[:-1, :-1], slope[:-1, :-1]))
            + (self.n_rows - self.n_coefficients) * (contrast @ slope @ contrast) / rss
        )


@dataclass(frozen=True)
class RandomInterceptFit:
    """A fitted random-intercept model.

    Parameters
    ----------
    beta : (k,) array
        Fixed effects, in the order of the columns of X.
    cov_beta : (k, k) array
        Their covariance; standard errors are the roots of its diagonal.
    sigma2, tau2 : float
        Residual variance and variance of the intercepts.
    reml_loglik : float
        Restricted log-likelihood at the optimum, lme4's constant included.
    intercepts : (g,) array
        Predicted random intercepts (BLUP) in the order of `labels`.
    labels : (g,) array
        The groups.
    sums : RandomInterceptSums
        For inference that needs the likelihood's curvature (Satterthwaite, profile intervals).
    """

    beta: FloatArray
    cov_beta: FloatArray
    sigma2: float
    tau2: float
    reml_loglik: float
    intercepts: FloatArray
    labels: np.ndarray
    sums: RandomInterceptSums

    @property
    def se(self) -> FloatArray:
        """Standard errors of `beta`.

        Returns
        -------
        (k,) array
            Roots of the diagonal of `cov_beta`.
        """
        return np.sqrt(np.diag(self.cov_beta))

    @property
    def singular(self) -> bool:
        """The intercepts' variance is estimated as zero."""
        return self.tau2 == 0


class RandomInterceptDesign:
    """The fixed part of many fits that share X and groups (82 regions, one design).

    Parameters
    ----------
    X : (n, k) array
        Fixed effects, the intercept's column included, of full column rank.
    groups : (n,) array
        Label of each row's group.

    Raises
    ------
    AnalysisError
        When X has missing values or dependent columns, or no group has two rows.
    """

    def __init__(self, X: ArrayLike, groups: ArrayLike) -> None:
        self.X = np.asarray(X, dtype=float)
        self.labels, self.codes = np.unique(np.asarray(groups), return_inverse=True)
        self.group_sizes = np.bincount(self.codes)
        self._check()
        self._group_sums = _sum_by(self.X, self.codes, len(self.labels))

    def fit(self, y: ArrayLike) -> RandomInterceptFit:
        """Fit one response `y` (n,) by REML.

        Parameters
        ----------
        y : (n,) array

        Returns
        -------
        RandomInterceptFit

        Raises
        ------
        AnalysisError
            When `y` has missing values or another length.
        """
        response = np.asarray(y, dtype=float)
        if response.shape != self.codes.shape or not np.isfinite(response).all():
            raise AnalysisError("the response of a mixed model has missing values", "drop these rows")
        y_sums = np.bincount(self.codes, response, len(self.labels)).astype(float)
        sums = self._sums(response, y_sums)
        ratio = best_ratio(sums)
        beta, rss = sums.coefficients(ratio)
        sigma2 = rss / (sums.n_rows - sums.n_coefficients)
        shrink = ratio / (1 + self.group_sizes * ratio)
        return RandomInterceptFit(
            beta=beta,
            cov_beta=sums.cov_beta(sigma2, ratio * sigma2),
            sigma2=sigma2,
            tau2=ratio * sigma2,
            reml_loglik=-sums.profiled_deviance(ratio) / 2,
            intercepts=shrink * (y_sums - self._group_sums @ beta),
            labels=self.labels,
            sums=sums,
        )

    def _sums(self, y: FloatArray, y_sums: FloatArray) -> RandomInterceptSums:
        stacked = np.column_stack([self.X, y])
        totals = np.column_stack([self._group_sums, y_sums])
        sizes, kind = np.unique(self.group_sizes, return_inverse=True)
        between = np.stack([totals[kind == i].T @ totals[kind == i] for i in range(len(sizes))])
        return RandomInterceptSums(
            n_rows=len(y),
            n_groups=len(self.labels),
            sizes=sizes.astype(float),
            counts=np.bincount(kind).astype(float),
            cross=stacked.T @ stacked,
            between=between,
        )

    def _check(self) -> None:
        if self.X.ndim != 2 or len(self.X) != len(self.codes) or not np.isfinite(self.X).all():
            raise AnalysisError("the predictors of a mixed model need a row of finite numbers per observation")
        if len(self.labels) == len(self.codes) or len(self.labels) < 2:
            raise AnalysisError("a random intercept needs two people, one of them with two visits with all values")
        if len(self.X) <= self.X.shape[1]:
            raise AnalysisError(f"{len(self.X)} rows are too few for a mixed model with {self.X.shape[1]} coefficients")
        scale = np.sqrt((self.X**2).sum(0))
        if (scale == 0).any() or np.linalg.matrix_rank(self.X / scale) < self.X.shape[1]:
            raise AnalysisError("the predictors of the mixed model depend on each other", "leave one out")


def best_ratio(sums: RandomInterceptSums) -> float:
    """The variance ratio ``tau2 / sigma2`` that maximises the restricted likelihood (0 at the boundary)."""
    from scipy.optimize import brentq

    # A grid guards against the rare second local optimum; the slope's root is then exact.
    grid = np.concatenate([[0.0], np.geomspace(1e-6, 1e6, 37)])
    best = int(np.argmin(sums.profiled_deviances(grid)))
    low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    if sums.profiled_slope(low) >= 0:
        return float(low)
    if sums.profiled_slope(high) <= 0:
        return float(high)
    return float(brentq(sums.profiled_slope, low, high, xtol=1e-15, rtol=1e-14, maxiter=200))


def _sum_by(values: FloatArray, codes: np.ndarray, n_groups: int) -> FloatArray:
    return np.column_stack([np.bincount(codes, column, n_groups) for column in values.T])
