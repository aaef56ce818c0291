"""Log-linear models of a standard deviation: Fisher scoring, and the closed test that chooses their powers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc

from bids_app.arrays import FloatArray
from bids_app.normative.fit import fractional_polynomials as fp
from bids_app.normative.fit.age_groups import AgeGroups
from bids_app.normative.fit.designs import WIDTH, Design

ALPHA = 0.05
AGE_GROUPS = 400
ITERATIONS = 25
HALVINGS = 8
TOLERANCE = 1e-8


def fit_log_sigma(
    design: Design, squares: FloatArray, start: FloatArray | None = None, tolerance: float = TOLERANCE
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Coefficients (p, 6) of log sigma for squared residuals (n, p), and whether each region failed.

    A region whose iterations do not converge gets a constant.

    Parameters
    ----------
    design : Design
        Of the scale.
    squares : (n, p) array
    start : (p, 6) array, optional
    tolerance : float
        On the change of the log likelihood per person.

    Returns
    -------
    coefficients : (p, 6) array
    failed : (p,) bool array
    """
    level = 0.5 * np.log(np.maximum(squares.mean(axis=0), np.finfo(float).tiny))
    constant = np.zeros((squares.shape[1], WIDTH))
    constant[:, 0] = level
    coefficients = constant.copy() if start is None else start.copy()
    failed = np.zeros(squares.shape[1], dtype=bool)
    for q, r, members in design.parts:
        width = r.shape[1]
        g, fine = fisher_scoring(q, squares[:, members], r @ coefficients[members, :width].T, tolerance=tolerance)
        coefficients[members, :width] = np.linalg.solve(r, g).T
        failed[members] = ~fine
    coefficients[failed] = constant[failed]
    return coefficients, failed


def fisher_scoring(
    q: FloatArray, squares: FloatArray, g: FloatArray, weights: FloatArray | None = None, tolerance: float = TOLERANCE
) -> tuple[FloatArray, NDArray[np.bool_]]:
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
    tolerance : float
        Iterations end when the log likelihood rises by less than this share of itself.

    Returns
    -------
    g : (k, p) array
    converged : (p,) bool array

    Notes
    -----
    The log likelihood is ``-sum(log sigma) - sum(r^2 / sigma^2) / 2``, its expected information ``2 Q'Q``. A step
    that lowers it is halved.
    """
    w = np.ones((q.shape[0], 1)) if weights is None else weights[:, None]
    g = g.copy()
    value, ratio = _likelihood(q, g, squares, w)
    active = np.arange(g.shape[1])
    converged = np.zeros(g.shape[1], dtype=bool)
    for _ in range(ITERATIONS):
        excess = (ratio if active.size == g.shape[1] else ratio[:, active]) - 1
        step = q.T @ (excess if weights is None else w * excess) / 2
        before = value[active].copy()
        waiting = np.arange(active.size)
        for halving in range(HALVINGS):
            rows = active[waiting]
            trial = g[:, rows] + step[:, waiting] / 2**halving
            every = rows.size == g.shape[1]
            new_value, new_ratio = _likelihood(q, trial, squares if every else squares[:, rows], w)
            better = new_value >= value[rows]
            if every and better.all():  # as usual at the start: nothing to copy
                g, value, ratio = trial, new_value, new_ratio
                break
            done = rows[better]
            g[:, done], value[done], ratio[:, done] = trial[:, better], new_value[better], new_ratio[:, better]
            waiting = waiting[~better]
            if waiting.size == 0:
                break
        still = value[active] - before > tolerance * (1 + np.abs(before))
        converged[active[~still]] = True
        active = active[still]
        if active.size == 0:
            break
    return g, converged & np.isfinite(g).all(axis=0)


def _likelihood(q: FloatArray, g: FloatArray, squares: FloatArray, w: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Log likelihood (p,), and squared residuals over sigma squared (n, p)."""
    eta = q @ g
    np.clip(eta, -300, 300, out=eta)
    ratio = np.exp(-2 * eta)
    ratio *= squares
    eta += 0.5 * ratio
    eta *= w
    return -eta.sum(axis=0), ratio


def excess_kurtosis(residuals: FloatArray) -> FloatArray:
    """Excess kurtosis (p,) of residuals (n, p), at least 0.

    Parameters
    ----------
    residuals : (n, p) array

    Returns
    -------
    (p,) array
    """
    squares = residuals**2
    variance = np.maximum(squares.mean(axis=0), np.finfo(float).tiny)
    return np.maximum(np.mean((squares / variance) ** 2, axis=0) - 3, 0)


def select_powers(scaled: FloatArray, squares: FloatArray, kurtosis: FloatArray) -> FloatArray:
    """Powers of log sigma: closed test of FP2 against constant, linear and FP1 of age.

    Parameters
    ----------
    scaled : (n,) array
        Age, shifted and scaled.
    squares : (n, p) array
        Squared residuals, standardised for the other covariates of sigma.
    kurtosis : (p,) array
        Excess kurtosis; test statistics are divided by ``1 + kurtosis / 2``.

    Returns
    -------
    (p, 2) array
        NaN where a power is not used.

    Notes
    -----
    The 45 candidates are fitted on the means of at most 400 groups of similar age.
    """
    groups = AgeGroups(scaled, AGE_GROUPS)
    x, people = groups.age, groups.people
    mean_squares = groups.total(squares) / people[:, None]
    null = _deviances(x, mean_squares, people, [()])[0]
    one = _deviances(x, mean_squares, people, [(p,) for p in fp.POWERS])
    pairs = [(fp.POWERS[i], fp.POWERS[j]) for i, j in fp.PAIRS]
    two = _deviances(x, mean_squares, people, pairs)
    best1, best2 = one.argmin(axis=0), two.argmin(axis=0)
    columns = np.arange(squares.shape[1])
    low1, low2, straight = one[best1, columns], two[best2, columns], one[fp.LINEAR]
    inflation = 1 + kurtosis / 2

    def rejected(simple: FloatArray, df: int) -> NDArray[np.bool_]:
        return np.asarray(chdtrc(df, np.maximum(simple - low2, 0) / inflation) < ALPHA)

    varies = rejected(null, 4)
    curved = varies & rejected(straight, 3)
    double = curved & rejected(low1, 2)
    powers = np.full((squares.shape[1], 2), np.nan)
    powers[varies, 0] = 1.0
    powers[curved, 0] = np.asarray(fp.POWERS)[best1[curved]]
    powers[double] = np.asarray(pairs)[best2[double]]
    return powers


def _deviances(
    x: FloatArray, mean_squares: FloatArray, people: FloatArray, models: Sequence[tuple[float, ...]]
) -> FloatArray:
    """-2 log likelihood (models, p) up to a constant."""
    out = np.empty((len(models), mean_squares.shape[1]))
    root = np.sqrt(people)[:, None]
    level = 0.5 * np.log(np.maximum(people @ mean_squares / people.sum(), np.finfo(float).tiny))
    for row, powers in zip(out, models):
        z = np.hstack([np.ones((x.size, 1)), fp.basis(x, powers)])
        q = np.linalg.qr(z * root)[0] / root
        g, _ = fisher_scoring(q, mean_squares, (q.T @ people)[:, None] * level, people)
        row[:] = -2 * _likelihood(q, g, mean_squares, people[:, None])[0]
    return out
