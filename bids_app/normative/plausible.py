"""Values that no brain has: an eTIV of another unit, a volume of 0, below 0 or a thousand times too small.

They are taken out before a model sees them, in a BIDS run and in plain tables alike: a z of an impossible value is
a number without meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bids_app.regions import ETIV, THICKNESS, measure_of, measured_names, region_table

# Adults have 0.9 to 2.2 litres (open reference data, 3,812 people: 0.78 to 2.15); beyond these it is no head.
ETIV_RANGE = (0.6e6, 2.6e6)
# A unit mistake is a factor of 1,000; the smallest healthy segmentation is a fortieth of the typical volume.
FACTOR = 100.0
# An atlas leaves nobody without them (3,812 healthy people: from 210 mm^3), and they have no upper limit.
NEVER_EMPTY = ("WM-hypointensities",)
# Of regions in 3,812 healthy people, thickness is 0.67 to 4.6 mm; it cannot be 5 times less or more than usual.
THICKNESS_FACTOR = 5.0
# A child this much younger than the youngest person of the training data is not scored as if it were that old.
YEARS_BELOW = 1.0


@lru_cache(maxsize=1)
def _typical() -> pd.Series:
    return region_table()["typical"]


def impossible(data: pd.DataFrame) -> pd.DataFrame:
    """Which cells of the volumes (mm^3), thickness (mm) and areas (mm^2) cannot be.

    Parameters
    ----------
    data : DataFrame, n rows
        Model input; columns that are neither eTIV nor a known region are not judged.

    Returns
    -------
    DataFrame of bool, n rows
        One column per eTIV and region in `data`. Missing cells are possible.
    """
    present = set(data.columns)
    known = [name for name in measured_names() if name in present]
    given = data[known]
    if not all(map(pd.api.types.is_float_dtype, given.dtypes)):
        given = given.apply(pd.to_numeric, errors="coerce").astype(float)
    values = given.to_numpy(dtype=float, na_value=np.nan)
    low, high, never_empty = np.array([_bounds()[name] for name in known]).reshape(-1, 3).T
    empty = (values <= 0) & (never_empty > 0)
    judged = (values < low) | (values > high) | np.isinf(values) | empty
    return pd.DataFrame(judged, index=data.index, columns=known)


@lru_cache(maxsize=1)
def _bounds() -> dict[str, tuple[float, float, bool]]:
    """By name the lowest and the highest value that can be, and whether everybody has some of it."""
    names = measured_names()
    typical = _typical().reindex(names)
    factor = np.array([_factor(name) for name in names])
    low, high = (typical / factor).fillna(0.0), (typical * factor).fillna(np.inf)
    if ETIV in low.index:
        low[ETIV], high[ETIV] = ETIV_RANGE
    return {name: (low[name], high[name], name in NEVER_EMPTY) for name in names}


def why_impossible(name: str, value: float) -> str:
    """What is wrong with an impossible value, in words."""
    if name == ETIV:
        low, high = ETIV_RANGE
        fits = [unit for factor, unit in ((1e3, "cm^3"), (1e6, "litres")) if low <= value * factor <= high]
        unit = f", as if written in {fits[0]}" if fits else ""
        return f"outside {low / 1e3:,.0f} to {high / 1e3:,.0f} cm^3{unit}"
    if np.isinf(value):
        return "infinite"
    if value <= 0:
        return "0" if value == 0 else "below 0"
    typical = _typical()[name]
    if measure_of(name) == THICKNESS:
        return f"{'less than a fifth' if value < typical else 'more than five times'} of what is usual in mm"
    return f"{'less than a hundredth' if value < typical else 'more than a hundred times'} of what is usual"


def _factor(name: str) -> float:
    return THICKNESS_FACTOR if measure_of(name) == THICKNESS else FACTOR


def too_young(age: pd.Series, sex: pd.Series, age_range: Mapping[str, tuple[float, float]]) -> NDArray[np.bool_]:
    """Whether each person is more than a year younger than the youngest of their sex in the training data.

    Parameters
    ----------
    age, sex : (n,) Series
        Age in years.
    age_range : mapping
        From sex to the youngest and oldest age.

    Returns
    -------
    (n,) bool array
    """
    youngest = sex.map({name: low for name, (low, _) in age_range.items()}).astype(float)
    return np.asarray(age.astype(float) < youngest - YEARS_BELOW)


def without_impossible(data: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`data` with impossible cells missing, and the mask of these cells (`impossible`).

    Parameters
    ----------
    data : DataFrame
        n scans.

    Returns
    -------
    data, mask : (n rows) DataFrames
    """
    mask = impossible(data)
    if not mask.to_numpy().any():
        return data, mask
    columns = list(mask.columns)
    return data.assign(**data[columns].mask(mask)), mask


def typical_value(name: str) -> float | None:
    """The usual value of a region or eTIV in its unit; None where there is none."""
    if name == ETIV:
        return 1.5e6
    value = _typical().get(name)
    return None if value is None or pd.isna(value) else float(value)
