"""Drawing primitives: a plot area with linear or logarithmic axes, as SVG text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, cast

import numpy as np
from markupsafe import escape

from bids_app.reports.components import MINUS


def f(value: float) -> str:
    """A coordinate with one decimal, without a trailing zero."""
    text = f"{value:.1f}"
    return text[:-2] if text.endswith(".0") else text


def ticks(low: float, high: float, count: int = 5, whole: bool = False) -> list[float]:
    """Round numbers (of them only whole ones) between `low` and `high`, about `count` of them."""
    span = high - low
    if not span > 0:
        return [low]
    raw = span / max(count, 1)
    power = 10 ** math.floor(math.log10(raw))
    steps = [m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999]
    step = next(step for step in (*steps, 1) if not whole or step == round(step) >= 1)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 10) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten between `low` and `high`."""
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    found = [m * 10.0**p for p in powers for m in (1, 2, 5) if low * 0.999 <= m * 10.0**p <= high * 1.001]
    return found or [low, high]


def tick_text(value: float) -> str:
    """A tick's label."""
    return f"{value:,.6g}".replace(",", " ").replace("-", MINUS) if abs(value) < 1e6 else f"{value:.3g}"


def text(x: float, y: float, content: object, cls: str = "", anchor: str = "") -> str:
    """A text element."""
    extra = (f' class="{cls}"' if cls else "") + _anchored(anchor)
    return f'<text x="{f(x)}" y="{f(y)}"{extra}>{escape(str(content))}</text>'


def line(x1: float, y1: float, x2: float, y2: float, cls: str) -> str:
    """A line element."""
    return f'<line class="{cls}" x1="{f(x1)}" y1="{f(y1)}" x2="{f(x2)}" y2="{f(y2)}"/>'


def path(points: Iterable[tuple[float, float]], cls: str, close: bool = False) -> str:
    """A polyline as a path of steps between tenths of a pixel; gaps (NaN) start a new piece."""
    drawn, last = "", None
    for x, y in points:
        if not (x == x and y == y):
            last = None
            continue
        here = round(10 * x), round(10 * y)
        if last is None:
            drawn += f"M{_tenths(*here)}l"
        elif here != last:
            drawn += _tenths(here[0] - last[0], here[1] - last[1], " " if drawn[-1] != "l" else "")
        last = here
    drawn = drawn.removesuffix("l")
    return f'<path class="{cls}" d="{drawn}{"Z" if close else ""}"/>' if drawn else ""


def sparse(points: Sequence[tuple[float, float]], tolerance: float = 0.1) -> list[tuple[float, float]]:
    """The points of a curve that matter: those left out lie within `tolerance` (pixels, upwards) of the line."""
    kept = [0]
    x0, y0 = points[0] if points else (0.0, 0.0)
    lowest, highest = -math.inf, math.inf
    for end in range(2, len(points)):
        (x, y), (x1, y1) = points[end - 1], points[end]
        # the slopes from the last point kept that pass all points since within the tolerance
        run = (x - x0) or 1
        low, high = (y - tolerance - y0) / run, (y + tolerance - y0) / run
        # NaN when the first is
        if not low <= lowest:
            lowest = low
        if not high >= highest:
            highest = high
        if not lowest <= (y1 - y0) / ((x1 - x0) or 1) <= highest:
            kept.append(end - 1)
            x0, y0 = x, y
            lowest, highest = -math.inf, math.inf
    return [points[i] for i in (*kept, len(points) - 1)] if len(points) > 1 else list(points)


@lru_cache(maxsize=1 << 15)
def _tenths(x: int, y: int, before: str = "") -> str:
    """Two numbers in tenths as path data, as short as it can be; a minus sign parts numbers by itself."""
    first, second = _tenth(x), _tenth(y)
    return f"{'' if first.startswith('-') else before}{first}{'' if second.startswith('-') else ' '}{second}"


@lru_cache(maxsize=4096)
def _tenth(value: int) -> str:
    return f"{value / 10:g}".replace("0.", ".", 1) if abs(value) < 10 else f"{value / 10:g}"


def strokes(lines: Iterable[tuple[float, float, float, float]], cls: str) -> str:
    """Several straight lines (x1, y1, x2, y2) as one path."""
    drawn = "".join(f"M{f(x1)} {f(y1)}{_stroke(x1, y1, x2, y2)}" for x1, y1, x2, y2 in lines)
    return f'<path class="{cls}" d="{drawn}"/>' if drawn else ""


def _stroke(x1: float, y1: float, x2: float, y2: float) -> str:
    if y1 == y2:
        return f"H{f(x2)}"
    return f"V{f(y2)}" if x1 == x2 else f"L{f(x2)} {f(y2)}"


