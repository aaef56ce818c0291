"""Annualised percentage change of volumes of one person, beside measurement error and what healthy people show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from bids_app.arrays import FloatArray
from bids_app.clinical.comparable import visit_pairs
from bids_app.clinical.composites import HEALTHY, PATIENTS, composite_name, composites, published, with_composites
from bids_app.clinical.person import repeatability
from bids_app.normative.base import Adaptation, NormativeModel
from bids_app.regions import ASYMMETRY_PREFIX, SUM_PREFIX, VOLUME, measure_of, names

RATE_COLUMNS = (
    "region",
    "structure",
    "session_from",
    "session_to",
    "years",
    "volume_from_mm3",
    "volume_to_mm3",
    "annual_percent_change",
    "annual_percent_change_se",
    "low",
    "high",
    "healthy_percent_change",
    "published_healthy",
    "published_ms",
    "stream",
    "comparable",
)
MIXED = "mixed"


def annual_percent(log_change: ArrayLike, years: ArrayLike) -> FloatArray:
    """Percent a year that compounds to a change of log volume over `years`: ``100 (exp(d / t) - 1)``.

    Parameters
    ----------
    log_change : array-like
        Difference of natural logarithms, later minus earlier.
    years : array-like
        Between the scans; broadcasts with `log_change`.

    Returns
    -------
    array
        Percent a year, of the shape that both broadcast to.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(100 * np.expm1(np.asarray(log_change, dtype=float) / np.asarray(years, dtype=float)))


def rate_regions() -> tuple[str, ...]:
    """The volumes whose change is given, beside the composites: the reference and the extended set."""
    return names("reference", "extended")


def measurement_error(stream: str, volumes: pd.Series) -> pd.DataFrame:
    """Standard error of measurement (percent) and its degrees of freedom, of regions and composites.

    The errors of a composite's parts are taken as wholly dependent, which is their upper bound: the mean of the parts'
    percentages, weighted by volume. NaN where the error of a region, or of a part, is not known.

    Parameters
    ----------
    stream : {'cross', 'long'}
    volumes : Series
        Volume (mm^3) by name.

    Returns
    -------
    DataFrame
        ``sem_percent df``, index as `volumes`.
    """
    table = repeatability()
    known = table[table["stream"] == stream].set_index("region")[["sem_percent", "df"]]
    errors = known.reindex(volumes.index)
    for name, parts in composites().items():
        if name in volumes.index and set(parts) <= set(volumes.index):
            own, weights = known.reindex(parts), volumes[list(parts)].to_numpy(dtype=float)
            percent = float((own["sem_percent"].to_numpy() * weights).sum() / weights.sum())
            errors.loc[name] = [percent, own["df"].min() if np.isfinite(percent) else np.nan]
    return errors


def healthy_volumes(
    model: NormativeModel, people: pd.DataFrame, regions: Sequence[str], adaptation: Adaptation | None = None
) -> pd.DataFrame:
    """Median volumes of healthy people, regions that the model has and composites that are sums of such.

    Parameters
    ----------
    model : NormativeModel
    people : DataFrame
        ``age sex`` and eTIV (`ETIV`), for the expected change of a person with the same eTIV at every scan, and what
        else the model uses.
    regions : sequence of str
    adaptation : Adaptation, optional
        To the scanner of `people`.

    Returns
    -------
    DataFrame
        mm^3, index as `people`; NaN where the age is outside the model's range, where no change is expected of anyone.
    """
    known = tuple(name for name in regions if name in set(model.regions))
    if not known:
        return pd.DataFrame(index=people.index)
    values = model.volumes_at(people.reset_index(drop=True), np.zeros((len(people), len(known))), known, adaptation)
    table = pd.DataFrame(values, columns=list(known), index=people.index)
    ranges = {sex: model.card.age_range.get(sex, (np.nan, np.nan)) for sex in people["sex"].unique()}
    low, high = (people["sex"].map({sex: ends[i] for sex, ends in ranges.items()}).astype(float) for i in (0, 1))
    inside = people["age"].between(low, high)
    return with_composites(table.where(inside, axis=0))


