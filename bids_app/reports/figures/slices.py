"""Mosaics of brain slices with outlines of labels or surfaces, drawn with Pillow.

Left is on the left. Only what lies near the brain is shown, so no face can be recognised.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

PIXELS_PER_MM = 1.6
# drawn larger and reduced at the end, for smooth lines
OVERSAMPLING = 2
MARGIN_MM = 6
GAP = 8
# plane -> (axis, number of slices); 5 sagittal slices are as wide as 6 of the others
PLANES = {"axial": (2, 6), "coronal": (1, 6), "sagittal": (0, 5)}
FIRST, LAST = 0.16, 0.84
# colours that FreeSurfer's own colour table made familiar; left and right alike
CORTEX_COLOUR = (232, 96, 112)
LABEL_COLOURS = {
    (3, 42): (CORTEX_COLOUR, "cortex"),
    (2, 41): ((255, 214, 70), "cerebral white matter"),
    (10, 49): ((40, 190, 80), "thalamus"),
    (11, 50): ((122, 186, 220), "caudate"),
    (12, 51): ((255, 70, 200), "putamen"),
    (13, 52): ((90, 130, 255), "pallidum"),
    (17, 53): ((235, 230, 50), "hippocampus"),
    (18, 54): ((103, 255, 255), "amygdala"),
    (26, 58): ((255, 165, 0), "accumbens area"),
    (28, 60): ((190, 120, 70), "ventral diencephalon"),
    (4, 43, 5, 44, 14, 15): ((176, 90, 200), "ventricles"),
    (16,): ((150, 190, 205), "brain stem"),
    (8, 47): ((230, 148, 34), "cerebellar cortex"),
    (7, 46): ((240, 220, 130), "cerebellar white matter"),
    (251, 252, 253, 254, 255): ((140, 140, 255), "corpus callosum"),
    (77, 78, 79, 80, 81, 82): ((255, 255, 120), "white matter hypointensities"),
}
LEGEND = [(words, colour) for colour, words in LABEL_COLOURS.values()]
WHITE = (2, 41)
BRIGHTEST = 190
COLOURS = {label: colour for labels, (colour, _) in LABEL_COLOURS.items() for label in labels}
# slices of a plane that may leave their regular place for a structure, and how near one must be to show it
MOVED, NEAR_MM = 3, 3.0

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Volume:
    """An image in right-anterior-superior order.

    data : (x, y, z) array
    voxel_mm : three voxel sizes
    origin_mm : scanner coordinates of the first voxel's centre
    from_surface : (4, 4) matrix from FreeSurfer's surface coordinates to voxel indices of `data`
    """

    data: np.ndarray
    voxel_mm: tuple[float, float, float]
    origin_mm: tuple[float, float, float]
    from_surface: np.ndarray


@dataclass(frozen=True)
class Mesh:
    """A surface in voxel indices of a `Volume`, with the colour of its outline."""

    vertices: np.ndarray
    faces: np.ndarray
    colour: Colour


def read_volume(path: Any) -> Volume:
    """Read an MGZ (or any image with a FreeSurfer-like header) in RAS order; the file is only read."""
    import nibabel as nib
    from nibabel.orientations import inv_ornt_aff, io_orientation

    image = nib.load(path)
    canonical = nib.as_closest_canonical(image)
    to_original = inv_ornt_aff(io_orientation(image.affine), image.shape[:3])
    to_canonical = np.linalg.inv(to_original)
    surface = getattr(image.header, "get_vox2ras_tkr", lambda: image.affine)()
    data = np.asanyarray(canonical.dataobj)
    if data.ndim != 3 or min(data.shape) < 10:
        raise ValueError(f"an image of shape {data.shape} is not a brain volume")
    return Volume(
        data,
        tuple(float(size) for size in np.linalg.norm(canonical.affine[:3, :3], axis=0)),
        tuple(float(part) for part in canonical.affine[:3, 3]),
        to_canonical @ np.linalg.inv(surface),
    )


def brain_box(labels: np.ndarray, voxel_mm: tuple[float, ...]) -> list[tuple[int, int]]:
    """The part of an image that holds the labelled brain, with a margin.

    Parameters
    ----------
    labels : (x, y, z) array
    voxel_mm : tuple of 3 float
        Size of a voxel.

    Returns
    -------
    list of (int, int)
        First and last voxel on each axis.

    Raises
    ------
    ValueError
        When the image holds no labels.
    """
    mask = labels > 0
    box = []
    for axis in range(3):
        used = np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis})))
        if used.size < 10:
            raise ValueError("the segmentation is empty")
        margin = round(MARGIN_MM / voxel_mm[axis])
        box.append((max(int(used[0]) - margin, 0), min(int(used[-1]) + margin, mask.shape[axis] - 1)))
    return box


def segmentation_mosaic(background: Volume, labels: np.ndarray, through: Sequence[int] = ()) -> Any:
    """A Pillow image: slices in three planes with the outlines of all labelled structures.

    Parameters
    ----------
    background : Volume
    labels : (x, y, z) array
        The segmentation on the same grid.
    through : sequence of int
        Labels of structures that slices shall go through, the most important first.

    Returns
    -------
    Image
    """
    return _mosaic(background, labels, through, lambda axis, index, box: _label_lines(labels, axis, index, box))


def surface_mosaic(background: Volume, labels: np.ndarray, meshes: list[Mesh], through: Sequence[int] = ()) -> Any:
    """A Pillow image: slices in three planes cut through surfaces.

    Parameters
    ----------
    background : Volume
    labels : (x, y, z) array
        The segmentation on the same grid, which says where the brain is.
    meshes : list of Mesh
        Vertices in voxels of `background`.
    through : sequence of int
        As for `segmentation_mosaic`.

    Returns
    -------
    Image
    """

    spans = [[_span(mesh, axis) for axis in range(3)] for mesh in meshes]

    def lines(axis: int, index: int, box: list[tuple[int, int]]) -> Iterator[tuple[np.ndarray, Colour]]:
        corner = [box[other][0] for other in _others(axis)]
        for mesh, span in zip(meshes, spans):
            low, high = span[axis]
            near = mesh.faces[(low < index) & (high >= index)]
            yield plane_segments(mesh.vertices, near, axis, index) - corner, mesh.colour

    return _mosaic(background, labels, through, lines)


def _span(mesh: Mesh, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest coordinate of every triangle."""
    heights = mesh.vertices[:, axis].astype(np.float32)
    a, b, c = (heights[mesh.faces[:, corner]] for corner in range(3))
    return np.minimum(np.minimum(a, b), c), np.maximum(np.maximum(a, b), c)


