"""Charts of the participant report: centile fan, expected range of a count, change between sessions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd

from bids_app.regions import display_name
from bids_app.reports.components import number
from bids_app.reports.figures.svg import (
    Plot,
    dot,
    labels,
    line,
    padded,
    path,
    rect,
    sparse,
    spread,
    svg,
    text,
    tick_text,
)

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
SIDE_WORDS = {"infra": "smaller", "supra": "larger"}


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
        near = np.unique([low, *self.ages[(self.ages > low) & (self.ages < high)], high])
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
    whole = _fan(fan)
    near, scale = whole.around(visits), _unit_scale(whole.curves["p50"])
    later = None if ahead is None or ahead.empty else _fan(ahead)
    plot = _centile_plot(near, visits, scale, width, height, later)
    lines = _lines(plot, near, scale)
    body = [
        *plot.y_axis(4, "mL" if scale == ML else ""),
        *_age_axis(plot.left, plot.top, plot.width, plot.height, plot.x),
        *_bands(lines),
        *(path(lines[name], "fan limit") for name in LIMITS if name in lines),
        path(lines["p50"], "fan median"),
        *_inset(plot, whole, near, _centile_labels(plot, lines)),
        *(_ahead(plot, later, scale) if later else ()),
        *_visits(plot, visits, scale, near),
    ]
    label = f"Centile chart of the {display_name(region)}: volume by age with the sessions of this person"
    return svg(width, height, body, label)


def _lines(plot: Plot, fan: Fan, scale: float) -> dict[str, list[tuple[float, float]]]:
    """The curves in pixels; of all of them at once, for numpy costs by the call."""
    across = cast(np.ndarray, plot.px(cast(float, fan.ages))).tolist()
    up = cast(np.ndarray, plot.py(cast(float, np.stack([*fan.curves.values()]) * scale))).tolist()
    return {
        name: sparse(list(zip(across, row, strict=True)), TOLERANCE) for name, row in zip(fan.curves, up, strict=True)
    }


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


def _bands(lines: dict[str, list[tuple[float, float]]]) -> list[str]:
    pairs = (("p05", "p95", "fan outer"), ("p25", "p75", "fan inner"))
    return [path([*lines[low], *lines[high][::-1]], cls, close=True) for low, high, cls in pairs]


def _centile_labels(plot: Plot, lines: dict[str, list[tuple[float, float]]]) -> list[tuple[float, float, str]]:
    """The centiles' numbers at the right end, the most important first where there is no room for all."""
    placed: dict[str, float] = {}
    for name in LABELLED_FIRST:
        if name in lines and all(abs(lines[name][-1][1] - y) >= LABEL_GAP for y in placed.values()):
            placed[name] = lines[name][-1][1]
    return [(plot.right + 4, y + 3, f"{SHARES[name]:g}") for name, y in placed.items()]


