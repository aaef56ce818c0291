"""The group level on plain tables: descriptive tables, clinical statistics and report of people who were scored."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from bids_app.bids.group_files import FOLDER, group_file
from bids_app.bids.names import output_path
from bids_app.bids.sink import check_result_folder
from bids_app.clinical.analyses.group_tables import TABLE_STEPS
from bids_app.clinical.analysis import UNUSED, run_analysis
from bids_app.clinical.analysis_file import AUTO, SCORES, load_analysis, read_analysis
from bids_app.clinical.results import AnalysisResult, computed_methods, found_by, replace_results
from bids_app.clinical.scored_scans import ScoredScans, write_group_tables
from bids_app.clinical.tidy import write_tidy
from bids_app.errors import ModelError, UsageError
from bids_app.findings import Finding
from bids_app.normative.base import NormativeModel
from bids_app.normative.harmonise.adaptation import REPORT_COLUMNS, SiteAdaptation
from bids_app.normative.registry import load_model
from bids_app.regions import MEASURES, VOLUME, counted_among, counted_regions, measure_of
from bids_app.reports.pages.group import write_group_report
from bids_app.tables import write_json, write_tsv
from bids_app.workbench.score import DEFAULT_MODEL, Say, ScoreConfig, score_table
from bids_app.workbench.score_tables import Origin, read_origin, read_zscores, rows_digest
from bids_app.workbench.table_cohort import make_cohort, match_rows
from bids_app.workbench.table_findings import write_findings
from bids_app.workbench.table_input import TableChoice, TableInput

ZSCORES = "zscores.tsv"
NOTES = "zscores_notes.tsv"
FINDINGS = "group_findings.tsv"
ADAPTATION_FILE = "adaptation.json"


@dataclass(frozen=True, kw_only=True)
class AnalyseConfig(TableChoice):
    """What ``normvol-model analyse`` was asked to do.

    Parameters
    ----------
    output : Path
        Folder of tables and report.
    zscores : Path or None
        z of the same rows; None: the table is scored first.
    analysis : str
        Path of an analysis file, or ``auto``.
    visits : Path or None
        Clinical visits, with or without a scan.
    model, scoring, adapt_controls, adapt_by
        As in `Scoring`; None beside `zscores`.
    """

    output: Path
    zscores: Path | None = None
    analysis: str = AUTO
    visits: Path | None = None
    model: str | None = None
    scoring: Literal["own-sex", "reference-compat"] | None = None
    adapt_controls: str | None = None
    adapt_by: str | None = None

    def scoring_step(self) -> ScoreConfig:
        """The first of the two steps, as ``normvol-model score`` does it."""
        return ScoreConfig(
            **{item.name: getattr(self, item.name) for item in fields(TableChoice)},
            model=self.model or DEFAULT_MODEL,
            scoring=self.scoring,
            adapt_controls=self.adapt_controls,
            adapt_by=self.adapt_by,
            output=str(self.output / ZSCORES),
            counts=self.output / NOTES,
        )


@dataclass(frozen=True)
class TableAnalysis:
    """What was done: the scans, the results, sentences for the reader and the report."""

    scored: ScoredScans
    results: tuple[AnalysisResult, ...]
    notes: tuple[str, ...]
    report: Path
    findings: tuple[Finding, ...]


def analyse_table(config: AnalyseConfig, say: Say) -> TableAnalysis:
    """Everything that the group level of the BIDS-App writes and plain tables allow; scores first where needed.

    Files of an earlier run into the same folder are replaced, and removed when they have no successor.

    Raises
    ------
    InputError
        When the tables cannot be used or do not belong together.
    UsageError
        When the configuration, the folder or the analysis file is impossible.
    """
    _check(config)
    if config.zscores is None:
        config.output.mkdir(parents=True, exist_ok=True)
        scored_table = score_table(config.scoring_step(), say)
        for sentence in scored_table.sentences:
            say(sentence)
    z_file = config.zscores or config.output / ZSCORES
    table, findings = config.read(say if config.zscores else None, ())  # otherwise said while scoring
    zscores, notes = read_zscores(z_file, config.mapping)
    rows = match_rows(
        table, zscores, source=config.table.name, z_source=z_file.name, visits=config.visits, mapping=config.mapping
    )
    analysis, text = load_analysis(config.analysis, rows.clinical, rows.visits)
    origin = read_origin(z_file)
    scored = make_cohort(rows, origin.model, analysis.column("diagnosis"), z_file.name)
    scored = replace(scored, told=_told(origin, config.model, scored.scans, list(zscores)))
    results = run_analysis(
        rows.clinical,
        scored.zscores,
        analysis,
        visits=rows.visits,
        expected=scored.expected(),
        measured=scored.measured(_own_model(origin, config.model)),
    )
    write_group_tables(scored, config.output, TABLE_STEPS)
    write_tidy(
        scored, config.output, rows.clinical, [name for role in SCORES if (name := analysis.column(role)) is not None]
    )
    replace_results(config.output, results, text)
    origin.write(config.output, _programs(scored.scans), computed_methods(results))
    _write_adaptation(origin, config.output)
    found = found_by(results)
    known = {f"{finding.seen}." for finding in found}
    said = (text for text in results[0].sentences if not text.startswith(UNUSED) and text not in known)
    notes = (*notes, *rows.notes, *said, *_outdated(origin, table, config.table, z_file), *_flagged(rows.clinical))
    every = (*found, *(scored_table.findings if config.zscores is None else findings))
    write_findings(every, output_path(config.output, FINDINGS))
    return TableAnalysis(scored, tuple(results), notes, write_group_report(config.output), every)


def _check(config: AnalyseConfig) -> None:
    """Refuse what cannot work before anything is read or written."""
    asked = [name for name in ("model", "scoring", "adapt_controls", "adapt_by") if getattr(config, name)]
    if config.zscores and asked:
        option = asked[0].replace("_", "-")
        raise UsageError(f"--{option} says how to score, but --zscores gives scores", "use one of them")
    check_result_folder(config.output)
    output = config.output.resolve()
    for path in filter(None, (config.table, config.zscores, config.visits)):
        if path.name.startswith("group_") and path.resolve().parent in (output, output / FOLDER):
            raise UsageError(f"{path} lies in the output folder and has a name of its results", "name another folder")
    if config.analysis != AUTO:
        read_analysis(config.analysis)


def _told(
    origin: Origin, model: str | None, scans: pd.DataFrame, scored: Collection[str]
) -> tuple[Mapping[str, Any], ...]:
    """What the model's own healthy people show in place of each scan; none where the model is not at hand."""
    own = _own_model(origin, model)
    if own is None:
        return ()
    counted = {measure: set(counted_regions(measure)).intersection(scored) for measure in MEASURES}
    first, adapted = measure_of(next(iter(counted_among(scored)), "")), origin.adaptation is not None
    found = []
    for n, sex in scans[["n_regions", "sex"]].itertuples(index=False):
        numbers = {measure: len(regions) for measure, regions in counted.items() if regions} | {first: int(n)}
        told = {
            measure: {"expected": own.expected_counts(number, str(sex), adapted, measure) or {}}
            for measure, number in numbers.items()
        }
        found.append({"counts": told.pop(VOLUME, told.get(first)), "surface_counts": told})
    return tuple(found)


