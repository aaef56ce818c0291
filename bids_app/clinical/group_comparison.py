"""Groups against the reference and against controls: the analyses that need a diagnosis."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from bids_app.clinical import case_control, matching
from bids_app.clinical.cohort_data import CohortData
from bids_app.clinical.deviations import TAILS, count_table, expected_count, region_set
from bids_app.clinical.group_tables import prevalence_table
from bids_app.clinical.results import AnalysisResult, make_result
from bids_app.clinical.wording import percent, plural, software
from bids_app.errors import AnalysisError

BURDEN_METHODS = (
    "Deviations were counted at each person's first scan with a threshold of |z| >= {threshold:g} over all, "
    "cortical and subcortical regions. The expected number and its central 95 % range are those of a healthy "
    "person, with regions taken as standard normal and equally correlated (r = 0.16, the mean correlation between "
    "regions in the open healthy reference). Software: {software}."
)

PREVALENCE_METHODS = (
    "For each region the share of people with |z| >= {threshold:g} at their first scan is given with its exact 95 % "
    "interval (Clopper-Pearson). Software: {software}."
)


def burden(data: CohortData) -> list[AnalysisResult]:
    """Number of deviations by group, set of regions and tail, with what the reference expects."""
    first = data.scans[data.first]
    groups = first["group"] if "group" in first else pd.Series("all", index=first.index)
    sets = {"all": "all", "cortical": "cortical", "subcortical": "subcortical"}
    if not isinstance(data.config.regions, str):
        sets["listed"] = data.config.regions  # type: ignore[assignment]
    rows = []
    for name, regions in sets.items():
        present = [region for region in region_set(regions) if region in data.zscores]
        if not present:
            continue
        counts = count_table(data.zscores[data.first], regions, data.config.threshold)
        for group, part in counts.groupby(groups, sort=True):
            rows += [_burden_row(str(group), name, tail, part, len(present), data.config.threshold) for tail in TAILS]
    table = pd.DataFrame(rows)
    sentences = tuple(
        f"Group {row['group']} ({plural(row['n'], 'person', 'people')}) has on average {row['mean']:.2f} infra-normal "
        f"deviations; {row['expected']:.2f} are expected. {percent(row['share_above'])} have more than "
        f"{row['expected_high']}, the upper end of what 95 % of healthy people have."
        for row in table.to_dict("records")
        if row["region_set"] == "all" and row["tail"] == "infra"
    )
    figure = {"kind": "forest", "label": "group", "estimate": "mean", "low": "mean_low", "high": "mean_high",
              "facet": "tail", "xlabel": "Mean number of deviations", "where": {"region_set": "all"},
              "null": float(table.loc[table["tail"] == "infra", "expected"].iloc[0])}  # fmt: skip
    methods = BURDEN_METHODS.format(threshold=data.config.threshold, software=software("numpy", "scipy"))
    return [make_result(
        "burden", "Number of deviations by group", table, sentences=sentences, methods=methods, figure=figure,
        mean_low="Lower bound of the 95 % t interval of the mean",
        mean_high="Upper bound of the 95 % t interval of the mean", n="Number of people (first scan of each)",
        share_above="Share of people with more than expected_high, 0 to 1",
    )]  # fmt: skip


def _burden_row(
    group: str, name: str, tail: str, counts: pd.DataFrame, n_regions: int, threshold: float
) -> dict[str, object]:
    from scipy.stats import t

    values = counts[f"n_{tail}"].to_numpy(dtype=float)
    expected = expected_count(n_regions, tail, threshold)
    mean, n = float(values.mean()), len(values)
    spread = float(values.std(ddof=1)) if n > 1 else np.nan
    half = float(t.ppf(0.975, n - 1)) * spread / np.sqrt(n) if n > 1 else np.nan
    return {
        "group": group, "region_set": name, "tail": tail, "threshold": threshold, "n": n, "mean": mean, "sd": spread,
        "mean_low": mean - half, "mean_high": mean + half, "median": float(np.median(values)),
        "maximum": int(values.max()), "expected": expected.mean, "expected_low": expected.low,
        "expected_high": expected.high, "share_above": float((values > expected.high).mean()),
    }  # fmt: skip


def prevalence(data: CohortData) -> list[AnalysisResult]:
    """Share of people in deviation per region and group, at the first scan."""
    groups = data.scans.loc[data.first, "group"] if "group" in data.scans else None
    table = prevalence_table(data.zscores[data.first], groups, threshold=data.config.threshold)
    figure = {"kind": "map", "region": "region", "value": "share_infra", "facet": "group", "scale": "sequential",
              "xlabel": f"Share of people with z <= -{data.config.threshold:g}"}  # fmt: skip
    methods = PREVALENCE_METHODS.format(threshold=data.config.threshold, software=software("numpy", "scipy"))
    return [make_result(
        "deviation_prevalence", "Share of people in deviation per region", table, methods=methods, figure=figure,
        sentences=case_control.prevalence_sentences(table, data.config.threshold),
        **prevalence_descriptions(data.config.threshold),
    )]  # fmt: skip


def prevalence_descriptions(threshold: float) -> dict[str, str]:
    """Descriptions of the columns that depend on the threshold."""
    tails = {"infra": f"z <= -{threshold:g}", "supra": f"z >= {threshold:g}"}
    return {
        f"{column}_{tail}": text.format(rule)
        for tail, rule in tails.items()
        for column, text in (("n", "Number of people with {}"), ("share", "Share of people with {}, 0 to 1"))
    }


def counts(data: CohortData) -> list[AnalysisResult]:
    """Matching, its balance, and the negative binomial comparison, for each group."""
    control = data.control()
    if not data.groups:
        raise AnalysisError("there is no group beside the controls")
    results = []
    for group in data.groups:
        people, matched = comparison_set(data, group, control)
        suffix = f"_{slug(group)}" if len(data.groups) > 1 else ""
        if matched:
            results += [_renamed(result, suffix) for result in matched]
        results.append(
            _renamed(case_control.case_control_result(people, group, control, matched=bool(matched)), suffix)
        )
    return results


def comparison_set(data: CohortData, group: str, control: str) -> tuple[pd.DataFrame, list[AnalysisResult]]:
    """First scans of a group and its controls, matched when that is asked for and controls suffice.

    Returns
    -------
    DataFrame, list of AnalysisResult
        The people that are compared; the balance and the pairs, empty without matching.
    """
    rows = data.first & data.scans["group"].isin([group, control]).to_numpy()
    people = data.scans[rows]
    ratio, covariates = data.config.match_ratio, data.config.match_covariates
    if ratio == 0 or any(name not in people for name in covariates):
        return people, []
    people = people[people[list(covariates)].notna().all(axis=1)]
    treated = (people["group"] == group).to_numpy()
    if not treated.any() or (~treated).sum() < ratio * treated.sum():
        return data.scans[rows], []
    found = matching.match(people, treated, covariates, ratio)
    balance = matching.matching_result(people, found, treated, covariates, group, control, ratio)
    pairs = make_result(
        "matching_pairs", "Matched pairs", matching.pairs_table(people, found), figure={"kind": "table"}
    )
    return people.iloc[found.rows()], [balance, pairs]


def regions(data: CohortData) -> list[AnalysisResult]:
    """Mean z per region, groups against controls, at the first scan (matched as the counts are)."""
    control = data.control()
    if len(data.groups) == 1:
        people, _ = comparison_set(data, data.groups[0], control)
    else:
        people = data.scans[data.first & data.scans["group"].isin([*data.groups, control]).to_numpy()]
    return [case_control.region_result(data.zscores.loc[people.index], people["group"], control)]


def slug(text: str) -> str:
    """`text` as part of a file name."""
    return re.sub(r"[^A-Za-z0-9]+", "", text) or "group"


def _renamed(result: AnalysisResult, suffix: str) -> AnalysisResult:
    if not suffix:
        return result
    return AnalysisResult(f"{result.name}{suffix}", result.title, result.table, result.columns, result.sentences,
                          result.methods, result.figure)  # fmt: skip
