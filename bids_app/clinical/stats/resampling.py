"""Bootstrap over people: hazard ratios of two groups in many samples at once, and percentile intervals."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from bids_app.arrays import FloatArray
from bids_app.clinical.stats.survival import checked_times

MOST = 12.0


def resample(n: int, samples: int, seed: int) -> np.ndarray:
    """How often each of `n` people is in each of `samples` bootstrap samples: (samples, n) int array.

    Parameters
    ----------
    n, samples, seed : int

    Returns
    -------
    (samples, n) int array
        Each row sums to n.
    """
    generator = np.random.default_rng(seed)
    return generator.multinomial(n, np.full(n, 1 / n), size=samples)


def percentile_interval(values: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """Percentile bootstrap interval; infinite estimates count, missing ones do not; NaN without samples.

    Parameters
    ----------
    values : (samples,) array
    level : float

    Returns
    -------
    low, high : float
        NaN with fewer than two known values.
    """
    known = np.asarray(values, dtype=float)
    known = known[~np.isnan(known)]
    if len(known) < 2:
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2], method="nearest")
    return float(low), float(high)


def hazard_ratios(
    time: ArrayLike, event: ArrayLike, group: ArrayLike, samples: np.ndarray, strata: ArrayLike | None = None
) -> FloatArray:
    """Log hazard ratio of a group against the others in each sample (Efron's ties).

    Parameters
    ----------
    samples : (b, n) int array
        How often each person counts.
    time, event : (n,) array-like
    group : (n,) bool array-like
    strata : (n,) array-like, optional
        People are compared within each.

    Returns
    -------
    (b,) array; plus or minus infinity where the likelihood is monotone (a group has no event), NaN where it is flat
    (no event while both groups are at risk) or a group is empty
    """
    times, status = checked_times(time, event)
    member, weight = np.asarray(group, dtype=bool), np.asarray(samples)
    codes = np.zeros(len(times), dtype=int) if strata is None else np.unique(np.asarray(strata), return_inverse=True)[1]
    parts = []
    for number in range(codes.max() + 1):
        rows = np.flatnonzero(codes == number)
        if status[rows].any():
            parts.append(_risk_sets(times[rows], status[rows], member[rows], weight[:, rows]))
    if not parts or not len(weight):
        return np.full(len(weight), np.nan)
    risk, died = ([np.concatenate([part[kind][side] for part in parts], axis=1) for side in (0, 1)] for kind in (0, 1))
    beta = _newton(risk[0], risk[1], died[0], died[1])
    ones, others = died[0].sum(axis=1), died[1].sum(axis=1)
    beta = np.where(ones == 0, -np.inf, np.where(others == 0, np.inf, beta))
    beta = np.where(np.abs(beta) >= MOST, np.sign(beta) * np.inf, beta)
    compared = ((risk[0] > 0) & (risk[1] > 0) & (died[0] + died[1] > 0)).any(axis=1)
    return np.where(compared, beta, np.nan)


def _risk_sets(
    times: FloatArray, status: FloatArray, member: np.ndarray, weight: np.ndarray
) -> tuple[list[FloatArray], list[FloatArray]]:
    """People at risk and events (b, times of events) of the group and of the others."""
    order = np.argsort(times, kind="stable")
    times, status, member, weight = times[order], status[order], member[order], weight[:, order]
    start = np.searchsorted(times, np.unique(times[status == 1]), side="left")
    stop = np.searchsorted(times, times[start], side="right")
    risk = [_between(weight * side, start, np.full(len(start), len(times))) for side in (member, ~member)]
    return risk, [_between(weight * side * status, start, stop) for side in (member, ~member)]


def _between(values: FloatArray, start: np.ndarray, stop: np.ndarray) -> FloatArray:
    sums = np.concatenate([np.zeros((len(values), 1)), np.cumsum(values, axis=1)], axis=1)
    return np.asarray(sums[:, stop] - sums[:, start])


def _newton(risk1: FloatArray, risk0: FloatArray, died1: FloatArray, died0: FloatArray) -> FloatArray:
    """Root of the score of each sample; arrays are (b, times)."""
    beta = np.zeros(len(risk1))
    died = died1 + died0
    layers = [(died > rank, rank / np.maximum(died, 1)) for rank in range(int(died.max()))]
    for _ in range(25):
        score, information = died1.sum(axis=1), np.zeros(len(beta))
        ratio = np.exp(beta)[:, None]
        for present, share in layers:
            first = ratio * (risk1 - share * died1)
            total = first + risk0 - share * died0
            chance = np.where(present, first / np.where(total > 0, total, 1), 0.0)
            score = score - chance.sum(axis=1)
            information += (chance * (1 - chance)).sum(axis=1)
        step = np.clip(score / np.maximum(information, 1e-10), -1, 1)
        beta = np.clip(beta + step, -MOST, MOST)
        if np.max(np.abs(step)) < 1e-10:
            break
    return beta
