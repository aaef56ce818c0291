"""The region table: FreeSurfer's names, hemisphere, kind, atlas label, set and synonyms.

One source of truth is ``data/regions.tsv``. Sets: ``reference`` (the 82 regions that the source
study models and whose deviations are counted), ``extended`` (modelled too, reported apart),
``measured`` (extracted only), ``covariate`` (eTIV), ``thickness`` and ``area`` (of the 68 cortical regions, counted
apart) and ``surface`` (mean thickness and area of a hemisphere, modelled but not counted). Every region has a
measure and its unit: volume in mm^3, thickness in mm, area in mm^2.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np
import pandas as pd

from bids_app.tables import read_table

ETIV = "EstimatedTotalIntraCranialVol"
ASYMMETRY_PREFIX = "asymmetry_"
DIFFERENCE_PREFIX = "difference_"
MEAN_PREFIX = "mean_"
SUM_PREFIX = "sum_"
# The deep structures (and the cerebellar cortex) whose two sides are also modelled together
SUMMED = (
    "Thalamus",
    "Caudate",
    "Putamen",
    "Pallidum",
    "Hippocampus",
    "Amygdala",
    "Accumbens-area",
    "Cerebellum-Cortex",
)
TOTAL_CEREBRAL = "TotalCerebralVol"
VOLUME, THICKNESS, AREA = MEASURES = ("volume", "thickness", "area")
COUNTED = {VOLUME: "reference", THICKNESS: "thickness", AREA: "area"}

# Structures whose label must not be taken at its word, and why: a sentence, and its sources
CAUTIONS = {
    "choroid-plexus": (
        "Choroid plexus: FreeSurfer's label of it agrees poorly with manual segmentation, so its volume says little "
        "about the plexus (Yazdan-Panah et al. 2023, Eisma et al. 2024).",
        "doi:10.1016/j.nicl.2023.103368, doi:10.1186/s12987-024-00525-9",
    )
}


class Pair(NamedTuple):
    """A left and a right region of the same structure; `name` is the asymmetry index's name."""

    name: str
    left: str
    right: str
    display: str


@lru_cache(maxsize=1)
def _table() -> pd.DataFrame:
    table = read_table(str(files("bids_app.data") / "regions.tsv"), text=True).set_index("name", drop=False)
    table["label"] = pd.to_numeric(table["label"]).astype("Int64")
    table["typical"] = pd.to_numeric(table["typical"])
    return table


def region_table() -> pd.DataFrame:
    """All regions, indexed by name (a copy).

    Returns
    -------
    DataFrame
        Columns: name, base, hemisphere (lh, rh, NaN), kind, set, measure, unit, atlas (aseg, aparc, global),
        label (index in aparc+aseg), display, lobe, scale (``log`` for regions modelled on log volume), synonyms,
        typical (in `unit`, median of the open reference data; missing where healthy people can have no volume at all).
    """
    return _table().copy()


@lru_cache(maxsize=64)
def names(*sets: str) -> tuple[str, ...]:
    """Names of the regions in `sets` (default: everything that is a volume), in table order."""
    table = _table()
    return tuple(table.index[table["set"].isin(sets) if sets else table["measure"] == VOLUME])


@lru_cache(maxsize=8)
def measured_names(*measures: str) -> tuple[str, ...]:
    """Names of the regions of some measures (default: all three), in table order."""
    table = _table()
    return tuple(table.index[table["measure"].isin(measures or MEASURES)])


def measure_of(name: str) -> str:
    """``volume``, ``thickness`` or ``area``; volume for what is made from volumes."""
    return _measures().get(name) or next((m for m in (THICKNESS, AREA) if name.endswith(f"_{m}")), VOLUME)


def unit_of(name: str) -> str:
    """``mm^3``, ``mm`` or ``mm^2``; of an asymmetry index ``1``."""
    if name.startswith(ASYMMETRY_PREFIX):
        return "1"
    return {VOLUME: "mm^3", THICKNESS: "mm", AREA: "mm^2"}[measure_of(name)]


@lru_cache(maxsize=1)
def _measures() -> dict[str, str]:
    return dict(_table()["measure"])


def counted_regions(measure: str = VOLUME) -> tuple[str, ...]:
    """The regions whose deviations are counted: the 82 volumes of the source study, or 68 of the cortex."""
    return names(COUNTED[measure])


def counted_among(columns: Iterable[str]) -> list[str]:
    """The counted regions among `columns`: of volumes where there are any, otherwise of thickness, then of area."""
    present = set(columns)
    found = ([name for name in counted_regions(measure) if name in present] for measure in MEASURES)
    return next(filter(None, found), [])


def reference_regions() -> tuple[str, ...]:
    """The 82 regions of the source study."""
    return names("reference")


def extended_regions() -> tuple[str, ...]:
    """The regions modelled beyond the reference set (asymmetry indices not included)."""
    return names("extended")


@lru_cache(maxsize=1)
def synonyms() -> dict[str, str]:
    """Other spellings of a region's name (older FreeSurfer versions), to the name used here."""
    pairs = _table()["synonyms"].dropna()
    return {other: str(name) for name, all_ in pairs.items() for other in all_.split(",")}


