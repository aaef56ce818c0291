"""Tidy tables of plain tables, which have no expected values."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bids_app.clinical.scored_scans import KEYS, ScoredScans
from bids_app.clinical.tidy import write_tidy
from bids_app.tables import read_json, read_table


@pytest.fixture
def scored():
    keys = pd.DataFrame({"participant_id": ["a", "b"], "session_id": None}, dtype=object)
    counts = dict.fromkeys(("n_infra", "n_supra", "n_total"), 0) | {"n_regions": 2}
    scans = keys.assign(age=[30.0, 40.0], sex="female", etiv_mm3=1.5e6, **counts, group=["MS", "two\tparts\nof it"])
    z = keys.assign(**{"Left-Thalamus": [-2.5, 0.0], "Right-Thalamus": [np.nan, 2.0]})
    volumes = keys.assign(**{"Left-Thalamus": [6000.0, 7000.0], "Right-Thalamus": [np.nan, 7500.0]})
    return ScoredScans((), scans, z, keys.assign(asymmetry_Thalamus=[np.nan, 0.5]), volumes, keys)


def test_a_row_per_region_that_was_scored(scored, tmp_path):
    write_tidy(scored, tmp_path, pd.DataFrame({"EDSS": [3.0, np.nan], "note": ["x", "y"]}), ["EDSS"])
    long = read_table(tmp_path / "group_long.tsv")
    assert long["region"].tolist() == ["Left-Thalamus", "Left-Thalamus", "Right-Thalamus", "asymmetry_Thalamus"]
    assert long["deviation"].fillna("none").tolist() == ["infra", "none", "supra", "none"]
    assert long["group"].tolist() == ["MS", *["two parts of it"] * 3]
    assert long["EDSS"].tolist()[0] == 3
    assert "note" not in long
    np.testing.assert_allclose(long["centile"], [0.620967, 50, 97.724987, 69.146246], rtol=1e-5)
    assert long["value"].tolist()[3] == pytest.approx(-500 / 14500)
    assert "expected" not in long
    arrow = pd.read_parquet(tmp_path / "group_long.parquet")
    pd.testing.assert_frame_equal(arrow[["region", "value", "z"]], long[["region", "value", "z"]], check_dtype=False)
    scans = read_table(tmp_path / "group_scans.tsv")
    assert scans["note"].tolist() == ["x", "y"]
    assert read_json(tmp_path / "group_scans.json")["note"]["Description"].startswith("note, as the tables")
    assert set(KEYS) <= set(scans)
