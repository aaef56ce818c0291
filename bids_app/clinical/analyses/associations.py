"""Clinical scores against deviations: cross-sectional linear models and longitudinal mixed models.

Outcome and predictor are standardised over the rows that a model uses, so a coefficient is the change of
the outcome in standard deviations per standard deviation of the predictor.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bids_app.arrays import FloatArray
from bids_app.clinical.deviations import first_scans
from bids_app.clinical.results import AnalysisResult, make_result, map_limits
from bids_app.clinical.stats.jackknife import person_jackknife
from bids_app.clinical.stats.linear import design, false_discovery, fit_linear, standardise
from bids_app.clinical.stats.mixed import FixedEffects, MixedModel
from bids_app.clinical.stats.random_slope import RandomSlopeModel
from bids_app.clinical.wording import (
    few_people,
    grouped,
    interval,
    listing,
    p_value,
    plural,
    q_value,
    software,
    upper_first,
)
from bids_app.errors import AnalysisError
from bids_app.regions import display_name

COUNTS = {"n_infra": "number of infra-normal deviations"}
# Sentences on scores that are not in a table of associations, in its attrs
LEFT_OUT = "left_out"
COLUMNS = [
    "outcome",
    "predictor",
    "score",
    "region",
    "structure",
    "n_people",
    "n_scans",
    "beta",
    "se",
    "statistic",
    "df",
    "low",
    "high",
    "p",
    "q",
    "covariates",
    "method",
    "note",
]
JACKKNIFE = ["jackknife_se", "jackknife_df", "jackknife_low", "jackknife_high", "jackknife_p", "jackknife_q"]
SINGULAR = "a variance between people is estimated as zero"
NO_JACKKNIFE = "no jackknife interval: without one of the people the model cannot be fitted"
CROSS_METHODS = (
    "Cross-sectional associations are standardised coefficients of linear models at each person's first "
    "scan with a value{covariates}, with 95 % t intervals. "
)
LONG_METHODS = (
    "Longitudinal associations are standardised coefficients of linear mixed models with "
    "{effects} per person over all scans with a value{covariates}, fitted by REML, with t tests and 95 % "
    "intervals on Satterthwaite degrees of freedom (as lme4 and lmerTest). {jackknife}"
)
JACKKNIFE_METHODS = (
    "Jackknife intervals leave out one person at a time and estimate variance components and standard deviations "
    "again (Efron and Stein 1981); they also hold where the association between people differs from that within "
    "people. Sentences use them. "
)
COMMON_METHODS = (
    "p values of each kind were corrected by Benjamini-Hochberg over all rows of the table (q). Scans with a missing "
    "value are left out of the models that need it. Software: {software}."
)


@dataclass(frozen=True)
class ScoreModel:
    """Which model relates scores and deviations.

    Parameters
    ----------
    longitudinal : bool
        All scans with a random intercept per person, instead of the first scan of each person that has the score.
    covariates : tuple of str
        Columns that the model is adjusted for.
    slope : str, optional
        Column of time (years) that varies between people too, in the longitudinal model.
    """

    longitudinal: bool = False
    covariates: tuple[str, ...] = ()
    slope: str | None = None

    @property
    def when(self) -> str:
        return "over all visits" if self.longitudinal else "at the first visit"

    @property
    def method(self) -> str:
        if not self.longitudinal:
            return "linear model, first visit"
        return f"mixed model, all visits, random intercept{' and slope' if self.slope else ''}"

    def methods(self) -> str:
        """The paragraph for the methods section."""
        text = LONG_METHODS if self.longitudinal else CROSS_METHODS
        adjusted = f", adjusted for {', '.join(self.covariates)}" if self.covariates else ""
        effects = f"a random intercept and a random slope of {self.slope}" if self.slope else "a random intercept"
        common = COMMON_METHODS.format(software=software("numpy", "scipy"))
        jackknife = "" if self.slope else JACKKNIFE_METHODS
        return text.format(covariates=adjusted, effects=effects, jackknife=jackknife) + common


FIRST_VISIT, ALL_VISITS = ScoreModel(), ScoreModel(longitudinal=True)


def region_associations(
    cohort: pd.DataFrame, zscores: pd.DataFrame, scores: Sequence[str], model: ScoreModel = FIRST_VISIT
) -> pd.DataFrame:
    """Each region's z as the outcome of each clinical score.

    Parameters
    ----------
    cohort : DataFrame
        One row per scan: ``participant_id age``, the scores and covariates.
    zscores : DataFrame
        Same rows in the same order, one column per region.
    scores : sequence of str
        Columns of `cohort`.
    model : ScoreModel

    Returns
    -------
    DataFrame
        One row per score and region: ``outcome predictor score region structure n_people n_scans beta se
        statistic df low high p q covariates method note``; with a random intercept also ``jackknife_se jackknife_df
        jackknife_low jackknife_high jackknife_p jackknife_q`` (see `jackknife.person_jackknife`).

    Raises
    ------
    AnalysisError
        When no score can be related to any region.
    """
    regions = [name for name in zscores.select_dtypes("number").columns if name not in cohort.columns]
    blocks, problems = [], []
    for score in scores:
        predictor = {score: cohort[score]}
        outcomes = zscores[regions]
        try:
            table = _fit_all(cohort, outcomes, predictor, model)
        except AnalysisError as error:
            problems.append((score, str(error)))
            continue
        blocks.append(table.assign(score=score, region=table["outcome"]))
    return _finish(blocks, problems)


def count_associations(
    cohort: pd.DataFrame, scores: Sequence[str], model: ScoreModel = FIRST_VISIT, counts: Sequence[str] = ("n_infra",)
) -> pd.DataFrame:
    """Each clinical score as the outcome of the number of deviations; columns as `region_associations`."""
    blocks, problems = [], []
    for score in scores:
        for count in counts:
            try:
                _check_change(cohort, score, model)
                table = _fit_all(cohort, cohort[[score]], {count: cohort[count]}, model)
            except AnalysisError as error:
                problems.append((score, str(error)))
                continue
            blocks.append(table.assign(score=score, region=None))
    return _finish(blocks, problems)


def _check_change(cohort: pd.DataFrame, score: str, model: ScoreModel) -> None:
    """A score that never changes within a person leaves a longitudinal model of it without residual variance."""
    values = cohort.loc[cohort[score].notna(), score].groupby(cohort["participant_id"])
    if model.longitudinal and len(values) and (values.size() > 1).any() and (values.nunique() < 2).all():
        raise AnalysisError("the value is the same at all visits of a person, so it is related at the first visit only")


def _finish(blocks: list[pd.DataFrame], problems: list[tuple[str, str]]) -> pd.DataFrame:
    if not blocks:
        raise AnalysisError("; ".join(grouped(problems)) or "there is no clinical score to relate")
    table = pd.concat(blocks, ignore_index=True)
    table["structure"] = [None if pd.isna(name) else display_name(str(name)) for name in table["region"]]
    table = corrected(table)
    table = table[[*COLUMNS, *(name for name in JACKKNIFE if name in table)]]
    table.attrs[LEFT_OUT] = tuple(f"Left out: {problem}." for problem in grouped(problems))
    return table


def corrected(table: pd.DataFrame) -> pd.DataFrame:
    """`table` with ``q`` beside ``p``, and ``jackknife_q`` beside ``jackknife_p``, over all its rows."""
    kinds = [kind for kind in ("", "jackknife_") if f"{kind}p" in table]
    return table.assign(**{f"{kind}q": false_discovery(table[f"{kind}p"].to_numpy(dtype=float)) for kind in kinds})


def _fit_all(
    cohort: pd.DataFrame, outcomes: pd.DataFrame, predictor: Mapping[str, pd.Series], model: ScoreModel
) -> pd.DataFrame:
    """Every column of `outcomes` on the one `predictor`, together where the same rows are complete."""
    ((name, values),) = predictor.items()
    X = pd.concat([values.astype(float).rename("predictor"), design(cohort, model.covariates)], axis=1)
    people = cohort["participant_id"].to_numpy()
    time = cohort[model.slope].to_numpy(dtype=float) if model.slope else None
    usable = X.notna().all(axis=1).to_numpy() & (True if time is None else ~np.isnan(time))
    blocks = []
    for rows, columns in _patterns(outcomes.to_numpy(dtype=float), usable):
        if not model.longitudinal:
            rows = rows[first_scans(cohort.iloc[rows])]
        responses, predictors = _standardised(outcomes.iloc[rows, columns], X.iloc[rows])
        if not model.longitudinal:
            block = _linear(responses, predictors)
        elif time is None:
            block = _with_jackknife(responses, MixedModel(predictors, people[rows]))
        else:
            slopes = RandomSlopeModel(predictors, people[rows], time[rows])
            block = _mixed([slopes.fit(response) for response in responses.T])
        blocks.append(
            block.assign(outcome=outcomes.columns[columns], n_scans=len(rows), n_people=len(np.unique(people[rows])))
        )
    table = pd.concat(blocks, ignore_index=True)
    order = {column: position for position, column in enumerate(outcomes.columns)}
    table = table.sort_values("outcome", key=lambda column: column.map(order), ignore_index=True)
    return table.assign(predictor=name, covariates=", ".join(model.covariates) or None, method=model.method)


def _patterns(outcomes: FloatArray, usable: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows that are complete, and the columns that share them."""
    known = ~np.isnan(outcomes) & usable[:, None]
    patterns, kind = np.unique(known, axis=1, return_inverse=True)
    for index in range(patterns.shape[1]):
        yield np.flatnonzero(patterns[:, index]), np.flatnonzero(kind == index)


