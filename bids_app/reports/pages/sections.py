"""What each section of the participant report shows: which rows, in which order, which drawings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from markupsafe import Markup

from bids_app.regions import ASYMMETRY_PREFIX, CAUTIONS, display_name, pairs, reference_regions, region_table
from bids_app.reports.components import Column, capitalised, chapter, data_block, data_uri
from bids_app.reports.figures import centile_charts as figures
from bids_app.reports.figures.centile_charts import Visit
from bids_app.reports.figures.charts import change_chart, range_strip
from bids_app.reports.figures.overlays import OUTLINES
from bids_app.reports.figures.slices import LEGEND
from bids_app.reports.loading import Person, Scan, Sheet, load_record
from bids_app.reports.pages.rate_sections import apart_sessions

SHOWN_CHARTS = 9
LISTED_REGIONS = 8
LISTED_CHANGES = 12
LARGEST_IMAGE = 900_000
LARGEST_IMAGES = 2_400_000
FAN_POINTS = 72
TAILS = (
    ("n_infra", "Smaller than expected", "infra"),
    ("n_supra", "Larger than expected", "supra"),
    ("n_total", "Both together", ""),
)
VOLUME_COLUMNS = (
    Column("region", "Region", "region"),
    Column("volume_mm3", "Volume"),
    Column("expected_mm3", "Expected"),
    Column("z", "z"),
    Column("z", "", "gauge"),
    Column("z_se", "SE of z"),
    Column("centile", "Centile"),
    Column("deviation", "Deviation", "text"),
    Column("in_range", "In range", "text"),
)
ASYMMETRY_COLUMNS = (
    Column("region", "Structure", "region"),
    Column("asymmetry_index", "Index"),
    Column("expected_index", "Expected"),
    *VOLUME_COLUMNS[3:],
)


def _surface_columns(digits: int) -> tuple[Column, ...]:
    measured = Column("value", "Measured", digits=digits), Column("expected", "Expected", digits=digits)
    return VOLUME_COLUMNS[0], *measured, *VOLUME_COLUMNS[3:]


SECOND_COLUMNS = (
    Column("region", "Region", "region"),
    Column("z", "z"),
    Column("z_second", "z, second model"),
    Column("z_second_se", "SE"),
    Column("deviation", "Deviation", "text"),
    Column("deviation_second", "Second model", "text"),
    Column("agree", "Agree", "text"),
)
COLUMNS = {
    "asymmetry": ASYMMETRY_COLUMNS,
    "thickness": _surface_columns(2),
    "area": _surface_columns(0),
    "second": SECOND_COLUMNS,
}
CHANGE_COLUMNS = (
    Column("region", "Region", "region"),
    Column("session_from", "From", "text"),
    Column("session_to", "To", "text"),
    Column("years", "Years"),
    Column("z_from", "z before"),
    Column("z_to", "z after"),
    Column("z_change", "Change"),
    Column("z_change_se", "SE"),
    Column("annual_z_change", "Per year"),
    Column("reliable", "Reliable", "text"),
    Column("z_expected", "Expected z"),
    Column("z_gain", "Conditional z"),
    Column("comparable", "Can be compared", "text"),
)
LESION_COLUMNS = (
    Column("region", "Region", "region"),
    Column("region_mm3", "Volume", digits=0),
    Column("lesion_mm3", "Lesion in it", digits=0),
    Column("share", "Share", digits=3),
    Column("surroundings_share", "Share of its surroundings", digits=3),
)
# What is shown beside the lesions
BESIDE_LESIONS = ("WM-hypointensities", "Left-Lateral-Ventricle", "Right-Lateral-Ventricle")
CAPTIONS = {
    "deviations": "Reference regions (counted)",
    "extended": "Further volumes (not counted)",
    "thickness": "Cortical thickness, mm (counted apart)",
    "area": "Area of the white surface, mm² (counted apart)",
    "asymmetry": "Asymmetry: (left − right) / (left + right)",
    "second": "Second model beside the first",
}


class Chart(NamedTuple):
    """A centile chart with the row of the latest session that its heading shows."""

    region: str
    id: str
    deviation: str
    file: str
    row: int | None
    z: float
    drawing: str


def count_tails(person: Person) -> list[dict[str, Any]]:
    """The three counts of the latest scan, by measure, with the strip of the expected range."""
    latest = person.scans[-1]
    found = []
    for (counts, measure), (name, title, cls) in product(latest.counts.items(), TAILS):
        expected = latest.summary.get(f"{counts}.expected.{name}") or {}
        observed = [
            (scan.label, float(scan.summary.get(f"{counts}.{name}")))
            for scan in person.scans
            if scan.summary.get(f"{counts}.{name}") is not None
        ]
        found.append(
            {
                "title": f"{title}, {measure}" if measure else title,
                "cls": cls,
                "key": f"{counts}.{name}",
                "expected": f"{counts}.expected.{name}" if expected else None,
                "chart": range_strip(expected, observed, cls),
            }
        )
    return found


def most_deviating(scan: Scan) -> tuple[list[tuple[int, dict[str, Any]]], bool]:
    """The reference regions furthest from expectation, and whether any of them is flagged."""
    table = _by_extremity(scan.deviations)
    flagged = table["deviation"].isin(["infra", "supra"]) if len(table) else pd.Series(dtype=bool)
    shown = table[flagged].head(LISTED_REGIONS) if flagged.any() else table.head(3)
    return list(Sheet("", shown).rows()), bool(flagged.any())


def second_opinion(scan: Scan) -> dict[str, Any] | None:
    """The regions on which the models disagree, the largest difference first, and the place of every region's row."""
    sheet = scan.sheets.get("second")
    if sheet is None:
        return None
    table = sheet.table
    differs = table[table["agree"].astype(str).str.lower() == "false"]
    order = (differs["z"] - differs["z_second"]).abs().sort_values(ascending=False, kind="stable").index
    return {
        "name": scan.summary.get("second_model.name"),
        "sheet": sheet.pick(differs.loc[order]),
        "columns": SECOND_COLUMNS[:-1],
        "file": sheet.file,
        "rows": {row["region"]: (index, row) for index, row in sheet.pick(differs).rows()},
    }


