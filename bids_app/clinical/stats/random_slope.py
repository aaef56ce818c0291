"""Mixed model with a random intercept and a random slope of time per person, by REML.

The random effects of a person are ``sigma Lambda v`` with v standard normal and Lambda lower triangular
(Bates et al. 2015, doi:10.18637/jss.v067.i01, section 3). People enter through small sums that are computed
once, so a fit does not depend on the number of rows. Degrees of freedom are Satterthwaite's, with the
derivatives of the deviance taken numerically as in lmerTest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bids_app.arrays import FloatArray
from bids_app.clinical.stats.mixed import FixedEffects, effects
from bids_app.errors import AnalysisError

STARTS = ((1.0, 0.0, 0.5), (0.3, 0.0, 0.05))
STEP = 1e-4


@dataclass(frozen=True)
class _Sums:
    """What the likelihood needs of one response: sums over all rows and per person."""

    n_rows: int
    cross: FloatArray  # (k + 1, k + 1): A'A with A = [X y]
    slopes: FloatArray  # (3, g): entries 00, 01, 11 of Z'Z per person with Z = [1 time]
    products: FloatArray  # (3 g, (k + 1)^2): products 00, 01 + 10, 11 of the rows of Z'A per person

    def weighted(self, theta: FloatArray) -> tuple[FloatArray, float]:
        """``sigma2 A' V^-1 A`` and the log determinant of ``V / sigma2``."""
        a, b, c = theta
        n, t, tt = self.slopes
        # The 2 x 2 matrix I + Lambda' Z'Z Lambda of each person, and Lambda (its inverse) Lambda', written out.
        first, off, last = 1 + a * a * n + 2 * a * b * t + b * b * tt, c * (a * t + b * tt), 1 + c * c * tt
        # Of the determinant only terms that are not negative, as a difference would be by rounding.
        spread = np.maximum(n * tt - t**2, 0)
        determinant = 1 + np.maximum(first - 1, 0) + c * c * tt + (a * c) ** 2 * spread
        inverse = np.concatenate(
            [a * a * last, a * b * last - a * c * off, b * b * last - 2 * b * c * off + c * c * first]
        ) / np.tile(determinant, 3)
        matrix = self.cross - (inverse @ self.products).reshape(self.cross.shape)
        return matrix, float(np.log(determinant).sum())

    def profiled(self, theta: FloatArray) -> float:
        """REML deviance with beta and sigma2 profiled out."""
        matrix, log_det = self.weighted(theta)
        _, rss, log_fixed = _solve(matrix)
        free = self.n_rows - len(matrix) + 1
        # Far from the optimum rounding can leave a sum of squares at or below zero.
        return free * float(1 + np.log(2 * np.pi * max(rss, np.finfo(float).tiny) / free)) + log_det + log_fixed

    def deviance(self, parameters: FloatArray) -> float:
        """REML deviance at (theta, sigma)."""
        matrix, log_det = self.weighted(parameters[:3])
        _, rss, log_fixed = _solve(matrix)
        free, sigma2 = self.n_rows - len(matrix) + 1, parameters[3] ** 2
        return free * float(np.log(2 * np.pi * sigma2)) + rss / sigma2 + log_det + log_fixed

    def variances(self, parameters: FloatArray) -> FloatArray:
        """Variances (k,) of the fixed effects at (theta, sigma)."""
        matrix, _ = self.weighted(parameters[:3])
        return np.asarray(parameters[3] ** 2 * np.diag(np.linalg.inv(matrix[:-1, :-1])))


def _solve(matrix: FloatArray) -> tuple[FloatArray, float, float]:
    """Generalised least squares: beta, weighted residual sum of squares, log determinant of the fixed part."""
    beta: FloatArray = np.asarray(np.linalg.solve(matrix[:-1, :-1], matrix[:-1, -1]), dtype=float)
    log_fixed = float(np.linalg.slogdet(matrix[:-1, :-1])[1])
    return beta, float(matrix[-1, -1] - matrix[:-1, -1] @ beta), log_fixed


