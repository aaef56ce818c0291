"""Model input from a plain table: column names, age and sex as people write them, nothing dropped silently."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from bids_app.bids.names import listed
from bids_app.errors import CovariateError, InputError
from bids_app.findings import Finding
from bids_app.freesurfer import segmentation
from bids_app.normative.base import NormativeModel
from bids_app.normative.plausible import typical_value, why_impossible, without_impossible
from bids_app.regions import (
    AREA,
    ASYMMETRY_PREFIX,
    ETIV,
    MEASURES,
    THICKNESS,
    VOLUME,
    counted_regions,
    measure_of,
    reference_regions,
    unit_of,
)
from bids_app.tables import read_json
from bids_app.workbench.table_columns import IDENTIFIERS, NAMED_AT_MOST, find_columns, is_measure
from bids_app.workbench.table_covariates import CovariateColumns, require_etiv
from bids_app.workbench.table_numbers import WORDS as STYLES
from bids_app.workbench.table_numbers import as_numbers
from bids_app.workbench.table_pieces import FrameFile, TableFile
from bids_app.workbench.table_survey import Doubles, Survey, Tally, typed

# The smallest adult eTIV is near 1e6 mm^3; a table in which most are below this is in another unit.
SMALLEST_USUAL_ETIV = 1e5
# Of the 82 reference volumes of healthy people, 3 in 100,000 are below this.
SMALLEST_USUAL_VOLUME = 50.0
VOLUMES = "volumes"
# Units of surfaces: thickness of regions is 0.67 to 4.6 mm in 3,812 healthy people, area 100 to 9,000 mm^2.
THICKNESS_MM, SMALLEST_USUAL_AREA = (0.5, 8.0), 60.0
# Area in mm^2 is a third of the volume in mm^3.
FRACTION_OF_USUAL, MULTIPLE_OF_USUAL = 0.5, 1.8
LIMITS = {VOLUME: (0.0,), THICKNESS: THICKNESS_MM, AREA: (SMALLEST_USUAL_AREA,)}
_REFERENCE = frozenset(reference_regions())


@dataclass(frozen=True)
class TableInput:
    """A table, or a piece of one, ready for a model.

    Parameters
    ----------
    data : DataFrame
        Model input (see ``docs/architecture.md``) with all other columns; ``age`` is NaN and ``sex`` None where
        they could not be read. The index is the position in the whole table.
    id_columns : tuple of str
        Columns that are neither covariates nor regions, in the table's order.
    notes : tuple of str
        Sentences on what was renamed, read tolerantly or not understood, in the whole table.
    ids : DataFrame
        The identifying columns as they are written in the table, as text; in `data` those other than
        `IDENTIFIERS` are numbers where every cell of the whole table is one.
    remarks : mapping
        Row (position in the piece) to sentences on its cells that cannot be.
    impossible : DataFrame of bool
        These cells (`plausible.impossible`).
    """

    data: pd.DataFrame
    id_columns: tuple[str, ...]
    notes: tuple[str, ...]
    ids: pd.DataFrame
    remarks: Mapping[int, list[str]] = field(default_factory=dict)
    impossible: pd.DataFrame = field(default_factory=pd.DataFrame)


@dataclass(frozen=True, kw_only=True)
class TableChoice:
    """A table of volumes and how its columns are read; every command on one adds to this.

    Parameters
    ----------
    table : Path
    mapping : mapping
        Name used here to the table's column.
    sex_coding : mapping
        Code in the table to ``female`` or ``male``.
    age_units : str or None
        Unit of ages without one; None: as the column's name or JSON dictionary says, otherwise years.
    """

    table: Path
    mapping: Mapping[str, str] = field(default_factory=dict)
    sex_coding: Mapping[str, str] = field(default_factory=dict)
    age_units: Literal["years", "months", "weeks", "days"] | None = None

    def reader(self, rows: int | None = None, models: Collection[NormativeModel] | None = None) -> TableReader:
        """The table in pieces of some rows, for `models` or, without, for any."""
        return TableReader(self.table, self.mapping, self.sex_coding, rows, self.age_units, models)

    def read(
        self, say: Callable[[str], None] | None = None, models: Collection[NormativeModel] | None = None
    ) -> tuple[TableInput, list[Finding]]:
        """The whole table and its findings; `say` is told what was read under another name."""
        reader = self.reader(None, models)
        if say is not None:
            for note in reader.notes:
                say(note)
        return next(reader.pieces()), reader.findings()


def read_model_table(
    path: Path | str | pd.DataFrame,
    mapping: Mapping[str, str] | None = None,
    sex_coding: Mapping[str, str] | None = None,
) -> TableInput:
    """Read a table of volumes as model input.

    Parameters
    ----------
    path : path-like or DataFrame
        TSV, CSV or Parquet; a JSON dictionary beside it explains units of age and codes of sex.
    mapping : mapping, optional
        Name used here (``age``, ``sex``, ``EstimatedTotalIntraCranialVol``, ``site``, a region) to the
        table's column. Older FreeSurfer names and R's ``Left.Thalamus`` are recognised without it.
    sex_coding : mapping, optional
        Code in the table to ``female`` or ``male``.

    Returns
    -------
    TableInput

    Raises
    ------
    InputError
        When the table cannot be read, has no rows or `mapping` does not fit it.
    CovariateError
        When age, sex or eTIV is absent, or eTIV or the volumes are not in mm^3.
    """
    return next(TableReader(path, mapping, sex_coding).pieces())


class TableReader:
    """A table of volumes that is read as model input in pieces, with the same result whatever their size.

    The whole table is looked through once at the start, piece by piece: what a column means and what cannot be used
    is known before the first piece is handed out.

    Parameters
    ----------
    path, mapping, sex_coding, age_units :
        As in `read_model_table`, with the same errors.
    rows : int, optional
        Rows of a piece; default: the whole table is one piece.
    models : collection of NormativeModel, optional
        What will score the table: eTIV may be absent where none of them uses it; default: where all is thickness.

    Attributes
    ----------
    n_rows : int
    notes : tuple of str
        Harmless remarks: what was read under another name or spelling.
    """

    def __init__(
        self,
        path: Path | str | pd.DataFrame,
        mapping: Mapping[str, str] | None = None,
        sex_coding: Mapping[str, str] | None = None,
        rows: int | None = None,
        age_units: str | None = None,
        models: Collection[NormativeModel] | None = None,
    ) -> None:
        in_memory = isinstance(path, pd.DataFrame)
        self._file: TableFile | FrameFile = FrameFile(path) if in_memory else TableFile(path)
        self._rows, self._source = rows, "the table" if in_memory else Path(path).name
        self._columns = find_columns(self._file.columns, dict(mapping or {}), self._source)
        names = self._columns.names
        _require_columns(names, self._source)
        sidecar = {} if in_memory else _sidecar(Path(path))
        self._covariates = CovariateColumns(names, sidecar, self._source, sex_coding, age_units)
        self._measures = [name for name in names if is_measure(name)]
        self._volumes = [name for name in self._measures if not name.startswith(ASYMMETRY_PREFIX)]
        covariates = {"age", "sex", *self._covariates.names}
        self.id_columns = tuple(name for name in names if name not in covariates and name not in self._measures)
        require_etiv(self._measures, self._source, models)
        self._only: pd.DataFrame | None = None
        self._survey = self._look_through()
        self.n_rows = self._survey.n_rows
        if self.n_rows == 0:
            raise InputError(f"{self._source} has no rows", "give a table with one row per scan")
        self._refuse_units()
        self.notes = (*self._columns.notes, *self._covariates.remarks(self._survey))
        self._tally, self._doubles = Tally(), Doubles()

    def unscored(self, model: NormativeModel) -> list[Finding]:
        """Thickness and area of the table that `model` does not know, by measure."""
        found = []
        for measure, unit in {measure_of(name): unit_of(name) for name in self._measures}.items():
            names = [name for name in self._measures if measure_of(name) == measure and name not in model.regions]
            if measure != VOLUME and names:
                shown = listed(self._columns.theirs(names), NAMED_AT_MOST)
                seen = f"{len(names)} column(s) of {measure} ({unit}) of {self._source} that {model.card.name} lacks"
                found.append(
                    Finding("columns-unused", f"{seen}: {shown}", remedy=f"--model open-{measure} scores them")
                )
        return found

    def findings(self) -> list[Finding]:
        """What can change a number, of the rows that were handed out so far."""
        columns, found = self._columns, []
        for name, (style, count, cell) in self._survey.forms.odd().items():
            if name in self._measures:
                found.append(_style_finding(name, style, count, cell))
        if columns.unused:
            shown = listed(columns.unused, NAMED_AT_MOST)
            found.append(Finding("columns-unused", f"{len(columns.unused)} column(s) of {self._source}: {shown}"))
        for name, several in columns.sources.items():
            if len(several) > 1:
                found.append(Finding("columns-joined", f"{name} is filled from the columns {' and '.join(several)}"))
        return [*found, *self._covariates.findings(self._survey), *self._tally.findings(), *self._doubles.findings()]

    def pieces(self) -> Iterator[TableInput]:
        """The table from its first row on, in pieces; at least one."""
        start, whole = 0, self._only
        self._tally, self._doubles = Tally(), Doubles()
        kept = self._columns.theirs(self._survey.text([*self._measures, *self._covariates.names]))
        numbers = self._columns.theirs(self._survey.numbers([*self._measures, *self._covariates.names]))
        pieces: Iterable[pd.DataFrame] = [whole] if whole is not None else self._pieces_again(kept, numbers)
        for piece in pieces:
            yield self._piece(piece, start)
            start += len(piece)

    def _pieces_again(self, text: tuple[str, ...], numbers: tuple[str, ...]) -> Iterator[pd.DataFrame]:
        for piece in self._file.pieces(self._rows, (*self._columns.theirs(self.id_columns), *text), numbers):
            yield self._columns.pick(piece)

    def _look_through(self) -> Survey:
        survey, start = Survey(), 0
        conflicts: dict[str, list[int]] = {}
        usual = [name for name in self._volumes if name in _REFERENCE]
        for piece in self._file.pieces(self._rows, self._columns.theirs(self.id_columns)):
            for name, rows in self._columns.conflicts(piece).items():
                conflicts[name] = [*conflicts.get(name, []), *(start + row for row in rows)]
            table = self._columns.pick(piece)
            self._only = table if survey.n_rows == 0 else None
            survey.see(table, self.id_columns, [*self._measures, *self._covariates.names])
            self._covariates.see(survey, table)
            if ETIV in table:
                survey.count_outside(ETIV, as_numbers(table[ETIV]), SMALLEST_USUAL_ETIV)
            survey.count_outside(VOLUMES, table[usual].apply(as_numbers), SMALLEST_USUAL_VOLUME)
            self._survey_measures(survey, table)
            start += len(piece)
        self._columns.refuse_conflicts(conflicts, self._source)
        return survey

    def _survey_measures(self, survey: Survey, table: pd.DataFrame) -> None:
        """Count what gives away another unit or measure than the column's name says."""
        for measure in MEASURES:
            named = [name for name in counted_regions(measure) if name in self._measures and "h_" in name[:3]]
            values = table[named].apply(as_numbers)
            usual = values / np.array([typical_value(name) for name in named], dtype=float)
            survey.count_outside(measure, values, *(LIMITS[measure]))
            survey.count_outside(f"usual {measure}", usual, FRACTION_OF_USUAL, MULTIPLE_OF_USUAL)

    def _refuse_units(self) -> None:
        """Refuse a table whose eTIV or volumes are in another unit in most rows."""
        if self._survey.share_below(ETIV) > 0.5:
            raise CovariateError(
                f"{ETIV} in {self._source} is mostly below {SMALLEST_USUAL_ETIV:g}",
                "it must be in mm^3 (cm^3 times 1000)",
            )
        if self._survey.share_below(VOLUMES) > 0.5:
            raise CovariateError(
                f"the volumes of {self._source} are mostly below {SMALLEST_USUAL_VOLUME:g}",
                "they must be in mm^3 (cm^3 times 1000), not divided by intracranial volume",
            )
        refuse_measures(self._survey, self._source)

    def _piece(self, table: pd.DataFrame, start: int) -> TableInput:
        index = pd.RangeIndex(start, start + len(table))
        table = table.set_axis(index)
        ids = table[list(self.id_columns)]
        # an identifier such as 007 is no number
        known = {
            name: ids[name] if name in IDENTIFIERS else typed(ids[name], self._survey.kinds[name])
            for name in self.id_columns
        }
        volumes, impossible, remarks = self._possible(table)
        covariates = {"age": self._covariates.ages(table), "sex": self._covariates.sexes(table)}
        data = pd.concat([pd.DataFrame(known, index=index), pd.DataFrame(covariates, index=index), volumes], axis=1)
        self._doubles.see(data, [name for name in self._volumes if name != ETIV])
        return TableInput(data, self.id_columns, self.notes, ids, remarks, impossible)

    def _possible(self, table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, dict[int, list[str]]]:
        """The measures as numbers without what cannot be, the mask of that, and what is said of such rows."""
        numbers = pd.DataFrame(
            {name: as_numbers(table[name], self._survey.forms.style(name)) for name in self._measures}
        )
        remarks: dict[int, list[str]] = {}
        unread = numbers.isna() & table[self._measures].notna()
        for name in unread.columns[unread.any()]:
            self._tally.add(
                "cell-not-a-number", f"{name} holds what is no number", table, unread[name].to_numpy(), table[name]
            )
        numbers = self._segmented(numbers, table, remarks)
        kept, impossible = without_impossible(numbers)
        for name in impossible.columns[impossible.any()]:
            reasons = numbers[name].where(impossible[name]).map(partial(why_impossible, name), na_action="ignore")
            for reason in reasons.dropna().unique():
                rows = (reasons == reason).to_numpy()
                self._tally.add("value-impossible", f"{name} is {reason}", table, rows, table[name])
                for row in np.flatnonzero(rows):
                    remarks.setdefault(int(row), []).append(f"{name} is {reason} and counts as missing.")
        return kept.replace([np.inf, -np.inf], np.nan), impossible, remarks

    def _segmented(self, numbers: pd.DataFrame, table: pd.DataFrame, remarks: dict[int, list[str]]) -> pd.DataFrame:
        """`numbers` with the zeros missing that stand for labels that SynthSeg does not have."""
        names = [name for name in segmentation.lacking(segmentation.SYNTHSEG) if name in numbers]
        zero = numbers[names] == 0
        if not zero.to_numpy().any():
            return numbers
        versions = table["fs_version"] if "fs_version" in table else pd.Series("", index=table.index)
        synthetic = [segmentation.chosen(str(version)) == segmentation.SYNTHSEG for version in versions]
        rows = np.array(synthetic) | (zero.all(axis=1).to_numpy() & (len(names) >= segmentation.TELLING))
        filled = [name for name in segmentation.FILLED if name in numbers]
        by_atlas = (numbers[filled] > 0).all(axis=1).to_numpy() & bool(filled)
        absent = zero & (rows & ~by_atlas)[:, None]
        for name in absent.columns[absent.any()]:
            self._tally.add("not-segmented", name, table, absent[name].to_numpy())
        for row in np.flatnonzero(absent.any(axis=1)):
            which = ", ".join(name for name in names if absent.iloc[row][name])
            remarks.setdefault(int(row), []).append(f"not segmented by SynthSeg, so missing: {which}.")
        return numbers.assign(**numbers[names].mask(absent))


