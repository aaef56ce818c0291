"""Deviations of thickness and of area, counted by themselves."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bids_app.clinical.analyses.surface_counts import surface_counts
from bids_app.clinical.deviations import expected_count
from bids_app.regions import counted_regions

SCANS = pd.DataFrame({"participant_id": ["a", "b"], "session_id": ["1", None]}, index=[4, 7])
VOLUMES, THICKNESS, AREA = (counted_regions(measure)[:3] for measure in ("volume", "thickness", "area"))


def scored(*regions):
    z = pd.DataFrame(0.0, index=SCANS.index, columns=[name for group in regions for name in group])
    return z


def test_each_measure_is_counted_over_its_own_regions():
    z = scored(VOLUMES, THICKNESS, AREA)
    z.loc[4, THICKNESS[0]], z.loc[4, THICKNESS[1]], z.loc[7, AREA[2]], z.loc[7, AREA[0]] = -2.0, np.nan, 3.0, -1.0
    z.loc[4, VOLUMES[0]] = -9.0
    own = {"infra": {"mean": 0.5, "low": 0, "high": 2}}
    summaries = [{"surface_counts": {"thickness": {"expected": {f"n_{k}": v for k, v in own.items()}}}}, {}]
    table = surface_counts(SCANS, z, summaries)
    assert table["participant_id"].tolist() == ["a", "b", "a", "b"]
    assert table["measure"].tolist() == ["thickness", "thickness", "area", "area"]
    assert table["n_regions"].tolist() == [2, 3, 3, 3]
    assert table["n_infra"].tolist() == [1, 0, 0, 0]
    assert table["n_supra"].tolist() == [0, 0, 0, 1]
    assert table["n_total"].tolist() == [1, 0, 0, 1]
    assert table["expected_infra"].tolist()[1:] == pytest.approx([expected_count(3, "infra").mean] * 3)
    assert table["expected_total"].tolist()[1:] == pytest.approx([expected_count(3, "total").mean] * 3)


@pytest.mark.parametrize("regions", [(VOLUMES,), (THICKNESS,), ()])
def test_one_measure_needs_no_table_of_its_own(regions):
    assert surface_counts(SCANS, scored(*regions)).empty


def test_two_measures_of_the_surface_are_both_counted():
    table = surface_counts(SCANS, scored(THICKNESS, AREA))
    assert table["measure"].tolist() == ["thickness", "thickness", "area", "area"]
    assert list(surface_counts(SCANS, scored(VOLUMES, AREA))["measure"]) == ["area", "area"]
