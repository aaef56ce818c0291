"""A cohort from plain tables: volumes and clinical columns in one, z in another; no BIDS dataset."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bids_app.bids.age_sex import parse_age
from bids_app.bids.covariate_columns import GROUP_COLUMNS, SITE_COLUMNS
from bids_app.bids.phenotypes import years_from_first
from bids_app.clinical.analyses.group_tables import INCLUSION_COLUMNS, SCAN_COLUMNS, first_named
from bids_app.clinical.deviations import count_table
from bids_app.clinical.scored_scans import KEYS, ScoredScans
from bids_app.clinical.values import from_lines, labels
from bids_app.errors import InputError
from bids_app.regions import ETIV, counted_among, names
from bids_app.tables import read_table
from bids_app.workbench.table_columns import rename_columns
from bids_app.workbench.table_input import TableInput

# Line 1 of a table is its header
FIRST_LINE = 2
NAMED_AT_MOST = 5
AGE_DIGITS = 2
COMPLETE = "complete the row and score the table again"
SEE_SCORE = "see what normvol-model score said of the table"
WORDS = {"age": "age", "sex": "sex", ETIV: "intracranial volume"}


@dataclass(frozen=True)
class TableRows:
    """The rows of a table and their z-scores, all checked to belong together.

    Parameters
    ----------
    data : DataFrame
        Model input with all other columns, one row per scan.
    zscores : DataFrame
        ``participant_id session_id`` and z, the same rows in the same order.
    visits : DataFrame
        ``participant_id session_id age sex etiv_mm3`` and every clinical column; the rows of `data` first, in
        their order, then visits without a scan.
    notes : tuple of str
        Sentences on what was ignored.
    source : str or None
        The file whose lines the rows are, for messages; None where clinical columns come from two files.
    """

    data: pd.DataFrame
    zscores: pd.DataFrame
    visits: pd.DataFrame
    notes: tuple[str, ...] = ()
    source: str | None = None

    @property
    def scored(self) -> np.ndarray:
        """Whether each row has a z in a counted region.

        Returns
        -------
        (n,) bool array
            For the rows of `data`.
        """
        regions = counted_among(self.zscores)
        return np.asarray(self.zscores[regions].notna().any(axis=1))

    @property
    def clinical(self) -> pd.DataFrame:
        """The clinical columns of the scored rows, numbered anew from 0.

        Returns
        -------
        DataFrame
            As `visits`; its attrs name the lines of `source` where that is known.
        """
        table = self.visits.iloc[: len(self.data)][self.scored].reset_index(drop=True)
        if self.source:
            table.attrs = from_lines(self.source, np.flatnonzero(self.scored) + FIRST_LINE)
        return table


def match_rows(
    table: TableInput,
    zscores: pd.DataFrame,
    *,
    source: str,
    z_source: str,
    visits: Path | None = None,
    mapping: Mapping[str, str] | None = None,
) -> TableRows:
    """Bring z-scores into the order of the rows that they belong to, by identifiers and never by position.

    Parameters
    ----------
    table : TableInput
        Volumes and clinical columns, with ``participant_id`` and, for repeated scans, ``session_id``.
    zscores : DataFrame
        As `score_tables.read_zscores` reads it.
    source, z_source : str
        Names of the two files, for messages.
    visits : Path, optional
        Table of clinical visits, with or without a scan.
    mapping : mapping, optional
        Name used here to a column of `visits`.

    Returns
    -------
    TableRows

    Raises
    ------
    InputError
        When identifiers are absent, empty or double, or the two tables do not hold the same rows.
    """
    by_session = "session_id" in table.data and "session_id" in zscores
    columns = KEYS if by_session else KEYS[:1]
    ours, theirs = (_keys(part, columns, name) for part, name in ((table.data, source), (zscores, z_source)))
    place = {key: row for row, key in enumerate(theirs)}
    _check_same(ours, theirs, source, z_source)
    data = table.data.drop(columns=KEYS, errors="ignore")
    ids = _identifiers(table.data)
    z = zscores.drop(columns=KEYS, errors="ignore").iloc[[place[key] for key in ours]].reset_index(drop=True)
    own = [name for name in table.id_columns if name not in (*KEYS, "etiv_mm3")]
    rows = pd.concat(
        [ids, data[["age", "sex"]], data.reindex(columns=[ETIV])[ETIV].rename("etiv_mm3"), data[own]], axis=1
    )
    every, notes = (rows, ()) if visits is None else _with_visits(rows, visits, mapping or {})
    every, alone = _on_one_clock(every, visits), source if visits is None else None
    if alone:
        every.attrs = from_lines(alone, np.arange(len(every)) + FIRST_LINE)
    return TableRows(pd.concat([ids, data], axis=1), pd.concat([ids, z], axis=1), every, notes, alone)


def make_cohort(rows: TableRows, model: str | None, diagnosis: str | None, z_source: str) -> ScoredScans:
    """The cohort of the scored rows; the others stay in its ``inclusion`` with their reason.

    Parameters
    ----------
    model : str or None
        Name and version of the model, where known.
    diagnosis : str or None
        Column that splits the descriptive tables; otherwise a column with one of the usual names is taken.

    Raises
    ------
    InputError
        When no row was scored.
    """
    scored = rows.scored
    if not scored.any():
        raise InputError(f"no row of {z_source} has a z", SEE_SCORE)
    data, z = rows.data[scored].reset_index(drop=True), rows.zscores[scored].reset_index(drop=True)
    scans = pd.concat(
        [data[[*KEYS, "age", "sex"]], data.reindex(columns=[ETIV])[ETIV].rename("etiv_mm3"), count_table(z)], axis=1
    )
    told = {name: labels(data[name]) if name in data else None for name in ("fs_version", "flavour", "stream")}
    scans = scans.assign(quality=None, **told, model=model)
    scans = scans.reindex(columns=list(SCAN_COLUMNS))
    clinical = rows.clinical
    origin = {}
    for name, candidates in (("group", GROUP_COLUMNS), ("site", SITE_COLUMNS)):
        column = diagnosis if name == "group" and diagnosis in clinical else first_named(clinical, candidates)
        if column is not None:
            scans[name] = origin[column] = labels(clinical[column])
    reference = counted_among(z)
    others = [name for name in z.columns if name not in (*KEYS, *reference)]
    measures = [name for name in names() if name in data and name != ETIV]
    return ScoredScans(
        (),
        scans,
        z[[*KEYS, *reference]],
        z[[*KEYS, *others]],
        data[[*KEYS, *measures]],
        _inclusion(rows, scored, z_source),
        pd.DataFrame(origin),
    )


def _identifiers(table: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {name: labels(table[name]) if name in table else None for name in KEYS}, index=table.index, dtype=object
    )


def _keys(table: pd.DataFrame, columns: Sequence[str], source: str) -> list[tuple[str | None, ...]]:
    """The identifiers of every row, refused when they do not identify it."""
    if "participant_id" not in table:
        raise InputError(f"{source} has no column participant_id", "name it with --map participant_id=COLUMN")
    ids = _identifiers(table)[["participant_id", *columns[1:]]]
    empty = np.flatnonzero(ids["participant_id"].isna())
    if len(empty):
        raise InputError(
            f"{source} has no participant_id in {_listed([f'line {row + 2}' for row in empty])}", "fill it in"
        )
    keys = [tuple(row) for row in ids.itertuples(index=False, name=None)]
    double = ids[pd.Series(keys).duplicated().to_numpy()]
    if len(double):
        how = (
            "keep one row per scan"
            if "session_id" in columns
            else "tell scans of one person apart by session_id (--map session_id=COLUMN) in both tables"
        )
        raise InputError(f"{source} has more than one row of {_listed(map(_shown, double.to_numpy()))}", f"{how}")
    return keys


def _check_same(ours: list[Any], theirs: list[Any], source: str, z_source: str) -> None:
    """Refuse tables that do not hold the same rows: z of other people, or of an earlier state of the table."""
    only_ours, only_theirs = (_without(first, second) for first, second in ((ours, theirs), (theirs, ours)))
    found = [
        f"{len(keys)} only in {name} ({_listed(map(_shown, keys))})"
        for keys, name in ((only_ours, source), (only_theirs, z_source))
        if keys
    ]
    if found:
        raise InputError(
            f"{source} and {z_source} do not hold the same rows: {', '.join(found)}",
            f"run normvol-model score on {source} again",
        )


def _without(keys: list[Any], others: list[Any]) -> list[Any]:
    known = set(others)
    return [key for key in keys if key not in known]


def _shown(key: Iterable[Any]) -> str:
    return " ".join(str(part) for part in key if isinstance(part, str))


def _listed(words: Iterable[str]) -> str:
    found = list(dict.fromkeys(words))
    more = f" and {len(found) - NAMED_AT_MOST} more" if len(found) > NAMED_AT_MOST else ""
    return ", ".join(found[:NAMED_AT_MOST]) + more


def _inclusion(rows: TableRows, scored: np.ndarray, z_source: str) -> pd.DataFrame:
    """What became of every row, in the table's order."""
    measured = counted_among(rows.data)
    volumes = rows.data[measured].notna().any(axis=1).to_numpy() if measured else np.ones(len(rows.data), dtype=bool)
    lines = []
    for values, known, has_volumes in zip(rows.data.to_dict("records"), scored, volumes):
        missing = [word for name, word in WORDS.items() if name in values and pd.isna(values[name])]
        if known:
            what: tuple[str | None, ...] = ("scored", "done", None, None)
        elif missing:
            what = ("omitted", "covariates", f"no readable {' and '.join(missing)} in the table", COMPLETE)
        elif not has_volumes:
            what = ("omitted", "volumes", "no volume of a reference region in the table", COMPLETE)
        else:
            what = ("omitted", "score", f"{z_source} holds no z of this row", SEE_SCORE)
        lines.append([*(values[name] for name in KEYS), *what])
    return pd.DataFrame(lines, columns=list(INCLUSION_COLUMNS), dtype=object)


