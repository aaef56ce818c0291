"""Are true rates of change recovered, and is healthy change called change as often as it should be?

    python benchmarks/change_rates.py [--people 60] [--repeats 20] [--table OUT.tsv]

Invented people: volumes of the packaged model at each visit's age, z that drift as an Ornstein-Uhlenbeck process and
carry measurement error, patients who lose more by a known percentage a year. Prints (1) mean error and coverage of 95 %
intervals of group rates and of their contrast, and the people per arm; (2) the share of healthy changes with |z| > 1.96
by years between the scans, for the conditional z with trained correlations and with those of measurement error alone,
and for the plain difference of z over its measurement error. --table writes one simulated cohort for normvol-model.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping

import numpy as np
import pandas as pd

from bids_app.clinical.stats.volume_rates import contrast, group_volume_rates
from bids_app.normative.base import NormativeModel
from bids_app.normative.change_model import ChangeModel, RegionChange, conditional_z, train_change_model
from bids_app.normative.registry import load_model
from bids_app.regions import ETIV

EXCESS = {"Left-Thalamus": -0.8, "Right-Thalamus": -0.8, "Left-Putamen": -0.5, "lh_precentral_volume": -0.3}
VISITS = (0.0, 1.0, 2.0, 3.5)
ERROR_Z, DECAY = 0.15, 0.02
SPREAD = 0.4


def drifting_z(n: int, p: int, years: tuple[float, ...], rng: np.random.Generator) -> np.ndarray:
    """z (visits, n, p) of healthy people: variance 1, correlation ``(1 - e^2) exp(-decay t)``."""
    true = np.sqrt(1 - ERROR_Z**2) * rng.standard_normal((n, p))
    visits = [true]
    for gap in np.diff(years):
        r = np.exp(-DECAY * gap)
        true = r * true + np.sqrt((1 - ERROR_Z**2) * (1 - r**2)) * rng.standard_normal((n, p))
        visits.append(true)
    return np.array(visits) + ERROR_Z * rng.standard_normal((len(years), n, p))


def cohort(
    model: NormativeModel,
    regions: tuple[str, ...],
    people: Mapping[str, int],
    rng: np.random.Generator,
    years: tuple[float, ...] = VISITS,
) -> pd.DataFrame:
    """One row per scan: identifiers, covariates and volumes; group ``patient`` loses `EXCESS` percent a year more."""
    n = sum(people.values())
    group = np.repeat(list(people), list(people.values()))
    age, sex = rng.uniform(25, 60, n), rng.choice(["female", "male"], n)
    etiv = np.where(sex == "male", 1.6e6, 1.45e6) + 1e5 * rng.standard_normal(n)
    z = drifting_z(n, len(regions), years, rng)
    own = np.array([EXCESS.get(name, 0.0) for name in regions]) * (1 + SPREAD * rng.standard_normal((n, 1)))
    blocks = []
    for visit, t in enumerate(years):
        ids = pd.DataFrame(
            {
                "participant_id": [f"sub-{i:04d}" for i in range(n)],
                "session_id": f"ses-{visit + 1}",
                "age": age + t,
                "sex": sex,
                "group": group,
                "fs_version": "7.4.1",
                "stream": "long",
                ETIV: etiv,
            }
        )
        volumes = model.volumes_at(ids, z[visit], regions, None)
        volumes = volumes * np.where((group == "patient")[:, None], np.exp(own / 100 * t), 1.0)
        blocks.append(pd.concat([ids, pd.DataFrame(volumes, columns=list(regions))], axis=1))
    return pd.concat(blocks, ignore_index=True)


def recovered(table: pd.DataFrame, regions: tuple[str, ...]) -> pd.DataFrame:
    """The contrast of patients with controls in one cohort, and whether its intervals hold the truth."""
    years = table["age"] - table.groupby("participant_id")["age"].transform("min")
    found = {
        name: group_volume_rates(np.log(part[list(regions)]), part["participant_id"], years[part.index])
        for name, part in table.groupby("group")
    }
    against = contrast(found["patient"], found["control"])
    truth = against["region"].map(EXCESS).fillna(0.0)
    return against.assign(truth=truth, held=(against["low"] <= truth) & (truth <= against["high"]))


def rates(model: NormativeModel, regions: tuple[str, ...], people: int, repeats: int) -> None:
    """Print how well the contrast is recovered."""
    blocks = [
        recovered(cohort(model, regions, {"patient": people, "control": people}, np.random.default_rng(seed)), regions)
        for seed in range(repeats)
    ]
    table = pd.concat(blocks)
    print("region\ttruth\tmean difference\tmean SE\tSD of difference\tcoverage %\tmedian people per arm for 50 %")
    for name, part in table.groupby("region", sort=False):
        row = (part["truth"].iloc[0], part["difference"].mean(), part["se"].mean(), part["difference"].std(ddof=1))
        arm = part["n_per_arm_50"].median()
        print(name, *(f"{value:.3f}" for value in row), f"{100 * part['held'].mean():.0f}", f"{arm:.0f}", sep="\t")


def false_alarms(people: int = 2000, p: int = 5) -> None:
    """Print the share of healthy changes beyond 1.96 by time."""
    names = [f"region {i}" for i in range(p)]
    rng, years = np.random.default_rng(7), (0.0, 1.0, 3.0, 6.0)
    z = drifting_z(150, p, years, rng)
    who, age = np.tile(np.arange(150), len(years)), np.repeat(years, 150)
    trained = train_change_model(pd.DataFrame(z.reshape(-1, p), columns=names), list(map(str, who)), age)
    error_only = ChangeModel(regions={name: RegionChange(1 - ERROR_Z**2) for name in names}, basis="repeatability")
    print("years\tconditional, trained\tconditional, measurement error alone\tdifference over measurement error")
    for gap in (0.5, 1.0, 2.0, 5.0):
        start, end = drifting_z(people, p, (0.0, gap), rng)
        gains = [conditional_z(start, end, model.correlation(names, gap))[1] for model in (trained, error_only)]
        gains.append((end - start) / (np.sqrt(2) * ERROR_Z))
        print(gap, *(f"{100 * np.mean(np.abs(gain) > 1.96):.1f} %" for gain in gains), sep="\t")


def main() -> None:
    """Print both tables, or write a cohort."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--people", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--table")
    options = parser.parse_args()
    model = load_model("open-calibrated")
    if options.table:
        regions = tuple(name for name in model.regions if not name.startswith("asymmetry_"))
        people = {"patient": options.people, "control": options.people}
        cohort(model, regions, people, np.random.default_rng(1)).to_csv(options.table, sep="\t", index=False)
        return
    rates(model, (*EXCESS, "Left-Caudate", "rh_insula_volume"), options.people, options.repeats)
    false_alarms()


if __name__ == "__main__":
    main()
