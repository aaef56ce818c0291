"""The graph of one scan: subject -> check -> volumes -> covariates -> z-scores -> sink."""

from __future__ import annotations

from nipype.interfaces import utility as niu
from nipype.pipeline import engine as pe

from bids_app.interfaces.freesurfer import CheckSubject, ExtractVolumes, RunReconAll
from bids_app.interfaces.scoring import CollectCovariates, ScoreScan, SinkScan

SCORE_GB = 0.3


def init_recon_wf(*, run: bool, omp_nthreads: int = 1, mem_gb: float = 4, name: str = "recon_wf") -> pe.Workflow:
    """Find or run recon-all.

    Parameters
    ----------
    run : bool
        Run recon-all (True) or take the existing subject directory as it is (False).
    omp_nthreads : int
        Threads of recon-all.
    mem_gb : float
        Memory to reserve for recon-all (GB).

    Inputs
    ------
    subject_dir
        Existing subject directory (when not running).
    arguments
        Keyword arguments of `bids_app.run.recon.run_recon` (when running).
    ready
        Subjects that have to be finished before.

    Outputs
    -------
    subject_dir
        A subject directory that was checked to be complete.
    """
    recon_wf = pe.Workflow(name=name)
    inputnode = pe.Node(niu.IdentityInterface(fields=["subject_dir", "arguments", "ready"]), name="inputnode")
    outputnode = pe.Node(niu.IdentityInterface(fields=["subject_dir"]), name="outputnode")
    check = pe.Node(CheckSubject(), name="check", mem_gb=SCORE_GB)
    if run:
        recon_all = pe.Node(RunReconAll(), name="recon_all", n_procs=omp_nthreads, mem_gb=mem_gb)
        recon_wf.connect(
            [
                (inputnode, recon_all, [("arguments", "arguments"), ("ready", "ready")]),
                (recon_all, check, [("subject_dir", "subject_dir")]),
            ]
        )
    else:
        recon_wf.connect(inputnode, "subject_dir", check, "subject_dir")
    recon_wf.connect(check, "subject_dir", outputnode, "subject_dir")
    return recon_wf


def init_scoring_wf(*, adapted: bool, name: str = "scoring_wf") -> pe.Workflow:
    """From a complete subject directory to tables in the output dataset.

    Parameters
    ----------
    adapted : bool
        Connect the adaptation parameters.

    Inputs
    ------
    subject_dir, covariates, model, model_sha256, scoring, adaptation_file, output_dir, run_uuid

    Outputs
    -------
    summary_file
        The scan's ``desc-summary_morph.json`` in the output dataset.
    """
    scoring_wf = pe.Workflow(name=name)
    fields = ["subject_dir", "covariates", "model", "model_sha256", "scoring", "output_dir", "run_uuid"]
    fields += ["adaptation_file"] if adapted else []
    inputnode = pe.Node(niu.IdentityInterface(fields=fields), name="inputnode")
    outputnode = pe.Node(niu.IdentityInterface(fields=["summary_file"]), name="outputnode")
    volumes = pe.Node(ExtractVolumes(), name="volumes", mem_gb=SCORE_GB)
    covariates = pe.Node(CollectCovariates(), name="covariates", mem_gb=SCORE_GB)
    score = pe.Node(ScoreScan(), name="score", mem_gb=SCORE_GB)
    sink = pe.Node(SinkScan(), name="sink", mem_gb=SCORE_GB)
    scoring_wf.connect(
        [
            (inputnode, volumes, [("subject_dir", "subject_dir")]),
            (inputnode, covariates, [("covariates", "covariates")]),
            (volumes, covariates, [("volumes_file", "volumes_file")]),
            (volumes, score, [("volumes_file", "volumes_file")]),
            (covariates, score, [("covariates_file", "covariates_file")]),
            (inputnode, score, [("model", "model"), ("model_sha256", "model_sha256"), ("scoring", "scoring")]),
            (score, sink, [("result_dir", "result_dir")]),
            (inputnode, sink, [("output_dir", "output_dir"), ("run_uuid", "run_uuid")]),
            (sink, outputnode, [("summary_file", "summary_file")]),
        ]
    )
    if adapted:
        scoring_wf.connect(inputnode, "adaptation_file", score, "adaptation_file")
    return scoring_wf
