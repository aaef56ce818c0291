"""The graph that rebuilds reports from the tables alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from nipype.pipeline import engine as pe

from bids_app.interfaces.reports import GroupReport
from bids_app.interfaces.scoring import PersonTables
from bids_app.reports.figures.files import FORMATS
from bids_app.run.rebuild import PersonSource
from bids_app.workflows.participant import init_report_node
from bids_app.workflows.scan import SCORE_GB


def init_reports_wf(
    participants: Mapping[str, PersonSource | bool],
    output_dir: Path,
    *,
    work_dir: Path,
    group: bool = False,
    figure_formats: Sequence[str] = (),
    name: str = "reports_wf",
) -> pe.Workflow:
    """One node per person's report, and the group report when asked for.

    `participants` says of each person what the tables are made again from, else whether they are whole as they are.
    Without `figure_formats` each person's figures keep theirs.
    """
    reports_wf = pe.Workflow(name=name, base_dir=str(work_dir))
    for participant, source in participants.items():
        formats = figure_formats or _formats_drawn(output_dir, participant)
        report = init_report_node(participant, output_dir, formats)
        report.name = f"report_sub_{participant.replace('+', 'plus')}"
        report.inputs.whole = source is not False
        reports_wf.add_nodes([report])
        if isinstance(source, PersonSource):
            tables = _init_tables_node(participant, source, output_dir)
            reports_wf.connect(tables, "tables", report, "ready")
    if group:
        node = pe.Node(GroupReport(), name="group_report")
        node.inputs.trait_set(output_dir=str(output_dir), figure_formats=list(figure_formats))
        reports_wf.add_nodes([node])
    return reports_wf


def _formats_drawn(output_dir: Path, participant: str) -> list[str]:
    drawings = (output_dir / f"sub-{participant}" / "figures").glob("*_morph.*")
    return sorted({path.suffix.removeprefix(".") for path in drawings} & set(FORMATS))


def _init_tables_node(participant: str, source: PersonSource, output_dir: Path) -> pe.Node:
    tables = pe.Node(PersonTables(), name=f"tables_sub_{participant.replace('+', 'plus')}", mem_gb=SCORE_GB)
    tables.inputs.trait_set(
        participant=participant, output_dir=str(output_dir), model=source.model, scoring=source.scoring
    )
    if source.adaptation_file is not None:
        tables.inputs.adaptation_file = str(source.adaptation_file)
    return tables
