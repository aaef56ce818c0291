"""The graph of one person (all sessions), and of many people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nipype.interfaces import utility as niu
from nipype.pipeline import engine as pe

from bids_app.interfaces.reports import ParticipantReport
from bids_app.interfaces.scoring import PersonTables
from bids_app.run.planned import PlannedScan, RunContext
from bids_app.workflows.scan import SCORE_GB, init_recon_node, init_scan_wf, set_model

REPORT_GB = 0.5
# A graph takes about 0.1 MB per person, nipype copies it, and its scheduler looks at every node again and again.
PEOPLE_PER_GRAPH = 50
PEOPLE_PER_RECON_GRAPH = 500
ROUNDS_PER_GRAPH = 8


def people_per_graph(people: Sequence[Sequence[PlannedScan]], nprocs: int) -> int:
    """How many people one graph holds, so that memory does not grow with the dataset.

    At the end of a graph some processors wait for its last person, so it has at least `ROUNDS_PER_GRAPH`
    people per processor, and many more where a person takes hours.
    """
    runs = any(scan.recon is not None for scans in people for scan in scans)
    return max(PEOPLE_PER_RECON_GRAPH if runs else PEOPLE_PER_GRAPH, ROUNDS_PER_GRAPH * nprocs)


def init_normvol_wf(
    people: Sequence[Sequence[PlannedScan]], context: RunContext, *, name: str = "normvol_wf"
) -> pe.Workflow:
    """One sub-graph per person; people do not depend on each other."""
    normvol_wf = pe.Workflow(name=name, base_dir=str(context.work_dir))
    for scans in people:
        normvol_wf.add_nodes([init_participant_wf(scans, context, name=person_wf_name(scans[0].participant))])
    return normvol_wf


def person_wf_name(participant: str) -> str:
    """Name of a person's sub-graph; labels are alphanumeric in BIDS, so the name is a valid node name."""
    return f"sub_{participant.replace('+', 'plus')}_wf"


def init_participant_wf(scans: Sequence[PlannedScan], context: RunContext, *, name: str) -> pe.Workflow:
    """Every scan of one person, then the person's tables and report.

    ::

        cross_1 ..> base ..> scan_ses_1_wf --\
        cross_2 ../     \\..> scan_ses_2_wf ---> tables --> report
        (longitudinal stream only)

    Parameters
    ----------
    scans : sequence of PlannedScan
        The person's scans that are to be scored.
    context : RunContext
        What is the same for every scan of the run.

    Outputs
    -------
    report (node ``report``)
        ``sub-X.html`` in the output dataset.
    """
    participant_wf = pe.Workflow(name=name)
    tables = pe.Node(PersonTables(len(scans)), name="tables", mem_gb=SCORE_GB)
    tables.inputs.participant = scans[0].participant
    set_model(tables, scans[0], context)
    report = init_report_node(scans[0].participant, context.output_dir, context.figure_formats)
    base = _connect_base(participant_wf, scans, context)
    for index, scan in enumerate(scans, start=1):
        scan_wf = init_scan_wf(scan, context, name=scan_wf_name(scan.session))
        if base is not None:
            participant_wf.connect(base, "subject_dir", scan_wf, "inputnode.ready")
        participant_wf.connect(scan_wf, "outputnode.summary_file", tables, f"summary_{index}")
    participant_wf.connect(tables, "tables", report, "ready")
    return participant_wf


def scan_wf_name(session: str | None) -> str:
    """Name of a scan's sub-graph below its person's."""
    return f"scan_ses_{session.replace('+', 'plus')}_wf" if session else "scan_wf"


def init_report_node(participant: str, output_dir: Path, figure_formats: Sequence[str] = ()) -> pe.Node:
    """The node that writes a person's report from the tables on disk."""
    report = pe.Node(ParticipantReport(), name="report", mem_gb=REPORT_GB)
    report.inputs.trait_set(participant=participant, output_dir=str(output_dir), figure_formats=list(figure_formats))
    return report


def _connect_base(participant_wf: pe.Workflow, scans: Sequence[PlannedScan], context: RunContext) -> pe.Node | None:
    """The cross-sectional runs and the unbiased base of the longitudinal stream, when it has to run."""
    command = next((scan.base for scan in scans if scan.base is not None), None)
    if command is None:
        return None
    base = init_recon_node(command, context, name="base")
    crosses = [scan.cross for scan in scans if scan.cross is not None]
    merge = pe.Node(niu.Merge(max(1, len(crosses))), name="crosses", run_without_submitting=True)
    for index, cross in enumerate(crosses, start=1):
        node = init_recon_node(cross, context, name=f"cross_{index}")
        participant_wf.connect(node, "subject_dir", merge, f"in{index}")
    participant_wf.connect(merge, "out", base, "ready")
    return base
