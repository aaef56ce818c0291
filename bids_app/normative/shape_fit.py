"""Maximum likelihood of the sinh-arcsinh shape of standardised residuals, for many regions at once.

Residuals are compressed into narrow bins (their mean and count), so that the cost of an iteration does
not depend on the number of people; the error is of second order in the bin width (0.01 SD).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bids_app.normative.parameters import GAUSSIAN_SHAPE

FloatArray = NDArray[np.float64]

STEP = 0.01
LIMIT = 5.0
PRIOR_SD = 0.5
MAX_ITERATIONS = 60
TOLERANCE = 1e-9
BOUNDS = np.array([1.5, 1.0, 1.5, 1.0])


@dataclass(frozen=True)
class Bins:
    """Mean residual and number of people per bin, each (p, bins)."""

    node: FloatArray
    weight: FloatArray


def fit(u: FloatArray) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Shapes (p, 4) of xi, lambda, epsilon, delta of residuals (n, p), and whether each fit converged.

    Notes
    -----
    Penalised likelihood: epsilon and log(delta) have a normal prior with mean 0 and SD 0.5, which matters
    for small samples only. Levenberg-Marquardt steps with the outer product of scores as information;
    a step that does not raise the likelihood is refused and the damping raised. A region that does not
    converge gets the normal shape.
    """
    bins = _compress(u)
    theta = np.zeros((u.shape[1], 4))
    damping = np.full(u.shape[1], 1e-3)
    value, gradient, information = _likelihood(theta, bins)
    converged = np.zeros(u.shape[1], dtype=bool)
    for _ in range(MAX_ITERATIONS):
        active = np.flatnonzero(~converged)
        if active.size == 0:
            break
        part = Bins(bins.node[active], bins.weight[active])
        step = _step(gradient[active], information[active], damping[active])
        trial = np.clip(theta[active] + step, -BOUNDS, BOUNDS)
        new = _likelihood(trial, part)
        better = new[0] >= value[active]
        gain = new[0] - value[active]
        rows = active[better]
        theta[rows], value[rows] = trial[better], new[0][better]
        gradient[rows], information[rows] = new[1][better], new[2][better]
        damping[active] = np.clip(np.where(better, damping[active] / 5, damping[active] * 8), 1e-9, 1e9)
        converged[active] = (better & (gain < TOLERANCE * part.weight.sum(axis=1))) | (damping[active] > 1e8)
    return _shapes(theta, converged), converged


def _compress(u: FloatArray) -> Bins:
    edges = int(LIMIT / STEP)
    node, weight = (np.zeros((u.shape[1], 2 * edges + 1)) for _ in range(2))
    for i, column in enumerate(u.T):
        code = np.rint(np.arcsinh(column) / STEP).astype(np.intp).clip(-edges, edges) + edges
        weight[i] = np.bincount(code, minlength=2 * edges + 1)
        node[i] = np.bincount(code, column, minlength=2 * edges + 1) / np.maximum(weight[i], 1)
    used = weight.any(axis=0)
    return Bins(node[:, used], weight[:, used])


def _likelihood(theta: FloatArray, bins: Bins) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Penalised log likelihood (p,), gradient (p, 4), information (p, 4, 4).

    theta holds xi, log lambda, epsilon, log delta.
    """
    xi, log_width, epsilon, log_delta = (column[:, None] for column in theta.T)
    delta = np.exp(log_delta)
    a = (bins.node - xi) * np.exp(-log_width)
    root = np.sqrt(1 + a**2)
    s = np.arcsinh(a)
    t = np.clip(delta * s - epsilon, -20, 20)
    sinh, cosh = np.sinh(t), np.cosh(t)
    density = -0.5 * sinh**2 + np.log(cosh / root) + log_delta - log_width
    by_t = sinh / cosh - sinh * cosh
    by_a = by_t * delta / root - a / root**2
    score = np.stack([-by_a * np.exp(-log_width), -by_a * a - 1, -by_t, by_t * delta * s + 1])
    weighted = score * bins.weight
    gradient = weighted.sum(axis=2).T
    information = np.einsum("ipb,jpb->pij", weighted, score)
    value = (density * bins.weight).sum(axis=1)
    shape = [2, 3]
    value -= 0.5 * (theta[:, shape] ** 2).sum(axis=1) / PRIOR_SD**2
    gradient[:, shape] -= theta[:, shape] / PRIOR_SD**2
    information[:, shape, shape] += 1 / PRIOR_SD**2
    return value, gradient, information


def _step(gradient: FloatArray, information: FloatArray, damping: FloatArray) -> FloatArray:
    diagonal = np.einsum("pii->pi", information)
    damped = information + (damping[:, None] * diagonal)[:, :, None] * np.eye(4)
    return np.linalg.solve(damped, gradient[:, :, None])[:, :, 0]


def _shapes(theta: FloatArray, converged: NDArray[np.bool_]) -> FloatArray:
    shapes = np.column_stack([theta[:, 0], np.exp(theta[:, 1]), theta[:, 2], np.exp(theta[:, 3])])
    shapes[~converged | ~np.isfinite(shapes).all(axis=1)] = GAUSSIAN_SHAPE
    return shapes
