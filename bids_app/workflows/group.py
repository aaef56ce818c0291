"""The graph of the group level: tables -> clinical statistics -> report."""

from __future__ import annotations

from pathlib import Path

from nipype.pipeline import engine as pe

from bids_app.interfaces.group import ClinicalAnalysis, GroupTables
from bids_app.interfaces.reports import GroupReport
from bids_app.run.config import RunConfig


def init_group_wf(config: RunConfig, *, work_dir: Path, name: str = "group_wf") -> pe.Workflow:
    """Descriptive tables, the clinical analyses when asked for, and ``group.html``."""
    group_wf = pe.Workflow(name=name, base_dir=str(work_dir))
    tables = pe.Node(GroupTables(), name="tables")
    quality = {"exclude_quality": list(config.exclude_quality), "include_quality": list(config.include_quality)}
    shared = {"output_dir": str(config.output_dir), "bids_dir": str(config.bids_dir), "model": config.model, **quality}
    given = {"pool": config.pool, "participants_file": config.participants_file, "analysis": config.analysis}
    if config.anonymise:
        given["anonymise_salt"] = config.anonymise_salt
    shared |= {name: str(value) for name, value in given.items() if value is not None}
    tables.inputs.trait_set(**shared)
    report = pe.Node(GroupReport(), name="report")
    report.inputs.trait_set(output_dir=str(config.output_dir), figure_formats=list(config.figure_formats))
    if config.analysis is None:
        group_wf.connect(tables, "tables", report, "ready")
        return group_wf
    analysis = pe.Node(ClinicalAnalysis(), name="analysis")
    analysis.inputs.trait_set(**shared)
    group_wf.connect([(tables, analysis, [("tables", "ready")]), (analysis, report, [("tables", "ready")])])
    return group_wf