def _own_model(origin: Origin, model: str | None) -> NormativeModel | None:
    """The model that made the z; None where it is not at hand."""
    if origin.card is None:
        return None
    try:
        own = load_model(model or str(origin.card["name"]))
    except ModelError:
        return None
    return own if own.card.version == origin.card.get("version") else None


def _programs(scans: pd.DataFrame) -> dict[tuple[str, str], int]:
    """Version to the number of scans, where the table knows versions."""
    return {("freesurfer", str(version)): int(n) for version, n in scans["fs_version"].dropna().value_counts().items()}


def _outdated(origin: Origin, table: TableInput, source: Path, z_file: Path) -> tuple[str, ...]:
    """A sentence when z was made from other values than the table holds now."""
    if origin.rows in (None, rows_digest(table.data)):
        return ()
    return (
        f"attention: {z_file.name} was made from other values than {source.name} holds now (age, sex, "
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
    table = group_file(output_dir, "adaptation")
    if origin.adaptation:
        write_json(dict(origin.adaptation), output_path(output_dir, ADAPTATION_FILE))
        write_tsv(SiteAdaptation.from_dict(origin.adaptation).report(), table, REPORT_COLUMNS)
    elif table.exists():  # of an earlier run; an adaptation.json without this table is somebody else's
        for path in (output_dir / ADAPTATION_FILE, table, table.with_suffix(".json")):
            path.unlink(missing_ok=True)
