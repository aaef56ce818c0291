"""What happened to people after their first scan: visits on one clock, progression and relapses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from bids_app.bids.age_sex import DAYS_PER_YEAR
from bids_app.clinical.cohort import CohortData
from bids_app.clinical.stats.progression import (
    ROUNDING,
    ProgressionRule,
    counted_relapses,
    first_after,
    first_marked,
    progression_table,
)
from bids_app.clinical.stats.worsening import MEASURES, WorseningRule, worsening_tables
from bids_app.clinical.values import WRITE_ISO, date_problem, dates, numbers, scale_of, without_date
from bids_app.clinical.wording import listing
from bids_app.errors import AnalysisError

# A number beyond this is a calendar year or an age in days, not years since the first visit.
MOST_YEARS = 80.0
YEARS = "years"
# Where a row comes from (as pandas names it) when the columns that are needed are spread over scans and visits
FROM = "_merge"
NO_RELAPSE = {"none", "no", "nil", "-", "--", "no relapse", "no relapses", "false"}


@dataclass(frozen=True)
class FollowUp:
    """Visits of people with a disease from their first scan on.

    Parameters
    ----------
    data : CohortData
    visits : DataFrame
        ``participant_id group years`` (since the first scan) and the clinical columns; index 0..n-1.
    origin : Series
        Clock value (`CohortData.clock`) of the first scan, by person.
    """

    data: CohortData
    visits: pd.DataFrame
    origin: pd.Series

    @property
    def rule(self) -> ProgressionRule:
        """The rule for progression that the configuration asks for."""
        config = self.data.config
        return ProgressionRule(
            confirmation=config.confirmation_months / 12,
            tolerance=config.confirmation_tolerance_days / DAYS_PER_YEAR,
            window=config.baseline_days / DAYS_PER_YEAR,
            roving=config.roving_baseline,
            relapse_free=config.relapse_free_days / DAYS_PER_YEAR,
        )

    @cached_property
    def people(self) -> pd.DataFrame:
        """One row per person: ``participant_id group n_visits end`` (years since the first scan).

        Returns
        -------
        DataFrame
            Sorted by label.
        """
        grouped = self.visits.groupby("participant_id", sort=True)
        return grouped.agg(group=("group", "first"), n_visits=(YEARS, "size"), end=(YEARS, "max")).reset_index()

    def progression(self) -> pd.DataFrame:
        """Time to progression, as visits mark it, else confirmed on the EDSS.

        Returns
        -------
        DataFrame
            ``participant_id n_visits time event`` (years), with ``group``; on the EDSS also the other columns of
            `progression_table`.

        Raises
        ------
        AnalysisError
            When nobody has a usable score.
        """
        return self._progression

    @cached_property
    def _progression(self) -> pd.DataFrame:
        config = self.data.config
        marked = config.column("progression")
        if marked in self.visits:
            return self._grouped(first_marked(self.visits, str(marked), YEARS))
        edss = config.column("edss")
        if edss not in self.visits:
            raise AnalysisError("there is no column of EDSS or progression")
        if config.relapse_free_days and config.column("relapse_dates") not in self.visits:
            raise AnalysisError(
                "relapse_free_days needs a column with the role relapse_dates", "name it or set it to 0"
            )
        dated = self.relapse_times() if config.relapse_free_days else None
        return self._grouped(progression_table(self.visits, str(edss), YEARS, self.rule, dated))

    @property
    def worsening_rule(self) -> WorseningRule:
        """The rule for PIRA and RAW that the configuration asks for."""
        return self.data.config.worsening.rule(self.data.config.baseline_days)

    @property
    def measures(self) -> dict[str, str]:
        """Column of each test whose worsening can be told; none for scores given as z."""
        config = self.data.config
        columns = {measure: config.column(measure) for measure in MEASURES}
        return {
            measure: name
            for measure, name in columns.items()
            if name in self.visits and name is not None and scale_of(measure, name, self.visits[name]) is not None
        }

    def worsening(
        self, rule: WorseningRule | None = None, only: str | None = None
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Every confirmed worsening and the course of every person.

        Parameters
        ----------
        rule : WorseningRule, optional
            Default: what the configuration asks for.
        only : str, optional
            One of `measures`; default: all of them.

        Returns
        -------
        events, courses : DataFrame
            As `worsening_tables`, with ``group``.

        Raises
        ------
        AnalysisError
            When nobody has a usable score.
        """
        if rule is None and only is None:
            return self._worsening
        return self._worsening_by(rule or self.worsening_rule, only)

    @cached_property
    def _worsening(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        return self._worsening_by(self.worsening_rule, None)

    def _worsening_by(self, rule: WorseningRule, only: str | None) -> tuple[pd.DataFrame, pd.DataFrame]:
        dated = self.data.config.column("relapse_dates") in self.visits
        events, courses = worsening_tables(
            self.visits,
            {name: column for name, column in self.measures.items() if only in (None, name)},
            YEARS,
            rule,
            self.relapse_times() if dated else None,
        )
        courses = self._grouped(courses)
        return (events if events.empty else self._grouped(events)), courses

    def relapses(self) -> pd.DataFrame:
        """Time to the first relapse and number of relapses: ``participant_id n_visits time event n_relapses
        followed group``, with counts also ``unknown unknown_years`` (see `counted_relapses`).

        Returns
        -------
        DataFrame
            Times in years since the first scan.

        Raises
        ------
        AnalysisError
            Without a column of relapses.
        """
        counted = self.data.config.column("relapses")
        if self.data.config.column("relapse_dates") in self.visits:
            return self._grouped(first_after(self.people, self.relapse_times()))
        if counted not in self.visits:
            raise AnalysisError("there is no column of relapses")
        # A number is that of the time since the last row of the table that holds it
        elsewhere = "right_only" if counted in self.data.visits else "left_only"
        visits = self.visits[self.visits[FROM].ne(elsewhere)] if FROM in self.visits else self.visits
        return self._grouped(counted_relapses(visits, str(counted), YEARS))

    def relapse_times(self) -> Mapping[str, tuple[float, ...]]:
        """Years from the first scan to each person's relapses.

        Raises
        ------
        AnalysisError
            When an entry is neither a date nor a number, or dates cannot be placed.
        """
        column = self.data.config.column("relapse_dates")
        if column not in self.visits:
            return {}
        # Relapses may be listed in a row before the first scan, so all rows of a person are read.
        everything = _source(self.data, str(column))
        everything = everything[everything["participant_id"].isin(self.origin.index)]
        clock = _clock(self.data, everything)
        start = clock.groupby(everything["participant_id"]).min().to_dict()
        anchors = _dated(everything, clock)
        listed = everything.loc[everything[column].notna(), ["participant_id", str(column)]]
        entries: dict[str, dict[str, None]] = {}
        for person, cell in zip(listed["participant_id"], listed[column], strict=True):
            entries.setdefault(str(person), {}).update(dict.fromkeys(_entries(cell)))
        origin = self.origin.to_dict()
        written = pd.Series(sorted({entry for cells in entries.values() for entry in cells}), dtype=object)
        problem = date_problem(written)
        if problem:
            raise AnalysisError(f"{column} (role relapse_dates) cannot be used: {problem}", WRITE_ISO)
        moments = dict(zip(written, dates(written), strict=True))
        return {
            person: tuple(
                sorted(_placed(person, cell, moments[cell], start[person], anchors) - origin[person] for cell in cells)
            )
            for person, cells in sorted(entries.items())
        }

    def outside(self) -> tuple[int, int]:
        """Listed relapses that do not count: up to the first scan, and after the last visit."""
        ends = dict(zip(self.people["participant_id"], self.people["end"], strict=True))
        times = [(at, ends[person]) for person, found in self.relapse_times().items() if person in ends for at in found]
        return sum(at <= ROUNDING for at, _ in times), sum(at > max(end, 0) + ROUNDING for at, end in times)

    def _grouped(self, table: pd.DataFrame) -> pd.DataFrame:
        if table.empty:
            raise AnalysisError("nobody with a disease has a usable visit from the first scan on")
        groups = self.people.set_index("participant_id")["group"]
        return table.assign(group=table["participant_id"].map(groups))


def _dated(visits: pd.DataFrame, clock: pd.Series) -> dict[str, tuple[pd.Timestamp, float]]:
    """Date and clock value of each person's first visit that has both."""
    if "visit_date" not in visits:
        return {}
    when = dates(visits["visit_date"])
    usable = visits.assign(_date=when, _clock=clock)[(when.notna() & clock.notna()).to_numpy()]
    first = usable.drop_duplicates("participant_id")
    return {str(row["participant_id"]): (row["_date"], float(row["_clock"])) for row in first.to_dict("records")}


def _placed(
    person: str,
    entry: str,
    moment: pd.Timestamp,
    start: float,
    anchors: Mapping[str, tuple[pd.Timestamp, float]],
    what: str = "relapse",
) -> float:
    """Clock value of a relapse (or `what`) that is given as a date (`moment`) or as years since the first visit."""
    try:
        years = float(entry)
    except ValueError:
        years = np.nan
    if abs(years) <= MOST_YEARS:
        return years + start
    if pd.isna(moment) or person not in anchors:
        why = "it is neither a date nor a number of years" if pd.isna(moment) else "no visit of theirs has a date"
        raise AnalysisError(f"the {what} {without_date(entry)!r} of {person} cannot be placed in time: {why}")
    date, at = anchors[person]
    return at + (moment - date).days / DAYS_PER_YEAR


def _entries(cell: object) -> list[str]:
    """The entries of a cell; words for none are no entry."""
    parts = (part.strip() for part in str(cell).replace(";", ",").split(","))
    return [part for part in parts if part and part.lower() not in NO_RELAPSE]


def _source(data: CohortData, *columns: str) -> pd.DataFrame:
    """The visits, the scans where the visits lack a column, or both where each lacks one."""
    lacking = [name for name in columns if name not in data.visits]
    if not lacking:
        return data.visits
    if all(name in data.scans for name in columns):
        return data.scans
    clock, other = data.clock(data.visits), data.clock(data.scans)
    if clock != other or clock not in data.visits:
        raise AnalysisError(
            f"{listing(lacking)} can be found with the scans only and the rest with the visits only, which tell time "
            f"by {other} and by {clock}",
            "put the columns into one table",
        )
    visits, scans = (table.assign(**{clock: numbers(table[clock])}) for table in (data.visits, data.scans))
    keys = ["participant_id", clock]
    return visits.merge(scans[[*keys, *lacking]], how="outer", on=keys, indicator=FROM)


def _clock(data: CohortData, table: pd.DataFrame) -> pd.Series:
    name = data.clock(table)
    return numbers(table[name]) if name in table else pd.Series(np.nan, index=table.index)


def follow_up(data: CohortData) -> FollowUp:
    """Visits from the first scan on, of everybody with a disease.

    The clock is the column of the role time where the visits have it, otherwise years since the first visit or age;
    the visit of the first scan is found by its session, or by age.

    Raises
    ------
    AnalysisError
        When no visit can be placed in time.
    """
    return data.once(_follow_up)


def _follow_up(data: CohortData) -> FollowUp:
    first = data.scans[data.first & data.patients]
    events = [data.config.column(role) for role in ("edss", "progression", "relapses", "relapse_dates")]
    needed = [name for name in events if name and (name in data.scans or name in data.visits)]
    source = _source(data, *needed)
    visits = source.assign(_clock=_clock(data, source))
    visits = visits[visits["participant_id"].isin(first["participant_id"]) & visits["_clock"].notna()]
    if visits.empty:
        raise AnalysisError("no visit of people with a disease has an age or a time")
    origin = _origins(data, first, visits)
    years = visits["_clock"] - visits["participant_id"].map(origin)
    groups = first.set_index("participant_id").get("group", pd.Series("all", index=first["participant_id"]))
    visits = visits.assign(
        years=years.where(years > ROUNDING, years.clip(upper=0)), group=visits["participant_id"].map(groups)
    )
    tests = [name for measure in MEASURES if (name := data.config.column(measure)) in visits and name is not None]
    for name in dict.fromkeys([*needed, *tests]):
        if name != data.config.column("relapse_dates"):
            visits[name] = numbers(visits[name])
    kept = visits[visits[YEARS] >= -data.config.baseline_days / DAYS_PER_YEAR - ROUNDING].drop(columns="_clock")
    order = kept.sort_values(["participant_id", YEARS], kind="stable")
    return FollowUp(data, order.reset_index(drop=True), origin)


def _origins(data: CohortData, first: pd.DataFrame, visits: pd.DataFrame) -> pd.Series:
    """Clock value of each person's first scan; of their first visit where it cannot be told."""
    origin = visits.groupby("participant_id")["_clock"].min()
    if data.clock(visits) == "age":
        by_age = first.set_index("participant_id")["age"].astype(float)
        return by_age.reindex(origin.index).fillna(origin)
    if "session_id" in visits and "session_id" in first:
        keys = first[["participant_id", "session_id"]].dropna()
        at_scan = visits.merge(keys, on=["participant_id", "session_id"]).groupby("participant_id")["_clock"].min()
        return at_scan.reindex(origin.index).fillna(origin)
    return origin


def clock_times(data: CohortData, column: str) -> dict[str, float]:
    """Clock value (`CohortData.clock`) of each person's earliest entry of a column of dates, or of years since the
    first visit.

    Raises
    ------
    AnalysisError
        When an entry is neither a date nor a number, or a date cannot be placed.
    """
    table = _source(data, column)
    clock = _clock(data, table)
    start = clock.groupby(table["participant_id"]).min().to_dict()
    anchors = _dated(table, clock)
    written = table.loc[table[column].notna(), ["participant_id", column]].drop_duplicates()
    entries = pd.Series(sorted({str(cell).strip() for cell in written[column]}), dtype=object)
    problem = date_problem(entries)
    if problem:
        raise AnalysisError(f"{column} cannot be used: {problem}", WRITE_ISO)
    moments = dict(zip(entries, dates(entries), strict=True))
    found: dict[str, float] = {}
    for person, cell in zip(written["participant_id"].astype(str), written[column], strict=True):
        text = str(cell).strip()
        at = _placed(person, text, moments[text], start[person], anchors, column)
        found[person] = min(at, found.get(person, np.inf))
    return found
