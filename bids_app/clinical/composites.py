"""Volumes that are sums of regions (``data/composites.tsv``), and published rates of their change."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files

import pandas as pd

from bids_app.regions import display_name
from bids_app.tables import read_table

HEALTHY, PATIENTS = "healthy", "multiple sclerosis"


@lru_cache(maxsize=1)
def composites() -> dict[str, tuple[str, ...]]:
    """Name of each composite to the regions whose volumes it is the sum of."""
    return {row["name"]: tuple(row["parts"].split(",")) for row in _table().to_dict("records")}


@lru_cache(maxsize=1)
def _table() -> pd.DataFrame:
    return read_table(str(files("bids_app.data") / "composites.tsv"), text=True)


def composite_name(name: str) -> str:
    """Plain words for a composite or a region."""
    shown = dict(zip(_table()["name"], _table()["display"], strict=True))
    return shown.get(name) or display_name(name)


def with_composites(volumes: pd.DataFrame) -> pd.DataFrame:
    """The composites that `volumes` (mm^3, one column per region) allows, then its own columns.

    A composite is missing in a row where one of its parts is, and absent where a part is no column.

    Parameters
    ----------
    volumes : (n, p) DataFrame

    Returns
    -------
    (n, c + p) DataFrame
        mm^3, index as `volumes`.
    """
    made = {
        name: volumes[list(parts)].sum(axis=1, min_count=len(parts))
        for name, parts in composites().items()
        if set(parts) <= set(volumes.columns)
    }
    return pd.concat([pd.DataFrame(made, index=volumes.index), volumes], axis=1)


@lru_cache(maxsize=1)
def _published() -> pd.DataFrame:
    return read_table(str(files("bids_app.data") / "published_rates.tsv"))


def published_rates() -> pd.DataFrame:
    """Published rates of change of volumes in percent a year (a copy).

    Returns
    -------
    DataFrame
        ``region group rate low high sd n_people method source``; ``source`` is the paper.
    """
    return _published().copy()


def published(name: str, group: str) -> float:
    """The published rate of a composite in a group in percent a year; NaN where there is none."""
    table = _published()
    found = table.loc[(table["region"] == name) & (table["group"] == group), "rate"]
    return float(found.iloc[0]) if len(found) else float("nan")
