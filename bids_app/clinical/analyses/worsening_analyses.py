"""Confirmed worsening with and without relapses: every event, the share of PIRA, and how much windows decide on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product
from typing import Any

import pandas as pd

from bids_app.clinical.analyses.follow_up import FollowUp, follow_up
from bids_app.clinical.analyses.outcome_analyses import PEOPLE_COLUMNS, known, survival_result
from bids_app.clinical.cohort import CohortData
from bids_app.clinical.figures import Forest, Table
from bids_app.clinical.results import AnalysisResult, make_result
from bids_app.clinical.stats.worsening import (
    DEFINITIONS,
    MEASURES,
    PIRA,
    RAW,
    TYPES,
    UNDETERMINED,
    Share,
    WorseningRule,
    first_of,
    share_of,
)
from bids_app.clinical.wording import few_people, interval, listing, percent, plural, software
from bids_app.errors import AnalysisError

EDSS_PLUS = "EDSS-plus worsening"
# Outcomes over time, and what they are called in sentences
WORSENING = {PIRA: PIRA, RAW: "relapse-associated worsening", EDSS_PLUS: EDSS_PLUS}
# Fewer people with an outcome are no material for a Cox model (Peduzzi et al. 1995, doi:10.1016/0895-4356(95)00048-8).
FEWEST_EVENTS = 10
WEEKS = (12, 24, 48)
SOURCES = {
    "portaccio2025": "Portaccio et al. 2025, Neurology 105, hdl.handle.net/2158/1438101",
    "mueller2023": "Müller et al. 2023, doi:10.1001/jamaneurol.2023.3331",
    "mueller2025": "Müller et al. 2025, doi:10.1001/jamaneurol.2025.0495",
    "cagol2022": "Cagol et al. 2022, doi:10.1001/jamaneurol.2022.1025",
    "kappos2020": "Kappos et al. 2020, doi:10.1001/jamaneurol.2020.1568",
    "absent": "no relapse from baseline to confirmation, as one of Portaccio et al. 2025",
}
EVENTS = {
    "measure": "Role of the test that worsened",
    "event_number": "Number of the event among those of the person on this test",
    "event_type": "PIRA: independent of relapses; RAW: associated with a relapse; undetermined: neither can be said",
    "time": "Years from the first scan to the first visit of the worsening",
    "baseline": "Score from which it is counted, in the unit of the test",
    "baseline_at": "Years from the first scan to the visit with that score",
    "score_at_event": "Score at the first visit of the worsening, in the unit of the test",
    "confirmed_at": "Years from the first scan to the visit that confirms it",
    "days_since_relapse": "Days from the last relapse to the worsening; n/a without one",
    "days_to_relapse": "Days from the worsening to the next relapse; n/a without one",
    "note": "Why the type is undetermined",
}
SHARES = {
    "definition": "Published definition; own: that of the analysis file",
    "baseline": "Roving (a confirmed better score is the new one) or fixed",
    "weeks": "Weeks that confirm a worsening",
    "n_events": "Confirmed worsenings of EDSS",
    "n_people": "People with any",
    "n_pira": "Events that are PIRA",
    "n_raw": "Events that are associated with a relapse",
    "n_undetermined": "Events of which neither can be said",
    "share": "Share of PIRA among the events, 0 to 1",
    "low": "Lower bound of its 95 % interval",
    "high": "Upper bound of its 95 % interval",
}
METHODS = (
    "A worsening is a rise of EDSS by at least 1.5 from a baseline below 1, 0.5 from {half:g} on and 1.0 between, a "
    "time on the 9-hole peg test or the 25-foot walk that is {share:.0f} % longer (EDSS-Plus, Cadavid et al. 2017, "
    "Multiple Sclerosis Journal), or {points:g} points less on the SDMT (Benedict et al. 2017, "
    "doi:10.1177/1352458517690821), seen at every visit from its first, after the first scan, to one at least "
    "{days:g} days later (less {tolerance:g} days){sustained}. The baseline is {baseline}; after a worsening it is the "
    "confirming score{rebase}. A worsening is PIRA when no relapse lies {free}, RAW when one lies {before:g} days "
    "before to {after:g} days after its onset, otherwise undetermined. Scores within {unstable:g} days after a relapse "
    "are no baseline (when all near the scan are, the next score is) and confirm nothing. Definition: {source}. Shares "
    "have Clopper-Pearson intervals with the effective number of events (Korn and Graubard 1998), as events of one "
    "person are alike. Software: {software}."
)


def worsening(data: CohortData) -> list[AnalysisResult]:
    """Every event, the share of PIRA, its dependence on the definition, and time to the first of each kind."""
    followed = follow_up(data)
    events, courses = followed.worsening()
    if courses["followed"].isna().all():
        raise AnalysisError("nobody has a score near the first scan from which worsening could be counted")
    methods = worsening_methods(followed)
    results = [_share(followed, events, courses, methods), _events(events, methods)]
    dated = data.config.column("relapse_dates") in followed.visits
    if dated and (events["measure"] == "edss").any():
        results.append(_definitions(followed, methods))
    for name, people in worsening_outcomes(followed, events, courses).items():
        key, what = name.split()[0].lower().replace("-", "_"), WORSENING[name]
        notes: tuple[str, ...] = (_parts_note(followed),) if name == EDSS_PLUS else ()
        if people["event"].sum() < FEWEST_EVENTS:
            notes += (f"Fewer than {FEWEST_EVENTS} people had it, so it is in no Cox model and no risk group.",)
        title = f"Time to the first {what}"
        results.append(survival_result(f"worsening_{key}", title, people, what, methods, notes))
    return results


def worsening_outcomes(
    followed: FollowUp, events: pd.DataFrame | None = None, courses: pd.DataFrame | None = None
) -> dict[str, pd.DataFrame]:
    """Time to the first PIRA and RAW of EDSS and to EDSS-plus worsening, of those that anybody had, with ``group``.

    Parameters
    ----------
    followed : FollowUp
    events, courses : DataFrame, optional
        What ``followed.worsening()`` gives; made here when one of them is missing.

    Returns
    -------
    dict of str to DataFrame
        Name of the outcome to one row per person: ``participant_id n_visits time event group``, time in years from
        the first scan.
    """
    if not followed.measures:
        return {}
    if events is None or courses is None:
        events, courses = followed.worsening()
    courses = courses[courses["followed"].notna()]
    parts = _parts(followed)
    edss = events["measure"] == "edss"
    wanted = {
        PIRA: (edss & (events["event_type"] == PIRA), ["edss"]),
        RAW: (edss & (events["event_type"] == RAW), ["edss"]),
        # with EDSS alone it is confirmed progression
        EDSS_PLUS: (events["measure"].isin(parts), parts if set(parts) - {"edss"} else []),
    }
    groups = followed.people.set_index("participant_id")["group"]
    found = {}
    for name, (rows, measures) in wanted.items():
        own = courses[courses["measure"].isin(measures)]
        if rows.any() and len(own):
            people = first_of(events[rows], own)
            found[name] = people.assign(group=people["participant_id"].map(groups))
    return found


def _parts(followed: FollowUp) -> list[str]:
    """The tests that EDSS-plus worsening is made of here."""
    return [name for name in followed.data.config.worsening.edss_plus if name in followed.measures]


def _parts_note(followed: FollowUp) -> str:
    parts = _parts(followed)
    named = [MEASURES[name].words for name in parts]
    own = "; Cadavid's EDSS-Plus has no SDMT (set edss_plus to leave it out)" if "sdmt" in parts else ""
    said = " or ".join(filter(None, (", ".join(named[:-1]), named[-1])))
    return f"EDSS-plus worsening is the first worsening of {said}{own}."


def worsening_methods(followed: FollowUp) -> str:
    """How worsening, PIRA and RAW were determined, for a methods section."""
    rule, definition = followed.worsening_rule, followed.data.config.worsening.definition
    start = {
        "days": f"in the {rule.before_onset:g} days before",
        "previous visit": "since the visit before",
        "baseline": "since the baseline",
    }[rule.free_from]
    free = f"{start} or the {rule.after_onset:g} days after its onset"
    if rule.until_confirmation:
        free += " or between onset and confirmation"
    if rule.before_confirmation or rule.after_confirmation:
        free += (
            f" or from {rule.before_confirmation:g} days before to {rule.after_confirmation:g} days after confirmation"
        )
    changed = rule != WorseningRule(**{**DEFINITIONS[definition], "baseline_days": rule.baseline_days})  # type: ignore[arg-type]
    roving = ", or a better score that is confirmed in the same way" if rule.roving else ""
    return METHODS.format(
        half=rule.half_point_from,
        share=100 * rule.share,
        points=rule.sdmt_points,
        days=rule.confirmation_days,
        tolerance=rule.tolerance_days,
        sustained=" and at every later visit" if rule.sustained else "",
        baseline=f"the score nearest the first scan, at most {rule.baseline_days:g} days away{roving}",
        rebase=", and after a relapse the first score that counts" if rule.rebaseline_after_relapse else "",
        free=free,
        before=rule.raw_before,
        after=rule.raw_after,
        unstable=rule.unstable_days,
        source=f"{SOURCES[definition]}{', changed as said here' if changed else ''}",
        software=software("numpy", "scipy"),
    )


def _events(events: pd.DataFrame, methods: str) -> AnalysisResult:
    """The table of every event."""
    order = ["participant_id", "group", *[name for name in events if name not in ("participant_id", "group")]]
    table = events.reindex(columns=order)
    return make_result(
        "worsening_events", "Every confirmed worsening", table, methods=methods, figure=Table(), **known(EVENTS, table)
    )


def _counted(followed: FollowUp, events: pd.DataFrame, courses: pd.DataFrame) -> Iterator[str]:
    """How many worsenings there are on each test, in a sentence each."""
    for measure in followed.measures:
        own, people = events[events["measure"] == measure], courses[courses["measure"] == measure]
        seen = int(people["followed"].notna().sum())
        lost = len(people) - seen
        left = f" {plural(lost, 'person', 'people')} without a score near the first scan left out." if lost else ""
        yield (
            f"{MEASURES[measure].words}: {plural(len(own), 'confirmed worsening')} in "
            f"{own['participant_id'].nunique()} of {plural(seen, 'person', 'people')}{_by_type(own)}.{left}"
        )


def _by_type(events: pd.DataFrame) -> str:
    counts = {kind: int((events["event_type"] == kind).sum()) for kind in TYPES}
    return f" ({listing([f'{count} {kind}' for kind, count in counts.items() if count])})" if len(events) else ""


def _relapse_notes(followed: FollowUp) -> list[str]:
    """What is not known about relapses, in sentences."""
    if followed.data.config.column("relapse_dates") not in followed.visits:
        return [
            "No column has dates of relapses (role relapse_dates), so PIRA and relapse-associated worsening cannot be "
            "told apart; numbers of relapses per visit do not date them."
        ]
    without = sorted(set(followed.people["participant_id"]) - set(followed.relapse_times()))
    counted = plural(len(without), "person", "people")
    return [f"{counted} without any listed relapse count as having had none."] if without else []


def _share(followed: FollowUp, events: pd.DataFrame, courses: pd.DataFrame, methods: str) -> AnalysisResult:
    """The share of PIRA among the events of each test, by group."""
    rows = [
        {"measure": measure, "group": group, **_shares(part)}
        for measure in followed.measures
        for group, part in _groups(events[events["measure"] == measure])
    ]
    told = [_share_sentence(row) for row in rows if row["n_undetermined"] < row["n_events"]]
    few = min((row["n_people"] for row in rows if row["n_events"]), default=0)
    table = pd.DataFrame(rows)
    figure = Forest(
        label="group",
        estimate="share",
        low="low",
        high="high",
        facet="measure",
        xlabel="Share of PIRA among worsenings",
    )
    return make_result(
        "worsening_share",
        "Confirmed worsening, and the share that is independent of relapses",
        table,
        sentences=(*told, *_counted(followed, events, courses), *_relapse_notes(followed), *few_people(few)),
        methods=methods,
        figure=figure if table["share"].notna().any() else Table(),
        **known({**SHARES, "measure": EVENTS["measure"]}, table),
    )


def _groups(events: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The events of each group, and where there are none or several groups of all together."""
    parts = [(str(name), part) for name, part in events.groupby("group", sort=True)] if len(events) else []
    yield from parts
    if len(parts) != 1:
        yield "all", events


