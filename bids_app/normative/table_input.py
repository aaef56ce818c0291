"""Model input from a plain table: column names, age and sex as people write them, nothing dropped silently."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bids_app import regions
from bids_app.bids.age_sex import is_missing, parse_age, parse_sex
from bids_app.bids.covariate_columns import find_roles
from bids_app.errors import CovariateError, InputError
from bids_app.regions import ETIV
from bids_app.tables import read_json, read_table

# The smallest adult eTIV is near 1e6 mm^3; a median below this is in another unit.
SMALLEST_MEDIAN_ETIV = 1e5
NAMED_AT_MOST = 5
IDENTIFIERS = ("participant_id", "session_id")


@dataclass(frozen=True)
class TableInput:
    """A table ready for a model.

    Parameters
    ----------
    data : DataFrame
        Model input (see ``docs/architecture.md``) with all other columns, index 0 to n - 1; ``age`` is NaN
        and ``sex`` None where they could not be read.
    id_columns : tuple of str
        Columns that are neither covariates nor regions, in the table's order.
    notes : tuple of str
        Sentences on what was renamed, read tolerantly or not understood.
    """

    data: pd.DataFrame
    id_columns: tuple[str, ...]
    notes: tuple[str, ...]


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
        When age, sex or eTIV is absent, or eTIV is not in mm^3.
    """
    mapping = dict(mapping or {})
    # an identifier such as 007 is no number
    table = read_table(path, text=[mapping.get(name, name) for name in IDENTIFIERS]).reset_index(drop=True)
    if table.empty:
        raise InputError(f"{Path(path).name} has no rows; give a table with one row per scan")
    table.columns = [str(name) for name in table.columns]
    table, notes = rename_columns(table, mapping, Path(path).name)
    sidecar = _sidecar(Path(path))
    age, age_notes = _age(table, sidecar, Path(path).name)
    sex, sex_notes = _sex(table, sidecar, sex_coding, Path(path).name)
    measures = [name for name in table.columns if _is_measure(name)]
    numbers, number_notes = _numbers(table, measures)
    _check_etiv(numbers, Path(path).name)
    covariates = {"age", "sex", age.name, sex.name}
    ids = tuple(name for name in table.columns if name not in covariates and name not in numbers)
    data = pd.concat([table[list(ids)], age.rename("age"), sex.rename("sex"), numbers], axis=1)
    return TableInput(data, ids, (*notes, *age_notes, *sex_notes, *number_notes))


def rename_columns(
    table: pd.DataFrame, mapping: Mapping[str, str], source: str
) -> tuple[pd.DataFrame, list[str]]:
    """Columns under the names used here: those of `mapping`, and regions that have another spelling.

    Raises
    ------
    InputError
        When `mapping` names a column that is not there, or two columns mean the same region; `source` names the file.
    """
    absent = [theirs for theirs in mapping.values() if theirs not in table.columns]
    if absent:
        raise InputError(f"{source} has no column {', '.join(absent)}; its columns are "
                         f"{', '.join(table.columns[:8])}{' ...' if len(table.columns) > 8 else ''}")
    clash = [ours for ours, theirs in mapping.items() if ours in table.columns and ours != theirs]
    table = table.drop(columns=clash).rename(columns={theirs: ours for ours, theirs in mapping.items()})
    known = {name: _known_name(name) for name in table.columns if not _is_measure(name)}
    found = {name: other for name, other in known.items() if other and other not in table.columns}
    duplicates = [name for name in found if list(found.values()).count(found[name]) > 1]
    if duplicates:
        raise InputError(f"columns {', '.join(duplicates)} of {source} mean the same measure; keep one of them")
    notes = [f"column {ours} was replaced by {mapping[ours]}, as asked" for ours in clash]
    if found:
        named = ", ".join(f"{name} as {other}" for name, other in list(found.items())[:NAMED_AT_MOST])
        more = f" and {len(found) - NAMED_AT_MOST} more" if len(found) > NAMED_AT_MOST else ""
        notes.append(f"{len(found)} column(s) were read under FreeSurfer 7's name: {named}{more}")
    return table.rename(columns=found), notes


def _is_measure(name: str) -> bool:
    return name in _MEASURES or name.startswith(regions.ASYMMETRY_PREFIX)


