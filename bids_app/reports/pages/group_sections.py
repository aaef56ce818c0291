"""What each section of the group report shows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from bids_app.clinical.deviations import first_scans
from bids_app.clinical.figures import Shifts
from bids_app.reports.components import DIGITS, Column, column_digits, metric_title
from bids_app.reports.figures import cohort_charts
from bids_app.reports.figures.files import standalone
from bids_app.reports.figures.maps import map_pair
from bids_app.reports.figures.people_charts import shifts
from bids_app.reports.loading import Group, Sheet

TITLES = {
    "participant_id": "Participant",
    "session_id": "Session",
    "status": "Status",
    "stage": "Stage",
    "rating": "Rating",
    "reason": "Reason",
    "remedy": "What to do",
    "n_participants": "People",
    "n_scans": "Scans",
    "n_female": "Women",
    "age_mean": "Mean age",
    "age_sd": "SD",
    "age_min": "Youngest",
    "age_max": "Oldest",
    "etiv_mean_ml": "Mean eTIV, mL",
    "etiv_sd_ml": "SD",
    "tail": "Side",
    "q25": "25 %",
    "q75": "75 %",
    "expected_mean": "Expected mean",
    "expected_low": "Expected from",
    "expected_high": "to",
    "fs_version": "FreeSurfer",
    "mean_z": "Mean z",
    "sd_z": "SD of z",
    "low": "From",
    "high": "To",
    "mean_abs_shift": "Mean absolute shift",
    "mean_n_infra": "Mean number smaller",
    "share_infra": "Share smaller",
    "low_infra": "95 % from",
    "high_infra": "to",
    "share_supra": "Share larger",
    "low_supra": "95 % from",
    "high_supra": "to",
    "n_infra": "Smaller",
    "n_supra": "Larger",
    "n_total": "Both",
    "outlier": "Outlier",
    "sd": "SD",
    "p": "p",
    "q": "q",
    "z": "z",
    "irr": "IRR",
    "n": "n",
    "p_fdr": "p (FDR)",
}
LONG_TEXT = 28
MOST_SCANNERS = 6
SHIFT_LIMITS = (-2.0, 2.0)
SHIFTS = "Mean z of the controls in every region, before and after adaptation"
# of more scans a strip of marks is one block of ink, and the page grows without limit
MOST_MARKS = 2_000
MOST_OUTLIERS = 300
# the first measures are shown at once, in this order; the others are folded away
FIRST_METRICS = ("surface_holes", "euler", "brainsegvol_to_etiv", "maskvol_to_etiv", "etiv_litres", "extreme_share")
TAILS = {"infra": "smaller than expected", "supra": "larger than expected", "total": "both together"}
KINDS = {"participant_id": "person", "region": "region"}


class Drawing(NamedTuple):
    """A picture with its heading, and the name and text of its file."""

    title: str
    inline: str
    name: str
    file: str


class LeftOut(NamedTuple):
    """Scans that were left out for one reason; `index` and `row` are those of the first of them."""

    file: str
    index: int
    row: dict[str, Any]
    scans: list[tuple[str, str]]


def columns_of(sheet: Sheet, leave_out: tuple[str, ...] = ()) -> list[Column]:
    """Every column that is not wholly missing."""
    kept = [name for name in sheet.table.columns if name not in leave_out and sheet.table[name].notna().any()]
    # rows of several measures share no unit, so each cell gets its own decimals
    mixed = "metric" in kept
    return [_column(str(name), sheet.table[name], mixed) for name in kept]


def _column(name: str, values: pd.Series, mixed: bool) -> Column:
    title = TITLES.get(name, _heading(name))
    if name in KINDS:
        return Column(name, title, KINDS[name])
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        digits = None if mixed else DIGITS.get(name, column_digits(values))
        return Column(name, title, "number", digits)
    return Column(name, title, "long" if values.astype(str).str.len().max() > LONG_TEXT else "text")


def _heading(name: str) -> str:
    plain = name.replace("_", " ")
    return plain if len(plain) < 3 or plain.isupper() else plain[:1].upper() + plain[1:]


def left_out(group: Group) -> list[LeftOut]:
    """The scans that were not scored, those with the same reason together, in the order of the table."""
    sheet = group.sheets.get("inclusion")
    if sheet is None:
        return []
    found: dict[tuple[str, ...], LeftOut] = {}
    for index, row in sheet.pick(sheet.table["status"] != "scored").rows():
        key = tuple(str(row.get(name)) for name in ("status", "stage", "reason", "remedy"))
        session = "" if pd.isna(row["session_id"]) else str(row["session_id"])
        found.setdefault(key, LeftOut(sheet.file, index, row, [])).scans.append((str(row["participant_id"]), session))
    return list(found.values())


def count_drawings(group: Group) -> list[Drawing]:
    """Distribution of the counts, one drawing per tail."""
    sheet, counts = group.sheets.get("deviations"), group.sheets.get("counts")
    if sheet is None or sheet.table.empty:
        return []
    found = []
    people = sheet.table[first_scans(sheet.table)]
    for tail in ("infra", "supra"):
        values = {name: part[f"n_{tail}"].to_numpy(float) for name, part in _by_group(people)}
        inline = cohort_charts.counts_chart(values, _expected(counts, tail), tail)
        found.append(Drawing(TAILS[tail], inline, f"group_counts_{tail}.svg", standalone(inline)))
    return found


def _by_group(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    if "group" not in table or table["group"].nunique() < 2:
        yield "all", table
        return
    for name, part in table.groupby("group", sort=True):
        yield str(name), part


def _expected(counts: Sheet | None, tail: str) -> tuple[float, float] | None:
    """The expected range of one healthy scan, from the first row of the tail."""
    if counts is None:
        return None
    rows = counts.table[counts.table["tail"].isin([tail, f"n_{tail}"])]
    if rows.empty or rows[["expected_low", "expected_high"]].iloc[0].isna().any():
        return None
    return float(rows["expected_low"].iloc[0]), float(rows["expected_high"].iloc[0])


def prevalence_drawings(group: Group) -> list[Drawing]:
    """A map of the share of people with z <= -1.96 per group, all on the same colours."""
    sheet = group.sheets.get("prevalence")
    if sheet is None or sheet.table.empty:
        return []
    found = []
    groups = list(sheet.table.groupby("group", sort=False))
    safe = _safe(name for name, _ in groups)
    for tail, words in (("infra", "z ≤ −1.96"), ("supra", "z ≥ 1.96")):
        top = round_up(100 * float(sheet.table[f"share_{tail}"].max()))
        for index, (name, part) in enumerate(groups):
            values = dict(zip(part["region"], 100 * part[f"share_{tail}"].astype(float), strict=True))
            options = {
                "scale": "sequential",
                "limits": (0.0, top),
                "label": f"per cent of people with {words}",
                "threshold": None,
            }
            inline, file = map_pair(values, f"prevalence-{tail}-{index}", **options)
            if inline:
                found.append(Drawing(f"{name}: {words}", inline, f"group_prevalence_{safe[index]}_{tail}.svg", file))
    return found


def round_up(value: float) -> float:
    """The end of a scale of per cent that holds `value`."""
    return next((step for step in (5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 75.0, 100.0) if step >= value), 100.0)


def _safe(names: Iterable[object]) -> list[str]:
    """Names of groups as parts of file names; those that would be the same (MS+, MS-) are numbered."""
    found: list[str] = []
    for name in names:
        part = "".join(letter if letter.isalnum() else "-" for letter in str(name)) or "group"
        found.append(f"{part}-{len(found) + 1}" if part in found else part)
    return found


def adaptation_drawings(group: Group) -> list[Drawing]:
    """The controls' mean z before and after, and a map of the estimated shift per scanner on the same colours."""
    sheet = group.sheets.get("adaptation")
    if sheet is None or not {"scanner", "region", "shift"} <= set(sheet.table):
        return []
    found = []
    if {"mean_z", "mean_z_after"} <= set(sheet.table):
        figure = Shifts(
            label="scanner", before="mean_z", after="mean_z_after", xlabel="mean z of the controls, by region"
        )
        inline = shifts(sheet.table, figure)
        found.append(Drawing(SHIFTS, inline, "group_adaptation_before_after.svg", standalone(inline)))
    scanners = list(sheet.table.groupby("scanner", sort=False))[:MOST_SCANNERS]
    safe = _safe(name for name, _ in scanners)
    for index, (name, part) in enumerate(scanners):
        values = dict(zip(part["region"], part["shift"].astype(float), strict=True))
        inline, file = map_pair(
            values,
            f"adaptation-{index}",
            scale="diverging",
            limits=SHIFT_LIMITS,
            threshold=None,
            label="shift of the scanner in z",
        )
        if inline:
            found.append(Drawing(str(name), inline, f"group_adaptation_{safe[index]}.svg", file))
    return found


