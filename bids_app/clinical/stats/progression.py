"""Confirmed EDSS progression, relapses over time, and relapse rates.

Progression is a rise of at least 1.5 from a baseline of 0, 1.0 from 1.0 to 5.5, and 0.5 above 5.5, seen at
every visit from its first to one at least `confirmation` years later. The time of the event is that of the
first of these visits, counted from the scan; people without an event are censored at their last visit with a
score. A baseline of 0.5, which the scale does not have, is treated as 0. What is not known is not zero: people
without a baseline, and intervals without a count of relapses, are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from bids_app.arrays import FloatArray
from bids_app.errors import AnalysisError

ROUNDING = 1e-6
NO_BASELINE = "no score near the scan"
UNSETTLED = "every score near the scan is soon after a relapse"
RELAPSE_COLUMNS = ["participant_id", "n_visits", "time", "event", "n_relapses", "followed", "unknown", "unknown_years"]
EVENT_COLUMNS = ["participant_id", "n_visits", "time", "event", "baseline", "score_at_event", "confirmed_at", "note"]


@dataclass(frozen=True)
class ProgressionRule:
    """What counts as confirmed progression.

    Parameters
    ----------
    confirmation : float
        Years between the first visit with the rise and the visit that confirms it, at least.
    tolerance : float
        Years that the confirming visit may come earlier (visits are not planned to the day).
    window : float
        The baseline is the score nearest the scan, at most so many years before or after it.
    roving : bool
        A lower score that is confirmed in the same way becomes the new baseline (its highest value while it
        was confirmed), so that a relapse at inclusion cannot hide later progression. Default: the baseline stays.
    relapse_free : float
        Scores within this time (years) after a relapse are no baseline and neither start nor confirm a change; 0:
        all scores count. They still end a change when they fall below it.
    """

    confirmation: float = 0.5
    tolerance: float = 0.0
    window: float = 0.25
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
    times: ArrayLike,
    scores: ArrayLike,
    rule: ProgressionRule = ProgressionRule(),
    relapses: Sequence[float] = (),
    scan: float | None = None,
) -> ProgressionEvent:
    """When one person's EDSS has progressed.

    Parameters
    ----------
    times, scores : (n,) arrays
        Years (any origin) and EDSS of the visits; visits at one time are one, with the mean of their scores.
    rule : ProgressionRule
    relapses : sequence of float
        Times of relapses, for `rule.relapse_free`.
    scan : float, optional
        Time of the scan, from which the time of the event counts and after which it must lie; default: the first
        visit. The time is NaN where no score is near enough to it.

    Returns
    -------
    ProgressionEvent
        Times in years since the scan.

    Raises
    ------
    AnalysisError
        Without any visit.
    """
    years, edss = ordered_visits(times, scores)
    calm = calm_visits(years, relapses, rule.relapse_free)
    zero = years[0] if scan is None else scan
    start = nearest_calm(years, zero, calm, rule.window)
    if start is None:
        near = np.abs(years - zero) <= rule.window + ROUNDING
        return ProgressionEvent(np.nan, False, np.nan, np.nan, np.nan, UNSETTLED if near.any() else NO_BASELINE)
    baseline, reference, waiting = edss[start], edss[start], False
    for visit in map(int, np.flatnonzero(years > max(years[start], zero) + ROUNDING)):
        if not calm[visit]:
            continue
        rise = edss >= reference + required_rise(reference) - ROUNDING
        if rise[visit]:
            confirmed = _confirmation(visit, rise, years, calm, rule)
            if confirmed is not None:
                return ProgressionEvent(
                    years[visit] - zero, True, reference, edss[visit], years[confirmed] - zero, None
                )
            waiting = True
        elif rule.roving and edss[visit] < reference:
            lower = edss < reference - ROUNDING
            confirmed = _confirmation(visit, lower, years, calm, rule)
            if confirmed is not None:
                reference = edss[visit : confirmed + 1].max()
    alone = years[-1] <= max(years[start], zero) + ROUNDING
    note = "one visit only" if alone else "a rise was not confirmed" if waiting else None
    end = 0.0 if alone else years[-1] - zero
    return ProgressionEvent(end, False, reference if rule.roving else baseline, np.nan, np.nan, note)


def ordered_visits(times: ArrayLike, scores: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Times (m,) in ascending order, each once, and the mean score at each.

    Parameters
    ----------
    times, scores : (n,) array-like
        Years and points; visits that lack one are left out.

    Returns
    -------
    years, edss : (m,) arrays
        Times nearer than `ROUNDING` are one visit.

    Raises
    ------
    AnalysisError
        When no visit has both.
    """
    years, edss = np.asarray(times, dtype=float), np.asarray(scores, dtype=float)
    known = np.isfinite(years) & np.isfinite(edss)
    if not known.any():
        raise AnalysisError("there is no visit with a time and a score")
    order = np.argsort(years[known], kind="stable")
    years, edss = years[known][order], edss[known][order]
    opens = np.diff(years, prepend=-np.inf) > ROUNDING
    visit = np.cumsum(opens) - 1
    return years[opens], np.bincount(visit, edss) / np.bincount(visit)


