"""The first screen of the group's report: the comparison in a sentence, the leading regions, who is in."""

from __future__ import annotations

from typing import Any, NamedTuple

import pandas as pd
from markupsafe import Markup

from bids_app.clinical.analyses.case_control import ROBUST
from bids_app.reports.components import cell
from bids_app.reports.figures.analyses import Q_LIMIT
from bids_app.reports.figures.maps import map_pair
from bids_app.reports.loading import Group, Sheet
from bids_app.reports.pages.group_sections import round_up

LISTED_REGIONS = 8
COMPARISON, DIFFERENCES = "case_control", "region_differences"
EVERYBODY = "all"


class Leading(NamedTuple):
    """The regions that most people of one group have below the limit, as rows of the table of prevalence."""

    group: str
    file: str
    rows: list[tuple[int, dict[str, Any]]]
    drawing: str
    compared: bool


def verdict(group: Group) -> list[Markup]:
    """The count of smaller regions: against controls where they were compared, otherwise against the reference."""
    compared = [_comparison(sheet) for name, (_, sheet) in group.analyses.items() if name.startswith(COMPARISON)]
    said = [sentence for sentence in compared if sentence]
    return said or _against_reference(group.sheets.get("counts"))


def _comparison(sheet: Sheet) -> Markup | None:
    """The ratio that the sentences of the analysis tell."""
    if not {"tail", "method", *_SHOWN} <= set(sheet.table):
        return None
    rows = sheet.table[(sheet.table["tail"] == "infra") & sheet.table["method"].isin([ROBUST, "maximum likelihood"])]
    rows = rows.sort_values("method", key=lambda method: method == ROBUST, kind="stable").tail(1)
    for index, row in Sheet(sheet.file, rows).rows():
        shown = {name: cell(sheet.file, index, name, row[name], digits) for name, digits in _SHOWN.items()}
        clear = "" if not row["low"] <= 1 <= row["high"] else ", so no clear difference"
        return Markup(
            'Group {group} ({n_group} people): <span class="infra">{irr}</span> times as many smaller regions as '
            "{control_group} ({n_control}); 95 % interval {low} to {high}, p {p}{clear}."
        ).format(**shown, clear=clear)
    return None


_SHOWN = {"group": None, "control_group": None, "n_group": 0, "n_control": 0, "irr": 2, "low": 2, "high": 2, "p": None}


def _against_reference(sheet: Sheet | None) -> list[Markup]:
    """The mean count of each group and what is expected of a healthy scan."""
    if sheet is None:
        return []
    rows = sheet.table[sheet.table["tail"].isin(["infra", "n_infra"])]
    named = rows[rows["group"] != EVERYBODY]
    rows = named if len(named) else rows
    return [
        Markup('{}: <span class="infra">{}</span> smaller regions per scan on average{}.').format(
            "All" if row["group"] == EVERYBODY else Markup("Group ") + cell(sheet.file, index, "group", row["group"]),
            cell(sheet.file, index, "mean", row["mean"], 1),
            Markup("; {} are expected of one").format(cell(sheet.file, index, "expected_mean", row["expected_mean"], 1))
            if pd.notna(row["expected_mean"])
            else "",
        )
        for index, row in Sheet(sheet.file, rows).rows()
    ]


def leading(group: Group) -> Leading | None:
    """The leading regions of the group that the comparison is about, or of the one with most deviations."""
    sheet = group.sheets.get("prevalence")
    if sheet is None or sheet.table.empty:
        return None
    name = _chosen(group, sheet.table)
    part = sheet.table[sheet.table["group"].astype(str) == name]
    order = part["share_infra"].sort_values(ascending=False, kind="stable").index[:LISTED_REGIONS]
    rows = list(Sheet(sheet.file, part.loc[order]).rows())
    shares = dict(zip(part["region"], 100 * part["share_infra"].astype(float), strict=True))
    options = {"scale": "sequential", "limits": (0.0, round_up(max(shares.values()))), "threshold": None}
    marked = _different(group, name)
    inline, _ = map_pair(shares, "glance", label="per cent of people with z ≤ −1.96", marked=marked, **options)
    return Leading(name, sheet.file, rows, inline, bool(marked))


def _chosen(group: Group, prevalence: pd.DataFrame) -> str:
    names = [str(name) for name in prevalence["group"].unique()]
    for key, (_, sheet) in group.analyses.items():
        if key.startswith(COMPARISON) and "group" in sheet.table and len(sheet.table):
            compared = str(sheet.table["group"].iloc[0])
            if compared in names:
                return compared
    return str(prevalence.groupby(prevalence["group"].astype(str), sort=True)["share_infra"].mean().idxmax())


def _different(group: Group, name: str) -> set[str] | None:
    """Regions whose mean z differs from controls at q < 0.05; None when nothing was compared."""
    for key, (_, sheet) in group.analyses.items():
        if key.startswith(DIFFERENCES) and {"group", "region", "q"} <= set(sheet.table):
            rows = sheet.table[sheet.table["group"].astype(str) == name]
            if len(rows):
                return set(rows.loc[rows["q"] < Q_LIMIT, "region"])
    return None
