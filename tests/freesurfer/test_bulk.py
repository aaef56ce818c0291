"""Many people's volumes as one table."""

from __future__ import annotations

import pytest

from bids_app import regions
from bids_app.freesurfer.bulk import ID_COLUMNS, volumes_table, write_volumes_table
from bids_app.freesurfer.synthetic import write_subject
from bids_app.freesurfer.volumes import extract_volumes
from bids_app.tables import read_table


@pytest.fixture
def trees(tmp_path):
    made = [write_subject(tmp_path / "s" / f"sub-{i:02d}", {"CSF": 900.0 + i}, etiv=1.5e6) for i in range(5)]
    (made[3] / "stats" / "aseg.stats").write_text("")
    return made


@pytest.mark.parametrize("nprocs", [1, 2])
def test_one_row_per_scan_in_order_with_every_region(trees, nprocs):
    table = volumes_table(trees, nprocs=nprocs)
    assert list(table.columns) == [*ID_COLUMNS, *regions.measured_names()]
    assert table["subject"].tolist() == [path.name for path in trees]
    assert table["CSF"].tolist()[:3] == [900.0, 901.0, 902.0]
    one = extract_volumes(trees[0]).table.set_index("region")["volume_mm3"]
    assert table.loc[0, list(one.index)].tolist() == one.tolist()
    cortex = extract_volumes(trees[0]).table.set_index("region").loc["lh_insula_volume"]
    assert table.loc[0, "lh_insula_thickness"] == cortex["thickness_mm"]
    assert table.loc[0, "lh_insula_area"] == cortex["area_mm2"]
    measures = extract_volumes(trees[0]).measures
    assert table.loc[0, "rh_WhiteSurfArea_area"] == measures["rh_white_area"]


def test_a_damaged_scan_keeps_its_row_and_says_why(trees):
    table = volumes_table(trees)
    assert "is empty" in table.loc[3, "problem"]
    assert table.loc[3, list(regions.names())].isna().all()
    assert table["problem"].isna().sum() == 4


def test_the_streamed_file_equals_the_table(trees, tmp_path):
    assert write_volumes_table(iter(trees), tmp_path / "volumes.tsv") == 1
    written = read_table(tmp_path / "volumes.tsv")
    table = volumes_table(trees)
    assert written["subject"].tolist() == table["subject"].tolist()
    assert written["CSF"].equals(table["CSF"])
    assert list(tmp_path.glob(".*")) == []


def test_no_people_give_an_empty_table(tmp_path):
    assert volumes_table([]).empty
    assert write_volumes_table([], tmp_path / "volumes.tsv") == 0
