"""A large cohort: wall time, CPU time and memory by its size; who fails, and that a second run does only those.

    python benchmarks/bench_scale.py [--people 1000] [--nprocs 2] [--folder FOLDER] [--plan-only]

Synthetic people are written with volumes from the default model. The participant level runs on a quarter, a half
and all of them (each into a new folder, so that growth is visible); in the last run twelve are broken, each in
another way. They are repaired and the same command runs again, then the group level. With ``--plan-only`` nobody is
scored but one person: how long a dry run and a run of one label take.

Targets (processor seconds on two idle cores): 0.25 per scored person of 2,000, one label out of 10,000 2.5, a dry run
of 10,000 12 beside the index, nothing to do for 10,000 15.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import psutil

from bids_app.freesurfer.synthetic import write_subject
from bids_app.normative.registry import load_model
from bids_app.regions import ASYMMETRY_PREFIX, ETIV, region_table
from bids_app.simulation.correlated import correlated_z
from bids_app.tables import write_json, write_tsv

MODEL = "open-calibrated"


class Cost(NamedTuple):
    """One command: exit code, wall and CPU seconds, highest memory (MB) of the program and of its workers."""

    code: int
    wall: float
    cpu: float
    parent_mb: float
    worker_mb: float


def measure(arguments: list[str], log: Path) -> Cost:
    """Run normvol with `arguments`, its messages in `log`; compiled modules are kept, as of an installed program."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    start = time.perf_counter()
    with log.open("w", encoding="utf-8") as stream:
        command = [sys.executable, "-m", "bids_app.cli.main", *arguments]
        process = subprocess.Popen(command, stdout=stream, stderr=stream, env=environment)
        peaks, stop = [0.0, 0.0], threading.Event()
        watcher = threading.Thread(target=_watch, args=(process.pid, peaks, stop))
        watcher.start()
        _, status, usage = os.wait4(process.pid, 0)
        stop.set()
        watcher.join()
    process.returncode = os.waitstatus_to_exitcode(status)
    return Cost(process.returncode, time.perf_counter() - start, usage.ru_utime + usage.ru_stime, *peaks)


def _watch(pid: int, peaks: list[float], stop: threading.Event) -> None:
    """Keep the highest resident memory of the program, and of any one process that it or its workers started."""
    while not stop.wait(0.2):
        try:
            program = psutil.Process(pid)
            peaks[0] = max(peaks[0], program.memory_info().rss / 2**20)
            peaks[1] = max([peaks[1], *(child.memory_info().rss / 2**20 for child in program.children(recursive=True))])
        except psutil.Error:
            continue


def write_dataset(root: Path, n_people: int) -> list[str]:
    """A BIDS dataset of `n_people` with FreeSurfer trees in ``derivatives/freesurfer``; returns the labels."""
    model, rng = load_model(MODEL), np.random.default_rng(7)
    people = pd.DataFrame(
        {
            "participant_id": [f"sub-{index:04d}" for index in range(1, n_people + 1)],
            "age": rng.uniform(20, 80, n_people).round(1),
            "sex": rng.choice(["F", "M"], n_people),
            "group": rng.choice(["patient", "control"], n_people),
            "site": rng.choice(["north", "south", "west"], n_people),
        }
    )
    data = pd.DataFrame(
        {
            "age": people["age"],
            "sex": people["sex"].map({"F": "female", "M": "male"}),
            ETIV: rng.normal(1.5e6, 1e5, n_people).round(),
            "fs_version": "7.4.1",
        }
    )
    atlas = region_table()["atlas"]
    regions = tuple(
        name
        for name in model.regions
        if not name.startswith(ASYMMETRY_PREFIX) and atlas.get(name, "global") != "global"
    )
    volumes = np.maximum(model.volumes_at(data, correlated_z(n_people, regions, rng), regions), 1)
    for name, etiv, row in zip(people["participant_id"], data[ETIV], volumes, strict=True):
        measured = dict(zip(regions, map(float, row), strict=True))
        write_subject(root / "derivatives/freesurfer" / name, measured, etiv=etiv)
        (root / name / "anat").mkdir(parents=True, exist_ok=True)
        (root / name / "anat" / f"{name}_T1w.nii.gz").touch()
    description = {"Name": "bench_scale", "BIDSVersion": "1.10.0", "DatasetType": "raw"}
    write_json(description, root / "dataset_description.json")
    write_tsv(people, root / "participants.tsv")
    return [name.removeprefix("sub-") for name in people["participant_id"]]


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _without_etiv(path: Path) -> None:
    path.write_text("".join(line for line in path.read_text().splitlines(True) if ETIV not in line))


