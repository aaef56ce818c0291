"""A brain map as a list of shapes, independent of the file format that it is written in.

The text on a map says only what the caller's table holds: nothing is estimated here.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from bids_app import regions
from bids_app.errors import UsageError
from bids_app.reports.figures.atlas import CORTEX, SLICES, VIEWS, View, load_atlas, shift_path
from bids_app.reports.figures.colour import SCALES, Scale

GAP = 26
CAPTION = 56
TITLE = 66
MARGIN = 12
BAR = (1000, 34)
SMALL, MEDIUM, LARGE = 40, 42, 52
LETTER = 20
MARKED = ("marked", ", q < 0.05")
FLAGS = {-1: ("infra", ", infra-normal"), 0: ("region", ""), 1: ("supra", ", supra-normal")}


class Shape(NamedTuple):
    """One filled outline; `region` is None for parts that carry no value."""

    path: str
    style: str
    fill: str | None = None
    region: str | None = None
    title: str | None = None
    hatched: bool = False


class Text(NamedTuple):
    x: float
    y: float
    words: str
    size: int
    anchor: str = "middle"
    bold: bool = False


@dataclass(frozen=True)
class Scene:
    """Everything on one map, in drawing order; y grows downwards.

    shapes : context, unflagged regions, flagged regions, sulci, silhouettes
    bar : x, y, width, height of the colour bar; its colours run from `scale.low` to `scale.high`
    """

    width: int
    height: int
    shapes: tuple[Shape, ...]
    texts: tuple[Text, ...]
    bar: tuple[float, float, float, float]
    scale: Scale
    title: str
    description: str


@dataclass(frozen=True)
class MapOptions:
    """How values become a map; see `brainmap.brain_map_svg`."""

    scale: str = "diverging"
    limits: tuple[float, float] | None = None
    label: str = "z"
    threshold: float | None = 1.96
    title: str | None = None
    views: Sequence[str] = VIEWS
    tooltips: Mapping[str, str] = field(default_factory=dict)
    marked: Collection[str] | None = None

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            raise UsageError(f"unknown colour scale {self.scale!r}", f"use one of {', '.join(SCALES)}")
        unknown = [view for view in self.views if view not in VIEWS]
        if unknown or not self.views:
            raise UsageError(f"unknown view {', '.join(unknown) or '(none)'}", f"use some of {', '.join(VIEWS)}")
        if self.limits is not None and not self.limits[0] < self.limits[1]:
            low, high = self.limits
            raise UsageError(f"the limits {low:g} {high:g} must be two numbers, the lower first")

    def flags(self, value: float) -> int:
        """-1 for infra-normal, 1 for supra-normal, 0 for neither or a scale without sign."""
        if self.scale != "diverging" or self.threshold is None:
            return 0
        return (value >= self.threshold) - (value <= -self.threshold)

    def colours(self, values: Mapping[str, float]) -> Scale:
        """The colour scale, with limits that suit the values when none were given."""
        usual = (-4.0, 4.0) if self.scale == "diverging" else (0.0, _round_up(values.values()))
        return Scale(self.scale, *(self.limits or usual))


def _round_up(values) -> float:
    """The smallest of 1, 2, 5, 10 (times a power of ten) that holds all values."""
    highest = max(values, default=1.0)
    if highest <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(highest))
    return next(step * power for step in (1, 2, 3, 4, 5, 6, 8, 10) if step * power >= highest * (1 - 1e-12))


def finite_values(values: Mapping[str, float]) -> dict[str, float]:
    """Region to value without the missing ones; older FreeSurfer names become today's."""
    given = ((str(name), float(value)) for name, value in values.items() if value is not None)
    return {regions.canonical(name): value for name, value in given if math.isfinite(value)}


