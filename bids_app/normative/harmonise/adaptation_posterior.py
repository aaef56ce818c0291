"""Empirical Bayes estimates of a scanner's shift and scale from sums over its controls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bids_app.arrays import FloatArray
from bids_app.normative.base import SITE_TAIL

# Weights of the priors, from the spread between the 37 sites of at least 30 people in the development
# data: how far a site's overall scale, single scales and overall size of shifts differ from the model's.
SCALE_PRIOR_PEOPLE = 6.0
REGION_SCALE_PRIOR_DF = 45.0
SIZE_PRIOR_WEIGHT, SIZE_LOCAL_WEIGHT = 6.0, 10.0
SMALLEST_SIZE = 0.25
LARGEST_Z = 6.0


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
        """Contribution of each person; NaN counts as absent.

        Parameters
        ----------
        z : (n, p) array
            Of scans.
        codes : (n,) array of int
            Number the people from 0.
        n_people : int

        Returns
        -------
        Sums
            Of (n_people, p) arrays.
        """
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
        """The inverse of `stacked`.

        Parameters
        ----------
        values : (4, p) array

        Returns
        -------
        Sums
        """
        return cls(*values)

    def stacked(self) -> FloatArray:
        """The four sums in one array, in the order of the fields.

        Returns
        -------
        (4, p) array
        """
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


@dataclass(frozen=True)
class Level:
    """The controls of one scanner.

    Parameters
    ----------
    people : tuple of str
        Identifiers of the controls, sorted.
    n_scans : int
    age_range : (float, float)
        Years, rounded to whole years.
    sexes : mapping
        People by sex.
    sums : Sums
        Sums over people by region.
    by_person : Sums or None
        Each control's own contribution, (people, p); None when read from a file.
    """

    people: tuple[str, ...]
    n_scans: int
    age_range: tuple[float, float]
    sexes: Mapping[str, int]
    sums: Sums
    by_person: Sums | None = field(default=None, repr=False)

    @classmethod
    def of(cls, rows: pd.DataFrame, people: NDArray[np.object_], z: FloatArray) -> Level:
        """The sums over the controls of one scanner.

        Parameters
        ----------
        rows : DataFrame
            ``age`` (years) and ``sex`` of n scans.
        people : (n,) array of str
            Whose they are.
        z : (n, p) array
            Clipped at `LARGEST_Z`, as a failed segmentation among the controls must not move everybody else's z.

        Returns
        -------
        Level
        """
        labels, codes = np.unique(people.astype(str), return_inverse=True)
        by_person = Sums.by_person(np.clip(z, -LARGEST_Z, LARGEST_Z), codes, len(labels))
        first = rows.iloc[np.unique(codes, return_index=True)[1]]
        ages = pd.to_numeric(rows["age"])
        return cls(
            people=tuple(map(str, labels)),
            n_scans=len(rows),
            age_range=(float(np.floor(ages.min())), float(np.ceil(ages.max()))),
            sexes={str(sex): int(count) for sex, count in sorted(first["sex"].value_counts().items())},
            sums=by_person.summed(),
            by_person=by_person,
        )

    @classmethod
    def read(cls, values: Mapping[str, Any], regions: tuple[str, ...]) -> Level:
        """From one of the levels that `SiteAdaptation.to_dict` gives."""
        sums = np.array([values["regions"][name] for name in regions], dtype=float).T
        low, high = values["age_range"]
        return cls(tuple(values["people"]), values["n_scans"], (low, high), values["sexes"], Sums.of_stacked(sums))


class Posterior(NamedTuple):
    """Shift, scale and standard error of the shift, each (u, p), in z."""

    shift: FloatArray
    scale: FloatArray
    se: FloatArray


def scale_prior_df(scale_sd: FloatArray) -> FloatArray:
    """Degrees of freedom (p,) of the prior of a scale whose logarithm varies by `scale_sd` between sites.

    ``Var(log s) = 1 / (2 df)`` for the scale estimated from df degrees of freedom; NaN: that of the development data.

    Parameters
    ----------
    scale_sd : (p,) array

    Returns
    -------
    (p,) array
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

    A region without controls has no shift, the scale 1 and the spread between scanners, tau with heavier tails
    (`SITE_TAIL`).

    Parameters
    ----------
    sums : Sums
        Of (u, p) arrays.
    site_sd, within : (p,) arrays
        tau and w, in z and z^2.
    scale_df : (p,) array or float
        d.

    Returns
    -------
    Posterior
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
        np.where(known, np.sqrt(se2), SITE_TAIL * site_sd),
    )


def _scan_variance(sums: Sums, n: FloatArray, mean: FloatArray) -> FloatArray:
    """Variance of a single scan's z around the site's mean; zero (and unused) below two people."""
    people = np.maximum(n, 2)
    between = np.maximum(sums.squared - n * mean**2, 0) / (people - 1)
    total = sums.scans / people - mean**2 + between / people
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
