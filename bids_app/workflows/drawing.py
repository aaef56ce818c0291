"""Draw a graph with ``--write-graph``: graphviz when it is installed, its source always."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import networkx as nx
from nipype.pipeline import engine as pe

from bids_app.tables import atomic_write


def draw_graph(workflow: pe.Workflow, folder: Path) -> list[Path]:
    """Write ``graph.dot`` and, where ``dot`` is installed, ``graph.svg`` of the graph of nodes."""
    flat = workflow._create_flat_graph()
    text = _dot(flat)
    written = [atomic_write(folder / "graph.dot", text)]
    if shutil.which("dot"):
        svg = subprocess.run(["dot", "-Tsvg"], input=text, text=True, capture_output=True, check=False)
        if svg.returncode == 0:
            written.append(atomic_write(folder / "graph.svg", svg.stdout))
    return written


def _dot(flat: nx.DiGraph) -> str:
    names = {node: f"{node._hierarchy}.{node.name}" for node in flat.nodes()}
    lines = ["digraph normvol {", "  rankdir=TB; node [shape=box, fontname=sans, fontsize=10];"]
    for name in sorted(names.values()):
        lines.append(f'  "{name}" [label="{name.rsplit(".", 1)[-1]}"];')
    lines += sorted(f'  "{names[a]}" -> "{names[b]}";' for a, b in flat.edges())
    return "\n".join([*lines, "}"]) + "\n"
