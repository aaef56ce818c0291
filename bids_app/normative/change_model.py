"""How healthy deviations hang together over time: correlations of repeated scans, trained, kept and applied.

Two scans of a person `t` years apart correlate by ``r(t) = start exp(-decay t)``: `start` is what measurement error
leaves, `decay` how healthy people move among their peers. The expected z of a later scan is ``r z``, and the
conditional z ("z-gain") is ``(z_later - r z) / sqrt(1 - r^2)`` (van Buuren 2023,
doi:10.1080/03014460.2023.2190619), standard normal in healthy people.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from pydantic import Field

from bids_app.arrays import FloatArray
from bids_app.errors import ModelError, UsageError
from bids_app.settings import from_plain, refuse_unknown
from bids_app.tables import read_json, write_json

FORMAT = "normvol change model 1"
MIN_PAIRS, MIN_PEOPLE = 20, 10
# Years that intervals must differ by before a fall of the correlation with time can be told from measurement error
MIN_SPREAD = 0.5
MOST_ERROR, MOST_DECAY = 0.95, 5.0
Share = Annotated[float, Field(gt=0, le=1)]


@dataclass(frozen=True)
class RegionChange:
    """Correlation of two scans of a region: at no time apart, its fall per year, and what it was estimated from."""

    start: Share
    decay: Annotated[float, Field(ge=0)] = 0.0
    n_pairs: int = 0
    n_people: int = 0


@dataclass(frozen=True, kw_only=True)
class ChangeModel:
    """Correlations over time of the z of a normative model, by region.

    Parameters
    ----------
    regions : mapping of str to RegionChange
    model : str
        Name and version of the normative model whose z these are; '' when they are of no model in particular.
    stream : {'cross', 'long'} or None
        FreeSurfer's stream of the scans; None: not known.
    basis : {'trained', 'repeatability'}
    years : (float, float)
        Shortest and longest interval in the training data.
    n_people : int
    notes : tuple of str
        What the training could not tell.
    """

    regions: Mapping[str, RegionChange]
    model: str = ""
    stream: Literal["cross", "long"] | None = None
    basis: Literal["trained", "repeatability"] = "trained"
    years: tuple[float, float] = (0.0, 0.0)
    n_people: int = 0
    notes: tuple[str, ...] = field(default=())

    def correlation(self, regions: Sequence[str], years: ArrayLike) -> FloatArray:
        """Correlation of the z of two scans: ``start exp(-decay years)``.

        Parameters
        ----------
        regions : sequence of str, length p
        years : array-like
            Between the scans; (p,) or what broadcasts with it, such as (n, 1).

        Returns
        -------
        array
            Regions in the last axis; NaN where the region is not known.
        """
        known = [self.regions.get(name) for name in regions]
        start = np.array([np.nan if one is None else one.start for one in known])
        decay = np.array([np.nan if one is None else one.decay for one in known])
        return np.asarray(start * np.exp(-decay * np.asarray(years, dtype=float)))

    def fits(self, stream: str | None) -> bool:
        """Whether the correlations are of this stream, as far as both are known."""
        return self.stream is None or stream is None or self.stream == stream

    def save(self, path: Path) -> Path:
        """Write the JSON file."""
        return write_json({"format": FORMAT, **asdict(self)}, path)


def load_change_model(path: Path | str) -> ChangeModel:
    """Read what `ChangeModel.save` wrote.

    Raises
    ------
    UsageError
        When the file is no change model, or values in it are impossible.
    """
    content = read_json(Path(path))
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UsageError(f"{path} is no change model", "make one with normvol-model train-change")
    values = {name: value for name, value in content.items() if name != "format"}
    refuse_unknown(values, ChangeModel.__dataclass_fields__, f"{path}: ")
    return from_plain(ChangeModel, values, str(path))


def conditional_z(z_from: ArrayLike, z_to: ArrayLike, correlation: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Expected z at the later scan, ``r z_from``, and ``(z_to - r z_from) / sqrt(1 - r^2)``.

    Parameters
    ----------
    z_from, z_to, correlation : array-like
        Of one shape, or of shapes that broadcast.

    Returns
    -------
    expected, gain : array
        In z; the gain is standard normal in healthy people, NaN where the correlation r is not between -1 and 1.
    """
    r, start = np.asarray(correlation, dtype=float), np.asarray(z_from, dtype=float)
    expected = r * start
    with np.errstate(invalid="ignore", divide="ignore"):
        gain = (np.asarray(z_to, dtype=float) - expected) / np.sqrt(1 - r**2)
    return expected, np.where(np.abs(r) < 1, gain, np.nan)


