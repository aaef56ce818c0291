"""Decision curves: the net benefit of acting on a rule, at every threshold of risk.

Vickers & Elkin 2006 (doi:10.1177/0272989X06295361): at threshold p, net benefit is the share of true
positives less p / (1 - p) times that of false positives. With censoring the shares come from Kaplan-Meier
among the people that the rule picks (Vickers et al. 2008, doi:10.1186/1472-6947-8-53).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from bids_app.arrays import FloatArray
from bids_app.clinical.stats.cox import PartialLikelihood
from bids_app.clinical.stats.survival import SAME_TIME, checked_times
from bids_app.errors import AnalysisError

THRESHOLDS = np.round(np.arange(0.02, 0.601, 0.02), 2)


def event_probability(time: FloatArray, event: FloatArray, weight: FloatArray, horizon: float) -> FloatArray:
    """Kaplan-Meier probability of an event by `horizon` under weights.

    Parameters
    ----------
    time, event : (n,) arrays, sorted by time
    weight : (b, n) array
        How often each person counts, one row per bootstrap sample or group.
    horizon : float
        In the unit of `time`.

    Returns
    -------
    (b,) array; NaN for a row without anybody
    """
    at_risk = weight[:, ::-1].cumsum(axis=1)[:, ::-1]
    distinct, start = np.unique(time, return_index=True)
    died = np.add.reduceat(weight * event, start, axis=1)
    here = distinct <= horizon * (1 + SAME_TIME)
    with np.errstate(divide="ignore", invalid="ignore"):
        hazard = np.where(at_risk[:, start] > 0, died / at_risk[:, start], 0.0)
    survival = np.where(here, 1 - hazard, 1.0).prod(axis=1)
    return np.where(weight.sum(axis=1) > 0, 1 - survival, np.nan)


def net_benefit(
    time: ArrayLike,
    event: ArrayLike,
    picked: ArrayLike,
    horizon: float,
    thresholds: ArrayLike = THRESHOLDS,
    samples: np.ndarray | None = None,
) -> FloatArray:
    """Net benefit of treating the people whom `picked` marks.

    Parameters
    ----------
    time, event : (n,) arrays
    picked : (n,) or (q, n) bool array
        One row per threshold when the rule depends on it (a predicted risk), otherwise one row for all.
    horizon : float
        Time by which an event counts.
    thresholds : (q,) array
    samples : (b, n) int array, optional
        How often each person counts in each bootstrap sample.

    Returns
    -------
    (b, q) array; b = 1 without `samples`
    """
    times, status = checked_times(time, event)
    order = np.argsort(times, kind="stable")
    cut = np.asarray(thresholds, dtype=float)
    weights = np.ones((1, len(times))) if samples is None else np.asarray(samples, dtype=float)
    marks = np.atleast_2d(np.asarray(picked, dtype=bool))
    size = weights.sum(axis=1)
    columns = []
    for mark in marks:
        chosen = weights * mark
        share = chosen.sum(axis=1) / size
        risk = np.nan_to_num(event_probability(times[order], status[order], chosen[:, order], horizon))
        columns.append((share * risk, share * (1 - risk)))
    true, false = (np.stack(values, axis=1) for values in zip(*columns, strict=True))
    return np.asarray(true - false * cut / (1 - cut))


def predicted_risk(
    time: ArrayLike, event: ArrayLike, predictor: ArrayLike, horizon: float, fold: np.ndarray
) -> FloatArray:
    """Risk of an event by `horizon` of each person from a Cox model of one predictor, fitted without their fold.

    Parameters
    ----------
    time, event, predictor : (n,) array-like
    horizon : float
        In the unit of `time`.
    fold : (n,) array of int

    Returns
    -------
    (n,) array
        0 to 1.

    Raises
    ------
    AnalysisError
        When a model cannot be fitted or has no finite estimate.
    """
    times, status = checked_times(time, event)
    x = np.asarray(predictor, dtype=float)
    risk = np.empty(len(x))
    for part in np.unique(fold):
        rest = fold != part
        model = PartialLikelihood(times[rest], status[rest], x[rest])
        beta, _, _, estimable = model.maximise()
        if not estimable.all():
            raise AnalysisError("the risk of an event could not be predicted: a fold has no finite hazard ratio")
        scale = np.exp((x[rest] - model.centre[0]) * beta[0])
        hazard = _cumulative_hazard(times[rest], status[rest], scale, horizon)
        risk[~rest] = 1 - np.exp(-hazard * np.exp((x[~rest] - model.centre[0]) * beta[0]))
    if not np.isfinite(risk).all():
        raise AnalysisError("the risk of an event could not be predicted")
    return risk


def _cumulative_hazard(time: FloatArray, event: FloatArray, scale: FloatArray, horizon: float) -> float:
    """Breslow's cumulative baseline hazard at `horizon`."""
    order = np.argsort(time, kind="stable")
    times, dead = time[order], event[order] == 1
    tail = scale[order][::-1].cumsum()[::-1]
    first = np.searchsorted(times, times, side="left")
    counted = dead & (times <= horizon * (1 + SAME_TIME))
    return float((1 / tail[first][counted]).sum())