def _shares(events: pd.DataFrame) -> dict[str, Any]:
    share: Share = share_of(events)
    counts = {f"n_{kind.lower()}": int((events["event_type"] == kind).sum()) for kind in TYPES}
    if counts[f"n_{UNDETERMINED}"] == len(events):
        share = share._replace(share=float("nan"), low=float("nan"), high=float("nan"))
    return {"n_people": share.n_people, "n_events": share.n_events, **counts, **share._asdict()}


def _share_sentence(row: Mapping[str, Any]) -> str:
    neither = f", of {row['n_undetermined']} neither can be said" if row["n_undetermined"] else ""
    bounds = interval(100 * row["low"], 100 * row["high"], 0)
    verbs = ["is" if row[name] == 1 else "are" for name in ("n_pira", "n_raw")]
    return (
        f"{MEASURES[row['measure']].words}, group {row['group']}: {row['n_pira']} of "
        f"{plural(row['n_events'], 'confirmed worsening')} of {plural(row['n_people'], 'person', 'people')} "
        f"{verbs[0]} PIRA, {percent(row['share'])} ({bounds} %); {row['n_raw']} {verbs[1]} associated with a "
        f"relapse{neither}."
    )


def definition_rules(own: WorseningRule) -> Iterator[tuple[str, str, int, WorseningRule]]:
    """Name, baseline, weeks of confirmation and rule: the analysis file's, and each definition in six variants."""
    yield "own", "roving" if own.roving else "fixed", round(own.confirmation_days / 7), own
    for name, roving, weeks in product(DEFINITIONS, (True, False), WEEKS):
        values: dict[str, Any] = {**DEFINITIONS[name], "baseline_days": own.baseline_days, "roving": roving}
        rule = replace(WorseningRule(**values), confirmation_days=7.0 * weeks)
        yield name, "roving" if roving else "fixed", weeks, rule


