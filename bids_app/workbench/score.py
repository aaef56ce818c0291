"""Score a table: the z of every region of every row, in pieces of bounded size."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bids_app.errors import UsageError
from bids_app.findings import Finding
from bids_app.normative.base import Deviations, NormativeModel
from bids_app.normative.harmonise.adaptation import REPORT_COLUMNS, SiteAdaptation, unadapted_warning
from bids_app.normative.plausible import too_young
from bids_app.normative.registry import load_model
from bids_app.normative.structure import structure
from bids_app.regions import add_asymmetry
from bids_app.selection import select_rows
from bids_app.tables import write_json, write_tsv
from bids_app.workbench.score_outputs import CommonNotes, ScoreOutputs, row_notes
from bids_app.workbench.score_tables import Origin, describe_scores, write_description
from bids_app.workbench.second import SecondOpinion
from bids_app.workbench.table_columns import IDENTIFIERS
from bids_app.workbench.table_findings import write_findings
from bids_app.workbench.table_input import TableChoice, TableInput, TableReader
from bids_app.workbench.table_survey import Tally

DEFAULT_MODEL = "open-calibrated"
CHUNK_ROWS = 50_000
TOO_YOUNG = "age is more than a year below the youngest of the model's training data and counts as missing."
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """How z is made.

    Parameters
    ----------
    model : str
        A packaged model's name, a model file or folder.
    scoring : str or None
        None: the model's own.
    adapt_controls : str or None
        Condition (`selection`) that picks local healthy people among the rows.
    adapt_by : str or None
        Column; one adaptation per level.
    """

    model: str = DEFAULT_MODEL
    scoring: Literal["own-sex", "reference-compat"] | None = None
    adapt_controls: str | None = None
    adapt_by: str | None = None


@dataclass(frozen=True, kw_only=True)
class ScoreConfig(TableChoice, Scoring):
    """What ``normvol-model score`` was asked to do.

    Parameters
    ----------
    output : str
        Table of z; ``-`` is standard output.
    second_model : str or None
        Its z, and the deviations on which it disagrees, are written beside.
    se, centiles, counts : Path or None
        Tables of standard errors, centiles, and deviations per row with notes.
    chunk_rows : int
        Rows in memory at a time; no output depends on it.
    adaptation, findings : Path or None
        Files for the adaptation, and for what can change a number.
    """

    output: str = "-"
    second_model: str | None = None
    se: Path | None = None
    centiles: Path | None = None
    counts: Path | None = None
    chunk_rows: int = CHUNK_ROWS
    adaptation: Path | None = None
    findings: Path | None = None


@dataclass(frozen=True)
class Scored:
    """What became of the rows, and sentences on what is missing or unusual."""

    n_rows: int
    unscored: int
    sentences: tuple[str, ...]
    findings: tuple[Finding, ...]


def score_table(config: ScoreConfig, say: Say) -> Scored:
    """Score and write piece by piece; `say` is told what is read and how far it is.

    Raises
    ------
    InputError, ModelError, UsageError
        When the table, the model or the configuration cannot be used; then no file appears.
    """
    model = _model(config)
    second = None if config.second_model is None else load_model(config.second_model)
    table = config.reader(config.chunk_rows, [model] if second is None else [model, second])
    for note in table.notes:
        say(note)
    adaptation = _adaptation(config, model, table, say)
    if adaptation is None and model.card.adaptation_allowed:
        say(unadapted_warning(model))
    with ExitStack() as stack:
        paths = {"z": config.output, "z_se": config.se, "centile": config.centiles, "counts": config.counts}
        files = {name: path for name, path in paths.items() if path}
        tally, outputs = Tally(), ScoreOutputs(files, model, adaptation, stack)
        beside = None if second is None else _second_opinion(config, model, second, table, stack)
        for piece in table.pieces():
            data, remarks = _scorable(model, piece, tally)
            found = model.deviations(data, adaptation)
            outputs.write(piece.ids, data, found, remarks)
            if beside is not None:
                beside.write(piece.ids, data, found)
            if table.n_rows > config.chunk_rows:
                say(f"{outputs.n_rows} of {table.n_rows} rows scored")
    if config.output != "-":
        _describe(config, table, outputs, model, adaptation, say)
    findings = (*table.findings(), *table.unscored(model), *tally.findings(), *outputs.findings())
    if config.findings:
        write_findings(findings, config.findings)
    sentences = (*outputs.sentences(), *([beside.sentence()] if beside else ()))
    return Scored(outputs.n_rows, outputs.unscored, sentences, findings)


def _second_opinion(
    config: ScoreConfig, model: NormativeModel, second: NormativeModel, table: TableReader, stack: ExitStack
) -> SecondOpinion:
    adapted = config.adapt_controls and second.card.adaptation_allowed
    adaptation = SiteAdaptation.fit(second, _controls(config, second, table), config.adapt_by) if adapted else None
    return SecondOpinion(config.output, model, second, adaptation, stack)


def score_frame(
    table: TableReader, model: NormativeModel, adaptation: SiteAdaptation | None = None
) -> tuple[Deviations, tuple[Finding, ...]]:
    """Score a whole table in memory: deviations with the rows' identifiers and notes, and what can change a number."""
    piece = next(table.pieces())
    tally, common = Tally(), CommonNotes()
    data, remarks = _scorable(model, piece, tally)
    data = _identified(data)
    found = model.deviations(data, adaptation)
    notes = row_notes(found, data, adaptation)
    common.add(notes)
    whole = tuple(" ".join(filter(None, (*remarks.get(row, ()), note))) for row, note in enumerate(notes))
    scans = piece.ids[[name for name in IDENTIFIERS if name in piece.ids]]
    findings = (*table.findings(), *tally.findings(), *common.findings())
    return replace(found, notes=whole, scans=scans), findings