def _by_extremity(sheet: Sheet | None) -> pd.DataFrame:
    """Scored rows, the largest |z| first."""
    if sheet is None:
        return pd.DataFrame(columns=["region", "z", "deviation", "centile"])
    size = np.abs(sheet.table["z"].to_numpy(dtype=float))
    return sheet.table.iloc[np.argsort(-size, kind="stable")[: np.count_nonzero(~np.isnan(size))]]


def centile_charts(person: Person) -> dict[str, Any]:
    """Charts of the flagged regions (at most `SHOWN_CHARTS`, the most extreme first) and of all others by lobe."""
    if person.centiles is None or not person.scans:
        return {"shown": [], "others": {}, "note": ""}
    extreme = _by_extremity(person.scans[-1].deviations)
    fans = _fans(person.centiles.table)
    flagged = [
        region
        for region, deviation in zip(extreme["region"], extreme["deviation"], strict=True)
        if deviation in ("infra", "supra") and region in fans
    ]
    first = flagged[:SHOWN_CHARTS] or [region for region in extreme["region"] if region in fans][:3]
    visits = _visits_by_region(person.scans, apart_sessions(person))
    ahead = {} if person.forecast is None else dict(iter(person.forecast.table.groupby("region", sort=False)))
    rows = _volume_rows(person.scans[-1])
    drawn = figures.centile_charts(fans, visits, ahead)
    charts = {region: _chart(region, svg, rows.get(region)) for region, svg in drawn.items()}
    note = "flagged regions, the most extreme first" if flagged else "no region is flagged; the most extreme are shown"
    if len(flagged) > SHOWN_CHARTS:
        note = "the most extreme of the flagged regions; the others can be chosen below"
    others: dict[str, list[Chart]] = {}
    for region in (r for r in charts if r not in first):
        others.setdefault(chapter(region), []).append(charts[region])
    return {
        "shown": [charts[region] for region in first],
        "others": others,
        "note": note,
        "ahead": _ahead(person),
        "apart": bool(apart_sessions(person)),
    }


def _ahead(person: Person) -> str:
    """What the band after the last session rests on: ``trained``, ``repeatability``, or nothing where there is none."""
    known = [] if person.forecast is None else person.forecast.table["basis"].dropna()
    return str(known.iloc[0]) if len(known) else ""


