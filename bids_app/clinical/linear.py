"""Linear regression of many responses on one design, with t tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bids_app.errors import AnalysisError
from bids_app.normative.base import FloatArray


@dataclass(frozen=True)
class LinearFit:
    """Coefficients of q responses on k predictors.

    Parameters
    ----------
    beta, se : (k, q) arrays
    sigma2 : (q,) array
        Residual variance (divisor n - k).
    df : float
        n - k.
    """

    beta: FloatArray
    se: FloatArray
    sigma2: FloatArray
    df: float


def fit_linear(Y: ArrayLike, X: ArrayLike) -> LinearFit:
    """Least squares of the columns of `Y` (n, q) on `X` (n, k), the intercept's column included.

    Raises
    ------
    AnalysisError
        When rows are too few or predictors depend on each other.
    """
    responses, predictors = np.atleast_2d(np.asarray(Y, dtype=float)), np.asarray(X, dtype=float)
    n, k = predictors.shape
    if n <= k:
        raise AnalysisError(f"{n} people are too few for a model with {k} coefficients")
    Q, R = np.linalg.qr(predictors)
    scale = np.sqrt((predictors**2).sum(axis=0))
    if (scale == 0).any() or (np.abs(np.diag(R)) < 1e-10 * scale).any():
        raise AnalysisError("the predictors of the linear model depend on each other; leave one out")
    beta = np.linalg.solve(R, Q.T @ responses)
    sigma2 = ((responses - predictors @ beta) ** 2).sum(axis=0) / (n - k)
    unit = (np.linalg.inv(R) ** 2).sum(axis=1)
    return LinearFit(np.asarray(beta), np.sqrt(np.outer(unit, sigma2)), sigma2, float(n - k))


def standardise(values: ArrayLike) -> FloatArray:
    """Columns with mean 0 and standard deviation 1 (divisor n - 1), as R's ``scale``.

    Raises
    ------
    AnalysisError
        When a column does not vary.
    """
    array = np.asarray(values, dtype=float)
    spread = array.std(axis=0, ddof=1)
    if not np.all(spread > 0):
        raise AnalysisError("a variable is the same for everybody, so it cannot be related to anything")
    return np.asarray((array - array.mean(axis=0)) / spread)
