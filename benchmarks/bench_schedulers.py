"""Overheads of the ways beyond one machine: wall and CPU seconds per person, on this machine.

    python -m benchmarks.bench_schedulers [--people 100]

The same people are scored here, on two local Dask workers, and, with a Slurm (``SLURM_CONF``), in an array with 50
people per task, and twenty of them with one each. CPU time is that of the jobs, without the daemons of Slurm.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.bench_scale import write_dataset

FEW = 20
ROOT = Path(__file__).resolve().parents[1]


def own_cpu() -> float:
    """CPU seconds of the processes that this one has started and seen end."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def jobs_cpu(output: Path) -> float:
    """CPU seconds that the jobs of an array say at the end of their logs (bash's `times`, second line: children)."""
    total = 0.0
    for log in output.glob("logs/slurm/*/log/*.txt"):
        words = log.read_text(encoding="utf-8").splitlines()[-1]
        total += sum(60 * int(minutes) + float(rest) for minutes, rest in re.findall(r"(\d+)m([\d.]+)s", words))
    return total


def timed(what: str, people: int, command: list[str], output: Path, after: str = "") -> None:
    """Run the command, then wait until `after` answers nothing, and print a row."""
    start, cpu = time.perf_counter(), own_cpu()
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    while after and subprocess.run(after.split(), capture_output=True, text=True, check=True).stdout.strip():
        time.sleep(0.2)
    wall = time.perf_counter() - start
    worked = own_cpu() - cpu + jobs_cpu(output)
    print(f"| {what:<34} | {wall / people:6.2f} | {worked / people:6.2f} |", flush=True)


def main(people: int) -> None:
    """Make the people and print the table."""
    os.environ.update(PYTHONPATH=str(ROOT), OMP_NUM_THREADS="1")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_dataset(root / "bids", people)
        print("| way | wall s per person | CPU s per person |\n|---|---|---|")

        def command(
            name: str, *more: str, module: str = "main", level: tuple[str, ...] = ("participant",)
        ) -> list[str]:
            program = [sys.executable, "-m", f"bids_app.cli.{module}"]
            return [*program, str(root / "bids"), str(root / name), *level, "--recon", "ingest", *more]

        timed("local, 2 processes", people, command("local", "--nprocs", "2"), root / "local")
        (root / "local.yaml").write_text("jobqueue: {local: {n_workers: 2}}\n")
        timed(
            "Dask, 2 workers, started and ended",
            people,
            command("dask", "--scheduler", f"dask:{root}/local.yaml"),
            root / "dask",
        )
        if "SLURM_CONF" in os.environ:
            for size, labels in ((50, []), (1, [f"{number:04d}" for number in range(1, FEW + 1)])):
                given = ["--people-per-task", str(size), "--mem", "1500M", "--submit"]
                some = ["--participant-label", *labels] if labels else []
                array = command(f"array{size}", *given, *some, module="slurm", level=())
                row = f"array, {size} per task, with group level"
                timed(row, len(labels) or people, array, root / f"array{size}", "squeue -h")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=100)
    main(parser.parse_args().people)
