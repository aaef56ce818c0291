"""Centile charts: the volumes of healthy people by age, and a person's sessions among them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd

from bids_app.regions import display_name
from bids_app.reports.components import number
from bids_app.reports.figures.svg import Plot, dot, labels, line, padded, path, rect, sparse, svg, text, tick_text

CENTILES = ("p05", "p25", "p50", "p75", "p95")
LIMITS = ("p025", "p975")
SHARES = {"p025": 2.5, "p05": 5.0, "p25": 25.0, "p50": 50.0, "p75": 75.0, "p95": 95.0, "p975": 97.5}
LABELLED_FIRST = ("p50", "p975", "p025", "p95", "p05", "p25", "p75")
LABEL_GAP = 8.0
ML = 0.001
INTERVAL_95 = 1.959963984540054
Z_OF_P95 = 1.6448536269514722
YEARS_AROUND = 12.0
INSET = (88.0, 22.0)
# pixels by which a curve may be off
TOLERANCE = 0.3
# width of a digit of the centiles' labels, pixels
DIGIT = 5.0
# pixels of each centile's curve
Curves = dict[str, list[tuple[float, float]]]


class Visit(NamedTuple):
    """One session's point in a centile chart; `z_se` is the standard error of its z, `apart` whether it cannot be
    compared with the session before. A line joins those of a person."""

    label: str
    age: float
    volume: float
    z: float
    deviation: str
    z_se: float = math.nan
    person: str = ""
    apart: bool = False


class Fan(NamedTuple):
    """Ages (years, increasing) and the volumes (mm^3) of each centile at them."""

    ages: np.ndarray
    curves: dict[str, np.ndarray]

    def around(self, visits: Sequence[Visit]) -> Fan:
        """The part within `YEARS_AROUND` of the visits; all of it without visits."""
        if not visits:
            return self
        ends = visits[0].age - YEARS_AROUND, visits[-1].age + YEARS_AROUND
        low, high = (float(np.clip(end, self.ages[0], self.ages[-1])) for end in ends)
        inner = self.ages[np.searchsorted(self.ages, low, "right") : np.searchsorted(self.ages, high)]
        near = np.array([low, *inner, high] if low < high else [low])
        return Fan(near, {name: np.interp(near, self.ages, values) for name, values in self.curves.items()})

    def error(self, visit: Visit) -> float:
        """Half the 95 % interval of a visit's z, in volume on its side of the median; 0 where it is not known."""
        outer = self.curves["p95" if visit.z > 0 else "p05"]
        one_z = abs(float(np.interp(visit.age, self.ages, outer - self.curves["p50"]))) / Z_OF_P95
        return 0.0 if math.isnan(visit.z_se) else INTERVAL_95 * visit.z_se * one_z


def centile_chart(
    region: str,
    fan: pd.DataFrame | Mapping[str, np.ndarray],
    visits: Sequence[Visit],
    ahead: pd.DataFrame | None = None,
    width: float = 300,
    height: float = 214,
) -> str:
    """The centiles of volume by age around the person's sessions, which a line joins, and the lifespan as an inset.

    Parameters
    ----------
    fan : DataFrame or mapping of arrays
        Columns ``age``, ``p05`` to ``p95`` and perhaps the limits ``p025`` and ``p975`` (mm^3), in order of age.
    visits : sequence of Visit
        In order of age; none for the whole lifespan.
    ahead : mapping of arrays, optional
        The same columns: what is expected of healthy people with the last session's z after it.
    region : str
    width, height : float
        Pixels.

    Returns
    -------
    str
        SVG.
    """
    later = {} if ahead is None else {region: ahead}
    return centile_charts({region: fan}, {region: visits}, later, width, height)[region]


def centile_charts(
    fans: Mapping[str, pd.DataFrame | Mapping[str, np.ndarray]],
    visits: Mapping[str, Sequence[Visit]],
    ahead: Mapping[str, pd.DataFrame],
    width: float = 300,
    height: float = 214,
) -> dict[str, str]:
    """`centile_chart` of each region of `fans`, all at once: for numpy costs by the call.

    Parameters
    ----------
    fans, visits, ahead : mappings from region
        To what `centile_chart` takes; `visits` and `ahead` of any of the regions of `fans`.
    width, height : float
        Pixels.

    Returns
    -------
    dict of str to str
        SVG by region, in the order of `fans`.
    """
    charts = [
        _arranged(region, _fan(fan), visits.get(region, ()), ahead.get(region), width, height)
        for region, fan in fans.items()
    ]
    lines = _lines([(chart.plot, chart.near, chart.scale) for chart in charts], TOLERANCE)
    small = _lines([(inset, _thinned(chart.whole), 1.0) for chart in charts if (inset := chart.inset)], 2 * TOLERANCE)
    insets = iter(small)
    return {
        chart.region: svg(width, height, _drawn(chart, curves, next(insets) if chart.inset else {}), _label(chart))
        for chart, curves in zip(charts, lines, strict=True)
    }