def _standardised(outcomes: pd.DataFrame, X: pd.DataFrame) -> tuple[FloatArray, FloatArray]:
    """Outcomes and design (intercept first, then the predictor); covariates that do not vary are left out."""
    if len(X) < 3:
        few = f"only {plural(len(X), 'scan')} with all values" if len(X) else "no scan has all values"
        raise AnalysisError(few)
    matrix = X.to_numpy(dtype=float)
    varying = matrix.std(axis=0) > 0
    varying[0] = True
    predictors = np.column_stack([np.ones(len(X)), standardise(matrix[:, varying])])
    return standardise(outcomes.to_numpy(dtype=float)), predictors


def _linear(responses: FloatArray, predictors: FloatArray) -> pd.DataFrame:
    from scipy.stats import t

    fit = fit_linear(responses, predictors)
    beta, se = fit.beta[1], fit.se[1]
    half, statistic = t.ppf(0.975, fit.df) * se, beta / se
    return pd.DataFrame(
        {
            "beta": beta,
            "se": se,
            "statistic": statistic,
            "df": fit.df,
            "low": beta - half,
            "high": beta + half,
            "p": 2 * t.sf(np.abs(statistic), fit.df),
            "note": None,
        }
    )


def _mixed(fits: Sequence[FixedEffects]) -> pd.DataFrame:
    rows = []
    for fit in fits:
        note = SINGULAR if fit.singular else None
        rows.append((fit.beta[1], fit.se[1], fit.statistic[1], fit.df[1], fit.low[1], fit.high[1], fit.p[1], note))
    return pd.DataFrame(rows, columns=["beta", "se", "statistic", "df", "low", "high", "p", "note"])


