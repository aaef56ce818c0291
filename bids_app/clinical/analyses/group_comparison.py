"""Groups against the reference and against controls: the analyses that need a diagnosis."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from bids_app.bids.covariate_columns import SITE_COLUMNS
from bids_app.clinical.analyses import case_control, region_differences
from bids_app.clinical.analyses.group_tables import first_named
from bids_app.clinical.analyses.matched import matching_result
from bids_app.clinical.analyses.prevalence import prevalence_table
from bids_app.clinical.analysis_file import AnalysisConfig
from bids_app.clinical.cohort import CohortData
from bids_app.clinical.deviations import TAILS, count_table, region_set
from bids_app.clinical.figures import BrainMap, Forest, Table
from bids_app.clinical.results import AnalysisResult, make_result, map_limits, not_computed
from bids_app.clinical.stats import matching
from bids_app.clinical.stats.linear import design
from bids_app.clinical.stats.matching import MatchSettings
from bids_app.clinical.wording import few_people, interval, listing, percent, plural, software
from bids_app.errors import AnalysisError
from bids_app.findings import Finding

BURDEN_METHODS = (
    "Deviations were counted at each person's first scan with a threshold of |z| >= {threshold:g} over all, "
    "cortical and subcortical regions. The expected number and its central 95 % range are those of a healthy "
    "person with as many regions{own}; of a group the mean, and the median of the bounds, over its people. {rest} take "
    "regions as standard normal and equally correlated (r = 0.16, the mean correlation between regions in the open "
    "healthy reference). Software: {software}."
)

PREVALENCE_METHODS = (
    "For each region the shares of people with z <= -{threshold:g} and with z >= {threshold:g} at their first scan are "
    "given with exact 95 % intervals (Clopper-Pearson). Software: {software}."
)


FAILED, SENSITIVITY = "fail", "without failed quality"


def burden(data: CohortData) -> list[AnalysisResult]:
    """Number of deviations by group, set of regions and tail, with what the reference expects."""
    first = data.scans[data.first]
    known = "group" in first and first["group"].notna().any()
    groups = first["group"] if known else pd.Series("all", index=first.index)
    sets = {"all": "all", "cortical": "cortical", "subcortical": "subcortical"}
    if not isinstance(data.config.regions, str):
        sets["listed"] = data.config.regions  # type: ignore[assignment]
    rows = []
    for name, regions in sets.items():
        if regions != "all" and not any(region in data.zscores for region in region_set(regions)):
            continue
        counts = count_table(data.zscores[data.first], regions, data.config.threshold)
        same = regions == data.config.regions
        healthy = {tail: data.expected(tail, None if same else counts).loc[counts.index] for tail in TAILS}
        for group, part in counts.groupby(groups, sort=True):
            rows += [
                _burden_row(str(group), name, tail, part, healthy[tail].loc[part.index], data.config.threshold)
                for tail in TAILS
            ]
    table = pd.DataFrame(rows)
    shown = data.config.regions if isinstance(data.config.regions, str) else "listed"
    rows = table[(table["region_set"] == shown) & (table["tail"] == "infra")].to_dict("records")
    sentences = (*map(_burden_sentence, rows), *data.counting_note, *few_people(int(table["n"].min())))
    figure = Forest(
        label="group",
        estimate="mean",
        low="mean_low",
        high="mean_high",
        facet="tail",
        xlabel="Mean number of deviations (dotted: expected of a healthy person)",
        where={"region_set": shown},
        null="expected",
    )
    told = data.healthy is not None and not data.counting_note  # as `CohortData.expected`
    own = ", over all regions those of the model's own healthy people" if told else ""
    methods = BURDEN_METHODS.format(
        threshold=data.config.threshold,
        own=own,
        rest="The other ranges" if told else "The ranges",
        software=software("numpy", "scipy"),
    )
    return [
        make_result(
            "burden",
            "Number of deviations by group",
            table,
            sentences=sentences,
            methods=methods,
            figure=figure,
            mean_low="Lower bound of the 95 % t interval of the mean",
            mean_high="Upper bound of the 95 % t interval of the mean",
            n="Number of people (first scan of each)",
            share_above="Share of people with more than expected_high, 0 to 1",
        )
    ]


def _burden_sentence(row: Mapping[Hashable, Any]) -> str:
    above = percent(row["share_above"]) if row["share_above"] else "nobody"
    verb = "has" if row["share_above"] == 0 else "have"
    return (
        f"Group {row['group']} ({plural(row['n'], 'person', 'people')}) has on average {row['mean']:.2f} "
        f"infra-normal deviations where {row['expected']:.2f} are expected of healthy people; {above} {verb} more "
        f"than {row['expected_high']:g}, the upper end of what 95 % of healthy people have."
    )


def _burden_row(
    group: str, name: str, tail: str, counts: pd.DataFrame, healthy: pd.DataFrame, threshold: float
) -> dict[str, object]:
    from scipy.stats import t

    values = counts[f"n_{tail}"].to_numpy(dtype=float)
    mean, n = float(values.mean()), len(values)
    spread = float(values.std(ddof=1)) if n > 1 else np.nan
    half = float(t.ppf(0.975, n - 1)) * spread / np.sqrt(n) if n > 1 else np.nan
    return {
        "group": group,
        "region_set": name,
        "tail": tail,
        "threshold": threshold,
        "n": n,
        "mean": mean,
        "sd": spread,
        "mean_low": mean - half,
        "mean_high": mean + half,
        "median": float(np.median(values)),
        "maximum": int(values.max()),
        "expected": float(healthy["mean"].mean()),
        "expected_low": float(healthy["low"].median()),
        "expected_high": float(healthy["high"].median()),
        "share_above": float((values > healthy["high"].to_numpy()).mean()),
    }


def prevalence(data: CohortData) -> list[AnalysisResult]:
    """Share of people in deviation per region and group, at the first scan."""
    groups = data.scans.loc[data.first, "group"] if "group" in data.scans else None
    table = prevalence_table(data.zscores[data.first], groups, threshold=data.config.threshold)
    figure = BrainMap(
        region="region",
        value="share_infra",
        facet="group",
        scale="sequential",
        limits=map_limits(table["share_infra"], diverging=False),
        xlabel=f"Share of people with z <= -{data.config.threshold:g}",
    )
    methods = PREVALENCE_METHODS.format(threshold=data.config.threshold, software=software("numpy", "scipy"))
    return [
        make_result(
            "deviation_prevalence",
            "Share of people in deviation per region",
            table,
            methods=methods,
            figure=figure,
            sentences=region_differences.prevalence_sentences(table, data.config.threshold),
            **prevalence_descriptions(data.config.threshold),
        )
    ]


def prevalence_descriptions(threshold: float) -> dict[str, str]:
    """Descriptions of the columns that depend on the threshold."""
    tails = {"infra": f"z <= -{threshold:g}", "supra": f"z >= {threshold:g}"}
    return {
        f"{column}_{tail}": text.format(rule)
        for tail, rule in tails.items()
        for column, text in (("n", "Number of people with {}"), ("share", "Share of people with {}, 0 to 1"))
    }


@dataclass(frozen=True)
class Comparison:
    """The people of a group and the controls that they are compared with.

    `matching` holds the balance and the pairs, empty without matching; `sets` are ``set weight`` of the matched people;
    `covariates` are those to adjust for where matching was not possible; `notes` are sentences on who is left out.
    """

    people: pd.DataFrame
    matching: tuple[AnalysisResult, ...] = ()
    sets: pd.DataFrame | None = None
    covariates: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def counts(data: CohortData) -> list[AnalysisResult]:
    """Matching, its balance, and the negative binomial comparison, for each group."""
    control = data.control()
    if not data.groups:
        raise AnalysisError(f"there is nobody beside the controls ({control}), so there is nothing to compare")
    results, suffixes = [], file_suffixes(data.groups)
    for group in data.groups:
        found = comparison_set(data, group, control)
        suffix = f"_{suffixes[group]}" if len(data.groups) > 1 else ""
        try:
            result = case_control.case_control_result(
                found.people, group, control, covariates=found.covariates, sets=found.sets
            )
        except AnalysisError as error:  # one group of too few must not take the others along
            if not suffix:
                raise
            title, reason = f"Number of deviations, {group} against {control}", f"{str(error).rstrip('.')}."
            results.append(not_computed(f"case_control{suffix}", title, reason))
            continue
        result = _without_failed(result, found, group, control)
        result = _with_notes(result, (*found.notes, *data.counting_note))
        seen = tuple(Finding("groups-compared", f"{group} and {control}: {note.rstrip('.')}") for note in found.notes)
        result = replace(result, findings=seen)
        result = replace(result, methods=f"{data.counting} {result.methods}")
        named = [replace(other, title=f"{other.title}, {group} and {control}") for other in found.matching]
        results += [_renamed(other, suffix) for other in (*named, result)]
    return results


def _without_failed(result: AnalysisResult, found: Comparison, group: str, control: str) -> AnalysisResult:
    """`result` with rows that leave out scans which failed quality by their z or asymmetry: is it them that differ?"""
    people = found.people
    failed = (people["quality"] == FAILED).to_numpy() if "quality" in people else np.zeros(len(people), dtype=bool)
    if not failed.any():
        return result
    try:
        sets = None if found.sets is None else found.sets[~failed]
        rows = case_control.compare_counts(people[~failed], group, control, covariates=found.covariates, sets=sets)
    except AnalysisError as error:
        return _with_notes(result, (f"Without the scans that failed quality there is no comparison ({error}).",))
    rows = rows[rows["method"] != "theta = 1"].drop_duplicates("tail", keep="last").assign(method=SENSITIVITY)
    infra = rows[rows["tail"] == "infra"].to_dict("records")
    sentences = [
        f"Without the {plural(int(failed.sum()), 'scan')} that failed quality by z or asymmetry, the incidence rate "
        f"ratio of infra-normal deviations is {row['irr']:.2f} ({interval(row['low'], row['high'])})."
        for row in infra
    ]
    return _with_notes(replace(result, table=pd.concat([result.table, rows], ignore_index=True)), tuple(sentences))


def comparison_set(data: CohortData, group: str, control: str) -> Comparison:
    """First scans of a group and its controls: matched, or with covariates to adjust for where controls are too few."""
    people = data.scans[data.first & data.scans["group"].isin([group, control]).to_numpy()]
    config = data.config
    if config.match_ratio == 0:
        return _with_sites(Comparison(people), control)
    settings, notes = _settings(config, people, (people["group"] == group).to_numpy())
    wanted = [*settings.covariates, *settings.exact]
    complete = people[people[wanted].notna().all(axis=1)]
    lost = len(people) - len(complete)
    notes += [f"{plural(lost, 'person', 'people')} without all covariates of the matching left out."] if lost else []
    treated = (complete["group"] == group).to_numpy()
    short = not treated.any() or (~treated).sum() < settings.ratio * treated.sum()
    if not short and settings.covariates:
        found = matching.match(complete, treated, settings)
        balance = matching_result(complete, found, treated, settings, group, control)
        pairs = make_result("matching_pairs", "Matched pairs", matching.pairs_table(complete, found), figure=Table())
        kept = complete.iloc[found.rows()]
        sets = found.sets().set_axis(kept.index)
        return _with_sites(Comparison(kept, (balance, pairs), sets, notes=tuple(notes)), control)
    if short:
        available = plural(int((~treated).sum()), "control")
        counted = f"{available} for {plural(int(treated.sum()), 'person', 'people')}"
        each = f", and {settings.ratio} each are wanted" if settings.ratio > 1 else ""
        notes.append(f"Groups were not matched: there are too few controls ({counted}{each}).")
    return _with_sites(_to_adjust(people, complete, treated, settings, notes), control)


def _settings(config: AnalysisConfig, people: pd.DataFrame, treated: np.ndarray) -> tuple[MatchSettings, list[str]]:
    """How to match, with the covariates that can be matched for, and sentences on the others."""
    present = [name for name in config.match_covariates if name in people]
    kept, left = matching.usable_covariates(people, treated, present)
    left |= {name: "is not in the cohort" for name in config.match_covariates if name not in people}
    exact = [name for name in config.match_exact if name in people]
    left |= {name: "is not in the cohort" for name in config.match_exact if name not in people}
    settings = MatchSettings(tuple(kept), config.match_ratio, tuple(exact))
    return settings, [f"Groups were not matched for {name}: it {why}." for name, why in left.items()]


def _to_adjust(
    people: pd.DataFrame, complete: pd.DataFrame, treated: np.ndarray, settings: MatchSettings, notes: list[str]
) -> Comparison:
    """The unmatched comparison, adjusted for the covariates where there are people enough for that."""
    terms = design(complete, settings.covariates).shape[1] if len(complete) else 0
    if not terms or min(treated.sum(), (~treated).sum()) < 2 or len(complete) < 5 * (terms + 2):
        unadjusted = "The comparison is not adjusted for anything instead: there are too few people for that."
        return Comparison(people, notes=(*notes, *([unadjusted] if terms else [])))
    said = f"The comparison is adjusted for {listing(list(settings.covariates))} instead."
    return Comparison(complete, covariates=settings.covariates, notes=(*notes, said))


def _with_sites(found: Comparison, control: str) -> Comparison:
    """With a sentence when people or controls are from sites that the others lack: scanners can look like a disease."""
    column = first_named(found.people, SITE_COLUMNS)
    if column is None:
        return found
    is_control = (found.people["group"] == control).to_numpy()
    ours, theirs = found.people.loc[~is_control, column].dropna(), found.people.loc[is_control, column].dropna()
    people, controls = int((~ours.isin(theirs)).sum()), int((~theirs.isin(ours)).sum())
    if people + controls == 0:
        return found
    counted = f"{people} of {plural(len(ours), 'person', 'people')} and {controls} of {plural(len(theirs), 'control')}"
    note = (
        f"{counted} are from sites (column {column}) that the others are not from; differences between sites then "
        f'look like differences between groups (match_exact = ["{column}"] matches within sites).'
    )
    return replace(found, notes=(*found.notes, note))


def regions(data: CohortData) -> list[AnalysisResult]:
    """Mean z per region, each group against the same controls as for the counts, at the first scan."""
    control = data.control()
    if not data.groups:
        raise AnalysisError(f"there is nobody beside the controls ({control}), so there is nothing to compare")
    blocks, tests, notes = [], [], []
    for group in data.groups:
        found = comparison_set(data, group, control)
        z, covariates = data.zscores.loc[found.people.index], None
        if found.covariates:
            covariates = design(found.people, found.covariates)
            tests.append(region_differences.ADJUSTED.format(covariates=listing(list(found.covariates))))
        else:
            tests.append(region_differences.WELCH if found.sets is None else region_differences.PAIRED)
        table = region_differences.region_differences(
            z, found.people["group"], control, sets=found.sets, covariates=covariates
        )
        blocks.append(table)
        notes += [f"{group}: {note}" if len(data.groups) > 1 else note for note in found.notes]
    result = region_differences.region_result(pd.concat(blocks, ignore_index=True), control, tests)
    return [_with_notes(result, tuple(notes))]


def file_suffixes(groups: Sequence[str]) -> dict[str, str]:
    """The part of a file name of each group: its letters and digits, with a number where others have the same."""
    plain = {group: re.sub(r"[^A-Za-z0-9]+", "", group) or "group" for group in groups}
    taken: dict[str, int] = {}
    out = {}
    for group in sorted(groups):
        name = plain[group]
        taken[name.casefold()] = number = taken.get(name.casefold(), 0) + 1
        while number > 1 and f"{name}{number}".casefold() in taken:
            number += 1
        out[group] = name if number == 1 else f"{name}{number}"
        taken[out[group].casefold()] = max(taken.get(out[group].casefold(), 0), 1)
    return out


def _renamed(result: AnalysisResult, suffix: str) -> AnalysisResult:
    return replace(result, name=f"{result.name}{suffix}")


def _with_notes(result: AnalysisResult, notes: tuple[str, ...]) -> AnalysisResult:
    return replace(result, sentences=(*result.sentences, *notes))
