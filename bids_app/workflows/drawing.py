"""Draw the graph of one person with ``--write-graph``, as nipype draws it."""

from __future__ import annotations

import shutil
from pathlib import Path

from nipype.pipeline import engine as pe

from bids_app.processes import scratch_folder
from bids_app.tables import atomic_write


def draw_graph(workflow: pe.Workflow, folder: Path) -> list[Path]:
    """Write ``graph.svg`` (where graphviz is installed) and ``graph.dot`` of a person's graph.

    Nodes have the colours and sub-graphs the frames of nipype's ``colored`` drawing.
    """
    written = []
    with scratch_folder("normvol-graph-") as place:
        drawn = place / "graph.dot"
        workflow.write_graph(str(drawn), graph2use="colored", format="svg" if shutil.which("dot") else "dot")
        for path in (drawn, drawn.with_suffix(".svg")):
            if path.exists():
                written.append(atomic_write(folder / path.name, path.read_bytes()))
    return written
