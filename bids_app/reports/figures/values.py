"""One number per region out of a table with one row per region."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from bids_app import regions
from bids_app.errors import InputError, UsageError


def region_values(
    table: pd.DataFrame, column: str = "z", where: Sequence[str] = (), name: str = "the table"
) -> pd.Series:
    """The numbers of `column`, indexed by region.

    Parameters
    ----------
    table : DataFrame
        With a column ``region``.
    where : sequence of ``COLUMN=VALUE``
        Keep only rows that match all of them.
    name : str
        What the table is called in messages.
    column : str

    Returns
    -------
    Series
        Of float; missing where a region has none.

    Raises
    ------
    InputError
        When the table has no such column, no numbers in it, or a region twice.
    UsageError
        When a condition cannot be read or matches nothing.
    """
    for needed in ("region", column):
        if needed not in table:
            there = ", ".join(map(str, table.columns))
            raise InputError(f"{name} has no column `{needed}`", f"its columns are {there}")
    table = matching_rows(table, where, name)
    index = table["region"].astype(str).map(regions.canonical)
    if index.duplicated().any():
        again = index[index.duplicated()].iloc[0]
        raise InputError(f"{name} has several rows for {again}", "choose one per region, e.g. --where group=MS")
    numbers = pd.to_numeric(table[column], errors="coerce")
    if numbers.isna().all():
        raise InputError(f"column `{column}` of {name} holds no numbers", "choose another with --column")
    return pd.Series(numbers.to_numpy(float), index=pd.Index(index, name="region"), name=column)


def parted_values(
    table: pd.DataFrame, column: str, where: Sequence[str], name: str, facet: str | None
) -> list[tuple[str, pd.Series]]:
    """`region_values` for each value of a column.

    Parameters
    ----------
    table : DataFrame
    column : str
        Of the numbers.
    where : sequence of ``COLUMN=VALUE``
    name : str
        What the table is called in messages.
    facet : str or None
        One part without it.

    Returns
    -------
    list of (str, Series)
        Heading and numbers by region, in the order of first appearance.

    Raises
    ------
    InputError, UsageError
        As `region_values`; also when the table has no column `facet`.
    """
    rows = matching_rows(table, where, name)
    if facet is None:
        return [("", region_values(rows, column, (), name))]
    if facet not in rows:
        raise InputError(f"{name} has no column `{facet}`", f"its columns are {', '.join(map(str, rows))}")
    return [(str(level), region_values(part, column, (), name)) for level, part in rows.groupby(facet, sort=False)]


def matching_rows(table: pd.DataFrame, where: Sequence[str], name: str) -> pd.DataFrame:
    """The rows that match every condition.

    Parameters
    ----------
    table : DataFrame
    where : sequence of ``COLUMN=VALUE``
    name : str
        What the table is called in messages.

    Returns
    -------
    DataFrame

    Raises
    ------
    UsageError
        When a condition cannot be read or matches nothing.
    """
    for condition in where:
        table = _matching(table, condition, name)
    return table


def _matching(table: pd.DataFrame, condition: str, name: str) -> pd.DataFrame:
    column, equals, value = condition.partition("=")
    if not equals or column not in table:
        raise UsageError(f"cannot use the condition {condition}", f"write COLUMN=VALUE with a column of {name}")
    rows = table[table[column].astype(str) == value]
    if rows.empty:
        found = ", ".join(sorted(table[column].astype(str).unique())[:10])
        raise UsageError(f"no row of {name} has {column} = {value}", f"there are {found}")
    return rows
