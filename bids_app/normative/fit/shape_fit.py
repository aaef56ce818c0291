"""Maximum likelihood of the sinh-arcsinh shape of standardised residuals, for many regions at once.

Residuals are compressed into narrow bins (their mean and count), so that the cost of an iteration does
not depend on the number of people; the error is of second order in the bin width (0.01 SD).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bids_app.arrays import FloatArray
from bids_app.normative.fit.sinh_arcsinh import quick_arcsinh
from bids_app.normative.parameters import GAUSSIAN_SHAPE

STEP = 0.01
LIMIT = 5.0
PRIOR_SD = 0.5
MAX_ITERATIONS = 60
TOLERANCE = 1e-9
BOUNDS = np.array([3.0, 3.0, 3.0, 2.0])


@dataclass(frozen=True)
class Bins:
    """Mean residual and number of people per bin, each (p, bins)."""

    node: FloatArray
    weight: FloatArray


def fit_shapes(u: FloatArray, start: FloatArray | None = None) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Shapes of the distribution of residuals.

    Parameters
    ----------
    u : (n, p) array
        Standardised residuals.
    start : (p, 4) array, optional
        Shapes to begin with.

    Returns
    -------
    shapes : (p, 4) array
        xi, lambda, epsilon, delta.
    converged : (p,) bool array

    Notes
    -----
    Penalised likelihood: epsilon and log(delta) have a normal prior with mean 0 and SD 0.5, which matters
    for small samples only. Newton steps with Levenberg-Marquardt damping; a step that does not raise the
    likelihood is refused and the damping raised. A region that does not converge gets the normal shape.
    """
    bins = _compress(u)
    theta = np.zeros((u.shape[1], 4)) if start is None else _parameters(start)
    damping = np.full(u.shape[1], 1e-3)
    value, gradient, curvature = _likelihood(theta, bins)
    converged = np.zeros(u.shape[1], dtype=bool)
    for _ in range(MAX_ITERATIONS):
        active = np.flatnonzero(~converged)
        if active.size == 0:
            break
        part = Bins(bins.node[active], bins.weight[active])
        step = _step(gradient[active], curvature[active], damping[active])
        trial = np.clip(theta[active] + step, -BOUNDS, BOUNDS)
        new = _likelihood(trial, part)
        better = new[0] >= value[active]
        gain = new[0] - value[active]
        rows = active[better]
        theta[rows], value[rows] = trial[better], new[0][better]
        gradient[rows], curvature[rows] = new[1][better], new[2][better]
        damping[active] = np.clip(np.where(better, damping[active] / 10, damping[active] * 8), 1e-9, 1e9)
        converged[active] = (better & (gain < TOLERANCE * part.weight.sum(axis=1))) | (damping[active] > 1e8)
    return _shapes(theta, converged), converged


def _compress(u: FloatArray) -> Bins:
    edges = int(LIMIT / STEP)
    node, weight = (np.zeros((u.shape[1], 2 * edges + 1)) for _ in range(2))
    for i, column in enumerate(u.T):
        code = np.rint(quick_arcsinh(column) / STEP).astype(np.intp).clip(-edges, edges) + edges
        weight[i] = np.bincount(code, minlength=2 * edges + 1)
        node[i] = np.bincount(code, column, minlength=2 * edges + 1) / np.maximum(weight[i], 1)
    used = weight.any(axis=0)
    return Bins(node[:, used], weight[:, used])


def _likelihood(theta: FloatArray, bins: Bins) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Penalised log likelihood (p,), gradient (p, 4), minus the second derivatives (p, 4, 4).

    theta holds xi, log lambda, epsilon, log delta. With a = (u - xi) / lambda and
    t = delta asinh(a) - epsilon, a residual has log density f(t) + g(a) + log(delta / lambda),
    f = -sinh(t)^2 / 2 + log cosh(t), g = -log(1 + a^2) / 2.
    """
    xi, log_width, epsilon, log_delta = (column[:, None] for column in theta.T)
    narrow, delta = np.exp(-log_width), np.exp(log_delta)
    a = (bins.node - xi) * narrow
    square = 1 + a**2
    s, by_s = delta * np.arcsinh(a), delta / np.sqrt(square)
    t = np.clip(s - epsilon, -20, 20)
    sinh, cosh = np.sinh(t), np.cosh(t)
    f1, f2 = sinh / cosh - sinh * cosh, 1 / cosh**2 - 1 - 2 * sinh**2
    a1 = f1 * by_s - a / square
    a2 = f2 * by_s**2 - f1 * by_s * a / square - (1 - a**2) / square**2
    density = -0.5 * sinh**2 + np.log(cosh) - 0.5 * np.log(square) + log_delta - log_width
    first = (-narrow * a1, -a * a1 - 1, -f1, f1 * s + 1)
    a_e, a_d = -f2 * by_s, by_s * (f2 * s + f1)
    second = {
        (0, 0): a2 * narrow**2,
        (0, 1): narrow * (a * a2 + a1),
        (1, 1): a * (a * a2 + a1),
        (0, 2): -narrow * a_e,
        (1, 2): -a * a_e,
        (0, 3): -narrow * a_d,
        (1, 3): -a * a_d,
        (2, 2): f2,
        (2, 3): -f2 * s,
        (3, 3): s * (f2 * s + f1),
    }

    def total(values: FloatArray) -> FloatArray:
        return np.einsum("pb,pb->p", values, bins.weight)

    value = total(density) - _penalty(theta)
    gradient = np.stack([total(column) for column in first], axis=1)
    gradient[:, 2:] -= theta[:, 2:] / PRIOR_SD**2
    curvature = np.empty((len(theta), 4, 4))
    for (i, j), column in second.items():
        curvature[:, i, j] = curvature[:, j, i] = -total(column)
    curvature[:, [2, 3], [2, 3]] += 1 / PRIOR_SD**2
    return value, gradient, curvature


def _step(gradient: FloatArray, curvature: FloatArray, damping: FloatArray) -> FloatArray:
    """Newton step with damping in units of the curvature's diagonal."""
    diagonal = np.maximum(np.abs(np.einsum("pii->pi", curvature)), 1e-8)
    damped = curvature + (damping[:, None] * diagonal)[:, :, None] * np.eye(4)
    return np.linalg.solve(damped, gradient[:, :, None])[:, :, 0]


def log_prior(shape: FloatArray) -> FloatArray:
    """Log density (p,) of shapes (p, 4) before the data, up to a constant.

    Parameters
    ----------
    shape : (p, 4) array
        ``xi width epsilon delta`` of `sinh_arcsinh`.

    Returns
    -------
    (p,) array
    """
    return -_penalty(_parameters(shape))


def _penalty(theta: FloatArray) -> FloatArray:
    return np.asarray(0.5 * (theta[:, 2:] ** 2).sum(axis=1) / PRIOR_SD**2)


def _parameters(shape: FloatArray) -> FloatArray:
    xi, width, epsilon, delta = shape.T
    return np.column_stack([xi, np.log(width), epsilon, np.log(delta)])


def _shapes(theta: FloatArray, converged: NDArray[np.bool_]) -> FloatArray:
    shapes = np.column_stack([theta[:, 0], np.exp(theta[:, 1]), theta[:, 2], np.exp(theta[:, 3])])
    shapes[~converged | ~np.isfinite(shapes).all(axis=1)] = GAUSSIAN_SHAPE
    return shapes
