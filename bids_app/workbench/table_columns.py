"""Which column of a plain table is what: other names, older FreeSurfer names, R's names, regions, the rest."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import pandas as pd

from bids_app import regions
from bids_app.bids.names import listed
from bids_app.bids.source_tables import plain
from bids_app.errors import InputError
from bids_app.workbench.table_numbers import as_numbers

NAMED_AT_MOST = 5
# One pipeline rounds volumes, another does not.
ROUNDING = {regions.VOLUME: 0.5, regions.AREA: 0.5, regions.THICKNESS: 0.0005}
IDENTIFIERS = ("participant_id", "session_id")
_MEASURES = frozenset(regions.measured_names())
_ONCE = (*IDENTIFIERS, "age", "sex", "site", "fs_version")
_ID_NAMES = {
    "participant_id": (
        *(
            "participant_id",
            "participant",
            "subject_id",
            "subject",
            "patient_id",
            "patient",
            "sub_id",
            "sub",
            "id",
            "subid",
            "subjid",
        ),
        # the head of the first column of asegstats2table and aparcstats2table
        *("measure_volume", "lh_aparc_volume", "rh_aparc_volume"),
    ),
    "session_id": ("session_id", "session", "ses_id", "ses"),
    "site": ("site",),
    "fs_version": ("fs_version", "freesurfer_version"),
    "qc_flag": ("qc_flag",),
}
_STRUCTURES = re.compile(
    "thalamus|caudate|putamen|pallidum|hippocamp|amygdala|accumbens|ventraldc|cerebell|ventricle|brain_?stem|"
    "cingulate|frontal|temporal|parietal|occipital|fusiform|lingual|cuneus|precuneus|insula|entorhinal|calcarine|"
    "bankssts|supramarginal|(pre|post|para)central|callosum|cc_(anterior|posterior|mid)|choroid|intracranial|etiv|icv"
)
_SIDED = re.compile(r"(left|right|lh|rh|ctx|wm)_|.*_(volume|thickness|thickavg|area|grayvol)$")


@dataclass(frozen=True)
class Columns:
    """What the columns of a table are.

    Parameters
    ----------
    sources : mapping
        Name used here to the table's columns; more than one where they mean the same measure.
    notes : tuple of str
        Sentences on what was read under another name.
    unused : tuple of str
        Columns that look like regions and are none that is known.
    """

    sources: Mapping[str, tuple[str, ...]]
    notes: tuple[str, ...]
    unused: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """The names used here, in the table's order."""
        return list(self.sources)

    def theirs(self, ours: Iterable[str]) -> tuple[str, ...]:
        """The table's own names of some columns."""
        return tuple(column for name in ours for column in self.sources[name])

    def pick(self, table: pd.DataFrame) -> pd.DataFrame:
        """The columns that are used, under the names used here; columns of one measure fill each other.

        Parameters
        ----------
        table : (n, q) DataFrame

        Returns
        -------
        (n, p) DataFrame
            `names`, one column each.
        """
        picked = table[[columns[0] for columns in self.sources.values()]].set_axis(self.names, axis=1)
        filled: dict[str, pd.Series] = {}
        for name, (first, *others) in self.sources.items():
            for other in others:
                first_column = filled.get(name, table[first])
                filled[name] = first_column.where(first_column.notna(), table[other])
        return picked.assign(**filled) if filled else picked

    def conflicts(self, table: pd.DataFrame) -> dict[str, list[int]]:
        """Where columns of one measure hold different numbers.

        Parameters
        ----------
        table : DataFrame

        Returns
        -------
        dict of str to list of int
            Measure to positions of rows whose values differ by more than `ROUNDING` and a millionth of the larger.
        """
        found = {}
        for name, columns in self.sources.items():
            if len(columns) > 1:
                values = pd.concat([as_numbers(table[column]) for column in columns], axis=1)
                spread = values.max(axis=1) - values.min(axis=1)
                differs = spread > ROUNDING[regions.measure_of(name)] + 1e-6 * values.abs().max(axis=1)
                found[name] = [int(row) for row in differs.to_numpy().nonzero()[0]]
        return {name: rows for name, rows in found.items() if rows}

    def refuse_conflicts(self, conflicts: Mapping[str, list[int]], source: str) -> None:
        """InputError where columns of one measure contradict each other."""
        for name, rows in conflicts.items():
            raise InputError(
                f"columns {' and '.join(self.sources[name])} of {source} mean the same measure but differ in "
                f"{len(rows)} row(s), the first in line {rows[0] + 2}",
                "keep one of them, or correct the rows",
            )


def is_measure(name: str) -> bool:
    """Whether a column of this name holds a region's volume, thickness or area, eTIV or an asymmetry index."""
    return name in _MEASURES or name.startswith(regions.ASYMMETRY_PREFIX)


