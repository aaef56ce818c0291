"""The region x person heat map: one pixel per value, scaled by the browser."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pandas as pd

from bids_app.regions import display_name, reference_regions
from bids_app.reports.components import chapter, data_block
from bids_app.reports.figures.colour import Scale

LIMIT = 4.0
MISSING_RGB = (128, 128, 128)
NOT_SCORED = -32768
CHAPTERS = (
    "Deep grey matter",
    "Cerebellum",
    "Frontal lobe",
    "Parietal lobe",
    "Temporal lobe",
    "Occipital lobe",
    "Cingulate cortex",
    "Insula cortex",
)


def heat_map(zscores: pd.DataFrame, scans: pd.DataFrame, reports: frozenset[str]) -> dict[str, Any]:
    """The picture and what the page needs to name a pixel.

    Parameters
    ----------
    zscores : DataFrame
        ``group_zscores.tsv``.
    scans : DataFrame
        ``group_deviations.tsv``; rows are ordered by ``group`` and number of infra-normal regions.
    reports : set of str
        Participants whose report is in the folder.
    """
    regions = _regions(zscores)
    table = _ordered(zscores, scans)
    z = table[regions].to_numpy(float)
    people = [
        who if pd.isna(session) else f"{who} {session}"
        for who, session in zip(table["participant_id"], table["session_id"], strict=True)
    ]
    rounded = np.where(np.isnan(z), NOT_SCORED, np.clip(np.rint(np.nan_to_num(z) * 100), -32767, 32767)).astype("<i2")
    return {
        "png": png(z),
        "height": int(min(max(3 * len(z), 160), 900)),
        "groups": _shares(table["group"]),
        "chapters": _shares(pd.Series([chapter(region) for region in regions])),
        "data": data_block(
            {
                "regions": [display_name(region) for region in regions],
                "people": people,
                "links": [f"{who}.html" if who in reports else None for who in table["participant_id"]],
                "z": base64.b64encode(rounded.tobytes()).decode("ascii"),
            }
        ),
    }


def png(z: np.ndarray) -> bytes:
    """PNG with one pixel per value on the diverging scale; missing values are grey."""
    from PIL import Image

    colours = (Scale("diverging", -LIMIT, LIMIT).rgb(np.nan_to_num(z)) * 255).round().astype(np.uint8)
    colours[np.isnan(z)] = MISSING_RGB
    stream = io.BytesIO()
    Image.fromarray(colours, "RGB").save(stream, "PNG", optimize=True)
    return stream.getvalue()


def png_uri(content: bytes) -> str:
    """PNG bytes for an ``img`` element."""
    return f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}"


def _regions(zscores: pd.DataFrame) -> list[str]:
    """Reference regions of the table, by lobe, the left beside the right."""
    known = [region for region in reference_regions() if region in zscores]
    place = {name: index for index, name in enumerate(CHAPTERS)}
    return sorted(
        known,
        key=lambda region: (place.get(chapter(region), len(CHAPTERS)), display_name(region).split(" ", 1)[-1], region),
    )


def _ordered(zscores: pd.DataFrame, scans: pd.DataFrame) -> pd.DataFrame:
    """Rows by group, then by number of infra-normal regions."""
    keys = ["participant_id", "session_id"]
    order = scans[[*keys, "n_infra"]].assign(group=scans.get("group", ""))
    merged = zscores.merge(order, on=keys, how="left", sort=False)
    merged["group"] = merged["group"].fillna("").astype(str)
    return merged.sort_values(["group", "n_infra"], ascending=[True, False], kind="stable")


def _shares(labels: pd.Series) -> list[tuple[str, int]]:
    """Runs of equal labels with their length, for the labels beside the picture."""
    found: list[tuple[str, int]] = []
    for label in labels:
        if found and found[-1][0] == label:
            found[-1] = (label, found[-1][1] + 1)
        else:
            found.append((label, 1))
    return found
