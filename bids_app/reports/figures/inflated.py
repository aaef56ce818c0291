"""Values per region painted on inflated cortical surfaces, as a picture."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bids_app.reports.figures.colour import Scale, colour_map
from bids_app.reports.figures.scene import MapOptions, decimals, finite_values, number
from bids_app.reports.figures.surface import neighbour_mean, rasterise, vertex_normals

WIDTH = 1600
OVERSAMPLING = 2
GAP = 24
TOP, BOTTOM = 34, 96
VIEWS = (("lh", "lateral"), ("lh", "medial"), ("rh", "medial"), ("rh", "lateral"))
WALL_COLOUR = np.array([0.80, 0.81, 0.83])
EMPTY_COLOUR = np.array([0.94, 0.94, 0.95])
NOT_CORTEX = ("unknown", "corpuscallosum", "Medial_wall", "???")
LINE, FLAG_LINE = 2, 6
_SIDE = re.compile(r"^(ctx[-_])?(lh|rh|L|R)[-_]")
HATCH = (18, 6)
# steps of averaging that open the sulci of fsaverage's pial surface with 10,242 vertices
GIFTI_SMOOTHING = 12
WORDS = {"lh": "left hemisphere", "rh": "right hemisphere"}


@dataclass(frozen=True)
class Hemisphere:
    """An inflated surface with a region per vertex.

    vertices : (n, 3) mm, right-anterior-superior
    faces : (m, 3)
    labels : (n,) index into `names`, -1 for none
    names : names of the parcels, without hemisphere
    depth : (n,) sulcal depth or curvature (positive in sulci), or None
    """

    vertices: np.ndarray
    faces: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]
    depth: np.ndarray | None = None

    def __post_init__(self) -> None:
        if len(self.labels) != len(self.vertices):
            raise ValueError(f"{len(self.labels)} labels for {len(self.vertices)} vertices")
        if len(self.faces) == 0 or self.faces.max() >= len(self.vertices) or not np.isfinite(self.vertices).all():
            raise ValueError("the surface is damaged")


def read_hemisphere(surface: Path, annotation: Path, depth: Path | None = None) -> Hemisphere:
    """Read FreeSurfer's geometry and annotation files, or GIFTI ones (by their ending .gii; not inflated yet)."""
    from nibabel.freesurfer import read_annot, read_geometry, read_morph_data

    if surface.suffix == ".gii":
        return _read_gifti(surface, annotation)
    vertices, faces = read_geometry(surface)
    labels, _, names = read_annot(annotation)
    grooves = read_morph_data(depth) if depth else None
    if grooves is not None and len(grooves) != len(vertices):
        grooves = None
    return Hemisphere(vertices, faces, labels, tuple(name.decode() for name in names), grooves)


def _read_gifti(surface: Path, annotation: Path) -> Hemisphere:
    import nibabel as nib

    vertices, faces = (array.data for array in nib.load(surface).darrays[:2])
    labelled = nib.load(annotation)
    names = labelled.labeltable.get_labels_as_dict()
    keys = list(names)
    index = {key: place for place, key in enumerate(keys)}
    labels = np.array([index.get(int(key), -1) for key in labelled.darrays[0].data])
    faces = np.asarray(faces, int)
    smooth = neighbour_mean(np.asarray(vertices, float), faces, GIFTI_SMOOTHING)
    return Hemisphere(smooth, faces, labels, tuple(_SIDE.sub("", names[key]) for key in keys))


def paint(hemispheres: Mapping[str, Hemisphere], values: Mapping[str, float], options: MapOptions) -> Any:
    """A Pillow image: four views of the cortex, coloured by `values`, with a colour bar.

    Parameters
    ----------
    hemispheres : mapping
        ``lh`` and ``rh``.
    values : mapping
        Region name (``lh_precuneus_volume``) to number; regions without one stay pale grey.
    """
    known = finite_values(values)
    if not any(f"{side}_{name}_volume" in known for side in hemispheres for name in hemispheres[side].names):
        raise ValueError("none of its regions has a value")
    scale = options.colours(known)
    extent = sum(np.ptp(hemispheres[hemisphere].vertices[:, 1]) for hemisphere, _ in VIEWS)
    pixels_per_mm = (WIDTH - GAP * (len(VIEWS) + 1)) / extent
    views = [_view(hemispheres[side], side, view, known, options, scale, pixels_per_mm) for side, view in VIEWS]
    return _compose(views, options, scale)


