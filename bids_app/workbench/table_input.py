"""Model input from a plain table: column names, age and sex as people write them, nothing dropped silently."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bids_app.bids.age_sex import is_missing, parse_age, parse_sex
from bids_app.bids.covariate_columns import find_roles
from bids_app.errors import CovariateError, InputError
from bids_app.regions import ASYMMETRY_PREFIX, ETIV, reference_regions
from bids_app.tables import read_json
from bids_app.workbench.table_columns import IDENTIFIERS, NAMED_AT_MOST, is_measure, our_names
from bids_app.workbench.table_pieces import TableFile
from bids_app.workbench.table_survey import Survey, typed

# The smallest adult eTIV is near 1e6 mm^3; a table in which most are below this is in another unit.
SMALLEST_USUAL_ETIV = 1e5
# Of the 82 reference volumes of healthy people, 3 in 100,000 are below this.
SMALLEST_USUAL_VOLUME = 50.0
VOLUMES = "volumes"
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
    """

    data: pd.DataFrame
    id_columns: tuple[str, ...]
    notes: tuple[str, ...]
    ids: pd.DataFrame

    @property
    def labelled(self) -> pd.DataFrame:
        """`data` with the identifying columns as text, so that ``01`` stays ``01``."""
        return self.data.assign(**{name: self.ids[name] for name in self.id_columns})


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
    """

    table: Path
    mapping: Mapping[str, str] = field(default_factory=dict)
    sex_coding: Mapping[str, str] = field(default_factory=dict)

    def reader(self, rows: int | None = None) -> TableReader:
        """The table in pieces of some rows."""
        return TableReader(self.table, self.mapping, self.sex_coding, rows)

    def read(self) -> TableInput:
        """The whole table."""
        return read_model_table(self.table, self.mapping, self.sex_coding)


def read_model_table(
    path: Path | str, mapping: Mapping[str, str] | None = None, sex_coding: Mapping[str, str] | None = None
) -> TableInput:
    """Read a table of volumes as model input.

    Parameters
    ----------
    path : path-like
        TSV, CSV or Parquet; a JSON dictionary beside it explains units of age and codes of sex.
    mapping : mapping, optional
        Name used here (``age``, ``sex``, ``EstimatedTotalIntraCranialVol``, ``site``, a region) to the
        table's column. Older FreeSurfer names and R's ``Left.Thalamus`` are recognised without it.
    sex_coding : mapping, optional
        Code in the table to ``female`` or ``male``.

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

    The whole table is looked through once at the start, piece by piece: what a column holds, what has to be said
    and what cannot be used is known before the first piece is handed out.

    Parameters
    ----------
    path, mapping, sex_coding :
        As in `read_model_table`, with the same errors.
    rows : int, optional
        Rows of a piece; default: the whole table is one piece.

    Attributes
    ----------
    n_rows : int
    notes : tuple of str
    """

    def __init__(
        self,
        path: Path | str,
        mapping: Mapping[str, str] | None = None,
        sex_coding: Mapping[str, str] | None = None,
        rows: int | None = None,
    ) -> None:
        self._file, self._rows, self._source = TableFile(path), rows, Path(path).name
        self._names, notes = our_names(self._file.columns, dict(mapping or {}), self._source)
        names = list(self._names.values())
        _require_columns(names, self._source)
        self._roles(names, _sidecar(Path(path)), sex_coding)
        self._measures = [name for name in names if is_measure(name)]
        self._volumes = [name for name in self._measures if not name.startswith(ASYMMETRY_PREFIX)]
        self._usual = [name for name in self._volumes if name in _REFERENCE]
        covariates = {"age", "sex", self._age_column, self._sex_column}
        self.id_columns = tuple(name for name in names if name not in covariates and name not in self._measures)
        _require_etiv(self._measures, self._source)
        self._only: pd.DataFrame | None = None
        self._survey = self._look_through()
        self.n_rows = self._survey.n_rows
        if self.n_rows == 0:
            raise InputError(f"{self._source} has no rows", "give a table with one row per scan")
        self.notes = (*notes, *self._remarks())

    def pieces(self) -> Iterator[TableInput]:
        """The table from its first row on, in pieces; at least one."""
        start = 0
        kept = self._names_of(self._survey.text(self._measures + self._covariates()))
        numbers = self._names_of(self._survey.numbers(self._measures + self._covariates()))
        whole = self._only
        pieces = (
            iter([whole])
            if whole is not None
            else self._file.pieces(self._rows, (*self._names_of(list(self.id_columns)), *kept), numbers)
        )
        for piece in pieces:
            yield self._piece(piece if piece is whole else self._ours(piece), start)
            start += len(piece)

    def _roles(self, names: list[str], sidecar: Mapping[str, Any], sex_coding: Mapping[str, str] | None) -> None:
        roles = find_roles(names, sidecar)
        if not roles.ages:
            raise CovariateError(f"{self._source} has no column of age in years", "name it with --map age=COLUMN")
        if not roles.sexes:
            raise CovariateError(f"{self._source} has no column of sex", "name it with --map sex=COLUMN")
        self._age_column, _, self._units = next((role for role in roles.ages if role[0] == "age"), roles.ages[0])
        self._sex_column, levels = next((role for role in roles.sexes if role[0] == "sex"), roles.sexes[0])
        self._levels = sex_coding or levels

    def _look_through(self) -> Survey:
        survey = Survey()
        for piece in self._file.pieces(self._rows, self._names_of(list(self.id_columns))):
            table = self._ours(piece)
            self._only = table if survey.n_rows == 0 else None
            survey.see(table, self.id_columns, [*self._measures, *self._covariates()])
            survey.count("age", *self._read_age(table)[1:])
            survey.count("sex", *self._read_sex(table)[1:])
            survey.count_negative(table[self._volumes])
            survey.count_below(ETIV, table[[ETIV]], SMALLEST_USUAL_ETIV)
            survey.count_below(VOLUMES, table[self._usual], SMALLEST_USUAL_VOLUME)
        return survey

    def _remarks(self) -> list[str]:
        """What was seen in the whole table, in words.

        Raises
        ------
        CovariateError
            When nobody's sex can be read, or eTIV or the volumes are in another unit.
        """
        survey = self._survey
        if not survey.understood["sex"]:
            shown = ", ".join(survey.cells["sex"]) or "all cells are empty"
            raise CovariateError(
                f"column {self._sex_column} of {self._source} holds no readable sex ({shown})",
                "explain its codes, for example --sex-coding 1=male 2=female",
            )
        if survey.mostly_below(ETIV):
            raise CovariateError(
                f"{ETIV} in {self._source} is mostly below {SMALLEST_USUAL_ETIV:g}",
                "it must be in mm^3 (cm^3 times 1000)",
            )
        if survey.mostly_below(VOLUMES):
            raise CovariateError(
                f"the volumes of {self._source} are mostly below {SMALLEST_USUAL_VOLUME:g}",
                "they must be in mm^3 (cm^3 times 1000), not divided by intracranial volume",
            )
        out = [] if self._age_column == "age" else [f"age is taken from column {self._age_column}"]
        out += survey.sentences("age")
        out += [] if self._sex_column == "sex" else [f"sex is taken from column {self._sex_column}"]
        out += survey.sentences("sex")
        out += [
            f"{count} cell(s) of column {name} are not numbers and count as missing"
            for name, count in survey.bad.items()
            if count and name in self._measures
        ]
        return out + [
            f"{count} volume(s) of column {name} are below zero and count as missing"
            for name, count in survey.negative.items()
            if count
        ]

    def _piece(self, table: pd.DataFrame, start: int) -> TableInput:
        index = pd.RangeIndex(start, start + len(table))
        ids = table[list(self.id_columns)].set_axis(index)
        # an identifier such as 007 is no number
        known = {
            name: ids[name] if name in IDENTIFIERS else typed(ids[name], self._survey.kinds[name])
            for name in self.id_columns
        }
        numbers = table[self._measures].apply(pd.to_numeric, errors="coerce").astype(float).set_axis(index)
        numbers[self._volumes] = numbers[self._volumes].where(~(numbers[self._volumes] < 0))
        parts = [
            pd.DataFrame(known, index=index),
            pd.DataFrame(
                {
                    "age": self._read_age(table)[0],
                    "sex": pd.Series(self._read_sex(table)[0], index=index, dtype=object),
                },
                index=index,
            ),
            numbers.replace([np.inf, -np.inf], np.nan),
        ]
        return TableInput(pd.concat(parts, axis=1), self.id_columns, self.notes, ids)

    def _read_age(self, table: pd.DataFrame) -> tuple[Any, dict[str, int], bool, list[str]]:
        """Ages, the remarks on cells with their number of rows, whether any was read, and the first cells."""
        codes, cells = pd.factorize(table[self._age_column])
        read = [parse_age(_without_type(cell), self._units) for cell in cells] + [(None, None)]
        values = np.array([age for age, _ in read], dtype=float)[codes]
        return values, _counted(codes, [note for _, note in read]), bool(np.isfinite(values).any()), _first(cells)

    def _read_sex(self, table: pd.DataFrame) -> tuple[Any, dict[str, int], bool, list[str]]:
        """As `_read_age`, for sex."""
        codes, cells = pd.factorize(table[self._sex_column])
        cells = [_without_type(cell) for cell in cells]
        read = [parse_sex(cell, self._levels) for cell in cells] + [None]
        refused = [
            f"sex '{cell}' is neither female nor male, or a code without --sex-coding"
            if value is None and not is_missing(cell)
            else None
            for cell, value in zip(cells, read)
        ]
        return np.array(read, dtype=object)[codes], _counted(codes, [*refused, None]), any(read), _first(cells)

    def _covariates(self) -> list[str]:
        return [self._age_column, self._sex_column]

    def _ours(self, piece: pd.DataFrame) -> pd.DataFrame:
        """The columns that are used, under the names used here."""
        return piece[list(self._names)].set_axis(list(self._names.values()), axis=1)

    def _names_of(self, ours: list[str]) -> tuple[str, ...]:
        """The table's own names of columns."""
        wanted = set(ours)
        return tuple(theirs for theirs, name in self._names.items() if name in wanted)


