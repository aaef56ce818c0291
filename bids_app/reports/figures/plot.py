"""Brain maps as files: SVG, and PNG or PDF through matplotlib, all from the same drawing.

The bytes of a file depend on nothing but the values, the options and the version of matplotlib.
"""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from bids_app.errors import UsageError
from bids_app.reports.figures.atlas import parse_path
from bids_app.reports.figures.brainmap import INK, scene_svg
from bids_app.reports.figures.colour import colour_map
from bids_app.reports.figures.scene import MapOptions, Scene, Shape, make_scene
from bids_app.tables import atomic_write

FORMATS = (".svg", ".png", ".pdf")
NO_METADATA = {"pdf": {"CreationDate": None, "Creator": None, "Producer": None}, "png": {"Software": None}}
WIDTH_MM = 180
DPI = 300
HATCH_SPACING = 16
# style -> (fill, edge, line width in atlas units, opacity of the fill)
STYLES = {
    "region": (None, "#5f6368", 1.6, 1.0),
    "infra": (None, "#111111", 5.0, 1.0),
    "supra": (None, "#111111", 5.0, 1.0),
    "missing": ("#ffffff", "#5f6368", 1.6, 1.0),
    "empty": ("#eceef0", "#9aa0a6", 1.2, 1.0),
    "context": ("#dfe2e5", "#9aa0a6", 1.2, 1.0),
    "shade": ("#000000", "none", 0.0, 0.045),
    "outline": ("none", "#3c4043", 2.6, 1.0),
}


def save_brain_map(
    values: Mapping[str, float], path: Path | str, *, width_mm: float = WIDTH_MM, dpi: int = DPI, **options: Any
) -> Path:
    """Write the brain map of `values` to `path`; the ending (.svg, .png, .pdf) decides the format.

    Parameters
    ----------
    values : mapping or Series
        Region name to number.
    path : path-like
    width_mm, dpi : number
        Printed width (PNG and PDF) and resolution (PNG).
    **options
        ``scale``, ``limits``, ``label``, ``threshold``, ``title``, ``views``, ``tooltips``: as in
        `brainmap.brain_map_svg`.

    Raises
    ------
    UsageError
        For another ending, an unknown option value, or when no region can be drawn.
    """
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"cannot write {path.name}: the name must end in one of {', '.join(FORMATS)}")
    scene = make_scene(values, MapOptions(**options))
    if path.suffix.lower() == ".svg":
        return atomic_write(path, scene_svg(scene, prefix="brainmap", standalone=True))
    return atomic_write(path, _matplotlib_bytes(scene, path.suffix.lower()[1:], width_mm, dpi))


def _matplotlib_bytes(scene: Scene, file_format: str, width_mm: float, dpi: int) -> bytes:
    import matplotlib
    from matplotlib.figure import Figure

    points = width_mm / 25.4 * 72 / scene.width
    figure = Figure(figsize=(width_mm / 25.4, width_mm / 25.4 * scene.height / scene.width), dpi=dpi)
    axes = figure.add_axes((0, 0, 1, 1), frameon=False, xticks=[], yticks=[])
    axes.set(xlim=(0, scene.width), ylim=(scene.height, 0))
    style = {"hatch.linewidth": HATCH_SPACING / 3 * points, "pdf.fonttype": 42, "font.family": "DejaVu Sans"}
    with matplotlib.rc_context(style):
        for shape in scene.shapes:
            _add_shape(axes, shape, points)
        _add_bar(axes, scene, points)
        for text in scene.texts:
            anchor = {"middle": "center", "start": "left"}[text.anchor]
            weight = "bold" if text.bold else "normal"
            axes.text(
                text.x, text.y, text.words, size=text.size * points, ha=anchor, va="baseline", weight=weight, color=INK
            )
        stream = BytesIO()
        figure.savefig(stream, format=file_format, facecolor="white", metadata=NO_METADATA[file_format])
    return stream.getvalue()


def _add_shape(axes: Any, shape: Shape, points: float) -> None:
    from matplotlib.patches import PathPatch

    fill, edge, width, opacity = STYLES[shape.style]
    outline = _outline(shape.path)
    fill = shape.fill or fill
    axes.add_patch(
        PathPatch(
            outline,
            facecolor=(fill, opacity) if fill != "none" else "none",
            edgecolor=edge,
            linewidth=width * points,
            joinstyle="round",
        )
    )
    if shape.hatched or shape.style == "missing":
        colour, hatch = (("#ffffff", 0.72), "/") if shape.hatched else ("#5f6368", ".")
        # matplotlib draws 6 lines per inch and repetition
        dense = max(1, round(72 / (6 * HATCH_SPACING * points)))
        axes.add_patch(PathPatch(outline, fill=False, linewidth=0, edgecolor=colour, hatch=hatch * dense))


def _outline(path: str) -> Any:
    from matplotlib.path import Path as Outline

    codes = {"M": Outline.MOVETO, "l": Outline.LINETO, "q": Outline.CURVE3, "e": Outline.CURVE3}
    return Outline.make_compound_path(
        *(
            Outline([*ring.points, ring.points[0]], [*(codes[kind] for kind in ring.kinds), Outline.CLOSEPOLY])
            for ring in parse_path(path)
        )
    )


def _add_bar(axes: Any, scene: Scene, points: float) -> None:
    from matplotlib.patches import Rectangle

    x, y, width, height = scene.bar
    colours = np.repeat(colour_map(scene.scale.kind)[None], 2, axis=0)
    limits = axes.axis()
    axes.imshow(colours, extent=(x, x + width, y + height, y), aspect="auto", interpolation="bilinear")
    axes.axis(limits)
    axes.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor="#5f6368", linewidth=1.6 * points))
