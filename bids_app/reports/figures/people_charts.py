"""Charts with a mark per person or region: courses on centiles, scores, shifts of scanners, calibration."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from markupsafe import escape

from bids_app.clinical.figures import Calibration, Courses, Scatter, Shifts
from bids_app.regions import display_name
from bids_app.reports.components import MOST_PEOPLE, number
from bids_app.reports.figures.cohort_charts import SERIES, label_width
from bids_app.reports.figures.svg import Plot, f, labels, line, padded, path, rect, sparse, svg, text

MOST_DOTS = 1500
CLASSES = 5
AGE_PAD = 0.04
SMALL, HEIGHT, WIDTH = 344.0, 268.0, 720.0
LEFT, LEGEND_LINE = 44.0, 14.0
CENTILE_Z = {
    "p025": -1.959963984540054,
    "p05": -1.6448536269514722,
    "p25": -0.6744897501960817,
    "p50": 0.0,
    "p75": 0.6744897501960817,
    "p95": 1.6448536269514722,
    "p975": 1.959963984540054,
}
CENTILE_NAMES = {"p025": "2.5", "p25": "25", "p50": "50", "p75": "75", "p975": "97.5"}
ML = 0.001


class Coloured(NamedTuple):
    """Rows of one colour: what the legend says, the class of the stylesheet, and which rows."""

    name: str
    cls: str
    rows: pd.DataFrame


class Ground(NamedTuple):
    """Centiles over age, by z: flat where they are those of z itself.

    ages : array (n,); volumes : array (7, n), a row per entry of `CENTILE_Z`, or None
    """

    ages: np.ndarray
    volumes: np.ndarray | None = None

    @classmethod
    def of(cls, fan: pd.DataFrame | None, ages: np.ndarray) -> Ground:
        """The centiles of a fan over the years that some ages span.

        Parameters
        ----------
        fan : DataFrame or None
            ``age`` (years, ascending) and the columns of `CENTILE_Z` of one region, in its unit.
        ages : (m,) array
            Years.

        Returns
        -------
        Ground
            Flat without centiles, or where the ages are beyond them.
        """
        ends = padded(float(ages.min()), float(ages.max()), AGE_PAD)
        if fan is None or fan.empty or not set(CENTILE_Z) <= set(fan):
            return cls(np.array(ends))
        known = fan["age"].to_numpy(float)
        first, last = max(ends[0], known[0]), min(ends[1], known[-1])
        if first >= last:
            return cls(np.array(ends))
        near = np.linspace(first, last, 60)
        return cls(near, np.array([np.interp(near, known, fan[name].to_numpy(float)) for name in CENTILE_Z]))

    def height(self, ages: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Where z stands at an age: between centiles in proportion to z, beyond them as the limit does.

        Parameters
        ----------
        ages, z : (m,) arrays

        Returns
        -------
        (m,) array
            In the unit of the fan; `z` itself on flat ground.
        """
        if self.volumes is None:
            return z
        at = np.array([np.interp(ages, self.ages, row) for row in self.volumes])
        knots, middle = np.array(list(CENTILE_Z.values())), len(CENTILE_Z) // 2
        inner = np.array([np.interp(value, knots, column) for value, column in zip(z, at.T, strict=True)])
        ends = np.where(z < 0, at[0] - at[middle], at[-1] - at[middle]) / knots[-1]
        beyond = at[middle] + ends * np.abs(z)
        return np.where(np.abs(z) > knots[-1], beyond, inner)