class _Chart(NamedTuple):
    """A region's centile chart, arranged but not drawn: curves of the lifespan, those near the visits, their plots."""

    region: str
    visits: Sequence[Visit]
    whole: Fan
    near: Fan
    later: Fan | None
    scale: float
    plot: Plot
    inset: Plot | None


def _arranged(
    region: str, whole: Fan, visits: Sequence[Visit], ahead: pd.DataFrame | None, width: float, height: float
) -> _Chart:
    near, scale = whole.around(visits), _unit_scale(whole.curves["p50"])
    later = None if ahead is None or ahead.empty else _fan(ahead)
    plot = _centile_plot(near, visits, scale, width, height, later)
    inset = None
    if near.ages.size < whole.ages.size:
        ends = float(np.nanmin(whole.curves["p05"])), float(np.nanmax(whole.curves["p95"]))
        inset = Plot(plot.right - INSET[0], 3, *INSET, (whole.ages[0], whole.ages[-1]), ends)
    return _Chart(region, visits, whole, near, later, scale, plot, inset)


def _drawn(chart: _Chart, lines: Curves, small: Curves) -> list[str]:
    plot = chart.plot
    return [
        *plot.y_axis(4, "mL" if chart.scale == ML else ""),
        *_age_axis(plot.left, plot.top, plot.width, plot.height, plot.x),
        *_bands(lines),
        *(path(lines[name], "fan limit") for name in LIMITS if name in lines),
        path(lines["p50"], "fan median"),
        *_inset(chart, small, _centile_labels(plot, lines)),
        *(_ahead(plot, chart.later, chart.scale) if chart.later else ()),
        *_visits(plot, chart.visits, chart.scale, chart.near),
    ]


def _label(chart: _Chart) -> str:
    return f"Centile chart of the {display_name(chart.region)}: volume by age with the sessions of this person"


def _thinned(fan: Fan) -> Fan:
    """What a small picture shows: every second age and the last, the outer curves and the median."""
    kept = [*range(0, fan.ages.size - 1, 2), fan.ages.size - 1]
    return Fan(fan.ages[kept], {name: fan.curves[name][kept] for name in ("p05", "p50", "p95")})


def _lines(drawn: Sequence[tuple[Plot, Fan, float]], tolerance: float) -> list[Curves]:
    """The curves of each fan in the pixels of its plot, volumes scaled; those with as many ages at once."""
    alike: dict[tuple[int, tuple[str, ...]], list[int]] = {}
    for position, (_, fan, _) in enumerate(drawn):
        alike.setdefault((fan.ages.size, tuple(fan.curves)), []).append(position)
    found: dict[int, Curves] = {}
    for (_, names), positions in alike.items():
        plots, fans, scales = zip(*(drawn[position] for position in positions), strict=True)
        corners = [(p.left, p.width, *p.x, p.top, p.height, *p.y) for p in plots]
        left, width, x0, x1, top, height, y0, y1 = np.array(corners, float).T[..., None]
        across = left + width * (np.stack([fan.ages for fan in fans]) - x0) / np.where(x1 == x0, 1, x1 - x0)
        volumes = np.stack([[*fan.curves.values()] for fan in fans]) * np.array(scales)[:, None, None]
        share = (volumes - y0[..., None]) / np.where(y1 == y0, 1, y1 - y0)[..., None]
        up = top[..., None] + height[..., None] * (1 - share)
        for position, xs, curves in zip(positions, across.tolist(), up.tolist(), strict=True):
            points = (sparse(list(zip(xs, ys, strict=True)), tolerance) for ys in curves)
            found[position] = dict(zip(names, points, strict=True))
    return [found[position] for position in range(len(drawn))]


def _fan(table: pd.DataFrame | Mapping[str, np.ndarray]) -> Fan:
    return Fan(
        np.asarray(table["age"], float), {name: np.asarray(table[name], float) for name in SHARES if name in table}
    )


def _ahead(plot: Plot, later: Fan, scale: float) -> list[str]:
    """The band that holds nine tenths of what is expected after the last session, and its middle."""
    lines = {
        name: sparse(plot.points(later.ages.tolist(), (values * scale).tolist()))
        for name, values in later.curves.items()
    }
    band = path([*lines["p05"], *lines["p95"][::-1]], "ahead band", close=True)
    return [band, path(lines["p50"], "ahead median")]


def _unit_scale(values: np.ndarray) -> float:
    return ML if np.nanmax(np.abs(values)) > 5 else 1.0


