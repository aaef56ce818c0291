"""The brain that turns: scripts beside the reports, once per output folder, which a page loads when it is asked to."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from bids_app.bids.names import output_path
from bids_app.tables import atomic_write

FOLDER = "assets"
SCRIPTS = ("three.js", "brain3d-geometry.js", "brain3d.js")
LICENCE = "LICENSE-three.txt"


def write_viewer(root: Path) -> None:
    """Write the scripts, and the licence of the library among them, into ``assets/`` where they are not there yet."""
    for name in (*SCRIPTS, LICENCE):
        content = _packaged(name)
        path = output_path(root, FOLDER, name)
        if not path.is_file() or path.read_bytes() != content:
            atomic_write(path, content)


@lru_cache
def _packaged(name: str) -> bytes:
    return (files("bids_app.reports") / FOLDER / name).read_bytes()