def courses(table: pd.DataFrame, figure: Courses, fan: pd.DataFrame | None = None) -> str:
    """Everybody's scans on the centiles of one region, each at their own centile, a line per person.

    Parameters
    ----------
    table : DataFrame
        A row per scan, with z in the column `figure.y`.
    figure : Courses
    fan : DataFrame, optional
        ``age`` (years) and ``p025`` to ``p975`` (mm^3) of healthy people of one sex and head size; without it the
        centiles are flat.

    Returns
    -------
    str
        SVG; empty without rows.
    """
    rows = table.dropna(subset=[figure.x, figure.y])
    if rows.empty:
        return ""
    rows = _fewer_people(rows, figure.person).sort_values([figure.person, figure.x], kind="stable")
    ages, z = rows[figure.x].to_numpy(float), rows[figure.y].to_numpy(float)
    ground = Ground.of(fan, ages)
    rows = rows.assign(_height=ground.height(ages, z))
    whole = ground.volumes if ground.volumes is not None else np.array([[-2.2, 2.2]])
    heights = padded(
        min(float(whole.min()), float(rows["_height"].min())), max(float(whole.max()), float(rows["_height"].max()))
    )
    scale = ML if ground.volumes is not None else 1.0
    parts = list(_coloured(rows, figure.colour))
    legend = _legend(parts) if figure.colour in table else []
    top = 20.0 + LEGEND_LINE * len(legend)
    plot = Plot(
        LEFT,
        top,
        SMALL - 78,
        HEIGHT - top - 34,
        padded(float(ages.min()), float(ages.max()), AGE_PAD),
        tuple(scale * h for h in heights),
    )
    body = [
        *plot.y_axis(4, "mL" if scale == ML else "z"),
        *plot.x_axis(5, figure.xlabel or "age, years"),
        *_fan(plot, ground, scale),
        *(_person_lines(plot, part, figure, scale) for part in parts),
        *(_dots(plot, part, figure.x, scale) for part in parts),
        *legend,
    ]
    return svg(
        SMALL, HEIGHT, body, "Scans of everybody by age, each at its own centile, on the centiles of healthy people"
    )


def _fewer_people(rows: pd.DataFrame, person: str) -> pd.DataFrame:
    """At most `MOST_PEOPLE` people, evenly taken from the table."""
    people = rows[person].drop_duplicates()
    if len(people) <= MOST_PEOPLE:
        return rows
    kept = people.iloc[np.linspace(0, len(people) - 1, MOST_PEOPLE).astype(int)]
    return rows[rows[person].isin(kept)]


def _fan(plot: Plot, ground: Ground, scale: float) -> Iterator[str]:
    """Bands between centiles, the median, the limits and the centiles' names at the right end."""
    curves = (
        ground.volumes if ground.volumes is not None else np.outer(list(CENTILE_Z.values()), np.ones(len(ground.ages)))
    )
    drawn = {name: sparse(plot.points(ground.ages, scale * row)) for name, row in zip(CENTILE_Z, curves, strict=True)}
    for low, high, cls in (("p05", "p95", "fan outer"), ("p25", "p75", "fan inner")):
        yield path([*drawn[low], *drawn[high][::-1]], cls, close=True)
    yield path(drawn["p50"], "fan median")
    yield from (path(drawn[name], "fan limit") for name in ("p025", "p975"))
    yield labels(((plot.right + 4, drawn[k][-1][1] + 3, name) for k, name in CENTILE_NAMES.items()), "centile-label")


def _coloured(rows: pd.DataFrame, column: str | None) -> Iterator[Coloured]:
    """The rows by group, or by class of a score from low to high."""
    if column is None or column not in rows:
        yield Coloured("", "s0", rows)
        return
    values = rows[column]
    if not pd.api.types.is_numeric_dtype(values) or values.nunique() <= 1:
        for index, (name, part) in enumerate(rows.groupby(column, sort=True)):
            yield Coloured(str(name), f"s{index % SERIES}", part)
        return
    edges = np.unique(np.nanquantile(values.to_numpy(float), np.linspace(0, 1, CLASSES + 1)))
    place = np.clip(np.searchsorted(edges, values.to_numpy(float), side="right") - 1, 0, len(edges) - 2)
    for index in range(len(edges) - 1):
        part = rows[(place == index) & values.notna().to_numpy()]
        shade = round(index * (CLASSES - 1) / max(len(edges) - 2, 1))
        if len(part):
            ends = part[column].min(), part[column].max()
            name = (
                number(float(ends[0])) if ends[0] == ends[1] else f"{number(float(ends[0]))}–{number(float(ends[1]))}"
            )
            yield Coloured(name, f"c{shade}", part)


def _person_lines(plot: Plot, part: Coloured, figure: Courses, scale: float) -> str:
    pieces = []
    for _, visits in part.rows.groupby(figure.person, sort=False):
        if len(visits) > 1:
            pieces += [*plot.points(visits[figure.x], scale * visits["_height"]), (np.nan, np.nan)]
    return path(pieces, f"people {part.cls}")


