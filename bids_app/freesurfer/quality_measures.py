"""Quality measures in stats files: surface defects, Euler numbers, thickness, contrast, volume ratios."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from bids_app.freesurfer import agreement
from bids_app.freesurfer.stats import NAME, StatsFile

_NOT_CORTEX = frozenset({"unknown", "corpuscallosum", "medial_wall", "Medial_wall"})

DESCRIPTIONS: dict[str, dict[str, str]] = {
    "lh_surface_holes": {"Description": "Defects of the left surface before fixing", "Units": "1"},
    "rh_surface_holes": {"Description": "Defects of the right surface before fixing", "Units": "1"},
    "surface_holes": {"Description": "Defects of both surfaces before fixing", "Units": "1"},
    "lh_euler": {"Description": "Euler number of the left surface before fixing, 2 - 2 * holes", "Units": "1"},
    "rh_euler": {"Description": "Euler number of the right surface before fixing, 2 - 2 * holes", "Units": "1"},
    "euler": {"Description": "Mean Euler number of the two hemispheres", "Units": "1"},
    "lh_mean_thickness": {"Description": "Mean cortical thickness, left", "Units": "mm"},
    "rh_mean_thickness": {"Description": "Mean cortical thickness, right", "Units": "mm"},
    "lh_white_area": {"Description": "Area of the white surface, left", "Units": "mm^2"},
    "rh_white_area": {"Description": "Area of the white surface, right", "Units": "mm^2"},
    "lh_grey_white_contrast": {"Description": "Grey-white contrast, area-weighted mean, left", "Units": "%"},
    "rh_grey_white_contrast": {"Description": "Grey-white contrast, area-weighted mean, right", "Units": "%"},
    "lh_contrast_snr": {"Description": "Grey-white contrast divided by its standard deviation, left", "Units": "1"},
    "rh_contrast_snr": {"Description": "Grey-white contrast divided by its standard deviation, right", "Units": "1"},
    "brainsegvol_to_etiv": {"Description": "BrainSegVol divided by eTIV", "Units": "1"},
    "maskvol_to_etiv": {"Description": "MaskVol divided by eTIV", "Units": "1"},
    "aseg_aparc_difference": {
        "Description": "Largest relative difference of a measure that aseg.stats and ?h.aparc.stats both hold",
        "Units": "1",
    },
    "aparc_older_days": {
        "Description": "Days by which ?h.aparc.stats is older than the image that aseg.stats was made from",
        "Units": "d",
    },
}


def measure(
    aseg: StatsFile, cortex: Mapping[str, StatsFile], contrast: Mapping[str, StatsFile], rows: Iterable[Any]
) -> dict[str, float]:
    """Those quality measures of one scan that its stats files give, in the order of `DESCRIPTIONS`.

    Parameters
    ----------
    aseg : StatsFile
        ``aseg.stats``.
    cortex, contrast : mapping of hemisphere to StatsFile
        ``?h.aparc.stats`` and ``?h.w-g.pct.stats``.
    rows : iterable of volumes.Row
        For the ratios to eTIV.
    """
    found = _surface(aseg)
    for hemisphere, file in cortex.items():
        found[f"{hemisphere}_mean_thickness"] = _value(file, "MeanThickness")
        found[f"{hemisphere}_white_area"] = _value(file, "WhiteSurfArea")
    for hemisphere, file in contrast.items():
        found[f"{hemisphere}_grey_white_contrast"] = _weighted(file, "Mean")
        found[f"{hemisphere}_contrast_snr"] = _weighted(file, "SNR")
    volumes = {row.region: row.volume_mm3 for row in rows}
    etiv = volumes.get("EstimatedTotalIntraCranialVol", math.nan)
    for name in ("BrainSegVol", "MaskVol"):
        found[f"{name.lower()}_to_etiv"] = volumes.get(name, math.nan) / etiv
    found["aseg_aparc_difference"] = agreement.difference(aseg, cortex)
    found["aparc_older_days"] = agreement.days_older(aseg, cortex)
    return {name: found[name] for name in DESCRIPTIONS if not math.isnan(found.get(name, math.nan))}


def _surface(aseg: StatsFile) -> dict[str, float]:
    left, right = _value(aseg, "lhSurfaceHoles"), _value(aseg, "rhSurfaceHoles")
    return {
        "lh_surface_holes": left,
        "rh_surface_holes": right,
        "surface_holes": left + right,
        "lh_euler": 2 - 2 * left,
        "rh_euler": 2 - 2 * right,
        "euler": 2 - left - right,
    }


def _value(file: StatsFile, name: str) -> float:
    return file.measures[name].value if name in file.measures else math.nan


def _weighted(file: StatsFile, column: str) -> float:
    columns = file.columns or {}
    if not {column, "Area_mm2", NAME} <= columns.keys():
        return math.nan
    cells = [
        (area, value)
        for name, area, value in zip(columns[NAME], columns["Area_mm2"], columns[column])
        if name not in _NOT_CORTEX and not math.isnan(value)
    ]
    # fsum: the built-in sum rounds otherwise in Python 3.12 than in 3.11
    total = math.fsum(area for area, _ in cells)
    return math.fsum(area * value for area, value in cells) / total if total else math.nan
