"""Who is scored, who is left out and why, and what is up to date."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bids_app.bids.layout import Scan, find_scans
from bids_app.errors import InputError, ModelError, UsageError
from bids_app.freesurfer.synthetic import write_subject
from bids_app.run.plan import make_plan
from bids_app.run.recon import ReconPlan, derivative_t1w, select_t1w
from bids_app.run.records import load_volumes, save_volumes
from bids_app.run.request import ReconOptions, open_request


def keys(scans):
    return [(scan.participant, scan.session) for scan in scans]


def test_everybody_is_planned_or_named_with_a_reason(config, tmp_path):
    plan = make_plan(config, tmp_path / "work")
    assert keys(plan.scans) == [("01", None), ("02", "1"), ("02", "2")]
    assert keys(plan.omissions) == [("03", None), ("04", None)]
    assert [omission.stage for omission in plan.omissions] == ["covariates", "freesurfer"]
    assert "age" in plan.omissions[0].reason
    assert all(omission.remedy for omission in plan.omissions)


def test_people_are_grouped_with_all_their_sessions(config, tmp_path):
    assert [len(scans) for scans in make_plan(config, tmp_path / "work").people()] == [1, 2]


def test_sessions_know_the_etiv_of_the_others(config, tmp_path):
    scans = make_plan(config, tmp_path / "work").scans
    assert scans[1].covariates["other_sessions_etiv"] == [1.5e6]
    assert "other_sessions_etiv" not in scans[0].covariates


def test_labels_narrow_the_plan(config, tmp_path):
    plan = make_plan(replace(config, participant_label=("02",), session_label=("2",)), tmp_path / "work")
    assert keys(plan.scans) == [("02", "2")]
    assert plan.omissions == ()


def test_unknown_label_is_a_usage_error(config, tmp_path):
    with pytest.raises(UsageError, match="99"):
        make_plan(replace(config, participant_label=("99",)), tmp_path / "work")


def test_unknown_model_is_a_model_error(config, tmp_path):
    with pytest.raises(ModelError, match="nonsense"):
        make_plan(replace(config, model="nonsense"), tmp_path / "work")


def test_ambiguous_subjects_leave_only_that_scan_out(config, dataset, tmp_path):
    write_subject(dataset / "derivatives/freesurfer/02_ses-1", {}, etiv=1.5e6)
    write_subject(dataset / "derivatives/freesurfer/02_1", {}, etiv=1.5e6)
    assert len(make_plan(config, tmp_path / "work").scans) == 3


def test_planning_touches_nothing(config, dataset, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in dataset.rglob("*")}
    make_plan(config, tmp_path / "work")
    assert {path: path.stat().st_mtime_ns for path in dataset.rglob("*")} == before
    assert not config.output_dir.exists()


def test_adaptation_leaves_the_control_out_of_their_own_estimate(config, dataset, tmp_path):
    for label in ("05", "06", "07"):
        with open(dataset / "participants.tsv", "a") as stream:
            stream.write(f"sub-{label}\t3{label[-1]}\tF\tcontrol\n")
        (dataset / f"sub-{label}").mkdir()
        write_subject(dataset / f"derivatives/freesurfer/sub-{label}", {"Left-Thalamus": 7600.0}, etiv=1.5e6)
    adapted = replace(config, adapt_controls='group == "control"')
    plan = make_plan(adapted, tmp_path / "work")
    files = {scan.participant: scan.adaptation_file for scan in plan.scans}
    assert all(path is not None for path in files.values())
    from bids_app.tables import read_json

    control, patient = read_json(files["01"]), read_json(files["02"])
    assert control["left_out"]
    assert control["n_controls"] == 3
    assert not patient["left_out"]
    assert patient["n_controls"] == 4
    assert control["shift"] != patient["shift"]


@pytest.mark.parametrize("query", ["group ==", "nosuch == 1", "__import__('os').system('true')"])
def test_an_impossible_query_names_the_columns(config, tmp_path, query):
    with pytest.raises(UsageError, match="columns"):
        make_plan(replace(config, adapt_controls=query), tmp_path / "work")


def test_a_query_that_selects_nobody_is_an_input_error(config, tmp_path):
    with pytest.raises(InputError, match="selects nobody"):
        make_plan(replace(config, adapt_controls='group == "astronaut"'), tmp_path / "work")


def test_volumes_survive_the_way_between_nodes(dataset, tmp_path):
    from bids_app.freesurfer.volumes import extract_volumes, read_volumes

    tree = dataset / "derivatives/freesurfer/sub-01"
    volumes = extract_volumes(tree)
    again = load_volumes(save_volumes(read_volumes(tree), tmp_path / "volumes.json"))
    assert again.table.equals(volumes.table.reset_index(drop=True))
    assert again.etiv_mm3 == volumes.etiv_mm3
    assert dict(again.inputs) == dict(volumes.inputs)


def test_recon_is_not_possible_without_freesurfer(config, dataset, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("FREESURFER_HOME", raising=False)
    scans = find_scans(dataset)
    plan = ReconPlan(open_request(replace(config, recon="auto"), dataset).recon, scans)
    with pytest.raises(Exception, match="recon-all cannot run"):
        plan.commands(scans[-1])


def test_t1w_selection(tmp_path):
    options = ReconOptions(tmp_path)
    scan = Scan("01", None, t1w=(tmp_path / "a", tmp_path / "b"))
    assert select_t1w(scan, options) == scan.t1w
    assert select_t1w(scan, replace(options, t1w_select="first")) == scan.t1w[:1]
    assert select_t1w(scan, replace(options, t1w_select="last")) == scan.t1w[1:]


def test_lesion_filled_t1w_from_a_derivative(tmp_path):
    anat = tmp_path / "filled" / "sub-01" / "ses-1" / "anat"
    anat.mkdir(parents=True)
    filled = anat / "sub-01_ses-1_desc-lesionfilled_T1w.nii.gz"
    filled.touch()
    (anat / "sub-01_ses-1_desc-other_T1w.nii.gz").touch()
    assert derivative_t1w(Scan("01", "1"), f"fill={tmp_path / 'filled'}:lesionfilled") == (filled,)
    with pytest.raises(UsageError, match="NAME=PATH"):
        derivative_t1w(Scan("01", "1"), str(tmp_path))
    (tmp_path / "filled").rename(tmp_path / "a:b=c")
    moved = (tmp_path / "a:b=c" / filled.relative_to(tmp_path / "filled"),)
    assert derivative_t1w(Scan("01", "1"), f"fill={tmp_path / 'a:b=c'}:lesionfilled") == moved
    assert len(derivative_t1w(Scan("01", "1"), f"fill={tmp_path / 'a:b=c'}")) == 2
    with pytest.raises(UsageError, match="NAME=PATH"):
        derivative_t1w(Scan("01", "1"), f"fill={tmp_path / 'filled'}")


def test_reasons_do_not_say_where_the_data_lie(config, dataset, tmp_path):
    (dataset / "derivatives/freesurfer/sub-01/stats/aseg.stats").write_text("")
    (omission,) = (item for item in make_plan(config, tmp_path / "work").omissions if item.participant == "01")
    assert "sub-01" in omission.reason
    assert str(tmp_path) not in omission.reason + omission.remedy