def _with_jackknife(responses: FloatArray, model: MixedModel) -> pd.DataFrame:
    from scipy.stats import t

    fits = [model.design.fit(response) for response in responses.T]
    table = _mixed([model.test(fit) for fit in fits])
    se = np.array([person_jackknife(model.design, y, fit) for y, fit in zip(responses.T, fits, strict=True)])
    beta, df = table["beta"], float(len(model.design.labels) - 1)
    half, p = t.ppf(0.975, df) * se, 2 * t.sf(np.abs(beta / se), df)
    notes = [[fit.singular and SINGULAR, np.isnan(own) and NO_JACKKNIFE] for fit, own in zip(fits, se, strict=True)]
    table["note"] = ["; ".join(text for text in texts if text) or None for texts in notes]
    return table.assign(**dict(zip(JACKKNIFE, (se, df, beta - half, beta + half, p), strict=False)))


def count_result(table: pd.DataFrame, scores: Mapping[str, str], model: ScoreModel = FIRST_VISIT) -> AnalysisResult:
    """The table of `count_associations` with sentences and a forest plot.

    Parameters
    ----------
    table : DataFrame
    scores : mapping
        Column to the name shown in sentences, e.g. ``{"edss_total": "EDSS"}``.
    model : ScoreModel
        As given to `count_associations`.
    """
    table = _named(table, scores)
    sentences = [_count_sentence(scores[row["score"]], row, model.when) for row in table.to_dict("records")]
    sentences += _remarks(table, model)
    kind = "jackknife_" if "jackknife_se" in table else ""
    bounds = {"low": f"{kind}low", "high": f"{kind}high", "p": f"{kind}q"}
    figure = {
        "kind": "forest",
        "label": "score_name",
        "estimate": "beta",
        **bounds,
        "null": 0,
        "xlabel": "Standardised beta per standard deviation of the number of deviations",
    }
    name = "scores_counts_longitudinal" if model.longitudinal else "scores_counts"
    title = f"Clinical scores and number of deviations, {model.when}"
    return make_result(name, title, table, sentences=tuple(sentences), methods=model.methods(), figure=figure)