def _dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to("../../../.git/annex/objects/aa/bb/MD5E-s1--0.stats/MD5E-s1--0.stats")


def _unmeasured(folder: Path, column: str) -> None:
    """Take the person's age or sex away."""
    table = folder.parents[2] / "participants.tsv"
    people = pd.read_csv(table, sep="\t", dtype=str)
    people.loc[people["participant_id"] == folder.name, column] = "n/a"
    write_tsv(people, table)


# Each takes the subject directory of the person to break.
BREAKS: dict[str, Callable[[Path], object]] = {
    "aseg.stats absent": lambda folder: (folder / "stats/aseg.stats").unlink(),
    "aseg.stats empty": lambda folder: (folder / "stats/aseg.stats").write_bytes(b""),
    "aseg.stats truncated": lambda folder: _truncate(folder / "stats/aseg.stats"),
    "aseg.stats without eTIV": lambda folder: _without_etiv(folder / "stats/aseg.stats"),
    "aseg.stats not fetched": lambda folder: _dangling(folder / "stats/aseg.stats"),
    "lh.aparc.stats truncated": lambda folder: _truncate(folder / "stats/lh.aparc.stats"),
    "rh.aparc.stats binary": lambda folder: (folder / "stats/rh.aparc.stats").write_bytes(bytes(range(256)) * 9),
    "recon-all failed": lambda folder: (folder / "scripts/recon-all.error").write_text("CMD mri_ca_label\n"),
    "tree absent": shutil.rmtree,
    "no age": lambda folder: _unmeasured(folder, "age"),
    "no sex": lambda folder: _unmeasured(folder, "sex"),
}
BLOCKED = "output folder blocked by a file"


