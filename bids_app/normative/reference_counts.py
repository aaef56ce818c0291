"""How many deviations healthy people have: the yardstick for a person's counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bids_app.arrays import FloatArray
from bids_app.normative.base import tails

KINDS = ("n_infra", "n_supra", "n_total")
Histograms = Mapping[str, Mapping[str, tuple[int, ...]]]


@dataclass(frozen=True)
class ReferenceCounts:
    """Distribution of counts in people that the model was not trained on (out of fold).

    Parameters
    ----------
    n_regions : int
        Regions counted over.
    histograms : mapping
        Sex to kind (``n_infra``, ``n_supra``, ``n_total``) to people with 0, 1, 2, ... deviations, at sites
        whose effect is known.
    new_site : mapping, optional
        The same for people at sites that the model was not trained on and was not adapted to.
    """

    n_regions: int
    histograms: Histograms
    new_site: Histograms | None = None

    def expected(self, n_regions: int, sex: str, adapted: bool = True) -> dict[str, dict[str, float]] | None:
        """Mean and central 95 % of each count, ``{"n_infra": {"mean", "low", "high"}, ...}``.

        Parameters
        ----------
        n_regions : int
            Regions that were scored; counts over another number are taken in proportion.
        sex : str
        adapted : bool
            Whether the scanner's effect is known (site adaptation, or a training site).

        Returns
        -------
        mapping, or None when the model does not hold this distribution
        """
        histograms = self.histograms if adapted else self.new_site
        if histograms is None or sex not in histograms:
            return None
        factor = n_regions / self.n_regions
        return {kind: _summary(np.asarray(histograms[sex][kind]), factor) for kind in KINDS}

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        out = {"n_regions": self.n_regions, "histograms": _convert(self.histograms, list)}
        return out if self.new_site is None else {**out, "new_site": _convert(self.new_site, list)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ReferenceCounts:
        """Build from plain values."""
        new_site = values.get("new_site")
        return cls(
            values["n_regions"],
            _convert(values["histograms"], tuple),
            None if new_site is None else _convert(new_site, tuple),
        )


def _convert(histograms: Mapping[str, Any], kind_of: type) -> dict[str, Any]:
    return {sex: {kind: kind_of(kinds[kind]) for kind in KINDS} for sex, kinds in histograms.items()}


def _summary(histogram: NDArray[np.int64], factor: float) -> dict[str, float]:
    people = histogram.sum()
    share = np.cumsum(histogram) / people
    low, high = (float(np.searchsorted(share, q)) for q in (0.025, 0.975))
    mean = float(histogram @ np.arange(histogram.size) / people)
    return {"mean": round(mean * factor, 2), "low": float(round(low * factor)), "high": float(round(high * factor))}


def count_deviations(z: FloatArray, sex: ArrayLike) -> ReferenceCounts:
    """Histograms of the counts of `z` (n, p) by sex; the deviation rule is ``|z| >= 1.96``.

    Parameters
    ----------
    z : (n, p) array
    sex : (n,) array of str

    Returns
    -------
    ReferenceCounts
    """
    sexes = np.asarray(sex)
    infra, supra = (beyond.sum(axis=1) for beyond in tails(z))
    counts = dict(zip(KINDS, (infra, supra, infra + supra)))
    return ReferenceCounts(
        z.shape[1],
        {
            str(name): {
                kind: tuple(int(c) for c in np.bincount(values[sexes == name])) for kind, values in counts.items()
            }
            for name in np.unique(sexes)
        },
    )
