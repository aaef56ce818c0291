"""Annualised percentage change of volumes: of people, of groups, between groups, and what a trial would need."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from bids_app.arrays import FloatArray
from bids_app.clinical.stats.trajectories import MIN_YEARS, mean_rates, within_people

# Two-sided
ALPHA, POWER = 0.05, 0.8


def person_volume_rates(
    logs: pd.DataFrame, people: pd.Series, years: ArrayLike, error: pd.DataFrame, level: float = 0.95
) -> pd.DataFrame:
    """Percent a year of each person and region: the least-squares slope of log volume over their scans.

    Parameters
    ----------
    logs : DataFrame
        Natural logarithm of the volumes, one row per scan, one column per region.
    people : Series
        ``participant_id`` of each row.
    years : (n,) array
    error : DataFrame
        Index: the regions; ``sem_percent`` (standard error of measurement in percent) and its ``df``, NaN where it is
        not known. The standard error of a slope is ``sem / sqrt(sum (t - mean t)^2)``.
    level : float
        Of the intervals.

    Returns
    -------
    DataFrame
        ``participant_id region n_scans followed rate se low high weight`` in percent a year (`weight` is the sum of
        squares of time); people whose scans span less than three months are absent.
    """
    from scipy.stats import t

    labels, codes = np.unique(people.to_numpy().astype(str), return_inverse=True)
    n, weight, product, span = within_people(logs.to_numpy(dtype=float), np.asarray(years, dtype=float), codes)
    usable = (n >= 2) & (span >= MIN_YEARS)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = np.where(usable, product / weight, np.nan)
        se = error["sem_percent"].reindex(logs.columns).to_numpy() / 100 / np.sqrt(weight)
        half = t.ppf((1 + level) / 2, error["df"].reindex(logs.columns).to_numpy()) * se
    rows, columns = np.nonzero(usable)
    rate = 100 * np.expm1(slope)
    return pd.DataFrame(
        {
            "participant_id": labels[rows],
            "region": np.array(logs.columns.astype(str))[columns],
            "n_scans": n[usable].astype(int),
            "followed": span[usable],
            "rate": rate[usable],
            "se": ((100 + rate) * se)[usable],
            "low": 100 * np.expm1(slope - half)[usable],
            "high": 100 * np.expm1(slope + half)[usable],
            "weight": weight[usable],
        }
    )


def group_volume_rates(logs: pd.DataFrame, people: pd.Series, years: ArrayLike) -> pd.DataFrame:
    """Percent a year of a group and region: `mean_rates` of log volume, and how much people differ in it.

    Parameters
    ----------
    logs, people, years
        As for `person_volume_rates`.

    Returns
    -------
    DataFrame
        ``region n_people n_scans rate se df low high p sd``; `sd` is the standard deviation of the people's rates,
        weighted as in their mean (by the sum of squares of time), with the factor g / (g - 1).

    Raises
    ------
    AnalysisError
        When no region has two scans of two people.
    """
    table = mean_rates(logs, people, years)
    sd = _spread(logs[list(table["region"])], people, years)
    slope, factor = table["rate"], 100 * np.exp(table["rate"])
    return table.assign(
        rate=100 * np.expm1(slope),
        se=factor * table["se"],
        low=100 * np.expm1(table["low"]),
        high=100 * np.expm1(table["high"]),
        sd=factor * sd,
    ).drop(columns=["structure", "statistic", "q"])


def _spread(logs: pd.DataFrame, people: pd.Series, years: ArrayLike) -> FloatArray:
    _, codes = np.unique(people.to_numpy().astype(str), return_inverse=True)
    n, weight, product, _ = within_people(logs.to_numpy(dtype=float), np.asarray(years, dtype=float), codes)
    taken = (n >= 2) & (weight > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        own = np.where(taken, product / weight, 0.0)
        weight = np.where(taken, weight, 0.0)
        mean = (weight * own).sum(axis=0) / weight.sum(axis=0)
        g = taken.sum(axis=0)
        variance = (weight * (own - mean) ** 2).sum(axis=0) / weight.sum(axis=0) * g / (g - 1)
    return np.sqrt(variance)


def contrast(group: pd.DataFrame, control: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """Difference of the rates of two groups, by Welch's t test on their standard errors.

    Parameters
    ----------
    group, control : DataFrame
        As `group_volume_rates` gives them.
    level : float
        Of the intervals.

    Returns
    -------
    DataFrame
        ``region n_group n_control rate_group rate_control difference se df low high p sd_group n_per_arm_30
        n_per_arm_50``
    """
    from scipy.stats import t

    columns = ["region", "n_people", "rate", "se", "df", "sd"]
    both = group[columns].merge(control[columns], on="region", suffixes=("_group", "_control"))
    a, b = both["se_group"] ** 2, both["se_control"] ** 2
    difference, se = both["rate_group"] - both["rate_control"], np.sqrt(a + b)
    df = (a + b) ** 2 / (a**2 / both["df_group"] + b**2 / both["df_control"])
    half = t.ppf((1 + level) / 2, df) * se
    low, high = difference - half, difference + half
    sure = (low > 0) | (high < 0)
    arms = {
        f"n_per_arm_{int(100 * s)}": people_per_arm(both["sd_group"], difference.where(sure), s) for s in (0.3, 0.5)
    }
    return pd.DataFrame(
        {
            "region": both["region"],
            "n_group": both["n_people_group"],
            "n_control": both["n_people_control"],
            "rate_group": both["rate_group"],
            "rate_control": both["rate_control"],
            "difference": difference,
            "se": se,
            "df": df,
            "low": low,
            "high": high,
            "p": 2 * t.sf(np.abs(difference / se), df),
            "sd_group": both["sd_group"],
            **arms,
        }
    )


def people_per_arm(sd: ArrayLike, excess: ArrayLike, slowed: float) -> FloatArray:
    """People per arm of a parallel trial that slows the excess rate by a share `slowed`.

    ``n = 2 (z_{1 - alpha/2} + z_{power})^2 sd^2 / (slowed excess)^2`` with `ALPHA` and `POWER`, rounded up: the
    comparison of two means with a common standard deviation of the rates, the treatment effect relative to the loss
    beyond that of controls (Anderson et al. 2007, doi:10.1007/s00415-007-0599-3; Altmann et al.
    2009, Neurology 72:595, PMC2818185).

    Parameters
    ----------
    sd, excess : array-like
        SD of the patients' rates, and their mean rate beyond that of controls; same unit, shapes that broadcast.
    slowed : float
        Share of the excess, 0 to 1.

    Returns
    -------
    array
        Whole numbers; inf where the excess is 0.
    """
    from scipy.special import ndtri

    with np.errstate(divide="ignore", invalid="ignore"):
        effect = slowed * np.asarray(excess, dtype=float)
        n = 2 * (ndtri(1 - ALPHA / 2) + ndtri(POWER)) ** 2 * np.asarray(sd, dtype=float) ** 2 / effect**2
    return np.ceil(n)
