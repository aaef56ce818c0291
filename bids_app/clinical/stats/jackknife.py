"""Jackknife over people of a standardised coefficient of the random-intercept model.

The model's own standard error takes the random-intercept model as true: it treats the ratio of variances and
the standard deviations that scale both variables as known, and the errors within people as equally spread. The
jackknife (Efron & Stein 1981, doi:10.1214/aos/1176345462) leaves one person out at a time and
estimates everything again, so its interval also holds where the association between people differs
from that within people. The variance ratio of each sample is one Newton step from that of all people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bids_app.arrays import FloatArray
from bids_app.normative.fit.random_intercept import RandomInterceptDesign, RandomInterceptFit

# Share of a response's sum of squares below which its residuals are rounding errors.
EXACT = 1e-12


@dataclass(frozen=True)
class _Deleted:
    """Sums of g samples, each without one person: A = [X y], `own` A'A and `sums` s s' of that person."""

    fit: RandomInterceptFit
    own: FloatArray  # (g, k + 1, k + 1)
    totals: FloatArray  # (g, k + 1): column sums of A
    sizes: FloatArray  # (g,)

    def weighted(self, ratio: FloatArray) -> FloatArray:
        """``sigma2 A' V^-1 A`` (g, k + 1, k + 1) at each sample's `ratio` (g,)."""
        sums = self.fit.sums
        everybody = np.tensordot(ratio[:, None] / (1 + ratio[:, None] * sums.sizes), sums.between, 1)
        return np.asarray(sums.cross - self.own - everybody + self._outer(ratio / (1 + ratio * self.sizes)))

    def estimable(self, ratio: FloatArray) -> bool:
        """Every sample has full rank and residuals that are not zero."""
        matrix = self.weighted(ratio)
        if (np.linalg.matrix_rank(matrix[:, :-1, :-1]) < self.fit.sums.n_coefficients).any():
            return False
        rss = matrix[:, -1, -1] - np.sum(matrix[:, :-1, -1] * _solve(matrix), axis=1)
        return bool((rss > EXACT * self.fit.sums.cross[-1, -1]).all())

    def slope(self, ratio: float) -> FloatArray:
        """Derivative (g,) of each sample's profiled deviance over the variance ratio, at one `ratio`."""
        sums, size = self.fit.sums, self.sizes
        matrix = self.weighted(np.full(len(size), ratio))
        change = self._outer(1 / (1 + ratio * size) ** 2) + sums.weighted_slope(ratio)
        contrast = np.column_stack([-_solve(matrix), np.ones(len(size))])
        rss = np.einsum("gi,gij,gj->g", contrast, matrix, contrast)
        bend = np.einsum("gi,gij,gj->g", contrast, change, contrast)
        trace = np.trace(np.linalg.solve(matrix[:, :-1, :-1], change[:, :-1, :-1]), axis1=1, axis2=2)
        spread = np.sum(sums.counts * sums.sizes / (1 + sums.sizes * ratio)) - size / (1 + size * ratio)
        return np.asarray(spread + trace + (sums.n_rows - size - sums.n_coefficients) * bend / rss)

    def deviation(self, weights: FloatArray) -> FloatArray:
        """Standard deviation (g,) in each sample, relative to that of all, of A times `weights` (k + 1,)."""
        cross, n = self.fit.sums.cross, self.fit.sums.n_rows - self.sizes
        total, squares = cross[0] @ weights, weights @ cross @ weights
        mean = (total - self.totals @ weights) / n
        left = (squares - np.einsum("i,gij,j->g", weights, self.own, weights) - n * mean**2) / (n - 1)
        rows = self.fit.sums.n_rows
        return np.sqrt(left / ((squares - total**2 / rows) / (rows - 1)))

    def _outer(self, weight: FloatArray) -> FloatArray:
        return weight[:, None, None] * self.totals[:, :, None] * self.totals[:, None, :]


def _solve(matrix: FloatArray) -> FloatArray:
    return np.asarray(np.linalg.solve(matrix[:, :-1, :-1], matrix[:, :-1, -1:])[..., 0], dtype=float)


def person_jackknife(
    design: RandomInterceptDesign, y: FloatArray, fit: RandomInterceptFit, columns: Sequence[int] = (1,)
) -> FloatArray:
    """Jackknife standard errors of ``beta[columns] * sd(x) / sd(y)``, with x the sum of these columns of X.

    Parameters
    ----------
    design : RandomInterceptDesign
        Its first column is the intercept.
    y : (n,) array
    fit : RandomInterceptFit
        The fit of `y`.
    columns : sequence of int
        The predictor, or its parts; their sum is scaled again in each sample like the response.

    Returns
    -------
    (len(columns),) array
        NaN when without one of the people the coefficient, or the spread around it, cannot be estimated.
    """
    A = np.column_stack([design.X, y])
    g, width = len(design.labels), A.shape[1]
    own, totals = np.zeros((g, width, width)), np.zeros((g, width))
    np.add.at(own, design.codes, A[:, :, None] * A[:, None, :])
    np.add.at(totals, design.codes, A)
    samples = _Deleted(fit, own, totals, design.group_sizes.astype(float))
    ratio = np.full(g, fit.tau2 / fit.sigma2 if fit.sigma2 > 0 else 0.0)
    if not samples.estimable(ratio):
        return np.full(len(columns), np.nan)
    if not fit.singular:
        step = 1e-4 * ratio[0]
        curve = (fit.sums.profiled_slope(ratio[0] + step) - fit.sums.profiled_slope(ratio[0] - step)) / (2 * step)
        # Where the likelihood is flat no step is better than none.
        ratio = np.maximum(ratio - samples.slope(ratio[0]) / curve, 0.0) if curve > 0 else ratio
    beta = _solve(samples.weighted(ratio))[:, list(columns)]
    predictor, response = np.zeros(width), np.zeros(width)
    predictor[list(columns)], response[-1] = 1.0, 1.0
    scaled = beta * (samples.deviation(predictor) / samples.deviation(response))[:, None]
    se = np.sqrt((g - 1) / g * np.sum((scaled - scaled.mean(axis=0)) ** 2, axis=0))
    return np.where(se > 0, se, np.nan)