class RandomSlopeModel:
    """``y ~ X + (1 + time | person)`` for many responses that share X, time and people.

    Parameters
    ----------
    X : (n, k) array
        Fixed effects, the intercept's column included; time should be one of them.
    people : (n,) array
    time : (n,) array
        Years; centred and scaled inside, which does not change the fixed effects.

    Raises
    ------
    AnalysisError
        When values are missing or too few people have two visits.
    """

    def __init__(self, X: ArrayLike, people: ArrayLike, time: ArrayLike) -> None:
        self.X = np.asarray(X, dtype=float)
        codes = np.unique(np.asarray(people), return_inverse=True)[1]
        years = np.asarray(time, dtype=float)
        if not (np.isfinite(self.X).all() and np.isfinite(years).all()):
            raise AnalysisError("the predictors of a mixed model need a row of finite numbers per observation")
        if (np.bincount(codes) > 1).sum() < 5 or np.ptp(years) == 0:
            raise AnalysisError("a random slope needs five people or more with several visits")
        scaled = (years - years.mean()) / years.std()
        self.Z = np.column_stack([np.ones(len(years)), scaled])
        self.order = np.argsort(codes, kind="stable")
        self.starts = np.flatnonzero(np.diff(codes[self.order], prepend=-1))
        squares = self._per_person(self.Z, self.Z)
        self.slopes = np.stack([squares[:, 0, 0], squares[:, 0, 1], squares[:, 1, 1]])

    def _per_person(self, left: FloatArray, right: FloatArray) -> FloatArray:
        products = left[self.order][:, :, None] * right[self.order][:, None, :]
        return np.asarray(np.add.reduceat(products, self.starts, axis=0))

    def _sums(self, A: FloatArray) -> _Sums:
        rows = self._per_person(self.Z, A)
        outer = np.einsum("gai,gbj->abgij", rows, rows)
        products = np.concatenate([outer[0, 0], outer[0, 1] + outer[1, 0], outer[1, 1]])
        return _Sums(len(A), A.T @ A, self.slopes, products.reshape(len(products), -1))

    def fit(self, y: ArrayLike, level: float = 0.95) -> FixedEffects:
        """Fit one response and test its fixed effects.

        REML over the relative covariance factor of the person's intercept and slope (Bates et al. 2015, section 3),
        with Satterthwaite's degrees of freedom from the curvature at the optimum (Kuznetsova et al. 2017).

        Parameters
        ----------
        y : (n,) array
        level : float
            Of the intervals.

        Returns
        -------
        FixedEffects
            Arrays (k,), one value per column of X.
        """
        sums = self._sums(np.column_stack([self.X, np.asarray(y, dtype=float)]))
        theta = _minimise(sums)
        matrix, _ = sums.weighted(theta)
        beta, rss, _ = _solve(matrix)
        sigma2 = rss / (sums.n_rows - self.X.shape[1])
        best = np.append(theta, np.sqrt(sigma2))
        variance = sums.variances(best)
        df = _satterthwaite(sums, best, variance)
        singular = bool(min(abs(theta[0]), abs(theta[2])) < 1e-4)
        person = float(sigma2 * (theta[0] ** 2))
        return effects(np.asarray(beta), np.sqrt(variance), df, person, sigma2, singular, level)


def _minimise(sums: _Sums) -> FloatArray:
    from scipy.optimize import minimize

    bounds = [(0.0, None), (None, None), (0.0, None)]
    fits = [
        minimize(
            sums.profiled,
            start,
            method="L-BFGS-B",
            bounds=bounds,
            options={"ftol": 1e-14, "gtol": 1e-8, "maxiter": 200},
        )
        for start in STARTS
    ]
    best = min(fits, key=lambda fit: float(fit.fun))
    polished = minimize(
        sums.profiled,
        best.x,
        method="Nelder-Mead",
        bounds=bounds,
        options={"xatol": 1e-8, "fatol": 1e-12, "maxiter": 400},
    )
    return np.asarray(polished.x, dtype=float)  # never worse than where it starts


def _satterthwaite(sums: _Sums, best: FloatArray, variance: FloatArray) -> FloatArray:
    """Degrees of freedom from central differences; directions without curvature (a zero variance) are left out."""
    steps = STEP * np.maximum(np.abs(best), 0.1)
    shifts = np.diag(steps)
    gradient = np.array(
        [(sums.variances(best + s) - sums.variances(best - s)) / (2 * h) for s, h in zip(shifts, steps)]
    )
    hessian = np.empty((4, 4))
    for i in range(4):
        for j in range(i, 4):
            up, down = best + shifts[i], best - shifts[i]
            rises = [sums.deviance(up + shifts[j]), -sums.deviance(up - shifts[j])]
            falls = [-sums.deviance(down + shifts[j]), sums.deviance(down - shifts[j])]
            hessian[i, j] = hessian[j, i] = math.fsum(rises + falls) / (4 * steps[i] * steps[j])
    values, vectors = np.linalg.eigh(hessian)
    kept = values > 1e-6 * values.max()
    projected = vectors[:, kept].T @ gradient
    spread = 2 * (projected**2 / values[kept][:, None]).sum(axis=0)
    most = float(sums.n_rows - len(variance))
    return np.asarray(np.minimum(2 * variance**2 / np.maximum(spread, 1e-300), most))
