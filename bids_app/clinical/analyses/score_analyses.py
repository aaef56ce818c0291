"""Clinical scores against deviations in the people with a disease: the analyses that need a score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from bids_app.clinical.analyses import associations
from bids_app.clinical.analyses.association_results import count_result, region_result
from bids_app.clinical.analyses.change_analyses import Harmonisation, harmonised
from bids_app.clinical.cohort import CohortData
from bids_app.clinical.deviations import count_table
from bids_app.clinical.results import AnalysisResult
from bids_app.clinical.stats.imputation import impute_scores, pool_tables
from bids_app.clinical.stats.linear import design
from bids_app.clinical.values import numbers
from bids_app.clinical.wording import listing
from bids_app.errors import AnalysisError

# Time since onset is known or not; drawing it from other variables would invent a history.
NEVER_IMPUTED = ("disease_duration",)
IMPUTE_METHODS = (
    " Missing scores ({missing}) were imputed {m} times by a two-level normal model (random intercept per person) "
    "on what the analysis relates them to ({own}, and its mean per person), age, years since the first visit, sex, "
    "number of deviations, mean cortical and subcortical z{others}; seed {seed}. {pooling}"
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


def over_scanners(data: CohortData) -> tuple[CohortData, Harmonisation]:
    """`data` with z harmonised over scanners, and the deviations counted again, where people changed scanner."""
    scans = data.scans[data.scans["age"].notna()]
    clock = numbers(scans[data.clock(scans)])
    scans = scans.assign(years=(clock - clock.groupby(scans["participant_id"]).transform("min")).fillna(0.0))
    z, done = harmonised(data, scans)
    if not done.done:
        return data, done
    whole = z.reindex(data.zscores.index)
    counts = count_table(whole, data.config.regions, data.config.threshold)
    known = whole.notna().any(axis=1)
    scans = data.scans.assign(**{name: counts[name].astype(float).where(known) for name in counts})
    return replace(data, scans=scans, zscores=whole), done


def _counts(data: CohortData, longitudinal: bool) -> AnalysisResult:
    data, scanners = over_scanners(data) if longitudinal else (data, Harmonisation())
    scores, model = data.scores(), _model(data, longitudinal)

    def fit(people: pd.DataFrame, _: list[str]) -> pd.DataFrame:
        return associations.count_associations(people, list(scores), model)

    table, note = _fit(data, fit)
    result = count_result(table, scores, model)
    sentences = (*result.sentences, *data.strata_note, *data.counting_note)
    result = replace(result, methods=f"{data.counting} {result.methods}", sentences=sentences)
    return _with_scanners(_with_note(result, note), scanners)


def _regions(data: CohortData, longitudinal: bool) -> AnalysisResult:
    data, scanners = over_scanners(data) if longitudinal else (data, Harmonisation())
    scores, model = data.scores(), _model(data, longitudinal)
    z = data.zscores[data.patients]

    def fit(people: pd.DataFrame, regions: list[str]) -> pd.DataFrame:
        return associations.region_associations(people, z[regions] if regions else z, list(scores), model)

    table, note = _fit(data, fit, list(z.columns))
    result = region_result(table, scores, model)
    result = _with_note(replace(result, sentences=(*result.sentences, *data.strata_note)), note)
    return _with_scanners(result, scanners)


def _with_scanners(result: AnalysisResult, scanners: Harmonisation) -> AnalysisResult:
    """With what was done about scanners, where people changed them."""
    if not scanners.method:
        return result
    method = f" {scanners.method.strip()}" if scanners.done else ""
    sentences = (*result.sentences, *scanners.sentences())
    return replace(result, sentences=sentences, methods=f"{result.methods}{method}")


def _model(data: CohortData, longitudinal: bool) -> associations.ScoreModel:
    clock = data.clock(data.scans)
    slope = clock if longitudinal and data.config.random_slope else None
    return associations.ScoreModel(longitudinal, data.covariates(), slope, clock)


def _fit(
    data: CohortData, fit: Callable[[pd.DataFrame, list[str]], pd.DataFrame], regions: Sequence[str] = ()
) -> tuple[pd.DataFrame, str]:
    """The table of `fit` on complete cases or imputed scores, and what to add to the methods.

    Every region has imputations of its own, whose model holds its z: an imputation that knows less than the analysis
    weakens what the analysis looks for (Meng 1994, doi:10.1214/ss/1177010269).
    """
    people = data.scans[data.patients]
    if people.empty:
        raise AnalysisError(
            "there is nobody outside the control group, and scores are related to deviations in patients"
        )
    scores = _incomplete(data, people)
    if data.config.missing == "complete" or not scores:
        return fit(people, []), ""
    known = [name for name in regions if data.zscores.loc[data.patients, name].notna().any()]
    blocks, note = [], ""
    for own in [[name] for name in known] or [[]]:
        imputed = imputed_scans(data, data.zscores.loc[data.patients, own[0]] if own else people["n_infra"])
        drawn = [column for column in scores if imputed[0][column].notna().all()]
        note = note or _imputation_note(data, people, scores, drawn, "the region's z" if own else "the count")
        if not drawn:
            return fit(people, []), note
        try:
            blocks.append(_pooled(data, fit, people, imputed, drawn, own))
        except AnalysisError:
            continue
    if not blocks:
        return fit(people, []), note
    table = pd.concat(blocks, ignore_index=True)
    if regions:
        order = {column: position for position, column in enumerate(data.scores())}
        table = table.sort_values("score", key=lambda column: column.map(order), kind="stable", ignore_index=True)
    return associations.corrected(table), note


def _pooled(
    data: CohortData,
    fit: Callable[[pd.DataFrame, list[str]], pd.DataFrame],
    people: pd.DataFrame,
    imputed: Sequence[pd.DataFrame],
    drawn: list[str],
    own: list[str],
) -> pd.DataFrame:
    """The table of `fit` over the imputed scans, by Rubin's rules or on their average."""
    if data.config.missing == "average":
        means = {column: np.mean([table[column].to_numpy() for table in imputed], axis=0) for column in drawn}
        return fit(people.assign(**means), own)
    return pool_tables([fit(table, own) for table in imputed])


def _imputation_note(data: CohortData, people: pd.DataFrame, scores: dict[str, str], drawn: list[str], own: str) -> str:
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
            own=own,
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
        column: shown for column, shown in data.scores().items() if column not in kept and people[column].isna().any()
    }


def imputed_scans(data: CohortData, own: pd.Series) -> tuple[pd.DataFrame, ...]:
    """The scans of the people with a disease, m times, with missing scores drawn.

    Parameters
    ----------
    own : Series
        What the analysis relates the scores to, one value per scan of these people.
    data : CohortData

    Returns
    -------
    tuple of DataFrame
        Each with the rows of `own`.
    """
    people = data.scans[data.patients]
    z, person = data.zscores[data.patients], people["participant_id"]
    clock = numbers(people[data.clock(people)])
    cortical = [name for name in z if str(name).endswith("_volume")]
    # Where the analysis has no value its rows are left out; a value in its place only keeps the model complete.
    filled = own.astype(float).fillna(own.groupby(person).transform("mean")).fillna(own.mean())
    helpers = {
        "_own": filled,
        "_own_mean": filled.groupby(person).transform("mean"),
        "_years": (clock - clock.groupby(person).transform("min")).fillna(0.0),
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
    imputed = "were imputed" in note
    sentence = "Missing scores were imputed; see the methods." if imputed else note.strip()
    return replace(result, methods=result.methods + note, sentences=(*result.sentences, sentence))
