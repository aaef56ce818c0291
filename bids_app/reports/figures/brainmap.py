"""Brain maps as SVG: values per region painted on the packaged atlas.

The same map goes into reports (inline, follows the page's text colour) and into files (standalone).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from html import escape

import numpy as np

from bids_app.reports.figures.atlas import VIEWS, load_atlas
from bids_app.reports.figures.colour import colour_map, to_hex
from bids_app.reports.figures.files import FONTS
from bids_app.reports.figures.scene import MapOptions, Scene, Shape, Text, make_scene

INK = "#1a1a1a"
# the brain keeps its own light ground, so that a colour means the same on a dark page
LINES = {
    "region": 'stroke="#5f6368" stroke-width="1.6"',
    "infra": 'stroke="#111" stroke-width="5"',
    "supra": 'stroke="#111" stroke-width="5"',
    "marked": 'stroke="#111" stroke-width="7"',
    "missing": 'stroke="#5f6368" stroke-width="1.6"',
    "empty": 'fill="#eceef0" stroke="#9aa0a6" stroke-width="1.2"',
    "context": 'fill="#dfe2e5" stroke="#9aa0a6" stroke-width="1.2"',
    "shade": 'fill="#000" fill-opacity=".045" pointer-events="none"',
    "outline": 'fill="none" stroke="#3c4043" stroke-width="2.6" pointer-events="none"',
}
UNDER, OVER = ("context",), ("shade", "outline")
FONT = 'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif"'


def brain_map_svg(
    values: Mapping[str, float],
    *,
    scale: str = "diverging",
    limits: tuple[float, float] | None = None,
    label: str = "z",
    threshold: float | None = 1.96,
    title: str | None = None,
    views: Sequence[str] = VIEWS,
    tooltips: Mapping[str, str] | None = None,
    marked: Collection[str] | None = None,
    prefix: str = "brainmap",
    shared: str | None = None,
    standalone: bool = False,
) -> str:
    """Draw one number per region as a self-contained ``<svg>`` element.

    Parameters
    ----------
    values : mapping or Series
        Region name (as in ``data/regions.tsv``) to value; NaN or absence means no value. Names that
        the drawing does not hold are left out (see `scene.undrawn`).
    scale : {'diverging', 'sequential'}
        For signed values such as z, or for amounts such as a prevalence.
    limits : (low, high), optional
        Ends of the colour scale; default -4 to 4, or 0 to the next round number.
    label : str
        What the values are, under the bar and in the tooltips.
    threshold : float or None
        On a diverging scale, regions at or beyond this magnitude get a strong outline, and the negative
        ones are hatched (their sign survives a grey print).
    title : str, optional
    views : sequence of str
        Names from `atlas.VIEWS`.
    tooltips : mapping, optional
        Region name to the text shown on hovering, instead of "<region>: <label> = <value>".
    marked : collection of str, optional
        Regions with a strong outline that the legend explains as q < 0.05 (empty: the legend says there is none).
    prefix : str
        Start of every id in the element; must differ between the maps of one page.
    shared : str, optional
        Prefix given to `shared_geometry`, whose element must be in the same page: the outlines are then
        referred to instead of repeated (only with all views and no title).
    standalone : bool
        A whole file: white ground, fixed colours.

    Raises
    ------
    UsageError
        When no name is a region of the drawing, or an option is unknown.
    """
    if shared and (title or tuple(views) != VIEWS):
        raise ValueError("shared outlines fit the whole map without a title only")
    options = MapOptions(scale, limits, label, threshold, title, tuple(views), tooltips or {}, marked)
    return scene_svg(make_scene(values, options), prefix=prefix, shared=shared, standalone=standalone)


def scene_svg(scene: Scene, *, prefix: str, shared: str | None = None, standalone: bool = False) -> str:
    """`scene` as an ``<svg>`` element; see `brain_map_svg`."""
    size = ""
    if standalone:
        size = f' width="{scene.width / 3:.0f}" height="{scene.height / 3:.0f}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {scene.width} {scene.height}" role="img" '
        f'aria-labelledby="{prefix}-title {prefix}-desc" class="brain-map"{size}>',
        f'<title id="{prefix}-title">{escape(scene.title)}</title>',
        f'<desc id="{prefix}-desc">{escape(scene.description)}</desc>',
        _definitions(scene, prefix),
        '<rect width="100%" height="100%" fill="#fff"/>' if standalone else "",
        '<g stroke-linejoin="round" fill-rule="evenodd">',
        *_shapes(scene, prefix, shared),
        "</g>",
        _bar(scene, prefix),
        f'<g fill="currentColor" {FONT}>',
        *map(_text, scene.texts),
        "</g></svg>\n",
    ]
    drawn = "\n".join(part for part in parts if part)
    return drawn.replace("currentColor", INK).replace(FONT, f'font-family="{FONTS}"') if standalone else drawn


def shared_geometry(prefix: str = "atlas") -> str:
    """A hidden ``<svg>`` with the outlines of all regions, to be put once into a page with several maps."""
    scene = make_scene(dict.fromkeys(load_atlas().regions(), 0.0), MapOptions())
    drawn = [shape for shape in scene.shapes if shape.region]
    paths = "".join(f'<path id="{prefix}-{shape.region}" d="{shape.path}"/>' for shape in drawn)
    under = "".join(_path(shape) for shape in scene.shapes if shape.style in UNDER)
    over = "".join(_path(shape) for shape in scene.shapes if shape.style in OVER)
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" width="0" height="0" style="position:absolute" '
        f'aria-hidden="true"><defs>{paths}<g id="{prefix}-under">{under}</g><g id="{prefix}-over">{over}</g>'
        "</defs></svg>\n"
    )


def _definitions(scene: Scene, prefix: str) -> str:
    stops = colour_map(scene.scale.kind)[np.linspace(0, 254, 17).round().astype(int)]
    gradient = "".join(f'<stop offset="{i / 16:g}" stop-color="{to_hex(c)}"/>' for i, c in enumerate(stops))
    return (
        f'<defs><linearGradient id="{prefix}-bar">{gradient}</linearGradient>'
        f'<pattern id="{prefix}-hatch" width="11" height="11" patternUnits="userSpaceOnUse" '
        'patternTransform="rotate(45)"><path d="M0,0v11" stroke="#fff" stroke-width="5" '
        f'stroke-opacity=".72"/></pattern><pattern id="{prefix}-dots" width="14" height="14" '
        'patternUnits="userSpaceOnUse"><rect width="14" height="14" fill="#fff"/>'
        '<g fill="#5f6368"><circle cx="4" cy="4" r="2.2"/><circle cx="11" cy="11" r="2.2"/></g>'
        "</pattern></defs>"
    )


def _shapes(scene: Scene, prefix: str, shared: str | None) -> list[str]:
    if not shared:
        return [_shape(shape, prefix, None) for shape in scene.shapes]
    own = [_shape(shape, prefix, shared) for shape in scene.shapes if shape.style not in (*UNDER, *OVER)]
    return [f'<use href="#{shared}-under"/>', *own, f'<use href="#{shared}-over"/>']


def _shape(shape: Shape, prefix: str, shared: str | None) -> str:
    if shape.style == "missing":
        shape = shape._replace(fill=f"url(#{prefix}-dots)")
    drawn = _path(shape, shared)
    if not shape.hatched:
        return drawn
    plain = shape._replace(style="hatch", fill=f"url(#{prefix}-hatch)", title=None)
    return drawn + _path(plain, shared)


def _path(shape: Shape, shared: str | None = None) -> str:
    line = LINES.get(shape.style, 'pointer-events="none"')
    fill = f' fill="{shape.fill}"' if shape.fill else ""
    if shared and shape.region:
        start = f'<use href="#{shared}-{shape.region}"{fill} {line}'
        end = "use"
    else:
        start = f'<path d="{shape.path}"{fill} {line}'
        end = "path"
    return f"{start}><title>{escape(shape.title)}</title></{end}>" if shape.title else f"{start}/>"


def _bar(scene: Scene, prefix: str) -> str:
    x, y, width, height = scene.bar
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" fill="url(#{prefix}-bar)" '
        'stroke="#5f6368" stroke-width="1.6"/>'
    )


def _text(text: Text) -> str:
    bold = ' font-weight="600"' if text.bold else ""
    return (
        f'<text x="{text.x:.0f}" y="{text.y:.0f}" font-size="{text.size}" text-anchor="{text.anchor}"{bold}>'
        f"{escape(text.words)}</text>"
    )