def fit_adaptation(table: TableReader, model: NormativeModel, by: str | None = None) -> SiteAdaptation:
    """The adaptation to the healthy people of a table in memory."""
    return SiteAdaptation.fit(model, _identified(_model_input(model, next(table.pieces()))), by)


def _identified(data: pd.DataFrame) -> pd.DataFrame:
    """Model input whose people are told apart by what was measured where nothing else does.

    A row number would not do: controls and patients may come from two tables that both start with row 0.
    """
    if "participant_id" in data:
        return data
    return data.assign(participant_id=pd.util.hash_pandas_object(data.astype(str), index=False).astype(str))


def _scorable(model: NormativeModel, piece: TableInput, tally: Tally) -> tuple[pd.DataFrame, dict[int, list[str]]]:
    """Model input of a piece without the ages that are too low, and what is said of its rows."""
    data = _model_input(model, piece)
    young = _young_people(model, data, tally)
    remarks = {int(row): [TOO_YOUNG] for row in np.flatnonzero(young)} | dict(piece.remarks)
    return data.assign(age=data["age"].mask(young)), remarks


def _young_people(model: NormativeModel, data: pd.DataFrame, tally: Tally) -> NDArray[np.bool_]:
    """Rows (bool) of people who are too young for the model; `tally` takes them in."""
    young = too_young(data["age"], data["sex"], model.card.age_range)
    tally.add("age-below-model", TOO_YOUNG.split(" and ")[0], data, young, data["age"])
    return young


def _model(config: ScoreConfig) -> NormativeModel:
    model = load_model(config.model)
    return model if config.scoring is None else model.with_scoring(config.scoring)


def _describe(
    config: ScoreConfig,
    table: TableReader,
    outputs: ScoreOutputs,
    model: NormativeModel,
    adaptation: SiteAdaptation | None,
    say: Say,
) -> None:
    """The JSON beside z: its columns and what made them; ``normvol-model analyse`` reads it."""
    path = Path(config.output)
    how, made = adaptation.to_dict() if adaptation else None, (structure(model), model.regions)
    origin = Origin(model.card.to_json(), config.scoring or model.card.scoring, how, outputs.digest.hexdigest(), *made)
    if write_description(describe_scores(table.id_columns, outputs.names, origin), path) is None:
        say(
            f"{path.with_suffix('.json')} is a file of another origin and was left alone; with another -o the table "
            "gets a description of its columns and model"
        )


def _model_input(model: NormativeModel, piece: TableInput) -> pd.DataFrame:
    # Identifiers as text, so that 01 stays 01
    data = piece.data.assign(**{name: piece.ids[name] for name in piece.id_columns})
    return add_asymmetry(data) if any(name.startswith("asymmetry_") for name in model.regions) else data


def _controls(config: ScoreConfig, model: NormativeModel, table: TableReader) -> pd.DataFrame:
    """Model input of the rows that --adapt-controls selects."""
    query, pieces = str(config.adapt_controls), table.pieces()
    return pd.concat([_model_input(model, piece)[select_rows(piece.data, query)] for piece in pieces])


def _adaptation(config: ScoreConfig, model: NormativeModel, table: TableReader, say: Say) -> SiteAdaptation | None:
    if not config.adapt_controls:
        if config.adapt_by or config.adaptation:
            raise UsageError("--adapt-by and --adaptation need --adapt-controls QUERY")
        return None
    adaptation = SiteAdaptation.fit(model, _controls(config, model, table), config.adapt_by)
    for key, level in adaptation.levels.items():
        say(f"adapted to scanner {key} on {len(level.people)} controls")
    if config.adaptation:
        write_json(adaptation.to_dict(), config.adaptation)
        beside = config.adaptation.with_name(config.adaptation.stem + "_regions.tsv")
        write_tsv(adaptation.report(), beside, REPORT_COLUMNS)
    return adaptation