def _inset(plot: Plot, whole: Fan, near: Fan, words: list[tuple[float, float, str]]) -> list[str]:
    """The whole lifespan in small with the ages of the chart, where these are a part; labels of both after `words`."""
    if near.ages.size >= whole.ages.size:
        return [labels(words, "centile-label")]
    ends = float(np.nanmin(whole.curves["p05"])), float(np.nanmax(whole.curves["p95"]))
    small = Plot(plot.right - INSET[0], 3, *INSET, (whole.ages[0], whole.ages[-1]), ends)
    every = np.unique([*range(0, whole.ages.size, 2), whole.ages.size - 1])
    lines = {
        n: sparse(small.points(whole.ages[every], whole.curves[n][every]), 2 * TOLERANCE) for n in ("p05", "p50", "p95")
    }
    first, last = (tick_text(round(whole.ages[end])) for end in (0, -1))
    ages = (small.left - 4 - DIGIT * len(first), small.top + 9, first), (small.right + 4, small.top + 9, last)
    return [
        path([*lines["p05"], *lines["p95"][::-1]], "fan outer", close=True),
        path(lines["p50"], "fan median"),
        rect(small.px(near.ages[0]), small.top, small.px(near.ages[-1]), small.bottom, "window"),
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


def range_strip(expected: dict[str, Any], observed: Sequence[tuple[str, float]], tail: str, width: float = 260) -> str:
    """Observed counts as dots over the interval that healthy people show; the last one is the largest dot."""
    low, mean, high = (float(expected.get(key, math.nan)) for key in ("low", "mean", "high"))
    top = max([high if not math.isnan(high) else 0, *(value for _, value in observed), 4]) * 1.08
    plot = Plot(8, 6, width - 16, 16, (0, top), (0, 1))
    middle = plot.top + plot.height / 2
    body = [line(plot.left, middle, plot.right, middle, "axis")]
    if not math.isnan(high):
        body.append(rect(plot.px(low), plot.top, plot.px(high), plot.bottom, "fan inner"))
        body.append(line(plot.px(mean), plot.top, plot.px(mean), plot.bottom, "fan median"))
    last = len(observed) - 1
    body += [
        dot(plot.px(value), middle, 5.5 if i == last else 3, f"count {tail}", f"{label}: {number(value)}")
        for i, (label, value) in enumerate(observed)
    ]
    body += [text(plot.px(tick), plot.bottom + 12, number(tick), "tick", "middle") for tick in _whole_ticks(top)]
    return svg(width, 38, body, f"Observed number against the range expected in healthy people ({tail})")


def trend_chart(
    ages: Sequence[float],
    labels: Sequence[str],
    counts: Mapping[str, Sequence[float]],
    expected: Mapping[str, Any],
    width: float = 300,
    height: float = 132,
) -> str:
    """Numbers of deviating regions at each visit, over the range that healthy people show.

    Parameters
    ----------
    ages : sequence of float
        Years, increasing, one per visit.
    labels : sequence of str
        Names of the visits.
    counts : mapping of ``infra`` and ``supra`` to one number per visit
    expected : mapping
        ``low`` and ``high`` of healthy people.
    """
    high = float(expected.get("high", math.nan))
    top = max([4.0, *(value for values in counts.values() for value in values), *([] if math.isnan(high) else [high])])
    plot = Plot(26, 18, width - 84, height - 54, padded(ages[0], ages[-1], 0.06), (0, top * 1.06))
    body = [*plot.y_axis(3, "regions"), *plot.x_axis(4, "age, years")]
    if not math.isnan(high):
        body.append(rect(plot.left, plot.py(high), plot.right, plot.py(float(expected["low"])), "fan outer"))
    ends = spread([plot.py(values[-1]) for values in counts.values()], 12)
    for (side, values), end in zip(counts.items(), ends, strict=True):
        points = plot.points(ages, values)
        body.append(path(points, f"course {side}"))
        body += [
            dot(x, y, 3.4, f"visit {side}", f"{label}, {number(age, 1)} years: {number(value)} {SIDE_WORDS[side]}")
            for (x, y), label, age, value in zip(points, labels, ages, values, strict=True)
        ]
        body.append(text(plot.right + 6, end + 4, SIDE_WORDS[side], f"side {side}"))
    return svg(width, height, body, "Number of deviating regions at each visit, over what healthy people show")


def _whole_ticks(top: float) -> list[int]:
    step = next(step for step in (1, 2, 5, 10, 20, 50) if top / step <= 6.5 or step == 50)
    return list(range(0, int(top) + 1, step))


def change_chart(rows: pd.DataFrame, width: float = 720) -> str:
    """Change of z per region with its 95 % interval, in the order given.

    Parameters
    ----------
    rows : DataFrame
        ``region``, ``z_change``, ``z_change_se`` and ``reliable`` of ``desc-change``.
    width : float
        Pixels.

    Returns
    -------
    str
        SVG.
    """
    change, se = rows["z_change"].to_numpy(float), rows["z_change_se"].to_numpy(float)
    reach = max(1.0, float(np.nanmax(np.abs(change) + INTERVAL_95 * se)))
    plot = Plot(272, 8, width - 292, 19.0 * len(rows), padded(-reach, reach, 0.02), (0, len(rows)))
    body = [line(plot.px(0), plot.top, plot.px(0), plot.bottom, "null"), *plot.x_axis(6, "change in z (95 % interval)")]
    for i, row in enumerate(rows.to_dict("records")):
        y = plot.top + 19.0 * (i + 0.5)
        side = "none" if str(row["reliable"]).lower() != "true" else "infra" if row["z_change"] < 0 else "supra"
        low, high = (row["z_change"] + sign * INTERVAL_95 * row["z_change_se"] for sign in (-1, 1))
        body += [
            text(plot.left - 10, y + 4, display_name(row["region"]), "row-label", "end"),
            line(plot.px(low), y, plot.px(high), y, f"whisker {side}"),
            dot(
                plot.px(row["z_change"]),
                y,
                4,
                f"visit {side}",
                f"{display_name(row['region'])}: {number(row['z_change'], 2)}",
            ),
        ]
    return svg(width, plot.bottom + 34, body, "Change of z between two sessions, by region")
