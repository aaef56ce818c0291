"""The graph of one person (all sessions), and of many people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nipype.interfaces import utility as niu
from nipype.pipeline import engine as pe

from bids_app.interfaces.freesurfer import DrawOverlays, RunReconAll
from bids_app.interfaces.reports import ParticipantReport
from bids_app.interfaces.scoring import PersonTables
from bids_app.run.plan import PlannedScan, RunContext
from bids_app.workflows.scan import SCORE_GB, init_recon_wf, init_scoring_wf

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
    runs = any(scan.recon_arguments is not None for scans in people for scan in scans)
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
    """Every scan of one person, then the person's tables, figures and report.

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
    summaries = pe.Node(niu.Merge(len(scans)), name="summaries", run_without_submitting=True)
    person = pe.Node(PersonTables(), name="person", mem_gb=SCORE_GB)
    person.inputs.trait_set(
        participant=scans[0].participant,
        output_dir=str(context.output_dir),
        model=context.model,
        scoring=context.scoring,
    )
    if scans[0].adaptation_file is not None:
        person.inputs.adaptation_file = str(scans[0].adaptation_file)
    report = init_report_node(scans[0].participant, context.output_dir)
    template = _connect_template(participant_wf, scans, context)
    for index, scan in enumerate(scans, start=1):
        overlays = _connect_scan(participant_wf, scan, context, template)
        participant_wf.connect(overlays, "summary_file", summaries, f"in{index}")
    participant_wf.connect([(summaries, person, [("out", "summary_files")]), (person, report, [("tables", "ready")])])
    return participant_wf


def init_report_node(participant: str, output_dir: Path) -> pe.Node:
    """The node that writes a person's report from the tables on disk."""
    report = pe.Node(ParticipantReport(), name="report", mem_gb=REPORT_GB)
    report.inputs.trait_set(participant=participant, output_dir=str(output_dir))
    return report


def _connect_scan(
    participant_wf: pe.Workflow, scan: PlannedScan, context: RunContext, template: pe.Node | None
) -> pe.Node:
    suffix = f"_ses_{scan.session}" if scan.session else ""
    run = scan.recon_arguments is not None
    recon_wf = init_recon_wf(
        run=run, omp_nthreads=context.omp_nthreads, mem_gb=context.recon_memory_gb, name=f"recon{suffix}_wf"
    )
    recon_wf.get_node("check").inputs.trust_names = context.trust_names
    scoring_wf = init_scoring_wf(adapted=scan.adaptation_file is not None, name=f"scoring{suffix}_wf")
    if run:
        recon_wf.inputs.inputnode.arguments = scan.recon_arguments
        if template is not None:
            participant_wf.connect(template, "subject_dir", recon_wf, "inputnode.ready")
    else:
        recon_wf.inputs.inputnode.subject_dir = str(scan.subject_dir)
    scoring_wf.inputs.inputnode.trait_set(
        covariates=scan.covariates,
        model=context.model,
        model_sha256=context.model_sha256,
        scoring=context.scoring,
        output_dir=str(context.output_dir),
        run_uuid=context.run_uuid,
    )
    if scan.adaptation_file is not None:
        scoring_wf.inputs.inputnode.adaptation_file = str(scan.adaptation_file)
    overlays = pe.Node(DrawOverlays(), name=f"overlays{suffix}", mem_gb=REPORT_GB)
    overlays.inputs.output_dir = str(context.output_dir)
    participant_wf.connect(
        [
            (recon_wf, scoring_wf, [("outputnode.subject_dir", "inputnode.subject_dir")]),
            (recon_wf, overlays, [("outputnode.subject_dir", "subject_dir")]),
            (scoring_wf, overlays, [("outputnode.summary_file", "summary_file")]),
        ]
    )
    return overlays


def _connect_template(participant_wf: pe.Workflow, scans: Sequence[PlannedScan], context: RunContext) -> pe.Node | None:
    """The cross-sectional runs and the unbiased base of the longitudinal stream, when it has to run."""
    base = next((scan.base_arguments for scan in scans if scan.base_arguments is not None), None)
    if base is None:
        return None
    cost = {"n_procs": context.omp_nthreads, "mem_gb": context.recon_memory_gb}
    template = pe.Node(RunReconAll(), name="base", **cost)
    template.inputs.arguments = base
    crosses = [scan.cross_arguments for scan in scans if scan.cross_arguments is not None]
    merge = pe.Node(niu.Merge(max(1, len(crosses))), name="crosses", run_without_submitting=True)
    for index, arguments in enumerate(crosses, start=1):
        cross = pe.Node(RunReconAll(), name=f"cross_{index}", **cost)
        cross.inputs.arguments = arguments
        participant_wf.connect(cross, "subject_dir", merge, f"in{index}")
    participant_wf.connect(merge, "out", template, "ready")
    return template