def _dots(plot: Plot, part: Coloured, x: str, scale: float = 1.0, y: str = "_height") -> str:
    places = plot.points(part.rows[x].to_numpy(float), scale * part.rows[y].to_numpy(float))
    return f'<path class="dots {part.cls}" d="{"".join(f"M{f(a)} {f(b)}h0" for a, b in places)}"/>' if places else ""


def _legend(parts: list[Coloured]) -> list[str]:
    """The colours' names above the plot, in as many lines as they take."""
    at, lines = LEFT, [""]
    for part in parts:
        wide = 5.6 * len(part.name)
        if lines[-1] and at + 11 + wide > SMALL:
            at, lines = LEFT, [*lines, ""]
        down = LEGEND_LINE * (len(lines) - 1)
        lines[-1] += f'<path class="dots {part.cls}" d="M{f(at + 4)} {f(9 + down)}h0"/>'
        lines[-1] += text(at + 11, 12.5 + down, part.name, "tick")
        at += 22 + wide
    return lines


def scatter(table: pd.DataFrame, figure: Scatter) -> str:
    """A dot per row, a fitted line and the band of its interval.

    Parameters
    ----------
    table : DataFrame
        The columns that `figure` names; rows without x or y are left out.
    figure : Scatter

    Returns
    -------
    str
        SVG with at most `MOST_DOTS` dots, evenly chosen along x; empty without rows.
    """
    rows = table.dropna(subset=[figure.x, figure.y]).sort_values(figure.x, kind="stable")
    if rows.empty:
        return ""
    drawn = rows.iloc[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), MOST_DOTS)).astype(int))]
    bounds = [rows[name].to_numpy(float) for name in (figure.y, figure.low, figure.high) if name in rows]
    x = rows[figure.x].to_numpy(float)
    plot = Plot(
        44,
        22,
        SMALL - 58,
        HEIGHT - 60,
        padded(float(x.min()), float(x.max()), 0.04),
        padded(float(np.nanmin(bounds)), float(np.nanmax(bounds))),
    )
    body = [*plot.y_axis(4, _axis_name(rows, figure.yname, figure.ylabel or figure.y))]
    body += plot.x_axis(5, _axis_name(rows, figure.xname, figure.xlabel or figure.x))
    body.append(_dots(plot, Coloured("", "s0", drawn), figure.x, y=figure.y))
    if figure.fit in rows:
        if figure.low in rows and figure.high in rows:
            low, high = (plot.points(x, rows[name].to_numpy(float)) for name in (figure.low, figure.high))
            body.append(path([*sparse(low), *sparse(high)[::-1]], "ribbon s1", close=True))
        body.append(path(sparse(plot.points(x, rows[figure.fit].to_numpy(float))), "series s1"))
    return svg(SMALL, HEIGHT, body, "A dot per person with a fitted line and its 95 % interval")


def _axis_name(rows: pd.DataFrame, column: str | None, otherwise: str) -> str:
    return str(rows[column].iloc[0]) if column in rows else otherwise


