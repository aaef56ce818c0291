"""The report of a model's evaluation as one self-contained HTML file, made from its tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from markupsafe import Markup

from bids_app.bids.names import output_path
from bids_app.errors import InputError
from bids_app.regions import display_name, reference_regions
from bids_app.reports.components import Column
from bids_app.reports.figures.svg import Plot, dot, line, padded, path, svg, text
from bids_app.reports.loading import Record, Sheet
from bids_app.reports.pages.page import render
from bids_app.tables import atomic_write, read_json, read_table

TABLES = ("evaluation", "evaluation_summary", "evaluation_qq", "evaluation_centiles", "evaluation_points")
SEX_CLASS = {"female": "s1", "male": "s2"}
CENTILES = ("p05", "p25", "p50", "p75", "p95")
CM3 = 0.001
QQ_REACH = 3.4
SUMMARY = (
    Column("group", "Group", "text"),
    Column("n", "People"),
    Column("z_sd", "SD of z", digits=3),
    Column("abs_z_mean", "|mean z|", digits=3),
    Column("abs_skew", "|skew|", digits=3),
    Column("abs_kurtosis", "|excess kurtosis|", digits=3),
    Column("below", "z < −1.96", digits=4),
    Column("above", "z > 1.96", digits=4),
    Column("mace", "Centile error", digits=4),
    Column("ev", "Explained variance", digits=3),
    Column("msll", "MSLL", digits=3),
)
REGIONS = (
    Column("region", "Region", "region"),
    Column("n", "People"),
    Column("z_sd", "SD of z", digits=3),
    *(Column(c.name.removeprefix("abs_"), c.title.strip("|"), digits=c.digits) for c in SUMMARY[4:]),
)
GROUPINGS = {"overall": "All people", "age_band": "By age in years", "sex": "By sex", "site": "By site"}


class Drawing(NamedTuple):
    """A small chart with its region's name."""

    region: str
    title: str
    chart: Markup


def write_evaluation_report(folder: Path | str) -> Path:
    """Write ``evaluation.html`` from the tables that ``normvol-model evaluate`` wrote into `folder`.

    Raises
    ------
    InputError
        When one of the tables is missing.
    """
    root = Path(folder)
    missing = [name for name in TABLES if not (root / f"{name}.tsv").is_file()]
    if missing or not (root / "evaluation.json").is_file():
        raise InputError(f"{root} holds no complete evaluation", "run normvol-model evaluate again")
    sheets = {name: Sheet(f"{name}.tsv", read_table(root / f"{name}.tsv")) for name in TABLES}
    about = Record("evaluation.json", read_json(root / "evaluation.json"))
    return atomic_write(output_path(root, "evaluation.html"), render("evaluation.html.j2", **_context(sheets, about)))


def _context(sheets: dict[str, Sheet], about: Record) -> dict[str, Any]:
    measures, summary = sheets["evaluation"], sheets["evaluation_summary"]
    overall = measures.pick(measures.table["grouping"] == "overall")
    qq = sheets["evaluation_qq"].table
    curves, points = sheets["evaluation_centiles"].table, sheets["evaluation_points"].table
    reference = set(reference_regions())
    regions = [name for name in overall.table["region"] if name in set(qq["region"])]
    drawings = [
        (
            Drawing(name, display_name(name), _qq_chart(name, qq)),
            Drawing(name, display_name(name), centile_chart(name, curves, points)),
        )
        for name in regions
    ]
    return {
        "about": about,
        "sheets": sheets,
        "overall": overall,
        "summary_columns": SUMMARY,
        "region_columns": REGIONS,
        "headline": next(summary.rows()),
        "groupings": [
            (title, summary.pick(summary.table["grouping"] == name))
            for name, title in GROUPINGS.items()
            if (summary.table["grouping"] == name).any()
        ],
        "reference": [pair for pair in drawings if pair[0].region in reference],
        "others": [pair for pair in drawings if pair[0].region not in reference],
    }


def _qq_chart(region: str, quantiles: pd.DataFrame, size: float = 150) -> Markup:
    """Observed against theoretical quantiles of z; the diagonal is a standard normal distribution."""
    rows = quantiles[quantiles["region"] == region]
    plot = Plot(24, 8, size - 34, size - 38, (-QQ_REACH, QQ_REACH), (-QQ_REACH, QQ_REACH))
    held = rows["observed"].clip(-QQ_REACH, QQ_REACH)
    places = plot.points(rows["theoretical"], held)
    ends = plot.points((-QQ_REACH, QQ_REACH), (-QQ_REACH, QQ_REACH))
    body = [
        *plot.y_axis(3),
        *plot.x_axis(3),
        line(*ends[0], *ends[1], "null"),
        path(places, "course"),
        *(dot(x, y, 1.8, "estimate") for x, y in places),
    ]
    return Markup(svg(size, size, body, f"Quantiles of z in the {display_name(region)} against the standard normal"))


def centile_chart(
    region: str, curves: pd.DataFrame, points: pd.DataFrame, width: float = 330, height: float = 210
) -> Markup:
    """Centile curves 5, 50 and 95 of both sexes, and the people's own centiles by age band as dots.

    Parameters
    ----------
    region : str
    curves : DataFrame
        ``region sex age p05 p50 p95``, mm^3.
    points : DataFrame
        ``region sex age`` and `CENTILES`, mm^3, one row per age band.
    width, height : float
        Pixels.

    Returns
    -------
    Markup
        SVG; in cm^3 where a median is above 5 mm^3, else without a unit.
    """
    rows, marks = curves[curves["region"] == region], points[points["region"] == region]
    scale = CM3 if np.nanmax(np.abs(rows["p50"])) > 5 else 1.0
    values = (
        np.concatenate([rows[["p05", "p95"]].to_numpy(float).ravel(), marks[list(CENTILES)].to_numpy(float).ravel()])
        * scale
    )
    plot = Plot(
        44,
        20,
        width - 60,
        height - 56,
        (float(rows["age"].min()), float(rows["age"].max())),
        padded(float(np.nanmin(values)), float(np.nanmax(values))),
    )
    body = [*plot.y_axis(4, "cm³" if scale == CM3 else ""), *plot.x_axis(5, "age, years")]
    for sex, cls in SEX_CLASS.items():
        body += _sex_curves(plot, rows[rows["sex"] == sex], marks[marks["sex"] == sex], cls, scale)
    body += [
        text(plot.right, plot.top - 8, "male", "series s2", "end"),
        text(plot.right - 32, plot.top - 8, "female", "series s1", "end"),
    ]
    return Markup(svg(width, height, body, f"Centile curves of the {display_name(region)} by age and sex"))


def _sex_curves(plot: Plot, rows: pd.DataFrame, marks: pd.DataFrame, cls: str, scale: float) -> list[str]:
    if rows.empty:
        return []
    band = [*plot.points(rows["age"], rows["p05"] * scale), *plot.points(rows["age"][::-1], rows["p95"][::-1] * scale)]
    dots = [
        dot(x, y, 2.2 if name == "p50" else 1.5, f"series {cls}", f"{age:.0f} years, centile {int(name[1:])}")
        for name in CENTILES
        for age, (x, y) in zip(marks["age"], plot.points(marks["age"], marks[name] * scale), strict=True)
    ]
    return [
        path(band, f"ribbon {cls}", close=True),
        path(plot.points(rows["age"], rows["p50"] * scale), f"series {cls}"),
        *dots,
    ]