def modelled_volumes(model: NormativeModel, measure: str = VOLUME) -> tuple[str, ...]:
    """The model's regions that are volumes (or of another measure) of single structures or of the whole."""
    drawn = (name for name in model.regions if not name.startswith((ASYMMETRY_PREFIX, SUM_PREFIX)))
    return tuple(name for name in drawn if measure_of(name) == measure)


def rates_table(
    sessions: pd.DataFrame,
    volumes: pd.DataFrame,
    healthy: pd.DataFrame | None = None,
    verdicts: Mapping[tuple[str, str], str] | None = None,
) -> pd.DataFrame:
    """Annualised percentage change between the sessions of one person.

    Parameters
    ----------
    sessions : DataFrame
        ``session_id age stream``, one row per session, in order of age.
    volumes : DataFrame
        mm^3, same rows, one column per region.
    healthy : DataFrame, optional
        `healthy_volumes` of the same rows: the expected change is that of its columns.
    verdicts : mapping, optional
        Pair of sessions to its verdict (`comparable.VERDICTS`).

    Returns
    -------
    DataFrame
        `RATE_COLUMNS`: one row per pair of sessions (each with the next, the first with the last) and composite or
        region. Pairs without time between them are left out; so are volumes that are missing or zero at either.
    """
    every = with_composites(volumes.reset_index(drop=True))
    wanted = [name for name in (*composites(), *rate_regions()) if name in every]
    blocks = []
    for i, j in visit_pairs(len(sessions)):
        one, other = (sessions.iloc[k].to_dict() for k in (i, j))
        years = float(other["age"]) - float(one["age"])
        if years > 0:
            expected = None if healthy is None else healthy.iloc[[i, j]]
            block = _pair(every.loc[[i, j], wanted].astype(float), years, one, other, expected)
            pair = (one["session_id"], other["session_id"])
            blocks.append(block.assign(comparable=(verdicts or {}).get(pair)))
    if not blocks:
        return pd.DataFrame(columns=list(RATE_COLUMNS))
    return pd.concat(blocks, ignore_index=True)[list(RATE_COLUMNS)]


def _pair(
    volumes: pd.DataFrame, years: float, one: Mapping[Any, Any], other: Mapping[Any, Any], healthy: pd.DataFrame | None
) -> pd.DataFrame:
    """The rows of one pair of sessions."""
    first, last = volumes.iloc[0], volumes.iloc[1]
    usable = (first > 0) & (last > 0)
    first, last = first[usable], last[usable]
    change = np.log(last / first)
    same = one["stream"] == other["stream"]
    error = (
        measurement_error(one["stream"], first) if same else pd.DataFrame(np.nan, first.index, ["sem_percent", "df"])
    )
    se = np.sqrt(2) * error["sem_percent"] / 100
    half = stdtrit(error["df"], 0.975) * se
    rate = annual_percent(change, years)
    return pd.DataFrame(
        {
            "region": first.index,
            "structure": [composite_name(name) for name in first.index],
            "session_from": one["session_id"],
            "session_to": other["session_id"],
            "years": years,
            "volume_from_mm3": first,
            "volume_to_mm3": last,
            "annual_percent_change": rate,
            "annual_percent_change_se": (1 + rate / 100) * 100 * se / years,
            "low": annual_percent(change - half, years),
            "high": annual_percent(change + half, years),
            "healthy_percent_change": _expected(healthy, first.index, years),
            "published_healthy": [published(name, HEALTHY) for name in first.index],
            "published_ms": [published(name, PATIENTS) for name in first.index],
            "stream": one["stream"] if same else MIXED,
        }
    ).reset_index(drop=True)


def _expected(healthy: pd.DataFrame | None, names_: pd.Index, years: float) -> FloatArray:
    if healthy is None:
        return np.full(len(names_), np.nan)
    ends = healthy.reindex(columns=names_).to_numpy(dtype=float)
    return annual_percent(np.log(ends[1] / ends[0]), years)
