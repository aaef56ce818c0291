"""Clinical scores against deviations in the people with a disease: the analyses that need a score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd

from bids_app.clinical.analyses import associations
from bids_app.clinical.cohort import CohortData
from bids_app.clinical.results import AnalysisResult, make_result
from bids_app.clinical.stats.imputation import impute_scores, pool_tables
from bids_app.clinical.stats.linear import design
from bids_app.clinical.wording import listing
from bids_app.errors import AnalysisError

# Time since onset is known or not; drawing it from other variables would invent a history.
NEVER_IMPUTED = ("disease_duration",)
IMPUTE_METHODS = (
    " Missing scores ({missing}) were imputed {m} times by a two-level normal model (random intercept per person) "
    "on age, sex, number of deviations, mean cortical and subcortical z{others}; seed {seed}. {pooling}"
)
FEW_VALUES = " Too few values are known to impute {scores}; scans without a value are left out of these models."
POOLING = {
    "impute": "Estimates were combined by Rubin's rules with Barnard and Rubin's degrees of freedom.",
    "average": "The imputed values were averaged before one analysis, as in the source study; intervals then ignore "
    "the uncertainty of the imputation.",
}


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
    scores, model = _scores(data), _model(data, longitudinal)

    def fit(people: pd.DataFrame) -> pd.DataFrame:
        return associations.count_associations(people, list(scores), model)

    table, note = _fit(data, fit)
    result = associations.count_result(table, scores, model)
    result = replace(
        result,
        methods=f"{data.counting} {result.methods}",
        sentences=(*result.sentences, *data.strata_note, *data.counting_note),
    )
    return _with_note(result, note)


def _regions(data: CohortData, longitudinal: bool) -> AnalysisResult:
    scores, model = _scores(data), _model(data, longitudinal)
    z = data.zscores[data.patients]

    def fit(people: pd.DataFrame) -> pd.DataFrame:
        return associations.region_associations(people, z, list(scores), model)

    table, note = _fit(data, fit)
    result = associations.region_result(table, scores, model)
    return _with_note(replace(result, sentences=(*result.sentences, *data.strata_note)), note)


def _model(data: CohortData, longitudinal: bool) -> associations.ScoreModel:
    clock = data.clock(data.scans)
    slope = clock if longitudinal and data.config.random_slope else None
    return associations.ScoreModel(longitudinal, data.covariates(), slope, clock)


def _scores(data: CohortData) -> dict[str, str]:
    return {column: shown for column, shown in data.config.scores().items() if column in data.scans}


def _fit(data: CohortData, fit: Callable[[pd.DataFrame], pd.DataFrame]) -> tuple[pd.DataFrame, str]:
    """The table of `fit` on complete cases or imputed scores, and what to add to the methods."""
    people = data.scans[data.patients]
    if people.empty:
        raise AnalysisError(
            "there is nobody outside the control group, and scores are related to deviations in patients"
        )
    scores = _incomplete(data, people)
    if data.config.missing == "complete" or not scores:
        return fit(people), ""
    imputed = imputed_scans(data)
    drawn = [column for column in scores if imputed[0][column].notna().all()]
    note = _imputation_note(data, people, scores, drawn)
    if not drawn:
        return fit(people), note
    if data.config.missing == "average":
        means = {column: np.mean([table[column].to_numpy() for table in imputed], axis=0) for column in drawn}
        return fit(people.assign(**means)), note
    pooled = pool_tables([fit(table) for table in imputed])
    return associations.corrected(pooled), note


def _imputation_note(data: CohortData, people: pd.DataFrame, scores: dict[str, str], drawn: list[str]) -> str:
    """How the scores `drawn` were imputed, and which others have too few values for that."""
    config = data.config
    few = [shown for column, shown in scores.items() if column not in drawn]
    text = FEW_VALUES.format(scores=listing(few)) if few else ""
    if not drawn:
        return text
    missing = [f"{scores[column]}: {int(people[column].isna().sum())} of {len(people)} scans" for column in drawn]
    others = "".join(f", {name}" for name in _imputing_covariates(data, people))
    return (
        IMPUTE_METHODS.format(
            missing=listing(missing),
            m=config.imputations,
            others=others,
            seed=config.seed,
            pooling=POOLING[config.missing],
        )
        + text
    )


def _imputing_covariates(data: CohortData, people: pd.DataFrame) -> list[str]:
    """Covariates of the models that can help to impute: known for every scan, and not there anyhow."""
    return [
        name
        for name in data.covariates()
        if name in people and name not in ("age", "sex", "n_infra") and people[name].notna().all()
    ]


def _incomplete(data: CohortData, people: pd.DataFrame) -> dict[str, str]:
    """Scores with missing values that may be imputed."""
    kept = {data.config.roles[role] for role in NEVER_IMPUTED if role in data.config.roles}
    return {
        column: shown for column, shown in _scores(data).items() if column not in kept and people[column].isna().any()
    }


def imputed_scans(data: CohortData) -> tuple[pd.DataFrame, ...]:
    """The scans of the people with a disease, m times, with missing scores drawn."""
    people = data.scans[data.patients]
    z = data.zscores[data.patients]
    cortical = [name for name in z if str(name).endswith("_volume")]
    helpers = {
        "_female": (people["sex"] == "female").astype(float) if "sex" in people else 0.0,
        "_cortical": z[cortical].mean(axis=1),
        "_subcortical": z.drop(columns=cortical).mean(axis=1),
    }
    terms = design(people, _imputing_covariates(data, people))
    helpers |= {f"_{name}": terms[name] for name in terms}
    predictors = ["age", "n_infra", *helpers]
    drawn = impute_scores(
        people.assign(**helpers), list(_incomplete(data, people)), predictors, data.config.imputations, data.config.seed
    )
    return tuple(table.drop(columns=list(helpers)) for table in drawn)


def _with_note(result: AnalysisResult, note: str) -> AnalysisResult:
    if not note:
        return result
    pooled = make_result(result.name, result.title, result.table)
    imputed = "were imputed" in note
    sentence = "Missing scores were imputed; see the methods." if imputed else note.strip()
    return replace(
        result, columns=pooled.columns, methods=result.methods + note, sentences=(*result.sentences, sentence)
    )
