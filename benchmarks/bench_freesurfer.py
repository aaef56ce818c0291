"""Reading many people's FreeSurfer statistics into one table, against a table tool per person and file.

    python benchmarks/bench_freesurfer.py SUBJECTS_DIR [--people 1000] [--nprocs 2] [--peer-people 60]

The real stats files of SUBJECTS_DIR are copied until there are enough people, so the file system is really read.
FreeSurfer's own table tools (asegstats2table, aparcstats2table) are Python programs that scripts call for one person
and file at a time. They are not needed here: a stand-in with the standard library alone does the same job (start,
read one stats file, write one row), which flatters the peer. Both sides use the same number of processes.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

FILES = ("aseg.stats", "lh.aparc.stats", "rh.aparc.stats", "brainvol.stats")
TOOL = """
import sys
path, column = sys.argv[1], sys.argv[2]
names, values, header = [], [], []
for line in open(path):
    if line.startswith("# ColHeaders"):
        header = line.split()[2:]
    elif line.startswith("# Measure"):
        fields = line.split(", ")
        names.append(fields[1]); values.append(fields[-2])
    elif not line.startswith("#"):
        cells = line.split()
        names.append(cells[header.index("StructName")]); values.append(cells[header.index(column)])
print("\\t".join(names)); print("\\t".join(values))
"""
OURS = """
import resource, sys, time
from pathlib import Path
from bids_app.freesurfer.bulk import write_volumes_table

def processor():
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)

root, out, nprocs, n = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
before, start = processor(), time.perf_counter()
bad = write_volumes_table((root / f"sub-{i:05d}" for i in range(n)), out, nprocs=nprocs)
seconds = time.perf_counter() - start
peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024
print(seconds, processor() - before, peak, bad)
"""


def replicate(source: Path, target: Path, people: int) -> None:
    """Copy the stats of the subjects in `source` until there are `people` of them."""
    trees = sorted(path for path in source.iterdir() if (path / "stats" / "aseg.stats").is_file())
    for number in range(people):
        stats = target / f"sub-{number:05d}" / "stats"
        stats.mkdir(parents=True)
        for name in FILES:
            if (trees[number % len(trees)] / "stats" / name).is_file():
                shutil.copy(trees[number % len(trees)] / "stats" / name, stats / name)


def ours(root: Path, n: int, nprocs: int) -> tuple[float, float, float]:
    """Seconds of clock and processors, and peak memory (MB, of the largest process) for `n` people."""
    arguments = [sys.executable, "-c", OURS, str(root), str(root / "volumes.tsv"), str(nprocs), str(n)]
    done = subprocess.run(arguments, check=True, capture_output=True, text=True)
    seconds, processor, peak, bad = map(float, done.stdout.split())
    if bad:
        raise SystemExit(f"{bad:.0f} subjects could not be read")
    return seconds, processor, peak


def peer(root: Path, n: int, nprocs: int) -> tuple[float, float]:
    """Seconds of clock and processors for one table tool process per person and file."""
    tables = (("aseg.stats", "Volume_mm3"), ("lh.aparc.stats", "GrayVol"), ("rh.aparc.stats", "GrayVol"))
    calls = [
        [sys.executable, "-c", TOOL, str(root / f"sub-{number:05d}" / "stats" / name), column]
        for number in range(n)
        for name, column in tables
    ]
    before, start = children_seconds(), time.perf_counter()
    with ThreadPoolExecutor(nprocs) as pool:
        for done in pool.map(lambda call: subprocess.run(call, capture_output=True, check=True), calls):
            if not done.stdout:
                raise SystemExit("a table tool wrote nothing")
    return time.perf_counter() - start, children_seconds() - before


def children_seconds() -> float:
    """Processor time of all finished child processes."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def show(who: str, n: int, clock: float, processor: float, rest: str = "") -> None:
    """One line of the report."""
    print(
        f"{who:12} {n:6d} people {clock:8.2f} s  per person {1e3 * clock / n:7.2f} ms"
        f" (processor {1e3 * processor / n:6.2f} ms){rest}"
    )


def main() -> None:
    """Print both sides of one run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("subjects_dir", type=Path)
    parser.add_argument("--people", type=int, default=1000)
    parser.add_argument("--nprocs", type=int, default=2)
    parser.add_argument("--peer-people", type=int, default=60)
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    n, few = given.people, given.peer_people
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        replicate(given.subjects_dir, root, 4 * n)
        runs = {count: ours(root, count, given.nprocs) for count in (n // 4, n, 4 * n)}
        clock, processor = peer(root, few, given.nprocs)
    for count, (seconds, used, peak) in runs.items():
        show("normvol", count, seconds, used, f", peak {peak:.0f} MB")
    show("table tools", few, clock, processor)
    print(
        f"ratio per person, {given.nprocs} processes each: {clock / few / (runs[n][0] / n):.1f} by the clock, "
        f"{processor / few / (runs[n][1] / n):.1f} in processor time"
    )


if __name__ == "__main__":
    main()
