"""The balance of a matching as a result: table, love plot and sentences."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from bids_app.clinical.figures import LovePlot
from bids_app.clinical.results import AnalysisResult, make_result
from bids_app.clinical.stats.matching import SCORE, SMD_LIMIT, Matching, MatchSettings, balance

METHODS = (
    "Controls were matched {ratio}:1 by nearest propensity score without replacement (logistic regression "
    "on {covariates}; people of the group in descending order of the score, as in MatchIt; Ho et al. "
    "2011){exact}. Balance is the difference of means divided by the group's standard deviation; below {limit} is "
    "usually called balanced."
)


def matching_methods(settings: MatchSettings) -> str:
    """The paragraph for the methods section."""
    exact = f" among people with the same {' and '.join(settings.exact)}" if settings.exact else ""
    return METHODS.format(ratio=settings.ratio, covariates=", ".join(settings.covariates), exact=exact, limit=SMD_LIMIT)


def matching_result(
    cohort: pd.DataFrame, matching: Matching, treated: ArrayLike, settings: MatchSettings, group: str, control: str
) -> AnalysisResult:
    """The balance table and love plot of a matching.

    Parameters
    ----------
    cohort : (n rows) DataFrame
    matching : Matching
    treated : (n,) bool array
    settings : MatchSettings
    group, control : str

    Returns
    -------
    AnalysisResult
    """
    table = balance(cohort, matching, treated, settings.covariates)
    covariates = table[table["covariate"] != SCORE]
    known = covariates.dropna(subset=["smd_after"])
    matched, wanted = len(np.unique(matching.treated)), int(np.sum(np.asarray(treated, dtype=bool)))
    sentences = [
        f"{matched} of {wanted} people of group {group} were matched with {len(matching.control)} controls ({control})."
    ]
    sentences += _balance_sentences(known) if len(known) else []
    if matching.separated:
        sentences.append("The covariates tell the groups apart almost perfectly, so the score is unreliable.")
    figure = LovePlot(label="covariate", before="smd_before", after="smd_after", threshold=SMD_LIMIT)
    return make_result(
        "matching",
        "Balance of the matched groups",
        table,
        sentences=tuple(sentences),
        methods=matching_methods(settings),
        figure=figure,
    )


def _balance_sentences(table: pd.DataFrame) -> list[str]:
    worst = table.iloc[int(table["smd_after"].abs().argmax())]
    largest = abs(worst["smd_after"])
    sentence = (
        f"After matching the largest standardised difference is {largest:.2f} ({worst['covariate']}); "
        f"before matching it was {table['smd_before'].abs().max():.2f}."
    )
    if largest < SMD_LIMIT:
        return [sentence]
    return [sentence, f"Differences of {SMD_LIMIT} or more remain, so group comparisons may reflect the covariates."]
