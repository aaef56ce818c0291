"""The report of one participant, all sessions, as one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bids_app.bids.names import output_path
from bids_app.regions import display_name, unit_of
from bids_app.reports.components import measured_words, prose, shown
from bids_app.reports.figures.files import standalone, write_formats
from bids_app.reports.figures.maps import map_pair, page_geometry
from bids_app.reports.loading import MAPPED, Person, Scan, load_person
from bids_app.reports.pages import glance, rate_sections, sections
from bids_app.reports.pages.finding_sections import person_findings
from bids_app.reports.pages.page import render
from bids_app.reports.pages.viewer import write_viewer
from bids_app.tables import atomic_write

MAP_LIMITS = (-4.0, 4.0)
# Reference people of the sex within 5 years of the age below which the report says that they are few
FEW_REFERENCE = 30


def write_participant_report(
    output_dir: Path | str, participant: str, *, figure_formats: Sequence[str] = ("svg",)
) -> Path:
    """Write ``sub-<participant>.html`` and the figures in ``sub-<participant>/figures/``.

    Parameters
    ----------
    output_dir : path-like
        The output dataset; only its files are read (see ``docs/architecture.md``).
    participant : str
        Label, with or without ``sub-``.
    figure_formats : sequence of {'svg', 'png', 'pdf'}
        Formats of the files of the brain maps, the charts of flagged regions and of change; empty for none.

    Returns
    -------
    Path
        The report.

    Raises
    ------
    InputError
        When the dataset holds nothing about the participant, or one of the files is damaged.
    """
    root = Path(output_dir)
    person = load_person(root, participant.removeprefix("sub-"))
    context = _context(person, root)
    drawn = dict(_figure_files(root, person, context))
    written = {file for path, svg in drawn.items() for file in write_formats(path, svg, figure_formats)}
    _remove_others(root / f"sub-{person.label}" / "figures", written)
    if context["maps"]:
        write_viewer(root)
    return atomic_write(output_path(root, f"sub-{person.label}.html"), render("participant.html.j2", **context))


def _context(person: Person, root: Path) -> dict[str, Any]:
    latest = person.scans[-1] if person.scans else None
    maps = _brain_maps(person)
    most, flagged_any = sections.most_deviating(latest) if latest else ([], False)
    return {
        "person": person,
        "latest": latest,
        "measured": measured_words(
            region for sheet in (latest.sheets.values() if latest else ()) for region in sheet.table["region"]
        ),
        "unfinished": person.unfinished,
        "findings": list(person_findings(person)),
        "warnings": _warnings(person),
        "verdict": glance.verdict(latest) if latest else [],
        "qualities": glance.qualities(person),
        "trend": glance.trend(person),
        "tails": sections.count_tails(person) if latest else [],
        "most": most,
        "flagged_any": flagged_any,
        "second": sections.second_opinion(latest) if latest else None,
        "maps": maps,
        "geometry": page_geometry() if maps else "",
        "charts": sections.centile_charts(person),
        "few_reference": FEW_REFERENCE,
        "cautions": sections.cautions(latest) if latest else [],
        "change": sections.change_section(person),
        "rates": rate_sections.rates_section(person),
        "lesions": sections.lesion_rows(person),
        "tables": [{"label": scan.label, "tables": sections.scan_tables(scan)} for scan in person.scans],
        "filters": sections.table_filters(person),
        "known_regions": sections.known_regions(person),
        "paired": sections.paired_rows(latest) if latest else [],
        "metrics": list(
            dict.fromkeys(name for scan in person.scans for name in scan.summary.get("quality.metrics") or ())
        ),
        "overlays": sections.overlay_images(person, root),
        "overlay_legend": sections.overlay_legend(),
        "overlay_notes": (overlays := sections.overlay_notes(person, root)),
        "overlay_remarks": sections.overlay_remarks(overlays),
        "methods": prose(person.citation) if person.citation else None,
    }


def _warnings(person: Person) -> list[tuple[Scan, str]]:
    """Scan and key of each warning; one that several sessions share is said once, at the latest."""
    latest_of = {
        text: (scan, f"warnings.{index}")
        for scan in person.scans
        for index, text in enumerate(scan.summary.get("warnings") or ())
    }
    return list(latest_of.values())


def _brain_maps(person: Person) -> list[dict[str, str]]:
    """A map per scan and measure, the latest first."""
    maps = []
    for scan, name in ((scan, name) for scan in reversed(person.scans) for name in MAPPED if name in scan.sheets):
        table = scan.sheets[name].table.dropna(subset=["z"])
        values = dict(zip(table["region"], table["z"].astype(float), strict=True))
        told = {row["region"]: _told(row) for row in table.to_dict("records")}
        inline, file = map_pair(
            values, f"map-{len(maps)}", scale="diverging", limits=MAP_LIMITS, label="z", tooltips=told
        )
        if inline:
            measure = "" if name == "deviations" else name
            label = f"{scan.label}, {measure}" if measure else scan.label
            drawn = {"label": label, "stem": scan.stem, "measure": measure, "drawing": inline, "file": file}
            maps.append(drawn)
    return maps


def _told(row: Mapping[Hashable, Any]) -> str:
    """What a region's tooltip says."""
    name, column = display_name(str(row["region"])), "volume_mm3" if "volume_mm3" in row else "value"
    unit = unit_of(str(row["region"])).replace("^3", "³").replace("^2", "²")
    value = shown(row[column], column) if unit != "mm" else f"{row[column]:.2f}"
    return f"{name}: z {shown(row['z'], 'z')}, centile {shown(row['centile'], 'centile')}, {value} {unit}"


def _remove_others(folder: Path, written: set[Path]) -> None:
    """Remove the drawings of an earlier report that this one does not have, or not in that format."""
    for path in folder.glob("*_morph.*"):
        if path not in written:
            path.unlink()


def _figure_files(root: Path, person: Person, context: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    """Where each drawing goes as an SVG file, and its text."""
    folder = output_path(root, f"sub-{person.label}", "figures", "figure").parent
    for brain in context["maps"]:
        yield output_path(folder, f"{brain['stem']}_desc-{brain['measure']}brainmap_morph.svg"), brain["file"]
    for chart in context["charts"]["shown"]:
        name = f"sub-{person.label}_region-{chart.region}_desc-centiles_morph.svg"
        yield output_path(folder, name), standalone(chart.drawing)
    if context["change"] and context["change"]["drawing"]:
        yield folder / f"sub-{person.label}_desc-change_morph.svg", standalone(context["change"]["drawing"])
