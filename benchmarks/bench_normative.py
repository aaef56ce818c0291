"""Time and memory of fitting and scoring, printed with the peers' figures and as ratios in one run.

Peers' figures are those of the source study's R scripts, R mfp and PCNtoolkit measured once on a machine
with two cores; this script measures normvol only. Use one BLAS thread: ``OPENBLAS_NUM_THREADS=1``. The fits are without
the refits that put the choices into the standard errors; these are timed apart, at the size of the packaged models.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time

import numpy as np
import pandas as pd

from bids_app.normative import resampling
from bids_app.normative.fit import location_scale, mfpr
from bids_app.normative.fitting import fit_calibrated
from bids_app.normative.registry import load_model
from bids_app.regions import ETIV, reference_regions

FULL, PACKAGED, MORE = 62_444, 3_536, 140
PEERS = {
    "fit reference": ("R mfp", 160.0),
    "fit calibrated": ("PCNtoolkit SHASH BLR", 8 * 3600.0),
    "score 1000": ("R scripts", 39.8),
    "score 60000": ("R scripts", 80.0),
}
TASKS = ("fit reference", "fit calibrated", "fit 140 more", "refits", "score 1000", "score 60000")


def people(n: int, seed: int = 0) -> pd.DataFrame:
    """Covariates of n simulated people, and volumes that the calibrated model finds ordinary."""
    rng = np.random.default_rng(seed)
    model = load_model("open-calibrated")
    table = pd.DataFrame(
        {
            "age": rng.uniform(6, 82, n),
            "sex": rng.choice(["female", "male"], n),
            ETIV: rng.normal(1.5e6, 1.4e5, n).clip(1.0e6, 1.9e6),
        }
    )
    regions = reference_regions()
    volumes = np.empty((n, len(regions)))
    for start in range(0, n, 20_000):
        rows = slice(start, start + 20_000)
        z = rng.standard_normal((len(table[rows]), len(regions)))
        volumes[rows] = model.volumes_at(table[rows], z, regions)
    return table.join(pd.DataFrame(volumes, columns=list(regions)))


def fit(table: pd.DataFrame, task: str) -> None:
    """Fit both sexes."""
    regions = list(reference_regions())
    age, etiv, values = (table[name].to_numpy() for name in ("age", ETIV, regions))
    if task == "refits":
        sex = table["sex"].to_numpy(dtype=object)
        resampling.with_choices(fit_calibrated(age, sex, etiv, values), fit_calibrated, age, sex, etiv)
        return
    if task != "fit reference":
        male = (table["sex"] == "male").to_numpy(dtype=float)
        values = np.tile(values, 2)[:, :MORE] if task.endswith("more") else values
        location_scale.fit_location_scale_shape(age, male, etiv, values)
        return
    for sex in ("female", "male"):
        rows = table[table["sex"] == sex]
        mfpr.fit_mfpr(rows["age"].to_numpy(), rows[[ETIV]].to_numpy(), rows[regions].to_numpy())


def measure(task: str, n: int) -> tuple[float, float, float]:
    """Seconds of wall clock and processor, and peak memory in MB beyond the input table."""
    table = people(n)
    model = load_model("open-calibrated")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, processor = time.perf_counter(), time.process_time()
    if not task.startswith("score"):
        fit(table, task)
    else:
        model.deviations(table)
    seconds, used = time.perf_counter() - start, time.process_time() - processor
    return seconds, used, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def in_own_process(task: str, n: int) -> tuple[float, ...]:
    """`measure` in a fresh process, and that process's whole peak memory in MB."""
    command = [sys.executable, __file__, "--task", task, "--rows", str(n)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return tuple(float(value) for value in text.split())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", choices=TASKS)
    parser.add_argument("--rows", type=int)
    options = parser.parse_args()
    if options.task:
        print(*measure(options.task, options.rows), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    print("task                    rows   wall s    cpu s  +MB  peak MB   peer                    seconds   ratio")
    for task in TASKS:
        n = {"fit": FULL, "refits": PACKAGED}.get(task.split()[0]) or int(task.split()[1])
        seconds, used, extra, peak = in_own_process(task, n)
        peer, theirs = PEERS.get(task, ("", np.nan))
        print(
            f"{task:<16} {n:>11,} {seconds:>8.3f} {used:>8.3f} {extra:>4.0f} {peak:>8.0f}   {peer:<22} {theirs:>8.0f}"
            f" {theirs / seconds:>7.0f}"
        )


if __name__ == "__main__":
    main()
