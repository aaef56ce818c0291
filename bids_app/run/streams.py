"""Trees of one person that should not be compared: of both FreeSurfer streams, with the offset between them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bids_app.bids.names import listed
from bids_app.errors import NormvolError
from bids_app.findings import Finding
from bids_app.freesurfer.subject import stream
from bids_app.freesurfer.volumes import read_volumes
from bids_app.regions import reference_regions

LONG = ".long."


def mixed_streams(trees: Sequence[Path]) -> Finding | None:
    """Trees of one person (`trees`) of both streams, with the offset between them where a session has both."""
    by_stream: dict[str, list[Path]] = {}
    for tree in sorted(trees):
        by_stream.setdefault(stream(tree), []).append(tree)
    if len(by_stream) < 2:
        return None
    named = "; ".join(f"{listed([tree.name for tree in found])} {kind}" for kind, found in sorted(by_stream.items()))
    offsets = [offset for tree in sorted(trees) if (offset := _offset_beside(tree)) is not None]
    if not offsets:
        return Finding("streams-mixed", f"{named}; no session has both trees, so their offset is not known")
    usual, thalamus = np.nanmedian(np.array(offsets), axis=0)
    measured = f"median absolute offset of a region {usual:.1f} %, thalamus {thalamus:+.1f} %"
    return Finding("streams-mixed", f"{named}; measured by both in {len(offsets)}: longitudinal less cross, {measured}")


def _offset_beside(tree: Path) -> tuple[float, float] | None:
    """Median absolute offset of a region, and that of the thalamus, in percent, where the other stream's tree of the
    same session lies beside."""
    if LONG in tree.name:
        cross, long = tree.with_name(tree.name.partition(LONG)[0]), tree
    else:
        found = sorted(tree.parent.glob(f"{tree.name}{LONG}*"))
        cross, long = tree, found[0] if found else tree
    if cross == long or not cross.is_dir():
        return None
    try:
        first, last = (_volumes(path) for path in (cross, long))
    except NormvolError:
        return None
    both = [name for name in reference_regions() if first.get(name, 0) > 0 and last.get(name, 0) > 0]
    if not both:
        return None
    offsets = {name: 100 * np.log(last[name] / first[name]) for name in both}
    thalamus = [offsets[name] for name in ("Left-Thalamus", "Right-Thalamus") if name in offsets]
    return float(np.median(np.abs(list(offsets.values())))), float(np.mean(thalamus)) if thalamus else float("nan")


def _volumes(tree: Path) -> dict[str, float]:
    return {row.region: row.volume_mm3 for row in read_volumes(tree, everything=False).rows}