def find_columns(columns: tuple[str, ...], mapping: Mapping[str, str], source: str) -> Columns:
    """Decide what each column is.

    Parameters
    ----------
    columns : tuple of str
        The table's header, a name that is there twice with ``.1`` at its end (as pandas reads it).
    mapping : mapping
        Name used here to the table's column; wins over the table's own column of that name.
    source : str
        The table's name in messages.

    Raises
    ------
    InputError
        When `mapping` names absent columns, or a column that is no measure is there twice.
    """
    absent = [theirs for theirs in mapping.values() if theirs not in columns]
    if absent:
        raise InputError(
            f"{source} has no column {', '.join(absent)}",
            f"its columns are {', '.join(columns[:8])}{' ...' if len(columns) > 8 else ''}",
        )
    _refuse_other_measure(mapping, source)
    clash = [ours for ours, theirs in mapping.items() if ours in columns and ours != theirs]
    asked = {theirs: ours for ours, theirs in mapping.items()}
    kept = [column for column in columns if column not in clash]
    ours = {column: asked.get(column) or _our_name(column, kept) for column in kept}
    identifiers = _identifiers([column for column in kept if ours[column] == column], set(ours.values()))
    ours |= {column: name for name, column in identifiers.items()}
    sources: dict[str, tuple[str, ...]] = {}
    for column, name in ours.items():
        sources[name] = (*sources.get(name, ()), column)
    twice = sorted(name for name, found in sources.items() if len(found) > 1 and not is_measure(name))
    if twice:
        raise InputError(f"the table {source} has column {', '.join(twice)} twice", "keep one of them")
    notes = [f"column {name} was replaced by {mapping[name]}, as asked" for name in clash]
    notes += [f"{name} is taken from column {column}" for name, column in identifiers.items()]
    return Columns(sources, (*notes, *_renamed(ours, asked, identifiers)), _unused(sources))


def _refuse_other_measure(mapping: Mapping[str, str], source: str) -> None:
    """Refuse a column of thickness or area as a volume, and the like."""
    for ours, theirs in mapping.items():
        known = _our_name(theirs, [theirs])
        if ours in _MEASURES and known in _MEASURES and regions.measure_of(ours) != regions.measure_of(known):
            raise InputError(
                f"column {theirs} of {source} is {regions.measure_of(known)} ({regions.unit_of(known)}), but {ours} is "
                f"{regions.measure_of(ours)} ({regions.unit_of(ours)})",
                "give --map a column of the same measure",
            )


def _renamed(ours: Mapping[str, str], asked: Mapping[str, str], identifiers: Mapping[str, str]) -> list[str]:
    """The sentence on columns that were read under FreeSurfer 7's name."""
    others = {*asked, *identifiers.values()}
    found = [f"{column} as {name}" for column, name in ours.items() if column != name and column not in others]
    if not found:
        return []
    return [f"{len(found)} column(s) were read under FreeSurfer 7's name: {listed(found, NAMED_AT_MOST)}"]


def _our_name(column: str, columns: list[str]) -> str:
    """The measure that a column's name stands for, in any spelling; otherwise the name itself."""
    base, mark, number = column.rpartition(".")
    double = base if mark and number.isdecimal() and base in columns else ""  # pandas' name of a second such column
    for name in filter(None, (column, double)):
        if is_measure(name):
            return name
        found = _spellings().get(plain(name)) or _spellings().get(re.sub(r"^x(?=\d)", "", plain(name)))
        if found:
            return found
    return double if plain(double) in _ONCE else column


@lru_cache(maxsize=1)
def _spellings() -> dict[str, str]:
    """Every known name of a measure, without case, points and dashes, to the name used here."""
    known = {name: name for name in _MEASURES} | regions.synonyms() | {"etiv_mm3": regions.ETIV}
    return {plain(other): name for other, name in known.items() if name in _MEASURES}


def _identifiers(columns: list[str], taken: set[str]) -> dict[str, str]:
    """Columns that hold an identifier which the table does not have under its own name."""
    found = {}
    for name, others in _ID_NAMES.items():
        candidates = [column for other in others for column in columns if plain(column) == other]
        if name not in taken and candidates:
            found[name] = candidates[0]
    return found


def _unused(names: Iterable[str]) -> tuple[str, ...]:
    """Names that look like regions and are none that is known; lesions are clinical columns."""
    others = [name for name in names if not is_measure(name) and "lesion" not in plain(name)]
    return tuple(name for name in others if _SIDED.match(plain(name)) or _STRUCTURES.search(plain(name)))


def rename_columns(table: pd.DataFrame, mapping: Mapping[str, str], source: str) -> tuple[pd.DataFrame, list[str]]:
    """The columns of a table that are used, under the names used here.

    Parameters
    ----------
    table : DataFrame
    mapping, source
        As for `find_columns`.

    Returns
    -------
    table : DataFrame
    notes : list of str

    Raises
    ------
    InputError
        As `find_columns`, and where two columns of one measure contradict each other.
    """
    columns = find_columns(tuple(table.columns), mapping, source)
    columns.refuse_conflicts(columns.conflicts(table), source)
    return columns.pick(table), list(columns.notes)
