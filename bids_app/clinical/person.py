"""What is said about one person: counts, centile curves and change between sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import ndtri, stdtrit

from bids_app.clinical.comparable import NOT_COMPARABLE, visit_pairs
from bids_app.clinical.deviations import REGION_CORRELATION, TAILS, expected_count
from bids_app.normative.base import Z_CRITICAL, Adaptation, NormativeModel, deviation_flag, tails
from bids_app.normative.change_model import ChangeModel, RegionChange, conditional_z
from bids_app.regions import ETIV, reference_regions
from bids_app.tables import read_table

__all__ = ["centile_table", "change_table", "count_deviations", "deviation_flag", "forecast_table", "repeatability"]

# the outer ones are the limits of a deviation (z = -1.96 and 1.96)
CENTILES = {"p025": 2.5, "p05": 5.0, "p25": 25.0, "p50": 50.0, "p75": 75.0, "p95": 95.0, "p975": 97.5}
MOST_ERROR_Z = 0.5
# Of the fan of what is expected after the last visit
YEARS_AHEAD, STEP = 5.0, 0.5
CHANGE_COLUMNS = (
    "region",
    "session_from",
    "session_to",
    "years",
    "z_from",
    "z_to",
    "z_change",
    "z_change_se",
    "annual_z_change",
    "reliable",
    "z_expected",
    "z_gain",
    "z_gain_basis",
    "comparable",
)


def count_deviations(
    z: ArrayLike, threshold: float = Z_CRITICAL, correlation: float = REGION_CORRELATION
) -> dict[str, Any]:
    """The ``counts`` of a scan's summary.

    Parameters
    ----------
    z : array, shape (p,)
        z of the reference regions; NaN where a region could not be scored.
    threshold : float
    correlation : float
        Mean correlation between regions in healthy people, for the expected range.

    Returns
    -------
    dict
        ``n_regions n_infra n_supra n_total`` and ``expected``: per count ``{"mean", "low", "high"}``, the
        mean and central 95 % range of a healthy person with as many regions.
    """
    values = np.asarray(z, dtype=float)
    n = int(np.isfinite(values).sum())
    infra, supra = (int(flags.sum()) for flags in tails(values, threshold))
    expected = {f"n_{tail}": expected_count(n, tail, threshold, correlation)._asdict() for tail in TAILS}
    return {"n_regions": n, "n_infra": infra, "n_supra": supra, "n_total": infra + supra, "expected": expected}


def _age_grid(low: float, high: float) -> np.ndarray:
    inner = np.arange(np.ceil(low / STEP), np.floor(high / STEP) + 1) * STEP
    return np.unique(np.concatenate([[low], inner, [high]]))


def centile_table(
    model: NormativeModel,
    sex: str,
    etiv_mm3: float,
    regions: Sequence[str] | None = None,
    *,
    age_range: tuple[float, float] | None = None,
    fs_version: str | None = None,
    site: str | None = None,
    adaptation: Adaptation | None = None,
    ages: ArrayLike | None = None,
) -> pd.DataFrame:
    """Centile curves of healthy volumes over age at one sex and head size.

    Parameters
    ----------
    model : NormativeModel
    sex : {"female", "male"}
    etiv_mm3 : float
    regions : sequence of str, optional
        Default: the reference regions that the model has.
    age_range : (float, float)
        Ages beyond which no curve is drawn; default: those that the model was trained on for this sex.
    fs_version, site, adaptation
        As for the scan, so that the curves carry the same offsets as its z-scores.
    ages : array, optional
        Grid in years; default half-yearly. Ages outside `age_range` are left out.

    Returns
    -------
    DataFrame
        ``region age p025 p05 p25 p50 p75 p95 p975`` in mm^3, regions in the order given.
    """
    if regions is None:
        regions = [region for region in reference_regions() if region in model.regions]
    low, high = age_range or model.card.age_range[sex]
    grid = _age_grid(low, high) if ages is None else np.asarray(ages, dtype=float)
    grid = grid[(grid >= low) & (grid <= high)]
    if not regions or not len(grid):
        return pd.DataFrame(columns=["region", "age", *CENTILES])
    volumes = _centile_volumes(
        model, {"sex": sex, ETIV: etiv_mm3, "fs_version": fs_version, "site": site}, grid, tuple(regions), adaptation
    )
    named = {"region": np.repeat(np.array(regions, dtype=object), len(grid)), "age": np.tile(grid, len(regions))}
    return pd.DataFrame({**named, **dict(zip(CENTILES, volumes.transpose(0, 2, 1).reshape(len(volumes), -1)))})


def forecast_table(
    model: NormativeModel,
    person: Mapping[str, Any],
    z: pd.Series,
    stream: str,
    trained: ChangeModel | None = None,
    adaptation: Adaptation | None = None,
) -> pd.DataFrame:
    """Centiles of the volume at later ages of healthy people who had the same z at this one (conditional fan).

    `YEARS_AHEAD` in steps of half a year, not beyond the model's ages.

    Parameters
    ----------
    model : NormativeModel
    person : mapping
        ``age`` (years) and ``sex`` of the last visit, eTIV (`ETIV`), and what else the model uses.
    z : Series
        z at the last visit by region; regions of unknown correlation, or without z, are left out.
    stream : {'cross', 'long'}
        Stream of the last visit.
    trained : ChangeModel, optional
        As for `change_table`.
    adaptation : Adaptation, optional
        That of the last visit.

    Returns
    -------
    DataFrame
        ``region age p025 p05 p25 p50 p75 p95 p975 basis``.
    """
    known = correlations(trained, stream)
    regions = tuple(name for name in z.index[z.notna()] if name in known.regions)
    start, top = float(person["age"]), model.card.age_range.get(person["sex"], (0.0, np.inf))[1]
    ahead = np.arange(0, YEARS_AHEAD + STEP, STEP)
    ahead = ahead[start + ahead <= top]
    if not regions or len(ahead) < 2:
        return pd.DataFrame(columns=["region", "age", *CENTILES, "basis"])
    r = np.array([known.correlation(regions, t) for t in ahead])
    scores = ndtri(np.array(list(CENTILES.values())) / 100)
    wanted = r * z[list(regions)].to_numpy(dtype=float) + np.sqrt(1 - r**2) * scores[:, None, None]
    rows = pd.DataFrame({**person, "age": np.tile(start + ahead, len(scores))})
    flat = model.volumes_at(rows, wanted.reshape(len(rows), len(regions)), regions, adaptation)
    volumes = flat.reshape(len(scores), len(ahead), len(regions)).transpose(0, 2, 1).reshape(len(scores), -1)
    region = np.repeat(np.array(regions, dtype=object), len(ahead))
    age = np.tile((start + ahead).round(3), len(regions))
    return pd.DataFrame({"region": region, "age": age, **dict(zip(CENTILES, volumes))}).assign(basis=known.basis)


def _centile_volumes(
    model: NormativeModel,
    person: dict[str, Any],
    grid: np.ndarray,
    regions: tuple[str, ...],
    adaptation: Adaptation | None,
) -> np.ndarray:
    """Volumes, shape (centiles, ages, regions), from one call of the model."""
    scores = ndtri(np.array(list(CENTILES.values())) / 100)
    rows = pd.DataFrame({"age": np.tile(grid, len(scores))}).assign(
        **{name: value for name, value in person.items() if value is not None}
    )
    z = np.repeat(scores, len(grid))[:, None] * np.ones(len(regions))
    return model.volumes_at(rows, z, regions, adaptation).reshape(len(scores), len(grid), len(regions))


@lru_cache(maxsize=1)
def _repeatability() -> pd.DataFrame:
    return read_table(str(files("bids_app.data") / "repeatability.tsv"))


def repeatability() -> pd.DataFrame:
    """Measurement error of FreeSurfer volumes: ``region stream sem_percent sem_z df basis source``.

    ``stream`` is ``cross`` or ``long`` (FreeSurfer's longitudinal stream). ``sem_percent`` is the standard error of
    measurement, the standard deviation of repeated scans within people in percent of the volume, ``sem_z`` the same in
    z units of the packaged model, ``df`` its degrees of freedom. ``basis`` is ``measured`` (computed from repeated
    scans by benchmarks/repeatability.py), ``published`` or ``none`` (NaN: nothing is said of the region).

    Returns
    -------
    DataFrame
        One row per region and stream.
    """
    return _repeatability().copy()


def error_correlations(stream: str) -> ChangeModel:
    """Correlations of repeated scans from the repeatability table: ``1 - sem_z^2``, whatever the time between them.

    They know of measurement error alone and not of how healthy people move among their peers, so over years a
    conditional z by them is too far from 0. Regions whose error is above `MOST_ERROR_Z` are left out: a correlation so
    low would take a z that stays low for a change.
    """
    table = _repeatability()
    rows = table[(table["stream"] == stream) & (table["sem_z"] <= MOST_ERROR_Z)]
    found = {row["region"]: RegionChange(1 - float(row["sem_z"]) ** 2) for row in rows.to_dict("records")}
    return ChangeModel(regions=found, basis="repeatability", stream="long" if stream == "long" else "cross")


def correlations(trained: ChangeModel | None, stream: str) -> ChangeModel:
    """The trained correlations where they are of this stream, otherwise those of the repeatability table."""
    return trained if trained is not None and trained.fits(stream) else error_correlations(stream)


def change_table(
    scored: pd.DataFrame, verdicts: Mapping[tuple[str, str], str] | None = None, trained: ChangeModel | None = None
) -> pd.DataFrame:
    """Change of z between the sessions of one person.

    Parameters
    ----------
    scored : DataFrame
        One row per session and region: ``session_id age region z``, optionally ``stream`` (``cross``,
        the default, or ``long``).
    verdicts : mapping, optional
        Pair of sessions to its verdict (`comparable.VERDICTS`); nothing is reliable, and there is no conditional z,
        where the verdict is ``not comparable``.
    trained : ChangeModel, optional
        Correlations of repeated healthy scans; default: those of the repeatability table.

    Returns
    -------
    DataFrame
        One row per region and pair of sessions: each session with the next, and the first with the last.
        Columns: ``region session_from session_to years z_from z_to z_change z_change_se annual_z_change
        reliable z_expected z_gain z_gain_basis comparable``. ``z_change_se`` combines the standard errors of
        measurement of both sessions (the error of the model's coefficients is common to them and cancels); NaN where
        no repeatability is known, and between the streams, which differ by more than measurement error.
        ``reliable`` is |z_change| > t z_change_se (reliable change index, Jacobson & Truax 1991; t: 97.5th centile of
        the t distribution with the error's own degrees of freedom), None where it cannot be said.
        ``z_expected`` and ``z_gain``: see `change_model`.
    """
    sessions = scored[["session_id", "age"]].drop_duplicates("session_id").sort_values(["age", "session_id"])
    labels = list(sessions["session_id"])
    pairs = [(labels[i], labels[j]) for i, j in visit_pairs(len(labels))]
    blocks = [_change(scored, *pair, (verdicts or {}).get(pair), trained) for pair in pairs]
    if not blocks:
        return pd.DataFrame(columns=list(CHANGE_COLUMNS))
    return pd.concat(blocks, ignore_index=True)


def _change(
    scored: pd.DataFrame, start: str, end: str, verdict: str | None, trained: ChangeModel | None
) -> pd.DataFrame:
    errors = _repeatability().set_index(["region", "stream"])[["sem_z", "df"]]
    order = list(dict.fromkeys(scored["region"]))
    first, last = (_session(scored, label, errors) for label in (start, end))
    table = first.join(last, lsuffix="_from", rsuffix="_to", how="inner")
    table = table.reindex([region for region in order if region in table.index])
    years = (table["age_to"] - table["age_from"]).where(lambda value: value > 0)
    change = table["z_to"] - table["z_from"]
    se = (table["sem_z_from"] ** 2 + table["sem_z_to"] ** 2) ** 0.5
    same = (table["stream_from"] == table["stream_to"]) & (verdict != NOT_COMPARABLE)
    se = se.where(table["stream_from"] == table["stream_to"])
    limit = stdtrit(table["df_from"], 0.975) * se
    reliable = (change.abs() > limit).astype(object).where(se.notna() & change.notna() & same, None)
    out = pd.DataFrame(
        {
            "region": table.index,
            "session_from": start,
            "session_to": end,
            "years": years,
            "z_from": table["z_from"],
            "z_to": table["z_to"],
            "z_change": change,
            "z_change_se": se,
            "annual_z_change": change / years,
            "reliable": reliable,
        }
    )
    return _with_gain(out, table["stream_from"], same, trained).assign(comparable=verdict).reset_index(drop=True)


def _with_gain(table: pd.DataFrame, stream: pd.Series, same: pd.Series, trained: ChangeModel | None) -> pd.DataFrame:
    """The table with the expected z of the later session, the conditional z, and where its correlation is from."""
    known = correlations(trained, str(stream.iloc[0]) if len(stream) else "cross")
    r = np.where(same, known.correlation(list(table["region"]), table["years"]), np.nan)
    expected, gain = conditional_z(table["z_from"], table["z_to"], r)
    basis = pd.Series(known.basis, index=table.index, dtype=object).where(np.isfinite(gain), None)
    return table.assign(z_expected=expected, z_gain=gain, z_gain_basis=basis)


def _session(scored: pd.DataFrame, label: str, errors: pd.DataFrame) -> pd.DataFrame:
    rows = scored[scored["session_id"] == label]
    stream = rows["stream"] if "stream" in rows else pd.Series("cross", index=rows.index)
    keys = pd.MultiIndex.from_arrays([rows["region"], stream])
    return pd.DataFrame(
        {
            "age": rows["age"].to_numpy(),
            "z": rows["z"].to_numpy(dtype=float),
            **{name: errors[name].reindex(keys).to_numpy() for name in errors},
            "stream": stream.to_numpy(),
        },
        index=rows["region"].to_numpy(),
    )
