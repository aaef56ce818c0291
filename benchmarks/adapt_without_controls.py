"""Can a scanner's shift be estimated without controls, from all scans? Left-out sites, healthy and with made-up loss.

Sites of at least 30 people are left out in groups and scored by a model of the others. Estimators of the shift per
region, from all scans of a site: `controls` is the posterior mean as if all were healthy; `median` shrinks the median;
`common` takes the median over regions of the medians for all regions; `floor` is the median estimate, never below the
common one (loss in single regions stays); `upward` never below zero (no loss is ever taken out); `common upward` both.
Disease is simulated in half of the people of each site: a loss of 1.5 SD in both thalami, or of 0.5 SD in all regions;
`kept` is the share of it that is left in z.

    python benchmarks/adapt_without_controls.py HEALTHY.tsv.gz
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from bids_app.arrays import FloatArray
from bids_app.normative.harmonise.adaptation_posterior import Sums, posterior
from bids_app.normative.training import train
from bids_app.regions import reference_regions
from bids_app.tables import read_table

MIN_PEOPLE, N_GROUPS, WITHIN = 30, 4, 0.85
THALAMI = ("Left-Thalamus", "Right-Thalamus")
LOSSES = {"thalamus": 1.5, "everywhere": 0.5}
# variance of a median relative to that of a mean
MEDIAN_COST = np.pi / 2


def _as_controls(z: FloatArray, tau: FloatArray) -> FloatArray:
    people = Sums.by_person(np.clip(z, -6, 6), np.arange(len(z)), len(z))
    return posterior(people.summed().row(), tau, np.full(tau.size, WITHIN)).shift[0]


def _median(z: FloatArray, tau: FloatArray) -> FloatArray:
    error = MEDIAN_COST * WITHIN / len(z)
    return np.asarray(np.median(z, axis=0) * tau**2 / (tau**2 + error))


def _common(z: FloatArray, tau: FloatArray) -> FloatArray:
    return np.full(tau.size, np.median(_median(z, tau)))


def _floor(z: FloatArray, tau: FloatArray) -> FloatArray:
    return np.maximum(_median(z, tau), _common(z, tau))


def _upward(z: FloatArray, tau: FloatArray) -> FloatArray:
    return np.maximum(_median(z, tau), 0.0)


def _common_upward(z: FloatArray, tau: FloatArray) -> FloatArray:
    return np.maximum(_common(z, tau), 0.0)


def _none(z: FloatArray, tau: FloatArray) -> FloatArray:
    return np.zeros(tau.size)


ESTIMATORS: dict[str, Callable[[FloatArray, FloatArray], FloatArray]] = {
    "none": _none,
    "controls": _as_controls,
    "median": _median,
    "common": _common,
    "floor": _floor,
    "upward": _upward,
    "common upward": _common_upward,
}


def main() -> None:
    """Parse arguments, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    people = read_table(parser.parse_args().table)
    people = people[people["qc_flag"].isna()].reset_index(drop=True)
    rows = pd.DataFrame(left_out_sites(people))
    print(f"{rows['site'].nunique()} sites")
    means = rows.drop(columns="site").groupby("estimator", sort=False).mean()
    print(means.to_string(float_format=lambda value: f"{value:.3f}"))


def left_out_sites(people: pd.DataFrame) -> list[dict[str, object]]:
    """Measures of every estimator on every left-out site."""
    counts = people["site"].value_counts()
    large, out = sorted(counts[counts >= MIN_PEOPLE].index), []
    for group in range(N_GROUPS):
        left_out = large[group::N_GROUPS]
        rest = people[~people["site"].isin(left_out)]
        model = train(
            rest, name="rest", harmonise="location", regions=reference_regions(), reference_counts=False
        ).model
        tau = np.nan_to_num(model.site_sd(model.regions), nan=0.4)
        for site in left_out:
            z = model.deviations(people[people["site"] == site]).z
            z = z[np.isfinite(z).all(axis=1)]
            out += [{"site": site, **measures(name, z, tau, model.regions)} for name in ESTIMATORS]
    return out


def measures(name: str, z: FloatArray, tau: FloatArray, regions: tuple[str, ...]) -> dict[str, object]:
    """Half of the people are scored with the shift of the other half; losses are added to half of all."""
    shift, rng = ESTIMATORS[name], np.random.default_rng(len(z))
    order = rng.permutation(len(z))
    first, second = order[::2], order[1::2]
    adapted = np.vstack([z[first] - shift(z[second], tau), z[second] - shift(z[first], tau)])
    left = [
        np.abs(z[one].mean(axis=0) - shift(z[other], tau)).mean() for one, other in ((first, second), (second, first))
    ]
    kept = {}
    for disease, loss in LOSSES.items():
        affected = np.isin(regions, THALAMI) if disease == "thalamus" else np.ones(len(regions), dtype=bool)
        ill = z.copy()
        ill[np.ix_(first, affected)] -= loss
        moved = (shift(ill, tau) - shift(z, tau))[affected].mean()
        kept[f"kept, {disease}"] = 1 + moved / loss
    below, above = 100 * (adapted < -1.96).mean(), 100 * (adapted > 1.96).mean()
    return {"estimator": name, "|shift| left": np.mean(left), "below": below, "above": above, **kept}


if __name__ == "__main__":
    main()
