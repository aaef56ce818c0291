"""Charts of tables on disk for ``normvol-plot``: those of results, centiles, and maps side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bids_app.clinical.figures import figure_from_json
from bids_app.errors import InputError, UsageError
from bids_app.reports.figures.analyses import SMALL, chart_drawings
from bids_app.reports.figures.brainmap import brain_map_svg
from bids_app.reports.figures.centile_charts import CENTILES, Visit, centile_chart
from bids_app.reports.figures.files import panels, standalone
from bids_app.reports.figures.people_charts import CENTILE_Z
from bids_app.reports.figures.scene import MapOptions
from bids_app.reports.figures.values import matching_rows
from bids_app.tables import read_json

MISSING = float("nan")
ROLES = (
    *("label", "estimate", "low", "high", "p", "x", "y", "group"),
    *("person", "colour", "fit", "expected", "observed", "before", "after"),
)


def result_figure(
    table: pd.DataFrame,
    kind: str,
    columns: Sequence[str],
    source: Path,
    facet: str | None = None,
    fan: pd.DataFrame | None = None,
) -> str:
    """A chart of `table` as the text of an SVG file.

    Parameters
    ----------
    table : DataFrame
        The rows to draw.
    kind : {'forest', 'trajectory', 'courses', 'scatter', 'calibration', 'shift'}
    columns : sequence of ``ROLE=COLUMN``
        Which column plays which part; empty to take what the JSON file beside `source` says.
    source : Path
        The table's file.
    facet : str, optional
        A column; each of its values gets a part of its own.
    fan : DataFrame, optional
        For courses: ``region age`` and ``p025`` to ``p975``, the centiles to draw them on.

    Returns
    -------
    str

    Raises
    ------
    UsageError, InputError
        When a part is unknown or missing, a column is absent, or no row can be drawn.
    """
    parts = dict(_pair(text) for text in columns) if columns else _told(kind, source)
    try:
        figure = figure_from_json({**parts, "kind": kind, **({"facet": facet} if facet else {})})
    except InputError as error:
        raise UsageError(error.reason, f"--columns names the columns of a {kind}, see --help") from error
    named = [figure.facet, *(parts.get(role) for role in ROLES)]
    absent = [str(name) for name in named if name and name not in table]
    if absent:
        raise InputError(f"{source} has no column `{absent[0]}`", f"its columns are {', '.join(map(str, table))}")
    rows = matching_rows(table, [f"{name}={value}" for name, value in figure.where.items()], str(source))
    drawings = chart_drawings(figure, rows.reset_index(drop=True), None if fan is None else _centiles_of(fan))
    if not drawings:
        raise InputError(f"{source} holds nothing to draw", "choose other rows with --where")
    if len(drawings) == 1:
        return drawings[0].file
    return panels([(drawing.title, drawing.file) for drawing in drawings], 2 if isinstance(figure, SMALL) else 1)


def _centiles_of(fan: pd.DataFrame) -> Callable[[str], pd.DataFrame]:
    missing = [name for name in ("region", "age", *CENTILE_Z) if name not in fan]
    if missing:
        raise InputError(f"the table of --fan lacks `{missing[0]}`", "give a desc-centiles table")
    return lambda region: fan[fan["region"] == region].sort_values("age")


def map_figure(parts: Sequence[tuple[str, pd.Series]], **options: Any) -> str:
    """Brain maps of several parts of a table in one SVG file, all with one scale.

    Parameters
    ----------
    parts : sequence of (str, Series)
        Heading, and numbers by region.
    **options
        As in `brainmap.brain_map_svg`; ``limits`` that suit all parts are chosen where none are given.

    Returns
    -------
    str
    """
    if len(parts) == 1:
        return brain_map_svg(parts[0][1], standalone=True, **options)
    if options.get("limits") is None:
        together = dict(enumerate(pd.concat([values.dropna() for _, values in parts])))
        scale = MapOptions(options.get("scale", "diverging")).colours(together)
        options["limits"] = scale.low, scale.high
    drawn = [
        (title, brain_map_svg(values, standalone=True, prefix=f"part-{index}", **options))
        for index, (title, values) in enumerate(parts)
    ]
    return panels(drawn, columns=1)


def _pair(text: str) -> tuple[str, str]:
    role, _, column = text.partition("=")
    if role not in ROLES or not column:
        raise UsageError(f"cannot use {text} in --columns", f"write ROLE=COLUMN, a role is one of {', '.join(ROLES)}")
    return role, column


def _told(kind: str, source: Path) -> dict[str, Any]:
    beside = source.with_suffix(".json")
    figure = read_json(beside).get("Figure") if beside.is_file() else None
    if not figure or figure.get("kind") != kind:
        raise UsageError(f"no JSON file beside {source} describes a {kind}", "name the columns with --columns")
    left = ("kind",) if figure.get("together") else ("kind", "facet")
    return {name: value for name, value in figure.items() if name not in left}


def centile_figure(
    fan: pd.DataFrame, visits: pd.DataFrame | None, name: str, width: float = 480, height: float = 320
) -> str:
    """Centiles by age, with a person's scans, as the text of an SVG file.

    Parameters
    ----------
    fan : DataFrame
        ``age`` (years) and ``p05`` to ``p95`` (mm^3) of one region, perhaps with a column ``region``.
    visits : DataFrame, optional
        ``age``, ``volume_mm3``, and ``region`` when it holds several.
    name : str
        What the table of centiles is called in messages.
    width, height : float
        Pixels.

    Returns
    -------
    str

    Raises
    ------
    InputError
        When a column is missing, or there are several regions.
    """
    missing = [column for column in ("age", *CENTILES) if column not in fan]
    if missing:
        raise InputError(f"{name} has no column `{missing[0]}`", "a centile chart needs age and p05 to p95")
    regions = list(fan["region"].unique()) if "region" in fan else [""]
    if len(regions) != 1:
        raise InputError(f"{name} holds {len(regions)} regions", "choose one with --where region=Left-Thalamus")
    region = str(regions[0])
    dots = [] if visits is None else _visits(visits, region)
    return standalone(centile_chart(region, fan.sort_values("age"), dots, width=width, height=height))


def _visits(table: pd.DataFrame, region: str) -> list[Visit]:
    if not {"age", "volume_mm3"} <= set(table):
        raise InputError("the table of --visits lacks `age` or `volume_mm3`", "it needs both")
    rows = table[table["region"] == region] if "region" in table else table
    return [
        Visit(
            "" if pd.isna(row.get("session_id")) else str(row["session_id"]),
            float(row["age"]),
            float(row["volume_mm3"]),
            float(row.get("z", MISSING)),
            str(row.get("deviation", "none")),
            person=str(row.get("participant_id", "")),
        )
        for row in rows.sort_values("age").to_dict("records")
    ]
