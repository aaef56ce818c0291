"""Quality pictures of one FreeSurfer subject: labels and surfaces on the image, z-scores on the surface.

The subject directory is only read. An image that is absent or damaged is named in a note; the others are drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from bids_app.bids.names import output_path
from bids_app.freesurfer.annex import is_not_fetched
from bids_app.normative.base import Z_CRITICAL
from bids_app.regions import display_name, region_table
from bids_app.reports.figures import inflated, slices, templates_flow
from bids_app.reports.figures.scene import MapOptions
from bids_app.tables import atomic_write, write_json

FIGURES = (SEGMENTATION, SURFACES, PAINTED) = (
    "desc-segmentation_T1w.jpg",
    "desc-surfaces_T1w.jpg",
    "desc-zscores_inflated.png",
)
BACKGROUNDS = ("T1.mgz", "orig.mgz", "nu.mgz", "brain.mgz", "norm.mgz", "brainmask.mgz")
SEGMENTATIONS = (
    "aparc+aseg.mgz",
    "aparc.DKTatlas+aseg.mgz",
    "aparc.DKTatlas+aseg.deep.mgz",
    "aseg.mgz",
    "aseg.auto_noCCseg.mgz",
)
OUTLINES = {"white": (90, 170, 255), "pial": (255, 80, 80)}
AVERAGES = ("fsaverage", "fsaverage6", "fsaverage5")
HEMISPHERES = ("lh", "rh")
PERSON = "this person"
JPEG_QUALITY = 72
MOST_THROUGH = 3


@dataclass(frozen=True)
class OverlayResult:
    """Figures that were written, and what could not be drawn and why (sentences)."""

    figures: tuple[Path, ...]
    notes: tuple[str, ...]


def overlay_figures(
    subject_dir: Path | str, z: Mapping[str, float] | None, output_folder: Path | str, stem: str
) -> OverlayResult:
    """Draw what the images of a subject allow.

    Parameters
    ----------
    subject_dir : path-like
        FreeSurfer (or FastSurfer) subject directory; only read.
    z : mapping or Series, optional
        Region name to z-score, for the picture on the inflated surface.
    output_folder : path-like
    stem : str
        Start of the file names, e.g. ``sub-01_ses-1``.

    Returns
    -------
    OverlayResult
        Of the files ``<stem>_desc-segmentation_T1w.jpg``, ``<stem>_desc-surfaces_T1w.jpg`` and
        ``<stem>_desc-zscores_inflated.png`` those that could be drawn. The notes, and the flagged structures that the
        slices go through, are also written, to ``<stem>_desc-overlays.json``; pictures of an earlier run that cannot
        be drawn any more are removed.
    """
    subject, folder = Path(subject_dir), Path(output_folder)
    notes: list[str] = []
    through = _flagged(z)
    pictures = _pictures(subject, z, list(through), notes)
    figures = tuple(atomic_write(output_path(folder, f"{stem}_{name}"), content) for name, content in pictures.items())
    for name in set(FIGURES) - set(pictures):
        (folder / f"{stem}_{name}").unlink(missing_ok=True)
    shown = list(through.values()) if SEGMENTATION in pictures else []
    content = {"Figures": [path.name for path in figures], "Notes": notes, "Through": shown}
    write_json(content, output_path(folder, f"{stem}_desc-overlays.json"))
    return OverlayResult(figures, tuple(notes))


def _flagged(z: Mapping[str, float] | None) -> dict[int, str]:
    """Label and name of the structures beyond the limit, the most extreme first: the slices go through these."""
    labels = region_table()["label"].dropna().astype(int)
    known = {str(name): float(value) for name, value in (z.items() if z is not None else ()) if name in labels}
    far = sorted(
        (name for name, value in known.items() if abs(value) >= Z_CRITICAL), key=lambda name: -abs(known[name])
    )
    return {int(labels[name]): display_name(name) for name in far[:MOST_THROUGH]}


def _pictures(subject: Path, z: Mapping[str, float] | None, through: list[int], notes: list[str]) -> dict[str, bytes]:
    """Name and content of every picture that can be drawn."""
    pictures: dict[str, bytes | None] = {}
    volumes = _volumes(subject, notes)
    if volumes is not None:
        background, labels = volumes
        pictures[SEGMENTATION] = _tried(
            "the segmentation", lambda: _jpeg(slices.segmentation_mosaic(background, labels, through)), notes
        )
        meshes = _meshes(subject, background, notes)
        if meshes:
            pictures[SURFACES] = _tried(
                "the surfaces", lambda: _jpeg(slices.surface_mosaic(background, labels, meshes, through)), notes
            )
    if z is not None:
        pictures[PAINTED] = _painted(subject, z, notes)
    return {name: content for name, content in pictures.items() if content}


def _tried(what: str, call: Callable[[], Any], notes: list[str]) -> Any:
    """The result of `call`, or None and a note: a damaged image must never stop a report."""
    try:
        return call()
    except Exception as error:  # nibabel, zlib, numpy and Pillow raise anything for damaged content
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        notes.append(f"{what} cannot be drawn: {reason}")
        return None


def _first(folder: Path, names: tuple[str, ...]) -> tuple[Path | None, list[str]]:
    """The first file that is there with content, and which names are links without content."""
    unfetched = [name for name in names if is_not_fetched(folder / name)]
    there = (folder / name for name in names if name not in unfetched and (folder / name).is_file())
    return next(there, None), unfetched


def _volumes(subject: Path, notes: list[str]) -> tuple[slices.Volume, np.ndarray] | None:
    """Background image and labels on the same grid."""
    found = []
    for what, names in (("brain image", BACKGROUNDS), ("segmentation", SEGMENTATIONS)):
        path, unfetched = _first(subject / "mri", names)
        if path is None:
            notes.append(
                f"no {what} to draw: the content of mri/{unfetched[0]} is not on this disk (git-annex)"
                if unfetched
                else f"no {what} to draw: mri/ holds none of {', '.join(names)}"
            )
            continue
        found.append(_tried(f"mri/{path.name}", lambda path=path: slices.read_volume(path), notes))
    if len(found) < 2 or None in found:
        return None
    background, labels = found
    if background.data.shape != labels.data.shape:
        notes.append("the segmentation cannot be drawn: it is not on the grid of the brain image")
        return None
    return background, labels.data


def _meshes(subject: Path, background: slices.Volume, notes: list[str]) -> list[slices.Mesh]:
    from nibabel.freesurfer import read_geometry

    meshes, absent = [], []
    for kind, colour in OUTLINES.items():
        for hemisphere in HEMISPHERES:
            path = subject / "surf" / f"{hemisphere}.{kind}"
            if not path.is_file():
                absent.append(f"surf/{path.name}")
                continue
            geometry = _tried(f"surf/{path.name}", lambda path=path: read_geometry(path), notes)
            if geometry is not None:
                meshes.append(slices.Mesh(slices.to_voxels(geometry[0], background), geometry[1], colour))
    if absent and meshes:
        notes.append(f"surface outlines are incomplete: {', '.join(absent)} not found")
    elif absent:
        notes.append("surface outlines are not drawn: surf/ holds neither ?h.white nor ?h.pial")
    return meshes


def _painted(subject: Path, z: Mapping[str, float], notes: list[str]) -> bytes | None:
    """z on the person's own inflated surface, or on fsaverage, or a note."""
    for words, files in _surface_sources(subject):
        if files is None:
            continue
        picture = _tried(f"z-scores on the inflated surface of {words}", partial(_paint, files, z), notes)
        if picture is None:
            continue
        if words != PERSON:
            notes.append(f"z-scores are painted on {words}: this person's own inflated surface is not available")
        return picture
    notes.append(
        "z-scores are not painted on a surface: neither this person's (surf/?h.inflated, label/?h.aparc.annot) "
        "nor fsaverage's is available; the brain map shows the same values"
    )
    return None


