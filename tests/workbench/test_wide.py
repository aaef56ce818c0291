"""One row per scan and one column per region, under other programs' names."""

from __future__ import annotations

import doctest
import re

import pandas as pd
import pytest

from bids_app.cli import exitcodes
from bids_app.cli.model import main
from bids_app.regions import ETIV, measured_names
from bids_app.tables import read_json, read_table
from bids_app.workbench import wide


@pytest.fixture
def long(tmp_path):
    scans = [("sub-1", "ses-1", 30.0), ("sub-1", "ses-2", 32.0), ("sub-2", None, 50.0)]
    rows = [
        (*scan, region, wide.measure_of(region), 100.0 * i + j, 0.1 * (i - j))
        for i, scan in enumerate(scans)
        for j, region in enumerate(("Left-Thalamus", "rh_insula_thickness", "3rd-Ventricle"))
        if (i, j) != (1, 2)
    ]
    names = ["participant_id", "session_id", "age", "region", "measure", "value", "z"]
    pd.DataFrame(rows, columns=names).to_csv(tmp_path / "group_long.tsv", sep="\t", index=False, na_rep="n/a")
    return tmp_path / "group_long.tsv"


def widened(long, *options, name="w.csv"):
    code = main(["wide", str(long), "-o", str(long.parent / name), *options])
    return code, (read_table(long.parent / name) if (long.parent / name).exists() else None)


def test_every_value_comes_to_its_scan_and_region(long):
    assert main(["wide", str(long.parent), "-o", str(long.parent / "w.csv")]) == exitcodes.OK
    table = read_table(long.parent / "w.csv")
    assert list(table.columns) == [
        *("participant_id", "session_id", "age", "Left-Thalamus", "rh_insula_thickness", "3rd-Ventricle")
    ]
    assert table["age"].tolist() == [30, 32, 50]
    assert table["Left-Thalamus"].tolist() == pytest.approx([0, 0.1, 0.2])
    assert table["3rd-Ventricle"].isna().tolist() == [False, True, False]
    assert set(read_json(long.parent / "w.json")) == set(table.columns)


def test_several_values_and_some_measures(long):
    _, table = widened(long, "--values", "value", "z", "--measures", "thickness", name="w.tsv")
    assert list(table.columns[3:]) == ["rh_insula_thickness_value", "rh_insula_thickness_z"]
    assert table["rh_insula_thickness_value"].tolist() == [1, 101, 201]


def test_names_of_enigma(long):
    _, table = widened(long, "--names", "enigma")
    assert list(table.columns) == ["SubjID", "session_id", "age", "Lthal", "R_insula_thickavg", "3rd-Ventricle"]
    assert doctest.testmod(wide).failed == 0
    assert wide.enigma_name(ETIV) == "ICV"
    assert wide.enigma_name("lh_WhiteSurfArea_area") == "LSurfArea"


def test_plain_names_are_unlike_and_come_with_a_dictionary_for_redcap(long):
    _, table = widened(long, "--names", "plain")
    assert list(table.columns[3:]) == ["left_thalamus", "rh_insula_thickness", "v3rd_ventricle"]
    redcap = pd.read_csv(long.parent / "w_redcap.csv")
    assert redcap.iloc[:, 0].tolist() == list(table.columns)
    assert redcap.iloc[3, 4] == "z of the left thalamus, volume"
    every = [wide.plain_name(name) for name in measured_names()]
    assert len(set(every)) == len(every)
    assert all(re.fullmatch("[a-z][a-z0-9_]{0,63}", name) for name in every)


def test_a_table_that_is_wide_already_gets_the_names(tmp_path):
    pd.DataFrame(
        {"participant_id": ["01"], ETIV: [1.5e6], "Left-Thalamus": [7000.0], "lh_insula_area": [2000.0]}
    ).to_csv(tmp_path / "v.tsv", sep="\t", index=False)
    _, table = widened(tmp_path / "v.tsv", "--names", "enigma", "--measures", "volume")
    assert list(table.columns) == ["SubjID", "ICV", "Lthal"]


@pytest.mark.parametrize(
    ("options", "name", "words"),
    [
        (["--values", "expected"], "w.csv", "no column expected; it has value, z"),
        (["--values", "age"], "w.csv", "can be spread by no column age; it has value, z"),
        (["--measures", "area"], "w.csv", "has no area"),
        ([], "w.xlsx", "neither named .csv nor .tsv"),
    ],
)
def test_what_cannot_be_made_is_said(long, capsys, options, name, words):
    code, table = widened(long, *options, name=name)
    assert code in (exitcodes.USAGE, exitcodes.INPUT)
    assert table is None
    assert words in capsys.readouterr().err


def test_a_region_twice_and_a_folder_without_results_are_refused(long, tmp_path, capsys):
    long.write_text(long.read_text() + long.read_text().splitlines()[1] + "\n")
    assert widened(long)[0] == exitcodes.INPUT
    assert "sub-1 and Left-Thalamus twice" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main(["wide", str(tmp_path / "empty"), "-o", str(tmp_path / "w.csv")]) == exitcodes.INPUT
