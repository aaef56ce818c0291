"""Which column of a plain table is what: other names, older FreeSurfer names, R's names, regions, the rest."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from bids_app import regions
from bids_app.errors import InputError

NAMED_AT_MOST = 5
IDENTIFIERS = ("participant_id", "session_id")
_MEASURES = frozenset(regions.names())


def is_measure(name: str) -> bool:
    """Whether a column of this name holds a region's volume, eTIV or an asymmetry index."""
    return name in _MEASURES or name.startswith(regions.ASYMMETRY_PREFIX)


def our_names(columns: tuple[str, ...], mapping: Mapping[str, str], source: str) -> tuple[dict[str, str], list[str]]:
    """The table's columns that are used, each with the name used here, and sentences on what was renamed.

    Parameters
    ----------
    columns : tuple of str
        The table's header.
    mapping : mapping
        Name used here to the table's column.
    source : str
        The table's name in messages.

    Raises
    ------
    InputError
        When `mapping` names absent columns, or two columns mean the same measure.
    """
    absent = [theirs for theirs in mapping.values() if theirs not in columns]
    if absent:
        raise InputError(
            f"{source} has no column {', '.join(absent)}",
            f"its columns are {', '.join(columns[:8])}{' ...' if len(columns) > 8 else ''}",
        )
    clash = [ours for ours, theirs in mapping.items() if ours in columns and ours != theirs]
    asked = {theirs: ours for ours, theirs in mapping.items()}
    names = {column: asked.get(column, column) for column in columns if column not in clash}
    _refuse_twice(list(names.values()))
    known = {name: _known_name(name) for name in names.values() if not is_measure(name)}
    found = {name: other for name, other in known.items() if other and other not in names.values()}
    duplicates = [name for name in found if list(found.values()).count(found[name]) > 1]
    if duplicates:
        raise InputError(f"columns {', '.join(duplicates)} of {source} mean the same measure", "keep one of them")
    notes = [f"column {ours} was replaced by {mapping[ours]}, as asked" for ours in clash]
    if found:
        named = ", ".join(f"{name} as {other}" for name, other in list(found.items())[:NAMED_AT_MOST])
        more = f" and {len(found) - NAMED_AT_MOST} more" if len(found) > NAMED_AT_MOST else ""
        notes.append(f"{len(found)} column(s) were read under FreeSurfer 7's name: {named}{more}")
    return {theirs: found.get(name, name) for theirs, name in names.items()}, notes


def _refuse_twice(names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"the table has column {', '.join(twice)} twice", "keep one of them")


def _known_name(name: str) -> str | None:
    """The region or eTIV that another spelling of a column stands for."""
    for spelling in (name, name.replace(".", "-"), name.replace(".", "_")):
        if regions.canonical(spelling) in _MEASURES:
            return regions.canonical(spelling)
    return None


def rename_columns(table: pd.DataFrame, mapping: Mapping[str, str], source: str) -> tuple[pd.DataFrame, list[str]]:
    """The columns of `table` that are used under the names used here, and sentences; errors as `our_names`."""
    names, notes = our_names(tuple(table.columns), mapping, source)
    return table[list(names)].set_axis(list(names.values()), axis=1), notes
