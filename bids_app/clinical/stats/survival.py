"""Kaplan-Meier curves and the log-rank test (Therneau & Grambsch 2000; as R's survival package).

Intervals are symmetric on the log scale of survival, R's default; a time of censoring equal to a time of
an event counts as later.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bids_app.errors import AnalysisError
from bids_app.normative.base import FloatArray

# Times closer than this, relative to the largest, are the same: differences of ages are not exact.
SAME_TIME = 1e-9
# Random splits of the permutation test, how many are computed together, and which statistics are equal.
PERMUTATIONS, BATCH, SAME_STATISTIC = 4999, 500, 1e-9


@dataclass(frozen=True)
class SurvivalCurve:
    """Kaplan-Meier estimate at every distinct time of an event or censoring.

    Parameters
    ----------
    time : (m,) array
        Ascending.
    at_risk, events, censored : (m,) arrays
        People at risk just before, with an event, and censored at each time.
    survival, se, low, high : (m,) arrays
        Share without event just after each time, Greenwood's standard error, 95 % interval (log).
    """

    time: FloatArray
    at_risk: FloatArray
    events: FloatArray
    censored: FloatArray
    survival: FloatArray
    se: FloatArray
    low: FloatArray
    high: FloatArray

    def at(self, times: ArrayLike) -> FloatArray:
        """Survival, low, high and number at risk at `times` (q,); shape (4, q); NaN after the last time."""
        wanted = np.atleast_1d(np.asarray(times, dtype=float))
        last = np.searchsorted(self.time, wanted * (1 + SAME_TIME), side="right")
        columns = [np.concatenate([[1.0], values])[last] for values in (self.survival, self.low, self.high)]
        first = np.searchsorted(self.time, wanted * (1 - SAME_TIME), side="left")
        risk = np.concatenate([self.at_risk, [0.0]])[first]
        beyond = wanted > self.time[-1] * (1 + SAME_TIME)
        return np.vstack([*(np.where(beyond, np.nan, column) for column in columns), risk])

    def median(self) -> tuple[float, float, float]:
        """Time by which half had the event, with its interval; NaN where the curve does not get there."""
        return _crossing(self.time, self.survival), _crossing(self.time, self.low), _crossing(self.time, self.high)


def _crossing(time: FloatArray, curve: FloatArray) -> float:
    reached = np.flatnonzero(curve <= 0.5 + 1e-12)
    return float(time[reached[0]]) if len(reached) else float("nan")


def kaplan_meier(time: ArrayLike, event: ArrayLike, level: float = 0.95) -> SurvivalCurve:
    """Survival curve of people with times `time` (n,) and `event` (n,), 0 where censored.

    Raises
    ------
    AnalysisError
        When there is nobody, or a time is missing or negative.
    """
    from scipy.stats import norm

    times, status = checked_times(time, event)
    distinct, group = np.unique(times, return_inverse=True)
    events = np.bincount(group, status, len(distinct)).astype(float)
    leaving = np.bincount(group, minlength=len(distinct)).astype(float)
    at_risk = leaving[::-1].cumsum()[::-1]
    survival: FloatArray = np.cumprod(1 - events / at_risk)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.sqrt(np.cumsum(events / (at_risk * (at_risk - events))))
        half = norm.ppf((1 + level) / 2) * spread
        low, high = survival * np.exp(-half), np.minimum(survival * np.exp(half), 1.0)
        se = survival * spread
    low = np.where(survival > 0, low, np.nan)
    return SurvivalCurve(distinct, at_risk, events, leaving - events, survival, se, low, high)


@dataclass(frozen=True)
class LogRank:
    """Log-rank test: chi-square, its degrees of freedom and p, observed and expected events per group."""

    statistic: float
    df: int
    p: float
    observed: FloatArray
    expected: FloatArray
    labels: np.ndarray


def log_rank(time: ArrayLike, event: ArrayLike, groups: ArrayLike) -> LogRank:
    """Test whether survival differs between groups (n,); `labels` tells the order of the results.

    Raises
    ------
    AnalysisError
        With fewer than two groups or without any event.
    """
    from scipy.stats import chi2

    times, status = checked_times(time, event)
    labels, member = np.unique(np.asarray(groups), return_inverse=True)
    if len(labels) < 2 or not status.any():
        raise AnalysisError("a log-rank test needs two groups and an event")
    distinct, row = np.unique(times, return_inverse=True)
    leaving, events = (np.zeros((len(distinct), len(labels))) for _ in range(2))
    np.add.at(leaving, (row, member), 1.0)
    np.add.at(events, (row, member), status)
    at_risk = leaving[::-1].cumsum(axis=0)[::-1]
    total, deaths = at_risk.sum(axis=1), events.sum(axis=1)
    share = at_risk / total[:, None]
    expected = (share * deaths[:, None]).sum(axis=0)
    factor = deaths * (total - deaths) / np.maximum(total - 1, 1)
    covariance = np.diag(factor @ share) - (share * factor[:, None]).T @ share
    gap = (events.sum(axis=0) - expected)[1:]
    statistic = float(gap @ np.linalg.pinv(covariance[1:, 1:]) @ gap)
    df = int(np.count_nonzero(expected > 0)) - 1
    return LogRank(statistic, df, float(chi2.sf(statistic, df)), events.sum(axis=0), expected, labels)


def log_rank_permutation(
    time: ArrayLike, event: ArrayLike, at_risk: ArrayLike, samples: int = PERMUTATIONS, seed: int = 1
) -> float:
    """p of the log-rank statistic among those of `samples` random splits of the people.

    Chi-square is an approximation when one group is small. Every split has its own variance, so the test
    stays valid in large samples when groups are followed for different times (Neuhaus 1993,
    doi:10.1214/aos/1176349396).

    Parameters
    ----------
    time, event : (n,) arrays
    at_risk : (n,) array of bool
        Two groups.
    samples, seed : int

    Raises
    ------
    AnalysisError
        With fewer than two groups or without any event.
    """
    times, status = checked_times(time, event)
    member = np.asarray(at_risk, dtype=bool)
    if member.all() or not member.any() or not status.any():
        raise AnalysisError("a log-rank test needs two groups and an event")
    order = np.argsort(times, kind="stable")
    ordered, status = times[order], status[order]
    start = np.unique(ordered, return_index=True)[1]
    deaths = np.add.reduceat(status, start)
    start, deaths = start[deaths > 0], deaths[deaths > 0]
    left = len(ordered) - start
    spread = deaths * (left - deaths) / np.maximum(left - 1, 1)

    def statistic(split: FloatArray) -> FloatArray:
        """Log-rank chi-square of each row of `split` (q, n); 0 where it has no variance."""
        share = split[:, ::-1].cumsum(axis=1)[:, ::-1][:, start] / left
        variance = (share * (1 - share)) @ spread
        return (split @ status - share @ deaths) ** 2 / np.where(variance > 0, variance, np.inf)

    generator, own = np.random.default_rng(seed), member[order].astype(float)[None]
    observed, beyond = statistic(own)[0] * (1 - SAME_STATISTIC), 0
    for first in range(0, samples, BATCH):
        batch = np.repeat(own, min(BATCH, samples - first), axis=0)
        beyond += int(np.count_nonzero(statistic(generator.permuted(batch, axis=1)) >= observed))
    return (1 + beyond) / (1 + samples)


def checked_times(time: ArrayLike, event: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Times (equal ones made exactly equal) and events as 0 or 1.

    Raises
    ------
    AnalysisError
        When there is nobody, or a time is missing or negative.
    """
    times, status = np.asarray(time, dtype=float), np.asarray(event, dtype=float)
    if not len(times) or times.shape != status.shape:
        raise AnalysisError("nobody has a time of event or censoring")
    if not np.isfinite(times).all() or (times < 0).any() or not np.isin(status, (0, 1)).all():
        raise AnalysisError("times must be known and not negative, events 0 or 1")
    distinct = np.unique(times)
    start = np.concatenate([[True], np.diff(distinct) > SAME_TIME * max(distinct[-1], 1.0)])
    merged = distinct[start][np.cumsum(start) - 1]
    return merged[np.searchsorted(distinct, times)], status
