"""Brain maps of a page: the outlines stand in it once, and every map is a file too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bids_app.reports.figures.atlas import load_atlas
from bids_app.reports.figures.brainmap import brain_map_svg, shared_geometry
from bids_app.reports.figures.scene import as_drawn

GEOMETRY = "atlas"


def page_geometry() -> str:
    """The outlines that the maps of a page refer to; they must be in the page outside of any folded element."""
    return shared_geometry(GEOMETRY)


def map_pair(values: Mapping[str, float], prefix: str, **options: Any) -> tuple[str, str]:
    """A map for the page (with `page_geometry`) and the same as the text of a file.

    Parameters
    ----------
    values : mapping of region to number
    prefix : str
        Start of the ids in the drawing, different for every map of the page.
    options
        As in `brainmap.brain_map_svg`.

    Returns
    -------
    (str, str)
        Both empty when the drawing of the atlas holds none of the regions (asymmetry indices, for example).
    """
    values = as_drawn(values)
    if options.get("tooltips"):
        options["tooltips"] = as_drawn(options["tooltips"])
    if not set(values) & set(load_atlas().regions()):
        return "", ""
    inline = brain_map_svg(values, prefix=prefix, shared=GEOMETRY, **options)
    return inline, brain_map_svg(values, prefix=prefix, standalone=True, **options)