def quality_strips(group: Group) -> dict[str, Any]:
    """A strip per quality measure (`first`, `others`), and the names of those with one value for all (`constant`).

    `thinned` says how many scans and outliers are drawn at most, where there are more.
    """
    sheet = group.sheets.get("quality")
    found: dict[str, Any] = {"first": [], "others": [], "constant": [], "thinned": ()}
    parts = dict(iter(sheet.table.groupby("metric", sort=False))) if sheet else {}
    for metric in [*(name for name in FIRST_METRICS if name in parts), *(n for n in parts if n not in FIRST_METRICS)]:
        values = parts[metric]["value"].dropna()
        if len(parts[metric]) > MOST_MARKS:
            found["thinned"] = (MOST_MARKS, MOST_OUTLIERS)
        if values.nunique() > 1:
            strip = cohort_charts.quality_strip(metric_title(str(metric)), _drawn(parts[metric]))
            found["first" if metric in FIRST_METRICS or len(parts) <= 6 else "others"].append(strip)
        elif len(values):
            found["constant"].append(metric_title(str(metric)))
    return found


def _drawn(rows: pd.DataFrame) -> pd.DataFrame:
    """The scans that a strip shows: of many those evenly spread over their values, and the furthest outliers."""
    if len(rows) <= MOST_MARKS:
        return rows
    outlier = _is_outlier(rows)
    usual, far = rows[~outlier].sort_values("value", kind="stable"), rows[outlier]
    spread = np.unique(np.linspace(0, len(usual) - 1, MOST_MARKS).round().astype(int)) if len(usual) else []
    distance = np.maximum(far["low"] - far["value"], far["value"] - far["high"])
    return pd.concat([usual.iloc[spread], far.loc[distance.nlargest(MOST_OUTLIERS).index]])


def quality_outliers(group: Group) -> Sheet | None:
    """Rows of the quality table that lie outside their bounds."""
    sheet = group.sheets.get("quality")
    if sheet is None:
        return None
    rows = sheet.table[_is_outlier(sheet.table)]
    return Sheet(sheet.file, rows) if len(rows) else None


def _is_outlier(rows: pd.DataFrame) -> pd.Series:
    return rows["outlier"] if rows["outlier"].dtype == bool else rows["outlier"].astype(str).str.lower() == "true"
