"""Empirical Bayes estimates of a scanner's shift and scale from sums over its controls."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bids_app.arrays import FloatArray

# Weights of the priors, from the spread between the 37 sites of at least 30 people in the development
# data: how far a site's overall scale, single scales and overall size of shifts differ from the model's.
SCALE_PRIOR_PEOPLE = 6.0
REGION_SCALE_PRIOR_DF = 45.0
SIZE_PRIOR_WEIGHT, SIZE_LOCAL_WEIGHT = 6.0, 10.0
SMALLEST_SIZE = 0.25


class Sums(NamedTuple):
    """Sums over people by region: all that the estimates need, so that a person can be taken out again.

    Parameters
    ----------
    n : array
        People.
    total : array
        Sum of each person's mean z over their scans.
    squared : array
        Sum of the squares of these means.
    scans : array
        Sum of each person's mean of z squared over their scans.
    """

    n: FloatArray
    total: FloatArray
    squared: FloatArray
    scans: FloatArray

    @classmethod
    def by_person(cls, z: FloatArray, codes: NDArray[np.intp], n_people: int) -> Sums:
        """Contribution of each person, (n_people, p), from scans `z` (n, p); NaN counts as absent."""
        finite, filled = np.isfinite(z), np.nan_to_num(z)
        totals = [np.zeros((n_people, z.shape[1])) for _ in range(3)]
        for total, values in zip(totals, (finite.astype(float), filled, filled**2)):
            np.add.at(total, codes, values)
        count, first, second = totals
        present = np.minimum(count, 1.0)
        mean, square = first / np.maximum(count, 1), second / np.maximum(count, 1)
        return cls(present, mean, mean**2, square)

    @classmethod
    def of_stacked(cls, values: FloatArray) -> Sums:
        """From the (4, p) array that `stacked` gives."""
        return cls(*values)

    def stacked(self) -> FloatArray:
        """The four sums as one (4, p) array."""
        return np.stack(self)

    def summed(self) -> Sums:
        return Sums(*(part.sum(axis=0) for part in self))

    def row(self) -> Sums:
        return Sums(*(part[None] for part in self))

    def rows(self, which: list[int]) -> Sums:
        return Sums(*(part[which] for part in self))

    def append(self, other: Sums) -> Sums:
        return Sums(*(np.concatenate(pair) for pair in zip(self, other)))

    def without(self, people: Sums) -> Sums:
        """These sums (p,) with each of `people` (u, p) taken out in turn."""
        return Sums(*(whole - part for whole, part in zip(self, people)))


class Posterior(NamedTuple):
    """Shift, scale and standard error of the shift, each (u, p), in z."""

    shift: FloatArray
    scale: FloatArray
    se: FloatArray


def scale_prior_df(scale_sd: FloatArray) -> FloatArray:
    """Degrees of freedom (p,) of the prior of a scale whose logarithm varies by `scale_sd` between sites.

    ``Var(log s) = 1 / (2 df)`` for the scale estimated from df degrees of freedom; NaN: that of the development data.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(np.isfinite(scale_sd) & (scale_sd > 0), 1 / (2 * scale_sd**2), REGION_SCALE_PRIOR_DF)


def posterior(
    sums: Sums, site_sd: FloatArray, within: FloatArray, scale_df: FloatArray | float = REGION_SCALE_PRIOR_DF
) -> Posterior:
    """Estimates for u sets of controls at once, from sums (u, p) and the priors `site_sd` and `within` (p,).

    With n controls of mean m and variance v in a region, tau the site_sd, and w the variance of z within
    a site that the model expects:

    * overall scale of the site, over regions: ``q = (6 + n mean(v / w)) / (6 + n)``;
    * variance: ``s^2 = (d q w + (n - 1) v) / (d + n - 1)``, d (p,) the prior's degrees of freedom, 45 by default;
    * overall size of the shifts: ``k = (6 + 10 sum(m^2 - s^2 / n) / sum(tau^2)) / 16``, at least 0.25;
    * shift: ``m k tau^2 / (k tau^2 + s^2 / n)``, of variance ``se^2 = 1 / (1 / (k tau^2) + n / s^2)``;
    * scale: ``sqrt(s^2 + se^2)``, the spread of a new person's z around the estimated shift.
    """
    n = np.maximum(np.rint(sums.n), 0)
    people = np.maximum(n, 1)
    mean = sums.total / people
    variance = _scan_variance(sums, n, mean)
    common = _common_scale(n, variance / within) * within
    df = np.maximum(n - 1, 0)
    spread = (scale_df * common + df * variance) / (scale_df + df)
    error = spread / people
    prior = _size(n, mean, error, site_sd) * site_sd**2
    shrink = prior / (prior + error)
    se2 = shrink * error
    known = n > 0
    return Posterior(
        np.where(known, shrink * mean, 0.0),
        np.where(known, np.sqrt(spread + se2), 1.0),
        np.where(known, np.sqrt(se2), site_sd),
    )


def _scan_variance(sums: Sums, n: FloatArray, mean: FloatArray) -> FloatArray:
    """Variance of a single scan's z around the site's mean; zero (and unused) below two people."""
    between = np.maximum(sums.squared - n * mean**2, 0) / np.maximum(n - 1, 1)
    total = sums.scans / np.maximum(n, 1) - mean**2 + between / np.maximum(n, 1)
    return np.where(n > 1, np.maximum(total, 0), 0.0)


def _common_scale(n: FloatArray, ratio: FloatArray) -> FloatArray:
    usable = n > 1
    count = np.maximum(usable.sum(axis=1, keepdims=True), 1)
    people = np.where(usable, n, 0).sum(axis=1, keepdims=True) / count
    local = np.where(usable, ratio, 0).sum(axis=1, keepdims=True) / count
    return np.asarray((SCALE_PRIOR_PEOPLE + people * local) / (SCALE_PRIOR_PEOPLE + people))


def _size(n: FloatArray, mean: FloatArray, error: FloatArray, site_sd: FloatArray) -> FloatArray:
    usable = n > 0
    excess = np.where(usable, mean**2 - error, 0).sum(axis=1, keepdims=True)
    expected = np.where(usable, site_sd**2, 0).sum(axis=1, keepdims=True)
    local = np.divide(excess, expected, out=np.ones_like(excess), where=expected > 0)
    weighted = SIZE_PRIOR_WEIGHT + SIZE_LOCAL_WEIGHT * local
    return np.asarray(np.maximum(weighted / (SIZE_PRIOR_WEIGHT + SIZE_LOCAL_WEIGHT), SMALLEST_SIZE))
