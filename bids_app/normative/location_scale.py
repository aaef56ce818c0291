"""The calibrated fit: mean, log standard deviation and shape of the residual vary by region and sex.

1. Mean by the closed test for fractional polynomials (`mfpr`).
2. ``log sigma`` as a fractional polynomial of age, Fisher scoring with step halving on squared residuals
   corrected for leverage (Aitkin 1987, doi:10.2307/2347792; restricted likelihood to first order).
3. Mean again, weighted by ``1 / sigma^2``; scale again.
4. Sinh-arcsinh shape of the standardised residuals (`shape_fit`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc

from bids_app.normative import fractional_polynomials as fp
from bids_app.normative import mfpr, shape_fit
from bids_app.normative.parameters import GAUSSIAN_SHAPE

FloatArray = NDArray[np.float64]

ALPHA = 0.05
AGE_BINS = 400
ITERATIONS = 25
HALVINGS = 8
TOLERANCE = 1e-8
ROUNDS = 2
MIN_FOR_SCALE = 50
MIN_FOR_SHAPE = 100
MAX_LOG_RATIO = 3.0

CONSTANT_SCALE = "constant standard deviation"
NORMAL_SHAPE = "normal shape"


@dataclass(frozen=True)
class CalibratedFit:
    """Fits of p regions of one sex.

    Parameters
    ----------
    mean : mfpr.MFPRFit
        Powers, scaling, weighted coefficients; `roots` are of the covariance itself (sigma included).
    sigma_powers : (p, 2) array
        NaN for a power that is not used.
    sigma_coefficients : (p, 3) array
    sigma_roots : (p, 3, 3) array
    shape : (p, 4) array
    fallbacks : tuple of str, length p
        What was simplified, '' for nothing.
    """

    mean: mfpr.MFPRFit
    sigma_powers: FloatArray
    sigma_coefficients: FloatArray
    sigma_roots: FloatArray
    shape: FloatArray
    fallbacks: tuple[str, ...]


def fit(age: FloatArray, linear: FloatArray, values: FloatArray) -> CalibratedFit:
    """Fit p regions.

    Parameters
    ----------
    age : (n,) array
        Years.
    linear : (n, k) array
        eTIV (mm^3).
    values : (n, p) array
        On the modelled scale.
    """
    linear = linear.reshape(age.size, -1)
    start = mfpr.fit(age, linear, values)
    parts = [_fit_block(start, age, linear, values[:, block], block)
             for block in mfpr.blocks(age.size, values.shape[1])]
    return _join(start, parts)


def _fit_block(start: mfpr.MFPRFit, age: FloatArray, linear: FloatArray, values: FloatArray,
               block: slice) -> CalibratedFit:
    scaled = (age + start.shift) / start.scale
    powers = start.powers[block]
    mean = _Mean(scaled, linear, powers)
    coefficients, roots = start.coefficients[block], start.roots[block]
    rmse = start.rmse[block] * np.sqrt(start.n / (start.n - start.parameters[block]))
    residuals = values - mean.predict(coefficients)
    squares = residuals**2 / (1 - mean.quadratic(roots))
    kurtosis = np.maximum(np.mean(residuals**4, axis=0) / np.mean(residuals**2, axis=0) ** 2 - 3, 0)
    sigma_powers = _select(scaled, squares, kurtosis) if age.size >= MIN_FOR_SCALE else _none(powers)
    scale = _Scale(scaled, sigma_powers, np.log(rmse))
    for _ in range(ROUNDS):
        log_sigma = scale.update(squares)
        precision = np.exp(-2 * log_sigma)
        coefficients, roots = mean.weighted(values, precision, coefficients, roots * rmse[:, None, None])
        residuals = values - mean.predict(coefficients)
        squares = residuals**2 / (1 - np.minimum(mean.quadratic(roots) * precision, 0.5))
    u = residuals * np.exp(-scale.update(squares))
    shape, shaped = _shape(u)
    varies = ~np.isnan(scale.powers).all(axis=1)
    fallbacks = tuple("; ".join(word for word, used in ((CONSTANT_SCALE, failed), (NORMAL_SHAPE, not ok)) if used)
                      for failed, ok in zip(scale.failed | (age.size < MIN_FOR_SCALE) & ~varies, shaped))
    deviance = np.einsum("ij,ij->j", residuals, residuals)
    fitted = mfpr.MFPRFit(start.n, start.shift, start.scale, powers, coefficients, deviance, roots)
    return CalibratedFit(fitted, scale.powers, scale.coefficients, scale.roots(kurtosis), shape, fallbacks)


def _none(powers: FloatArray) -> FloatArray:
    return np.full((len(powers), 2), np.nan)


def _shape(u: FloatArray) -> tuple[FloatArray, NDArray[np.bool_]]:
    if len(u) < MIN_FOR_SHAPE:
        return np.tile(GAUSSIAN_SHAPE, (u.shape[1], 1)), np.zeros(u.shape[1], dtype=bool)
    return shape_fit.fit(u)


class _Mean:
    """Designs of the mean in p regions, orthonormalised so that weighted normal equations are safe."""

    def __init__(self, scaled: FloatArray, linear: FloatArray, powers: FloatArray) -> None:
        self.parts = []
        for chosen, members in fp.groups(powers):
            q, r = np.linalg.qr(mfpr.design(scaled, linear, chosen))
            self.parts.append((q, r, members))
        self.shape = (scaled.size, len(powers))

    def predict(self, coefficients: FloatArray) -> FloatArray:
        out = np.empty(self.shape)
        for q, r, members in self.parts:
            out[:, members] = q @ (r @ coefficients[members, : r.shape[1]].T)
        return out

    def quadratic(self, roots: FloatArray) -> FloatArray:
        """``|L x|^2`` (n, p)."""
        out = np.empty(self.shape)
        for q, r, members in self.parts:
            width = r.shape[1]
            rows, columns = np.triu_indices(width)
            turned = roots[members, :width, :width] @ r.T
            gram = np.einsum("mki,mkj->mij", turned, turned)
            doubled = gram[:, rows, columns] * np.where(rows == columns, 1.0, 2.0)
            out[:, members] = (q[:, rows] * q[:, columns]) @ doubled.T
        return out

    def weighted(self, values: FloatArray, precision: FloatArray, coefficients: FloatArray,
                 roots: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Weighted least squares; a region whose system is singular keeps what it had."""
        coefficients, roots = coefficients.copy(), roots.copy()
        for q, r, members in self.parts:
            width = r.shape[1]
            rows, columns = np.triu_indices(width)
            w = precision[:, members]
            normal = np.empty((members.size, width, width))
            normal[:, rows, columns] = ((q[:, rows] * q[:, columns]).T @ w).T
            normal[:, columns, rows] = normal[:, rows, columns]
            right = (q.T @ (w * values[:, members])).T
            good = np.linalg.cond(normal) < 1e12
            solved = np.linalg.solve(normal[good], right[good][:, :, None])[:, :, 0]
            kept = members[good]
            coefficients[kept, :width] = np.linalg.solve(r, solved.T).T
            inverse = np.linalg.inv(np.linalg.cholesky(normal[good]))
            roots[kept, :width, :width] = inverse @ np.linalg.inv(r).T
        return coefficients, roots


