"""Rate of change of z: per region and person, and on average per region."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from bids_app.arrays import FloatArray
from bids_app.clinical.stats.linear import false_discovery
from bids_app.errors import AnalysisError
from bids_app.regions import display_name

MIN_YEARS = 0.25


def person_rates(zscores: pd.DataFrame, people: pd.Series, years: ArrayLike, level: float = 0.95) -> pd.DataFrame:
    """Change of z per year of each person and region, by least squares over their scans.

    The variance within people of a region is pooled over everybody (two or three scans cannot tell it for one
    person), so intervals are t intervals on the pooled degrees of freedom. People with two scans have a rate,
    but add no degree of freedom; without anybody who has three, there is no interval.

    Parameters
    ----------
    zscores : DataFrame
        One row per scan, one column per region.
    people : Series
        ``participant_id`` of each row.
    years : (n,) array
        Time of each row, any origin.
    level : float
        Of the intervals.

    Returns
    -------
    DataFrame
        ``participant_id region structure n_scans followed rate se df low high``; people whose scans span less than
        three months are absent, as are regions with fewer than two known values.
    """
    from scipy.stats import t

    labels, codes = np.unique(people.to_numpy().astype(str), return_inverse=True)
    time = np.asarray(years, dtype=float)
    z = np.where(np.isfinite(time)[:, None], zscores.to_numpy(dtype=float), np.nan)
    n, weight, product, span = within_people(z, time, codes)
    usable = (n >= 2) & (span >= MIN_YEARS)
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = np.where(usable, product / weight, np.nan)
        df = np.where(usable, n - 2, 0).sum(axis=0)
        left = _residual_squares(z, codes, n) - product**2 / weight
        pooled = np.where(usable, left, 0).sum(axis=0) / df
        se = np.sqrt(pooled / weight)
        half = t.ppf((1 + level) / 2, df) * se
    rows, columns = np.nonzero(usable)
    regions = np.array([str(name) for name in zscores.columns])
    table = pd.DataFrame(
        {
            "participant_id": labels[rows],
            "region": regions[columns],
            "n_scans": n[usable].astype(int),
            "followed": span[usable],
            "rate": rate[usable],
            "se": se[usable],
            "df": df[columns],
            "low": (rate - half)[usable],
            "high": (rate + half)[usable],
        }
    )
    shown = {region: display_name(region) for region in regions}
    table.insert(2, "structure", table["region"].map(shown))
    return table


def _sum(values: FloatArray, codes: np.ndarray, n_groups: int) -> FloatArray:
    out = np.zeros((n_groups, values.shape[1]))
    np.add.at(out, codes, values)
    return out


def _residual_squares(z: FloatArray, codes: np.ndarray, n: FloatArray) -> FloatArray:
    """Sum of squares of z around each person's mean."""
    known = np.isfinite(z)
    mean = _sum(np.where(known, z, 0.0), codes, len(n)) / np.maximum(n, 1)
    return _sum(np.where(known, z - mean[codes], 0.0) ** 2, codes, len(n))


def _span(time: FloatArray, codes: np.ndarray, n_groups: int) -> FloatArray:
    first, last = np.full((n_groups, time.shape[1]), np.inf), np.full((n_groups, time.shape[1]), -np.inf)
    np.fmin.at(first, codes, time)
    np.fmax.at(last, codes, time)
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(last - first, nan=0.0, posinf=0.0, neginf=0.0)


def mean_rates(zscores: pd.DataFrame, people: pd.Series, years: ArrayLike, level: float = 0.95) -> pd.DataFrame:
    """Average change of z per year of each region: slope of time within people.

    Each person's scans are centred on their mean, so differences between people play no part. The standard
    error is clustered by person (Liang & Zeger 1986, doi:10.1093/biomet/73.1.13), with the factor g / (g - 1);
    the t test has one degree of freedom less than the effective number of people, (sum w)^2 / sum w^2 with w a
    person's sum of squares of time.

    Parameters
    ----------
    zscores, people, years
        As for `person_rates`.
    level : float
        Of the intervals.

    Returns
    -------
    DataFrame
        ``region structure n_people n_scans rate se statistic df low high p q``

    Raises
    ------
    AnalysisError
        When no region has two scans of two people.
    """
    from scipy.stats import t

    _, codes = np.unique(people.to_numpy().astype(str), return_inverse=True)
    n, weight, product, _ = within_people(zscores.to_numpy(dtype=float), np.asarray(years, dtype=float), codes)
    taken = (n >= 2) & (weight > 0)
    g, total = taken.sum(axis=0), weight.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = product.sum(axis=0) / total
        scatter = ((product - rate * weight) ** 2 * taken).sum(axis=0)
        se = np.sqrt(scatter * g / (g - 1)) / total
        df = total**2 / (weight**2).sum(axis=0) - 1
        statistic, half = rate / se, t.ppf((1 + level) / 2, df) * se
    shown = [str(name) for name in zscores.columns]
    table = pd.DataFrame(
        {
            "region": shown,
            "structure": [display_name(name) for name in shown],
            "n_people": g,
            "n_scans": (n * taken).sum(axis=0).astype(int),
            "rate": rate,
            "se": se,
            "statistic": statistic,
            "df": df,
            "low": rate - half,
            "high": rate + half,
            "p": 2 * t.sf(np.abs(statistic), df),
        }
    )
    table = table[table["n_people"] >= 2].reset_index(drop=True)
    if table.empty:
        raise AnalysisError("fewer than two people have repeated scans at different times, so there is no rate")
    return table.assign(q=false_discovery(table["p"].to_numpy()))


def within_people(
    z: FloatArray, years: FloatArray, codes: np.ndarray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Sums over each person's scans that slopes within people are made of.

    Parameters
    ----------
    z : (n, p) array
        NaN is left out, region by region.
    years : (n,) array
    codes : (n,) array of int
        Number the people from 0.

    Returns
    -------
    n : (people, p) array
        Values known.
    weight : (people, p) array
        Sum of squares of time around the person's mean, years^2.
    product : (people, p) array
        Sum of time around that mean times z, years z; ``product / weight`` is the slope by least squares.
    span : (people, p) array
        Years between the first and the last value.
    """
    size = int(codes.max()) + 1
    time = np.broadcast_to(years[:, None], z.shape)
    known = np.isfinite(z) & np.isfinite(time)
    n = _sum(known.astype(float), codes, size)
    time, value = np.where(known, time, 0.0), np.where(known, z, 0.0)
    mean = _sum(time, codes, size) / np.maximum(n, 1)
    centred = np.where(known, time - mean[codes], 0.0)
    span = _span(np.where(known, time, np.nan), codes, size)
    return n, _sum(centred**2, codes, size), _sum(centred * value, codes, size), span
