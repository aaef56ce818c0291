"""Surfaces that failed: thickness that no healthy cortex has, in several regions at once."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bids_app.arrays import FloatArray
from bids_app.regions import THICKNESS, counted_regions, measure_of

FAILED_Z = 6.0
FAILED_REGIONS = 3
# The median absolute deviation of a normal distribution is SD / 1.4826.
MAD_TO_SD = 1.4826


def surface_failures(table: pd.DataFrame) -> NDArray[np.bool_]:
    """People (n,) whose thickness is beyond 6 SD in three regions or more.

    Parameters
    ----------
    table : DataFrame, n rows
        ``age`` (years), ``sex``, thickness of cortical regions (mm), optionally ``site``. Rows without them are
        not judged.

    Returns
    -------
    (n,) bool array

    Notes
    -----
    Residuals of a quadratic curve of age by least squares beside sex, minus the site's median; their SD is taken from
    the median absolute deviation, which the failures themselves do not widen.
    """
    regions = [name for name in counted_regions(THICKNESS) if name in table]
    values = table[regions].to_numpy(dtype=float)
    age, male = table["age"].to_numpy(dtype=float), (table["sex"] == "male").to_numpy(dtype=float)
    known = np.isfinite(values).all(axis=1) & np.isfinite(age)
    failed = np.zeros(len(table), dtype=bool)
    if not regions or known.sum() <= 4:
        return failed
    x = np.column_stack([np.ones(known.sum()), age[known], age[known] ** 2, np.log1p(age[known]), male[known]])
    residual = pd.DataFrame(values[known] - x @ np.linalg.lstsq(x, values[known], rcond=None)[0])
    if "site" in table:
        residual -= residual.groupby(table["site"].astype(str).to_numpy()[known]).transform("median")
    sd = MAD_TO_SD * residual.abs().median().to_numpy()
    failed[known] = (np.abs(residual.to_numpy()) > FAILED_Z * sd).sum(axis=1) >= FAILED_REGIONS
    return failed


def thickness_of(regions: tuple[str, ...]) -> tuple[str, ...]:
    """Those of `regions` that are thickness."""
    return tuple(name for name in regions if measure_of(name) == THICKNESS)


def with_surface_notes(notes: tuple[str, ...], distance: FloatArray) -> tuple[str, ...]:
    """The notes (n,) with a sentence on scans whose surfaces failed.

    Parameters
    ----------
    notes : tuple of n str
    distance : (n, p) array
        Thickness minus what is expected, in units of half the distance between z = -1 and z = 1. Not z: a model with
        heavy tails makes z of the impossible small.

    Returns
    -------
    tuple of n str
    """
    beyond = (np.abs(distance) > FAILED_Z).sum(axis=1)
    return tuple(
        f"{note} thickness is beyond {FAILED_Z:g} SD in {count} regions: the surfaces have probably failed.".strip()
        if count >= FAILED_REGIONS
        else note
        for note, count in zip(notes, beyond)
    )
