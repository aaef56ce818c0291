"""Change of volumes of groups against controls, and how many people a trial of it would need."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from bids_app.clinical.analyses.outcome_analyses import known
from bids_app.clinical.analyses.volume_rates import BEYOND, COMPOSITE, OBSERVED, RATE_COLUMNS, REGION, TOLD, with_kinds
from bids_app.clinical.analyses.volume_scans import ALL_SCANS, baselines
from bids_app.clinical.cohort import CohortData
from bids_app.clinical.figures import BrainMap
from bids_app.clinical.results import AnalysisResult, make_result, map_limits
from bids_app.clinical.stats.linear import false_discovery
from bids_app.clinical.stats.volume_rates import contrast, group_volume_rates
from bids_app.clinical.wording import few_people, interval, listing, plural, q_value, software
from bids_app.errors import AnalysisError

CONTRAST_COLUMNS = {
    **RATE_COLUMNS,
    "measure": "The rate itself, or what it is beyond the expected change of healthy people of the same ages",
    "rate_group": "Mean rate of the group, percent a year",
    "rate_control": "Mean rate of the controls, percent a year",
    "difference": "rate_group minus rate_control, percent a year",
    "sd_group": "Standard deviation of the rates in the group, percent a year",
    "n_per_arm_30": "People per arm of a trial that slows the difference from controls by 30 % (80 % power, 5 % "
    "level); n/a where the interval of the difference holds 0",
    "n_per_arm_50": "The same for slowing it by 50 %",
}
CONTRAST_METHODS = (
    "Rates of each group are compared with those of the controls by Welch's t test on their clustered standard errors, "
    "corrected over regions by Benjamini-Hochberg within each group, measure and baseline. People per arm are n = 2 "
    "(1.960 + 0.842)^2 sd^2 / (share x difference)^2, with the rates' standard deviation in the group (Anderson et al. "
    "2007, doi:10.1007/s00415-007-0599-3): a trial whose people are followed as those here. {scans}"
    "Software: {software}."
)


def contrasts(data: CohortData) -> list[AnalysisResult]:
    """Rates of each group against the controls, as they are and beyond what is expected of healthy people."""
    control = data.control()
    parts, treated, passage = baselines(data)
    blocks, few = [], []
    for baseline, part in parts.items():
        measures = {OBSERVED: part.logs, BEYOND: part.logs - part.healthy}
        for measure, values in measures.items():
            if values.notna().any(axis=None):
                found, problems = _against_control(part.scans, values, data.groups, control)
                blocks += [block.assign(baseline=baseline, measure=measure) for block in found]
                few += [f"{text} ({baseline})" for text in problems if measure == OBSERVED]
    if not blocks:
        raise AnalysisError("; ".join(few) or "no group has rates to compare with those of the controls")
    table = with_kinds(pd.concat(blocks, ignore_index=True))
    every = parts[ALL_SCANS]
    table = table.assign(stream=every.stream)
    keys = ["group", "baseline", "measure"]
    table["q"] = table.groupby(keys)["p"].transform(lambda p: false_discovery(p.to_numpy(dtype=float)))
    sentences = (*_contrast_sentences(table, control), *every.sentences, *treated, *(f"{text}." for text in few))
    smallest = table[["n_group", "n_control"]].min().min()
    shown = table[(table["kind"] == REGION) & (table["measure"] == OBSERVED)]
    figure = BrainMap(
        region="region",
        value="difference",
        facet="group",
        where={"kind": REGION, "measure": OBSERVED, "baseline": ALL_SCANS},
        scale="diverging",
        limits=map_limits(shown["difference"]),
        xlabel=f"Difference from {control}, percent a year",
    )
    return [
        make_result(
            "volume_rate_contrasts",
            f"Change of volumes against {control}",
            table,
            sentences=(*sentences, *few_people(int(smallest))),
            methods=CONTRAST_METHODS.format(scans=every.methods + passage, software=software("numpy", "scipy")),
            figure=figure,
            **known(CONTRAST_COLUMNS, table),
        )
    ]


def _against_control(
    scans: pd.DataFrame, values: pd.DataFrame, groups: Iterable[str], control: str
) -> tuple[list[pd.DataFrame], list[str]]:
    """The contrast of each group with the controls, and why there is none."""
    found: dict[str, pd.DataFrame] = {}
    few = []
    for name in (control, *groups):
        rows = scans[scans["group"] == name]
        try:
            found[name] = group_volume_rates(values.loc[rows.index], rows["participant_id"], rows["years"])
        except (AnalysisError, ValueError) as error:
            why = str(error) if len(rows) else "nobody has comparable scans at two times"
            few.append(f"Group {name} has no rates: {why.rstrip('.')}")
    if control not in found:
        return [], few
    blocks = [
        contrast(found[name], found[control]).assign(group=name, control_group=control)
        for name in groups
        if name in found
    ]
    return blocks, few


def _contrast_sentences(table: pd.DataFrame, control: str) -> tuple[str, ...]:
    """How many volumes differ, the composites that are `TOLD`, and the people per arm where that can be said."""
    sentences = []
    for (baseline, group), part in table[table["measure"] == OBSERVED].groupby(["baseline", "group"], sort=True):
        tested, found = int(part["q"].notna().sum()), part[part["q"] < 0.05]
        when = "" if baseline == ALL_SCANS else f", {baseline},"
        sentences.append(
            f"Volumes of group {group}{when} change at another rate than those of {control} in {len(found)} of "
            f"{plural(tested, 'volume')} after correction for multiple tests."
        )
        sums = part[(part["kind"] == COMPOSITE) & part["difference"].notna()]
        named = [
            f"{row['structure']} {row['difference']:+.2f} % ({interval(row['low'], row['high'])}, {q_value(row['q'])})"
            for row in sums[sums["region"].isin(TOLD)].to_dict("records")
        ]
        if named:
            sentences.append(f"Difference a year{when.rstrip(',')}: {listing(named)}.")
        arms = [
            f"{row['structure']} {row['n_per_arm_30']:.0f} and {row['n_per_arm_50']:.0f}"
            for row in sums[np.isfinite(sums["n_per_arm_50"])].to_dict("records")
        ]
        if arms:
            trial = f"People per arm of a trial that slows this difference by 30 and by 50 %{when.rstrip(',')}"
            sentences.append(f"{trial} (80 % power): {listing(arms, 6)}.")
    return tuple(sentences)
