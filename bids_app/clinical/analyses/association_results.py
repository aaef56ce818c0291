"""Sentences and figures of the associations of clinical scores with deviations."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from bids_app.clinical.analyses.associations import BETWEEN, FIRST, FIRST_VISIT, LEFT_OUT, STUDY, WITHIN, ScoreModel
from bids_app.clinical.figures import BrainMap, Forest
from bids_app.clinical.results import AnalysisResult, make_result, map_limits
from bids_app.clinical.wording import few_people, interval, listing, p_value, plural, q_value, upper_first

COUNTS = {"n_infra": "number of infra-normal deviations"}
# Structures whose numbers sentences always give
NAMED = ("Thalamus", "Hippocampus", "Putamen")
STUDY_CAVEAT = "That model leaves time out, so it also finds what only changes with time in both."
STUDY_SENTENCE = f"The study's model gives {{}}. {STUDY_CAVEAT}"


def count_result(table: pd.DataFrame, scores: Mapping[str, str], model: ScoreModel = FIRST_VISIT) -> AnalysisResult:
    """The table of `count_associations` with sentences and a forest plot.

    Parameters
    ----------
    table : DataFrame
    scores : mapping
        Column to the name shown in sentences, e.g. ``{"edss_total": "EDSS"}``.
    model : ScoreModel
        As given to `count_associations`.

    Returns
    -------
    AnalysisResult
    """
    table = _named(table, scores)
    sentences = [_count_sentence(scores[str(score)], part, model) for score, part in table.groupby("score", sort=False)]
    sentences += _remarks(table, model)
    figure = Forest(
        label="score_name",
        estimate="beta",
        low="low",
        high="high",
        p="q",
        null=0,
        facet="effect" if model.longitudinal else None,
        xlabel="Standardised beta per standard deviation of the number of deviations",
    )
    name = "scores_counts_longitudinal" if model.longitudinal else "scores_counts"
    title = f"Clinical scores and number of deviations, {model.when}"
    return make_result(name, title, table, sentences=tuple(sentences), methods=model.methods(), figure=figure)


def _count_sentence(score: str, part: pd.DataFrame, model: ScoreModel) -> str:
    rows = {str(row["effect"]): row for row in part.to_dict("records")}
    first = part.iloc[0]
    head = f"{upper_first(score)} and the {COUNTS[first['predictor']]} {model.when}"
    if not model.longitudinal:
        return f"{head}: standardised beta {_estimate(rows[FIRST], people=True)}."
    parts = [f"{effect} {_estimate(rows[effect])}" for effect in (WITHIN, BETWEEN) if effect in rows]
    counted = plural(first["n_people"], "person", "people")
    said = (
        f"{head} ({counted}), with time in the model: standardised beta {', '.join(parts)}. " if parts else f"{head}. "
    )
    return f"{said}{STUDY_SENTENCE.format(_estimate(rows[STUDY]))}"


def _estimate(row: Mapping[Hashable, Any], people: bool = False) -> str:
    """A standardised beta with its interval, p, q and, with `people`, how many there are."""
    counted = f", {plural(row['n_people'], 'person', 'people')}" if people else ""
    return (
        f"{row['beta']:.2f} ({interval(row['low'], row['high'])}, {p_value(row['p'])}, {q_value(row['q'])} after "
        f"correction for multiple tests{counted})"
    )


def region_result(table: pd.DataFrame, scores: Mapping[str, str], model: ScoreModel = FIRST_VISIT) -> AnalysisResult:
    """The table of `region_associations` with sentences and one brain map per score, as `count_result`.

    Parameters
    ----------
    table : DataFrame
        Of `region_associations`.
    scores : mapping of str to str
        From the column of a score to its name in sentences.
    model : ScoreModel

    Returns
    -------
    AnalysisResult
    """
    table = _named(table, scores)
    sentences = [
        sentence
        for (score, effect), part in table.groupby(["score", "effect"], sort=False)
        for sentence in _region_sentences(scores[str(score)], str(effect), part, model.when)
    ] + _remarks(table, model)
    kind = next(effect for effect in (FIRST, WITHIN, BETWEEN, STUDY) if (table["effect"] == effect).any())
    figure = BrainMap(
        region="region",
        value="beta",
        facet="score_name",
        scale="diverging",
        limits=map_limits(table.loc[table["effect"] == kind, "beta"]),
        xlabel=f"Standardised beta, {kind}",
        where={"effect": kind},
    )
    name = "scores_regions_longitudinal" if model.longitudinal else "scores_regions"
    return make_result(
        name,
        f"Clinical scores and regional z, {model.when}",
        table,
        sentences=tuple(sentences),
        methods=model.methods(table["region"].nunique()),
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


def _region_sentences(score: str, effect: str, part: pd.DataFrame, when: str) -> list[str]:
    """In how many regions a score is related to z, where most, and the named structures whatever they are."""
    found = part[part["q"] < 0.05]
    how = {FIRST: "is", STUDY: "is, by the study's model,"}.get(effect, f"is, {effect},")
    sentence = (
        f"{upper_first(score)} {when} {how} related to z in {len(found)} of {plural(len(part), 'region')} after "
        "correction for multiple tests"
    )
    strongest = found.loc[found["beta"].abs().sort_values(ascending=False).index[:3]]
    named = [f"{row['structure']} (beta {row['beta']:.2f})" for row in strongest.to_dict("records")]
    sentence += f"; most strongly in the {listing(named)}." if named else "."
    always = part[[str(name).partition("-")[2] in NAMED for name in part["region"]]]
    betas = [
        f"{row['structure']} {row['beta']:.2f} ({interval(row['low'], row['high']).removeprefix('95 % interval ')})"
        for row in always.to_dict("records")
    ]
    said = f"Beta (95 % interval): {'; '.join(betas)}." if betas else ""
    caveat = STUDY_CAVEAT if effect == STUDY else ""
    return [" ".join(filter(None, (sentence, said, caveat)))]
