"""Data dictionaries of the output tables."""

from importlib.resources import files

import pandas as pd
import pytest

from bids_app.bids.columns import columns_for
from bids_app.regions import CAUTIONS, asymmetry_names, extended_regions, names, reference_regions
from bids_app.tables import read_json, write_tsv

DESCRIBED = read_json(str(files("bids_app.data") / "columns.json"))


@pytest.mark.parametrize("table", [*DESCRIBED["tables"], *DESCRIBED["wide"]])
def test_every_column_has_a_description(table):
    described = columns_for(table)
    assert described
    for name, entry in described.items():
        assert len(entry["Description"]) > 2, name
        assert set(entry) <= {"Description", "Units", "Levels"}, name
        assert all(isinstance(level, str) for level in entry.get("Levels", {}).values()), name


def test_columns_are_those_of_the_contract():
    assert list(columns_for("deviations")) == [
        "region",
        "volume_mm3",
        "expected_mm3",
        "z",
        "z_se",
        "centile",
        "deviation",
        "in_range",
    ]
    assert list(columns_for("volumes")) == ["region", "volume_mm3", "area_mm2", "thickness_mm", "atlas", "source"]
    assert list(columns_for("centiles")) == ["region", "age", "p025", "p05", "p25", "p50", "p75", "p95", "p975"]
    assert list(columns_for("group_inclusion"))[2:] == ["sample", "status", "stage", "reason", "remedy", "run_uuid"]


def test_wide_tables_describe_every_region():
    assert set(columns_for("group_zscores")) >= set(reference_regions())
    assert set(columns_for("group_extended")) >= {*extended_regions(), *asymmetry_names()}
    assert set(columns_for("group_volumes")) >= set(names())
    assert columns_for("group_volumes")["Left-Thalamus"] == {
        "Description": "Volume of the left thalamus",
        "Units": "mm^3",
    }


def test_unknown_table_is_an_error():
    with pytest.raises(KeyError):
        columns_for("nothing")


def test_changing_a_dictionary_changes_no_other():
    columns_for("deviations")["z"]["Description"] = "broken"
    assert columns_for("extended")["z"]["Description"] != "broken"


def test_tables_of_the_clinical_level_are_described(tmp_path):
    from bids_app.clinical.analyses import group_tables, prevalence

    scans = pd.DataFrame(
        {
            "participant_id": ["sub-1", "sub-2"],
            "session_id": [None, None],
            "age": [40.0, 50],
            "sex": ["female", "male"],
            "etiv_mm3": [1.5e6, 1.6e6],
            "n_infra": [1, 2],
            "n_supra": [0, 1],
            "n_total": [1, 3],
            "n_regions": [82, 82],
            "quality": "pass",
            "fs_version": "7.4.1",
            "model": "m",
            "group": ["a", "b"],
            "site": "x",
        }
    )
    z = pd.DataFrame({"participant_id": ["sub-1", "sub-2"], "session_id": [None, None], "Left-Thalamus": [0.1, -2.5]})
    summaries = [{"participant_id": "sub-1", "quality": {"verdict": "pass", "metrics": {"holes": 3.0}}}]
    inclusion = group_tables.inclusion_table([{"participant_id": "sub-1", "status": "scored", "stage": "done"}])
    tables = {
        "deviations": scans,
        "cohort": group_tables.cohort_table(scans),
        "counts": group_tables.counts_table(scans),
        "flow": group_tables.flow_table(inclusion),
        "prevalence": prevalence.prevalence_table(z, scans["group"]),
        "inclusion": inclusion,
        "sites": group_tables.site_table(scans, z),
        "quality": group_tables.quality_table(summaries),
        "zscores": z,
    }
    for name, table in tables.items():
        write_tsv(table, tmp_path / f"group_{name}.tsv", columns_for(f"group_{name}"))


def test_asymmetries_are_in_the_tables_that_hold_them_and_cautions_are_said():
    assert not set(columns_for("group_zscores")) & set(asymmetry_names())
    assert list(columns_for("group_zscores"))[:2] == ["participant_id", "session_id"]
    described = {**columns_for("group_zscores"), **columns_for("group_extended")}
    cautioned = [name for name in described if name.endswith(tuple(CAUTIONS))]
    assert cautioned
    for name in cautioned:
        text = " ".join(next(words for base, words in CAUTIONS.items() if name.endswith(base)))
        assert described[name]["Description"].endswith(f". {text}")
    plain = set(described) - set(cautioned) - {"participant_id", "session_id"}
    assert not any(words[0] in described[name]["Description"] for name in plain for words in CAUTIONS.values())
