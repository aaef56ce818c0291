"""All clinical statistics of a cohort, one after the other: none stops the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import pandas as pd

from bids_app.clinical.analyses import (
    change_analyses,
    group_comparison,
    hazards,
    lesion_analyses,
    outcome_analyses,
    pictures,
    rate_contrasts,
    risk_groups,
    score_analyses,
    summed_pairs,
    volume_rates,
    volume_scans,
    worsening_analyses,
)
from bids_app.clinical.analysis_file import ROLES, SCORES, AnalysisConfig, grouping_column
from bids_app.clinical.cohort import CohortData, Measured, prepare
from bids_app.clinical.figures import Table
from bids_app.clinical.results import AnalysisResult, failed, make_result, not_computed
from bids_app.clinical.values import labels
from bids_app.clinical.wording import listing
from bids_app.errors import NormvolError

ANY_SCORE = tuple(SCORES)
UNUSED = "No column plays the roles"


class Analysis(NamedTuple):
    """One entry of the table of analyses.

    `any_of` are roles of which at least one must have a column; empty: it can always be done.
    """

    name: str
    title: str
    any_of: tuple[str, ...]
    run: Callable[[CohortData], list[AnalysisResult]]


ANALYSES: tuple[Analysis, ...] = (
    Analysis("burden", "Number of deviations by group", (), group_comparison.burden),
    Analysis("deviation_prevalence", "Share of people in deviation per region", (), group_comparison.prevalence),
    Analysis("case_control", "Number of deviations, groups against controls", ("diagnosis",), group_comparison.counts),
    Analysis("region_differences", "Regional differences from controls", ("diagnosis",), group_comparison.regions),
    Analysis("calibration", "Fit of the reference to the controls", ("diagnosis",), pictures.calibration),
    Analysis("courses", "Everybody in the leading regions", (), pictures.courses),
    Analysis(
        "scores_counts",
        "Clinical scores and number of deviations, at the first visit",
        ANY_SCORE,
        score_analyses.counts_first,
    ),
    Analysis(
        "scores_counts_longitudinal",
        "Clinical scores and number of deviations, over all visits",
        ANY_SCORE,
        score_analyses.counts_all,
    ),
    Analysis(
        "scores_regions", "Clinical scores and regional z, at the first visit", ANY_SCORE, score_analyses.regions_first
    ),
    Analysis(
        "scores_regions_longitudinal",
        "Clinical scores and regional z, over all visits",
        ANY_SCORE,
        score_analyses.regions_all,
    ),
    Analysis("scores_people", "Clinical scores and deviations of each person", ANY_SCORE, pictures.scores_people),
    Analysis("visits", "First and last visit", (), pictures.visits),
    Analysis("lesions", "Lesions", ("lesion_volume", "lesion_count"), lesion_analyses.lesions),
    Analysis("change_rates", "Change of z over time", (), change_analyses.rates),
    Analysis("comparability", "Scans that can be compared", (), volume_scans.comparability),
    Analysis("volume_rates", "Change of volumes per year", (), volume_rates.rates),
    Analysis("volume_rate_contrasts", "Change of volumes against controls", ("diagnosis",), rate_contrasts.contrasts),
    Analysis("summed_pairs", "Left and right together", (), summed_pairs.summed_pairs),
    Analysis("stability", "Stability of deviations", (), change_analyses.stability),
    Analysis("progression", "Time to confirmed progression", ("edss", "progression"), outcome_analyses.progression),
    Analysis(
        "worsening",
        "Confirmed worsening with and without relapses",
        ("edss", "nhpt", "nhpt_other", "t25fw", "sdmt"),
        worsening_analyses.worsening,
    ),
    Analysis("relapse", "Time to the first relapse", ("relapse_dates", "relapses"), outcome_analyses.relapses),
    Analysis(
        "hazards",
        "Number of deviations and time to events",
        ("edss", "progression", "relapse_dates", "relapses"),
        hazards.hazards,
    ),
    Analysis(
        "risk_groups",
        "Risk groups by deviations",
        ("edss", "progression", "relapse_dates", "relapses"),
        risk_groups.risk_groups,
    ),
)


def run_analysis(
    cohort: pd.DataFrame,
    zscores: pd.DataFrame,
    config: AnalysisConfig,
    *,
    visits: pd.DataFrame | None = None,
    expected: pd.DataFrame | None = None,
    measured: Measured | None = None,
    analyses: tuple[Analysis, ...] = ANALYSES,
) -> list[AnalysisResult]:
    """Every analysis that the cohort allows, and for the others why not.

    Parameters
    ----------
    cohort : DataFrame
        One row per scan: ``participant_id session_id age sex etiv_mm3`` and every clinical column.
    zscores : DataFrame
        Same rows in the same order, one column per region.
    config : AnalysisConfig
    visits : DataFrame, optional
        Clinical visits, with or without a scan: ``participant_id age`` and clinical columns.
    expected : DataFrame, optional
        What a healthy person shows in place of each scan (`group_tables.expected_table`), same rows as `cohort`;
        default: from the number of regions.
    measured : Measured, optional
        Volumes and further z, same rows as `cohort`, for rates of volumes and sums of left and right.
    analyses : tuple of Analysis
        The table of analyses.

    Returns
    -------
    list of AnalysisResult
        The first one, ``roles``, lists which column plays which role, and has the findings on the cohort.

    Raises
    ------
    AnalysisError
        When the tables do not belong together.
    """
    data = prepare(cohort, zscores, config, visits, expected, measured)
    results = [replace(roles_result(data), findings=data.findings)]
    for analysis in analyses:
        results += _run(analysis, data)
    return results


def _run(analysis: Analysis, data: CohortData) -> list[AnalysisResult]:
    missing = _missing(analysis, data)
    if missing:
        return [not_computed(analysis.name, analysis.title, missing)]
    try:
        return analysis.run(data)
    except NormvolError as error:
        reason = f"{str(error).rstrip('.')}."
    except Exception as error:  # one broken analysis must not take the others along
        return [failed(analysis.name, analysis.title, error)]
    return [not_computed(analysis.name, analysis.title, reason)]


def _missing(analysis: Analysis, data: CohortData) -> str | None:
    """What is missing for an analysis, as a sentence; None when it can be tried."""
    if not analysis.any_of or any(role in data.config.roles for role in analysis.any_of):
        return None
    named = [
        f"the column {column} (role {role}) is not in the cohort"
        for role, column in data.absent
        if role in analysis.any_of
    ]
    if named:
        return f"{'; '.join(named)}."
    roles = " or ".join(analysis.any_of)
    likely = grouping_column(data.visits) if "diagnosis" in analysis.any_of else None
    if likely is not None:
        levels = listing(sorted(set(labels(data.visits[likely]).dropna())))
        return (
            f"no level of the column {likely} ({levels}) is known to mean healthy; in the analysis file, set diagnosis "
            f'= "{likely}" in [roles] and control in [options].'
        )
    return f"no column has the role {roles}; name it in [roles] of the analysis file."


def roles_result(data: CohortData) -> AnalysisResult:
    """Which column plays which role, how many values it has, and which roles nobody plays."""
    absent = dict(data.absent)
    rows = []
    for role, what in ROLES.items():
        column = data.config.column(role) or absent.get(role)
        source = data.scans if column in data.scans else data.visits
        known = int(source[column].notna().sum()) if column and column in source else 0
        note = "not in the cohort" if role in absent else "no column" if column is None else None
        rows.append((role, column, known, len(source) - known if column and role not in absent else None, what, note))
    table = pd.DataFrame(rows, columns=["role", "column", "n", "n_missing", "meaning", "note"])
    table["n_missing"] = table["n_missing"].astype("Int64")
    unused = [row["role"] for row in table.to_dict("records") if isinstance(row["note"], str)]
    sentences = [f"{UNUSED} {', '.join(unused)}; analyses that need one of them are left out, and others do without."]
    named = [
        f"The column {column}, which the analysis file names for {role}, is not in the cohort."
        for role, column in data.absent
    ]
    notes = [*named, *data.notes, *(f"{note}." for note in data.visits.attrs.get("notes", ()))]
    return make_result(
        "roles",
        "Columns used in the analyses",
        table,
        sentences=(*(sentences if unused else ()), *notes),
        figure=Table(),
        meaning="What the role stands for",
        n="Number of values",
    )