def _centile_plot(
    fan: Fan, visits: Sequence[Visit], scale: float, width: float, height: float, later: Fan | None = None
) -> Plot:
    errors = [fan.error(visit) for visit in visits]
    ends = [visit.volume + side * error for visit, error in zip(visits, errors, strict=True) for side in (-1, 0, 1)]
    bands = [] if later is None else [later.curves["p05"], later.curves["p95"]]
    values = np.concatenate([*fan.curves.values(), *bands, ends]) * scale
    years = [fan.ages[0], fan.ages[-1], *(visit.age for visit in visits), *(() if later is None else later.ages)]
    heights = padded(float(np.nanmin(values)), float(np.nanmax(values)))
    return Plot(40, 32, width - 66, height - 66, (min(years), max(years)), heights)


def _bands(lines: Curves) -> list[str]:
    pairs = (("p05", "p95", "fan outer"), ("p25", "p75", "fan inner"))
    return [path([*lines[low], *lines[high][::-1]], cls, close=True) for low, high, cls in pairs]


def _centile_labels(plot: Plot, lines: Curves) -> list[tuple[float, float, str]]:
    """The centiles' numbers at the right end, the most important first where there is no room for all."""
    placed: dict[str, float] = {}
    for name in LABELLED_FIRST:
        if name in lines and all(abs(lines[name][-1][1] - y) >= LABEL_GAP for y in placed.values()):
            placed[name] = lines[name][-1][1]
    return [(plot.right + 4, y + 3, f"{SHARES[name]:g}") for name, y in placed.items()]


def _inset(chart: _Chart, lines: Curves, words: list[tuple[float, float, str]]) -> list[str]:
    """The whole lifespan in small with the ages of the chart, where these are a part; labels of both after `words`."""
    small, whole, near = chart.inset, chart.whole.ages, chart.near.ages
    if small is None:
        return [labels(words, "centile-label")]
    first, last = (tick_text(round(whole[end])) for end in (0, -1))
    ages = (small.left - 4 - DIGIT * len(first), small.top + 9, first), (small.right + 4, small.top + 9, last)
    return [
        path([*lines["p05"], *lines["p95"][::-1]], "fan outer", close=True),
        path(lines["p50"], "fan median"),
        rect(small.px(near[0]), small.top, small.px(near[-1]), small.bottom, "window"),
        labels([*words, *ages], "centile-label"),
    ]


@lru_cache(maxsize=32)
def _age_axis(left: float, top: float, width: float, height: float, ages: tuple[float, float]) -> tuple[str, ...]:
    """The axis that all charts of a person share."""
    plot = Plot(left, top, width, height, ages, (0, 1))
    return *plot.x_axis(6), text(plot.right, plot.bottom + 27, "age, years", "axis-title", "end")


def _visits(plot: Plot, visits: Sequence[Visit], scale: float, fan: Fan) -> list[str]:
    points = plot.points([v.age for v in visits], [v.volume * scale for v in visits])
    drawn = [(visit, x, y) for visit, (x, y) in zip(visits, points, strict=True) if not math.isnan(y)]
    bars = [
        line(x, plot.py((v.volume - error) * scale), x, plot.py((v.volume + error) * scale), f"whisker {v.deviation}")
        for v, x, _ in drawn
        if (error := fan.error(v))
    ]
    first = {visit.person: visit for visit in reversed(visits)}
    dots = [
        dot(
            x,
            y,
            4 if v is visits[-1] and v.person == visits[0].person else 3,
            f"visit {v.deviation}",
            _visit_words(v, first[v.person], scale),
        )
        for v, x, y in drawn
    ]
    people: dict[str, list[int]] = {}
    for position, visit in enumerate(visits):
        people.setdefault(visit.person, []).append(position)
    courses = [
        step for of in people.values() for step in _course([points[i] for i in of], [visits[i].apart for i in of])
    ]
    return [*courses, *bars, *dots]


def _course(points: Sequence[tuple[float, float]], apart: Sequence[bool]) -> list[str]:
    """The line through a person's sessions; greyed between two that cannot be compared."""
    if len(points) < 2:
        return []
    if not any(apart[1:]):
        return [path(points, "course")]
    return [path(points[i : i + 2], "course apart" if apart[i + 1] else "course") for i in range(len(points) - 1)]


def _visit_words(visit: Visit, first: Visit, scale: float) -> str:
    after = first.label or "the first"
    later = f", {number(visit.age - first.age, 1)} years after {after}" if visit.age > first.age else ""
    size = f"{number(visit.volume * scale, 3)}{' mL' if scale == ML else ''}"
    error = "" if math.isnan(visit.z_se) else f" ± {number(INTERVAL_95 * visit.z_se, 2)}"
    start = f"{visit.label}: " if visit.label else ""
    return f"{start}{number(visit.age, 1)} years{later}, {size}, z {number(visit.z, 2)}{error}"
