"""The group level on plain tables: descriptive tables, clinical statistics and report of people who were scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bids_app.bids.sink import check_result_folder
from bids_app.clinical.analyses.group_tables import TABLE_STEPS
from bids_app.clinical.analysis import run_analysis
from bids_app.clinical.analysis_file import AUTO, load_analysis, read_analysis
from bids_app.clinical.results import AnalysisResult
from bids_app.errors import UsageError
from bids_app.normative.harmonise.adaptation import REPORT_COLUMNS, SiteAdaptation
from bids_app.reports.pages.group import write_group_report
from bids_app.clinical.results import replace_results
from bids_app.clinical.scored_scans import ScoredScans, write_group_tables
from bids_app.tables import write_json, write_tsv
from bids_app.workbench.score_tables import Origin, read_origin, read_zscores, rows_digest
from bids_app.workbench.table_cohort import make_cohort, match_rows
from bids_app.workbench.table_input import TableInput

ADAPTATION_FILE = "adaptation.json"
ADAPTATION_TABLE = "group_adaptation.tsv"


@dataclass(frozen=True)
class TableFiles:
    """The files of a table analysis.

    Parameters
    ----------
    table, zscores : Path
        Volumes and clinical columns; z-scores of the same rows.
    visits : Path or None
        Clinical visits, with or without a scan.
    """

    table: Path
    zscores: Path
    visits: Path | None = None


@dataclass(frozen=True)
class TableAnalysis:
    """What was done: the cohort, the results, sentences for the reader and the report."""

    cohort: ScoredScans
    results: tuple[AnalysisResult, ...]
    notes: tuple[str, ...]
    report: Path


def check_request(files: TableFiles, output_dir: Path, analysis: str) -> None:
    """Refuse what cannot work before anything is read or written.

    Raises
    ------
    UsageError
        When the folder or the analysis file is unfit, or an input is a file that would be overwritten.
    """
    check_result_folder(output_dir)
    for path in filter(None, (files.table, files.zscores, files.visits)):
        if path.resolve().parent == output_dir.resolve() and path.name.startswith("group_"):
            raise UsageError(f"{path} lies in the output folder and has a name of its results", "name another folder")
    if analysis != AUTO:
        read_analysis(analysis)


def analyse_tables(
    table: TableInput,
    files: TableFiles,
    output_dir: Path,
    analysis: str = AUTO,
    mapping: Mapping[str, str] | None = None,
) -> TableAnalysis:
    """Everything that the group level of the BIDS-App writes and plain tables allow.

    Files of an earlier run into the same folder are replaced, and removed when they have no successor.

    Parameters
    ----------
    table : TableInput
        `files.table` as it was read.
    analysis : str
        Path of an analysis file, or ``auto``.
    mapping : mapping, optional
        Name used here to a column of the other tables.

    Raises
    ------
    InputError
        When the tables cannot be used or do not belong together.
    UsageError
        When the analysis file is impossible.
    """
    zscores, notes = read_zscores(files.zscores, mapping)
    rows = match_rows(
        table, zscores, source=files.table.name, z_source=files.zscores.name, visits=files.visits, mapping=mapping
    )
    config, text = load_analysis(analysis, rows.clinical)
    origin = read_origin(files.zscores)
    cohort = make_cohort(rows, origin.model, config.column("diagnosis"), files.zscores.name)
    results = run_analysis(rows.clinical, cohort.zscores, config, visits=rows.visits)
    write_group_tables(cohort, output_dir, TABLE_STEPS)
    replace_results(output_dir, results, text)
    origin.write(output_dir)
    _write_adaptation(origin, output_dir)
    notes = (*notes, *rows.notes, *_outdated(origin, table, files), *_flagged(rows.clinical))
    return TableAnalysis(cohort, tuple(results), notes, write_group_report(output_dir))


def _outdated(origin: Origin, table: TableInput, files: TableFiles) -> tuple[str, ...]:
    """A sentence when z was made from other values than the table holds now."""
    if origin.rows in (None, rows_digest(table.data)):
        return ()
    return (
        f"attention: {files.zscores.name} was made from other values than {files.table.name} holds now (age, sex, "
        "intracranial volume, FreeSurfer version or volumes); score it again unless that is meant",
    )


def _flagged(scored: pd.DataFrame) -> tuple[str, ...]:
    """A sentence when rows are in that training would leave out."""
    flagged = int(scored["qc_flag"].notna().sum()) if "qc_flag" in scored else 0
    if not flagged:
        return ()
    return (
        f"attention: qc_flag is filled in {flagged} of {len(scored)} rows, and they are in the results; remove the "
        "rows that failed quality control from TABLE",
    )


def _write_adaptation(origin: Origin, output_dir: Path) -> None:
    table = output_dir / ADAPTATION_TABLE
    if origin.adaptation:
        write_json(dict(origin.adaptation), output_dir / ADAPTATION_FILE)
        write_tsv(SiteAdaptation.from_dict(origin.adaptation).report(), table, REPORT_COLUMNS)
    elif table.exists():  # of an earlier run; an adaptation.json without this table is somebody else's
        for path in (output_dir / ADAPTATION_FILE, table, table.with_suffix(".json")):
            path.unlink(missing_ok=True)
