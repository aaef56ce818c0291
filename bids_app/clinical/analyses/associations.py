"""Clinical scores against deviations: cross-sectional linear models and longitudinal mixed models.

Outcome and predictor are standardised over the rows that a model uses, so a coefficient is the change of
the outcome in standard deviations per standard deviation of the predictor.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bids_app.arrays import FloatArray
from bids_app.clinical.deviations import first_scans
from bids_app.clinical.stats.jackknife import person_jackknife
from bids_app.clinical.stats.linear import design, false_discovery, fit_linear, person_parts, standardise
from bids_app.clinical.stats.mixed import MixedModel
from bids_app.clinical.stats.random_slope import RandomSlopeModel
from bids_app.clinical.wording import grouped, plural, software
from bids_app.errors import AnalysisError
from bids_app.regions import display_name

# Sentences on scores that are not in a table of associations, in its attrs
LEFT_OUT = "left_out"
ESTIMATES = ["beta", "se", "statistic", "df", "low", "high", "p"]
COLUMNS = ["outcome", "predictor", "score", "region", "structure", "effect", "n_people", "n_scans", *ESTIMATES]
COLUMNS += ["q", "covariates", "method", "note"]
# What a row is about; the two parts of a longitudinal model (Neuhaus & Kalbfleisch 1998, doi:10.2307/3109770)
FIRST, WITHIN, BETWEEN, STUDY = "first visit", "within people", "between people", "study's model"
SINGULAR = "a variance between people is estimated as zero"
CONSTANT = "the value is the same for everybody"
NO_JACKKNIFE = "no jackknife interval: without one of the people the model cannot be fitted"
# A predictor changes with time only where less than this share of its variance within people is left beside time.
OWN_CHANGE = 1e-3
EXACT = 1e-12
CROSS_METHODS = (
    "Cross-sectional associations are standardised coefficients of linear models at each person's first "
    "scan with a value{covariates}, with 95 % t intervals. "
)
LONG_METHODS = (
    "Longitudinal associations come from linear mixed models with {effects} per person over all scans with a "
    "value{covariates}, fitted by REML. The predictor is split into each person's mean (between people) and the "
    "deviation from it (within people; Neuhaus and Kalbfleisch 1998), beside years since the first visit, so that a "
    "common trend of both with time is no association; both parts are in standard deviations of the whole predictor. "
    "{tests}The row called study's model is that of the source study: the predictor undivided and no time, with "
    "Satterthwaite's degrees of freedom (as lme4 and lmerTest). "
)
JACKKNIFE_METHODS = (
    "Standard errors and t tests of both parts are from the jackknife over people, which leaves out one person at a "
    "time and estimates variance components and standard deviations again (Efron and Stein 1981). "
)
SATTERTHWAITE_METHODS = "Tests use Satterthwaite's degrees of freedom. "
COUNT_FAMILY = "p values were corrected by Benjamini-Hochberg over the scores{each} (q). "
REGION_FAMILY = (
    "p values were corrected by Benjamini-Hochberg over the {n} regional volumes, for each score{each} on its own (q). "
)
COMMON_METHODS = "Scans with a missing value are left out of the models that need it. Software: {software}."


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
    clock : str
        Column of time (years, any origin) of the longitudinal model.
    """

    longitudinal: bool = False
    covariates: tuple[str, ...] = ()
    slope: str | None = None
    clock: str = "age"

    @property
    def when(self) -> str:
        return "over all visits" if self.longitudinal else "at the first visit"

    @property
    def method(self) -> str:
        if not self.longitudinal:
            return "linear model, first visit"
        return f"mixed model, all visits, random intercept{' and slope' if self.slope else ''}"

    def methods(self, n_regions: int = 0) -> str:
        """The paragraph for the methods section; `n_regions` is the size of a family, 0 for counts."""
        text = LONG_METHODS if self.longitudinal else CROSS_METHODS
        adjusted = f", adjusted for {', '.join(self.covariates)}" if self.covariates else ""
        effects = f"a random intercept and a random slope of {self.slope}" if self.slope else "a random intercept"
        tests = SATTERTHWAITE_METHODS if self.slope else JACKKNIFE_METHODS
        each = " and each kind of row" if self.longitudinal else ""
        family = (REGION_FAMILY if n_regions else COUNT_FAMILY).format(n=n_regions, each=each)
        common = COMMON_METHODS.format(software=software("numpy", "scipy"))
        return text.format(covariates=adjusted, effects=effects, tests=tests) + family + common


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
        One row per score, region and `effect`: ``outcome predictor score region structure effect n_people n_scans
        beta se statistic df low high p q covariates method note``. `effect` is ``first visit``, or ``within people``,
        ``between people`` (standard errors by `jackknife.person_jackknife`) and ``study's model``. `beta` is in
        standard deviations; q is over the regions of a score and effect.

    Raises
    ------
    AnalysisError
        When no score can be related to any region.
    """
    outcomes = zscores.select_dtypes("number")
    blocks, problems = [], []
    for score in scores:
        try:
            table = _fit_all(cohort, outcomes, cohort[score], model)
        except AnalysisError as error:
            problems.append((score, str(error)))
            continue
        blocks.append(table.assign(score=score, region=table["outcome"]))
    return _finish(blocks, problems)


def count_associations(cohort: pd.DataFrame, scores: Sequence[str], model: ScoreModel = FIRST_VISIT) -> pd.DataFrame:
    """Each clinical score as the outcome of the number of infra-normal deviations; columns as `region_associations`.

    Parameters
    ----------
    cohort : (n rows) DataFrame
        One row per scan with the scores, ``n_infra`` and the covariates of `model`.
    scores : sequence of str
    model : ScoreModel

    Returns
    -------
    DataFrame
        ``region`` is None. Problems of single scores are in ``attrs``.

    Raises
    ------
    AnalysisError
        When no score could be analysed.
    """
    blocks, problems = [], []
    for score in scores:
        try:
            _check_change(cohort, score, model)
            table = _fit_all(cohort, cohort[[score]], cohort["n_infra"], model)
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
    lost = [(display_name(name), why) for block in blocks for name, why in block.attrs.get(LEFT_OUT, ())]
    table = pd.concat(blocks, ignore_index=True)
    table["structure"] = [None if pd.isna(name) else display_name(str(name)) for name in table["region"]]
    partial = [
        (str(score), str(note))
        for score, part in table.groupby("score", sort=False)
        for note in part["left"].dropna().unique()
    ]
    table = corrected(table)[COLUMNS]
    table.attrs[LEFT_OUT] = tuple(
        f"Left out: {problem}." for problem in grouped(dict.fromkeys([*problems, *lost, *partial]))
    )
    return table


def corrected(table: pd.DataFrame) -> pd.DataFrame:
    """`table` with ``q`` beside ``p``: over the regions of each score and effect, or over the scores of each effect.

    Parameters
    ----------
    table : DataFrame
        ``score region effect p``.

    Returns
    -------
    DataFrame
        Benjamini-Hochberg q; NaN where p is.
    """
    family = ["effect"] if table["region"].isna().all() else ["score", "effect"]
    q = table.groupby(family)["p"].transform(lambda p: false_discovery(p.to_numpy(dtype=float)))
    return table.assign(q=q.to_numpy(dtype=float))


def _fit_all(cohort: pd.DataFrame, outcomes: pd.DataFrame, predictor: pd.Series, model: ScoreModel) -> pd.DataFrame:
    """Every column of `outcomes` on the one `predictor`, together where the same rows are complete."""
    X = pd.concat([predictor.astype(float).rename("predictor"), design(cohort, model.covariates)], axis=1)
    people = cohort["participant_id"].to_numpy()
    years = _years(cohort, model) if model.longitudinal else np.zeros(len(cohort))
    usable = X.notna().all(axis=1).to_numpy() & ~np.isnan(years)
    blocks: list[pd.DataFrame] = []
    lost: list[tuple[str, str]] = []
    for rows, columns in _patterns(outcomes.to_numpy(dtype=float), usable):
        if not model.longitudinal:
            rows = rows[first_scans(cohort.iloc[rows])]
        flat = np.ptp(outcomes.to_numpy(dtype=float)[np.ix_(rows, columns)], axis=0) == 0 if len(rows) else None
        if flat is not None and flat.any() and not flat.all():
            lost += [(str(outcomes.columns[column]), CONSTANT) for column in columns[flat]]
            columns = columns[~flat]
        try:
            responses, predictors = standardised_rows(outcomes.iloc[rows, columns], X.iloc[rows])
            if model.longitudinal:
                block = _longitudinal(responses, predictors, people[rows], years[rows], model)
            else:
                block = _linear(responses, predictors)
        except AnalysisError as error:
            lost += [(str(outcomes.columns[column]), error.reason) for column in columns]
            continue
        names = outcomes.columns[columns][block.pop("column").to_numpy()]
        blocks.append(block.assign(outcome=names, n_scans=len(rows), n_people=len(np.unique(people[rows]))))
    if not blocks:
        raise AnalysisError("; ".join(dict.fromkeys(why for _, why in lost)))
    table = pd.concat(blocks, ignore_index=True)
    table.attrs[LEFT_OUT] = lost
    order = {column: position for position, column in enumerate(outcomes.columns)}
    table = table.sort_values("outcome", key=lambda column: column.map(order), ignore_index=True, kind="stable")
    return table.assign(predictor=predictor.name, covariates=", ".join(model.covariates) or None)


def _years(cohort: pd.DataFrame, model: ScoreModel) -> FloatArray:
    """Years (n,) since each person's first scan, by the clock of the model."""
    clock = cohort[model.slope or model.clock].astype(float)
    return (clock - clock.groupby(cohort["participant_id"]).transform("min")).to_numpy(dtype=float)


