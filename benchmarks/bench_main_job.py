"""Wall and CPU time of the main job: one person, 40 people, help, a chain of trivial nodes.

    python benchmarks/bench_main_job.py BIDS_DIR FS_SUBJECTS_DIR

Prints each figure beside its target as a ratio (below 1 is better than asked).
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CHAIN = """
import tempfile, time
from pathlib import Path
import bids_app.workflows
from nipype.interfaces import utility as niu
from nipype.pipeline import engine as pe
from bids_app.run.config import RunConfig
from bids_app.workflows.execution import run_graph
folder = Path(tempfile.mkdtemp())
graph = pe.Workflow("chain", base_dir=str(folder))
identity = "def same(x):\\n    return x\\n"
previous = None
for i in range(6):
    node = pe.Node(niu.Function(input_names=["x"], output_names=["x"]), name=f"n{i}")
    node.inputs.function_str = identity
    if previous is None:
        node.inputs.x = 1
        graph.add_nodes([node])
    else:
        graph.connect(previous, "x", node, "x")
    previous = node
start = time.perf_counter()
run_graph(graph, RunConfig(bids_dir=folder, output_dir=folder, nprocs=2, mem_mb=2000))
print(time.perf_counter() - start)
"""


def cpu_of_children() -> float:
    """CPU seconds of all commands so far, their workers included."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def cost(*arguments: str) -> tuple[float, float]:
    """Wall and CPU seconds that a command takes."""
    start, before = time.perf_counter(), cpu_of_children()
    subprocess.run(arguments, check=False, capture_output=True)
    return time.perf_counter() - start, cpu_of_children() - before


def line(what: str, seconds: tuple[float, float], target: float) -> None:
    """One row of the table."""
    wall, cpu = seconds
    print(
        f"{what:<42}{wall:8.2f} s   target {target:5.2f} s   ratio {wall / target:.2f}   CPU {cpu:6.2f} s", flush=True
    )


def main(bids_dir: str, subjects_dir: str) -> None:
    """Measure and print."""
    normvol = [sys.executable, "-m", "bids_app.cli.main"]
    given = ["participant", "--fs-subjects-dir", subjects_dir, "--nprocs", "2"]
    first = sorted(path.name for path in Path(subjects_dir).glob("sub-*"))[0]
    with tempfile.TemporaryDirectory() as folder:
        line("normvol --help", cost(*normvol, "--help"), 0.5)
        before = cpu_of_children()
        chain = subprocess.run([sys.executable, "-c", CHAIN], check=True, capture_output=True, text=True)
        taken = float(chain.stdout.split()[-1]), cpu_of_children() - before
        line("chain of six trivial nodes (CPU: all)", taken, 1.0)
        one = [*normvol, bids_dir, f"{folder}/one", *given, "--participant-label", first]
        line("one person, FreeSurfer tree to report", cost(*one), 5.0)
        everybody = [*normvol, bids_dir, f"{folder}/all", *given]
        line("everybody, FreeSurfer trees to reports", cost(*everybody), 60.0)
        line("everybody again, nothing to do", cost(*everybody), 60.0)
        line("group level", cost(*normvol, bids_dir, f"{folder}/all", "group"), 60.0)


if __name__ == "__main__":
    main(*sys.argv[1:3])
