"""The files of an evaluation: measures, quantiles of z, centile curves. The HTML is made from them alone."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bids_app.arrays import FloatArray
from bids_app.bids.names import output_path
from bids_app.normative.base import NormativeModel
from bids_app.normative.evaluation import CENTILE_Z, CENTILES, COLUMNS, HeldOut, age_bands, column_dictionary, summarise
from bids_app.normative.parameters import SEXES
from bids_app.regions import ETIV
from bids_app.tables import write_json, write_tsv

QUANTILE_Z = np.round(np.arange(-3.0, 3.01, 0.25), 2)
CURVE_AGES = 31
MIN_POINT = 20
CENTILE_COLUMNS = ("p05", "p25", "p50", "p75", "p95")

_DICTIONARY = {
    "region": {"Description": "Region; FreeSurfer's name"},
    "sex": {"Description": "Sex", "Levels": {"female": "female", "male": "male"}},
    "age": {"Description": "Age", "Units": "year"},
    "n": {"Description": "Number of people"},
    "theoretical": {"Description": "Quantile of the standard normal distribution"},
    "observed": {"Description": "Quantile of z in the people of the evaluation at the same probability"},
}
_CENTILE_WORDS = {
    name: {"Description": f"Centile {int(name[1:])}; mm^3, of thickness mm, of area mm^2"} for name in CENTILE_COLUMNS
}


def write_evaluation(
    folder: Path,
    measures: pd.DataFrame,
    predictions: HeldOut,
    data: pd.DataFrame,
    model: NormativeModel,
    about: Mapping[str, Any],
) -> None:
    """Write the tables of an evaluation into `folder`.

    ``evaluation.tsv`` (measures by group and region), ``evaluation_summary.tsv`` (means over regions),
    ``evaluation_qq.tsv``, ``evaluation_centiles.tsv`` (the model's curves at the median eTIV by sex),
    ``evaluation_points.tsv`` (where the people's own centiles lie) and ``evaluation.json`` (`about`).

    Parameters
    ----------
    folder : Path
    measures : DataFrame
        One row per group and region, with the columns `COLUMNS`.
    predictions : HeldOut
    data : DataFrame
        The people of `predictions`: ``age`` (years), ``sex`` and eTIV (mm^3).
    model : NormativeModel
    about : mapping
    """
    data = data if model.needs_etiv else data.drop(columns=ETIV, errors="ignore")
    write_tsv(measures, output_path(folder, "evaluation.tsv"))
    write_tsv(summarise(measures), output_path(folder, "evaluation_summary.tsv"))
    write_tsv(qq_table(predictions), output_path(folder, "evaluation_qq.tsv"), _DICTIONARY)
    words = {**_DICTIONARY, **_CENTILE_WORDS}
    write_tsv(curve_table(model, data, predictions.regions), output_path(folder, "evaluation_centiles.tsv"), words)
    write_tsv(point_table(model, data, predictions), output_path(folder, "evaluation_points.tsv"), words)
    columns = {name: column_dictionary()[name] for name in COLUMNS}
    write_json({**about, "columns": columns}, output_path(folder, "evaluation.json"))


def qq_table(predictions: HeldOut) -> pd.DataFrame:
    """Observed against theoretical quantiles of z, as far into the tails as the number of people reaches.

    Parameters
    ----------
    predictions : HeldOut

    Returns
    -------
    DataFrame
        ``region theoretical observed``, in z.
    """
    from scipy.special import ndtr

    tables = []
    for i, region in enumerate(predictions.regions):
        z = predictions.z[np.isfinite(predictions.z[:, i]), i]
        if not len(z):
            continue
        inside = ndtr(-np.abs(QUANTILE_Z)) * (len(z) + 1) >= 1
        observed = np.quantile(z, ndtr(QUANTILE_Z[inside]), method="weibull")
        tables.append(pd.DataFrame({"region": region, "theoretical": QUANTILE_Z[inside], "observed": observed}))
    return pd.concat(tables, ignore_index=True).round({"observed": 4})


def curve_table(model: NormativeModel, data: pd.DataFrame, regions: tuple[str, ...]) -> pd.DataFrame:
    """Centile curves over the ages of each sex, at the sex's median eTIV; no FreeSurfer version's offset.

    Parameters
    ----------
    model : NormativeModel
    data : DataFrame
        ``age sex`` and eTIV of the people.
    regions : tuple of str

    Returns
    -------
    DataFrame
        One row per sex, age and region.
    """
    grids = []
    for sex, rows in _by_sex(data):
        low, high = rows["age"].min(), rows["age"].max()
        # Denser where curves bend most: in childhood.
        ages = (low + (high - low) * np.linspace(0, 1, CURVE_AGES) ** 1.6).round(2)
        grids.append(pd.DataFrame({"age": ages, "sex": sex, **_head(rows)}))
    grid = pd.concat(grids, ignore_index=True)
    return _curves(model, grid, np.tile(CENTILE_Z, (len(regions), 1)).T[:, None, :], regions)


def point_table(model: NormativeModel, data: pd.DataFrame, predictions: HeldOut) -> pd.DataFrame:
    """The people's own centiles by age band, drawn onto the curves of `curve_table`.

    In a band of at least 20 people of one sex the quantiles of z are put through the model at the
    band's median age and the sex's median eTIV: where model and people agree, they lie on the curves.

    Parameters
    ----------
    model : NormativeModel
    data : DataFrame
    predictions : HeldOut

    Returns
    -------
    DataFrame
        One row per sex, band and region.
    """
    bands = age_bands(data["age"])
    places, quantiles, counts = [], [], []
    for sex, rows in _by_sex(data):
        for band in dict.fromkeys(bands):
            mask = ((data["sex"] == sex) & (bands == band)).to_numpy() & np.isfinite(predictions.z).any(axis=1)
            if mask.sum() >= MIN_POINT:
                place = {"age": data.loc[mask, "age"].median(), "sex": sex, **_head(rows)}
                places.append(place)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", RuntimeWarning)  # a region without any value
                    quantiles.append(np.nanquantile(predictions.z[mask], CENTILES / 100, axis=0))
                counts.append(int(mask.sum()))
    if not places:
        return pd.DataFrame(columns=["region", "sex", "age", "n", *CENTILE_COLUMNS])
    grid = pd.DataFrame(places)
    table = _curves(model, grid, np.stack(quantiles, axis=1), predictions.regions)
    table.insert(3, "n", np.tile(counts, len(predictions.regions)))
    return table


def _curves(model: NormativeModel, grid: pd.DataFrame, z: FloatArray, regions: tuple[str, ...]) -> pd.DataFrame:
    """Volumes at `grid` (g rows) for `z` (5, g or 1, p), as rows of region, sex, age and five centiles."""
    shape = (len(grid), len(regions))
    volumes = np.stack([model.volumes_at(grid, np.broadcast_to(level, shape), regions) for level in z])
    keys = pd.concat([grid[["sex", "age"]].assign(region=region) for region in regions], ignore_index=True)
    columns = {name: volumes[i].T.ravel() for i, name in enumerate(CENTILE_COLUMNS)}
    return keys[["region", "sex", "age"]].assign(**{name: _rounded(column) for name, column in columns.items()})


def _rounded(values: FloatArray) -> FloatArray:
    """Five significant digits: enough to draw."""
    with np.errstate(divide="ignore", invalid="ignore"):
        places = 4 - np.floor(np.log10(np.abs(values)))
    scale = 10.0 ** np.where(np.isfinite(places), places, 0)
    return np.asarray(np.round(values * scale) / scale)


def _head(rows: pd.DataFrame) -> dict[str, float]:
    """The median eTIV (mm^3) of `rows`; nothing where the model does without."""
    return {ETIV: float(rows[ETIV].median())} if ETIV in rows else {}


def _by_sex(data: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    for sex in SEXES:
        rows = data[(data["sex"] == sex) & data["age"].notna()]
        rows = rows[rows[ETIV].notna()] if ETIV in rows else rows
        if len(rows):
            yield sex, rows