def nearest_calm(years: FloatArray, scan: float, calm: np.ndarray, window: float) -> int | None:
    """The visit nearest the scan and within the window that is not soon after a relapse; of two the earlier.

    Parameters
    ----------
    years : (m,) array
        Of the visits, ascending.
    scan, window : float
        Years.
    calm : (m,) array of bool
        Of `calm_visits`.

    Returns
    -------
    int or None
        Position in `years`.
    """
    distance = np.where(calm, np.abs(years - scan), np.inf)
    nearest = int(np.argmin(distance))
    return nearest if distance[nearest] <= window + ROUNDING else None


def calm_visits(years: FloatArray, relapses: Sequence[float], window: float) -> np.ndarray:
    """Whether no relapse began within `window` years before each visit.

    Parameters
    ----------
    years : (m,) array
        Of the visits.
    relapses : sequence of float
        Onsets in years on the same clock.
    window : float
        Years; a relapse on the day of the visit counts.

    Returns
    -------
    (m,) array of bool
    """
    since = years[:, None] - np.asarray(relapses, dtype=float).reshape(1, -1)
    return ~((since >= -ROUNDING) & (since < window - ROUNDING)).any(axis=1)


def _confirmation(
    start: int, holds: np.ndarray, years: FloatArray, calm: np.ndarray, rule: ProgressionRule
) -> int | None:
    """The first calm visit late enough after `start` up to which the change holds; None without one."""
    for later in range(start + 1, len(years)):
        if not holds[later]:
            return None
        if calm[later] and years[later] - years[start] >= rule.confirmation - rule.tolerance - ROUNDING:
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
        One row per visit: ``participant_id``, `edss` and `time` (years since the scan); rows without score or time
        are ignored.
    relapses : mapping, optional
        ``participant_id`` to times of relapses, on the scale of `time`.
    edss, time : str
        Columns.
    rule : ProgressionRule

    Returns
    -------
    DataFrame
        ``participant_id n_visits time event baseline score_at_event confirmed_at note``, sorted by person; people
        without a usable visit are absent, and `time` is NaN for those without a baseline.
    """
    known = visits[visits[edss].notna() & visits[time].notna()]
    rows = []
    for person, years, scores in by_person(known, time, edss):
        times = (relapses or {}).get(str(person), ())
        found = confirmed_progression(years, scores, rule, times, scan=0.0)
        rows.append((person, len(years), *found))
    return pd.DataFrame(rows, columns=EVENT_COLUMNS)


def by_person(visits: pd.DataFrame, *columns: str) -> Iterator[tuple[Any, ...]]:
    """Each person's label and values of some columns: for thousands of people a table each takes too long.

    Parameters
    ----------
    visits : DataFrame
        ``participant_id`` and the `columns`.
    *columns : str

    Returns
    -------
    iterator of (str, array, ...)
        Sorted by person; each column as floats, in the order of the rows.
    """
    codes, people = pd.factorize(visits["participant_id"], sort=True)
    order = np.argsort(codes, kind="stable")
    ends = np.flatnonzero(np.diff(codes[order])) + 1
    values = [np.split(visits[name].to_numpy(dtype=float)[order], ends) for name in columns]
    return zip(people, *values)


def first_marked(visits: pd.DataFrame, mark: str, time: str) -> pd.DataFrame:
    """Time of the first visit after the scan where `mark` is above 0 (progression); visits without it are passed over.

    Parameters
    ----------
    visits : DataFrame
        ``participant_id``, `mark` and `time` (years since the scan).
    mark, time : str
        Columns.

    Returns
    -------
    DataFrame
        ``participant_id n_visits time event``; censored at the last visit with a mark.
    """
    known = visits[visits[mark].notna() & visits[time].notna()].sort_values(time, kind="stable")
    rows = []
    for person, years, marks in by_person(known, time, mark):
        marked = np.flatnonzero((marks > 0) & (years > ROUNDING))
        event = bool(len(marked))
        rows.append((person, len(years), years[marked[0]] if event else max(years[-1], 0.0), event))
    return pd.DataFrame(rows, columns=["participant_id", "n_visits", "time", "event"])


def counted_relapses(visits: pd.DataFrame, count: str, time: str) -> pd.DataFrame:
    """Relapses after the scan from the number since the previous visit.

    An interval whose count is missing is left out with its time; the time to the first relapse then ends before it.

    Parameters
    ----------
    visits : DataFrame
        ``participant_id``, `count` and `time` (years since the scan); visits at one time are one, with the largest
        count.
    count, time : str
        Columns.

    Returns
    -------
    DataFrame
        ``participant_id n_visits time event n_relapses followed unknown unknown_years``: years until the first visit
        with a relapse (or to the last before an unknown interval), relapses in the known intervals and their length,
        number of unknown intervals and their length.
    """
    merged = visits[visits[time].notna()].groupby(["participant_id", time], sort=True)[count].max().reset_index()
    rows = []
    for person, years, counts in by_person(merged, time, count):
        later = np.flatnonzero(years > max(years[0], 0.0) + ROUNDING)
        length = np.minimum(years[later] - years[later - 1], years[later])
        known, found = np.isfinite(counts[later]), counts[later]
        seen = int(np.argmin(known)) if not known.all() else len(later)
        marked = np.flatnonzero(found[:seen] > 0)
        end = marked[0] if len(marked) else seen - 1
        rows.append(
            {
                "participant_id": person,
                "n_visits": len(years),
                "time": float(length[: end + 1].sum()),
                "event": bool(len(marked)),
                "n_relapses": float(found[known].sum()),
                "followed": float(length[known].sum()),
                "unknown": int((~known).sum()),
                "unknown_years": float(length[~known].sum()),
            }
        )
    return pd.DataFrame(rows, columns=RELAPSE_COLUMNS)


def first_after(ends: pd.DataFrame, times: Mapping[str, Sequence[float]]) -> pd.DataFrame:
    """Time from the scan to the first of each person's `times` (years since the scan) within the follow-up.

    Parameters
    ----------
    ends : DataFrame
        ``participant_id end n_visits``; `end` in years since the scan.
    times : mapping
        ``participant_id`` to years since the scan.

    Returns
    -------
    DataFrame
        ``participant_id n_visits time event n_relapses followed``
    """
    rows = []
    for row in ends.to_dict("records"):
        within = [at for at in times.get(row["participant_id"], ()) if ROUNDING < at <= row["end"] + ROUNDING]
        followed = max(row["end"], 0.0)
        first = min(within) if within else followed
        rows.append((row["participant_id"], row["n_visits"], first, bool(within), len(within), followed))
    return pd.DataFrame(rows, columns=RELAPSE_COLUMNS[:6])


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
