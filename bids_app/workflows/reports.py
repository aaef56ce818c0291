"""The graph that rebuilds reports from the tables alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nipype.pipeline import engine as pe

from bids_app.interfaces.reports import GroupReport
from bids_app.workflows.participant import init_report_node


def init_reports_wf(
    participants: Sequence[str],
    output_dir: Path,
    *,
    work_dir: Path,
    group: bool = False,
    figure_formats: Sequence[str] = (),
    name: str = "reports_wf",
) -> pe.Workflow:
    """One node per person's report, and the group report when asked for."""
    reports_wf = pe.Workflow(name=name, base_dir=str(work_dir))
    for participant in participants:
        node = init_report_node(participant, output_dir, figure_formats)
        node.name = f"report_sub_{participant}"
        reports_wf.add_nodes([node])
    if group:
        node = pe.Node(GroupReport(), name="group_report")
        node.inputs.trait_set(output_dir=str(output_dir), figure_formats=list(figure_formats))
        reports_wf.add_nodes([node])
    return reports_wf