def _with_visits(rows: pd.DataFrame, path: Path, mapping: Mapping[str, str]) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """`rows` completed by the columns of a table of visits, then its visits without a scan.

    A visit is a scan's when their session agrees or, in a table without sessions, their age (to 0.01 years).
    """
    visits = _read_visits(path, mapping)
    unknown = ~visits["participant_id"].isin(rows["participant_id"])
    notes = (f"{int(unknown.sum())} row(s) of {path.name} are of people who are not in TABLE and were not used",)
    visits = visits[~unknown].reset_index(drop=True)
    by = "session_id" if visits["session_id"].notna().any() else "age"
    place = {key: row for row, key in enumerate(_visit_keys(rows, by))}
    at = np.array([place.get(key, -1) for key in _visit_keys(visits, by)], dtype=int)
    with_scan = visits[at >= 0].set_axis(at[at >= 0]).drop(columns=[*KEYS, "age"], errors="ignore")
    with_scan = with_scan[~with_scan.index.duplicated()].reindex(rows.index)
    joined = rows.copy()
    for name in with_scan.columns:
        values = with_scan[name]
        joined[name] = joined[name].where(joined[name].notna(), values) if name in joined else values
    return pd.concat([joined, visits[at < 0]], ignore_index=True), notes if unknown.any() else ()


