"""Progression and relapses of the people with a disease: the analyses over time from the first scan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from bids_app.clinical.analyses.follow_up import FollowUp, follow_up
from bids_app.clinical.analyses.prevalence import exact_interval
from bids_app.clinical.cohort import CohortData
from bids_app.clinical.figures import Forest, KaplanMeier, Table
from bids_app.clinical.results import AnalysisResult, make_result
from bids_app.clinical.stats.progression import poisson_rate
from bids_app.clinical.stats.survival import SAME_TIME, SurvivalCurve, kaplan_meier, log_rank
from bids_app.clinical.wording import few_people, interval, p_value, percent, plural, software, upper_first
from bids_app.errors import AnalysisError

CURVE_COLUMNS = {
    "group": "Group of people",
    "years": "Time since the first scan",
    "at_risk": "People at risk just before this time",
    "events": "Events at this time",
    "censored": "People whose follow-up ended at this time",
    "survival": "Kaplan-Meier share of people without event after this time, 0 to 1",
    "se": "Greenwood's standard error of survival",
    "low": "Lower bound of the 95 % interval of survival (log)",
    "high": "Upper bound of the 95 % interval of survival (log)",
}
PEOPLE_COLUMNS = {
    "n_visits": "Number of visits with a value",
    "time": "Years from the first scan to the event or the end of follow-up; n/a without a baseline",
    "event": "Whether the event was seen; otherwise the person is censored",
    "baseline": "EDSS from which the rise is counted",
    "score_at_event": "EDSS at the first visit of the confirmed rise",
    "confirmed_at": "Years from the first scan to the visit that confirms the rise",
    "n_relapses": "Relapses during follow-up",
    "followed": "Years of follow-up",
    "n_people": "People with follow-up after the first scan",
    "unknown": "Intervals between visits without a number of relapses, left out",
    "unknown_years": "Length of these intervals in years",
}
EDSS_METHODS = (
    "Confirmed progression is a rise of EDSS by at least 1.5 from a baseline of 0, 1.0 from 1.0 to 5.5 and 0.5 above "
    "5.5 that is seen at every visit until one at least {months:g} months later (less {tolerance:g} days); its time is "
    "that of the first of these visits after the first scan. {baseline}{relapse}People without event are censored at "
    "their last visit with a score. "
)
MARKED_METHODS = (
    "Progression is taken from the column {column}: its time is the first visit after the first scan where it is "
    "above 0; people without are censored at their last visit. "
)
CURVES = KaplanMeier(
    time="years",
    survival="survival",
    low="low",
    high="high",
    group="group",
    at_risk="at_risk",
    xlabel="Years since the first scan",
)
SURVIVAL_METHODS = (
    "Time without event is described by Kaplan-Meier curves with 95 % intervals on the log scale{test}. Time zero is "
    "the first scan. Software: {software}."
)
RATE_METHODS = (
    "Relapse rates are relapses per person-year from the first scan to the last visit with exact Poisson intervals, "
    "which take relapses as independent; where people differ in their rates the intervals are too narrow. {dates}"
)


# Names of groups that say what they are
OTHERS, AT_RISK = RISK_GROUPS = ("others", "risk group")


def progression(data: CohortData) -> list[AnalysisResult]:
    """Time to confirmed progression: a table of people and Kaplan-Meier curves by group."""
    followed = follow_up(data)
    people = followed.progression()
    methods = progression_methods(followed)
    return [
        survival_result("progression", "Time to confirmed progression", people, "confirmed progression", methods),
        people_result("progression_people", "Confirmed progression of each person", people, methods),
    ]


def progression_methods(followed: FollowUp) -> str:
    """How progression was determined, for a methods section."""
    config, rule = followed.data.config, followed.rule
    marked = config.column("progression")
    if marked in followed.visits:
        return MARKED_METHODS.format(column=marked)
    moves = ", and a lower score that is confirmed in the same way becomes the new baseline"
    baseline = (
        f"The baseline is the score nearest the first scan, at most {config.baseline_days:g} days before or after it"
        f"{moves if rule.roving else ''}. "
    )
    relapse = (
        f"Scores within {config.relapse_free_days:g} days after a relapse are no baseline and neither start nor "
        "confirm a rise. "
        if rule.relapse_free
        else ""
    )
    return EDSS_METHODS.format(
        months=config.confirmation_months,
        tolerance=config.confirmation_tolerance_days,
        baseline=baseline,
        relapse=relapse,
    )


def relapses(data: CohortData) -> list[AnalysisResult]:
    """Annualised relapse rate by group, and time to the first relapse."""
    followed = follow_up(data)
    people = followed.relapses()
    dated = data.config.column("relapse_dates") in followed.visits
    dates = (
        "Relapses are dated. "
        if dated
        else (
            "Relapses are counted per visit, so the first relapse is timed by the visit at which it is reported, and "
            "relapses before the first visit do not count. "
        )
    )
    methods = RATE_METHODS.format(dates=dates)
    before, after = followed.outside()
    outside = f"{plural(before, 'relapse')} up to the first scan and {after} after the last visit do not count."
    notes = (*((outside,) if before or after else ()), *_unknown_relapses(followed, people))
    return [
        _rates(people, methods, notes),
        survival_result("relapse", "Time to the first relapse", people, "a relapse", dates, notes),
        people_result("relapse_people", "Relapses of each person", people, methods),
    ]


def _unknown_relapses(followed: FollowUp, people: pd.DataFrame) -> tuple[str, ...]:
    """What is not known about relapses, in a sentence: intervals without a count, people without a listed relapse."""
    if "unknown" in people:
        missing, years = int(people["unknown"].sum()), float(people["unknown_years"].sum())
        if not missing:
            return ()
        what = plural(missing, "interval between visits", "intervals between visits")
        whom = plural(int((people["unknown"] > 0).sum()), "person", "people")
        return (f"{what} of {whom} ({years:.1f} person-years) without a number of relapses left out, with that time.",)
    listed = set(followed.relapse_times())
    without = int((~people["participant_id"].isin(listed)).sum())
    return (
        (f"{plural(without, 'person', 'people')} without any listed relapse count as having had none.",)
        if without
        else ()
    )


def _rates(people: pd.DataFrame, methods: str, notes: tuple[str, ...]) -> AnalysisResult:
    rows = []
    for group, part in people.groupby("group", sort=True):
        events, years = float(part["n_relapses"].sum()), float(part["followed"].sum())
        if years > 0:
            rows.append(
                {
                    "group": group,
                    "n_people": int((part["followed"] > 0).sum()),
                    "n_relapses": int(events),
                    "followed": years,
                    **poisson_rate(events, years)._asdict(),
                }
            )
    if not rows:
        raise AnalysisError("nobody was followed beyond the first visit, so there is no relapse rate")
    table = pd.DataFrame(rows)
    sentences = tuple(
        f"Group {row['group']}: {plural(row['n_relapses'], 'relapse')} in {row['followed']:.1f} person-years of "
        f"{plural(row['n_people'], 'person', 'people')} with follow-up, {row['rate']:.3f} per year "
        f"({interval(row['low'], row['high'], 3)})."
        for row in table.to_dict("records")
    ) + few_people(int(table["n_people"].min()))
    figure = Forest(label="group", estimate="rate", low="low", high="high", xlabel="Relapses per person-year")
    extra = {
        **PEOPLE_COLUMNS,
        "n_relapses": "Relapses of the group",
        "followed": "Person-years of follow-up",
        "rate": "Relapses per person-year",
    }
    return make_result(
        "relapse_rate",
        "Annualised relapse rate",
        table,
        sentences=(*sentences, *notes),
        methods=f"{methods}Software: {software('numpy', 'scipy')}.",
        figure=figure,
        **known(extra, table),
    )


def survival_result(
    name: str, title: str, people: pd.DataFrame, what: str, methods: str, notes: tuple[str, ...] = ()
) -> AnalysisResult:
    """Kaplan-Meier curves by group, and what they say.

    Parameters
    ----------
    name, title, methods : str
        Of the result.
    people : DataFrame
        ``group time event`` (years), one row per person. With ``stratum`` (patient groups that are not pooled) every
        stratum has curves of its own, and the log-rank test compares within strata.
    what : str
        The event, in words.
    notes : tuple of str
        Sentences at the end.

    Returns
    -------
    AnalysisResult

    Raises
    ------
    AnalysisError
        When nobody was followed beyond the first visit.
    """
    followed = people[people["time"] > 0]
    if followed.empty:
        raise AnalysisError(f"nobody was followed beyond the first visit, so time to {what} is unknown")
    horizon = reading_time(followed)
    strata = followed.get("stratum")
    label = followed["group"] if strata is None else strata + ", " + followed["group"]
    curves = {str(group): kaplan_meier(part["time"], part["event"]) for group, part in followed.groupby(label)}
    table = pd.concat([curve_table(curve, group) for group, curve in curves.items()], ignore_index=True)
    sentences = [_curve_sentence(group, curve, what, horizon) for group, curve in curves.items()]
    if len(curves) > 1 and followed["event"].any():
        try:
            test = log_rank(followed["time"], followed["event"], followed["group"], strata)
        except AnalysisError as error:
            sentences.append(f"{upper_first(error.reason)}.")
        else:
            degrees = f"{plural(test.df, 'degree')} of freedom"
            within = "" if strata is None else ", within patient groups"
            sentences.append(f"Log-rank test of the difference between groups{within}: {p_value(test.p)} ({degrees}).")
            table["p"] = test.p
    sentences += few_people(min(int(curve.at_risk[0]) for curve in curves.values()))
    sentences += [*_not_followed(people, followed), *notes]
    figure = replace(CURVES, ylabel=f"Share without {what}")
    text = SURVIVAL_METHODS.format(
        test=" and compared by the log-rank test" if len(curves) > 1 else "", software=software("numpy", "scipy")
    )
    extra = {**CURVE_COLUMNS, "p": "p of the log-rank test between the groups"}
    return make_result(
        name, title, table, sentences=tuple(sentences), methods=methods + text, figure=figure, **known(extra, table)
    )


def _not_followed(people: pd.DataFrame, followed: pd.DataFrame) -> list[str]:
    unknown = int(people["time"].isna().sum())
    alone, out = len(people) - len(followed) - unknown, []
    if alone:
        out.append(f"{plural(alone, 'person', 'people')} with one visit only could not be followed.")
    if unknown:
        out.append(f"{plural(unknown, 'person', 'people')} without a score near the first scan left out.")
    return out


def curve_table(curve: SurvivalCurve, group: str) -> pd.DataFrame:
    """A curve as rows, the first one at time 0.

    Parameters
    ----------
    curve : SurvivalCurve
        Times in years.
    group : str

    Returns
    -------
    DataFrame
        ``group years at_risk events censored survival se low high``.
    """
    start = {
        "years": 0.0,
        "at_risk": curve.at_risk[0],
        "events": 0.0,
        "censored": 0.0,
        "survival": 1.0,
        "se": 0.0,
        "low": 1.0,
        "high": 1.0,
    }
    later = {"years": curve.time, **{key: getattr(curve, key) for key in list(start)[1:]}}
    table = pd.DataFrame({key: np.concatenate([[value], later[key]]) for key, value in start.items()})
    counts = {key: table[key].astype(int) for key in ("at_risk", "events", "censored")}
    table = table.assign(**counts)
    table.insert(0, "group", group)
    return table


def reading_time(people: pd.DataFrame) -> float:
    """The largest whole number of years (at least 1, or the longest follow-up) that a tenth of people reached.

    Parameters
    ----------
    people : DataFrame
        ``time`` in years.

    Returns
    -------
    float
    """
    reached = float(np.quantile(people["time"], 0.9))
    return float(np.floor(reached)) if reached >= 1 else float(people["time"].max())


def _curve_sentence(group: str, curve: SurvivalCurve, what: str, horizon: float) -> str:
    n, events = int(curve.at_risk[0]), int(curve.events.sum())
    who = upper_first(group) if group in RISK_GROUPS else f"Group {group}"
    text = f"{who}: {events} of {plural(n, 'person', 'people')} had {what} during follow-up"
    survival, low, high, _ = curve.at([horizon])[:, 0]
    if not np.isfinite(survival):
        return f"{text}."
    if not curve.events[curve.time <= horizon * (1 + SAME_TIME)].any():
        followed = int(curve.at([horizon])[3, 0])
        return f"{text}; by {horizon:g} years nobody of {followed} followed so long{_at_most(followed)}."
    bounds = "" if np.isnan(low) else f" (95 % interval {100 * (1 - high):.0f} to {100 * (1 - low):.0f} %)"
    return f"{text}; by {horizon:g} years {percent(1 - survival)}{bounds}."


def _at_most(followed: int) -> str:
    """The exact upper bound of a share of which nothing was seen (Clopper & Pearson 1934)."""
    return f" (95 % interval 0 to {percent(float(exact_interval(0, followed)[1]))})" if followed else ""


def people_result(name: str, title: str, people: pd.DataFrame, methods: str) -> AnalysisResult:
    """One row per person, drawn as a table.

    Parameters
    ----------
    name, title : str
    people : DataFrame
        ``participant_id group`` and outcomes.
    methods : str

    Returns
    -------
    AnalysisResult
    """
    order = ["participant_id", "group", *[column for column in people if column not in ("participant_id", "group")]]
    table = people[order]
    return make_result(name, title, table, methods=methods, figure=Table(), **known(PEOPLE_COLUMNS, table))


def known(descriptions: Mapping[str, str], table: pd.DataFrame) -> dict[str, Any]:
    """The descriptions of columns that `table` has.

    Parameters
    ----------
    descriptions : mapping of str to str
    table : DataFrame

    Returns
    -------
    dict of str to str
    """
    return {name: text for name, text in descriptions.items() if name in table}
