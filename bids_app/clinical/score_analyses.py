"""Clinical scores against deviations in the people with a disease: the analyses that need a score."""

from __future__ import annotations

from bids_app.clinical import associations
from bids_app.clinical.cohort_data import CohortData
from bids_app.clinical.results import AnalysisResult


def counts_first(data: CohortData) -> list[AnalysisResult]:
    """Scores and number of deviations at the first visit."""
    return [_counts(data, longitudinal=False)]


def counts_all(data: CohortData) -> list[AnalysisResult]:
    """Scores and number of deviations over all visits."""
    return [_counts(data, longitudinal=True)]


def regions_first(data: CohortData) -> list[AnalysisResult]:
    """Scores and regional z at the first visit."""
    return [_regions(data, longitudinal=False)]


def regions_all(data: CohortData) -> list[AnalysisResult]:
    """Scores and regional z over all visits."""
    return [_regions(data, longitudinal=True)]


def _counts(data: CohortData, longitudinal: bool) -> AnalysisResult:
    people = data.scans[data.patients]
    return associations.count_result(people, _scores(data), data.covariates(), longitudinal)


def _regions(data: CohortData, longitudinal: bool) -> AnalysisResult:
    people, z = data.scans[data.patients], data.zscores[data.patients]
    return associations.region_result(people, z, _scores(data), data.covariates(), longitudinal)


def _scores(data: CohortData) -> dict[str, str]:
    return {column: shown for column, shown in data.config.scores().items() if column in data.scans}