def as_drawn(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Thickness, or area, under the drawing's names, which are those of volumes, where no volume is there.

    Parameters
    ----------
    values : mapping of region to anything

    Returns
    -------
    mapping
    """
    counted = regions.counted_among(regions.canonical(str(name)) for name, _ in values.items())
    measure = regions.measure_of(counted[0]) if counted else regions.VOLUME
    if measure == regions.VOLUME:
        return values
    return {
        name.removesuffix(measure) + regions.VOLUME if name in counted else name: value
        for name, value in ((regions.canonical(str(name)), value) for name, value in values.items())
    }


def undrawn(values: Mapping[str, float]) -> tuple[str, ...]:
    """Names in `values` that no view shows (global volumes, asymmetry indices, unknown names)."""
    drawn = set(load_atlas().regions(VIEWS))
    pairs = zip([str(name) for name, _ in values.items()], as_drawn(values).items())
    return tuple(name for name, (new, _) in pairs if regions.canonical(str(new)) not in drawn)


def decimals(scale: Scale) -> int:
    """How many decimals tell values of this scale apart: 2 for z, more for narrow limits."""
    return max(2, math.ceil(2 - math.log10((scale.high - scale.low) / 4)))


def number(value: float, digits: int = 2) -> str:
    """A value with at most `digits` decimals and a true minus sign."""
    text = f"{value:.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return text.replace("-", "−") if text != "-0" else "0"


def make_scene(values: Mapping[str, float], options: MapOptions) -> Scene:
    """Lay out `values` (region name to number) on the atlas.

    Raises
    ------
    UsageError
        When no name of `values` is a region of the drawing.
    """
    values = as_drawn(values)
    known = finite_values(values)
    drawn = set(load_atlas().regions(options.views))
    if not drawn & {regions.canonical(str(name)) for name, _ in values.items()}:
        raise UsageError(
            "no region of the table is in the drawing",
            "regions are named as FreeSurfer does, e.g. lh_precuneus_volume or Left-Thalamus",
        )
    known = {name: value for name, value in known.items() if name in drawn}
    scale = options.colours(known)
    places, width, bottom = _places(options)
    shapes, texts = _region_shapes(known, options, scale, places), _captions(places, options, width)
    bar = ((width - BAR[0]) / 2, bottom + 62, *BAR)
    missing = any(name not in known for name in drawn & set(regions.reference_regions()))
    legend_shapes, legend_texts = _legend(known, options, scale, bar, missing)
    title = options.title or f"Brain map of {options.label}"
    return Scene(
        width,
        int(bar[1] + BAR[1] + 138),
        (*shapes, *legend_shapes),
        (*texts, *legend_texts),
        bar,
        scale,
        title,
        _description(known, options, scale),
    )


def _places(options: MapOptions) -> tuple[list[tuple[View, int, int]], int, int]:
    """Upper left corner of every view, the width and the lowest edge: one row of cortex, one of slices."""
    views = load_atlas().views
    rows = [[views[name] for name in row if name in options.views] for row in (CORTEX, SLICES)]
    rows = [row for row in rows if row]
    lengths = [sum(view.size[0] for view in row) + GAP * (len(row) - 1) for row in rows]
    width = max(*lengths, BAR[0] + 400) + 2 * MARGIN
    places, top = [], MARGIN + (TITLE if options.title else 0)
    for row, length in zip(rows, lengths):
        spare = (width - 2 * MARGIN - length) / max(len(row) + 1, 1)
        left, height = MARGIN + spare, max(view.size[1] for view in row)
        top += CAPTION
        for view in row:
            places.append((view, round(left), round(top + (height - view.size[1]) / 2)))
            left += view.size[0] + GAP + spare
        top += height + GAP
    return places, width, top


def _region_shapes(known, options, scale, places) -> list[Shape]:
    """Context, regions (flagged ones last, so that their outlines stay whole), sulci and silhouettes."""
    context = [Shape(shift_path(path, x, y), "context") for view, x, y in places for path in view.context.values()]
    whole: dict[str, str] = {}
    for view, x, y in places:
        for name, path in view.regions.items():
            whole[name] = whole.get(name, "") + shift_path(path, x, y)
    found = [_region_shape(name, path, known.get(name), options, scale) for name, path in whole.items()]
    found.sort(key=lambda shape: shape.style in ("infra", "supra", MARKED[0]))
    shade = [Shape(shift_path(path, x, y), "shade") for view, x, y in places for path in view.shade if path]
    outlines = [Shape(shift_path(view.outline, x, y), "outline") for view, x, y in places]
    return [*context, *found, *shade, *outlines]


def _region_shape(name: str, path: str, value: float | None, options: MapOptions, scale: Scale) -> Shape:
    shown = regions.display_name(name)
    if value is None:
        style = "missing" if name in regions.reference_regions() else "empty"
        return Shape(path, style, None, name, options.tooltips.get(name, f"{shown}: no value"))
    flag = options.flags(value)
    style, remark = MARKED if name in (options.marked or ()) else FLAGS[flag]
    words = f"{shown}: {options.label} = {number(value, decimals(scale))}{remark}"
    return Shape(path, style, scale.hex(value), name, options.tooltips.get(name, words), hatched=flag < 0)


def _captions(places, options: MapOptions, width: int) -> list[Text]:
    texts = [Text(width / 2, MARGIN + 40, options.title, LARGE, bold=True)] if options.title else []
    tops: dict[bool, int] = {}
    for view, _, y in places:
        row = view.name in CORTEX
        tops[row] = min(y, tops.get(row, y))
    for view, x, y in places:
        across = view.size[0]
        texts.append(Text(x + across / 2, tops[view.name in CORTEX] - 14, view.title, SMALL))
        for letter, at in zip(view.sides, (x + 8, x + across - 8)):
            texts.append(Text(at, y + 34, letter, MEDIUM, bold=True))
    return texts


def _legend(known, options: MapOptions, scale: Scale, bar, missing: bool) -> tuple[list[Shape], list[Text]]:
    """The colour bar's numbers and the meaning of outline and hatching."""
    x, y, width, height = bar
    texts = [Text(x + width / 2, y - 18, options.label, MEDIUM)]
    below, above = (
        any(side(value) for value in known.values()) for side in (lambda v: v < scale.low, lambda v: v > scale.high)
    )
    for index, value in enumerate(_ticks(scale)):
        at = x + width * (value - scale.low) / (scale.high - scale.low)
        sign = "≤ " if index == 0 and below else "≥ " if value == scale.high and above else ""
        texts.append(Text(at, y + height + 44, sign + number(value, decimals(scale)), SMALL))
    items = _legend_items(options, scale, missing)
    left = x + width / 2 - sum(72 + LETTER * len(words) + 50 for _, _, words in items) / 2
    shapes = []
    for style, fill, words in items:
        box = f"M{left:.0f},{y + height + 84:.0f}l54 0 0 34-54 0z"
        shapes.append(Shape(box, style, fill, hatched=style == "infra"))
        texts.append(Text(left + 72, y + height + 114, words, SMALL, "start"))
        left += 72 + LETTER * len(words) + 50
    return shapes, texts


def _legend_items(options: MapOptions, scale: Scale, missing: bool) -> list[tuple[str, str | None, str]]:
    items: list[tuple[str, str | None, str]] = []
    if options.scale == "diverging" and options.threshold is not None:
        limit = number(options.threshold, decimals(scale))
        items = [
            ("infra", scale.hex(-options.threshold), f"infra-normal, {options.label} ≤ −{limit}"),
            ("supra", scale.hex(options.threshold), f"supra-normal, {options.label} ≥ {limit}"),
        ]
    if options.marked is not None:
        items.append(
            (MARKED[0], "#ffffff", "q < 0.05") if options.marked else ("empty", None, "no region with q < 0.05")
        )
    return [*items, ("missing", None, "no value")] if missing else items


def _ticks(scale: Scale) -> list[float]:
    return [scale.low + (scale.high - scale.low) * part / 4 for part in range(5)]


def _description(known: Mapping[str, float], options: MapOptions, scale: Scale) -> str:
    """What the picture shows, for people who do not see it."""

    def listed(names):
        return "; ".join(f"{regions.display_name(name)} {number(known[name], digits)}" for name in names)

    digits = decimals(scale)
    order = sorted(known, key=lambda name: (known[name], name))
    if not order:
        return f"{options.label} of brain regions; no region has a value."
    ends = f"{number(scale.low, digits)} to {number(scale.high, digits)}"
    sentences = [
        f"{options.label} of {len(order)} brain regions in colour from {ends}.",
        f"Highest: {listed(order[:-4:-1])}.",
    ]
    if scale.kind == "diverging":
        sentences.insert(1, f"Lowest: {listed(order[:3])}.")
        if options.threshold is not None:
            flags = [options.flags(value) for value in known.values()]
            sentences.append(f"{flags.count(-1)} infra-normal, {flags.count(1)} supra-normal.")
    return " ".join(sentences)