def labels(places: Iterable[tuple[float, float, object]], cls: str, anchor: str = "start") -> str:
    """Several texts (x, y, content) that look alike."""
    inner = "".join(text(*place) for place in places)
    return f'<g class="{cls}"{_anchored(anchor)}>{inner}</g>' if inner else ""


def _anchored(anchor: str) -> str:
    return f' text-anchor="{anchor}"' if anchor not in ("", "start") else ""


def dot(x: float, y: float, radius: float, cls: str, title: str = "") -> str:
    """A circle with an optional tooltip."""
    inner = f"<title>{escape(title)}</title>" if title else ""
    return f'<circle class="{cls}" cx="{f(x)}" cy="{f(y)}" r="{f(radius)}">{inner}</circle>'


def rect(x1: float, y1: float, x2: float, y2: float, cls: str, title: str = "") -> str:
    """A rectangle between two corners with an optional tooltip."""
    end = f"><title>{escape(title)}</title></rect>" if title else "/>"
    size = f'width="{f(max(x2 - x1, 0))}" height="{f(max(y2 - y1, 0))}"'
    return f'<rect class="{cls}" x="{f(x1)}" y="{f(y1)}" {size}{end}'


def svg(width: float, height: float, body: Sequence[str] | str, label: str, cls: str = "chart") -> str:
    """An SVG element with a name for screen readers."""
    content = body if isinstance(body, str) else "".join(body)
    return (
        f'<svg class="{cls}" viewBox="0 0 {f(width)} {f(height)}" width="{f(width)}" height="{f(height)}" role="img" '
        f'aria-label="{escape(label)}">{content}</svg>'
    )


@dataclass(frozen=True)
class Plot:
    """A plot area in pixels and the data ranges of its axes."""

    left: float
    top: float
    width: float
    height: float
    x: tuple[float, float]
    y: tuple[float, float]
    log_x: bool = False

    def px(self, value: float) -> float:
        """Pixel of a data value on the x axis."""
        low, high = self.x
        if self.log_x:
            value, low, high = (math.log(v) if v > 0 else math.log(self.x[0]) for v in (value, low, high))
        return self.left + self.width * (value - low) / ((high - low) or 1)

    def py(self, value: float) -> float:
        """Pixel of a data value on the y axis."""
        low, high = self.y
        return self.top + self.height * (1 - (value - low) / ((high - low) or 1))

    @property
    def bottom(self) -> float:
        return self.top + self.height

    @property
    def right(self) -> float:
        return self.left + self.width

    def clip(self, value: float) -> float:
        """A value held inside the x axis."""
        return min(max(value, self.x[0]), self.x[1])

    def points(self, xs: Iterable[float], ys: Iterable[float]) -> list[tuple[float, float]]:
        """Pixels of data points."""
        if self.log_x:
            return [(self.px(x), self.py(y)) for x, y in zip(xs, ys, strict=True)]
        across, up = (np.array(values if isinstance(values, np.ndarray) else [*values], float) for values in (xs, ys))
        columns: tuple[Any, Any] = self.px(cast(float, across)), self.py(cast(float, up))
        return list(zip(columns[0].tolist(), columns[1].tolist(), strict=True))

    def x_axis(self, count: int = 5, title: str = "", whole: bool = False) -> list[str]:
        """Baseline, ticks and title below the plot."""
        values = log_ticks(*self.x) if self.log_x else ticks(*self.x, count, whole)
        marks = [(self.px(v), self.bottom, self.px(v), self.bottom + 3) for v in values]
        words = labels(((self.px(v), self.bottom + 13, tick_text(v)) for v in values), "tick", "middle")
        name = [text(self.left + self.width / 2, self.bottom + 27, title, "axis-title", "middle")] if title else []
        return [strokes([(self.left, self.bottom, self.right, self.bottom), *marks], "axis"), words, *name]

    def y_axis(self, count: int = 4, title: str = "") -> list[str]:
        """Hairlines across the plot with labels on the left; the title stands above the axis."""
        values = ticks(*self.y, count)
        rules = strokes([(self.left, self.py(v), self.right, self.py(v)) for v in values], "rule")
        words = labels(((self.left - 6, self.py(v) + 3.5, tick_text(v)) for v in values), "tick", "end")
        name = [text(self.left, self.top - 8, title, "axis-title", "start")] if title else []
        return [rules, words, *name]


def padded(low: float, high: float, share: float = 0.05) -> tuple[float, float]:
    """A range widened by `share` on both sides."""
    pad = (high - low) * share or abs(high) * share or 1.0
    return low - pad, high + pad


def spread(positions: Sequence[float], gap: float) -> list[float]:
    """Positions moved down just enough to stay `gap` apart."""
    placed = list(positions)
    order = sorted(range(len(placed)), key=placed.__getitem__)
    for before, after in pairwise(order):
        placed[after] = max(placed[after], placed[before] + gap)
    return placed
