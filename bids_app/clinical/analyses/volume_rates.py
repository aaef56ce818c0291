"""Annualised percentage change of volumes, of people and groups, beside published rates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bids_app.clinical.analyses.outcome_analyses import known
from bids_app.clinical.analyses.volume_scans import ALL_SCANS, UNKNOWN, Followed, baselines
from bids_app.clinical.cohort import CohortData
from bids_app.clinical.composites import HEALTHY, PATIENTS, composite_name, composites, published, published_rates
from bids_app.clinical.figures import Forest, Table
from bids_app.clinical.results import AnalysisResult, make_result
from bids_app.clinical.stats.linear import false_discovery
from bids_app.clinical.stats.volume_rates import group_volume_rates, person_volume_rates
from bids_app.clinical.volume_change import measurement_error
from bids_app.clinical.wording import few_people, interval, listing, plural, software
from bids_app.errors import AnalysisError

OBSERVED, BEYOND = "rate", "beyond expectation"
COMPOSITE, REGION = "composite", "region"
# The composites that sentences tell of; the table holds all
TOLD = ("whole-brain", "thalamus", "ventricles")
RATE_COLUMNS = {
    "kind": "Sum of regions (composite, see docs/ms.md) or a region",
    "structure": "The composite or region in plain words",
    "baseline": "All scans, or those from rebaseline_months after the start of treatment",
    "stream": "FreeSurfer stream of the scans: cross, long, mixed or not known",
    "followed": "Years between the first and the last scan that count",
    "rate": "Annualised change, percent a year",
    "sd": "Standard deviation of the rates of people, weighted by their time, percent a year",
    "healthy_rate": "Annualised change of the median of healthy people of the same ages, sex and head size, by the "
    "model's curve, percent a year; n/a where a part is not modelled",
    "published_healthy": "Published rate of healthy people, percent a year (source: group_published_rates.tsv)",
    "published_ms": "Published rate of people with multiple sclerosis, percent a year",
}
PERSON_COLUMNS = {
    **RATE_COLUMNS,
    "se": "Standard error of the rate from the repeatability of the volume; n/a where it is not known",
    "low": "Lower bound of the 95 % interval by measurement error",
    "high": "Upper bound of the 95 % interval by measurement error",
}
METHODS = (
    "Change of volume is the least-squares slope of log volume over time within people, given as percent a year that "
    "compounds to it; the mean of a group weights people by their sum of squares of time, with standard errors "
    "clustered by person (Liang & Zeger 1986) and t tests, corrected over regions and groups by Benjamini-Hochberg. A "
    "person's standard error is that of repeated scans of unchanged people. The healthy expectation is the same slope "
    "of the model's median at each scan's age, at the person's sex and median head size. {scans}Software: {software}."
)
PUBLISHED_NOTE = (
    "Published rates were measured by other methods and in other people; they are for orientation, and no cut-off is "
    "drawn from them (the cut-off of -0.4 % a year for the whole brain is SIENA's)."
)


def with_kinds(table: pd.DataFrame) -> pd.DataFrame:
    """The table with kind and plain name of each region in front.

    Parameters
    ----------
    table : DataFrame
        With ``region``.

    Returns
    -------
    DataFrame
        ``kind`` is `COMPOSITE` or `REGION`; ``structure`` the name that is shown. Who and what was measured stand
        before both, the other columns after them in their order.
    """
    kind = np.where(table["region"].isin(list(composites())), COMPOSITE, REGION)
    named = table.assign(structure=table["region"].map(composite_name), kind=kind)
    first = [
        name for name in ("group", "control_group", "participant_id", "baseline", "measure", "kind") if name in named
    ]
    first += ["region", "structure"]
    return named[[*first, *[name for name in named if name not in first]]]


def rates(data: CohortData) -> list[AnalysisResult]:
    """Mean rate per group and region, the rate of every person, and published rates."""
    parts, treated, passage = baselines(data)
    tables, people, few = [], [], []
    for baseline, part in parts.items():
        for group, rows in part.scans.groupby("group", sort=True):
            logs, who, years = part.logs.loc[rows.index], rows["participant_id"], rows["years"]
            people.append(_people(part, rows).assign(group=group, baseline=baseline))
            try:
                found = group_volume_rates(logs, who, years)
            except AnalysisError as error:
                few.append(f"Group {group}, {baseline}: no mean rate: {error}.")
                continue
            tables.append(found.assign(group=group, baseline=baseline, healthy_rate=_expected(part, rows, found)))
    if not tables:
        raise AnalysisError("fewer than two people have comparable scans at different times, so there is no rate")
    every = parts[ALL_SCANS]
    table = _described(with_kinds(pd.concat(tables, ignore_index=True)), every.stream)
    table["q"] = table.groupby("baseline")["p"].transform(lambda p: false_discovery(p.to_numpy(dtype=float)))
    own = _described(with_kinds(pd.concat(people, ignore_index=True)), every.stream)
    methods = METHODS.format(scans=every.methods + passage, software=software("numpy", "scipy"))
    figure = Forest(
        label="structure",
        estimate="rate",
        low="low",
        high="high",
        null=0,
        facet="group",
        where={"kind": COMPOSITE, "baseline": ALL_SCANS},
        xlabel="Change of volume, percent a year",
    )
    sentences = (
        *_rate_sentences(table, data.config.control),
        *every.sentences,
        *treated,
        *few,
        *few_people(int(table["n_people"].min())),
    )
    return [
        make_result(
            "volume_rates",
            "Change of volumes per year",
            table,
            sentences=sentences,
            methods=methods,
            figure=figure,
            **known(RATE_COLUMNS, table),
        ),
        make_result(
            "volume_rates_people",
            "Change of volumes of each person",
            own,
            sentences=_without_error(own),
            methods=methods,
            figure=Table(),
            **known(PERSON_COLUMNS, own),
        ),
        _published_result(),
    ]


def _people(part: Followed, rows: pd.DataFrame) -> pd.DataFrame:
    """The rates of the people in `rows`, with the errors of their stream and the expected rates."""
    logs, years = part.logs.loc[rows.index], rows["years"]
    stream = rows["stream"] if "stream" in rows else pd.Series(None, index=rows.index, dtype=object)
    blocks = []
    for level, some in rows.groupby(stream.fillna(UNKNOWN).astype(str), sort=True):
        mean = np.exp(logs.loc[some.index].mean())
        error = measurement_error(str(level), mean)
        found = person_volume_rates(logs.loc[some.index], some["participant_id"], years[some.index], error)
        healthy = person_volume_rates(part.healthy.loc[some.index], some["participant_id"], years[some.index], error)
        keys = ["participant_id", "region"]
        merged = found.merge(healthy[[*keys, "rate"]].rename(columns={"rate": "healthy_rate"}), on=keys, how="left")
        blocks.append(merged.drop(columns="weight"))
    return pd.concat(blocks, ignore_index=True)


def _without_error(own: pd.DataFrame) -> tuple[str, ...]:
    """Which composites have rates of people without a standard error, and why."""
    rates_ = own[(own["kind"] == COMPOSITE) & own["rate"].notna()]
    named = [name for name, known_ in rates_.groupby("structure", sort=False)["se"].count().items() if not known_]
    if not named:
        return ()
    return (
        f"No standard error of a person's rate of {listing([str(name) for name in named], 6)}: how well all parts "
        "repeat in this stream of FreeSurfer is not known.",
    )


def _expected(part: Followed, rows: pd.DataFrame, found: pd.DataFrame) -> np.ndarray:
    """The expected rate of the group, with the weights of the rates themselves."""
    known = part.healthy.loc[rows.index].where(part.logs.loc[rows.index].notna())
    try:
        expected = group_volume_rates(known, rows["participant_id"], rows["years"]).set_index("region")["rate"]
    except AnalysisError:
        return np.full(len(found), np.nan)
    return expected.reindex(found["region"]).to_numpy()


def _described(table: pd.DataFrame, stream: str) -> pd.DataFrame:
    return table.assign(
        published_healthy=[published(name, HEALTHY) for name in table["region"]],
        published_ms=[published(name, PATIENTS) for name in table["region"]],
        stream=stream,
    )


def _rate_sentences(table: pd.DataFrame, control: str | None) -> tuple[str, ...]:
    """The composites that are `TOLD`, one sentence per group and baseline, the controls last."""
    told = table[table["region"].isin(TOLD)]
    found = {}
    for (baseline, group), part in told.groupby(["baseline", "group"], sort=True):
        named = listing([_rate_words(row) for row in part.to_dict("records")])
        people = plural(int(part["n_people"].max()), "person", "people")
        when = "" if baseline == ALL_SCANS else f", {baseline}"
        found[baseline, group == control, group] = f"Group {group} ({people}{when}) changes a year: {named}."
    return (*(found[key] for key in sorted(found)), PUBLISHED_NOTE)


def _rate_words(row: dict[Any, Any]) -> str:
    expected = row["healthy_rate"]
    healthy = f"; healthy people of these ages {expected:+.2f} %" if np.isfinite(expected) else ""
    return f"{row['structure']} {row['rate']:+.2f} % ({interval(row['low'], row['high'])}{healthy})"


def _published_result() -> AnalysisResult:
    table = published_rates()
    table.insert(1, "structure", table["region"].map(composite_name))
    return make_result(
        "published_rates",
        "Published rates of change",
        table,
        sentences=(PUBLISHED_NOTE,),
        figure=Table(),
        rate="Published mean rate, percent a year",
        method="How it was measured",
        source="Publication",
        sd="Standard deviation between people, percent a year",
    )