def _paint(files: Mapping[str, tuple], z: Mapping[str, float]) -> bytes:
    hemispheres = {side: inflated.read_hemisphere(*files[side]) for side in HEMISPHERES}
    return _png(inflated.paint(hemispheres, z, MapOptions()))


def _surface_sources(subject: Path) -> Iterator[tuple[str, Mapping[str, tuple] | None]]:
    """Where an inflated surface may come from, best first: (words, files per hemisphere or None)."""
    yield PERSON, _surface_files(subject)
    for name in AVERAGES:
        yield f"the template {name}", _surface_files(subject.parent / name)
    found = {side: templates_flow.fsaverage_files(side) for side in HEMISPHERES}
    yield "the template fsaverage", found if all(found.values()) else None


def _surface_files(subject: Path) -> dict[str, tuple[Path, Path, Path | None]] | None:
    files = {}
    for side in HEMISPHERES:
        surface, labels = subject / "surf" / f"{side}.inflated", subject / "label" / f"{side}.aparc.annot"
        depth = subject / "surf" / f"{side}.sulc"
        if not (surface.is_file() and labels.is_file()):
            return None
        files[side] = (surface, labels, depth if depth.is_file() else None)
    return files


def _jpeg(picture: Any) -> bytes:
    stream = BytesIO()
    picture.save(stream, "JPEG", quality=JPEG_QUALITY, optimize=True, progressive=True, subsampling=0)
    return stream.getvalue()


def _png(picture: Any) -> bytes:
    stream = BytesIO()
    picture.save(stream, "PNG", optimize=True)
    return stream.getvalue()