def refuse_measures(survey: Survey, source: str) -> None:
    """Refuse thickness or area in another unit, and area as volume or volume as area, in most cells.

    Raises
    ------
    CovariateError
        Which, and what the unit must be.
    """
    below, above = survey.share_below(THICKNESS) > 0.5, survey.share_above(THICKNESS) > 0.5
    if below or above:
        raise CovariateError(
            f"thickness in {source} is mostly {'below' if below else 'above'} {THICKNESS_MM[int(above)]:g}",
            "it must be in mm",
        )
    if survey.share_below(AREA) > 0.5:
        raise CovariateError(f"area in {source} is mostly below {SMALLEST_USUAL_AREA:g}", "it must be in mm^2")
    if survey.share_below(f"usual {VOLUME}") > 0.5:
        raise CovariateError(
            f"cortical volumes in {source} are mostly below half of what is usual, as areas in mm^2 are",
            "give the grey-matter volume (GrayVol of aparc.stats, mm^3)",
        )
    if survey.share_above(f"usual {AREA}") > 0.5:
        raise CovariateError(
            f"areas in {source} are mostly far above what is usual, as volumes in mm^3 are",
            "give the surface area (SurfArea of aparc.stats, mm^2)",
        )


def _style_finding(name: str, style: str, count: int, cell: str) -> Finding:
    if style:
        words = f"{count} cell(s) of {name} are written with {STYLES[style]} (the first: {cell})"
        return Finding("numbers-in-local-style", words)
    return Finding("numbers-in-two-styles", f"{count} cell(s) of {name}, the first: {cell}")


def _require_columns(names: list[str], source: str) -> None:
    """Refuse a table whose header was not split."""
    marks = {",": "commas", ";": "semicolons", "\t": "tabs", " ": "spaces"}
    found = [words for mark, words in marks.items() if len(names) == 1 and names[0].strip().count(mark) > 1]
    if found:
        raise InputError(
            f"{source} is separated by {found[0]}, which does not fit the ending of its name",
            ".csv stands for commas or semicolons, .tsv for tabs",
        )


def _sidecar(path: Path) -> Mapping[str, Any]:
    sidecar = path.with_name(path.name.split(".")[0] + ".json")
    if not sidecar.is_file():
        return {}
    content = read_json(sidecar)
    return content if isinstance(content, dict) else {}
