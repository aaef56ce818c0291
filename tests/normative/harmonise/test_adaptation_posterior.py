"""The posterior of a scanner's shift and scale is that of the formulas, region by region in plain arithmetic."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from bids_app.normative.base import SITE_TAIL
from bids_app.normative.harmonise import adaptation_posterior
from bids_app.normative.harmonise.adaptation_posterior import Level, Sums, posterior, scale_prior_df

SITE_SD, WITHIN, DF = [0.4, 0.3, 0.5, 0.2], [0.84, 0.9, 0.75, 1.0], [45.0, 30.0, 20.0, 60.0]


def by_hand(regions, site_sd=SITE_SD, within=WITHIN, df=DF):
    """Shift, scale and error of regions given as (n, total, squared, scans)."""
    means, variances = [], []
    for n, total, squared, scans in regions:
        m = total / n if n else 0.0
        between = max(squared - n * m * m, 0.0) / (n - 1) if n > 1 else 0.0
        means.append(m)
        variances.append(max(scans / n - m * m + between / n, 0.0) if n > 1 else 0.0)
    several = [i for i, row in enumerate(regions) if row[0] > 1]
    overall = 1.0
    if several:
        people = sum(regions[i][0] for i in several) / len(several)
        overall = (6 + people * sum(variances[i] / within[i] for i in several) / len(several)) / (6 + people)
    spread = []
    for i, (n, *_) in enumerate(regions):
        free = max(n - 1, 0)
        spread.append((df[i] * overall * within[i] + free * variances[i]) / (df[i] + free))
    some = [i for i, row in enumerate(regions) if row[0] > 0]
    size = 1.0
    if some:
        excess = sum(means[i] ** 2 - spread[i] / regions[i][0] for i in some)
        size = max((6 + 10 * excess / sum(site_sd[i] ** 2 for i in some)) / 16, 0.25)
    out = []
    for i, (n, *_) in enumerate(regions):
        if not n:
            out.append((0.0, 1.0, SITE_TAIL * site_sd[i]))
            continue
        prior, error = size * site_sd[i] ** 2, spread[i] / n
        se2 = 1 / (1 / prior + 1 / error)
        out.append((means[i] * prior / (prior + error), math.sqrt(spread[i] + se2), math.sqrt(se2)))
    return np.array(out).T


SETS = {
    "mixed": [(5, 3.0, 6.0, 7.0), (2, -1.5, 1.5, 1.6), (1, 0.9, 0.81, 0.81), (0, 0.0, 0.0, 0.0)],
    "one usable": [(3, 3.0, 9.0, 11.0), (1, 0.5, 0.25, 0.25), (0, 0.0, 0.0, 0.0), (0, 0.0, 0.0, 0.0)],
    "single people": [(1, 0.5, 0.25, 0.25), (1, -1.0, 1.0, 1.0), (0, 0.0, 0.0, 0.0), (1, 2.0, 4.0, 4.5)],
    "far": [(20, 40.0, 90.0, 95.0), (20, -30.0, 60.0, 60.0), (20, 10.0, 30.0, 40.0), (19, 19.0, 40.0, 41.0)],
    "near": [(20, 0.5, 20.0, 21.0), (20, -0.1, 19.0, 18.0), (20, 0.2, 30.0, 40.0), (2, 0.1, 0.2, 0.3)],
    "rounded": [(2, 2.0, 1.999, 1.999), (3, 3.0, 2.9, 2.9), (2, 1.0, 0.4, 0.4), (2, 0.0, 0.0, 0.0)],
    "nobody": [(0, 0.0, 0.0, 0.0)] * 4,
}


@pytest.mark.parametrize("name", SETS)
def test_the_posterior_is_that_of_the_formulas(name):
    sums = Sums(*np.array(SETS[name], dtype=float).T[:, None])
    with np.errstate(all="raise"):
        found = posterior(sums, np.array(SITE_SD), np.array(WITHIN), np.array(DF))
    np.testing.assert_allclose(np.stack(found)[:, 0], by_hand(SETS[name]), rtol=1e-12)


def test_sets_of_controls_do_not_know_each_other():
    stacked = np.array([SETS[name] for name in ("mixed", "far", "nobody")], dtype=float)
    found = posterior(Sums(*np.moveaxis(stacked, 2, 0)), np.array(SITE_SD), np.array(WITHIN))
    for i, name in enumerate(("mixed", "far", "nobody")):
        np.testing.assert_allclose(np.stack(found)[:, i], by_hand(SETS[name], df=[45.0] * 4), rtol=1e-12)


def test_counts_left_by_subtraction_are_rounded():
    exact = np.array(SETS["mixed"], dtype=float)
    rough = exact.copy()
    rough[:, 0] += [1e-9, -1e-9, 1e-9, -1e-9]
    pair = [posterior(Sums(*part.T[:, None]), np.array(SITE_SD), np.array(WITHIN)) for part in (exact, rough)]
    for a, b in zip(*pair, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_spread_of_scales_decides_their_prior():
    found = scale_prior_df(np.array([0.1, 0.5, 0.0, -0.1, np.nan, np.inf]))
    np.testing.assert_allclose(found, [50.0, 2.0, 45.0, 45.0, 45.0, 45.0])


def test_people_count_once_whatever_their_scans():
    z = np.array([[1.0, np.nan], [3.0, 2.0], [-1.0, np.nan]])
    found = Sums.by_person(z, np.array([0, 0, 1]), 2)
    np.testing.assert_array_equal(found.n, [[1, 1], [1, 0]])
    np.testing.assert_array_equal(found.total, [[2, 2], [-1, 0]])
    np.testing.assert_array_equal(found.squared, [[4, 4], [1, 0]])
    np.testing.assert_array_equal(found.scans, [[5, 4], [1, 0]])
    summed = found.summed()
    np.testing.assert_array_equal(summed.stacked(), [[2, 1], [1, 2], [5, 4], [6, 4]])
    np.testing.assert_array_equal(Sums.of_stacked(summed.stacked()).total, summed.total)
    np.testing.assert_array_equal(summed.without(found).total, [[-1, 0], [2, 2]])
    both = summed.row().append(found.rows([1]))
    np.testing.assert_array_equal(both.total, [[1, 2], [-1, 0]])


def test_a_level_counts_people_scans_ages_and_sexes():
    rows = pd.DataFrame({"age": ["30.2", "40.9", "41.5"], "sex": ["female", "female", "male"]})
    people = np.array(["b", "b", "a"], dtype=object)
    limit = adaptation_posterior.LARGEST_Z
    level = Level.of(rows, people, np.array([[limit + 9, 0.0], [limit, 1.0], [-limit - 9, 2.0]]))
    assert (level.people, level.n_scans, level.age_range) == (("a", "b"), 3, (30.0, 42.0))
    assert level.sexes == {"female": 1, "male": 1}
    np.testing.assert_array_equal(level.by_person.total, [[-limit, 2.0], [limit, 0.5]])
    np.testing.assert_array_equal(level.sums.total, [0.0, 2.5])
