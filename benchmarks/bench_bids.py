"""Time of finding scans, reading covariates and reading derivatives back, beside the plain ways of doing it.

    python benchmarks/bench_bids.py [--people 10000] [--derivatives 2000]

Prints a table; both sides of every ratio come from this one run.
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


def with_pybids(root: Path) -> int:
    """The usual query: index every file name, then ask."""
    from bids.layout import BIDSLayout, BIDSLayoutIndexer

    indexer = BIDSLayoutIndexer(validate=False, index_metadata=False)
    return len(BIDSLayout(str(root), validate=False, indexer=indexer).get(suffix="T1w", extension=".nii.gz"))


def with_filter(root: Path) -> int:
    """normvol's own query through pybids, as with a filter file: only anat is indexed."""
    path = root.parent / "filter.json"
    path.write_text('{"t1w": {"datatype": "anat"}}')
    return len(find_scans(root, filter_file=path))


def with_pandas(root: Path) -> pd.DataFrame:
    """The usual collection: one read_table per scan."""
    paths = sorted(root.glob("sub-*/anat/*_desc-deviations_morph.tsv"))
    return pd.DataFrame([read_table(path).set_index("region")["z"] for path in paths])


def timed(task: Callable[[], Any]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    task()
    return time.perf_counter() - start


def main() -> None:
    """Run the comparisons and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=10_000)
    parser.add_argument("--derivatives", type=int, default=2_000)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="normvol-bench-"))
    try:
        skeleton = make_skeleton(folder / "bids", arguments.people)
        output = make_derivatives(folder / "out", arguments.derivatives)
        with_filter(make_skeleton(folder / "small", 2))  # both sides meet a warm import
        find_scans(skeleton)  # and a warm file cache
        one = timed(lambda: find_scans(skeleton, participant_label=["00007"]))
        scans = find_scans(skeleton)
        ours = timed(lambda: find_scans(skeleton))
        filtered, theirs = timed(lambda: with_filter(skeleton)), timed(lambda: with_pybids(skeleton))
        covariates = timed(lambda: read_covariates(skeleton, scans))
        wide, pandas_way = timed(lambda: read_deviations(output)), timed(lambda: with_pandas(output))
    finally:
        shutil.rmtree(folder)
    print(
        f"find_scans, {arguments.people} people          {ours:8.2f} s   pybids {theirs:8.2f} s   "
        f"ratio {theirs / ours:6.1f}"
    )
    print(
        f"find_scans with a filter file      {filtered:8.2f} s   pybids {theirs:8.2f} s   "
        f"ratio {theirs / filtered:6.1f}"
    )
    print(f"find_scans, one of {arguments.people}          {one:8.2f} s")
    print(f"read_covariates, {arguments.people} people     {covariates:8.2f} s")
    print(
        f"read_deviations, {arguments.derivatives} people      {wide:8.2f} s   pandas {pandas_way:8.2f} s   "
        f"ratio {pandas_way / wide:6.1f}"
    )


if __name__ == "__main__":
    main()
