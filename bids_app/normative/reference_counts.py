"""How many deviations healthy people have: the yardstick for a person's counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bids_app.normative.base import Z_CRITICAL

KINDS = ("n_infra", "n_supra", "n_total")


@dataclass(frozen=True)
class ReferenceCounts:
    """Distribution of counts in people that the model was not trained on (out of fold).

    Parameters
    ----------
    n_regions : int
        Regions counted over.
    histograms : mapping
        Sex to kind (``n_infra``, ``n_supra``, ``n_total``) to people with 0, 1, 2, ... deviations.
    """

    n_regions: int
    histograms: Mapping[str, Mapping[str, tuple[int, ...]]]

    def expected(self, n_regions: int, sex: str) -> dict[str, dict[str, float]]:
        """Mean and central 95 % of each count, ``{"n_infra": {"mean", "low", "high"}, ...}``.

        Counts over another number of regions are taken in proportion.
        """
        if sex not in self.histograms or not self.n_regions:
            return {}
        factor = n_regions / self.n_regions
        return {kind: _summary(np.asarray(self.histograms[sex][kind]), factor) for kind in KINDS}

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"n_regions": self.n_regions,
                "histograms": {sex: {kind: list(kinds[kind]) for kind in KINDS}
                               for sex, kinds in self.histograms.items()}}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ReferenceCounts:
        """Build from plain values."""
        return cls(values["n_regions"], {sex: {kind: tuple(kinds[kind]) for kind in KINDS}
                                         for sex, kinds in values["histograms"].items()})


def _summary(histogram: NDArray[np.int64], factor: float) -> dict[str, float]:
    people = histogram.sum()
    share = np.cumsum(histogram) / people
    low, high = (float(np.searchsorted(share, q)) for q in (0.025, 0.975))
    mean = float(histogram @ np.arange(histogram.size) / people)
    return {"mean": round(mean * factor, 2), "low": float(round(low * factor)), "high": float(round(high * factor))}


def count_deviations(z: NDArray[np.float64], sex: ArrayLike) -> ReferenceCounts:
    """Histograms of the counts of `z` (n, p) by sex; the deviation rule is ``|z| >= 1.96``."""
    sexes = np.asarray(sex)
    infra, supra = (z <= -Z_CRITICAL).sum(axis=1), (z >= Z_CRITICAL).sum(axis=1)
    counts = dict(zip(KINDS, (infra, supra, infra + supra)))
    return ReferenceCounts(z.shape[1], {
        str(name): {kind: tuple(int(c) for c in np.bincount(values[sexes == name]))
                    for kind, values in counts.items()}
        for name in np.unique(sexes)})