def canonical(name: str) -> str:
    """FreeSurfer 7's name of a region that an older version may have spelt otherwise."""
    return synonyms().get(name, name)


@lru_cache(maxsize=1)
def pairs() -> tuple[Pair, ...]:
    """The left-right pairs of the reference and extended sets.

    The asymmetry index of a pair is ``(left - right) / (left + right)``, dimensionless.
    """
    table = _table()
    table = table[table["set"].isin(["reference", "extended"])]
    left, right = (table[table["hemisphere"] == h].set_index("base") for h in ("lh", "rh"))
    right_names = right["name"].to_dict()
    return tuple(
        Pair(
            ASYMMETRY_PREFIX + row["base"].removesuffix("_volume"),
            row["name"],
            right_names[row["base"]],
            row["display"].removeprefix("left ") + ", asymmetry",
        )
        for row in left.reset_index().to_dict("records")
        if row["base"] in right_names
    )


def asymmetry_names() -> tuple[str, ...]:
    """Names of the asymmetry indices, ``asymmetry_<structure>``."""
    return tuple(pair.name for pair in pairs())


def add_asymmetry(volumes: pd.DataFrame) -> pd.DataFrame:
    """The asymmetry indices ``(left - right) / (left + right)`` of the pairs that a table has, appended.

    Parameters
    ----------
    volumes : (n, p) DataFrame
        mm^3, one column per region; columns named as an index are replaced.

    Returns
    -------
    DataFrame
        Index as `volumes`; NaN where a side is missing or both are 0.
    """
    present = set(volumes.columns)
    found = [pair for pair in pairs() if pair.left in present and pair.right in present]
    left, right = (
        volumes[[getattr(pair, side) for pair in found]].to_numpy(dtype=float, na_value=np.nan)
        for side in ("left", "right")
    )
    total = left + right
    index = (left - right) / np.where(total > 0, total, np.nan)
    added = pd.DataFrame(index, index=volumes.index, columns=[pair.name for pair in found])
    return pd.concat([volumes.drop(columns=list(added), errors="ignore"), added], axis=1)


def difference_name(pair: Pair) -> str:
    """Name of the left minus right volume (mm^3) of a pair, ``difference_<structure>``."""
    return DIFFERENCE_PREFIX + pair.name.removeprefix(ASYMMETRY_PREFIX)


def derived_names() -> tuple[str, ...]:
    """Names of what is made from measured regions: asymmetry indices, differences and means of pairs, sums."""
    made = (name(pair) for name in (difference_name, mean_name) for pair in pairs())
    return (*asymmetry_names(), *made, TOTAL_CEREBRAL, *summed_pairs())


def mean_name(pair: Pair) -> str:
    """Name of the mean of left and right of a pair, ``mean_<structure>``."""
    return MEAN_PREFIX + pair.name.removeprefix(ASYMMETRY_PREFIX)


@lru_cache(maxsize=1)
def summed_pairs() -> dict[str, Pair]:
    """Name of the sum of left and right, ``sum_<structure>``, to the pair; of the structures in `SUMMED`."""
    made = {SUM_PREFIX + pair.name.removeprefix(ASYMMETRY_PREFIX): pair for pair in pairs()}
    return {SUM_PREFIX + structure: made[SUM_PREFIX + structure] for structure in SUMMED}


def add_pair_measures(volumes: pd.DataFrame, wanted: Iterable[str]) -> pd.DataFrame:
    """Differences (left minus right) and sums of pairs, appended as far as they are wanted and missing.

    Parameters
    ----------
    volumes : (n, p) DataFrame
        mm^3, one column per region.
    wanted : iterable of str
        Regions of a model; only names with `DIFFERENCE_PREFIX` or `SUM_PREFIX` count.

    Returns
    -------
    DataFrame
        Index as `volumes`, mm^3; a pair of which one side is no column adds nothing.
    """
    missing = {name for name in wanted if name.startswith((DIFFERENCE_PREFIX, SUM_PREFIX))} - set(volumes.columns)
    if not missing:
        return volumes
    made = {}
    for pair in pairs():
        if pair.left in volumes and pair.right in volumes:
            made[difference_name(pair)] = volumes[pair.left] - volumes[pair.right]
            made[SUM_PREFIX + pair.name.removeprefix(ASYMMETRY_PREFIX)] = volumes[pair.left] + volumes[pair.right]
    added = {name: values for name, values in made.items() if name in missing}
    return pd.concat([volumes, pd.DataFrame(added, index=volumes.index)], axis=1)


@lru_cache(maxsize=1)
def _display() -> dict[str, str]:
    shown = dict(_table()["display"])
    for pair in pairs():
        shown[pair.name] = pair.display
        structure = pair.display.removesuffix(", asymmetry")
        shown[difference_name(pair)] = f"{structure}, left minus right"
        shown[mean_name(pair)] = f"{structure}, mean of left and right"
    for name, pair in summed_pairs().items():
        shown[name] = f"{pair.display.removesuffix(', asymmetry')}, left and right together"
    shown[TOTAL_CEREBRAL] = "cortex and cerebral white matter"
    return shown


def display_name(name: str) -> str:
    """Plain words for a region, e.g. ``left thalamus``; an unknown name is returned as it is."""
    return _display().get(name, name)