def _require_columns(names: list[str], source: str) -> None:
    """Refuse a table whose header was not split."""
    marks = {",": "commas", ";": "semicolons", "\t": "tabs"}
    found = [words for mark, words in marks.items() if len(names) == 1 and names[0].count(mark) > 1]
    if found:
        raise InputError(
            f"{source} is separated by {found[0]}, which does not fit the ending of its name",
            ".csv stands for commas or semicolons, .tsv for tabs",
        )


def _require_etiv(measures: list[str], source: str) -> None:
    if ETIV not in measures:
        raise CovariateError(
            f"{source} has no column {ETIV} (intracranial volume, mm^3)", f"name it with --map {ETIV}=COLUMN"
        )


def _without_type(cell: Any) -> Any:
    """A whole number without the ``.0`` that a missing cell elsewhere in its column gives it."""
    return int(cell) if isinstance(cell, float) and cell.is_integer() else cell


def _first(cells: Any) -> list[str]:
    return [str(cell) for cell in cells[:NAMED_AT_MOST]]


def _counted(codes: Any, said: list[str | None]) -> dict[str, int]:
    """What was said of each distinct cell (the last entry: missing), with the number of rows."""
    counts = np.bincount(codes % len(said), minlength=len(said))
    out: dict[str, int] = {}
    for text, count in zip(said, counts):
        if text:
            out[text] = out.get(text, 0) + int(count)
    return out


def _sidecar(path: Path) -> Mapping[str, Any]:
    sidecar = path.with_name(path.name.split(".")[0] + ".json")
    if not sidecar.is_file():
        return {}
    content = read_json(sidecar)
    return content if isinstance(content, dict) else {}
