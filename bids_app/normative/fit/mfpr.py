"""Multivariable fractional polynomial regression, as R's ``mfp`` 1.5.4 computes it.

One fractional polynomial of age (df = 4) beside linear covariates that are never dropped, for many
regions at once (Sauerbrei & Royston 1999, doi:10.1111/1467-985X.00122). The age powers of all regions
come from one QR decomposition, so that each of the 44 candidate models costs a problem of 16 rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtrc

from bids_app.arrays import FloatArray
from bids_app.errors import ModelError
from bids_app.normative.fit import fractional_polynomials as fp

TIE = 1e-9
NEARLY_EXACT = 1e-7
BLOCK_BYTES = 8_000_000
MIN_ROWS = 10
MIN_DISTINCT_AGES = 5


@dataclass(frozen=True)
class MFPRFit:
    """Least-squares fits of p regions.

    Parameters
    ----------
    n : int
        Rows.
    shift, scale : float
        Powers are of ``(age + shift) / scale``.
    powers : (p, 2) array
        Second (or both) NaN when not used.
    coefficients : (p, 2 + k + 1) array
        Intercept, k linear covariates, first and second age term (0 when not used).
    deviance : (p,) array
        Residual sum of squares.
    roots : (p, q, q) array
        Lower triangular L with ``Var(x'b) = sigma^2 |L x|^2`` for a design row x (zero where not used).
    """

    n: int
    shift: float
    scale: float
    powers: FloatArray
    coefficients: FloatArray
    deviance: FloatArray
    roots: FloatArray

    @property
    def rmse(self) -> FloatArray:
        """Root mean squared residual, divisor n.

        Returns
        -------
        (p,) array
            In the unit of the volumes.
        """
        return np.sqrt(self.deviance / self.n)

    @property
    def parameters(self) -> NDArray[np.intp]:
        """Number of coefficients of each region.

        Returns
        -------
        (p,) int array
            Intercept included.
        """
        linear = self.coefficients.shape[1] - 2
        return linear + np.sum(~np.isnan(self.powers), axis=1)

    def predict(self, age: FloatArray, linear: FloatArray) -> FloatArray:
        """Expected volumes (n, p) at `age` (n,) years and `linear` (n, k).

        Parameters
        ----------
        age : (n,) array
            In years.
        linear : (n, k) array
            The linear covariates of the fit, in its order.

        Returns
        -------
        (n, p) array
            In the unit of the volumes.
        """
        out = np.empty((age.size, len(self.powers)))
        scaled = (age + self.shift) / self.scale
        for powers, members in fp.groups(self.powers):
            x = design(scaled, linear, powers)
            out[:, members] = x @ self.coefficients[members, : x.shape[1]].T
        return out


def design(scaled_age: FloatArray, linear: FloatArray, powers: ArrayLike) -> FloatArray:
    """Design matrix: intercept, linear covariates, fractional polynomial of scaled age.

    Parameters
    ----------
    scaled_age : (n,) array
        Shifted and scaled to be positive, as the fit says.
    linear : (n, k) array
    powers : (1 or 2,) array

    Returns
    -------
    (n, 1 + k + 1 or 2) array
    """
    return np.column_stack([np.ones(scaled_age.size), linear, fp.basis(scaled_age, powers)])


def fit_mfpr(age: FloatArray, linear: FloatArray, volumes: FloatArray, alpha: float = 0.05) -> MFPRFit:
    """Select powers by the closed test and fit every region.

    Parameters
    ----------
    age : (n,) array
        Years.
    linear : (n, k) or (n,) array
        Covariates that enter linearly (eTIV in mm^3).
    volumes : (n, p) array
        No missing values.
    alpha : float
        Level of the two tests: linear against best FP2 (3 df), best FP1 against best FP2 (2 df).

    Returns
    -------
    MFPRFit

    Raises
    ------
    ModelError
        With fewer than 10 rows or 5 distinct ages.

    Notes
    -----
    The test statistic is the difference in residual sum of squares over the dispersion
    ``RSS_linear / (n - k - 2)``, referred to chi-square, as in ``mfp`` 1.5.4.
    """
    age = np.asarray(age, dtype=float)
    linear = np.asarray(linear, dtype=float).reshape(age.size, -1)
    volumes = np.asarray(volumes, dtype=float).reshape(age.size, -1)
    chosen = select(age, linear, volumes, alpha)
    scaled = (age + chosen.shift) / chosen.scale
    coefficients, deviance, roots = least_squares(scaled, linear, volumes, chosen.powers)
    return MFPRFit(age.size, chosen.shift, chosen.scale, chosen.powers, coefficients, deviance, roots)


class Chosen(NamedTuple):
    """Powers (p, 2) of ``(age + shift) / scale``, and the deviance (p,) that they leave."""

    shift: float
    scale: float
    powers: FloatArray
    deviance: FloatArray


def select(age: FloatArray, linear: FloatArray, volumes: FloatArray, alpha: float = 0.05) -> Chosen:
    """The closed test of `fit_mfpr` alone.

    Parameters
    ----------
    age : (n,) array
        Years.
    linear : (n, k) array
    volumes : (n, p) array
    alpha : float

    Returns
    -------
    Chosen

    Raises
    ------
    ModelError
        As `fit_mfpr`.
    """
    _check(age, linear, volumes)
    shift, scale = fp.shift_and_scale(age)
    scaled = (age + shift) / scale
    powers, deviance = _select(scaled, linear, volumes, alpha)
    # What is left of a nearly exact fit is lost in the differences that the test works with
    if (deviance < NEARLY_EXACT * np.einsum("ij,ij->j", volumes, volumes)).any():
        deviance = least_squares(scaled, linear, volumes, powers)[1]
    return Chosen(shift, scale, powers, deviance)


def _check(age: FloatArray, linear: FloatArray, volumes: FloatArray) -> None:
    if age.size < MIN_ROWS:
        raise ModelError(f"{age.size} people are too few to fit a model", f"at least {MIN_ROWS} are needed")
    if np.unique(age).size < MIN_DISTINCT_AGES:
        raise ModelError(
            f"the training data have fewer than {MIN_DISTINCT_AGES} distinct ages", "an age curve cannot be fitted"
        )
    if not (np.isfinite(age).all() and np.isfinite(linear).all() and np.isfinite(volumes).all()):
        raise ModelError("the training data have missing or infinite values", "drop these rows first")


def blocks(rows: int, columns: int, least: int = 1) -> Iterator[slice]:
    """Column slices whose (rows, width) float64 block stays under `BLOCK_BYTES`, but for `least` columns."""
    width = max(least, BLOCK_BYTES // (8 * max(rows, 1)))
    for start in range(0, columns, width):
        yield slice(start, min(start + width, columns))


def _select(scaled: FloatArray, linear: FloatArray, volumes: FloatArray, alpha: float) -> tuple[FloatArray, FloatArray]:
    """Powers (p, 2) of every region by the closed test, and the deviances (p,) of these models."""
    rss1, rss2 = candidate_deviances(scaled, linear, volumes)
    n, k = linear.shape
    one = _first_minimum(rss1, scaled, linear, volumes, [(i,) for i in range(len(fp.POWERS))])
    two = _first_minimum(rss2, scaled, linear, volumes, list(fp.PAIRS))
    regions = np.arange(volumes.shape[1])
    best1, best2, straight = rss1[one, regions], rss2[two, regions], rss1[fp.LINEAR]
    dispersion = straight / (n - k - 2)
    dispersion = np.where(dispersion > 0, dispersion, np.inf)
    nonlinear = chdtrc(3, np.maximum(straight - best2, 0) / dispersion) < alpha
    second = nonlinear & (chdtrc(2, np.maximum(best1 - best2, 0) / dispersion) < alpha)
    table = np.asarray(fp.POWERS)
    pairs = np.asarray(fp.PAIRS)[two]
    powers = np.full((volumes.shape[1], 2), np.nan)
    powers[:, 0] = np.where(second, table[pairs[:, 0]], np.where(nonlinear, table[one], 1.0))
    powers[:, 1] = np.where(second, table[pairs[:, 1]], np.nan)
    return powers, np.where(second, best2, np.where(nonlinear, best1, straight))


def candidate_deviances(scaled: FloatArray, linear: FloatArray, volumes: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Residual sums of squares of all FP1 (8, p) and FP2 (36, p) models.

    One QR decomposition of all candidate columns serves every model: a model's residual sum of squares is what its
    columns of the triangle leave of the coordinates of the volumes.

    Parameters
    ----------
    scaled : (n,) array
    linear : (n, k) array
    volumes : (n, p) array

    Returns
    -------
    one, two : (8, p) and (36, p) arrays
        In the order of ``fractional_polynomials.POWERS`` and ``PAIRS``.
    """
    fixed = 1 + linear.shape[1]
    q, r = np.linalg.qr(np.column_stack([np.ones(scaled.size), linear, fp.candidates(scaled)]))
    triangle = r[fixed:, fixed:]
    left, left_out = _reduce(q, volumes, fixed)
    one = triangle.T[: len(fp.POWERS), :, None]
    two = np.stack([triangle[:, fp.candidate_columns(pair)] for pair in fp.PAIRS])
    total = np.sum(left**2, axis=0) + left_out
    return tuple(total - np.sum((np.linalg.qr(x)[0].transpose(0, 2, 1) @ left) ** 2, axis=1) for x in (one, two))


def _reduce(q: FloatArray, volumes: FloatArray, fixed: int) -> tuple[FloatArray, FloatArray]:
    """Coordinates of `volumes` along the candidate directions, and the sum of squares outside them."""
    inside, outside = [], []
    for block in blocks(*volumes.shape):
        y = volumes[:, block]
        coordinates = q.T @ y
        residual = y - q @ coordinates
        inside.append(coordinates[fixed:])
        outside.append(np.einsum("ij,ij->j", residual, residual))
    return np.concatenate(inside, axis=1), np.concatenate(outside)


def _first_minimum(
    rss: FloatArray, scaled: FloatArray, linear: FloatArray, volumes: FloatArray, models: list[tuple[int, ...]]
) -> NDArray[np.intp]:
    """Row of the first smallest deviance per region; near-ties are decided by full least squares."""
    best = np.argmin(rss, axis=0)
    close = rss <= rss[best, np.arange(rss.shape[1])] * (1 + TIE)
    for region in np.flatnonzero(close.sum(axis=0) > 1):
        tied = np.flatnonzero(close[:, region])
        y = volumes[:, [region]]
        exact = [_deviance(scaled, linear, y, [fp.POWERS[i] for i in models[row]]) for row in tied]
        best[region] = tied[int(np.argmin(exact))]
    return best


def _deviance(scaled: FloatArray, linear: FloatArray, y: FloatArray, powers: list[float]) -> float:
    q, _ = np.linalg.qr(design(scaled, linear, powers))
    return float(np.sum((y - q @ (q.T @ y)) ** 2))


def least_squares(
    scaled: FloatArray, linear: FloatArray, volumes: FloatArray, powers: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Coefficients (p, q), deviances (p,) and covariance roots (p, q, q) at given powers.

    Solved by QR with one step of iterative refinement.

    Parameters
    ----------
    scaled : (n,) array
    linear : (n, k) array
    volumes : (n, p) array
    powers : (p, 2) array
        NaN in the second column where a region uses one power.

    Returns
    -------
    coefficients : (p, 1 + k + 2) array
        Zero behind those that a region uses.
    deviance : (p,) array
        Residual sums of squares.
    roots : (p, q, q) array
        L with ``L L' = (X'X)^-1``.
    """
    p, widest = volumes.shape[1], 1 + linear.shape[1] + 2
    coefficients, deviance = np.zeros((p, widest)), np.empty(p)
    roots = np.zeros((p, widest, widest))
    for chosen, members in fp.groups(powers):
        q, r = np.linalg.qr(design(scaled, linear, chosen))
        width = r.shape[1]
        for block in blocks(scaled.size, members.size):
            part = members[block]
            y = volumes[:, part]
            coordinates = q.T @ y
            residual = y - q @ coordinates
            coordinates += (correction := q.T @ residual)
            residual -= q @ correction
            coefficients[part, :width] = np.linalg.solve(r, coordinates).T
            deviance[part] = np.einsum("ij,ij->j", residual, residual)
        roots[members, :width, :width] = np.linalg.inv(r).T
    return coefficients, deviance, roots
