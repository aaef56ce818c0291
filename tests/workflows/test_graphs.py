"""Graphs are built from plain plans, without running anything."""

from __future__ import annotations

import shlex
import shutil
from importlib.util import find_spec
from pathlib import Path

import networkx as nx
import pytest

from bids_app.freesurfer.recon_command import ReconAllCommand
from bids_app.interfaces.reports import GroupReport
from bids_app.run.config import RunConfig
from bids_app.run.planned import PlannedScan, RunContext
from bids_app.workflows.drawing import draw_graph
from bids_app.workflows.group import init_group_wf
from bids_app.workflows.participant import (
    PEOPLE_PER_GRAPH,
    PEOPLE_PER_RECON_GRAPH,
    init_normvol_wf,
    init_participant_wf,
    people_per_graph,
    person_wf_name,
)
from bids_app.workflows.reports import init_reports_wf
from bids_app.workflows.scan import init_scan_wf

ENDS = {"inputnode", "outputnode"}
COVARIATES = {"participant_id": "sub-01", "session_id": None, "age": 30.0, "sex": "female"}


@pytest.fixture
def context(tmp_path):
    folders = tmp_path / "out", tmp_path / "work"
    return RunContext(*folders, "open-calibrated", "0" * 64, "own-sex", "run", omp_nthreads=3)


def scan(session=None, **options):
    options.setdefault("subject_dir", Path("/subjects/sub-01"))
    return PlannedScan("01", session, COVARIATES, **options)


def nodes(workflow):
    return {node.fullname.split(".", 1)[1] for node in workflow._create_flat_graph().nodes()}


def recon_command(stream="cross"):
    source = {"cross": {"t1w": (Path("/bids/t1w.nii.gz"),)}, "base": {"time_points": ("sub-01_ses-1",)}}
    return ReconAllCommand(
        subjects_dir=Path("/s"), name="sub-01", stream=stream, threads=3, **source.get(stream, {"base": "sub-01"})
    )


def test_factories_return_workflows_of_their_name(context):
    assert init_scan_wf(scan(), context).name == "scan_wf"
    assert init_participant_wf([scan()], context, name="sub_01_wf").name == "sub_01_wf"


def test_a_scan_is_read_scored_and_drawn_and_recon_all_runs_only_when_it_has_to(context):
    assert nodes(init_scan_wf(scan(), context)) - ENDS == {"read", "score", "draw"}
    to_run = scan(subject_dir=None, recon=recon_command())
    assert nodes(init_scan_wf(to_run, context)) - ENDS == {"recon", "read", "score", "draw"}


def test_every_session_has_its_branch_and_the_person_one_report(context):
    names = nodes(init_participant_wf([scan("1"), scan("2")], context, name="sub_01_wf"))
    assert {"scan_ses_1_wf.score", "scan_ses_2_wf.score", "tables"} <= names
    assert sum(name.endswith("report") for name in names) == 1


def test_recon_all_reserves_its_threads_and_memory(context):
    to_run = scan(subject_dir=None, recon=recon_command())
    node = init_participant_wf([to_run], context, name="sub_01_wf").get_node("scan_wf.recon")
    assert node.n_procs == 3
    assert node.mem_gb == context.recon_memory_gb
    assert node.interface.cmdline == shlex.join(["recon-all", *recon_command().arguments()])


def test_longitudinal_time_points_wait_for_the_base(context):
    scans = [
        scan(
            session,
            subject_dir=None,
            recon=recon_command("long"),
            base=recon_command("base"),
            cross=recon_command("cross"),
        )
        for session in ("1", "2")
    ]
    flat = nx.DiGraph(init_participant_wf(scans, context, name="sub_01_wf")._create_flat_graph())
    found = {name: [node for node in flat if node.name == name] for name in ("cross_1", "cross_2", "base", "recon")}
    (base,) = found["base"]
    assert all(nx.has_path(flat, node, base) for name in ("cross_1", "cross_2") for node in found[name])
    assert len(found["recon"]) == 2
    assert all(nx.has_path(flat, base, node) for node in found["recon"])


def test_people_do_not_depend_on_each_other(context):
    people = [[scan()], [PlannedScan("02+", None, COVARIATES, subject_dir=Path("/subjects/sub-02"))]]
    flat = init_normvol_wf(people, context)._create_flat_graph()
    assert nx.number_weakly_connected_components(nx.DiGraph(flat)) == 2
    assert person_wf_name("02+") == "sub_02plus_wf"


def test_the_drawing_of_a_person_names_every_step(context, tmp_path):
    paths = draw_graph(init_normvol_wf([[scan("1"), scan("2")]], context), tmp_path)
    text = next(path for path in paths if path.suffix == ".dot").read_text()
    assert all(word in text for word in ("read", "score", "draw", "tables", "report"))
    assert not shutil.which("dot") or "<svg" in (tmp_path / "graph.svg").read_text()


def test_group_graph_has_an_analysis_only_when_asked_for(tmp_path):
    config = RunConfig(bids_dir=tmp_path, output_dir=tmp_path)
    assert "analysis" not in nodes(init_group_wf(config, work_dir=tmp_path))
    config = RunConfig(bids_dir=tmp_path, output_dir=tmp_path, analysis="auto")
    assert "analysis" in nodes(init_group_wf(config, work_dir=tmp_path))


def test_report_graph_has_a_node_per_person(tmp_path):
    graph = init_reports_wf({"01": True, "02": True}, tmp_path, work_dir=tmp_path, group=True)
    assert nodes(graph) == {"report_sub_01", "report_sub_02", "group_report"}


def test_a_graph_holds_few_people_however_many_there_are():
    assert people_per_graph([[scan()]] * 5000, nprocs=2) == PEOPLE_PER_GRAPH


def test_a_graph_has_several_people_per_processor():
    assert people_per_graph([[scan()]] * 5000, nprocs=64) == 8 * 64


def test_people_that_take_hours_share_a_larger_graph():
    slow = scan(subject_dir=None, recon=recon_command())
    assert people_per_graph([[scan()], [slow]], nprocs=2) == PEOPLE_PER_RECON_GRAPH


def test_every_node_names_the_modules_that_it_imports(context):
    graph = init_participant_wf([scan()], context, name="sub_01_wf")
    ours = [
        node.interface
        for node in graph._create_flat_graph().nodes()
        if type(node.interface).__module__.startswith("bids_app")
    ]
    assert ours
    for interface in ours:
        assert all(find_spec(name) for name in interface.libraries)
        assert interface.libraries


def test_the_group_report_lets_go_of_the_cohort_before_it_reads_the_tables(tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr("bids_app.run.cohort.forget", lambda: done.append("forgot"))
    monkeypatch.setattr("bids_app.reports.pages.group.write_group_report", lambda root: done.append(root) or tmp_path)
    GroupReport(output_dir=str(tmp_path))._call(tmp_path)
    assert done == ["forgot", tmp_path]
