"""Number of deviations at the first scan and the time to progression or a relapse: Cox regression with covariates."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from bids_app.clinical.analyses.follow_up import follow_up
from bids_app.clinical.analyses.outcome_analyses import known, progression_methods
from bids_app.clinical.analyses.risk_data import outcomes_of
from bids_app.clinical.analyses.worsening_analyses import WORSENING, worsening_methods
from bids_app.clinical.cohort import CohortData
from bids_app.clinical.figures import Forest
from bids_app.clinical.results import AnalysisResult, make_result
from bids_app.clinical.stats.cox import concordance_columns, fit_cox, proportionality
from bids_app.clinical.stats.linear import design
from bids_app.clinical.wording import few_people, interval, listing, p_value, plural, software, upper_first
from bids_app.errors import AnalysisError

DEVIATIONS = "number of infra-normal deviations"
UNADJUSTED, ADJUSTED = "unadjusted", "adjusted"
NO_LEVEL_EVENT = "a level without any event: no finite estimate"
UNBOUNDED = "no finite estimate: the events do not bound it"
CHANGES = "; the ratio changes over time, so one number does not describe it well"
# Fewer events than this per coefficient make a Cox model unreliable (Peduzzi et al. 1995).
EVENTS_PER_TERM = 10
COLUMNS = {
    "outcome": "What happens",
    "model": "Whether the model has covariates",
    "term": "Predictor: one deviation more, one unit of a covariate more, or a level against the first",
    "n_events": "People with the event",
    "p_proportional": "p of the check of proportional hazards; a small value speaks against one ratio for all times",
    "concordance": "Harrell's C of the whole model: 0.5 is chance",
    "concordance_low": "Lower bound of the 95 % interval of C (normal, infinitesimal jackknife)",
    "concordance_high": "Upper bound of the 95 % interval of C",
    "covariates": "Covariates of the model",
}
METHODS = (
    "{counting} Times from the first scan to an event were related to the number of infra-normal deviations at the "
    "first scan by Cox regression (Efron's ties){adjusted}; proportional hazards were checked by Grambsch and "
    "Therneau's score test, and Harrell's C is that of the same people, without cross-validation. Software: {software}."
)


def hazards(data: CohortData) -> list[AnalysisResult]:
    """Hazard ratio per deviation for each outcome, alone and adjusted for the covariates of the options.

    Raises
    ------
    AnalysisError
        When no outcome is known or no model can be fitted.
    """
    followed = follow_up(data)
    first = data.scans[data.first & data.patients]
    first = first[first["participant_id"].isin(followed.people["participant_id"])].reset_index(drop=True)
    rows, problems = [], []
    for outcome, times in outcomes_of(followed, first["participant_id"]).items():
        for model, covariates in _models(data):
            try:
                rows += [{"outcome": outcome, "model": model, **row} for row in _cox(first, times, covariates)]
            except AnalysisError as error:
                problems.append(f"{upper_first(outcome)}, {model} model: {error}")
    if not rows:
        raise AnalysisError("; ".join(problems) or "there is neither progression nor relapse over time")
    table = pd.DataFrame(rows)
    shown = table[table["term"] == DEVIATIONS]
    sentences = [_sentence(row) for row in shown.to_dict("records")]
    sentences += [f"{problem}." for problem in problems]
    sentences += [*data.strata_note, *data.counting_note, *few_people(int(shown["n_people"].min()))]
    models = [f"with {listing(list(terms))}" if terms else "alone" for _, terms in _models(data)]
    adjusted = "" if models == ["alone"] else f", {' and '.join(models)}"
    methods = METHODS.format(counting=data.counting, adjusted=adjusted, software=software("numpy", "scipy"))
    if "progression" in set(table["outcome"]):
        methods = progression_methods(followed) + methods
    if set(WORSENING) & set(table["outcome"]):
        methods = f"{worsening_methods(followed)} {methods}"
    figure = Forest(
        label="model",
        estimate="estimate",
        low="low",
        high="high",
        p="p",
        facet="outcome",
        where={"term": DEVIATIONS},
        null=1,
        log=True,
        xlabel="Hazard ratio per infra-normal deviation",
    )
    return [
        make_result(
            "hazards",
            "Number of deviations and time to events",
            table,
            sentences=tuple(sentences),
            methods=methods,
            figure=figure,
            **known(COLUMNS, table),
        )
    ]


def _models(data: CohortData) -> list[tuple[str, tuple[str, ...]]]:
    covariates = data.covariates()
    alone = (UNADJUSTED, data.strata)
    return [alone, (ADJUSTED, covariates)] if set(covariates) - set(data.strata) else [alone]


def _cox(first: pd.DataFrame, times: pd.DataFrame, covariates: tuple[str, ...]) -> list[dict[str, object]]:
    """One row per term of a Cox model of the number of deviations and the covariates."""
    terms = pd.concat([first["n_infra"].astype(float).rename(DEVIATIONS), design(first, covariates)], axis=1)
    complete = (times["time"].notna() & terms.notna().all(axis=1)).to_numpy()
    time, event = (times.loc[complete, name].to_numpy(dtype=float) for name in ("time", "event"))
    X = terms[complete]
    varying = X.columns[X.nunique() > 1]
    if DEVIATIONS not in varying:
        raise AnalysisError("everybody has the same number of deviations, or nobody was followed")
    X = X[varying].to_numpy(dtype=float)
    fit = fit_cox(time, event, X)
    check = proportionality(time, event, X)
    few = fit.n_events < EVENTS_PER_TERM * len(varying)
    note = f"fewer than {EVENTS_PER_TERM} events per coefficient" if few else None
    shared = {"n_people": fit.n_people, "n_events": fit.n_events}
    last = {**concordance_columns(time, event, fit.linear), "covariates": ", ".join(covariates) or None}
    rows = []
    for j, term in enumerate(varying):
        member = X[:, j] > X[:, j].min()
        lone = len(np.unique(X[:, j])) == 2 and event[member].sum() in (0, event.sum())
        unbounded = bool(lone or not fit.estimable[j])
        with np.errstate(over="ignore"):
            ratio, low, high = np.exp([fit.coef[j], fit.low[j], fit.high[j]])
        rows.append(
            {
                "term": term,
                **shared,
                "estimate": np.nan if unbounded else ratio,
                "low": np.nan if unbounded else low,
                "high": np.nan if unbounded else high,
                "p": np.nan if unbounded else fit.p[j],
                "p_proportional": check.p[j],
                **last,
                "note": NO_LEVEL_EVENT if lone else UNBOUNDED if unbounded else note,
            }
        )
    return rows


def _sentence(row: Mapping[Hashable, Any]) -> str:
    terms = row["covariates"]
    adjusted = f", adjusted for {listing(terms.split(', '))}" if isinstance(terms, str) else ""
    text = (
        f"{upper_first(row['outcome'])} ({plural(row['n_events'], 'event')} in "
        f"{plural(row['n_people'], 'person', 'people')}){adjusted}"
    )
    if np.isnan(row["estimate"]):
        return f"{text}: a hazard ratio cannot be given ({row['note']})."
    doubt = CHANGES if row["p_proportional"] < 0.05 else ""
    few = f"; there are {row['note']}" if isinstance(row["note"], str) else ""
    return (
        f"{text}: hazard ratio {row['estimate']:.2f} for each further infra-normal deviation "
        f"({interval(row['low'], row['high'])}, {p_value(row['p'])}); Harrell's C {row['concordance']:.2f} "
        f"({interval(row['concordance_low'], row['concordance_high'])}){doubt}{few}."
    )
