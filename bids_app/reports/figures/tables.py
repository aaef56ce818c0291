"""Charts of tables on disk for ``normvol-plot``: forests, trajectories and centiles."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bids_app.clinical.figures import figure_from_json
from bids_app.errors import InputError, UsageError
from bids_app.reports.figures.analyses import CHARTS
from bids_app.reports.figures.charts import CENTILES, Visit, centile_chart
from bids_app.reports.figures.files import standalone
from bids_app.reports.figures.values import matching_rows
from bids_app.tables import read_json

MISSING = float("nan")
ROLES = ("label", "estimate", "low", "high", "p", "x", "y", "group")


def result_figure(table: pd.DataFrame, kind: str, columns: Sequence[str], source: Path) -> str:
    """A chart of `table` as the text of an SVG file.

    Parameters
    ----------
    table : DataFrame
        The rows to draw.
    kind : {'forest', 'trajectory'}
    columns : sequence of ``ROLE=COLUMN``
        Which column plays which part; empty to take what the JSON file beside `source` says.
    source : Path
        The table's file.

    Raises
    ------
    UsageError, InputError
        When a part is unknown or missing, a column is absent, or no row can be drawn.
    """
    parts = dict(_pair(text) for text in columns) if columns else _told(kind, source)
    try:
        figure = figure_from_json({**parts, "kind": kind})
    except InputError as error:
        raise UsageError(error.reason, f"--columns names the columns of a {kind}, see --help") from error
    absent = [str(parts[role]) for role in ROLES if parts.get(role, "") not in ("", *table.columns)]
    if absent:
        raise InputError(f"{source} has no column `{absent[0]}`", f"its columns are {', '.join(map(str, table))}")
    rows = matching_rows(table, [f"{name}={value}" for name, value in figure.where.items()], str(source))
    drawing = CHARTS[type(figure)](rows.reset_index(drop=True), figure)
    if not drawing:
        raise InputError(f"{source} holds nothing to draw", "choose other rows with --where")
    return standalone(drawing)


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
    return {name: value for name, value in figure.items() if name not in ("kind", "facet")}


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
    return standalone(centile_chart(region, fan.sort_values("age"), dots, width, height))


def _visits(table: pd.DataFrame, region: str) -> list[Visit]:
    if not {"age", "volume_mm3"} <= set(table):
        raise InputError("the table of --visits lacks `age` or `volume_mm3`", "it needs both")
    rows = table[table["region"] == region] if "region" in table else table
    return [
        Visit(
            str(row.get("session_id", "")),
            float(row["age"]),
            float(row["volume_mm3"]),
            float(row.get("z", MISSING)),
            str(row.get("deviation", "none")),
        )
        for row in rows.sort_values("age").to_dict("records")
    ]