class _Scale:
    """Log-linear model of sigma in p regions, fitted by Fisher scoring."""

    def __init__(self, scaled: FloatArray, powers: FloatArray, start: FloatArray) -> None:
        self.powers = powers.copy()
        self.start = start
        self.failed = np.zeros(len(powers), dtype=bool)
        self.coefficients = np.zeros((len(powers), 3))
        self._parts = []
        for chosen, members in fp.groups(powers):
            q, r = np.linalg.qr(np.hstack([np.ones((scaled.size, 1)), fp.basis(scaled, chosen)]))
            g = q.sum(axis=0)[:, None] * start[members]
            self._parts.append([q, r, members, g])
        self.size = scaled.size

    def update(self, squares: FloatArray) -> FloatArray:
        """Maximise the likelihood given squared residuals (n, p); returns log sigma (n, p)."""
        out = np.empty(squares.shape)
        for part in self._parts:
            q, r, members, g = part
            g, fine = fisher_scoring(q, squares[:, members], g)
            log_sigma = q @ g
            self._flatten(members[~fine], squares, log_sigma, ~fine)
            part[3] = g
            out[:, members] = log_sigma
            self.coefficients[members, : r.shape[1]] = np.linalg.solve(r, g).T
        for i in np.flatnonzero(self.failed):
            constant = 0.5 * np.log(squares[:, i].mean())
            self.coefficients[i], out[:, i] = (constant, 0, 0), constant
        return out

    def _flatten(self, members: NDArray[np.intp], squares: FloatArray, log_sigma: FloatArray,
                 columns: NDArray[np.bool_]) -> None:
        self.failed[members] = True
        self.powers[members] = np.nan
        log_sigma[:, columns] = 0.5 * np.log(squares[:, members].mean(axis=0))

    def roots(self, kurtosis: FloatArray) -> FloatArray:
        """Roots (p, 3, 3) of the covariance; heavy tails raise it by ``1 + kurtosis / 2``."""
        out = np.zeros((len(self.powers), 3, 3))
        factor = np.sqrt((1 + kurtosis / 2) / 2)
        for _, r, members, _ in self._parts:
            width = r.shape[1]
            out[members, :width, :width] = factor[members, None, None] * np.linalg.inv(r).T
        out[self.failed] = 0
        out[self.failed, 0, 0] = factor[self.failed] / np.sqrt(self.size)
        return out


