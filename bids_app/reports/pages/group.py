"""The report of the whole dataset as one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bids_app.bids.columns import KEYS
from bids_app.bids.group_files import group_file, group_files, settle
from bids_app.bids.names import output_path
from bids_app.errors import InputError
from bids_app.regions import VOLUME, measure_of
from bids_app.reports.components import measured_words, prose
from bids_app.reports.figures.analyses import read_analyses
from bids_app.reports.figures.files import FORMATS, write_formats
from bids_app.reports.figures.heatmap import heat_map, png_uri
from bids_app.reports.figures.maps import page_geometry
from bids_app.reports.figures.typeset import typeset_apart
from bids_app.reports.loading import Group, Sheet, load_group
from bids_app.reports.pages import group_glance
from bids_app.reports.pages import group_sections as sections
from bids_app.reports.pages.finding_sections import group_findings
from bids_app.reports.pages.group_index import write_group_index
from bids_app.reports.pages.page import render
from bids_app.reports.pages.viewer import write_viewer
from bids_app.tables import atomic_write


def write_group_report(output_dir: Path | str, *, figure_formats: Sequence[str] = FORMATS) -> Path:
    """Write ``group.html`` and the files in ``figures/``.

    Parameters
    ----------
    output_dir : path-like
        The output dataset; only its ``group_*`` files (and the names of the reports of people) are read.
    figure_formats : sequence of {'svg', 'png', 'pdf'}
        Formats of the drawings' files; empty for none.

    Raises
    ------
    InputError
        When no group table is there.
    """
    root = Path(output_dir)
    settle(root)
    group = load_group(root)
    if not group.sheets:
        raise InputError(f"no group table is in {root}", "run the group level first, or normvol-model analyse")
    context = _context(group, root)
    _write_figures(output_path(root, "figures", "figure").parent, context, figure_formats)
    write_viewer(root)
    write_group_index(root)
    return atomic_write(output_path(root, "group.html"), render("group.html.j2", **context))


def _context(group: Group, root: Path) -> dict[str, Any]:
    sheets = group.sheets
    heat = None
    zscores = sheets["zscores"].table if "zscores" in sheets and "deviations" in sheets else pd.DataFrame()
    # a model of none of the counted regions (bilateral means, differences) leaves nothing to draw
    if len(zscores) and set(zscores.columns) - set(KEYS):
        heat = heat_map(zscores, sheets["deviations"].table, group.reports)
        heat["uri"] = png_uri(heat["png"])
    return {
        "group": group,
        "geometry": page_geometry(),
        "measured": measured_words(_measured(sheets, root)),
        "sheets": sheets,
        "findings": group_findings(group),
        "verdict": group_glance.verdict(group),
        "leading": group_glance.leading(group),
        "left_out": sections.left_out(group),
        "columns_of": sections.columns_of,
        "counts": sections.count_drawings(group),
        "prevalence": sections.prevalence_drawings(group),
        "adaptation": sections.adaptation_drawings(group),
        "SHIFTS": sections.SHIFTS,
        "heat": heat,
        "strips": sections.quality_strips(group),
        "outliers": sections.quality_outliers(group),
        "analyses": read_analyses(group),
        "reports": group.reports,
        "tables": [path.relative_to(root).as_posix() for path in group_files(root, ".tsv")],
        "methods": prose(group.citation) if group.citation else None,
    }


def _measured(sheets: Mapping[str, Sheet], root: Path) -> set[str]:
    """The counted regions, and those of thickness and area beside them."""
    counted = set(sheets["zscores"].table) - set(KEYS) if "zscores" in sheets else set()
    further = group_file(root, "extended")
    header = further.read_text(encoding="utf-8").partition("\n")[0].split("\t") if further.is_file() else []
    return counted | {name for name in header if counted and measure_of(name) != VOLUME}


def _write_figures(folder: Path, context: dict[str, Any], formats: Sequence[str]) -> None:
    """Write the drawings; those of an earlier report that this one no longer has are removed."""
    files = {drawing.name: drawing.file for part in ("counts", "prevalence", "adaptation") for drawing in context[part]}
    for analysis in context["analyses"]:
        files |= analysis.files()
    written: set[Path] = set()
    with typeset_apart() as by:  # large pictures would stay in this process's memory
        for name, svg in files.items():
            written.update(write_formats(output_path(folder, name), svg, formats, by))
    if context["heat"] and formats:
        written.add(atomic_write(folder / "group_heatmap.png", context["heat"]["png"]))
    for path in folder.glob("group_*"):
        if path.suffix.removeprefix(".") in FORMATS and path not in written:
            path.unlink()
