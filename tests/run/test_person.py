"""One person's tables: centile fans of everything that was scored."""

import pandas as pd
import pytest

from bids_app.bids.columns import columns_for
from bids_app.normative.registry import load_model
from bids_app.run.person import write_person_tables
from bids_app.tables import read_json, read_table, write_json, write_tsv

SUMMARY = {
    "participant_id": "sub-01",
    "session_id": None,
    "covariates": {"age": 40.0, "sex": "female", "etiv_mm3": 1.45e6, "other": {}},
    "freesurfer": {"version": "7.4.1", "flavour": "freesurfer", "stream": "cross"},
}


@pytest.fixture
def folder(tmp_path):
    """A folder with the summary of one scan."""
    anat = tmp_path / "sub-01/anat"
    write_json(SUMMARY, anat / "sub-01_desc-summary_morph.json")
    for name, region in (("deviations", "Left-Thalamus"), ("extended", "3rd-Ventricle")):
        write_tsv(pd.DataFrame({"region": [region], "z": [0.0]}), anat / f"sub-01_desc-{name}_morph.tsv")
    return tmp_path


def test_thickness_and_area_have_centile_tables_of_their_own_that_go_with_the_model(folder):
    model = load_model("open-thickness+open-area")
    files = {path.name for path in write_person_tables(folder, "01", model)}
    for measure, unit in (("thickness", "mm"), ("area", "mm^2")):
        path = folder / f"sub-01/anat/sub-01_desc-{measure}centiles_morph.tsv"
        assert path.name in files
        table, sidecar = read_table(path), read_json(path.with_suffix(".json"))
        assert list(table) == list(columns_for("centiles"))
        assert set(table["region"]) == {name for name in model.regions if name.endswith(measure)}
        assert {sidecar[name]["Units"] for name in list(table)[2:]} == {unit}
        assert (table["p025"] < table["p50"]).all()
    assert table.loc[table["region"] == "lh_insula_area", "p50"].between(1500, 3500).all()
    write_person_tables(folder, "01", load_model("open-calibrated"))
    assert not list(folder.glob("sub-01/anat/*areacentiles*"))
    assert len(read_table(folder / "sub-01/anat/sub-01_desc-centiles_morph.tsv"))