def _fans(centiles: pd.DataFrame) -> dict[str, dict[str, np.ndarray]]:
    """Columns of each region's rows at up to `FAN_POINTS` ages, with both ends: smooth on a screen."""
    codes, regions = pd.factorize(centiles["region"])
    columns = {name: centiles[name].to_numpy(float) for name in centiles if name != "region"}
    ordered, sizes = np.argsort(codes, kind="stable"), np.bincount(codes, minlength=len(regions))
    kept = {n: np.unique(np.linspace(0, n - 1, min(n, FAN_POINTS)).round().astype(int)) for n in set(sizes.tolist())}
    fans, start = {}, 0
    for region, size in zip(regions, sizes.tolist(), strict=True):
        rows, start = ordered[start + kept[size]], start + size
        fans[region] = {name: values[rows] for name, values in columns.items()}
    return fans


def _visits_by_region(scans: Sequence[Scan], apart: set[tuple[Any, Any]]) -> dict[str, list[Visit]]:
    visits: dict[str, list[Visit]] = {}
    for before, scan in zip([None, *scans], scans):
        moved = before is not None and (before.session, scan.session) in apart
        age = scan.summary.get("covariates.age")
        for _, _, row in _volume_rows(scan).values() if age is not None else ():
            values = (float(row[name]) for name in ("volume_mm3", "z"))
            error = float(row.get("z_se", np.nan))
            visit = Visit(scan.label, float(age), *values, str(row["deviation"]), error, apart=moved)
            visits.setdefault(row["region"], []).append(visit)
    return visits


def _volume_rows(scan: Scan) -> dict[str, tuple[str, int, dict[str, Any]]]:
    """File, position in it and values of each volume's row."""
    sheets = [scan.sheets[name] for name in ("deviations", "extended") if name in scan.sheets]
    return {row["region"]: (sheet.file, index, row) for sheet in sheets for index, row in sheet.rows()}


def _chart(region: str, drawing: str, found: tuple[str, int, dict[str, Any]] | None) -> Chart:
    if found is None:
        return Chart(region, f"centile-{region}", "none", "", None, float("nan"), drawing)
    file, index, row = found
    return Chart(region, f"centile-{region}", str(row["deviation"]), file, index, row["z"], drawing)


def change_section(person: Person) -> dict[str, Any] | None:
    """The change over the longest interval, reliable changes first."""
    if person.change is None or not len(person.change.table):
        return None
    table = person.change.table
    longest = table[table["years"] == table["years"].max()] if table["years"].notna().any() else table
    pair = longest[["session_from", "session_to"]].iloc[-1]
    rows = table[(table["session_from"] == pair["session_from"]) & (table["session_to"] == pair["session_to"])]
    rows = rows[rows["region"].isin(reference_regions()) & rows["z_change"].notna()]
    rows = rows.loc[rows["z_change"].abs().sort_values(ascending=False, kind="stable").index]
    reliable = rows["reliable"].astype(str).str.lower() == "true"
    drawn = rows[reliable].head(LISTED_CHANGES)
    sentence = (
        "Regions whose change exceeds its measurement error, the largest first."
        if reliable.any()
        else "No region changed by more than its measurement error."
    )
    if (pair["session_from"], pair["session_to"]) in apart_sessions(person):
        sentence = "These sessions cannot be compared, so no change is called reliable; see the change of volume."
    elif not reliable.any() and rows["z_change_se"].isna().all():
        sentence = "The measurement error of these regions is not known, so no change is called reliable."
    elif rows["z_change_se"].isna().any():
        unknown = int(rows["z_change_se"].isna().sum())
        sentence += (
            f" Of {unknown} of {len(rows)} regions the measurement error is not known, so nothing is said of them."
        )
    return {
        "sheet": person.change,
        "columns": _present(CHANGE_COLUMNS, table),
        "first": pair["session_from"],
        "last": pair["session_to"],
        "row": int(longest.index[-1]),
        "years": longest["years"].iloc[-1],
        "apart": bool(pd.notna(longest["years"].iloc[-1])),
        "sentence": sentence,
        "drawing": change_chart(drawn) if len(drawn) else "",
    }


def _present(columns: Sequence[Column], table: pd.DataFrame) -> list[Column]:
    return [column for column in columns if column.name in table]


def lesion_rows(person: Person) -> list[dict[str, Any]]:
    """Each scan with lesions known: its table of regions, and the rows of `BESIDE_LESIONS`."""
    found = []
    for scan in person.scans:
        if scan.summary.get("lesions") is not None:
            rows = _volume_rows(scan)
            beside = [rows[name] for name in BESIDE_LESIONS if name in rows]
            table = scan.lesions if scan.lesions is not None and len(scan.lesions.table) else None
            found.append({"scan": scan, "beside": beside, "sheet": table, "columns": LESION_COLUMNS})
    return found


