"""The tidy tables of a run: everything that the participant level wrote, one row per scan and region."""

from __future__ import annotations

import pandas as pd
import pytest

from bids_app.bids.names import derivative_path
from bids_app.cli import exitcodes
from bids_app.cli.main import main
from bids_app.clinical import tidy
from bids_app.errors import InputError
from bids_app.run.cohort import read_cohort
from bids_app.run.tidy import scan_regions, write_tidy_tables
from bids_app.tables import read_json, read_table


@pytest.fixture
def scored(dataset, tmp_path):
    people = dataset / "participants.tsv"
    table = people.read_text().splitlines()
    extra = ["\tEDSS\tcentre name", "\t1\tNorth\x0bWing", '\t3.5\tthe "old" one', "\tn/a\tn/a", "\tn/a\tn/a"]
    people.write_text("\n".join(row + more for row, more in zip(table, extra, strict=True)) + "\n")
    assert main([str(dataset), str(tmp_path / "out"), "participant"]) == exitcodes.OMISSIONS
    return dataset, tmp_path / "out"


@pytest.mark.slow
def test_every_number_of_every_scan_is_in_the_long_table(scored, monkeypatch):
    dataset, out = scored
    write_tidy_tables(out, dataset)
    long = read_table(out / "group_long.tsv")
    assert list(long.columns[:6]) == ["participant_id", "session_id", "age", "sex", "group", "EDSS"]
    assert tuple(long.columns[6:]) == tidy.MEASURED
    one = long[(long["participant_id"] == "sub-02") & (long["session_id"] == "ses-2")].set_index("region")
    own = [read_table(derivative_path(out, "02", "2", desc=desc)) for desc in ("deviations", "extended", "asymmetry")]
    assert list(one.index) == [region for table in own for region in table["region"]]
    told = own[0].set_index("region")
    pd.testing.assert_series_equal(one.loc[told.index, "expected"], told["expected_mm3"], check_names=False)
    pd.testing.assert_series_equal(one.loc[told.index, "z"], told["z"])
    assert one.loc["Left-Thalamus", ["age", "sex", "group", "EDSS", "measure", "unit"]].tolist() == [
        *(43, "male", "patient", 3.5, "volume", "mm^3")
    ]
    assert one.loc["asymmetry_Thalamus", "unit"] == "1"
    assert set(read_json(out / "group_long.json")) == set(long.columns)
    arrow = pd.read_parquet(out / "group_long.parquet")
    pd.testing.assert_frame_equal(arrow[["age", "value", "z"]], long[["age", "value", "z"]], check_dtype=False)
    assert arrow["in_range"].dtype == bool
    assert arrow["session_id"].isna().sum() == long["session_id"].isna().sum() > 0
    monkeypatch.setattr(tidy, "PARQUET_FROM", 3)
    monkeypatch.setattr(tidy, "CHUNK", 2)
    write_tidy_tables(out, dataset)
    assert not (out / "group_long.tsv").exists()
    pd.testing.assert_frame_equal(pd.read_parquet(out / "group_long.parquet"), arrow)
    scans = read_table(out / "group_scans.tsv")
    assert len(scans) == 3
    assert scans["EDSS"].tolist() == [1, 3.5, 3.5]
    assert {"centre name", "quality_euler", "expected_infra_mean", "n_infra", "etiv_mm3"} <= set(scans)
    assert set(read_json(out / "group_scans.json")) == set(scans.columns)
    cohort, torn = read_cohort(out), derivative_path(out, "01", desc="extended")
    rows, whole = list(scan_regions(cohort)), torn.read_text()
    torn.write_text("\n".join(line.rpartition("\t")[0] for line in whole.splitlines()) + "\n")
    assert list(scan_regions(cohort)) == rows  # as it was when the cohort was read
    with pytest.raises(InputError, match="number of cells"):
        list(scan_regions(read_cohort(out)))
    torn.write_text(whole + "Left\t1\n")
    with pytest.raises(InputError, match=r"sub-01_desc-extended_morph\.tsv.*more or fewer cells"):
        read_cohort(out)


@pytest.mark.slow
def test_the_group_level_writes_both_tables_with_the_scores_of_the_analysis(scored):
    dataset, out = scored
    assert main([str(dataset), str(out), "group", "--analysis", "auto"]) == exitcodes.OMISSIONS
    assert {"EDSS", "group"} <= set(read_table(out / "group_long.tsv"))
    assert read_table(out / "group_scans.tsv")["participant_id"].tolist() == ["sub-01", "sub-02", "sub-02"]
