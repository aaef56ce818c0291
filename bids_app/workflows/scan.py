"""The graph of one scan: (recon ->) read -> score -> draw."""

from __future__ import annotations

from nipype.interfaces import utility as niu
from nipype.pipeline import engine as pe

from bids_app.freesurfer.recon_command import ReconAllCommand
from bids_app.interfaces.freesurfer import DrawScan, ReadScan, ReconAll
from bids_app.interfaces.scoring import ScoreScan
from bids_app.run.planned import PlannedScan, RunContext

SCORE_GB = 0.3
DRAW_GB = 0.5


def init_scan_wf(scan: PlannedScan, context: RunContext, *, name: str = "scan_wf") -> pe.Workflow:
    """Everything that is done for one scan.

    ::

        inputnode.ready --> recon --> read --> score --> draw --> outputnode.summary_file
                          (only when             \\__________^
                          it has to run)         subject_dir

    Parameters
    ----------
    scan : PlannedScan
        Its subject directory, or the command that makes one.
    context : RunContext
        What is the same for every scan of the run.

    Inputs
    ------
    ready
        Subjects that have to be finished before (longitudinal stream).

    Outputs
    -------
    summary_file
        The scan's ``desc-summary_morph.json`` in the output dataset.
    """
    scan_wf = pe.Workflow(name=name)
    inputnode = pe.Node(niu.IdentityInterface(fields=["ready"]), name="inputnode")
    outputnode = pe.Node(niu.IdentityInterface(fields=["summary_file"]), name="outputnode")
    read = pe.Node(ReadScan(), name="read", mem_gb=SCORE_GB)
    read.inputs.trust_names = context.trust_names
    score = pe.Node(ScoreScan(), name="score", mem_gb=SCORE_GB)
    set_model(score, scan, context)
    score.inputs.trait_set(covariates=scan.covariates, run_uuid=context.run_uuid)
    if context.disguise is not None:
        score.inputs.anonymise_salt = context.disguise.salt
    if context.second_model is not None:
        score.inputs.second_model = context.second_model
    draw = pe.Node(DrawScan(), name="draw", mem_gb=DRAW_GB)
    draw.inputs.output_dir = str(context.output_dir)
    if scan.recon is None:
        read.inputs.subject_dir = str(scan.subject_dir)
        if scan.expected is not None:
            read.inputs.expected = scan.expected
        if scan.volumes_file is not None:
            read.inputs.measured = str(scan.volumes_file)
    else:
        recon = init_recon_node(scan.recon, context, name="recon")
        scan_wf.connect(inputnode, "ready", recon, "ready")
        scan_wf.connect(recon, "subject_dir", read, "subject_dir")
    scan_wf.connect(
        [
            (read, score, [("volumes_file", "volumes_file")]),
            (read, draw, [("subject_dir", "subject_dir")]),
            (score, draw, [("summary_file", "summary_file")]),
            (draw, outputnode, [("summary_file", "summary_file")]),
        ]
    )
    return scan_wf


def init_recon_node(command: ReconAllCommand, context: RunContext, *, name: str) -> pe.Node:
    """A node that runs recon-all with the threads and the memory that it needs."""
    recon = pe.Node(ReconAll(), name=name, n_procs=context.omp_nthreads, mem_gb=context.recon_memory_gb)
    recon.inputs.trait_set(
        subjects_dir=str(command.subjects_dir),
        name=command.name,
        stream=command.stream,
        t1w=[str(path) for path in command.t1w],
        time_points=list(command.time_points),
        threads=command.threads,
        extra=list(command.extra),
    )
    optional = {"t2w": command.t2w, "flair": command.flair, "base": command.base, "license_file": context.license_file}
    recon.inputs.trait_set(**{key: str(value) for key, value in optional.items() if value is not None})
    return recon


def set_model(node: pe.Node, scan: PlannedScan, context: RunContext) -> None:
    """Tell a node which model scores, how, and where the results go."""
    node.inputs.trait_set(output_dir=str(context.output_dir), model=context.model, scoring=context.scoring)
    if scan.adaptation_file is not None:
        node.inputs.adaptation_file = str(scan.adaptation_file)
