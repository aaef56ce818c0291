"""Many people's volumes as one table."""

from __future__ import annotations

import signal
from pathlib import Path

import pandas as pd
import pytest

from bids_app import regions
from bids_app.errors import FreeSurferError
from bids_app.freesurfer.bulk import (
    ID_COLUMNS,
    PROBLEM,
    _begin_worker,
    _cell,
    identifiers,
    iterate_records,
    read_record,
    subject_table,
    volumes_table,
    write_volumes_table,
)
from bids_app.freesurfer.synthetic import write_subject
from bids_app.freesurfer.volumes import extract_volumes
from bids_app.tables import read_table
from bids_app.tsv import inert


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


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("s/sub-01", ("sub-01", None, "sub-01")),
        ("s/sub-01_ses-2", ("sub-01", "ses-2", "sub-01_ses-2")),
        ("s/sub-01_ses-2.long.sub-01", ("sub-01", "ses-2", "sub-01_ses-2.long.sub-01")),
        ("s/sub-01/ses-2", ("sub-01", "ses-2", "sub-01/ses-2")),
        ("s/bert.long.base", ("bert", None, "bert.long.base")),
    ],
)
def test_a_directory_names_person_and_session(path, expected):
    assert identifiers(Path(path)) == expected


def test_a_tree_in_its_persons_folder_is_held_against_that_persons_name(tmp_path):
    tree = write_subject(tmp_path / "sub-01_ses-1", {}, etiv=1.5e6)
    for person in ("sub-01", "sub-02"):
        (tmp_path / person).mkdir()
    tree.rename(tmp_path / "sub-01" / "ses-1")
    right, wrong = read_record(tmp_path / "sub-01" / "ses-1"), read_record(tmp_path / "sub-02" / "ses-1")
    assert right[PROBLEM] is None
    (tmp_path / "sub-01" / "ses-1").rename(tmp_path / "sub-02" / "ses-1")
    wrong = read_record(tmp_path / "sub-02" / "ses-1")
    assert "names sub-01_ses-1, not sub-02_ses-1" in wrong[PROBLEM]
    assert wrong[:3] == ("sub-02", "ses-1", "sub-02/ses-1")
    assert len(wrong) == len(right)
    assert set(wrong[3:PROBLEM]) == set(wrong[PROBLEM + 1 :]) == {None}


def test_every_row_says_program_and_quality(trees):
    (trees[0] / "stats" / "aseg.stats").write_text(
        (trees[0] / "stats" / "aseg.stats").read_text().replace("10, unitless", "99, unitless")
    )
    row = volumes_table(trees).loc[0]
    assert row["fs_version"] == "7.4.1"
    assert (row["flavour"], row["stream"], row["quality"]) == ("freesurfer", "cross", "warn")
    assert "surface holes" in row["quality_reasons"]
    assert pd.isna(volumes_table(trees).loc[1, "quality_reasons"])


def test_the_row_of_one_subject_has_given_columns_after_its_names(trees):
    table = subject_table(trees[1], {"age": 40.0, "quality": "mine"})
    names = [name for name in ID_COLUMNS if name not in ("problem", "quality")]
    assert list(table.columns) == [*names, "age", "quality", *regions.measured_names()]
    assert len(table) == 1
    assert table.loc[0, ["participant_id", "CSF", "quality"]].tolist() == ["sub-01", 901.0, "mine"]
    lacking = [name for name in regions.measured_names() if pd.isna(table.loc[0, name])]
    assert all(table[name].dtype == float for name in lacking)
    with pytest.raises(FreeSurferError, match="is empty"):
        subject_table(trees[3], {})


def test_processes_take_the_scans_in_batches_and_end(trees, monkeypatch):
    monkeypatch.setattr("bids_app.freesurfer.bulk._BATCH", 2)
    assert [record[2] for record in iterate_records(trees, nprocs=2)] == [path.name for path in trees]


def test_without_processes_each_scan_is_read_when_it_is_asked_for(trees):
    records = iterate_records(iter(trees), nprocs=1)
    (trees[1] / "stats" / "aseg.stats").write_text("")
    assert next(records)[PROBLEM] is None
    assert "is empty" in next(records)[PROBLEM]


def test_cells_are_written_with_twelve_digits_and_as_no_formula(trees, tmp_path):
    seen = []
    write_volumes_table(trees[2:4], tmp_path / "v.tsv", seen=seen.append)
    lines = [line.split("\t") for line in (tmp_path / "v.tsv").read_text().splitlines()]
    assert [record[2] for record in seen] == ["sub-02", "sub-03"]
    assert dict(zip(lines[0], lines[1]))["CSF"] == "902"
    assert set(lines[2][PROBLEM + 1 :]) == {"n/a"}
    assert _cell(1 / 3) == "0.333333333333"
    assert _cell(float("nan")) == _cell(None) == "n/a"
    assert _cell("=1") == inert("=1") != "=1"


def test_a_worker_ends_by_signal_and_with_its_parent(monkeypatch):
    calls = []
    monkeypatch.setattr("bids_app.freesurfer.bulk.signal.signal", lambda *pair: calls.append(pair))
    monkeypatch.setattr("bids_app.freesurfer.bulk.end_with", lambda parent: calls.append(parent))
    _begin_worker(7)
    assert calls == [(signal.SIGTERM, signal.SIG_DFL), 7]
