"""How time and memory of the normative engine grow from 1,000 to 500,000 people: a table and a picture.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/bench_growth.py [--out FOLDER] [--most 500000]

Simulated people, 82 regions; processor seconds and peak memory of a process of its own for each point. `score` is the
library on a table in memory, `command` is ``normvol-model score`` from Parquet to TSV in chunks of 20,000 rows.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from bench_normative import in_own_process, people

from bids_app.tables import write_tsv

ROWS = (1_000, 5_000, 20_000, 50_000, 100_000, 200_000, 500_000)
LINES = {
    "fit reference": "fit, fractional polynomials",
    "fit calibrated": "fit, calibrated model",
    "score 1000": "score, table in memory",
    "command": "normvol-model score, 20,000 rows at a time",
}
CHUNK = 20_000
# The kernel's ru_maxrss of a child begins with the memory of the process that started it; VmHWM is its own.
PEAK = """
import resource, sys
from bids_app.cli.model import main
code = main(sys.argv[1:])
usage = resource.getrusage(resource.RUSAGE_SELF)
own = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(usage.ru_utime + usage.ru_stime, int(own.split()[1]) / 1024)
sys.exit(code)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("."))
    parser.add_argument("--most", type=int, default=ROWS[-1])
    options = parser.parse_args()
    rows = [n for n in ROWS if n <= options.most]
    table = pd.DataFrame([point(task, n) for task in LINES for n in rows])
    print(table.to_string(index=False, float_format=lambda value: f"{value:.2f}"))
    for task, part in table.groupby("task", sort=False):
        print(f"{task}: time grows as rows to the power {exponent(part):.2f} from 20,000 rows on")
    write_tsv(table, options.out / "growth.tsv")
    draw(table, options.out / "growth.png")


def point(task: str, n: int) -> dict[str, object]:
    """One row of the table: processor seconds and peak memory (MB) of a task on n rows."""
    if task == "command":
        seconds, peak = command(n)
    else:
        _, seconds, _, peak = in_own_process(task, n)
    print(f"{time.strftime('%H:%M:%S')} {task} {n:,}: {seconds:.2f} s, {peak:.0f} MB", file=sys.stderr, flush=True)
    return {"task": LINES[task], "rows": n, "cpu_s": seconds, "us_per_row": 1e6 * seconds / n, "peak_mb": peak}


def command(n: int) -> tuple[float, float]:
    """Processor seconds and peak memory of ``normvol-model score`` on a table of n rows."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "people.parquet"
        people(n).to_parquet(path, row_group_size=CHUNK)
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                PEAK,
                "score",
                str(path),
                "-o",
                str(Path(folder) / "z.tsv"),
                "--chunk-rows",
                str(CHUNK),
            ],
            check=True,
            capture_output=True,
            text=True,
        )
    seconds, peak = done.stdout.split()
    return float(seconds), float(peak)


def exponent(part: pd.DataFrame) -> float:
    """Slope of log seconds over log rows."""
    large = part[part["rows"] >= 20_000]
    return float(np.polyfit(np.log(large["rows"]), np.log(large["cpu_s"]), 1)[0])


def draw(table: pd.DataFrame, path: Path) -> None:
    """Seconds and memory against rows, both logarithmic, with the line of proportional growth."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    shown = {"cpu_s": "processor seconds", "peak_mb": "peak memory of the process (MB)"}
    for axis, (column, label) in zip(axes, shown.items()):
        for task, part in table.groupby("task", sort=False):
            axis.loglog(part["rows"], part[column], marker="o", markersize=4, label=task)
        axis.set(xlabel="people", ylabel=label)
        axis.grid(alpha=0.3)
    ends = np.array([20_000, table["rows"].max()])
    axes[0].loglog(ends, ends / 2e5, linestyle=":", color="grey", label="proportional")
    axes[0].legend(fontsize=8, frameon=False)
    figure.savefig(path, dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    main()
