"""Time of indexing datasets with pybids, of reading covariates and of reading derivatives back.

    python benchmarks/bench_bids.py [--people 100 1000 10000] [--derivatives 2000]

Prints a line per size of dataset: all people, all people from the index that a work folder keeps, one label, folder
names alone, covariates.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bids_app.bids.covariates import read_covariates
from bids_app.bids.derivatives import read_deviations
from bids_app.bids.layout import find_scans
from bids_app.bids.names import derivative_path
from bids_app.regions import reference_regions
from bids_app.tables import read_table, write_json, write_tsv


def make_skeleton(root: Path, people: int) -> Path:
    """A BIDS dataset of empty files: anat and func of every person."""
    root.mkdir(parents=True)
    (root / "dataset_description.json").write_text(json.dumps({"Name": "skeleton", "BIDSVersion": "1.9.0"}))
    rows = ["participant_id\tage\tsex"]
    for index in range(people):
        name = f"sub-{index:05d}"
        rows.append(f"{name}\t{20 + index % 60}\t{'FM'[index % 2]}")
        for folder, endings in (("anat", ("T1w.nii.gz", "T1w.json")), ("func", ("task-rest_bold.nii.gz",))):
            (root / name / folder).mkdir(parents=True)
            for ending in endings:
                (root / name / folder / f"{name}_{ending}").write_text("{}" if ending.endswith("json") else "")
    (root / "participants.tsv").write_text("\n".join(rows) + "\n")
    return root


def make_derivatives(root: Path, people: int) -> Path:
    """A derivative dataset with one deviation table per person."""
    rng = np.random.default_rng(1)
    regions = list(reference_regions())
    for index in range(people):
        label = f"{index:05d}"
        table = pd.DataFrame({"region": regions, "volume_mm3": 5000.0, "z": rng.standard_normal(len(regions))})
        write_tsv(table, derivative_path(root, label, desc="deviations"))
        write_json({"participant_id": f"sub-{label}"}, derivative_path(root, label, desc="summary", extension=".json"))
    return root


def with_pandas(root: Path) -> pd.DataFrame:
    """The usual collection: one read_table per scan."""
    paths = sorted(root.glob("sub-*/anat/*_desc-deviations_morph.tsv"))
    return pd.DataFrame([read_table(path).set_index("region")["z"] for path in paths])


def timed(task: Callable[[], Any]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    task()
    return time.perf_counter() - start


def index_times(root: Path, people: int, kept: Path) -> dict[str, float]:
    """Seconds by what is asked of a dataset of `people`."""
    find_scans(root, images=False)  # a warm file cache
    found = {"everybody": timed(lambda: find_scans(root))}
    find_scans(root, kept_dir=kept)
    found["kept index"] = timed(lambda: find_scans(root, kept_dir=kept))
    found["one label"] = timed(lambda: find_scans(root, participant_label=[f"{people // 2:05d}"]))
    scans = find_scans(root, images=False)
    found["names alone"] = timed(lambda: find_scans(root, images=False))
    found["covariates"] = timed(lambda: read_covariates(root, scans))
    return found


def main() -> None:
    """Run the comparisons and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, nargs="+", default=[100, 1_000, 10_000])
    parser.add_argument("--derivatives", type=int, default=2_000)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="normvol-bench-"))
    try:
        find_scans(make_skeleton(folder / "warm", 2))  # the import of pybids
        for people in arguments.people:
            times = index_times(make_skeleton(folder / f"bids{people}", people), people, folder / f"work{people}")
            print(f"{people:6d} people   " + "   ".join(f"{what} {seconds:.2f} s" for what, seconds in times.items()))
        output = make_derivatives(folder / "out", arguments.derivatives)
        wide, pandas_way = timed(lambda: read_deviations(output)), timed(lambda: with_pandas(output))
    finally:
        shutil.rmtree(folder)
    print(f"read_deviations of {arguments.derivatives} people {wide:.2f} s, by pandas {pandas_way:.2f} s")


if __name__ == "__main__":
    main()
