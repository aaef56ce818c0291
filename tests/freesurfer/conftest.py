"""Synthetic subject directories for the FreeSurfer tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from bids_app.freesurfer.synthetic import write_subject


@pytest.fixture
def tree(tmp_path) -> Path:
    """A finished, whole, synthetic subject directory named sub-01."""
    return write_subject(tmp_path / "subjects" / "sub-01", {"Left-Thalamus": 7000.04}, etiv=1.5e6)


@pytest.fixture
def fastsurfer(tmp_path) -> Path:
    """A FastSurfer tree: DKT statistics only."""
    folder = write_subject(tmp_path / "fast" / "sub-01", {}, etiv=1.5e6)
    stats = folder / "stats"
    (stats / "aseg+DKT.stats").write_text((stats / "aseg.stats").read_text())
    for hemisphere in ("lh", "rh"):
        lines = (stats / f"{hemisphere}.aparc.stats").read_text().splitlines(keepends=True)
        dkt = [line for line in lines if not line.startswith(("bankssts", "frontalpole", "temporalpole"))]
        (stats / f"{hemisphere}.aparc.DKTatlas.mapped.stats").write_text("".join(dkt))
        (stats / f"{hemisphere}.aparc.stats").unlink()
    return folder


def edit(path: Path, old: str, new: str) -> None:
    """Replace text in a file; the text must be there."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