def _patterns(outcomes: FloatArray, usable: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows that are complete, and the columns that share them."""
    known = ~np.isnan(outcomes) & usable[:, None]
    alike: dict[bytes, list[int]] = {}
    for column, rows in enumerate(known.T):
        alike.setdefault(rows.tobytes(), []).append(column)
    for _, columns in sorted(alike.items()):
        yield np.flatnonzero(known[:, columns[0]]), np.array(columns)


def standardised_rows(outcomes: pd.DataFrame, X: pd.DataFrame) -> tuple[FloatArray, FloatArray]:
    """Standardised outcomes and the design: the intercept, then the columns of `X` that vary, standardised.

    Parameters
    ----------
    outcomes, X : (n, p) and (n, k) DataFrame
        Without missing values; the first column of `X` (the predictor) stays even where it does not vary.

    Returns
    -------
    outcomes : (n, p) array
    predictors : (n, q) array

    Raises
    ------
    AnalysisError
        With fewer than 3 rows, or an outcome or predictor that is the same for everybody.
    """
    if len(X) < 3:
        few = f"only {plural(len(X), 'scan')} with all values" if len(X) else "no scan has all values"
        raise AnalysisError(few)
    matrix = X.to_numpy(dtype=float)
    varying = np.ptp(matrix, axis=0) > 0
    varying[0] = True
    predictors = np.column_stack([np.ones(len(X)), standardise(matrix[:, varying])])
    return standardise(outcomes.to_numpy(dtype=float)), predictors


def _linear(responses: FloatArray, predictors: FloatArray) -> pd.DataFrame:
    fit = fit_linear(responses, predictors)
    columns = np.arange(responses.shape[1])
    table = _tested(fit.beta[1], fit.se[1], np.full(len(columns), fit.df))
    return table.assign(column=columns, effect=FIRST, method=FIRST_VISIT.method, note=None, left=None)


def _tested(beta: FloatArray, se: FloatArray, df: FloatArray) -> pd.DataFrame:
    """t tests and 95 % intervals of estimates (q,)."""
    from scipy.stats import t

    half, statistic = t.ppf(0.975, df) * se, beta / se
    values = (beta, se, statistic, df, beta - half, beta + half, 2 * t.sf(np.abs(statistic), df))
    return pd.DataFrame(dict(zip(ESTIMATES, values, strict=True)))


def _longitudinal(
    responses: FloatArray, predictors: FloatArray, people: np.ndarray, years: FloatArray, model: ScoreModel
) -> pd.DataFrame:
    """Rows of every kind for the columns of `responses` (n, q); `predictors` (n, k) as the study's model has them."""
    parts, left = _split(predictors[:, 1], people, years)
    time = [standardise(years)] if np.ptp(years) > 0 else []
    X = np.column_stack([predictors[:, 0], *parts.values(), *time, predictors[:, 2:]])
    study = _mixed(responses, predictors, people, years, model, {STUDY: 1})
    numbered = {effect: position for position, effect in enumerate(parts, 1)}
    try:
        own = _mixed(responses, X, people, years, model, numbered, jackknife=not model.slope)
    except AnalysisError as error:
        return study.assign(left=f"parts within and between people: {error}")
    return pd.concat([own, study], ignore_index=True).sort_values("column", kind="stable").assign(left=left)


def _split(x: FloatArray, people: np.ndarray, years: FloatArray) -> tuple[dict[str, FloatArray], str | None]:
    """The parts of `x` (n,) within and between people that can be told, and what cannot."""
    codes = np.unique(people, return_inverse=True)[1]
    between, within = person_parts(x, codes)
    time = person_parts(years, codes)[1]
    moved = within - time * (time @ within / (time @ time) if time.any() else 0.0)
    if within @ within < EXACT * len(x):
        return {BETWEEN: between}, "the value never changes within people, so it is related between people only"
    if moved @ moved < OWN_CHANGE * (within @ within):
        return {BETWEEN: between}, "within people the value is time itself, so it is related between people only"
    if between.std() < EXACT:
        return {WITHIN: within}, "people do not differ in their mean, so the value is related within people only"
    return {WITHIN: within, BETWEEN: between}, None


def _mixed(
    responses: FloatArray,
    X: FloatArray,
    people: np.ndarray,
    years: FloatArray,
    model: ScoreModel,
    effects: Mapping[str, int],
    jackknife: bool = False,
) -> pd.DataFrame:
    """One row per response and effect (name to column of X) of the model with random effects per person."""
    positions, n_people = list(effects.values()), len(np.unique(people))
    slopes = RandomSlopeModel(X, people, years) if model.slope else None
    mixed = None if slopes else MixedModel(X, people)
    blocks = []
    for column, response in enumerate(responses.T):
        if mixed is None:
            assert slopes is not None
            fit = slopes.fit(response)
        else:
            found = mixed.design.fit(response)
            fit = mixed.test(found)
        se, df, method, note = fit.se[positions], fit.df[positions], model.method, SINGULAR if fit.singular else ""
        if mixed is not None and jackknife:
            own = person_jackknife(mixed.design, response, found, positions)
            if np.isnan(own).any():
                note = "; ".join(filter(None, (note, NO_JACKKNIFE)))
            else:
                se, df, method = own, np.full(len(own), n_people - 1.0), f"{model.method}, jackknife over people"
        rows = _tested(fit.beta[positions], se, df)
        blocks.append(rows.assign(column=column, effect=list(effects), method=method, note=note or None))
    return pd.concat(blocks, ignore_index=True)