def break_twelve(root: Path, output: Path, labels: list[str]) -> dict[str, str]:
    """Break twelve people spread over the cohort; returns label to kind. A copy of what is broken is kept."""
    chosen = labels[3 :: len(labels) // 12][:12]
    shutil.copy(root / "participants.tsv", root / "participants.tsv.whole")
    broken = dict(zip(chosen, [*BREAKS, BLOCKED], strict=True))
    for label, kind in broken.items():
        folder = root / "derivatives/freesurfer" / f"sub-{label}"
        shutil.copytree(folder, root / "whole" / folder.name)
        if kind == BLOCKED:
            (output / folder.name).mkdir(parents=True)
            (output / folder.name / "anat").touch()
        else:
            BREAKS[kind](folder)
    return broken


def repair(root: Path, output: Path, broken: dict[str, str]) -> None:
    """Undo `break_twelve`."""
    (root / "participants.tsv.whole").replace(root / "participants.tsv")
    for label, kind in broken.items():
        folder = root / "derivatives/freesurfer" / f"sub-{label}"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.move(root / "whole" / folder.name, folder)
        if kind == BLOCKED:
            (output / folder.name / "anat").unlink()


def statuses(output: Path) -> dict[str, dict[str, str]]:
    """Label to the recorded status."""
    found = [json.loads(path.read_text()) for path in (output / "logs/status").glob("sub-*.json")]
    return {row["participant_id"].removeprefix("sub-"): row for row in found}


def check_twelve(output: Path, broken: dict[str, str], closing: str) -> None:
    """Exactly the broken are not scored, and each has a reason, on record and in the closing words."""
    found = {label: row for label, row in statuses(output).items() if row["status"] != "scored"}
    assert set(found) == set(broken), (sorted(found), sorted(broken))
    for label, row in found.items():
        print(f"  sub-{label}  {broken[label]:<32} {row['status']:<8} {row['reason'][:110]}")
        assert row["reason"]
        assert f"sub-{label}" in closing


def show(what: str, people: int, cost: Cost) -> None:
    """One row of the table."""
    per_person = cost.cpu / people * 1000
    print(
        f"| {what:<27} | {people:6d} | {cost.code:4d} | {cost.wall:7.1f} | {cost.cpu:7.1f} | {per_person:13.1f} "
        f"| {cost.parent_mb:10.0f} | {cost.worker_mb:9.0f} |",
        flush=True,
    )


def main(n_people: int, nprocs: int, root: Path, plan_only: bool = False) -> None:
    """Make, run, check and print."""
    bids, log = root / "bids", root / "log.txt"
    given = ["--fs-subjects-dir", str(bids / "derivatives/freesurfer"), "--nprocs", str(nprocs)]
    labels = labels_of(bids) if bids.is_dir() else write_dataset(bids, n_people)
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors, {nprocs} used")
    print(
        "| what                        | people | exit |  wall s |   CPU s | CPU ms/person | program MB | worker MB |"
    )
    print("|---|---|---|---|---|---|---|---|")
    if plan_only:
        show_planning(bids, root, given, log)
        return
    for size in (n_people // 4, n_people // 2):
        output = root / f"out{size}"
        some = ["--participant-label", *labels[:size]]
        show("participant", size, measure([str(bids), str(output), "participant", *given, *some], log))
        shutil.rmtree(output)
    output = root / "out"
    broken = break_twelve(bids, output, labels)
    everybody = [str(bids), str(output), "participant", *given]
    show("participant, 12 broken", n_people, measure(everybody, log))
    check_twelve(output, broken, log.read_text())
    before = {path: path.stat().st_mtime_ns for path in output.glob("sub-*.html")}
    repair(bids, output, broken)
    show("participant again, 12 to do", n_people, measure(everybody, log))
    again = {path.stem for path in output.glob("sub-*.html") if before.get(path) != path.stat().st_mtime_ns}
    assert again == {f"sub-{label}" for label in broken}, sorted(again)
    assert {row["status"] for row in statuses(output).values()} == {"scored"}
    show("participant, nothing to do", n_people, measure(everybody, log))
    show_planning(bids, root, given, log)
    show("group", n_people, measure([str(bids), str(output), "group"], log))
    print(
        f"group.html {(output / 'group.html').stat().st_size / 1e6:.1f} MB, "
        f"one person's report {(output / f'sub-{labels[0]}.html').stat().st_size / 1e6:.2f} MB"
    )
    list_files(output, labels[0])


def labels_of(bids: Path) -> list[str]:
    """The people of a dataset that was made before."""
    return [path.name.removeprefix("sub-") for path in sorted(bids.glob("sub-*"))]


def show_planning(bids: Path, root: Path, given: list[str], log: Path) -> None:
    """A dry run, whose second has the index of pybids that the first one kept, and a run of one label of all."""
    labels = labels_of(bids)
    # What an earlier measurement in the same folder left would make this one cheaper
    for name in ("kept", "planned", "one", "work"):
        shutil.rmtree(root / name, ignore_errors=True)
    kept, output = root / "kept", root / "planned"
    plan = [str(bids), str(output), "participant", *given, "--dry-run", "-w", str(kept)]
    show("dry run, with pybids' index", len(labels), measure(plan, log))
    show("dry run, index kept", len(labels), measure(plan, log))
    work = root / "work"
    one = [str(bids), str(root / "one"), "participant", *given, "--participant-label", labels[-1]]
    os.environ["TMPDIR"] = str(work)
    work.mkdir()
    show("one label", 1, measure(one, log))
    del os.environ["TMPDIR"]
    left = sorted(path.name for path in work.iterdir())
    print(f"left in the folder of temporary files: {', '.join(left) or 'nothing'}")


def list_files(output: Path, label: str) -> None:
    """The files of one person in the output folder, and how many there are of each kind."""
    stem = f"sub-{label}"
    found = sorted(path.relative_to(output) for path in output.rglob("*") if path.is_file())
    own = [str(path) for path in found if path.parts[0] == stem or path.name.startswith((f"{stem}.", f"{stem}_"))]
    size = sum((output / path).stat().st_size for path in own)
    print(f"{len(own)} files of {stem}, {size / 1e6:.2f} MB; {len(found)} files in all")
    for path in own:
        print(f"  {path}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=1000, help="size of the cohort, at least 48")
    parser.add_argument("--nprocs", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    parser.add_argument("--plan-only", action="store_true", help="measure dry runs and a run of one label")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        main(options.people, options.nprocs, options.folder or Path(folder), options.plan_only)