def _definitions(followed: FollowUp, methods: str) -> AnalysisResult:
    """The share of PIRA among the worsenings of EDSS by published definitions, baselines and confirmation times."""
    rows = []
    for name, baseline, weeks, rule in definition_rules(followed.worsening_rule):
        events, _ = followed.worsening(rule, only="edss")
        rows.append({"definition": name, "baseline": baseline, "weeks": weeks, **_shares(events)})
    table = pd.DataFrame(rows)
    found = table["share"].dropna()
    counted = " to ".join(dict.fromkeys(str(table["n_events"].agg(end)) for end in ("min", "max")))
    shares = " to ".join(dict.fromkeys(map(percent, (found.min(), found.max()))))
    sentence = (
        f"By {len(table)} combinations of definition, baseline and confirmation there are {counted} confirmed "
        f"worsenings, of which {shares} are PIRA; in a register 1,440 variants gave 56 to 86 % "
        "(Bsteh et al. 2025, doi:10.1177/13524585251396283), so a share means little without its definition."
        if len(found)
        else "By no definition can the type of any worsening be told."
    )
    figure = Forest(
        label="definition",
        estimate="share",
        low="low",
        high="high",
        facet="baseline",
        where={"weeks": int(table["weeks"].iloc[0])},
        xlabel="Share of PIRA among worsenings of EDSS",
    )
    sources = "; ".join(f"{name}: {source}" for name, source in SOURCES.items())
    return make_result(
        "worsening_definitions",
        "Share of PIRA by definition",
        table,
        sentences=(sentence,),
        methods=f"{methods} Definitions: {sources}.",
        figure=figure,
        **known({**PEOPLE_COLUMNS, **SHARES}, table),
    )