def _view(
    hemisphere: Hemisphere,
    side: str,
    view: str,
    known: Mapping[str, float],
    options: MapOptions,
    scale: Scale,
    pixels_per_mm: float,
) -> Any:
    from PIL import Image

    towards = 1 if (side == "rh") == (view == "lateral") else -1
    # seen from the right, the front is on the right; from the left, on the left
    seen = np.stack([hemisphere.vertices[:, 1] * towards, -hemisphere.vertices[:, 2]], axis=1)
    seen = (seen - seen.min(axis=0)) * pixels_per_mm * OVERSAMPLING + OVERSAMPLING
    columns, rows = (np.ceil(seen.max(axis=0)).astype(int) // OVERSAMPLING + 2) * OVERSAMPLING
    facing = vertex_normals(hemisphere.vertices, hemisphere.faces)[:, 0] * towards
    faces = hemisphere.faces[facing[hemisphere.faces].max(axis=1) > 0]
    raster = rasterise(seen, hemisphere.vertices[:, 0] * towards, faces, (rows, columns))
    corner = raster.weights.argmax(axis=2)
    vertex = np.take_along_axis(faces[raster.face], corner[..., None], axis=2)[..., 0]
    label = np.where(raster.face >= 0, hemisphere.labels[vertex], -2)
    light = 0.62 + 0.38 * np.clip(raster.vertex_values(faces, facing), 0, 1)
    if hemisphere.depth is not None:
        light *= np.where(raster.vertex_values(faces, hemisphere.depth) > 0, 0.93, 1.0)
    colours, flags = _region_colours(hemisphere.names, side, known, options, scale)
    picture = _coloured(label, light, colours, flags)
    image = Image.fromarray(np.rint(255 * np.clip(picture, 0, 1)).astype(np.uint8))
    return image.resize((columns // OVERSAMPLING, rows // OVERSAMPLING), Image.Resampling.LANCZOS)


def _region_colours(names, side, known, options, scale) -> tuple[np.ndarray, np.ndarray]:
    """Colour and flag of every label; the last two entries are the background and `no label`."""
    colours, flags = np.empty((len(names) + 2, 3)), np.zeros(len(names) + 2, int)
    for place, name in enumerate(names):
        value = known.get(f"{side}_{name}_volume")
        if value is None:
            colours[place] = WALL_COLOUR if name in NOT_CORTEX else EMPTY_COLOUR
        else:
            colours[place], flags[place] = scale.rgb(np.asarray(value)), options.flags(value)
    colours[-2], colours[-1] = 1, WALL_COLOUR
    return colours, flags


def _coloured(label: np.ndarray, light: np.ndarray, colours: np.ndarray, flags: np.ndarray) -> np.ndarray:
    """Shaded colours, hatching of infra-normal regions, borders (strong around flagged regions)."""
    picture = colours[label] * np.where(label == -2, 1, light)[..., None]
    rows, columns = np.indices(label.shape)
    stripes = ((rows + columns) % HATCH[0] < HATCH[1]) & (flags[label] < 0)
    picture[stripes] += 0.72 * (1 - picture[stripes])
    borders = _borders(label)
    picture[_thick(borders, LINE)] = 0.33
    flagged = flags[label] != 0
    picture[_thick(_borders(np.where(flagged, label, -3)), FLAG_LINE) & (label != -2)] = 0.05
    return picture


def _borders(label: np.ndarray) -> np.ndarray:
    edge = np.zeros(label.shape, bool)
    edge[:, 1:] |= label[:, 1:] != label[:, :-1]
    edge[1:] |= label[1:] != label[:-1]
    return edge


def _thick(mask: np.ndarray, width: int) -> np.ndarray:
    """`mask` widened to about `width` pixels."""
    wide = mask.copy()
    for shift in range(1, width):
        step = (shift + 1) // 2 * (1 if shift % 2 else -1)
        wide |= np.roll(mask, step, axis=0) | np.roll(mask, step, axis=1)
    return wide


def _compose(views: list[Any], options: MapOptions, scale: Scale) -> Any:
    from PIL import Image, ImageDraw, ImageFont

    height = max(view.height for view in views)
    picture = Image.new("RGB", (WIDTH, TOP + height + BOTTOM), "white")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(17)
    left = GAP
    for view, (side, name) in zip(views, VIEWS):
        picture.paste(view, (left, TOP + (height - view.height) // 2))
        draw.text((left + view.width / 2, 8), f"{WORDS[side]}, {name}", fill=(26, 26, 26), font=font, anchor="mt")
        left += view.width + GAP
    _bar(picture, draw, font, options, scale, TOP + height + 34)
    return picture


def _bar(picture: Any, draw: Any, font: Any, options: MapOptions, scale: Scale, top: int) -> None:
    from PIL import Image

    width, height = 480, 18
    left = (WIDTH - width) // 2
    strip = np.rint(255 * colour_map(scale.kind)).astype(np.uint8)[None]
    picture.paste(Image.fromarray(strip).resize((width, height), Image.Resampling.BILINEAR), (left, top))
    if options.threshold is not None:
        limit = f"{options.threshold:g}"
        words = f"outlined: {limit} or more from 0; hatched: the negative ones"
        draw.text((left + width + 36, top + 1), words, fill=(26, 26, 26), font=font, anchor="lt")
    draw.rectangle((left, top, left + width, top + height), outline=(95, 99, 104))
    draw.text((left + width / 2, top - 4), options.label, fill=(26, 26, 26), font=font, anchor="mb")
    for part in range(5):
        value = scale.low + (scale.high - scale.low) * part / 4
        place = (left + width * part / 4, top + height + 5)
        draw.text(place, number(value, decimals(scale)).replace("−", "-"), fill=(26, 26, 26), font=font, anchor="mt")
