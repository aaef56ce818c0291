"""Time and memory of ComBat and longitudinal ComBat at the size of the source study.

Prints this software's time (best of three, one thread) and its ratio to neuroCombat's times on the same
size. Those are quoted, not measured here, unless neuroCombat is installed.

    OMP_NUM_THREADS=1 python benchmarks/bench_harmonisation.py
"""

from __future__ import annotations

import importlib.util
import resource
import time
from collections.abc import Callable

import numpy as np
import pandas as pd

from bids_app.normative.harmonise.combat import Combat
from bids_app.normative.harmonise.longitudinal_combat import LongitudinalCombat

PEOPLE, FEATURES, SITES = 62_444, 83, 100
SCANS, PATIENTS, SCANNERS = 953, 362, 4
QUOTED = {"R neuroCombat": 1.25, "Python neuroCombat": 2.5}


def main() -> None:
    """Print one line per task and peer."""
    rng = np.random.default_rng(0)
    values = rng.normal(1000, 100, (PEOPLE, FEATURES))
    sites = rng.integers(0, SITES, PEOPLE)
    covariates = np.column_stack([rng.uniform(6, 90, PEOPLE), rng.integers(0, 2, PEOPLE)])
    for mean_only in (True, False):
        seconds = best(lambda mean_only=mean_only: Combat(mean_only).fit_transform(values, sites, covariates))
        print(f"ComBat {PEOPLE} x {FEATURES}, mean_only={mean_only}: {seconds:.3f} s")
    for name, peer in peers(values, sites, covariates).items():
        print(f"  {name} {peer:.2f} s, ratio {peer / seconds:.1f}")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
    people, scanners = rng.integers(0, PATIENTS, SCANS), rng.integers(0, SCANNERS, SCANS)
    seconds = best(lambda: LongitudinalCombat().fit_transform(values[:SCANS], scanners, people, covariates[:SCANS]))
    print(f"longitudinal ComBat {SCANS} scans x {FEATURES}: {seconds:.3f} s")


def best(task: Callable[[], object], repeats: int = 3) -> float:
    """Shortest of some runs, in seconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        task()
        times.append(time.perf_counter() - start)
    return min(times)


def peers(values: np.ndarray, sites: np.ndarray, covariates: np.ndarray) -> dict[str, float]:
    """Times of neuroCombat, measured where it is installed."""
    if importlib.util.find_spec("neuroCombat") is None:
        return {f"{name} (quoted)": seconds for name, seconds in QUOTED.items()}
    from neuroCombat import neuroCombat

    table = pd.DataFrame({"site": sites, "age": covariates[:, 0], "male": covariates[:, 1]})
    measured = best(lambda: neuroCombat(values.T, table, "site", categorical_cols=["male"], continuous_cols=["age"]), 1)
    return {"Python neuroCombat (measured)": measured, "R neuroCombat (quoted)": QUOTED["R neuroCombat"]}


if __name__ == "__main__":
    main()
