"""Tidy tables of plain tables, which have no expected values."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from bids_app.clinical import tidy
from bids_app.clinical.deviations import expected_count
from bids_app.clinical.scored_scans import KEYS, ScoredScans
from bids_app.clinical.tidy import MEASURED, write_tidy
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


def test_a_row_per_scan_has_counts_expectation_quality_and_clinical_columns(scored, tmp_path):
    summaries = (
        {"quality": {"metrics": {"cnr": 2.5}, "reasons": ["thin", "dark"]}, "counts": {}},
        {"quality": {}, "counts": {}},
    )
    measured = replace(scored, summaries=summaries, scans=scored.scans.set_axis([5, 9]))
    clinical = pd.DataFrame({"participant_id": ["a", "b"], "EDSS": [3.0, np.nan], "age": [1.0, 2.0]}, index=[8, 2])
    write_tidy(measured, tmp_path, clinical)
    table = read_table(tmp_path / "group_scans.tsv")
    assert len(table) == 2
    assert not table.columns.duplicated().any()
    assert table["age"].tolist() == [30, 40]
    assert table["EDSS"].fillna(-1).tolist() == [3, -1]
    assert table["quality_reasons"].fillna("none").tolist() == ["thin; dark", "none"]
    assert table["quality_cnr"].fillna(-1).tolist() == [2.5, -1]
    assert table["expected_infra_mean"].tolist() == pytest.approx([expected_count(2).mean] * 2)
    assert "index" not in table
    assert [name for name in table if name.startswith("expected_")] == [
        f"expected_{tail}_{bound}" for tail in ("infra", "supra", "total") for bound in ("mean", "low", "high")
    ]
    write_tidy(scored, tmp_path)
    plain = read_table(tmp_path / "group_scans.tsv")
    assert "quality_reasons" not in plain
    assert list(plain)[: len(scored.scans.columns)] == list(scored.scans)


def test_rows_that_are_given_are_written_as_they_are(scored, tmp_path):
    rows = [
        ["Left-Thalamus\t7000\t6900.5\t0.5\t0.1\t69\tnone\ttrue"],
        ["Right-Thalamus\tn/a\tn/a\t-2\tn/a\t2.3\tinfra\tfalse"],
    ]
    written = write_tidy(scored, tmp_path, regions=iter(rows))
    assert [path.name for path in written] == ["group_scans.tsv", "group_long.tsv"]
    text = (tmp_path / "group_long.tsv").read_text().splitlines()
    assert text[0].split("\t") == ["participant_id", "session_id", "age", "sex", "group", *MEASURED]
    first, second = (row.replace("Thalamus", "Thalamus\tvolume\tmm^3") for (row,) in rows)
    assert text[1] == f"a\tn/a\t30\tfemale\tMS\t{first}"
    assert text[2] == f"b\tn/a\t40\tfemale\ttwo parts of it\t{second}"
    arrow = pd.read_parquet(tmp_path / "group_long.parquet")
    assert arrow["in_range"].tolist() == [True, False]
    assert arrow["expected"].fillna(-1).tolist() == [6900.5, -1]
    assert arrow["age"].tolist() == [30, 40]
    with pytest.raises(ValueError, match="shorter"):
        write_tidy(scored, tmp_path, regions=rows[:1])


@pytest.mark.parametrize("limit", [2, 3])
def test_from_a_number_of_scans_on_the_long_table_is_parquet_only(scored, tmp_path, monkeypatch, limit):
    write_tidy(scored, tmp_path)
    monkeypatch.setattr(tidy, "PARQUET_FROM", limit)
    monkeypatch.setattr("bids_app.tables.PARQUET_FROM", limit)
    written = [path.name for path in write_tidy(scored, tmp_path)]
    assert ("group_long.tsv" in written) == (tmp_path / "group_long.tsv").exists() == (limit == 3)
    assert (tmp_path / "group_scans.parquet").exists() == (limit == 2)
    assert len(pd.read_parquet(tmp_path / "group_long.parquet")) == 4


def test_rows_come_in_pieces_with_the_place_of_their_scan(monkeypatch):
    monkeypatch.setattr(tidy, "CHUNK", 2)
    rows = [["a", "b"], [], ["c"], [], [], [], ["d"]]
    assert list(tidy._pieces(rows, 7)) == [([0, 0], ["a", "b"]), ([2], ["c"]), ([6], ["d"])]
    assert list(tidy._pieces([["a"], ["b"], []], 3)) == [([0, 1], ["a", "b"])]
    assert list(tidy._pieces([[], ["b", "c"], ["d"]], 3)) == [([1, 1], ["b", "c"]), ([2], ["d"])]
    assert list(tidy._pieces([], 0)) == []
