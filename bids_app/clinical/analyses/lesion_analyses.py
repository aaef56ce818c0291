"""Lesions of groups at the first scan, beside FreeSurfer's hypointensities and the ventricles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from bids_app.clinical.analysis_file import LOGGED
from bids_app.clinical.cohort import CohortData
from bids_app.clinical.figures import Forest
from bids_app.clinical.results import AnalysisResult, make_result
from bids_app.clinical.values import numbers
from bids_app.clinical.wording import few_people, plural, software
from bids_app.errors import AnalysisError

WORDS = {
    "lesion_volume": ("lesion volume", "mm^3"),
    "lesion_count": ("number of lesions", ""),
    "WM-hypointensities": ("white-matter hypointensities", "mm^3"),
    "lateral ventricles": ("lateral ventricles", "mm^3"),
}
VENTRICLES = ("Left-Lateral-Ventricle", "Right-Lateral-Ventricle")
COLUMNS = {
    "measure": "What is measured",
    "group": "Group of people",
    "n_people": "People with a value at their first scan",
    "mean": "Mean",
    "low": "Lower bound of the 95 % t interval of the mean",
    "high": "Upper bound of the 95 % t interval of the mean",
    "median": "Median",
    "q25": "25th centile",
    "q75": "75th centile",
    "in_unit": "Unit of the values",
}
METHODS = (
    "Lesions are those of the segmentation that the columns come from, at each person's first scan with a value. They "
    "are not z-scores: there is no healthy reference for them. In models log(1 + value) stands for both. Software: "
    "{software}."
)


def lesions(data: CohortData) -> list[AnalysisResult]:
    """Lesions by group.

    Raises
    ------
    AnalysisError
        When nobody has a value.
    """
    rows: list[dict[str, Any]] = [
        {"measure": WORDS[name][0], "group": group, **_summary(values), "in_unit": WORDS[name][1] or None}
        for name, column in _measures(data)
        for group, values in _by_group(data, column)
    ]
    if not rows:
        raise AnalysisError("nobody has a lesion volume or a number of lesions at a scan")
    table = pd.DataFrame(rows)
    named = {WORDS[role][0] for role in LOGGED}
    sentences = [
        f"{row['measure'].capitalize()}, group {row['group']}: median {row['median']:.0f}"
        f"{' ' + row['in_unit'] if row['in_unit'] else ''} ({row['q25']:.0f} to {row['q75']:.0f} in the middle half) "
        f"in {plural(row['n_people'], 'person', 'people')}."
        for row in rows
        if row["measure"] in named
    ]
    sentences += _association(data)
    figure = Forest(
        label="group", estimate="mean", low="low", high="high", facet="measure", xlabel="Mean at the first scan"
    )
    return [
        make_result(
            "lesions",
            "Lesions",
            table,
            sentences=(*sentences, *few_people(int(table["n_people"].min()))),
            methods=METHODS.format(software=software("numpy", "scipy")),
            figure=figure,
            **COLUMNS,
        )
    ]


def _measures(data: CohortData) -> Iterator[tuple[str, pd.Series]]:
    """Name and values per scan of the lesions, and of what is shown beside them."""
    for role in LOGGED:
        column = data.config.column(role)
        if column in data.scans:
            yield role, data.scans[column].astype(float)
    if "WM-hypointensities" in data.scans:
        yield "WM-hypointensities", numbers(data.scans["WM-hypointensities"])
    if all(name in data.scans for name in VENTRICLES):
        left, right = (numbers(data.scans[name]) for name in VENTRICLES)
        yield "lateral ventricles", left + right


def _by_group(data: CohortData, values: pd.Series) -> Iterator[tuple[str, pd.Series]]:
    """The values at each person's first scan with one, by group."""
    order = data.scans.assign(_value=values).dropna(subset=["_value"]).sort_values("age", kind="stable")
    first = order.drop_duplicates("participant_id")
    groups = first["group"] if "group" in first else pd.Series("all", index=first.index)
    for name, part in first.groupby(groups, sort=True):
        yield str(name), part["_value"]


def _summary(values: pd.Series) -> dict[str, float]:
    from scipy.stats import t

    n, mean = len(values), float(values.mean())
    half = t.ppf(0.975, n - 1) * values.std() / np.sqrt(n) if n > 1 else np.nan
    low, middle, high = values.quantile([0.25, 0.5, 0.75])
    return {
        "n_people": n,
        "mean": mean,
        "low": mean - half,
        "high": mean + half,
        "median": middle,
        "q25": low,
        "q75": high,
    }


def _association(data: CohortData) -> list[str]:
    """How the number of infra-normal deviations goes with the lesions in the people with a disease, in a sentence."""
    found = []
    first = data.scans[data.first & data.patients]
    for role in LOGGED:
        column = data.config.column(role)
        if column not in first:
            continue
        logged, counts = np.log1p(first[column].astype(float)), first["n_infra"].astype(float)
        known = logged.notna() & counts.notna()
        if known.sum() < 4 or logged[known].nunique() < 2 or counts[known].nunique() < 2:
            continue
        r = float(np.corrcoef(logged[known], counts[known])[0, 1])
        found.append((WORDS[role][0], r, int(known.sum())))
    return [
        f"log(1 + {words}) and the number of infra-normal deviations at the first scan: correlation {r:.2f} "
        f"({n} people with a disease; adjusted models are under clinical scores)."
        for words, r, n in found
    ]