def scan_tables(scan: Scan) -> list[dict[str, Any]]:
    """The tables of one scan with the columns to show."""
    return [
        {"name": name, "sheet": sheet, "caption": CAPTIONS[name], "columns": COLUMNS.get(name, VOLUME_COLUMNS)}
        for name, sheet in scan.sheets.items()
    ]


def cautions(scan: Scan) -> list[str]:
    """What must be known of some structures in the tables of a scan."""
    seen = {name for sheet in scan.sheets.values() for name in sheet.table["region"]}
    return [text for base, (text, _) in CAUTIONS.items() if any(str(name).endswith(base) for name in seen)]


def table_filters(person: Person) -> dict[str, list[tuple[str, str]]]:
    """Choices above the tables of regions: value and title of each."""
    names = {name for scan in person.scans for name in scan.sheets}
    return {
        "Lobe": [(lobe, lobe) for lobe in dict.fromkeys(map(chapter, region_table().index))],
        "Side": [("left", "left"), ("right", "right")],
        "Measure": [(name, caption) for name, caption in CAPTIONS.items() if name in names],
        "Deviation": [("infra", "smaller"), ("supra", "larger")],
    }


def known_regions(person: Person) -> Markup:
    """The lobe of each region in the tables, for the page's script."""
    tables = (sheet.table["region"] for scan in person.scans for sheet in scan.sheets.values())
    lobes = list(dict.fromkeys(map(chapter, region_table().index)))
    names = dict.fromkeys(region for table in tables for region in table)
    bare = {name: name.removeprefix(ASYMMETRY_PREFIX) for name in names}
    return data_block(
        {
            "lobes": lobes,
            "regions": {name: lobes.index(chapter(bare[name])) for name in names if chapter(bare[name]) in lobes},
        }
    )


def paired_rows(scan: Scan) -> list[tuple[str, tuple[Any, Any]]]:
    """The reference regions with left and right side by side, for print."""
    if scan.deviations is None:
        return []
    rows = {row["region"]: {"index": index, "row": row} for index, row in scan.deviations.rows()}
    return [
        (capitalised(display_name(pair.left).removeprefix("left ")), (rows.get(pair.left), rows.get(pair.right)))
        for pair in pairs()
        if pair.left in rows or pair.right in rows
    ]


def overlay_images(person: Person, root: Path) -> list[dict[str, Any]]:
    """Image files of the person's figures folder, embedded while the report stays of a handy size."""
    found, total = [], 0
    for path in person.images:
        size = path.stat().st_size
        fits = size <= LARGEST_IMAGE and total + size <= LARGEST_IMAGES
        total += size if fits else 0
        found.append(
            {
                "file": path.relative_to(root).as_posix(),
                "alt": _alternative(path),
                "uri": data_uri(path) if fits else None,
            }
        )
    return found


def overlay_legend() -> list[tuple[str, str]]:
    """Words and CSS colour of each outline in the overlays."""
    lines = [("border of the white matter", OUTLINES["white"]), ("outer border of the cortex", OUTLINES["pial"])]
    return [(words, "rgb({} {} {})".format(*colour)) for words, colour in (*lines, *LEGEND)]


def overlay_notes(person: Person, root: Path) -> list[dict[str, Any]]:
    """What could not be drawn and why, and what the slices go through, from ``figures/*_desc-overlays.json``."""
    files = sorted((root / f"sub-{person.label}" / "figures").glob("*_desc-overlays.json"))
    records = [(load_record(root, file), file.name.removesuffix("_desc-overlays.json")) for file in files]
    return [{"record": record, "scan": scan} for record, scan in records if record]


def overlay_remarks(notes: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """What could not be drawn, each text once, with the scans that it is said of."""
    said: dict[str, list[dict[str, Any]]] = {}
    for item in notes:
        for place, text in enumerate(item["record"].get("Notes") or []):
            said.setdefault(str(text), []).append({**item, "key": f"Notes.{place}"})
    return said


def _alternative(path: Path) -> str:
    parts = [part.replace("desc-", "") for part in path.stem.split("_")]
    return "Figure for checking by eye: " + ", ".join(parts)