def _others(axis: int) -> tuple[int, int]:
    """The picture's horizontal and vertical axis."""
    return ((1, 2), (0, 2), (0, 1))[axis]


def _cut(data: np.ndarray, axis: int, index: int, box: list[tuple[int, int]]) -> np.ndarray:
    """One slice inside the box, (across, up)."""
    window: list[slice | int] = [slice(first, last + 1) for first, last in box]
    window[axis] = index
    return data[tuple(window)]


def _label_lines(labels, axis, index, box) -> Iterator[tuple[np.ndarray, Colour]]:
    """Segments of the outlines in voxels from the corner of the box, the cortex's parcels first."""
    import contourpy

    plane = _cut(labels, axis, index, box).astype(int)
    for label in sorted(np.unique(plane).tolist(), key=lambda label: (label < 1000, label not in WHITE)):
        colour = COLOURS.get(label, CORTEX_COLOUR if label >= 1000 else None)
        if colour is None:
            continue
        columns, rows = np.nonzero(plane == label)
        left, low = max(columns.min() - 1, 0), max(rows.min() - 1, 0)
        window = (plane[left : columns.max() + 2, low : rows.max() + 2] == label).astype(float)
        if min(window.shape) < 2:
            continue
        for line in contourpy.contour_generator(z=window.T).lines(0.5):
            moved = line + (left, low)
            yield np.stack([moved[:-1], moved[1:]], axis=1), colour


def plane_segments(vertices: np.ndarray, faces: np.ndarray, axis: int, position: float) -> np.ndarray:
    """Where a mesh meets the plane `axis` = `position`.

    Parameters
    ----------
    vertices : (n, 3) array
        Voxels.
    faces : (m, 3) array of int
    axis : {0, 1, 2}
    position : float

    Returns
    -------
    (segments, 2, 2) array
        Two ends by the two other coordinates.
    """
    # a vertex exactly on the plane counts as above, so each crossing triangle has exactly two crossed edges
    above = vertices[:, axis] >= position
    count = above[faces].sum(axis=1)
    crossing = faces[(count == 1) | (count == 2)]
    ends = []
    for first, second in ((0, 1), (1, 2), (2, 0)):
        a, b = vertices[crossing[:, first]], vertices[crossing[:, second]]
        rise = b[:, axis] - a[:, axis]
        share = (position - a[:, axis]) / np.where(rise == 0, 1, rise)
        points = a + share[:, None] * (b - a)
        points[above[crossing[:, first]] == above[crossing[:, second]]] = np.nan
        ends.append(points[:, _others(axis)])
    stacked = np.stack(ends, axis=1)
    return stacked[~np.isnan(stacked[..., 0])].reshape(-1, 2, 2)


def _mosaic(background: Volume, labels: np.ndarray, through: Sequence[int], lines) -> Any:
    from PIL import Image

    box = brain_box(labels, background.voxel_mm)
    inside = tuple(slice(first, last + 1, 2) for first, last in box)
    window = np.percentile(background.data[inside][labels[inside] > 0], (0.5, 99.7))
    centres = _centres(labels, through)
    rows = [
        [
            _slice(background, labels, box, window, axis, index, lines)
            for index in _positions(box[axis], count, centres[axis], NEAR_MM / background.voxel_mm[axis])
        ]
        for axis, count in PLANES.values()
    ]
    width = max(sum(cell.width for cell in row) + GAP * (len(row) - 1) for row in rows)
    height = sum(max(cell.height for cell in row) for row in rows) + GAP * (len(rows) - 1)
    picture, top = Image.new("RGB", (width, height), "black"), 0
    for row in rows:
        spare = (width - sum(cell.width for cell in row)) / max(len(row) - 1, 1)
        left = 0.0
        for cell in row:
            picture.paste(cell, (round(left), top))
            left += cell.width + spare
        top += max(cell.height for cell in row) + GAP
    return picture


