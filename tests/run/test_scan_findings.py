"""What one scan's own numbers give reason to doubt; scans that no z can be given to."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from bids_app.errors import CovariateError
from bids_app.freesurfer.quality import Quality
from bids_app.freesurfer.volumes import Volumes
from bids_app.normative.plausible import without_impossible
from bids_app.normative.registry import load_model
from bids_app.regions import ETIV
from bids_app.run.scan import model_input, scan_covariates, score_scan
from bids_app.run.scan_findings import scan_findings

ROW = {"participant_id": "sub-1", "session_id": None, "age": 40.0, "sex": "female"}


def volumes(flavour="freesurfer", etiv=1.5e6, measures=None, **regions):
    """The volumes of a scan with a few regions."""
    values = {"Left-Thalamus": 7000.0, "Right-Thalamus": 7000.0, **{k.replace("_", "-"): v for k, v in regions.items()}}
    table = pd.DataFrame({"region": list(values), "volume_mm3": list(values.values())})
    table = table.assign(area_mm2=np.nan, thickness_mm=np.nan, atlas="aseg", source="aseg.stats")
    return Volumes(table, etiv, "7.4.1", flavour, measures=measures or {})


def kinds(found, quality=None):
    measured = model_input(scan_covariates(ROW, found), found)
    _, impossible = without_impossible(measured)
    return [item.kind for item in scan_findings(found, measured, impossible, quality or Quality("pass"))]


def test_a_scan_without_doubt_has_no_finding():
    assert kinds(volumes()) == []


@pytest.mark.parametrize(
    ("found", "quality", "kind"),
    [
        (volumes(Left_Hippocampus=0.0), None, "value-impossible"),
        (volumes(flavour="fastsurfer"), None, "made-by-fastsurfer"),
        (volumes(measures={"aseg_aparc_difference": 0.01}), None, "brain-parts-apart"),
        (volumes(), Quality("fail", ("x",), technical="fail"), "quality-failed"),
        (volumes(), Quality("fail", ("x",), technical="pass"), "quality-failed-by-outcome"),
    ],
)
def test_each_doubt_is_one_finding(found, quality, kind):
    assert kinds(found, quality) == [kind]


def test_fastsurfers_version_of_freesurfer_moves_no_z(model):
    ours, theirs = (
        score_scan(found, scan_covariates(ROW, found), model, model_name="open-calibrated")
        for found in (volumes(), volumes(flavour="fastsurfer"))
    )
    assert scan_covariates(ROW, volumes(flavour="fastsurfer"))["fs_version"] is None
    assert ours.summary["freesurfer"]["flavour"] == "freesurfer"
    assert theirs.summary["freesurfer"]["flavour"] == "fastsurfer"
    assert (ours.tables["deviations"]["z"] != theirs.tables["deviations"]["z"]).any()
    assert [item["kind"] for item in theirs.summary["findings"]] == ["made-by-fastsurfer"]


@pytest.mark.parametrize(
    ("found", "row", "words"),
    [
        (volumes(etiv=float("nan")), ROW, "no estimated total intracranial volume"),
        (volumes(etiv=None), ROW, "no estimated total intracranial volume"),
        (volumes(etiv=4.0e5), ROW, "400 cm^3 is outside 600 to 2,600 cm^3"),
        (volumes(etiv=1500.0), ROW, "as if written in cm^3"),
        (volumes(), {**ROW, "age": 2.0}, "more than a year below 3.5"),
    ],
)
def test_a_scan_that_no_z_can_be_given_to_is_refused_in_a_sentence(model, found, row, words):
    with pytest.raises(CovariateError, match=words.replace("^", r"\^")) as error:
        score_scan(found, scan_covariates(row, found), model, model_name="open-calibrated")
    assert error.value.remedy


def test_a_volume_that_cannot_be_has_no_z(model):
    found = volumes(Left_Hippocampus=4.0, Right_Hippocampus=4000.0)
    result = score_scan(found, scan_covariates(ROW, found), model, model_name="open-calibrated")
    z = result.tables["deviations"].set_index("region")["z"]
    assert np.isnan(z["Left-Hippocampus"])
    assert np.isfinite(z["Right-Hippocampus"])
    assert result.tables["volumes"].set_index("region").loc["Left-Hippocampus", "volume_mm3"] == 4.0
    assert ETIV not in z


def test_thickness_and_area_have_tables_and_counts_of_their_own():
    found = volumes(measures={"lh_mean_thickness": 2.5, "lh_white_area": 9.5e4})
    cortex = {"region": "lh_insula_volume", "volume_mm3": 7300.0, "area_mm2": 2400.0, "thickness_mm": 1.2}
    table = pd.concat([found.table, pd.DataFrame([{**cortex, "atlas": "aparc", "source": "lh.aparc.stats"}])])
    found = replace(found, table=table.reset_index(drop=True))
    name = "open-calibrated+open-thickness+open-area"
    scored = score_scan(found, scan_covariates(ROW, found), load_model(name), model_name=name)
    thickness, area = scored.tables["thickness"], scored.tables["area"]
    assert thickness["region"].tolist() == ["lh_insula_thickness", "lh_MeanThickness_thickness"]
    assert area["value"].tolist() == [2400.0, 9.5e4]
    assert thickness["deviation"].tolist()[0] == "infra"
    assert scored.summary["counts"]["n_regions"] == 3
    assert scored.summary["surface_counts"]["thickness"]["n_infra"] == 1
    assert scored.summary["surface_counts"]["area"]["expected"]["source"].startswith("held-out")
    assert not {"lh_insula_thickness", "lh_insula_area"} & set(scored.tables["extended"]["region"])


def test_a_second_model_is_set_beside_the_first_and_moves_none_of_its_numbers(model):
    found = volumes(Left_Thalamus=5200.0, Right_Thalamus=7600.0)
    row = scan_covariates(ROW, found)
    alone = score_scan(found, row, model, model_name="open-calibrated")
    both = score_scan(found, row, model, model_name="open-calibrated", second_name="open-blr")
    pd.testing.assert_frame_equal(both.tables["deviations"], alone.tables["deviations"])
    assert "second" not in alone.tables
    assert "second_model" not in alone.summary
    second, said = both.tables["second"], both.summary["second_model"]
    assert second["region"].tolist() == ["Left-Thalamus", "Right-Thalamus"]
    assert said["n_regions"] == 2
    assert said["n_disagree"] == (~second["agree"].astype(bool)).sum()
    assert any("site unknown" in note for note in said["notes"])
    assert both.summary["fingerprint"] != alone.summary["fingerprint"]