def calibration(table: pd.DataFrame, figure: Calibration) -> str:
    """Share of people below each centile against the centile's own share, on a scale that is wide at the ends.

    Parameters
    ----------
    table : DataFrame
        One row per label and centile, shares from 0 to 1.
    figure : Calibration

    Returns
    -------
    str
        SVG, both axes in normal deviates of the shares; empty without rows.
    """
    from scipy.special import ndtri

    rows = table.dropna(subset=[figure.expected, figure.observed])
    if rows.empty:
        return ""
    expected = np.unique(rows[figure.expected].to_numpy(float))
    ends = min(0.01, expected[0] / 2), 1 - min(0.01, (1 - expected[-1]) / 2)
    at = {share: float(ndtri(share)) for share in expected}
    scale = tuple(float(ndtri(end)) for end in ends)
    plot = Plot(52, 22, 396, 330, scale, scale)

    def place(values: pd.Series) -> np.ndarray:
        return ndtri(np.clip(values.to_numpy(float), *ends))

    marks = [(share, f"{number(100 * share)}") for share in expected]
    body = [
        _grid(plot, [(at[share], name) for share, name in marks]),
        line(plot.left, plot.bottom, plot.right, plot.top, "null"),
    ]
    if figure.low in rows and figure.high in rows:
        band = rows.groupby(figure.expected)[[figure.low, figure.high]].median()
        xs = ndtri(band.index.to_numpy(float))
        low, high = (plot.points(xs, place(band[name])) for name in (figure.low, figure.high))
        body.insert(0, path([*low, *high[::-1]], "fan outer", close=True))
    for label, part in rows.groupby(figure.label, sort=False):
        part = part.sort_values(figure.expected)
        points = plot.points(ndtri(part[figure.expected].to_numpy(float)), place(part[figure.observed]))
        name = f"<title>{escape(display_name(str(label)))}</title>"
        body.append(f'<g data-region="{escape(str(label))}">{name}{path(points, "region")}</g>')
    middle = rows.groupby(figure.expected)[figure.observed].median()
    body.append(path(plot.points(ndtri(middle.index.to_numpy(float)), place(middle)), "series s1"))
    body.append(
        text(
            plot.left + plot.width / 2, plot.bottom + 28, figure.xlabel or "expected, per cent", "axis-title", "middle"
        )
    )
    body.append(text(plot.left, plot.top - 8, figure.ylabel or "observed, per cent", "axis-title"))
    return svg(
        plot.right + 20,
        plot.bottom + 36,
        body,
        "Observed against expected shares of people below each centile, a line per region",
    )


def _grid(plot: Plot, marks: list[tuple[float, str]]) -> str:
    rules = [(plot.left, plot.py(at), plot.right, plot.py(at)) for at, _ in marks]
    rules += [(plot.px(at), plot.top, plot.px(at), plot.bottom) for at, _ in marks]
    drawn = "".join(line(*rule, "rule") for rule in rules)
    return (
        drawn
        + labels(((plot.left - 6, plot.py(at) + 3.5, name) for at, name in marks), "tick", "end")
        + labels(((plot.px(at), plot.bottom + 13, name) for at, name in marks), "tick", "middle")
    )


def shifts(table: pd.DataFrame, figure: Shifts) -> str:
    """The regions' values of every row before (above) and after (below) a step, with their mean magnitude.

    Parameters
    ----------
    table : DataFrame
        One row per label and region, values in z.
    figure : Shifts

    Returns
    -------
    str
        SVG; empty without rows.
    """
    rows = table.dropna(subset=[figure.before, figure.after])
    if rows.empty:
        return ""
    values = rows[[figure.before, figure.after]].to_numpy(float)
    names = list(rows[figure.label].astype(str).unique())
    left, height = label_width(names), 46.0
    reach = float(np.abs(values).max()) or 1.0
    plot = Plot(left, 6, WIDTH - left - 96, height * len(names), padded(-reach, reach, 0.03), (0, 1))
    body = [
        line(plot.px(0), plot.top, plot.px(0), plot.bottom, "null"),
        *plot.x_axis(7, figure.xlabel or "mean z of a region"),
    ]
    for index, name in enumerate(names):
        part = rows[rows[figure.label].astype(str) == name]
        top = plot.top + height * index
        body.append(text(plot.left - 12, top + 26, name, "row-label", "end"))
        body.append(
            rect(plot.left, top + height - 1, plot.right, top + height, "fan outer") if index < len(names) - 1 else ""
        )
        for row, (column, words, cls) in enumerate(((figure.before, "before", "s0"), (figure.after, "after", "s1"))):
            y, z = top + 13 + 18 * row, part[column].to_numpy(float)
            spread = y + 5 * (((np.arange(len(z)) * 0.618033988749895) % 1) - 0.5)
            places = "".join(f"M{f(plot.px(v))} {f(h)}h0" for v, h in zip(z, spread, strict=True))
            body.append(f'<path class="dots {cls}" d="{places}"/>')
            body.append(
                text(plot.right + 10, y + 4, f"{words}: ±{number(float(np.abs(z).mean()), 2)}", f"series {cls}")
            )
    return svg(WIDTH, plot.bottom + 34, body, "Mean z of every region by scanner, before and after adaptation")
