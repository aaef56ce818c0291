"""Deviation of a structure as a whole: left and right together as one volume, beside either side and both."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import files

import pandas as pd

from bids_app.clinical.analyses.prevalence import exact_interval
from bids_app.clinical.cohort import CohortData
from bids_app.clinical.figures import Forest
from bids_app.clinical.results import AnalysisResult, make_result
from bids_app.clinical.wording import listing, percent, software
from bids_app.errors import AnalysisError
from bids_app.normative.base import Z_CRITICAL
from bids_app.regions import display_name
from bids_app.regions import summed_pairs as pairs_by_sum
from bids_app.tables import read_table

WAYS = {
    "left": "left",
    "right": "right",
    "either": "either side",
    "both": "both sides",
    "sum": "left and right together",
}
METHODS = (
    "A structure counts as infra-normal (z <= -{threshold:g}) at a person's first scan by its left or right side, by "
    "either side, by both, and by the volume of both together with a model of its own (open-sums). Shares have exact "
    "95 % intervals (Clopper-Pearson). The healthy shares were measured on people that the models had not seen "
    "(benchmarks/summed_pairs.py: 3,485 people of 89 sites, five folds). Software: {software}."
)
REMEDY = "The sums of left and right were not scored; the model open-calibrated+open-sums does."


@lru_cache(maxsize=1)
def _healthy() -> pd.DataFrame:
    table = read_table(str(files("bids_app.data") / "summed_pairs.tsv")).set_index("structure")
    return table[list(WAYS)] / 100


def summed_pairs(data: CohortData) -> list[AnalysisResult]:
    """Share of people with an infra-normal structure by side, either, both and the sum, beside healthy people."""
    table = _shares(data)
    scored = (table["way"] == WAYS["sum"]).any()
    figure = Forest(
        label="way",
        estimate="share_infra",
        low="low_infra",
        high="high_infra",
        null=0.025,
        facet="group",
        where={"region": "sum_Thalamus"},
        xlabel="Share of people with an infra-normal thalamus (line: 2.5 %)",
    )
    return [
        make_result(
            "summed_pairs",
            "Left and right together",
            table,
            sentences=(*_sentences(table), *(() if scored else (REMEDY,))),
            methods=METHODS.format(threshold=data.config.threshold, software=software("scipy")),
            figure=figure if (table["region"] == "sum_Thalamus").any() else None,
            way="By what the structure counts as infra-normal",
            healthy="Share of healthy people, measured out of sample",
        )
    ]


def _shares(data: CohortData) -> pd.DataFrame:
    """One row per group, structure and way.

    Raises
    ------
    AnalysisError
        When no structure has z of both sides.
    """
    first = data.scans[data.first]
    if "group" not in first:
        first = first.assign(group="all")
    z = data.zscores if data.measured is None else pd.concat([data.zscores, data.measured.extended], axis=1)
    usual, rows = data.config.threshold == Z_CRITICAL, []
    for name, low, known in _states(z, data.config.threshold):
        for group, part in first.groupby("group", sort=True):
            n = int(known[part.index].sum())
            for way in (way for way in WAYS if way in low and n):
                flagged = int((low[way] & known)[part.index].sum())
                ends = map(float, exact_interval(flagged, n))
                healthy = float(_healthy().loc[name, way]) if usual else float("nan")
                rows.append((group, name, display_name(name), WAYS[way], n, flagged, flagged / n, *ends, healthy))
    if not rows:
        raise AnalysisError("no structure has z of both sides")
    columns = [
        "group",
        "region",
        "structure",
        "way",
        "n",
        "n_infra",
        "share_infra",
        "low_infra",
        "high_infra",
        "healthy",
    ]
    return pd.DataFrame(rows, columns=columns)


def _states(z: pd.DataFrame, threshold: float) -> Iterator[tuple[str, dict[str, pd.Series], pd.Series]]:
    """Name of each sum, who is infra-normal by each way, and whose z are all known."""
    for name, pair in pairs_by_sum().items():
        if pair.left in z and pair.right in z:
            known = z[pair.left].notna() & z[pair.right].notna()
            left, right = z[pair.left] <= -threshold, z[pair.right] <= -threshold
            low = {"left": left, "right": right, "either": left | right, "both": left & right}
            if name in z and z[name].notna().any():
                low["sum"], known = z[name] <= -threshold, known & z[name].notna()
            yield name, low, known


def _sentences(table: pd.DataFrame) -> list[str]:
    """The thalamus in words, per group."""
    sentences = []
    for group, part in table[table["region"] == "sum_Thalamus"].groupby("group", sort=True):
        named = [
            f"{row['way']} {percent(row['share_infra'])}"
            + (f" (healthy people {percent(row['healthy'])})" if row["healthy"] > 0 else "")
            for row in part.to_dict("records")
        ]
        sentences.append(f"The thalamus of group {group} is infra-normal by {listing(named)}.")
    return sentences
