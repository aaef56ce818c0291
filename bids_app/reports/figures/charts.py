"""Charts of the participant report: expected range of a count, numbers of deviations by visit, change of z."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bids_app.regions import display_name
from bids_app.reports.components import number
from bids_app.reports.figures.svg import Plot, dot, line, padded, path, rect, spread, svg, text

INTERVAL_95 = 1.959963984540054
SIDE_WORDS = {"infra": "smaller", "supra": "larger"}


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
