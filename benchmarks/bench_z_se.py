"""Does the standard error of z hold what it says, and are the tails right when people are few?

    nice python benchmarks/bench_z_se.py [--people 400 3000] [--refits 60] [--seed 1]

People are drawn from `open-calibrated` (no sites), whose truth is thus known; every refit has its own people. First
table: standard deviation of z across refits over the mean z_se, by age, over regions, sexes and z of -2 to 2. Second:
the share of new people in each tail (2.5 % is right).
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import pandas as pd

from bids_app.normative.engines.native import NativeModel
from bids_app.normative.registry import load_model
from bids_app.normative.training import train
from bids_app.regions import ETIV

REGIONS = (
    "Left-Thalamus",
    "Right-Hippocampus",
    "Left-Putamen",
    "Left-Amygdala",
    "lh_insula_volume",
    "rh_precuneus_volume",
    "lh_superiorfrontal_volume",
    "rh_entorhinal_volume",
    "lh_pericalcarine_volume",
    "rh_temporalpole_volume",
)
AGES = (8, 20, 40, 60, 80)
Z = (-2.0, -1.0, 0.0, 1.0, 2.0)
LOW, HIGH, CENTRE = 6.0, 86.0, 1.5e6


def draw(truth: NativeModel, n: int, rng: np.random.Generator) -> pd.DataFrame:
    """n people: age uniform, sex, eTIV, volumes with z standard normal in the truth."""
    sex = np.where(rng.random(n) < 0.5, "male", "female")
    etiv = 1e6 * rng.normal(np.where(sex == "male", 1.6, 1.4), 0.13)
    people = pd.DataFrame({"age": rng.uniform(LOW, HIGH, n), "sex": sex, ETIV: etiv})
    volumes = truth.volumes_at(people, rng.standard_normal((n, len(REGIONS))), REGIONS)
    return people.assign(**dict(zip(REGIONS, volumes.T, strict=True)))


def fixed(truth: NativeModel) -> pd.DataFrame:
    """The people that every refit scores: each age and sex, at each z of the truth."""
    people = pd.DataFrame([(float(a), s, CENTRE, z) for a in AGES for s in ("female", "male") for z in Z])
    people.columns = ["age", "sex", ETIV, "z"]
    volumes = truth.volumes_at(people, np.repeat(people[["z"]].to_numpy(), len(REGIONS), axis=1), REGIONS)
    return people.assign(**dict(zip(REGIONS, volumes.T, strict=True)))


def refits(truth: NativeModel, n: int, number: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """z and z_se (refit, person, region) of the fixed people, and the tails (refit, 2) of new ones."""
    people, z, se, tails = fixed(truth), [], [], []
    for i in range(number):
        rng = np.random.default_rng([seed, n, i])
        model = train(draw(truth, n, rng), name="refit", regions=REGIONS, reference_counts=False).model
        found = model.deviations(people)
        z.append(found.z)
        se.append(found.z_se)
        new = model.deviations(draw(truth, 2000, rng)).z
        tails.append([(new <= -1.96).mean(), (new >= 1.96).mean()])
    return np.array(z), np.array(se), np.array(tails)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--people", type=int, nargs="+", default=[400, 3000])
    parser.add_argument("--refits", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    truth, start = load_model("open-calibrated"), time.perf_counter()
    ages = fixed(truth)["age"].to_numpy()
    print("| people | " + " | ".join(f"age {age}" for age in AGES) + " | lower tail % | upper tail % |")
    print("|---|" + "---|" * (len(AGES) + 2))
    for n in options.people:
        z, se, tails = refits(truth, n, options.refits, options.seed)
        spread, said = z.var(axis=0, ddof=1), (se**2).mean(axis=0)
        ratio = [np.sqrt(spread[ages == age].mean() / said[ages == age].mean()) for age in AGES]
        shown = " | ".join(f"{value:.2f}" for value in ratio)
        print(f"| {n} | {shown} | " + " | ".join(f"{100 * tail:.2f}" for tail in tails.mean(axis=0)) + " |", flush=True)
        by_region = np.sqrt(spread.mean(axis=0) / said.mean(axis=0))
        print("<!-- by region: " + ", ".join(f"{r} {v:.2f}" for r, v in zip(REGIONS, by_region, strict=True)) + " -->")
    print(f"\n{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