def _visit_keys(table: pd.DataFrame, by: str) -> list[tuple[Any, Any]]:
    """Person and `by` of each row; a missing value fits no other."""
    values = pd.to_numeric(table["age"]).round(AGE_DIGITS) if by == "age" else table["session_id"]
    return [(person, object() if pd.isna(value) else value) for person, value in zip(table["participant_id"], values)]


def _read_visits(path: Path, mapping: Mapping[str, str]) -> pd.DataFrame:
    table = read_table(path, text=[mapping.get(name, name) for name in KEYS]).reset_index(drop=True)
    table.columns = [str(name) for name in table.columns]
    used = {ours: theirs for ours, theirs in mapping.items() if theirs in table and ours not in table}
    table, _ = rename_columns(table, used, path.name)
    if "participant_id" not in table:
        raise InputError(f"{path.name} has no column participant_id", "name it with --map participant_id=COLUMN")
    ages = [parse_age(value)[0] for value in table["age"]] if "age" in table else np.nan
    others = table.drop(columns=[*KEYS, "age"], errors="ignore")
    return pd.concat([_identifiers(table), others.assign(age=ages)], axis=1).astype({"age": float})


def _on_one_clock(rows: pd.DataFrame, visits: Path | None) -> pd.DataFrame:
    """Complete ``years_from_first`` by age; make it where visits have dates and a session that tells their scan."""
    if "years_from_first" in rows:
        return rows.assign(years_from_first=_completed_by_age(rows))
    if "visit_date" not in rows or (visits and rows["session_id"].isna().any()):
        return rows
    return rows.assign(years_from_first=years_from_first(rows, list(rows["visit_date"])))


def _completed_by_age(rows: pd.DataFrame) -> pd.Series:
    """Years of visits that have none: their age less the person's age at zero years."""
    years, age = pd.to_numeric(rows["years_from_first"], errors="coerce"), rows["age"].astype(float)
    start = (age - years).groupby(rows["participant_id"]).transform("median")
    return years.where(years.notna(), age - start)