def fisher_scoring(q: FloatArray, squares: FloatArray, g: FloatArray,
                   weights: FloatArray | None = None) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Coefficients of log sigma on an orthonormal design.

    Parameters
    ----------
    q : (n, k) array
        Orthonormal columns (under `weights`, when given).
    squares : (n, p) array
        Squared residuals, or their mean over the people that a row stands for.
    g : (k, p) array
        Starting values.
    weights : (n,) array, optional
        People per row.

    Returns
    -------
    g : (k, p) array
    converged : (p,) bool array

    Notes
    -----
    The log likelihood is ``-sum(log sigma) - sum(r^2 / sigma^2) / 2``, its expected information ``2 Q'Q``.
    """
    w = np.ones((q.shape[0], 1)) if weights is None else weights[:, None]
    def evaluate(trial: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        eta = np.clip(q @ trial, -300, 300)
        ratio = y * np.exp(-2 * eta)
        return -(w * (eta + 0.5 * ratio)).sum(axis=0), ratio

    g = g.copy()
    value, ratio = evaluate(g, squares)
    converged = np.zeros(g.shape[1], dtype=bool)
    for _ in range(ITERATIONS):
        active = np.flatnonzero(~converged)
        if active.size == 0:
            break
        step = q.T @ (w * (ratio[:, active] - 1)) / 2
        factor = np.ones(active.size)
        open_, before = np.ones(active.size, dtype=bool), value[active].copy()
        for _ in range(HALVINGS):
            rows = active[open_]
            trial = g[:, rows] + factor[open_] * step[:, open_]
            new_value, new_ratio = evaluate(trial, squares[:, rows])
            better = new_value >= before[open_]
            done = rows[better]
            g[:, done], value[done], ratio[:, done] = trial[:, better], new_value[better], new_ratio[:, better]
            open_[np.flatnonzero(open_)[better]] = False
            factor[open_] /= 2
            if not open_.any():
                break
        converged[active] = value[active] - before <= TOLERANCE * (1 + np.abs(before))
    good = converged & np.isfinite(g).all(axis=0)
    return g, good


def _select(scaled: FloatArray, squares: FloatArray, kurtosis: FloatArray) -> FloatArray:
    """Powers (p, 2) of log sigma: closed test of FP2 against constant, linear and FP1 in age bins."""
    x, mean_squares, people = _binned(scaled, squares)
    null = _deviances(x, mean_squares, people, [()])[0]
    one = _deviances(x, mean_squares, people, [(p,) for p in fp.POWERS])
    pairs: list[tuple[float, ...]] = [(fp.POWERS[i], fp.POWERS[j]) for i, j in fp.PAIRS]
    two = _deviances(x, mean_squares, people, pairs)
    best1, best2 = one.argmin(axis=0), two.argmin(axis=0)
    columns = np.arange(squares.shape[1])
    low1, low2, straight = one[best1, columns], two[best2, columns], one[fp.LINEAR]
    inflation = 1 + kurtosis / 2

    def rejected(simple: FloatArray, df: int) -> NDArray[np.bool_]:
        return chdtrc(df, np.maximum(simple - low2, 0) / inflation) < ALPHA

    varies = rejected(null, 4)
    curved = varies & rejected(straight, 3)
    double = curved & rejected(low1, 2)
    table = np.asarray(fp.POWERS)
    powers = np.full((squares.shape[1], 2), np.nan)
    powers[varies, 0] = 1.0
    powers[curved, 0] = table[best1[curved]]
    powers[double] = np.asarray(pairs)[best2[double]]
    return powers


def _binned(scaled: FloatArray, squares: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Mean age, mean squared residual and people of groups of about equal size and similar age."""
    order = np.argsort(scaled, kind="stable")
    n = scaled.size
    starts = np.unique(np.linspace(0, n, min(AGE_BINS, n), endpoint=False).astype(np.intp))
    people = np.diff(np.append(starts, n)).astype(float)
    x = np.add.reduceat(scaled[order], starts) / people
    return x, np.add.reduceat(squares[order], starts, axis=0) / people[:, None], people


def _deviances(x: FloatArray, mean_squares: FloatArray, people: FloatArray,
               models: list[tuple[float, ...]]) -> FloatArray:
    """-2 log likelihood (models, p) up to a constant."""
    out = np.empty((len(models), mean_squares.shape[1]))
    root = np.sqrt(people)[:, None]
    for row, powers in zip(out, models):
        z = np.hstack([np.ones((x.size, 1)), fp.basis(x, powers)])
        q = np.linalg.qr(z * root)[0] / root
        level = 0.5 * np.log(people @ mean_squares / people.sum())
        g, _ = fisher_scoring(q, mean_squares, (q.T @ people)[:, None] * level, people)
        eta = q @ g
        row[:] = people @ (2 * eta + mean_squares * np.exp(-2 * eta))
    return out


def _join(start: mfpr.MFPRFit, parts: list[CalibratedFit]) -> CalibratedFit:
    mean = mfpr.MFPRFit(
        start.n, start.shift, start.scale, start.powers,
        np.concatenate([part.mean.coefficients for part in parts]),
        np.concatenate([part.mean.deviance for part in parts]),
        np.concatenate([part.mean.roots for part in parts]))
    return CalibratedFit(
        mean, np.concatenate([part.sigma_powers for part in parts]),
        np.concatenate([part.sigma_coefficients for part in parts]),
        np.concatenate([part.sigma_roots for part in parts]),
        np.concatenate([part.shape for part in parts]),
        tuple(text for part in parts for text in part.fallbacks))
