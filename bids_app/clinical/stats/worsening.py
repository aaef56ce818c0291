"""Every confirmed worsening of a person, and whether a relapse explains it.

A worsening that is confirmed is PIRA (progression independent of relapse activity) when no relapse lies in the windows
of the rule, RAW (relapse-associated worsening) when one lies near its onset, and undetermined otherwise: a relapse
forbids the one without being near enough for the other, or relapses are not known. After each worsening, and after
each relapse, the next one is counted from a new baseline. Which windows are right is not agreed on: `DEFINITIONS`
holds published ones, and the share of PIRA depends on them (Bsteh et al. 2025, doi:10.1177/13524585251396283).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from bids_app.arrays import FloatArray
from bids_app.bids.age_sex import DAYS_PER_YEAR
from bids_app.clinical.stats.progression import by_person, calm_visits, nearest_calm, ordered_visits

PIRA, RAW, UNDETERMINED = TYPES = ("PIRA", "RAW", "undetermined")
# Times come from dates through years, so they are whole days only up to this.
SAME_DAY = 0.01
NO_RELAPSES = "relapses are not known"
ACROSS = "first seen at the visit after a relapse, too late to be told from it"


class Measure(NamedTuple):
    """A test whose worsening is looked for: its name in sentences, and whether higher is worse."""

    words: str
    higher_is_worse: bool


MEASURES = {
    "edss": Measure("EDSS", True),
    "nhpt": Measure("9-hole peg test", True),
    "nhpt_other": Measure("9-hole peg test of the other hand", True),
    "t25fw": Measure("timed 25-foot walk", True),
    "sdmt": Measure("SDMT", False),
}


@dataclass(frozen=True)
class WorseningRule:
    """What is a confirmed worsening, and what makes it PIRA or RAW. All times in days, bounds included.

    Parameters
    ----------
    confirmation_days, tolerance_days : float
        The worsening lasts at every visit until one at least so long after its onset, less the tolerance.
    sustained : bool
        It also lasts at every later visit.
    roving : bool
        A confirmed better score becomes the new baseline.
    rebaseline_after_relapse : bool
        The first visit at least `unstable_days` after a relapse becomes the new baseline.
    unstable_days : float
        Scores this soon after a relapse are no baseline and confirm nothing.
    baseline_days : float
        The first baseline is the score nearest the scan, at most so many days before or after it; when a relapse is
        too near to all of these, the first later score that counts.
    free_from : str
        PIRA has no relapse from here: ``days`` (`before_onset` days before the onset), ``previous visit`` or
        ``baseline``; until `after_onset` days after the onset.
    before_onset, after_onset : float
    until_confirmation : bool
        PIRA also has no relapse between onset and confirmation.
    before_confirmation, after_confirmation : float
        PIRA also has no relapse so many days around the confirming visit; both 0: not asked for.
    raw_before, raw_after : float
        RAW has a relapse so many days before to so many days after its onset.
    half_point_from : float
        Baseline EDSS from which half a point is a worsening.
    share : float
        Share of the baseline by which the 9-hole peg test and the timed walk worsen.
    sdmt_points : float
    """

    confirmation_days: float = 168.0
    tolerance_days: float = 7.0
    sustained: bool = False
    roving: bool = True
    rebaseline_after_relapse: bool = True
    unstable_days: float = 30.0
    baseline_days: float = 90.0
    free_from: Literal["days", "previous visit", "baseline"] = "days"
    before_onset: float = 90.0
    after_onset: float = 30.0
    until_confirmation: bool = False
    before_confirmation: float = 0.0
    after_confirmation: float = 0.0
    raw_before: float = 90.0
    raw_after: float = 30.0
    half_point_from: float = 6.0
    share: float = 0.2
    sdmt_points: float = 4.0


DEFINITIONS: Mapping[str, Mapping[str, object]] = {
    "portaccio2025": {},
    "mueller2023": {"before_confirmation": 90.0, "after_confirmation": 30.0},
    "cagol2022": {"after_onset": 0.0, "until_confirmation": True},
    "kappos2020": {"free_from": "baseline", "before_confirmation": 30.0, "after_confirmation": 30.0},
    "mueller2025": {"free_from": "previous visit", "after_onset": 0.0, "before_confirmation": 30.0},
    "absent": {"free_from": "baseline", "after_onset": 0.0, "until_confirmation": True},
}


class WorseningEvent(NamedTuple):
    """One confirmed worsening; times in years since the scan, distances to relapses in days (NaN without one)."""

    event_type: str
    time: float
    baseline: float
    baseline_at: float
    score_at_event: float
    confirmed_at: float
    days_since_relapse: float
    days_to_relapse: float
    note: str | None


class Course(NamedTuple):
    """What was found in one person: the events in order, and the years from the scan to the last visit."""

    events: tuple[WorseningEvent, ...]
    followed: float


def required_worsening(measure: str, baseline: float, rule: WorseningRule = WorseningRule()) -> float:
    """How much worse than `baseline` a score must be, in its own unit (points or seconds)."""
    if measure == "edss":
        if baseline < 1.0:
            return 1.5
        return 1.0 if baseline < rule.half_point_from else 0.5
    return rule.sdmt_points if measure == "sdmt" else rule.share * baseline


def worsening_course(
    times: ArrayLike,
    scores: ArrayLike,
    relapses: Sequence[float] | None = (),
    rule: WorseningRule = WorseningRule(),
    measure: str = "edss",
    scan: float | None = None,
) -> Course:
    """Every confirmed worsening of one person on one measure.

    Parameters
    ----------
    times, scores : (n,) arrays
        Years (any origin) and scores of the visits; visits at one time are one, with the mean of their scores.
    relapses : sequence of float or None
        Times of the relapses on the scale of `times`; None where they are not known, so that no type can be told.
    measure : str
        A key of `MEASURES`.
    scan : float, optional
        Time of the scan; events lie after it. Default: the first visit.
    rule : WorseningRule

    Returns
    -------
    Course
        `followed` is NaN where no score can be the baseline.
    """
    years, values = ordered_visits(times, scores)
    zero = years[0] if scan is None else scan
    days = (years - zero) * DAYS_PER_YEAR
    attacks = np.sort((np.asarray(() if relapses is None else relapses, dtype=float) - zero) * DAYS_PER_YEAR)
    calm = calm_visits(days, list(attacks), rule.unstable_days)
    start = nearest_calm(days, 0.0, calm, rule.baseline_days)
    if start is None and nearest_calm(days, 0.0, np.ones_like(calm), rule.baseline_days) is not None:
        # A relapse at the scan moves the baseline and leaves nobody out, as in msprog and MSoutcomes (MSBase)
        start = next(iter(np.flatnonzero(calm & (days > 0)).tolist()), None)
    if start is None:
        return Course((), np.nan)
    person = _Person(days, values if MEASURES[measure].higher_is_worse else -values, attacks, calm, rule, measure)
    events = [person.event(*found, known=relapses is not None) for found in person.search(start)]
    return Course(tuple(events), max(float(days[-1]), 0.0) / DAYS_PER_YEAR)


@dataclass(frozen=True)
class _Person:
    """Visits of one person on one measure: days since the scan, scores that rise when worse, days of relapses."""

    days: FloatArray
    scores: FloatArray
    attacks: FloatArray
    calm: np.ndarray
    rule: WorseningRule
    measure: str

    def search(self, start: int) -> Iterator[tuple[int, int, int]]:
        """Baseline, onset and confirmation (positions of visits) of each worsening."""
        base, visit = start, start + 1
        while visit < len(self.days):
            if self.days[visit] <= SAME_DAY:  # nothing begins at or before the scan
                visit += 1
                continue
            level = self.scores[base]
            worse = self.scores >= level + required_worsening(self.measure, abs(level), self.rule) - 1e-9
            better = self.scores < level - 1e-9
            if worse[visit] and (end := self.confirmed(visit, worse, self.rule.sustained)) is not None:
                yield base, visit, end
                # What a relapse left before it was seen is no event to be confirmed: the next one counts from there.
                base = visit = self.next_calm(visit) if self.kind(base, visit, end)[1] == ACROSS else end
            elif self.rule.rebaseline_after_relapse and self.relapsed(base, visit):
                base = visit if self.calm[visit] else base
            elif self.rule.roving and better[visit] and (end := self.confirmed(visit, better, False)) is not None:
                base = visit = end
            visit += 1

    def next_calm(self, visit: int) -> int:
        """The first calm visit from `visit` on; there is one: the visit that confirmed."""
        return visit + int(np.argmax(self.calm[visit:]))

    def confirmed(self, start: int, holds: np.ndarray, sustained: bool) -> int | None:
        """The first calm visit late enough after `start` up to which (`sustained`: after which) the change holds."""
        if sustained and not holds[start:].all():
            return None
        for later in range(start + 1, len(self.days)):
            if not holds[later]:
                return None
            waited = self.days[later] - self.days[start]
            if self.calm[later] and waited >= self.rule.confirmation_days - self.rule.tolerance_days - SAME_DAY:
                return later
        return None

    def relapsed(self, base: int, visit: int) -> bool:
        """Whether a relapse began after the baseline visit and not after the other."""
        return self.any_within(self.days[base] + 2 * SAME_DAY, self.days[visit])

    def any_within(self, first: float, last: float) -> bool:
        """Whether a relapse began from `first` to `last` (days, both included)."""
        return bool(((self.attacks >= first - SAME_DAY) & (self.attacks <= last + SAME_DAY)).any())

    def event(self, base: int, onset: int, end: int, known: bool) -> WorseningEvent:
        kind, note = self.kind(base, onset, end) if known else (UNDETERMINED, NO_RELAPSES)
        before = self.attacks[self.attacks <= self.days[onset] + SAME_DAY]
        after = self.attacks[self.attacks > self.days[onset] + SAME_DAY]
        return WorseningEvent(
            kind,
            float(self.days[onset] / DAYS_PER_YEAR),
            abs(float(self.scores[base])),
            float(self.days[base] / DAYS_PER_YEAR),
            abs(float(self.scores[onset])),
            float(self.days[end] / DAYS_PER_YEAR),
            float(self.days[onset] - before[-1]) if len(before) else np.nan,
            float(after[0] - self.days[onset]) if len(after) else np.nan,
            note,
        )

    def kind(self, base: int, onset: int, end: int) -> tuple[str, str | None]:
        """PIRA, RAW or undetermined, and why undetermined."""
        rule, at = self.rule, self.days[onset]
        across = rule.rebaseline_after_relapse and self.relapsed(base, onset)
        if not across and not any(self.any_within(*window) for window in self.free_windows(base, onset, end)):
            return PIRA, None
        if self.any_within(at - rule.raw_before, at + rule.raw_after):
            return RAW, None
        return UNDETERMINED, ACROSS if across else "a relapse lies in a window of PIRA, but not near the onset"

    def free_windows(self, base: int, onset: int, end: int) -> Iterator[tuple[float, float]]:
        """The windows (days) in which PIRA has no relapse."""
        rule, at, sure = self.rule, self.days[onset], self.days[end]
        start = {
            "days": at - rule.before_onset,
            "previous visit": self.days[onset - 1] + 2 * SAME_DAY,
            "baseline": self.days[base] + 2 * SAME_DAY,
        }[rule.free_from]
        yield start, at + rule.after_onset
        if rule.until_confirmation:
            yield at, sure
        if rule.before_confirmation or rule.after_confirmation:
            yield sure - rule.before_confirmation, sure + rule.after_confirmation


EVENT_COLUMNS = ["participant_id", "measure", "event_number", *WorseningEvent._fields]
COURSE_COLUMNS = ["participant_id", "measure", "n_visits", "followed"]


def worsening_tables(
    visits: pd.DataFrame,
    columns: Mapping[str, str],
    time: str,
    rule: WorseningRule = WorseningRule(),
    relapses: Mapping[str, Sequence[float]] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`worsening_course` of everybody on every measure.

    Parameters
    ----------
    visits : DataFrame
        One row per visit: ``participant_id``, `time` (years since the scan) and the `columns`.
    columns : mapping
        Measure (key of `MEASURES`) to column.
    relapses : mapping or None
        ``participant_id`` to times of relapses, on the scale of `time`; who is not in it had none. None: not known.
    time : str
        Column.
    rule : WorseningRule

    Returns
    -------
    events : DataFrame
        One row per event: `EVENT_COLUMNS`.
    courses : DataFrame
        One row per person and measure: ``participant_id measure n_visits followed``, the last in years, NaN without a
        baseline; people without a score are absent.
    """
    events, courses = [], []
    for measure, column in columns.items():
        known = visits[visits[column].notna() & visits[time].notna()]
        for person, years, scores in by_person(known, time, column):
            attacks = None if relapses is None else tuple(relapses.get(str(person), ()))
            course = worsening_course(years, scores, attacks, rule, measure, scan=0.0)
            courses.append((person, measure, len(years), course.followed))
            events += [(person, measure, number, *event) for number, event in enumerate(course.events, start=1)]
    return pd.DataFrame(events, columns=EVENT_COLUMNS), pd.DataFrame(courses, columns=COURSE_COLUMNS)


