"""The region x person heat map: one pixel per value, scaled by the browser."""

from __future__ import annotations

import base64
import io
import math
from typing import Any

import numpy as np
import pandas as pd

from bids_app.regions import counted_among, display_name
from bids_app.reports.components import chapter, data_block
from bids_app.reports.figures.colour import Scale

LIMIT = 4.0
MOST_ROWS = 1000
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
        ``group_deviations.tsv``; rows are ordered by ``group`` and number of infra-normal regions. Beyond `MOST_ROWS`
        scans a row is the mean of neighbours.
    reports : set of str
        Participants whose report is in the folder.

    Returns
    -------
    dict
        The PNG, the z of each pixel times 100 as 16-bit integers, and the names of rows and columns.
    """
    regions = _regions(zscores)
    table = _ordered(zscores, scans)
    z, drawn = _binned(table[regions].to_numpy(float), table)
    people, links = drawn["name"].tolist(), [f"{who}.html" if who in reports else None for who in drawn["who"]]
    rounded = np.where(np.isnan(z), NOT_SCORED, np.clip(np.rint(np.nan_to_num(z) * 100), -32767, 32767)).astype("<i2")
    return {
        "png": png(z),
        "height": int(min(max(3 * len(z), 160), 420)),
        "bar": colour_bar(),
        "columns": _shares(pd.Series([display_name(region).split(" ", 1)[-1] for region in regions])),
        "groups": _shares(drawn["group"]),
        "chapters": _shares(pd.Series([chapter(region) for region in regions])),
        "data": data_block(
            {
                "names": regions,
                "regions": [display_name(region) for region in regions],
                "people": people,
                "links": links,
                "z": base64.b64encode(rounded.tobytes()).decode("ascii"),
            }
        ),
    }


def colour_bar() -> str:
    """The colours from -LIMIT to LIMIT as a CSS gradient."""
    scale = Scale("diverging", -LIMIT, LIMIT)
    return ", ".join(scale.hex(value) for value in np.linspace(-LIMIT, LIMIT, 17))


def png(z: np.ndarray) -> bytes:
    """A heatmap with one pixel per value on the diverging scale; missing values are grey.

    Parameters
    ----------
    z : (rows, columns) array
        Beyond `LIMIT` the end colours.

    Returns
    -------
    bytes
        Of a PNG file.
    """
    from PIL import Image

    colours = (Scale("diverging", -LIMIT, LIMIT).rgb(np.nan_to_num(z)) * 255).round().astype(np.uint8)
    colours[np.isnan(z)] = MISSING_RGB
    stream = io.BytesIO()
    Image.fromarray(colours, "RGB").save(stream, "PNG", optimize=True)
    return stream.getvalue()


def png_uri(content: bytes) -> str:
    """PNG bytes for an ``img`` element."""
    return f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}"


def _binned(z: np.ndarray, table: pd.DataFrame) -> tuple[np.ndarray, pd.DataFrame]:
    """Rows of the picture and what they are: scans, or beyond `MOST_ROWS` means of neighbours of one group.

    Parameters
    ----------
    z : array (scan, region)
    table : DataFrame
        ``participant_id``, ``session_id`` and ``group`` of each row of `z`, in the order of the picture.

    Returns
    -------
    (array (row, region), DataFrame)
        The columns are ``name``, ``who`` (participant, None for a mean) and ``group``.
    """
    if len(z) <= MOST_ROWS:
        sessions = table["session_id"].fillna("").astype(str)
        named = (table["participant_id"].astype(str) + " " + sessions).str.strip()
        return z, pd.DataFrame({"name": named, "who": table["participant_id"], "group": table["group"]})
    size = math.ceil(len(z) / MOST_ROWS)
    place = table.groupby("group", sort=False).cumcount().to_numpy()
    bins = pd.DataFrame({"group": table["group"].to_numpy(), "bin": place // size})
    order = [bins["group"], bins["bin"]]
    means = pd.DataFrame(z).groupby(order, sort=False).mean()
    sizes = bins.groupby(["group", "bin"], sort=False).size()
    names = [f"{group or 'scans'} {bin * size + 1} to {bin * size + n}, mean" for (group, bin), n in sizes.items()]
    groups = [group for group, _ in sizes.index]
    return means.to_numpy(float), pd.DataFrame({"name": names, "who": None, "group": groups})


def _regions(zscores: pd.DataFrame) -> list[str]:
    """Reference regions of the table, by lobe, the left beside the right."""
    known = counted_among(zscores)
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
