"""Design matrices, and linear regression of many responses on one design."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from bids_app.arrays import FloatArray
from bids_app.errors import AnalysisError

MAX_LEVELS = 20


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
    """Least squares of the columns of `Y` on `X`.

    Parameters
    ----------
    Y : (n, q) array-like
    X : (n, k) array-like
        With the intercept's column.

    Returns
    -------
    LinearFit

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
        raise AnalysisError("the predictors of the linear model depend on each other", "leave one out")
    beta = np.linalg.solve(R, Q.T @ responses)
    sigma2 = ((responses - predictors @ beta) ** 2).sum(axis=0) / (n - k)
    unit = (np.linalg.inv(R) ** 2).sum(axis=1)
    return LinearFit(np.asarray(beta), np.sqrt(np.outer(unit, sigma2)), sigma2, float(n - k))


def standardise(values: ArrayLike) -> FloatArray:
    """Columns with mean 0 and standard deviation 1 (divisor n - 1), as R's ``scale``.

    Parameters
    ----------
    values : (n,) or (n, p) array-like
        Without missing values.

    Returns
    -------
    array
        Of the same shape, in standard deviations.

    Raises
    ------
    AnalysisError
        When a column does not vary.
    """
    array = np.asarray(values, dtype=float)
    # The standard deviation of equal decimals is not always exactly 0.
    spread = np.where(np.ptp(array, axis=0) > 0, array.std(axis=0, ddof=1), 0.0)
    if not np.all(spread > 0):
        raise AnalysisError("a variable is the same for everybody, so it cannot be related to anything")
    return np.asarray((array - array.mean(axis=0)) / spread)


def person_parts(values: ArrayLike, codes: np.ndarray) -> tuple[FloatArray, FloatArray]:
    """Each row's mean of its person and the deviation from it, (n,) each; `codes` (n,) number the people from 0.

    Parameters
    ----------
    values : (n,) array
    codes : (n,) int array

    Returns
    -------
    mean, deviation : (n,) arrays
        Their sum is `values`.
    """
    array = np.asarray(values, dtype=float)
    mean = (np.bincount(codes, array) / np.maximum(np.bincount(codes), 1))[codes]
    return mean, array - mean


def design(cohort: pd.DataFrame, covariates: Sequence[str]) -> pd.DataFrame:
    """Numeric columns of the covariates; a text column becomes indicators, its first level left out.

    Parameters
    ----------
    cohort : (n rows) DataFrame
    covariates : sequence of str

    Returns
    -------
    (n rows) DataFrame
        Without intercept; NaN where a covariate is missing.

    Raises
    ------
    AnalysisError
        For a column that is absent, or text with too many levels.
    """
    absent = [name for name in covariates if name not in cohort]
    if absent:
        raise AnalysisError(f"the column {', '.join(absent)} is not in the cohort table")
    blocks = []
    for name in covariates:
        column = cohort[name]
        if pd.api.types.is_numeric_dtype(column):
            blocks.append(column.astype(float).to_frame())
            continue
        levels = sorted(column.dropna().astype(str).unique())[1:]
        if len(levels) >= MAX_LEVELS:
            raise AnalysisError(f"the covariate {name} is text with {len(levels) + 1} levels", "it must be a number")
        text = column.astype(str)
        dummies = {f"{name}: {level}": (text == level).astype(float).where(column.notna()) for level in levels}
        blocks.append(pd.DataFrame(dummies, index=cohort.index))
    return pd.concat(blocks, axis=1) if blocks else pd.DataFrame(index=cohort.index)


def false_discovery(p: np.ndarray) -> np.ndarray:
    """Benjamini-Hochberg adjusted p values (n,) of `p` (n,); NaN stays NaN and is not part of the family.

    Parameters
    ----------
    p : (n,) array

    Returns
    -------
    (n,) array
        Benjamini & Hochberg 1995.
    """
    from scipy.stats import false_discovery_control

    p = np.asarray(p, dtype=float)
    q, known = np.full(p.shape, np.nan), np.isfinite(p)
    if known.any():
        q[known] = false_discovery_control(p[known])
    return q