def _count_sentence(score: str, row: Mapping[Hashable, Any], when: str) -> str:
    """Interval, p and q of one kind: the jackknife's where it has them."""
    kind = "jackknife_" if row.get("jackknife_se", np.nan) > 0 else ""
    low, high, p, q = (row[f"{kind}{name}"] for name in ("low", "high", "p", "q"))
    return (
        f"{upper_first(score)} and the {COUNTS[row['predictor']]} {when}: standardised beta {row['beta']:.2f} "
        f"({interval(low, high)}, {p_value(p)}, {q_value(q)} after correction for multiple tests, "
        f"{plural(row['n_people'], 'person', 'people')})."
    )


def region_result(table: pd.DataFrame, scores: Mapping[str, str], model: ScoreModel = FIRST_VISIT) -> AnalysisResult:
    """The table of `region_associations` with sentences and one brain map per score, as `count_result`."""
    table = _named(table, scores)
    sentences = [
        _region_sentence(scores[str(score)], part, model.when) for score, part in table.groupby("score", sort=False)
    ] + _remarks(table, model)
    figure = {
        "kind": "map",
        "region": "region",
        "value": "beta",
        "facet": "score_name",
        "scale": "diverging",
        "limits": map_limits(table["beta"]),
        "xlabel": "Standardised beta",
    }
    name = "scores_regions_longitudinal" if model.longitudinal else "scores_regions"
    return make_result(
        name,
        f"Clinical scores and regional z, {model.when}",
        table,
        sentences=tuple(sentences),
        methods=model.methods(),
        figure=figure,
    )


def _remarks(table: pd.DataFrame, model: ScoreModel) -> list[str]:
    """What the models are adjusted for, scores that are left out, and a caution about few people."""
    adjusted = [f"Adjusted for {listing(list(model.covariates))}."] if model.covariates else []
    return [*adjusted, *table.attrs.get(LEFT_OUT, ()), *few_people(int(table["n_people"].min()))]


def _named(table: pd.DataFrame, scores: Mapping[str, str]) -> pd.DataFrame:
    """`table` with the shown name of each score beside its column."""
    position = list(table.columns).index("score") + 1
    order = [*table.columns[:position], "score_name", *table.columns[position:]]
    return table.assign(score_name=table["score"].map(scores))[order]


def _region_sentence(score: str, part: pd.DataFrame, when: str) -> str:
    q = part["jackknife_q"].fillna(part["q"]) if "jackknife_q" in part else part["q"]
    found = part[q < 0.05]
    sentence = (
        f"{upper_first(score)} {when} is related to z in {len(found)} of {plural(len(part), 'region')} after "
        "correction for multiple tests"
    )
    if found.empty:
        return sentence + "."
    strongest = found.loc[found["beta"].abs().sort_values(ascending=False).index[:3]]
    named = [f"{row['structure']} (beta {row['beta']:.2f})" for row in strongest.to_dict("records")]
    return f"{sentence}; most strongly in the {listing(named)}."
