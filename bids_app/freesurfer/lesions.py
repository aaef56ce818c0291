"""Lesions in a mask: how many, how large, and how much of FreeSurfer's regions and of their surroundings they take."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bids_app import regions
from bids_app.arrays import FloatArray
from bids_app.errors import InputError
from bids_app.freesurfer.annex import fetch_command, is_not_fetched

SEGMENTATIONS = ("aparc+aseg.mgz", "aseg.mgz")
# Voxels that share a corner are one lesion.
NEIGHBOURS = np.ones((3, 3, 3), dtype=bool)
# A mask may hold probabilities.
HALF = 0.5
# What counts as a structure's surroundings (mm), and which structures have them: those whose border lesions blur.
SURROUNDINGS_MM = 3.0
SURROUNDED = (
    "Lateral-Ventricle",
    "Thalamus",
    "Caudate",
    "Putamen",
    "Pallidum",
    "Hippocampus",
    "Amygdala",
    "Accumbens-area",
)
COLUMNS = ["region", "region_mm3", "lesion_mm3", "share", "surroundings_share"]


@dataclass(frozen=True)
class Lesions:
    """What a lesion mask holds.

    Parameters
    ----------
    count : int
        Connected lesions (26 neighbours).
    volume_mm3 : float
    outside : float
        Share of the lesion volume outside FreeSurfer's labels, 0 to 1; NaN without a segmentation.
    table : DataFrame
        One row per region with lesion in it or around it: `COLUMNS`, volumes in mm^3, shares 0 to 1;
        ``surroundings_share`` is NaN for regions that are not `SURROUNDED`.
    """

    count: int
    volume_mm3: float
    outside: float
    table: pd.DataFrame


def segmentation_of(subject_dir: Path) -> Path | None:
    """The volume of labels that FreeSurfer wrote, with the cortex's where it is there; None without one on disk."""
    found = (subject_dir / "mri" / name for name in SEGMENTATIONS)
    return next((path for path in found if path.exists() and not is_not_fetched(path)), None)


def measure_lesions(mask: Path, segmentation: Path | None = None) -> Lesions:
    """Count and measure the lesions of a mask, and relate them to the labels of a segmentation.

    Parameters
    ----------
    mask : Path
        Image in the space of the T1w image, on any grid: above 0.5 is lesion (labels count as one).
    segmentation : Path, optional
        ``aparc+aseg.mgz`` or ``aseg.mgz``; the mask is looked up at its voxels (nearest, by both affines).

    Raises
    ------
    InputError
        When an image cannot be read or is not one volume.
    """
    from scipy import ndimage

    values, affine = _volume(mask)
    lesion = values > HALF
    _, count = ndimage.label(lesion, structure=NEIGHBOURS)
    volume = float(lesion.sum() * abs(np.linalg.det(affine[:3, :3])))
    if segmentation is None:
        return Lesions(int(count), volume, np.nan, pd.DataFrame(columns=COLUMNS))
    labels, grid = _volume(segmentation)
    labels = np.rint(labels).astype(np.int32).clip(0)
    inside, outside = _resampled(lesion, affine, labels, grid)
    return Lesions(int(count), volume, outside, _table(labels, inside, grid))


def _volume(path: Path) -> tuple[FloatArray, FloatArray]:
    """The values (3-D) and the affine (4, 4) of an image."""
    import nibabel as nib

    if is_not_fetched(path):
        raise InputError(f"the content of {path} is not here", f"get it with {fetch_command([path])}")
    try:
        image: Any = nib.load(path)
        values, affine = np.asanyarray(image.dataobj), np.asarray(image.affine, dtype=float)
    except (OSError, ValueError, EOFError, nib.filebasedimages.ImageFileError) as error:
        raise InputError(f"{path} cannot be read as an image ({error})", "make the mask again") from error
    if values.ndim != 3 and np.prod(values.shape[3:]) == 1:
        values = values.reshape(values.shape[:3])
    if values.ndim != 3:
        raise InputError(f"{path} is not one volume but has the shape {values.shape}", "give one mask per scan")
    return values, affine


