"""Deviations as states and counts: flags, counts per scan, and what the healthy reference expects."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from bids_app.arrays import FloatArray
from bids_app.errors import UsageError
from bids_app.normative.base import Z_CRITICAL, tails
from bids_app.regions import counted_among, reference_regions

# Mean correlation of z between the 82 reference regions of the open healthy reference
# (adults, residuals on age, eTIV and site within sex): 0.163.
REGION_CORRELATION = 0.16
TAILS = ("infra", "supra", "total")


class ExpectedCount(NamedTuple):
    """Number of deviations of a healthy person: mean and central 95 % range."""

    mean: float
    low: int
    high: int


def first_scans(scans: pd.DataFrame) -> NDArray[np.bool_]:
    """Whether each row (``participant_id age``) is its person's first by age; of equal ages the upper row.

    Parameters
    ----------
    scans : (n rows) DataFrame
        ``participant_id`` and ``age`` in years; scans without an age come last.

    Returns
    -------
    (n,) bool array
    """
    order = np.argsort(scans["age"].to_numpy(dtype=float), kind="stable")
    mask = np.zeros(len(order), dtype=bool)
    mask[order[~scans["participant_id"].iloc[order].duplicated().to_numpy()]] = True
    return mask


def region_set(name: str | Sequence[str]) -> tuple[str, ...]:
    """The reference regions of a set: ``all``, ``cortical``, ``subcortical``, or a list of names.

    Raises
    ------
    UsageError
        When the name is none of these or a listed region is not a reference region.
    """
    reference = reference_regions()
    if not isinstance(name, str):
        unknown = sorted(set(name) - set(reference))
        if unknown:
            raise UsageError(
                f"{', '.join(unknown)}: not a reference region", "see the column region of a desc-deviations table"
            )
        return tuple(name)
    cortical = tuple(region for region in reference if region.endswith("_volume"))
    sets = {
        "all": reference,
        "cortical": cortical,
        "subcortical": tuple(region for region in reference if region not in cortical),
    }
    if name not in sets:
        raise UsageError(f"no region set {name!r}", "use all, cortical, subcortical or a list of regions")
    return sets[name]


def count_table(
    zscores: pd.DataFrame, regions: str | Sequence[str] = "all", threshold: float = Z_CRITICAL
) -> pd.DataFrame:
    """Deviations per scan over a set of regions.

    Parameters
    ----------
    zscores : DataFrame
        One row per scan, one column per region; other columns are ignored.
    regions : str or list of str
        See `region_set`; regions that are not columns are left out.
    threshold : float

    Returns
    -------
    DataFrame
        ``n_infra n_supra n_total n_regions`` (int), with the index of `zscores`.
        NaN is not a deviation and not counted in ``n_regions``.
    """
    every = counted_among(zscores) if regions == "all" else region_set(regions)
    present = [region for region in every if region in zscores.columns]
    z = zscores[present].to_numpy(dtype=float)
    infra, supra = (flags.sum(axis=1) for flags in tails(z, threshold))
    return pd.DataFrame(
        {"n_infra": infra, "n_supra": supra, "n_total": infra + supra, "n_regions": (~np.isnan(z)).sum(axis=1)},
        index=zscores.index,
    )


def count_distribution(
    n_regions: int, tail: str = "infra", threshold: float = Z_CRITICAL, correlation: float = REGION_CORRELATION
) -> FloatArray:
    """Probability of 0 to `n_regions` deviations in a healthy person.

    Regions are taken as standard normal and equally correlated (one common factor), so the number is a
    mixture of binomials over the factor; independent regions would make the range far too narrow.

    Parameters
    ----------
    n_regions : int
    tail : {'infra', 'supra', 'total'}
    threshold : float
        In z.
    correlation : float
        Between any two regions.

    Returns
    -------
    array, shape (n_regions + 1,)
    """
    from scipy.special import gammaln, ndtr, xlog1py, xlogy

    nodes, weights = np.polynomial.hermite_e.hermegauss(121)
    spread = np.sqrt(1 - correlation)
    below = ndtr((-threshold - np.sqrt(correlation) * nodes) / spread)
    above = ndtr((-threshold + np.sqrt(correlation) * nodes) / spread)
    chance = {"infra": below, "supra": above, "total": below + above}[tail]
    k = np.arange(n_regions + 1)[:, None]
    log_choose = gammaln(n_regions + 1) - gammaln(k + 1) - gammaln(n_regions - k + 1)
    pmf = np.exp(log_choose + xlogy(k, chance) + xlog1py(n_regions - k, -chance))
    probability: FloatArray = pmf @ (weights / weights.sum())
    return probability


@lru_cache(maxsize=512)
def expected_count(
    n_regions: int, tail: str = "infra", threshold: float = Z_CRITICAL, correlation: float = REGION_CORRELATION
) -> ExpectedCount:
    """Mean and central 95 % range of the number of deviations of a healthy person."""
    probability = count_distribution(n_regions, tail, threshold, correlation)
    cumulative = np.cumsum(probability)
    low, high = (int(np.searchsorted(cumulative, level)) for level in (0.025, 0.975))
    return ExpectedCount(float(np.arange(n_regions + 1) @ probability), low, min(high, n_regions))


def expected_counts(n_regions: ArrayLike, tail: str = "infra", threshold: float = Z_CRITICAL) -> pd.DataFrame:
    """``mean low high`` of `expected_count`, one row per scan with so many regions (n,).

    Parameters
    ----------
    n_regions : (n,) int array
        Scored regions of each scan.
    tail : {"infra", "supra", "total"}
    threshold : float
        In z units.

    Returns
    -------
    DataFrame
        n rows ``mean low high``: healthy people's mean count and its 95 % range.
    """
    rows = [expected_count(int(number), tail, threshold) for number in np.asarray(n_regions, dtype=int)]
    return pd.DataFrame(rows, columns=list(ExpectedCount._fields))
