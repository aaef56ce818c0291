"""Deviations of thickness and of area, each counted by itself where more than one measure was scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from bids_app.bids.columns import KEYS
from bids_app.clinical.analyses.group_tables import expected_table
from bids_app.clinical.deviations import TAILS, count_table
from bids_app.regions import MEASURES, VOLUME, counted_regions


def surface_counts(
    scans: pd.DataFrame, zscores: pd.DataFrame, summaries: Sequence[Mapping[str, Any]] = ()
) -> pd.DataFrame:
    """``group_surfaces``: deviations per scan of thickness and of area, each over its own regions.

    Parameters
    ----------
    scans : DataFrame
        As `scan_table`.
    zscores : DataFrame
        z of everything that was scored, rows as `scans`.
    summaries : sequence of mappings
        Those of the scans; their ``surface_counts`` hold what the model's own healthy people show.

    Returns
    -------
    DataFrame
        One row per scan and measure; none where nothing is counted beside what `scans` count.
    """
    counted = {measure: [name for name in counted_regions(measure) if name in zscores] for measure in MEASURES}
    scored = [measure for measure, regions in counted.items() if regions]
    parts = [
        _measure_counts(scans, zscores[counted[measure]], summaries, measure)
        for measure in scored
        if measure != VOLUME and len(scored) > 1
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _measure_counts(
    scans: pd.DataFrame, zscores: pd.DataFrame, summaries: Sequence[Mapping[str, Any]], measure: str
) -> pd.DataFrame:
    counts = count_table(zscores).reset_index(drop=True)
    own = [{"counts": (summary.get("surface_counts") or {}).get(measure) or {}} for summary in summaries]
    healthy = expected_table(counts, own)[[f"{tail}_mean" for tail in TAILS]]
    named = healthy.set_axis([f"expected_{tail}" for tail in TAILS], axis=1)
    return pd.concat([scans[list(KEYS)].reset_index(drop=True).assign(measure=measure), counts, named], axis=1)