def _known_name(name: str) -> str | None:
    """The region or eTIV that another spelling of a column stands for."""
    for spelling in (name, name.replace(".", "-"), name.replace(".", "_")):
        if regions.canonical(spelling) in _MEASURES:
            return regions.canonical(spelling)
    return None


_MEASURES = frozenset(regions.names())


def _sidecar(path: Path) -> Mapping[str, Any]:
    sidecar = path.with_name(path.name.split(".")[0] + ".json")
    if not sidecar.is_file():
        return {}
    content = read_json(sidecar)
    return content if isinstance(content, dict) else {}


def _age(table: pd.DataFrame, sidecar: Mapping[str, Any], source: str) -> tuple[pd.Series, list[str]]:
    roles = find_roles(table.columns, sidecar).ages
    if not roles:
        raise CovariateError(f"{source} has no column of age in years; name it with --map age=COLUMN")
    column, _, units = next((role for role in roles if role[0] == "age"), roles[0])
    codes, cells = pd.factorize(table[column])
    read = [parse_age(cell, units) for cell in cells] + [(None, None)]
    values = pd.Series(np.array([age for age, _ in read], dtype=float)[codes], name=column)
    notes = [] if column == "age" else [f"age is taken from column {column}"]
    return values, notes + _remarks(codes, [note for _, note in read])


def _sex(
    table: pd.DataFrame, sidecar: Mapping[str, Any], coding: Mapping[str, str] | None, source: str
) -> tuple[pd.Series, list[str]]:
    roles = find_roles(table.columns, sidecar).sexes
    if not roles:
        raise CovariateError(f"{source} has no column of sex; name it with --map sex=COLUMN")
    column, levels = next((role for role in roles if role[0] == "sex"), roles[0])
    codes, cells = pd.factorize(table[column])
    read = [parse_sex(cell, coding or levels) for cell in cells] + [None]
    if not any(read):
        shown = ", ".join(str(cell) for cell in cells[:NAMED_AT_MOST]) or "all cells are empty"
        raise CovariateError(f"column {column} of {source} holds no readable sex ({shown}); explain its codes, "
                             "for example --sex-coding 1=male 2=female")
    refused = [f"sex '{cell}' is neither female nor male, or a code without --sex-coding"
               if value is None and not is_missing(cell) else None for cell, value in zip(cells, read)]
    values = pd.Series(np.array(read, dtype=object)[codes], name=column, dtype=object)
    notes = [] if column == "sex" else [f"sex is taken from column {column}"]
    return values, notes + _remarks(codes, [*refused, None])


def _remarks(codes: NDArray[np.intp], said: list[str | None]) -> list[str]:
    """What was said of each distinct cell (the last entry: missing), with the number of rows."""
    counts = np.bincount(codes % len(said), minlength=len(said))
    found = [(text, int(count)) for text, count in zip(said, counts) if text]
    rest = sum(count for _, count in found[NAMED_AT_MOST:])
    out = [f"{text} ({count} row(s))" for text, count in found[:NAMED_AT_MOST]]
    return out + ([f"{rest} more row(s) with other such values"] if rest else [])


def _numbers(table: pd.DataFrame, names: list[str]) -> tuple[pd.DataFrame, list[str]]:
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise InputError(f"the table has column {', '.join(twice)} twice; keep one of them")
    numbers = table[names].apply(pd.to_numeric, errors="coerce").astype(float)
    bad = numbers.isna() & table[names].notna()
    notes = [f"{int(bad[name].sum())} cell(s) of column {name} are not numbers and count as missing"
             for name in bad.columns[bad.any()]]
    return numbers.replace([np.inf, -np.inf], np.nan), notes


def _check_etiv(numbers: pd.DataFrame, source: str) -> None:
    if ETIV not in numbers:
        raise CovariateError(f"{source} has no column {ETIV} (intracranial volume, mm^3); name it with "
                             f"--map {ETIV}=COLUMN")
    median = numbers[ETIV].median()
    if median < SMALLEST_MEDIAN_ETIV:
        raise CovariateError(f"{ETIV} in {source} has a median of {median:.4g}; it must be in mm^3 "
                             "(cm^3 times 1000)")
