"""The packaged drawing of the regions: ``data/atlas.json``, made by ``scripts/make_atlas.py``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

CORTEX = ("lh_lateral", "lh_medial", "rh_medial", "rh_lateral")
SLICES = ("coronal_anterior", "coronal_middle", "axial_superior", "axial_inferior", "sagittal")
VIEWS = CORTEX + SLICES


@dataclass(frozen=True)
class View:
    """One picture of the atlas. Paths are SVG path data in whole atlas units, y downwards.

    size : (width, height)
    sides : letters at the left and right edge (L, R), empty where the title says the side
    outline : silhouette
    context : parts that never carry a value (medial wall, cortex in slices)
    regions : region name to its path; neighbours share their border exactly
    shade : sulci, from wide to deep
    """

    name: str
    title: str
    size: tuple[int, int]
    sides: tuple[str, ...]
    outline: str
    context: Mapping[str, str]
    regions: Mapping[str, str]
    shade: tuple[str, ...]


@dataclass(frozen=True)
class Atlas:
    """All views, in drawing order, and the sentence that says where they come from."""

    source: str
    views: Mapping[str, View]

    def regions(self, views: Iterable[str] = VIEWS) -> tuple[str, ...]:
        """Names of the regions that are visible in `views`."""
        return tuple(dict.fromkeys(name for view in views for name in self.views[view].regions))


@lru_cache(maxsize=1)
def load_atlas() -> Atlas:
    """The packaged drawing (read once)."""
    stored = json.loads((files("bids_app.data") / "atlas.json").read_text(encoding="utf-8"))
    return Atlas(
        stored["source"],
        {
            name: View(
                name,
                view["title"],
                tuple(view["size"]),
                tuple(view["sides"]),
                view["outline"],
                view["context"],
                view["regions"],
                tuple(view["shade"]),
            )
            for name, view in stored["views"].items()
        },
    )


_START = re.compile(r"M(-?\d+),(-?\d+)")


def shift_path(path: str, right: int, down: int) -> str:
    """`path` moved by whole units: only the absolute start of each ring changes."""
    return _START.sub(lambda start: f"M{int(start[1]) + right},{int(start[2]) + down}", path)
