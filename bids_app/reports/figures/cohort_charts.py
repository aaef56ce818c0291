"""Charts of the group report: counts by group, quality strips, forest, survival, balance and trajectories."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from markupsafe import escape

from bids_app.clinical.figures import Forest, KaplanMeier, LovePlot, Trajectory
from bids_app.regions import display_name
from bids_app.reports.components import number
from bids_app.reports.figures.svg import (
    Plot,
    dot,
    f,
    labels,
    line,
    padded,
    path,
    rect,
    spread,
    strokes,
    svg,
    text,
    ticks,
)

SERIES = 6
ROW = 17.0
MOST_ROWS = 30
COUNTS_WIDTH = 480.0
FEWEST_COUNTS = 12
WIDTH = 720.0
TIME_TICKS = 6


def counts_chart(counts: Mapping[str, np.ndarray], expected: tuple[float, float] | None, tail: str) -> str:
    """Distribution of the number of deviations, one row of bars per group over the expected range.

    Parameters
    ----------
    counts : mapping of group to array of whole numbers
    expected : (low, high) of one healthy scan
    tail : ``infra`` or ``supra``

    Returns
    -------
    str
        SVG.
    """
    most = [int(np.nanmax(values)) for values in counts.values() if len(values)]
    top = max([FEWEST_COUNTS, int(expected[1]) if expected else 0, *most])
    left = label_width(list(counts)) + 30
    body: list[str] = [text(left, 10, "people", "axis-title")]
    for row, (group, values) in enumerate(counts.items()):
        amounts, times = np.unique(values[~np.isnan(values)].astype(int), return_counts=True)
        highest = float(times.max(initial=1))
        plot = Plot(left, 16 + row * 92.0, COUNTS_WIDTH - left - 12, 74.0, (-0.5, top + 0.5), (0, highest / 0.92))
        if expected:
            ends = (plot.px(expected[0] - 0.5), plot.px(expected[1] + 0.5))
            body.append(rect(ends[0], plot.top, ends[1], plot.bottom, "fan outer"))
        levels = ticks(0, highest, 3, whole=True)[1:]
        body += [strokes([(plot.left, plot.py(v), plot.right, plot.py(v)) for v in levels], "rule")]
        body.append(labels(((plot.left - 6, plot.py(v) + 3.5, number(v)) for v in (0.0, *levels)), "tick", "end"))
        body.append(text(plot.left - 30, plot.bottom - 4, group, "row-label", "end"))
        body += [_bar(plot, a, t, tail) for a, t in zip(amounts, times, strict=True)]
        body.append(line(plot.left, plot.bottom, plot.right, plot.bottom, "axis"))
    body += plot.x_axis(8, "number of regions", whole=True)
    return svg(COUNTS_WIDTH, plot.bottom + 34, body, f"Distribution of the number of {tail}-normal regions by group")


def _bar(plot: Plot, amount: int, times: int, tail: str) -> str:
    told = f"{amount} {'region' if amount == 1 else 'regions'}: {times} {'person' if times == 1 else 'people'}"
    return rect(plot.px(amount - 0.4), plot.py(times), plot.px(amount + 0.4), plot.bottom, f"bar {tail}", told)


def quality_strip(title: str, rows: pd.DataFrame) -> str:
    """One measure of all scans as a strip of marks; outliers are ringed and named.

    Parameters
    ----------
    rows : DataFrame
        Rows of one metric of ``group_quality.tsv``.
    title : str
        Name of the metric.

    Returns
    -------
    str
        SVG.
    """
    values = rows["value"].to_numpy(float)
    bounds = [float(rows[name].iloc[0]) for name in ("low", "high")]
    reach = [value for value in (*values, *bounds) if not math.isnan(value)] or [0.0]
    plot = Plot(220, 4, WIDTH - 240, 34, padded(min(reach), max(reach), 0.03), (0, 1))
    outlier = rows["outlier"].astype(str).str.lower().to_numpy() == "true"
    heights = _jitter(len(values))
    body = [text(plot.left - 14, plot.top + 22, title, "row-label", "end"), *plot.x_axis(6)]
    if not any(map(math.isnan, bounds)):
        body.append(rect(plot.px(bounds[0]), plot.top, plot.px(bounds[1]), plot.bottom, "fan outer"))
    body.append(_marks(plot, values[~outlier], heights[~outlier]))
    for value, at, who in zip(values[outlier], heights[outlier], rows["participant_id"][outlier], strict=True):
        body.append(dot(plot.px(value), plot.py(at), 3.5, "flag", f"{who}: {number(float(value))}"))
    return svg(WIDTH, plot.bottom + 18, body, f"{title} of all scans; outliers are listed below")


def _jitter(n: int) -> np.ndarray:
    """Heights between 0.15 and 0.85 that spread neighbours apart, the same in every run."""
    return 0.15 + 0.7 * ((np.arange(n) * 0.618033988749895) % 1)


def _marks(plot: Plot, values: np.ndarray, heights: np.ndarray) -> str:
    points = [(plot.px(v), plot.py(h)) for v, h in zip(values, heights, strict=True) if not math.isnan(v)]
    return f'<path class="marks" d="{"".join(f"M{f(x)} {f(y)}h0" for x, y in points)}"/>' if points else ""


def forest(table: pd.DataFrame, figure: Forest) -> str:
    """Estimates with their intervals, one row each; the largest first when there are many.

    Parameters
    ----------
    table : DataFrame
        The columns that `figure` names, one row per estimate.
    figure : Forest

    Returns
    -------
    str
        SVG; empty where no row can be drawn.
    """
    order, null = _forest_rows(table, figure), _null(table, figure)
    if not len(order):
        return ""
    estimate, low, high = (table[name].to_numpy(float) for name in (figure.estimate, figure.low, figure.high))
    names, p = [display_name(str(label)) for label in table[figure.label]], _p_values(table, figure)
    left = label_width([names[row] for row in order])
    ends = figure.limits or forest_limits(table, figure)
    plot = Plot(left, 8, WIDTH - left - 20, ROW * len(order), ends, (0, 1), figure.log)
    body = [line(plot.px(null), plot.top, plot.px(null), plot.bottom, "null"), *plot.x_axis(6, figure.xlabel or "")]
    for position, row in enumerate(order):
        y = plot.top + ROW * (position + 0.5)
        name = names[row]
        bounds = [plot.px(plot.clip(v)) for v in (low[row], high[row])]
        marks = [
            text(plot.left - 10, y + 4, name, "row-label", "end"),
            "" if np.isnan([low[row], high[row]]).any() else line(bounds[0], y, bounds[1], y, "whisker"),
            _estimate(plot, float(estimate[row]), y, "estimate" if p[row] < 0.05 else "estimate hollow", name),
        ]
        body += [of_region(table["region"].iloc[row], "".join(marks))] if "region" in table else marks
    return svg(WIDTH, plot.bottom + 34, body, "Forest plot: estimates with 95 % intervals")


def of_region(region: object, drawn: str) -> str:
    """Marks that the page selects together with their region."""
    return f'<g data-region="{escape(str(region))}">{drawn}</g>' if isinstance(region, str) else drawn


def _forest_rows(table: pd.DataFrame, figure: Forest) -> np.ndarray:
    """Positions of the rows that are drawn."""
    estimate = table[figure.estimate].to_numpy(float)
    order = np.flatnonzero(~np.isnan(estimate))
    if len(order) > MOST_ROWS:
        distance = np.abs(_distance(estimate[order], _null(table, figure), figure.log))
        order = order[np.argsort(-distance, kind="stable")][:MOST_ROWS]
    return order


def _null(table: pd.DataFrame, figure: Forest) -> float:
    named = (1.0 if figure.log else 0.0) if figure.null is None else figure.null
    return float(table[named].iloc[0] if isinstance(named, str) else named)


def forest_limits(table: pd.DataFrame, figure: Forest) -> tuple[float, float]:
    """Ends of an axis that holds every part of a forest.

    Parameters
    ----------
    table : DataFrame
        The columns that `figure` names; its facets, where it has them, share the axis.
    figure : Forest

    Returns
    -------
    (float, float)
        In the unit of the estimates; on a log axis both above 0.
    """
    parts = [part for _, part in table.groupby(figure.facet, sort=False)] if figure.facet in table else [table]
    held = [
        np.append(part[[figure.low, figure.high]].to_numpy(float)[_forest_rows(part, figure)], _null(part, figure))
        for part in parts
    ]
    reach = np.concatenate(held)
    reach = reach[np.isfinite(reach) & ((reach > 0) | (not figure.log))]
    low, high = float(reach.min()), float(reach.max())
    return (low * 0.95, high * 1.05) if figure.log else padded(low, high)


def _estimate(plot: Plot, value: float, y: float, cls: str, name: str) -> str:
    """A dot, or an arrow at the end of the axis for an estimate that no axis can hold."""
    if math.isinf(value) or (plot.log_x and value <= 0):
        left = value <= 0
        return text(plot.px(plot.clip(value)), y + 4, "←" if left else "→", "tick", "start" if left else "end")
    return dot(plot.px(plot.clip(value)), y, 3.6, cls, f"{name}: {number(value)}")


def label_width(names: Sequence[str]) -> float:
    """Pixels for row labels of 12 px letters, between 110 and 272."""
    return min(max(24 + 6.4 * max(map(len, names), default=0), 110.0), 272.0)


def _distance(values: np.ndarray, null: float, log: bool) -> np.ndarray:
    return np.log(np.maximum(values, 1e-12) / null) if log else values - null


def _p_values(table: pd.DataFrame, figure: Forest) -> np.ndarray:
    """The column of p values, or 0 (every dot filled) when the figure names none."""
    return table[figure.p].to_numpy(float) if figure.p in table else np.zeros(len(table))


def love(table: pd.DataFrame, figure: LovePlot) -> str:
    """Standardised differences before (hollow) and after (filled) matching.

    Parameters
    ----------
    table : DataFrame
        One row per covariate; differences in standard deviations.
    figure : LovePlot

    Returns
    -------
    str
        SVG; the band is the figure's threshold.
    """
    before, after = (table[name].to_numpy(float) for name in (figure.before, figure.after))
    limit = figure.threshold
    reach = max(limit, float(np.nanmax(np.abs(np.concatenate([before, after])))))
    left = label_width([display_name(str(name)) for name in table[figure.label]])
    plot = Plot(left, 8, WIDTH - left - 20, 24.0 * len(table), padded(-reach, reach), (0, 1))
    body = [
        rect(plot.px(-limit), plot.top, plot.px(limit), plot.bottom, "fan outer"),
        line(plot.px(0), plot.top, plot.px(0), plot.bottom, "null"),
        *plot.x_axis(6, "standardised difference: hollow before, filled after matching"),
    ]
    for row, name in enumerate(table[figure.label]):
        y = plot.top + 24.0 * (row + 0.5)
        body.append(text(plot.left - 10, y + 4, display_name(str(name)), "row-label", "end"))
        if np.isfinite(before[row]) and np.isfinite(after[row]):
            body.append(line(plot.px(before[row]), y, plot.px(after[row]), y, "rule"))
        body += [
            dot(plot.px(value), y, 4, cls, f"{name}: {number(float(value), 3)}")
            for value, cls in ((before[row], "estimate hollow"), (after[row], "estimate"))
            if np.isfinite(value)
        ]
    return svg(WIDTH, plot.bottom + 34, body, "Balance of the covariates before and after matching")


def kaplan_meier(table: pd.DataFrame, figure: KaplanMeier) -> str:
    """Survival curves as steps, with bands and the number at risk below.

    Parameters
    ----------
    table : DataFrame
        One row per step: time, share without event (0 to 1); its band, group and number at risk where they are known.
    figure : KaplanMeier

    Returns
    -------
    str
        SVG.
    """
    groups = _groups(table, figure)
    time = table[figure.time].to_numpy(float)
    below = 16.0 * len(groups) + 14 if figure.at_risk in table else 0.0
    plot = Plot(130, 24, WIDTH - 280, 240, (0, float(np.nanmax(time)) or 1.0), (0, 1))
    body = plot.y_axis(4, figure.ylabel or "share without event")
    body += plot.x_axis(TIME_TICKS, figure.xlabel or "time")
    ends = spread([plot.py(float(part[figure.survival].iloc[-1])) for _, part in groups], 13)
    for index, (name, part) in enumerate(groups):
        cls = f"s{index % SERIES}"
        part = part.sort_values(figure.time, kind="stable")
        steps = _steps(part[figure.time].to_numpy(float), part[figure.survival].to_numpy(float))
        if figure.low in part and figure.high in part:
            low, high = (
                _steps(part[figure.time].to_numpy(float), part[column].to_numpy(float))
                for column in (figure.low, figure.high)
            )
            body.append(
                path(
                    [*plot.points(*zip(*low, strict=True)), *plot.points(*zip(*high[::-1], strict=True))],
                    f"ribbon {cls}",
                    close=True,
                )
            )
        body.append(path(plot.points(*zip(*steps, strict=True)), f"series {cls}"))
        body.append(text(plot.right + 8, ends[index] + 4, name, f"series {cls}"))
        if below:
            body += _at_risk(plot, part, figure, plot.bottom + 46 + 16 * index, name, cls)
    if below:
        body.append(text(0, plot.bottom + 32, "at risk", "axis-title"))
    return svg(WIDTH, plot.bottom + 36 + below, body, "Kaplan-Meier curves")


def _steps(time: np.ndarray, level: np.ndarray) -> list[tuple[float, float]]:
    """Corners of the step function that starts at (0, 1)."""
    corners, last = [(0.0, 1.0)], 1.0
    for t, value in zip(time, level, strict=True):
        if math.isfinite(t) and math.isfinite(value):
            corners += [(t, last), (t, value)]
            last = value
    return corners


def _at_risk(plot: Plot, part: pd.DataFrame, figure: KaplanMeier, y: float, name: str, cls: str) -> list[str]:
    """The numbers at risk at the ticks of the axis: those of the next row of the table, nobody after the last."""
    time, risk = part[figure.time].to_numpy(float), part[figure.at_risk].to_numpy(float)
    at = ticks(*plot.x, TIME_TICKS)
    left = np.append(risk, 0.0)[np.searchsorted(time, np.asarray(at) * (1 - 1e-9))]
    marks = [text(plot.px(t), y, number(float(n)), "tick", "middle") for t, n in zip(at, left, strict=True)]
    return [text(0, y, name, f"series {cls}"), *marks]


def trajectory(table: pd.DataFrame, figure: Trajectory) -> str:
    """Lines with bands, one per group.

    Parameters
    ----------
    table : DataFrame
        The columns that `figure` names, each group in the order in which its line is drawn.
    figure : Trajectory

    Returns
    -------
    str
        SVG; bands where both limits are there.
    """
    groups = _groups(table, figure)
    columns = [name for name in (figure.y, figure.low, figure.high) if name in table]
    levels = table[columns].to_numpy(float)
    x = table[figure.x].to_numpy(float)
    plot = Plot(
        60,
        24,
        WIDTH - 230,
        240,
        (float(np.nanmin(x)), float(np.nanmax(x))),
        padded(float(np.nanmin(levels)), float(np.nanmax(levels))),
    )
    body = [*plot.y_axis(5, figure.ylabel or figure.y), *plot.x_axis(6, figure.xlabel or figure.x)]
    ends = spread([plot.py(float(part[figure.y].iloc[-1])) for _, part in groups], 13)
    for index, (name, part) in enumerate(groups):
        cls = f"s{index % SERIES}"
        across = part[figure.x].to_numpy(float)
        if len(columns) == 3:
            body.append(
                path(
                    [
                        *plot.points(across, part[figure.low]),
                        *plot.points(across[::-1], part[figure.high].to_numpy(float)[::-1]),
                    ],
                    f"ribbon {cls}",
                    close=True,
                )
            )
        body.append(path(plot.points(across, part[figure.y]), f"series {cls}"))
        body.append(text(plot.right + 8, ends[index] + 4, name, f"series {cls}"))
    return svg(WIDTH, plot.bottom + 34, body, "Trajectories by group")


def _groups(table: pd.DataFrame, figure: KaplanMeier | Trajectory) -> list[tuple[str, pd.DataFrame]]:
    column = figure.group
    if column not in table:
        return [("", table)]
    return [(str(name), part) for name, part in table.groupby(column, sort=False)]
