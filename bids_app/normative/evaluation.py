"""How well a normative model describes people it was not trained on.

The measures are those of PCNtoolkit (Rutherford et al. 2022, doi:10.1038/s41596-022-00696-5):
explained variance, standardised mean squared error, mean standardised log loss, centile error, and
the shape of z, which should be standard normal in every group of healthy people.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from bids_app.arrays import FloatArray
from bids_app.normative.base import Z_CRITICAL, NormativeModel
from bids_app.tables import read_json

CENTILES = np.array([5.0, 25.0, 50.0, 75.0, 95.0])
CENTILE_Z = np.array([-1.6448536269514722, -0.6744897501960817, 0.0, 0.6744897501960817, 1.6448536269514722])
AGE_BANDS = (0.0, 10.0, 18.0, 30.0, 40.0, 50.0, 60.0, 70.0, 120.0)
MIN_GROUP = 20
_LOG_2PI = float(np.log(2 * np.pi))

COLUMNS = (
    "grouping",
    "group",
    "region",
    "n",
    "z_mean",
    "z_sd",
    "skew",
    "kurtosis",
    "below",
    "above",
    "mace",
    "ev",
    "smse",
    "msll",
)
SUMMARY_COLUMNS = (
    "z_mean",
    "z_sd",
    "abs_z_mean",
    "abs_skew",
    "abs_kurtosis",
    "below",
    "above",
    "mace",
    "ev",
    "smse",
    "msll",
)


@dataclass(frozen=True)
class HeldOut:
    """Predictions for people that the model did not see.

    Parameters
    ----------
    regions : tuple of str, length p
    observed, expected : (n, p) arrays, mm^3
    z : (n, p) array
    log_density : (n, p) array
        Log density of the observed volume under the model, per mm^3.
    baseline : (n, p) array
        The same under a normal distribution with the training data's mean and SD.
    """

    regions: tuple[str, ...]
    observed: FloatArray
    expected: FloatArray
    z: FloatArray
    log_density: FloatArray
    baseline: FloatArray


def held_out(model: NormativeModel, test: pd.DataFrame, train: pd.DataFrame | None = None) -> HeldOut:
    """Score `test` with `model`; the baseline comes from `train`, or from `test` itself when it is None.

    Parameters
    ----------
    model : NormativeModel
    test : DataFrame
        People that the model has not seen.
    train : DataFrame, optional
        Those that it was trained on: mean and SD of each region are the baseline of the loss.

    Returns
    -------
    HeldOut
        (n, p) arrays.
    """
    found = model.deviations(test)
    training = found.observed if train is None else train[list(found.regions)].to_numpy(dtype=float)
    with warnings.catch_warnings():
        # A region without any value has no baseline; that is its result, not a warning.
        warnings.simplefilter("ignore", RuntimeWarning)
        mean, sd = np.nanmean(training, axis=0), np.nanstd(training, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        baseline = -0.5 * (((found.observed - mean) / sd) ** 2 + _LOG_2PI) - np.log(sd)
    return HeldOut(
        found.regions,
        found.observed,
        found.expected,
        found.z,
        log_density(model, test, found.z, found.regions),
        baseline,
    )


def log_density(
    model: NormativeModel, data: pd.DataFrame, z: FloatArray, regions: tuple[str, ...], step: float = 1e-3
) -> FloatArray:
    """Log density (n, p) of volumes with deviations `z`, for any engine: log phi(z) - log(dv/dz).

    Parameters
    ----------
    model : NormativeModel
    data : DataFrame
        n scans.
    z : (n, p) array
    regions : tuple of str
    step : float
        In z, of the central difference.

    Returns
    -------
    (n, p) array
    """
    width = model.volumes_at(data, z + step, regions) - model.volumes_at(data, z - step, regions)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(-0.5 * (z**2 + _LOG_2PI) - np.log(width / (2 * step)))


def evaluate(predictions: HeldOut, groups: Mapping[str, ArrayLike] | None = None) -> pd.DataFrame:
    """Measures by region, overall and by group; columns as in `COLUMNS`.

    Parameters
    ----------
    predictions : HeldOut
    groups : mapping, optional
        Name of a grouping (``age_band``, ``sex``, ``site``) to the group of each row; see `usual_groups`.
        Groups of fewer than 20 people are left out of the table (their number decides, not their result).

    Returns
    -------
    DataFrame
    """
    tables = [_measures(predictions, np.ones(len(predictions.z), dtype=bool), "overall", "all")]
    for grouping, labels in (groups or {}).items():
        for label, mask in _masks(labels):
            if mask.sum() >= MIN_GROUP:
                tables.append(_measures(predictions, mask, grouping, label))
    return pd.concat(tables, ignore_index=True)[list(COLUMNS)]


@lru_cache(maxsize=1)
def column_dictionary() -> dict[str, Any]:
    """BIDS data dictionary of the table that `evaluate` makes."""
    return dict(read_json(str(files("bids_app.data") / "evaluation_columns.json")))


def usual_groups(data: pd.DataFrame) -> dict[str, NDArray[np.object_]]:
    """Age band and sex, and site where the column exists.

    Parameters
    ----------
    data : DataFrame
        ``age sex`` and, possibly, ``site``.

    Returns
    -------
    dict of str to (n,) array
    """
    groups = {"age_band": age_bands(data["age"]), "sex": data["sex"].to_numpy(dtype=object)}
    if "site" in data:
        groups["site"] = data["site"].to_numpy(dtype=object)
    return groups


def age_bands(ages: ArrayLike) -> NDArray[np.object_]:
    """Label of each age's band, for example ``18-30`` for 18 <= age < 30; the last is open (``70+``).

    Parameters
    ----------
    ages : (n,) array
        In years.

    Returns
    -------
    (n,) array of str
    """
    edges = np.array(AGE_BANDS)
    position = np.clip(np.searchsorted(edges, np.asarray(ages, dtype=float), side="right"), 1, len(edges) - 1)
    labels = [*(f"{low:g}-{high:g}" for low, high in pairwise(edges[:-1])), f"{edges[-2]:g}+"]
    return np.array(labels, dtype=object)[position - 1]


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """One row per group: the mean of each measure over regions, and of |skew| and |kurtosis|.

    Columns: grouping, group, n, n_regions, z_mean, z_sd, abs_z_mean, abs_skew, abs_kurtosis, below, above,
    mace, ev, smse, msll.

    Parameters
    ----------
    table : DataFrame
        Of `measures`: one row per group and region.

    Returns
    -------
    DataFrame
    """
    wide = table.assign(
        abs_z_mean=table["z_mean"].abs(), abs_skew=table["skew"].abs(), abs_kurtosis=table["kurtosis"].abs()
    )
    grouped = wide.groupby(["grouping", "group"], sort=False)
    counts = grouped.agg(n=("n", "max"), n_regions=("region", "size"))
    return counts.join(grouped[list(SUMMARY_COLUMNS)].mean()).reset_index()


def _measures(predictions: HeldOut, mask: NDArray[np.bool_], grouping: str, group: str) -> pd.DataFrame:
    observed, expected, z = predictions.observed[mask], predictions.expected[mask], predictions.z[mask]
    scored = np.isfinite(z)
    counts = scored.sum(0)
    z = np.where(scored, z, np.nan)
    error = np.where(scored, observed - expected, np.nan)
    # A region that nobody was scored in has NaN measures; that is its result, not a warning.
    with np.errstate(invalid="ignore", divide="ignore"):
        loss = predictions.baseline[mask] - predictions.log_density[mask]
        variance = _mean((observed - _mean(np.where(scored, observed, np.nan))) ** 2 + 0 * error)
        columns = {
            "ev": 1 - _mean((error - _mean(error)) ** 2) / variance,
            "smse": _mean(error**2) / variance,
            "msll": _mean(loss),
            **_shape(z, counts),
        }
    keys = {"grouping": grouping, "group": group, "region": predictions.regions, "n": counts}
    return pd.DataFrame(keys | columns)


def _shape(z: FloatArray, counts: NDArray[np.int64]) -> dict[str, FloatArray]:
    mean = _mean(z)
    centred = z - mean
    second = _mean(centred**2)
    shares = np.stack([np.sum(z < limit, axis=0) / counts for limit in CENTILE_Z])
    return {
        "z_mean": mean,
        "z_sd": np.sqrt(second * counts / (counts - 1)),
        "skew": _mean(centred**3) / second**1.5,
        "kurtosis": _mean(centred**4) / second**2 - 3,
        "below": np.sum(z < -Z_CRITICAL, axis=0) / counts,
        "above": np.sum(z > Z_CRITICAL, axis=0) / counts,
        "mace": np.abs(shares - CENTILES[:, None] / 100).mean(0),
    }


def _mean(values: FloatArray) -> FloatArray:
    finite = np.isfinite(values)
    return np.asarray(np.where(finite, values, 0).sum(0) / finite.sum(0))


def _masks(labels: ArrayLike) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    text = pd.Series(np.asarray(labels, dtype=object))
    known = text.dropna().astype(str)
    for label in sorted(known.unique(), key=_band_order):
        yield label, (text.notna() & (text.astype(str) == label)).to_numpy()


def _band_order(label: str) -> tuple[float, str]:
    start = label.rstrip("+").split("-")[0]
    return (float(start) if start.isdecimal() else 0.0, label)