def train_change_model(
    z: pd.DataFrame,
    people: Sequence[str],
    age: ArrayLike,
    same: Sequence[object] | None = None,
    *,
    model: str = "",
    stream: Literal["cross", "long"] | None = None,
) -> ChangeModel:
    """Estimate the correlations from repeated scans of healthy people, by maximum likelihood of their changes.

    With z of variance 1 the change over `t` years has variance ``2 (1 - r(t))``; all pairs of a person's scans are
    used, each with the weight that makes a person of n scans count as n - 1 pairs.

    Parameters
    ----------
    z : DataFrame
        One row per scan, one column per region.
    people : sequence of str
    age : (n,) array
        Years.
    same : sequence, optional
        Only scans that agree in this (scanner, stream) are paired.
    model, stream
        As for `ChangeModel`.

    Returns
    -------
    ChangeModel

    Raises
    ------
    ModelError
        When no region has `MIN_PAIRS` pairs of `MIN_PEOPLE` people.
    """
    first, second, years, weight = _pairs(np.asarray(people, dtype=str), np.asarray(age, dtype=float), same)
    who, values, found = np.asarray(people, dtype=str), z.to_numpy(dtype=float), {}
    for column, name in enumerate(z.columns):
        half = (values[second, column] - values[first, column]) ** 2 / 2
        known = np.isfinite(half)
        n_people = len(np.unique(who[first[known]]))
        if known.sum() >= MIN_PAIRS and n_people >= MIN_PEOPLE:
            start, decay = _fit(half[known], years[known], weight[known])
            found[str(name)] = RegionChange(round(start, 6), round(decay, 6), int(known.sum()), n_people)
    if not found:
        raise ModelError(
            f"no region has {MIN_PAIRS} pairs of scans of {MIN_PEOPLE} people "
            f"(the table has {len(years)} pairs of {len(np.unique(who[first]))} people)",
            "give a table with repeated scans of healthy people: participant_id, age and the volumes of each scan",
        )
    spread = float(np.ptp(years))
    notes = (
        () if spread >= MIN_SPREAD else (f"all intervals are {years.mean():.1f} years; a fall with time is unknown",)
    )
    span = (round(float(years.min()), 3), round(float(years.max()), 3))
    n_people = len(np.unique(who[first]))
    return ChangeModel(regions=found, model=model, stream=stream, years=span, n_people=n_people, notes=notes)


def _pairs(
    people: np.ndarray, age: FloatArray, same: Sequence[object] | None
) -> tuple[np.ndarray, np.ndarray, FloatArray, FloatArray]:
    """Rows of the earlier and of the later scan of every pair, years between them, and the pair's weight."""
    kind = np.asarray([str(item) for item in same]) if same is not None else np.full(len(people), "")
    first, second, weight = [], [], []
    for person in np.unique(people):
        for level in np.unique(kind[people == person]):
            rows = np.flatnonzero((people == person) & (kind == level) & np.isfinite(age))
            rows = rows[np.argsort(age[rows], kind="stable")]
            i, j = np.triu_indices(len(rows), 1)
            first += list(rows[i])
            second += list(rows[j])
            weight += [2 / len(rows)] * len(i)
    one, other = np.array(first, dtype=int), np.array(second, dtype=int)
    return one, other, age[other] - age[one], np.array(weight)


def _fit(half: FloatArray, years: FloatArray, weight: FloatArray) -> tuple[float, float]:
    """`start` and `decay` that make half the squared changes most likely."""
    from scipy.optimize import minimize

    def loss(values: FloatArray) -> float:
        error, decay = values
        variance = 1 - (1 - error) * np.exp(-decay * years)
        return float((weight * (np.log(variance) + half / variance)).sum())

    mean = float(np.clip((weight * half).sum() / weight.sum(), 1e-3, MOST_ERROR))
    bounds = [(1e-4, MOST_ERROR), (0.0, MOST_DECAY)]
    if np.ptp(years) < MIN_SPREAD:
        return 1 - mean, 0.0
    starts = [(mean, 1e-3), (mean / 2, mean / 2 / max(float(years.mean()), 0.1))]
    fits = [minimize(loss, start, method="L-BFGS-B", bounds=bounds) for start in starts]
    error, decay = min(fits, key=lambda fit: fit.fun).x
    return float(1 - error), float(decay)
