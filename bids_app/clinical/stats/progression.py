"""Confirmed EDSS progression, relapses over time, and relapse rates.

Progression is a rise of at least 1.5 from a baseline of 0, 1.0 from 1.0 to 5.5, and 0.5 above 5.5, seen at
every visit from its first to one at least `confirmation` years later. The time of the event is that of the
first of these visits; people without an event are censored at their last visit with a score. A baseline
of 0.5, which the scale does not have, is treated as 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from bids_app.arrays import FloatArray
from bids_app.errors import AnalysisError

ROUNDING = 1e-6
EVENT_COLUMNS = ["participant_id", "n_visits", "time", "event", "baseline", "score_at_event", "confirmed_at", "note"]


@dataclass(frozen=True)
class ProgressionRule:
    """What counts as confirmed progression.

    Parameters
    ----------
    confirmation : float
        Years between the first visit with the rise and the visit that confirms it, at least.
    roving : bool
        A lower score that is confirmed in the same way becomes the new baseline (its highest value while it
        was confirmed), so that a relapse at inclusion cannot hide later progression. Default: the baseline is the
        first score.
    relapse_free : float
        Scores within this time (years) after a relapse neither start nor confirm a change; 0: all scores
        count. They still end a change when they fall below it.
    """

    confirmation: float = 0.5
    roving: bool = False
    relapse_free: float = 0.0


def required_rise(baseline: float) -> float:
    """Rise of EDSS that is progression from `baseline`."""
    if baseline < 1.0:
        return 1.5
    return 1.0 if baseline <= 5.5 else 0.5


class ProgressionEvent(NamedTuple):
    """Progression of one person: time of event or censoring (years), and what was seen."""

    time: float
    event: bool
    baseline: float
    score_at_event: float
    confirmed_at: float
    note: str | None


def confirmed_progression(
    times: ArrayLike, scores: ArrayLike, rule: ProgressionRule = ProgressionRule(), relapses: Sequence[float] = ()
) -> ProgressionEvent:
    """When one person's EDSS has progressed.

    Parameters
    ----------
    times, scores : (n,) arrays
        Years (any origin) and EDSS of the visits; the time returned counts from the first.
    rule : ProgressionRule
    relapses : sequence of float
        Times of relapses, for `rule.relapse_free`.

    Raises
    ------
    AnalysisError
        Without any visit.
    """
    years, edss = _ordered(times, scores)
    calm = _calm(years, relapses, rule.relapse_free)
    baseline, reference, waiting = edss[0], edss[0], False
    for visit in range(1, len(years)):
        if not calm[visit]:
            continue
        rise = edss >= reference + required_rise(reference) - ROUNDING
        if rise[visit]:
            confirmed = _confirmation(visit, rise, years, calm, rule.confirmation)
            if confirmed is not None:
                return ProgressionEvent(
                    years[visit] - years[0], True, reference, edss[visit], years[confirmed] - years[0], None
                )
            waiting = True
        elif rule.roving and edss[visit] < reference:
            lower = edss < reference - ROUNDING
            confirmed = _confirmation(visit, lower, years, calm, rule.confirmation)
            if confirmed is not None:
                reference = edss[visit : confirmed + 1].max()
    note = "one visit only" if len(years) == 1 else "a rise was not confirmed" if waiting else None
    return ProgressionEvent(years[-1] - years[0], False, reference if rule.roving else baseline, np.nan, np.nan, note)


def _ordered(times: ArrayLike, scores: ArrayLike) -> tuple[FloatArray, FloatArray]:
    years, edss = np.asarray(times, dtype=float), np.asarray(scores, dtype=float)
    known = np.isfinite(years) & np.isfinite(edss)
    if not known.any():
        raise AnalysisError("there is no visit with a time and a score")
    order = np.argsort(years[known], kind="stable")
    return years[known][order], edss[known][order]


def _calm(years: FloatArray, relapses: Sequence[float], window: float) -> np.ndarray:
    """Whether no relapse began within `window` years before each visit."""
    since = years[:, None] - np.asarray(relapses, dtype=float).reshape(1, -1)
    return ~((since >= -ROUNDING) & (since < window - ROUNDING)).any(axis=1)


def _confirmation(start: int, holds: np.ndarray, years: FloatArray, calm: np.ndarray, window: float) -> int | None:
    """The first calm visit at least `window` after `start` up to which the change holds; None without one."""
    for later in range(start + 1, len(years)):
        if not holds[later]:
            return None
        if calm[later] and years[later] - years[start] >= window - ROUNDING:
            return later
    return None


def progression_table(
    visits: pd.DataFrame,
    edss: str,
    time: str,
    rule: ProgressionRule = ProgressionRule(),
    relapses: Mapping[str, Sequence[float]] | None = None,
) -> pd.DataFrame:
    """`confirmed_progression` of everybody.

    Parameters
    ----------
    visits : DataFrame
        One row per visit: ``participant_id``, `edss` and `time` (years); rows without score or time are ignored.
    relapses : mapping, optional
        ``participant_id`` to times of relapses, on the scale of `time`.

    Returns
    -------
    DataFrame
        ``participant_id n_visits time event baseline score_at_event confirmed_at note``, sorted by person; people
        without a usable visit are absent.
    """
    known = visits[visits[edss].notna() & visits[time].notna()]
    rows = []
    for person, part in known.groupby("participant_id", sort=True):
        times = (relapses or {}).get(str(person), ())
        found = confirmed_progression(part[time].to_numpy(), part[edss].to_numpy(), rule, times)
        rows.append({"participant_id": person, "n_visits": len(part), **found._asdict()})
    return pd.DataFrame(rows, columns=EVENT_COLUMNS)


def first_marked(visits: pd.DataFrame, mark: str, time: str) -> pd.DataFrame:
    """Time of the first visit after the first one where `mark` is above 0 (a relapse, a progression).

    Returns
    -------
    DataFrame
        ``participant_id n_visits time event``; time from the first visit, censored at the last.
    """
    known = visits[visits[mark].notna() & visits[time].notna()].sort_values(time, kind="stable")
    rows = []
    for person, part in known.groupby("participant_id", sort=True):
        years = part[time].to_numpy(dtype=float) - part[time].min()
        marked = np.flatnonzero((part[mark].to_numpy(dtype=float) > 0) & (years > 0))
        event = bool(len(marked))
        rows.append((person, len(part), years[marked[0]] if event else years[-1], event))
    return pd.DataFrame(rows, columns=["participant_id", "n_visits", "time", "event"])


def first_after(start_end: pd.DataFrame, times: Mapping[str, Sequence[float]]) -> pd.DataFrame:
    """Time from the start of follow-up to the first of each person's `times` within it.

    Parameters
    ----------
    start_end : DataFrame
        ``participant_id start end n_visits`` (years).

    Returns
    -------
    DataFrame
        ``participant_id n_visits time event``
    """
    rows = []
    for row in start_end.to_dict("records"):
        within = [at for at in times.get(row["participant_id"], ()) if row["start"] < at <= row["end"] + ROUNDING]
        time = (min(within) if within else row["end"]) - row["start"]
        rows.append((row["participant_id"], row["n_visits"], time, bool(within)))
    return pd.DataFrame(rows, columns=["participant_id", "n_visits", "time", "event"])


class Rate(NamedTuple):
    """Events per person-year with an exact Poisson interval."""

    rate: float
    low: float
    high: float


def poisson_rate(events: float, years: float, level: float = 0.95) -> Rate:
    """Rate of `events` in `years` person-years with its exact interval (Garwood 1936).

    Raises
    ------
    AnalysisError
        When nobody was followed.
    """
    from scipy.stats import chi2

    if not years > 0:
        raise AnalysisError("nobody was followed for any time, so there is no rate")
    tail = (1 - level) / 2
    low = chi2.ppf(tail, 2 * events) / 2 if events > 0 else 0.0
    return Rate(events / years, float(low / years), float(chi2.ppf(1 - tail, 2 * events + 2) / 2 / years))
