"""Charts of the participant report: centile fan, expected range of a count, change between sessions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from bids_app.regions import display_name
from bids_app.reports.components import number
from bids_app.reports.figures.svg import Plot, dot, f, line, padded, path, svg, text

CENTILES = ("p05", "p25", "p50", "p75", "p95")
ML = 0.001
INTERVAL_95 = 1.959963984540054


class Visit(NamedTuple):
    """One session's point in a centile chart."""

    label: str
    age: float
    volume: float
    z: float
    deviation: str


def centile_chart(
    region: str, fan: pd.DataFrame, visits: Sequence[Visit], width: float = 300, height: float = 200
) -> str:
    """The 5, 25, 50, 75 and 95 centiles of volume by age, and the person's sessions joined by a line.

    Parameters
    ----------
    fan : DataFrame
        Columns ``age`` and ``p05`` to ``p95`` (mm^3), in order of age.
    """
    curves = {name: fan[name].to_numpy(float) for name in CENTILES}
    ages = fan["age"].to_numpy(float)
    scale = _unit_scale(curves["p50"])
    plot = _centile_plot(ages, curves, visits, scale, width, height)
    across = [plot.px(age) for age in ages]
    down = {name: [plot.py(value * scale) for value in values] for name, values in curves.items()}
    name = display_name(region)
    body = [
        *plot.y_axis(4, "mL" if scale == ML else ""),
        *plot.x_axis(5),
        text(plot.right, plot.bottom + 27, "age, years", "axis-title", "end"),
        _band(across, down["p05"], down["p95"], "fan outer"),
        _band(across, down["p25"], down["p75"], "fan inner"),
        path(zip(across, down["p50"], strict=True), "fan median"),
        *_centile_labels(plot, down),
        *_visits(plot, visits, scale),
    ]
    return svg(width, height, body, f"Centile chart of the {name}: volume by age with the sessions of this person")


def _unit_scale(values: np.ndarray) -> float:
    return ML if np.nanmax(np.abs(values)) > 5 else 1.0


def _centile_plot(
    ages: np.ndarray, curves: dict[str, np.ndarray], visits: Sequence[Visit], scale: float, width: float, height: float
) -> Plot:
    heights = [visit.volume * scale for visit in visits if not math.isnan(visit.volume)]
    low = min([float(np.nanmin(curves["p05"])) * scale, *heights])
    high = max([float(np.nanmax(curves["p95"])) * scale, *heights])
    years = [visit.age for visit in visits]
    return Plot(40, 18, width - 62, height - 52, (min([ages[0], *years]), max([ages[-1], *years])), padded(low, high))


def _band(across: list[float], lower: list[float], upper: list[float], cls: str) -> str:
    points = [*zip(across, lower, strict=True), *zip(across[::-1], upper[::-1], strict=True)]
    return path(points, cls, close=True)


def _centile_labels(plot: Plot, down: dict[str, list[float]]) -> list[str]:
    return [
        text(plot.right + 4, values[-1] + 3, name[1:].lstrip("0"), "centile-label") for name, values in down.items()
    ]


def _visits(plot: Plot, visits: Sequence[Visit], scale: float) -> list[str]:
    points = plot.points([v.age for v in visits], [v.volume * scale for v in visits])
    dots = [
        dot(
            x,
            y,
            4 if visit is visits[-1] else 3,
            f"visit {visit.deviation}",
            f"{visit.label}: {number(visit.age, 1)} years, {number(visit.volume * scale, 3)}"
            f"{' mL' if scale == ML else ''}, z {number(visit.z, 2)}",
        )
        for visit, (x, y) in zip(visits, points, strict=True)
        if not math.isnan(y)
    ]
    return [path(points, "course") if len(points) > 1 else "", *dots]


def range_strip(expected: dict[str, Any], observed: Sequence[tuple[str, float]], tail: str, width: float = 260) -> str:
    """Observed counts as dots over the interval that healthy people show; the last one is the largest dot."""
    low, mean, high = (float(expected.get(key, math.nan)) for key in ("low", "mean", "high"))
    top = max([high if not math.isnan(high) else 0, *(value for _, value in observed), 4]) * 1.08
    plot = Plot(8, 6, width - 16, 16, (0, top), (0, 1))
    middle = plot.top + plot.height / 2
    body = [line(plot.left, middle, plot.right, middle, "axis")]
    if not math.isnan(high):
        body.append(
            f'<rect class="fan inner" x="{f(plot.px(low))}" y="{f(plot.top)}" height="{f(plot.height)}" '
            f'width="{f(plot.px(high) - plot.px(low))}" rx="2"/>'
        )
        body.append(line(plot.px(mean), plot.top, plot.px(mean), plot.bottom, "fan median"))
    last = len(observed) - 1
    body += [
        dot(plot.px(value), middle, 5.5 if i == last else 3, f"count {tail}", f"{label}: {number(value)}")
        for i, (label, value) in enumerate(observed)
    ]
    body += [text(plot.px(tick), plot.bottom + 12, number(tick), "tick", "middle") for tick in _whole_ticks(top)]
    return svg(width, 38, body, f"Observed number against the range expected in healthy people ({tail})")


def _whole_ticks(top: float) -> list[int]:
    step = next(step for step in (1, 2, 5, 10, 20, 50) if top / step <= 6.5 or step == 50)
    return list(range(0, int(top) + 1, step))


def change_chart(rows: pd.DataFrame, width: float = 720) -> str:
    """Change of z per region with its 95 % interval, in the order given.

    Parameters
    ----------
    rows : DataFrame
        ``region``, ``z_change``, ``z_change_se`` and ``reliable`` of ``desc-change``.
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