def first_of(events: pd.DataFrame, courses: pd.DataFrame) -> pd.DataFrame:
    """Time to each person's first of some events; who had none is censored at their last visit.

    Parameters
    ----------
    events : DataFrame
        ``participant_id time`` (years).
    courses : DataFrame
        Of `worsening_tables`, those with a baseline; several measures of a person are taken together.

    Returns
    -------
    DataFrame
        ``participant_id n_visits time event`` of everybody in `courses`.
    """
    followed = courses.groupby("participant_id", sort=True).agg(n_visits=("n_visits", "max"), time=("followed", "max"))
    first = events.groupby("participant_id")["time"].min().reindex(followed.index)
    return followed.assign(time=first.fillna(followed["time"]), event=first.notna()).reset_index()


class Share(NamedTuple):
    """A share of events with its interval, number of events and of people who have any."""

    share: float
    low: float
    high: float
    n_events: int
    n_people: int


def share_of(events: pd.DataFrame, level: float = 0.95) -> Share:
    """The share of PIRA among events, with an interval that knows that events of one person are alike.

    Clopper-Pearson with the effective number of events of people as clusters (Korn and Graubard 1998, Survey
    Methodology 24:193), never more than their number; of nothing but or nothing of the kind, the number of people.

    Parameters
    ----------
    events : DataFrame
        ``participant_id event_type``, one row per event.
    level : float
        Of the interval.

    Returns
    -------
    Share
        NaN without events.
    """
    from scipy.stats import beta, t

    if events.empty:
        return Share(np.nan, np.nan, np.nan, 0, 0)
    per = (events["event_type"] == PIRA).groupby(events["participant_id"]).agg(["sum", "size"]).to_numpy(dtype=float)
    hits, sizes = per.T
    n, m = float(sizes.sum()), len(sizes)
    share = hits.sum() / n
    effective = float(m)
    if n > m and 0 < share < 1 and m > 1:
        variance = m / (m - 1) * ((hits - share * sizes) ** 2).sum() / n**2
        tail = (1 + level) / 2
        ratio = (t.ppf(tail, n - 1) / t.ppf(tail, m - 1)) ** 2
        effective = min(n, share * (1 - share) / variance * ratio) if variance > 0 else float(m)
    k, tail = share * effective, (1 - level) / 2
    low = beta.ppf(tail, k, effective - k + 1) if share > 0 else 0.0
    high = beta.ppf(1 - tail, k + 1, effective - k) if share < 1 else 1.0
    return Share(share, float(low), float(high), int(n), m)
