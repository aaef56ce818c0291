"""Figures of one scan that need its images."""

from __future__ import annotations

from pathlib import Path

from bids_app.bids.markers import end_scan
from bids_app.bids.names import bare, output_path, participant_id, scan_name
from bids_app.tables import read_json, read_table


def draw_overlays(output_dir: Path, summary_file: Path, subject_dir: Path) -> list[Path]:
    """Draw what the subject directory's images allow into ``sub-X/figures``, with which the scan is done."""
    from bids_app.reports.figures.overlays import overlay_figures

    summary = read_json(summary_file)
    table = read_table(summary_file.with_name(summary_file.name.replace("summary_morph.json", "deviations_morph.tsv")))
    participant = bare(summary["participant_id"], "sub")
    session = bare(summary["session_id"], "ses") if summary["session_id"] else None
    folder = output_path(output_dir, participant_id(participant), "figures", "figure").parent
    result = overlay_figures(subject_dir, table.set_index("region")["z"], folder, scan_name(participant, session))
    end_scan(output_dir, participant, session)
    return list(result.figures)
