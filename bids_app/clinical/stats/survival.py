"""Kaplan-Meier curves and the log-rank test (Therneau & Grambsch 2000; as R's survival package).

Intervals are symmetric on the log scale of survival, R's default; a time of censoring equal to a time of
an event counts as later.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bids_app.arrays import FloatArray
from bids_app.errors import AnalysisError

# Times closer than this, relative to the largest, are the same: differences of ages are not exact.
SAME_TIME = 1e-9
TWO_GROUPS = "a log-rank test needs two groups and an event"
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
        """Survival, low, high and number at risk at `times` (q,); shape (4, q); NaN after the last time.

        Parameters
        ----------
        times : (q,) array
            In the unit of the curve; equal to a time of the curve within R's tolerance for ties.

        Returns
        -------
        (4, q) array
        """
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
    """Kaplan-Meier estimate of survival with an interval on the log scale.

    Parameters
    ----------
    time, event : (n,) array-like
        Any unit of time; 1 for an event, 0 where censored.
    level : float
        Of the interval.

    Returns
    -------
    SurvivalCurve

    Raises
    ------
    AnalysisError
        When there is nobody, or a time is missing or negative.
    """
    from scipy.stats import norm
    from statsmodels.duration.survfunc import SurvfuncRight

    times, status = checked_times(time, event)
    distinct, group = np.unique(times, return_inverse=True)
    events = np.bincount(group, status, len(distinct)).astype(float)
    leaving = np.bincount(group, minlength=len(distinct)).astype(float)
    survival, se = np.ones(len(distinct)), np.zeros(len(distinct))
    if status.any():
        # The library has the times of events; between them the curve is level.
        found = SurvfuncRight(times, status)
        step = np.searchsorted(found.surv_times, distinct, side="right")
        survival, se = (
            np.append(first, values)[step] for first, values in ((1.0, found.surv_prob), (0.0, found.surv_prob_se))
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        half = norm.ppf((1 + level) / 2) * se / survival
        low, high = survival * np.exp(-half), np.minimum(survival * np.exp(half), 1.0)
    low = np.where(survival > 0, low, np.nan)
    return SurvivalCurve(distinct, leaving[::-1].cumsum()[::-1], events, leaving - events, survival, se, low, high)


@dataclass(frozen=True)
class LogRank:
    """Log-rank test: chi-square, its degrees of freedom and p."""

    statistic: float
    df: int
    p: float


def log_rank(time: ArrayLike, event: ArrayLike, groups: ArrayLike, strata: ArrayLike | None = None) -> LogRank:
    """Test whether survival differs between groups, as statsmodels' ``survdiff``.

    Parameters
    ----------
    time, event, groups : (n,) array-like
    strata : (n,) array-like, optional
        Groups are compared within each; strata without a comparison add nothing.

    Returns
    -------
    LogRank

    Raises
    ------
    AnalysisError
        Without any event, or when at every event only one group is at risk.
    """
    from scipy.stats import chi2
    from statsmodels.duration.survfunc import survdiff

    times, status = checked_times(time, event)
    if not status.any():
        raise AnalysisError(TWO_GROUPS)
    labels = np.asarray(groups)
    layer = np.zeros(len(times), dtype=int) if strata is None else np.unique(np.asarray(strata), return_inverse=True)[1]
    there = np.zeros(len(times), dtype=bool)
    for number in range(layer.max() + 1):
        rows = layer == number
        rows &= times >= times[rows & (status == 1)].min(initial=np.inf)
        together = len(np.unique(labels[rows])) > 1 and not (status[rows].all() and np.ptp(times[rows]) == 0)
        there |= rows & together
    df = len(np.unique(labels[there])) - 1
    if df < 1:
        raise AnalysisError("groups cannot be compared: no event happens while people of two groups are at risk")
    within = None if strata is None else layer[there]
    statistic = float(survdiff(times[there], status[there], labels[there], strata=within)[0])
    return LogRank(statistic, df, float(chi2.sf(statistic, df)))


@dataclass(frozen=True)
class _Layer:
    """What the log-rank statistic of one stratum needs; its people are in the order of time."""

    people: np.ndarray
    status: FloatArray
    start: np.ndarray
    deaths: FloatArray
    left: np.ndarray
    spread: FloatArray

    def parts(self, split: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Observed less expected events, and its variance, of each row of `split` (q, n)."""
        share = split[:, ::-1].cumsum(axis=1)[:, ::-1][:, self.start] / self.left
        return split @ self.status - share @ self.deaths, (share * (1 - share)) @ self.spread


def _layer(people: np.ndarray, times: FloatArray, status: FloatArray) -> _Layer:
    order = people[np.argsort(times[people], kind="stable")]
    ordered, dead = times[order], status[order]
    start = np.unique(ordered, return_index=True)[1]
    deaths = np.add.reduceat(dead, start)
    start, deaths = start[deaths > 0], deaths[deaths > 0]
    left = len(ordered) - start
    return _Layer(order, dead, start, deaths, left, deaths * (left - deaths) / np.maximum(left - 1, 1))


def log_rank_permutation(
    time: ArrayLike,
    event: ArrayLike,
    at_risk: ArrayLike,
    samples: int = PERMUTATIONS,
    seed: int = 1,
    strata: ArrayLike | None = None,
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
    strata : (n,) array, optional
        People are compared and split within each.

    Returns
    -------
    float

    Raises
    ------
    AnalysisError
        With fewer than two groups or without any event.
    """
    times, status = checked_times(time, event)
    member = np.asarray(at_risk, dtype=bool)
    if member.all() or not member.any() or not status.any():
        raise AnalysisError(TWO_GROUPS)
    codes = np.zeros(len(times), dtype=int) if strata is None else np.unique(np.asarray(strata), return_inverse=True)[1]
    layers = [_layer(np.flatnonzero(codes == number), times, status) for number in range(codes.max() + 1)]

    def statistic(splits: list[FloatArray]) -> FloatArray:
        """Log-rank chi-square of each row of the splits (q, people of the layer); 0 where it has no variance."""
        parts = [layer.parts(split) for layer, split in zip(layers, splits, strict=True)]
        gap, variance = (np.sum([part[index] for part in parts], axis=0) for index in (0, 1))
        return np.asarray(gap**2 / np.where(variance > 0, variance, np.inf))

    generator, own = np.random.default_rng(seed), [member[layer.people].astype(float)[None] for layer in layers]
    observed, beyond = statistic(own)[0] * (1 - SAME_STATISTIC), 0
    for first in range(0, samples, BATCH):
        size = min(BATCH, samples - first)
        batch = [generator.permuted(np.repeat(split, size, axis=0), axis=1) for split in own]
        beyond += int(np.count_nonzero(statistic(batch) >= observed))
    return (1 + beyond) / (1 + samples)


def checked_times(time: ArrayLike, event: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Times and events that can be counted.

    Parameters
    ----------
    time, event : (n,) array-like

    Returns
    -------
    times : (n,) array
        Those nearer than `SAME_TIME` of the longest are made exactly equal.
    status : (n,) array
        0 or 1.

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