def _resampled(
    lesion: np.ndarray, affine: FloatArray, labels: np.ndarray, grid: FloatArray
) -> tuple[np.ndarray, float]:
    """Lesion (bool) on the grid of the labels, and the share of the lesion's voxels that have no label."""
    where = np.argwhere(lesion)
    if not len(where):
        return np.zeros(labels.shape, dtype=bool), np.nan
    # The grids may be turned against each other, so all eight corners of the lesions' box tell where to look.
    ends = np.array([where.min(axis=0) - 1, where.max(axis=0) + 1])
    corners = _moved(np.stack(np.meshgrid(*ends.T), axis=-1).reshape(-1, 3), affine, grid)
    first = np.clip(np.floor(corners.min(axis=0)).astype(int), 0, labels.shape)
    last = np.clip(np.ceil(corners.max(axis=0)).astype(int) + 1, 0, labels.shape)
    inside = np.zeros(labels.shape, dtype=bool)
    box = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
    points = np.argwhere(np.ones(inside[box].shape, dtype=bool)) + first
    inside[box] = _at(lesion, _moved(points, grid, affine)).reshape(inside[box].shape)
    labelled = _at(labels > 0, _moved(where, affine, grid))
    return inside, float(1 - labelled.mean())


def _moved(points: np.ndarray, source: FloatArray, target: FloatArray) -> FloatArray:
    """Voxel positions (n, 3) of one grid on another."""
    both = np.linalg.inv(target) @ source
    moved: FloatArray = points @ both[:3, :3].T + both[:3, 3]
    return moved


def _at(values: np.ndarray, points: FloatArray) -> np.ndarray:
    """The values (bool) at the nearest voxels of `points` (n, 3); False outside."""
    nearest = np.rint(points).astype(int)
    known = ((nearest >= 0) & (nearest < values.shape)).all(axis=1)
    found = np.zeros(len(points), dtype=bool)
    found[known] = values[tuple(nearest[known].T)]
    return found


def _table(labels: np.ndarray, inside: np.ndarray, grid: FloatArray) -> pd.DataFrame:
    from scipy import ndimage

    voxel = float(abs(np.linalg.det(grid[:3, :3])))
    hit = np.bincount(labels[inside], minlength=1)
    boxes = ndimage.find_objects(labels)
    rows = []
    for name, label, base in _labelled_regions():
        box = boxes[label - 1] if label <= len(boxes) else None
        if box is None:
            continue
        own = int(hit[label]) if label < len(hit) else 0
        around = _around(labels, label, box, inside, grid) if base in SURROUNDED else np.nan
        if own or around > 0:
            size = int((labels[box] == label).sum())
            rows.append((name, size * voxel, own * voxel, own / size, around))
    return pd.DataFrame(rows, columns=COLUMNS)


def _labelled_regions() -> Iterator[tuple[str, int, str]]:
    """Name, label and structure of every region of the two segmentations."""
    table = regions.region_table()
    known = table[table["atlas"].isin(["aseg", "aparc"]) & table["label"].notna()]
    known = known[known["measure"] == regions.VOLUME]
    for row in known.to_dict("records"):
        yield str(row["name"]), int(row["label"]), str(row["base"])


def _around(labels: np.ndarray, label: int, box: tuple[slice, ...], inside: np.ndarray, grid: FloatArray) -> float:
    """Share of the voxels within `SURROUNDINGS_MM` of a structure (in `box`) that are lesion."""
    from scipy import ndimage

    zooms = np.sqrt((grid[:3, :3] ** 2).sum(axis=0))
    margin = np.ceil(SURROUNDINGS_MM / zooms).astype(int)
    wide = tuple(slice(max(part.start - more, 0), part.stop + more) for part, more in zip(box, margin, strict=True))
    if not inside[wide].any():
        return 0.0
    far = ndimage.distance_transform_edt(labels[wide] != label, sampling=zooms)
    shell = (far > 0) & (far <= SURROUNDINGS_MM)
    return float(inside[wide][shell].mean()) if shell.any() else np.nan
