"""The hyperparameters of PCNtoolkit's BLR by the gradient of its own likelihood.

PCNtoolkit differences its likelihood numerically, once per hyperparameter and step, which for a hundred sites takes
minutes per region. The objective here is the same, the penalised marginal likelihood of Fraza et al. 2021
(doi:10.1016/j.neuroimage.2021.118715) that `BLR.penalized_loglik` computes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import linalg, optimize

from bids_app.arrays import FloatArray
from bids_app.errors import ModelError

STEPS = 400
TOLERANCE = 1e-7
# Beyond these the precisions, or the warp, overflow; no fit to standardised data comes near.
LARGEST, LARGEST_WARP = 8.0, 1.5
IMPOSSIBLE = 1e12


def fit(blr: Any, x: Any, codes: Any, maps: Any, y: Any) -> None:
    """`BLR.fit` of a warped, heteroscedastic BLR with its standard penalty, in place.

    Parameters
    ----------
    blr : pcntoolkit.BLR
        Not fitted.
    x, codes, maps, y
        As `BLR.fit` takes them.

    Raises
    ------
    ModelError
        When the search ends at a likelihood that is not finite.
    """
    blr.be_maps = {name: dict(levels) for name, levels in maps.items()}
    mean, variance = blr.Phi_Phi_var(x.to_numpy(), codes.to_numpy())
    blr.D, blr.var_D = mean.shape[1], variance.shape[1]
    values = np.asarray(y.to_numpy(), dtype=float)
    start = np.asarray(blr.init_hyp(), dtype=float)
    start[:-1] = 0.0
    found = optimize.minimize(
        objective,
        start,
        args=(mean, variance, values, blr.l_bfgs_b_l),
        jac=True,
        method="L-BFGS-B",
        bounds=[(-size, size) for size in [*[LARGEST] * (start.size - 3), LARGEST_WARP, LARGEST_WARP, LARGEST]],
        options={"maxiter": STEPS, "maxfun": 2 * STEPS, "ftol": TOLERANCE / 10},
    )
    if found.fun >= IMPOSSIBLE:
        raise ModelError("the likelihood of PCNtoolkit's BLR has no finite maximum")
    blr.hyp = None
    blr.nlZ = blr.penalized_loglik(found.x, mean, values, variance, blr.l_bfgs_b_l, blr.l_bfgs_b_norm)
    _, blr.beta, blr.gamma = blr.parse_hyps(blr.hyp, mean, variance)
    blr.is_fitted = True


def objective(
    hyp: FloatArray, mean: FloatArray, variance: FloatArray, y: FloatArray, penalty: float
) -> tuple[float, FloatArray]:
    """Penalised negative log marginal likelihood and its gradient.

    Parameters
    ----------
    hyp : (v + 3,) array
        Weights of the log precision, skew and log tail of the warp, log precision of the coefficients.
    mean, variance : (n, d) and (n, v) arrays
        Design matrices.
    y : (n,) array
        Standardised responses.
    penalty : float
        Times the Euclidean norm of `hyp`.

    Returns
    -------
    float, (v + 3,) array

    Notes
    -----
    With ``r = w(y) - X m`` and ``h_i = x_i' A^-1 x_i`` at the posterior mean m, the derivative to a log precision is
    ``(lambda_i (r_i^2 + h_i) - 1) / 2`` (the mean's own derivative vanishes there).
    """
    weights, (skew, log_tail), log_alpha = hyp[:-3], hyp[-3:-1], hyp[-1]
    tail, alpha, d = np.exp(log_tail), np.exp(log_alpha), mean.shape[1]
    inner = np.arcsinh(y)
    angle = tail * (inner + skew)
    warped, cosh = np.sinh(angle), np.cosh(angle)
    precision = np.exp(variance @ weights - 2 * log_tail)
    weighted = mean * precision[:, None]
    try:
        factor = linalg.cholesky(weighted.T @ mean + alpha * np.eye(d), lower=True)
    except linalg.LinAlgError:
        return IMPOSSIBLE, np.zeros_like(hyp)
    m = linalg.cho_solve((factor, True), weighted.T @ warped)
    inverse = linalg.cho_solve((factor, True), np.eye(d))
    leverage = np.einsum("ij,ij->i", mean @ inverse, mean)
    r = warped - mean @ m
    log_slope = np.log(tail) + np.log(cosh) - 0.5 * np.log1p(y**2)
    norm = float(np.sqrt(hyp @ hyp)) + 1e-12
    value = 0.5 * (
        y.size * np.log(2 * np.pi)
        - np.log(precision).sum()
        - d * log_alpha
        + precision @ r**2
        + alpha * m @ m
        + 2 * np.log(np.diag(factor)).sum()
    )
    by_precision = 0.5 * (precision * (r**2 + leverage) - 1)
    by_angle = precision * r * cosh - np.tanh(angle)
    gradient = np.concatenate(
        [
            variance.T @ by_precision,
            [tail * by_angle.sum(), angle @ by_angle - y.size - 2 * by_precision.sum()],
            [0.5 * (alpha * (m @ m + np.trace(inverse)) - d)],
        ]
    )
    return float(value - log_slope.sum() + penalty * norm), gradient + penalty * hyp / norm