def _centres(labels: np.ndarray, through: Sequence[int]) -> list[list[int]]:
    """The middle voxel of each structure on each axis."""
    found = [np.median(np.argwhere(labels == label), axis=0) for label in through if (labels == label).any()]
    return [[int(centre[axis]) for centre in found] for axis in range(3)]


def _positions(ends: tuple[int, int], count: int, wanted: Sequence[int] = (), near: float = 0.0) -> list[int]:
    """Regular slices, of which at most `MOVED` go to the nearest of the `wanted` places that none shows yet."""
    first, last = ends
    regular = [round(first + (last - first) * (FIRST + (LAST - FIRST) * k / (count - 1))) for k in range(count)]
    moved: list[int] = []
    for place in wanted:
        if len(moved) < MOVED and all(abs(place - other) > near for other in moved):
            regular.remove(min(regular, key=lambda other: abs(other - place)))
            moved.append(place)
    return sorted([*regular, *moved])


def _slice(background: Volume, labels: np.ndarray, box, window, axis: int, index: int, lines) -> Any:
    from PIL import Image

    plane = _cut(background.data, axis, index, box) * _near(_cut(labels, axis, index, box), background.voxel_mm)
    grey = np.clip((plane - window[0]) / max(window[1] - window[0], 1e-9), 0, 1) * BRIGHTEST
    scale = [PIXELS_PER_MM * background.voxel_mm[other] for other in _others(axis)]
    small = [round(length * factor) for length, factor in zip(plane.shape, scale)]
    large = [OVERSAMPLING * length for length in small]
    picture = Image.fromarray(grey.T[::-1].astype(np.uint8)).resize(large, Image.Resampling.BICUBIC)
    pixels = np.repeat(np.asarray(picture)[..., None], 3, axis=2)
    stretch = np.array(large) / plane.shape
    for segments, colour in lines(axis, index, box):
        points = (segments + 0.5) * stretch
        points[..., 1] = large[1] - points[..., 1]
        _stroke(pixels, points, colour)
    picture = Image.fromarray(pixels).resize(small, Image.Resampling.LANCZOS)
    _captions(picture, axis, background.origin_mm[axis] + index * background.voxel_mm[axis])
    return picture


def _near(plane: np.ndarray, voxel_mm: tuple[float, ...]) -> np.ndarray:
    """Pixels within `MARGIN_MM` of the labelled brain: skull and face are left out."""
    from PIL import Image, ImageFilter

    mask = Image.fromarray(((plane > 0) * 255).astype(np.uint8))
    reach = 2 * round(MARGIN_MM / min(voxel_mm)) + 1
    return np.asarray(mask.filter(ImageFilter.MaxFilter(reach))) / 255


def _stroke(pixels: np.ndarray, segments: np.ndarray, colour: Colour) -> None:
    """Draw line segments (n, 2 ends, x and y) into an RGB array, two pixels wide."""
    if not len(segments):
        return
    longest = np.abs(segments[:, 1] - segments[:, 0]).max()
    share = np.linspace(0, 1, int(longest) + 2)[:, None, None]
    points = np.floor(segments[:, 0] + share * (segments[:, 1] - segments[:, 0]) - 0.5).astype(int).reshape(-1, 2)
    for right, down in ((0, 0), (1, 0), (0, 1), (1, 1)):
        columns, rows = points[:, 0] + right, points[:, 1] + down
        inside = (columns >= 0) & (rows >= 0) & (columns < pixels.shape[1]) & (rows < pixels.shape[0])
        pixels[rows[inside], columns[inside]] = colour


def _captions(picture: Any, axis: int, position_mm: float) -> None:
    from PIL import ImageDraw, ImageFont

    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(13)
    words = f"{'xyz'[axis]} = {round(position_mm)}"
    draw.text(
        (picture.width / 2, picture.height - 2),
        words,
        fill=(200, 200, 200),
        font=font,
        anchor="mb",
        stroke_width=2,
        stroke_fill="black",
    )
    if axis != 0:
        draw.text((3, 2), "L", fill=(255, 255, 255), font=font, anchor="lt")
        draw.text((picture.width - 3, 2), "R", fill=(255, 255, 255), font=font, anchor="rt")


def to_voxels(vertices: np.ndarray, volume: Volume) -> np.ndarray:
    """Vertices of a surface on the grid of a volume.

    Parameters
    ----------
    vertices : (n, 3) array
        FreeSurfer's surface coordinates, mm.
    volume : Volume

    Returns
    -------
    (n, 3) array
        Voxel indices, not rounded.
    """
    return vertices @ volume.from_surface[:3, :3].T + volume.from_surface[:3, 3]
