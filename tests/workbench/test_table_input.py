"""Model input from tables as people write them."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bids_app.errors import CovariateError, InputError
from bids_app.regions import ETIV
from bids_app.workbench.table_input import TableChoice, TableReader, read_model_table


def write(folder, table, name="people.tsv"):
    path = folder / name
    table.to_csv(path, sep="," if ".csv" in name else "\t", index=False, na_rep="n/a")
    return path


@pytest.fixture
def table():
    return pd.DataFrame(
        {
            "participant_id": ["sub-1", "sub-2", "sub-3"],
            "age": [30.0, 40.0, 50.0],
            "sex": ["F", "male", "w"],
            ETIV: [1.4e6, 1.5e6, 1.6e6],
            "Left-Thalamus": [7000.0, 7100.0, 7200.0],
            "scanner": ["A", "A", "B"],
        }
    )


def test_covariates_regions_and_id_columns_are_told_apart(tmp_path, table):
    found = read_model_table(write(tmp_path, table))
    assert found.id_columns == ("participant_id", "scanner")
    assert found.data["sex"].tolist() == ["female", "male", "female"]
    assert found.data["age"].tolist() == [30, 40, 50]
    assert found.notes == ()


@pytest.mark.parametrize("name", ["people.csv", "people.csv.gz", "people.tsv.gz"])
def test_formats_give_the_same_data(tmp_path, table, name):
    expected = read_model_table(write(tmp_path, table)).data
    pd.testing.assert_frame_equal(read_model_table(write(tmp_path, table, name)).data, expected)


def test_a_json_dictionary_beside_the_table_explains_codes_and_units(tmp_path, table):
    months = table.assign(age=table["age"] * 12, sex=[1, 2, 1])
    path = write(tmp_path, months)
    (tmp_path / "people.json").write_text(
        json.dumps({"age": {"Units": "months"}, "sex": {"Levels": {"1": "female", "2": "male"}}})
    )
    found = read_model_table(path)
    assert found.data["age"].tolist() == pytest.approx([30, 40, 50])
    assert found.data["sex"].tolist() == ["female", "male", "female"]
    findings = TableChoice(table=path).read()[1]
    assert [(item.kind, "months" in item.seen) for item in findings] == [("age-units", True)]


def test_unreadable_cells_are_missing_and_counted(tmp_path, table):
    odd = table.astype(object)
    odd.loc[0, "age"], odd.loc[1, "sex"], odd.loc[2, "Left-Thalamus"] = "young", "other", "bad"
    found = read_model_table(write(tmp_path, odd))
    assert np.isnan(found.data.loc[0, "age"])
    assert found.data.loc[1, "sex"] is None
    assert np.isnan(found.data.loc[2, "Left-Thalamus"])
    said = {item.kind: item for item in TableChoice(table=tmp_path / "people.tsv").read()[1]}
    assert said["cell-not-a-number"].seen == "Left-Thalamus holds what is no number (bad) in line 4"
    assert said["cell-not-a-number"].participant_id == "sub-3"
    cells = " ".join(item.seen for item in TableChoice(table=tmp_path / "people.tsv").read()[1])
    assert "'young'" in cells
    assert "'other'" in cells


def test_a_mapping_wins_over_a_column_of_the_same_name_and_says_so(tmp_path, table):
    other = table.assign(age_mri=table["age"] + 1)
    found = read_model_table(write(tmp_path, other), {"age": "age_mri"})
    assert found.data["age"].tolist() == [31, 41, 51]
    assert "replaced by age_mri" in found.notes[0]


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda t: t.drop(columns="sex"), CovariateError, "--map sex=COLUMN"),
        (lambda t: t.assign(sex=[1, 2, 1]), CovariateError, "--sex-coding"),
        (lambda t: t.assign(sex=np.nan), CovariateError, "all cells are empty"),
        (lambda t: t.assign(**{ETIV: 1500.0}), CovariateError, "mm\\^3"),
        (
            lambda t: t.assign(**{"Left-Thalamus-Proper": 1.0, "Left.Thalamus": 2.0}).drop(columns="Left-Thalamus"),
            InputError,
            "mean the same",
        ),
    ],
)
def test_what_cannot_be_used_is_said(tmp_path, table, change, error, words):
    with pytest.raises(error, match=words):
        read_model_table(write(tmp_path, change(table)))


def test_a_spreadsheet_with_semicolons_and_decimal_commas_is_the_same_table(tmp_path, table):
    expected = read_model_table(write(tmp_path, table)).data
    table.to_csv(tmp_path / "sheet.csv", sep=";", decimal=",", index=False)
    pd.testing.assert_frame_equal(read_model_table(tmp_path / "sheet.csv").data, expected)
    pd.testing.assert_frame_equal(next(TableReader(tmp_path / "sheet.csv", rows=2).pieces()).data, expected.iloc[:2])


def test_volumes_below_zero_count_as_missing_and_are_said(tmp_path, table):
    table.loc[1, "Left-Thalamus"] = -3.0
    found = read_model_table(write(tmp_path, table))
    assert found.data["Left-Thalamus"].isna().tolist() == [False, True, False]
    (finding,) = TableChoice(table=tmp_path / "people.tsv").read()[1]
    assert (finding.kind, finding.participant_id) == ("value-impossible", "sub-2")
    assert finding.seen == "Left-Thalamus is below 0 (-3) in line 3"


TEXT = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=6)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.one_of(st.none(), TEXT, st.floats(), st.integers()), min_size=1, max_size=5))
@example([-9223372036854775809])
def test_no_cell_whatever_it_holds_breaks_the_reader(tmp_path_factory, cells):
    folder = tmp_path_factory.mktemp("cells")
    n = len(cells)
    frame = pd.DataFrame(
        {"age": cells, "sex": ["f", *cells[1:]], ETIV: 1.5e6, "Left-Thalamus": 7000.0, "note": cells}
    ).astype({"age": object, "sex": object})
    found = next(TableReader(write(folder, frame), age_units="years").pieces())
    assert len(found.data) == n
    assert found.data["age"].dropna().between(0, 120).all()
    assert set(found.data["sex"].dropna()) <= {"female", "male"}


@pytest.mark.parametrize("divisor", [1e3, 1.5e6])
def test_volumes_in_another_unit_are_refused(tmp_path, table, divisor):
    table["Left-Thalamus"] /= divisor
    with pytest.raises(CovariateError, match=r"volumes of people\.tsv.*mm\^3"):
        read_model_table(write(tmp_path, table))


@pytest.mark.parametrize(
    ("name", "mark", "word"),
    [("people.tsv", ",", "commas"), ("people.tsv", ";", "semicolons"), ("people.csv", "\t", "tabs")],
)
def test_a_separator_that_the_name_does_not_promise_is_named(tmp_path, table, name, mark, word):
    table.to_csv(tmp_path / name, sep=mark, index=False)
    with pytest.raises(InputError, match=f"separated by {word}"):
        read_model_table(tmp_path / name)


def surface_table(table, name, values):
    return table.assign(**{f"lh_{region}_{name}": values for region in ("insula", "lingual", "cuneus", "fusiform")})


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("thickness", [0.25, 0.26, 0.27], "thickness in people.tsv is mostly below 0.5"),
        ("thickness", [2500.0, 2600.0, 2700.0], "thickness in people.tsv is mostly above 8"),
        ("thickness", [2500.0, 2600.0, 2700.0], "must be in mm"),
        ("area", [24.0, 25.0, 26.0], "area in people.tsv is mostly below 60"),
        ("area", [7300.0, 7200.0, 9100.0], "as volumes in mm"),
        ("volume", [900.0, 1000.0, 1100.0], "as areas in mm"),
        ("volume", [2.5, 2.6, 2.7], "not divided by intracranial volume"),
    ],
)
def test_another_unit_or_measure_is_refused(tmp_path, table, name, values, message):
    if name == "volume":
        table = table.drop(columns="Left-Thalamus")
    with pytest.raises(CovariateError, match=message):
        read_model_table(write(tmp_path, surface_table(table, name, values)))


def test_thickness_and_area_in_their_units_are_measures(tmp_path, table):
    both = surface_table(surface_table(table, "thickness", [2.4, 2.5, 2.6]), "area", [2400.0, 2500.0, 2600.0])
    found = read_model_table(write(tmp_path, both))
    assert found.id_columns == ("participant_id", "scanner")
    assert found.data["lh_insula_thickness"].tolist() == [2.4, 2.5, 2.6]


def test_a_single_impossible_thickness_counts_as_missing(tmp_path, table):
    found = read_model_table(write(tmp_path, surface_table(table, "thickness", [2.4, 2.5, 55.0])))
    assert np.isnan(found.data["lh_insula_thickness"].iloc[2])
    assert "more than five times of what is usual in mm" in found.remarks[2][0]


def test_a_column_of_another_measure_is_not_mapped(tmp_path, table):
    path = write(tmp_path, table.assign(lh_insula_thickness=2.5))
    with pytest.raises(InputError, match=r"is thickness \(mm\), but lh_insula_volume is volume"):
        read_model_table(path, {"lh_insula_volume": "lh_insula_thickness"})
