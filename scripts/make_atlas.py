"""Draw the atlas of the reports: ``bids_app/data/atlas.json``, from fsaverage.

Usage: ``python scripts/make_atlas.py FSAVERAGE5_DIR ASEG_VOLUME [-o atlas.json]``

The cortex is fsaverage5, half inflated and seen from the side and from the middle, with the Desikan-Killiany
labels of ``?h.aparc.annot``. The slices are cuts through fsaverage's ``aseg.mgz`` (1 mm). Both become label
images whose borders are traced once, so that two neighbours share one line: there are no gaps.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.freesurfer import read_annot, read_geometry, read_morph_data
from scipy.ndimage import distance_transform_edt, gaussian_filter, gaussian_filter1d, zoom
from scipy.ndimage import label as connected

from bids_app import regions
from bids_app.reports.figures.surface import neighbour_mean, rasterise, vertex_normals

UNIT_MM = 0.25
SLICE_UNIT_MM = 0.29
SOURCE = (
    "Drawn from the FreeSurfer template fsaverage (40-subject average): fsaverage5 surfaces, "
    "Desikan-Killiany labels (doi:10.1016/j.neuroimage.2006.01.021) and "
    "aseg (doi:10.1016/s0896-6273(02)00569-x)."
)
INFLATION = 0.4
SMOOTHING = 4
# view -> (turn to the front, turn to the top), degrees: makes the poles and Heschl's gyrus visible
TURN = {"lateral": (8, 4), "medial": (10, -10)}
SLICES = {
    "coronal_anterior": ("coronal", 1, 7),
    "coronal_middle": ("coronal", 1, -11),
    "axial_superior": ("axial", 2, 1),
    "axial_inferior": ("axial", 2, -23),
    "sagittal": ("sagittal", 0, -1),
}
CEREBRAL_WHITE = {2: "lhCerebralWhiteMatterVol", 41: "rhCerebralWhiteMatterVol"}
CONTEXT = {3: "cortex", 42: "cortex"}
LEFT_OUT = ("measured", "covariate")
WALL = "medial wall"


def label_names() -> dict[int, str]:
    """FreeSurfer's label of every region that can be drawn, to its name."""
    table = regions.region_table()
    table = table[table["label"].notna() & (table["measure"] == regions.VOLUME) & ~table["set"].isin(LEFT_OUT)]
    drawn = {int(label): name for label, name in zip(table["label"], table["name"])}
    del drawn[77]  # fsaverage has 14 voxels of WM hypointensity: nothing to draw
    return {**drawn, **CEREBRAL_WHITE, **CONTEXT}


def half_inflated(folder: Path, hemisphere: str) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (mm) between the smoothed mid-thickness surface and the inflated one, and the triangles."""
    white, faces = read_geometry(folder / "surf" / f"{hemisphere}.white")
    pial, _ = read_geometry(folder / "surf" / f"{hemisphere}.pial")
    inflated, _ = read_geometry(folder / "surf" / f"{hemisphere}.inflated")
    smooth = neighbour_mean((white + pial) / 2, faces, SMOOTHING)
    smooth -= smooth.mean(axis=0)
    inflated = inflated - inflated.mean(axis=0)
    inflated *= np.sqrt((smooth**2).sum() / (inflated**2).sum())
    return (1 - INFLATION) * smooth + INFLATION * inflated, faces


def towards_eye(points: np.ndarray, from_right: bool, view: str) -> np.ndarray:
    """Points turned so that the eye sits at +x."""
    side = 1 if from_right else -1
    front, top = np.deg2rad(TURN[view])
    front *= side
    turn = np.array([[np.cos(front), np.sin(front), 0], [-np.sin(front), np.cos(front), 0], [0, 0, 1]])
    tilt = np.array([[np.cos(top), 0, np.sin(top)], [0, 1, 0], [-np.sin(top), 0, np.cos(top)]])
    return (points * [side, side, 1]) @ turn.T @ tilt.T


def cortex_view(folder: Path, hemisphere: str, view: str) -> tuple[np.ndarray, np.ndarray]:
    """Label image (0 outside, 1 medial wall, otherwise aparc+aseg labels) and rank of sulcal depth."""
    vertices, faces = half_inflated(folder, hemisphere)
    from_right = (hemisphere == "rh") == (view == "lateral")
    seen = towards_eye(vertices, from_right, view)
    scale = 1 / UNIT_MM
    pixels = np.stack([seen[:, 1], -seen[:, 2]], axis=1) * scale
    pixels += 6 - pixels.min(axis=0)
    columns, rows = np.ceil(pixels.max(axis=0) + 6).astype(int)
    picture = rasterise(pixels, seen[:, 0], faces, (rows, columns))
    labels, _, names = read_annot(folder / "label" / f"{hemisphere}.aparc.annot")
    share = neighbour_mean(np.eye(len(names))[labels], faces, 1)
    winner = picture.vertex_values(faces, share).argmax(axis=2)
    wall = [i for i, name in enumerate(names) if name in (b"unknown", b"corpuscallosum")]
    base = 1000 if hemisphere == "lh" else 2000
    image = np.where(np.isin(winner, wall), 1, winner + base)
    image[picture.face < 0] = 0
    depth = neighbour_mean(read_morph_data(folder / "surf" / f"{hemisphere}.sulc")[:, None], faces, 2)[:, 0]
    facing = towards_eye(vertex_normals(vertices, faces), from_right, view)[:, 0]
    groove = picture.vertex_values(faces, depth)
    rim = picture.vertex_values(faces, facing)
    cortex = (image > 1) & (rim > 0.25)
    rank = np.zeros(image.shape)
    rank[cortex] = gaussian_filter(groove, 3)[cortex].argsort().argsort() / cortex.sum()
    return image, rank


def slice_view(volume: nib.spatialimages.SpatialImage, axis: int, position_mm: float) -> np.ndarray:
    """Label image of one cut, left on the left, front or top upwards."""
    canonical = nib.as_closest_canonical(volume)
    labels = np.asarray(canonical.dataobj).astype(int)
    middle = round(position_mm - canonical.affine[axis, 3])
    if axis == 0:
        labels = with_hemisphere_behind(labels, middle)
    slab = labels.take(range(middle - 3, middle + 4), axis=axis)
    drawn = [0, *(label for label in label_names() if label < 1000)]
    best, winner = None, None
    for label in drawn:
        share = gaussian_filter((slab == label).astype(float), 0.7).take(3, axis=axis).T[::-1]
        share = zoom(share, 1 / SLICE_UNIT_MM, order=1)
        winner = np.zeros(share.shape, int) if winner is None else np.where(share > best, label, winner)
        best = share if best is None else np.maximum(best, share)
    winner = without_specks(winner)
    winner = without_specks(winner, dict.fromkeys((0, *CONTEXT, *CEREBRAL_WHITE), 25))
    rows, columns = np.nonzero(winner)
    return np.pad(winner[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1], 6)


def with_hemisphere_behind(labels: np.ndarray, middle: int, distance: int = 6) -> np.ndarray:
    """The cut between the hemispheres with the medial face of the left one as its background."""
    behind = labels[middle - distance]
    seen = np.where(np.isin(behind, (2, 3)), 3, 0)
    return np.where(np.isin(labels, (0, 2, 3, 41, 42)), seen, labels)


def islands(image: np.ndarray, value: int) -> np.ndarray:
    """Size of the island (mm^2) at every pixel with this label, 0 elsewhere."""
    pieces, _ = connected(image == value)
    sizes = np.bincount(pieces.ravel()) * UNIT_MM**2
    sizes[0] = 0
    return sizes[pieces]


def without_slivers(images: list[np.ndarray], smallest_mm2: float = 60) -> list[np.ndarray]:
    """The views of one hemisphere without small islands, except a region's largest one."""
    largest = {value: max(islands(image, value).max() for image in images) for value in np.unique(images[0])}
    largest |= {v: max(islands(image, v).max() for image in images) for v in np.unique(images[1])}
    return [
        without_specks(image, {value: min(size, smallest_mm2) for value, size in largest.items()}) for image in images
    ]


def without_specks(image: np.ndarray, smallest_mm2: float | dict[int, float] = 4) -> np.ndarray:
    """`image` with islands below a size (one for all, or per label) given to the label around them."""
    keep = np.zeros(image.shape, bool)
    for value in np.unique(image):
        limit = smallest_mm2.get(value, 0) if isinstance(smallest_mm2, dict) else smallest_mm2
        size = islands(image, value)
        keep |= (size >= limit) & (image == value)
    nearest = distance_transform_edt(~keep, return_distances=False, return_indices=True)
    return image[tuple(nearest)]


def trace(image: np.ndarray) -> list[tuple[list[tuple[int, int]], int, int]]:
    """Arcs between junctions of a label image: corner points (x, y), label on the left, on the right."""
    step = {}
    rows, columns = np.nonzero(image[:, 1:] != image[:, :-1])
    for row, column in zip(rows.tolist(), columns.tolist()):
        pair = int(image[row, column + 1]), int(image[row, column])
        step[(column + 1, row), (column + 1, row + 1)] = pair
    rows, columns = np.nonzero(image[1:] != image[:-1])
    for row, column in zip(rows.tolist(), columns.tolist()):
        pair = int(image[row, column]), int(image[row + 1, column])
        step[(column, row + 1), (column + 1, row + 1)] = pair
    step.update({(b, a): (right, left) for (a, b), (left, right) in list(step.items())})
    onward = defaultdict(list)
    for a, b in step:
        onward[a].append(b)
    junctions = {node for node, next_ in onward.items() if len(next_) != 2}
    arcs, used = [], set()
    for start in [*sorted(junctions), *sorted(onward)]:
        for second in onward[start]:
            if (start, second) in used:
                continue
            points = [start, second]
            used |= {(start, second), (second, start)}
            while points[-1] not in junctions and points[-1] != start:
                following = next(node for node in onward[points[-1]] if node != points[-2])
                used |= {(points[-1], following), (following, points[-1])}
                points.append(following)
            arcs.append((points, *step[start, second]))
    return arcs


def smooth_arc(points: list[tuple[int, int]], sigma: float, tolerance: float) -> np.ndarray:
    """The arc without pixel stairs, with few whole-number points; its ends stay."""
    line = np.array(points, float)
    closed = points[0] == points[-1]
    if closed:
        line = gaussian_filter1d(line[:-1], sigma, axis=0, mode="wrap")
        line = np.vstack([line, line[:1]])
    elif len(line) > 4:
        # point reflection about the ends keeps them in place
        many = min(len(line) - 1, int(4 * sigma))
        before, after = 2 * line[0] - line[many:0:-1], 2 * line[-1] - line[-2 : -many - 2 : -1]
        line = gaussian_filter1d(np.vstack([before, line, after]), sigma, axis=0)[many : many + len(line)]
    kept = np.rint(simplify(line, tolerance)).astype(int)
    return kept[np.r_[True, (np.diff(kept, axis=0) != 0).any(axis=1)]]


def simplify(line: np.ndarray, tolerance: float) -> np.ndarray:
    """Douglas-Peucker."""
    keep = np.zeros(len(line), bool)
    keep[[0, -1]] = True
    if (line[0] == line[-1]).all() and len(line) > 3:
        keep[[len(line) // 3, 2 * len(line) // 3]] = True
    ends = np.flatnonzero(keep)
    stack = list(pairwise(ends))
    while stack:
        first, last = stack.pop()
        if last - first < 2:
            continue
        along = line[last] - line[first]
        offset = line[first + 1 : last] - line[first]
        length = np.hypot(*along)
        distance = np.abs(along[0] * offset[:, 1] - along[1] * offset[:, 0]) / max(length, 1e-9)
        if distance.max() > tolerance:
            middle = first + 1 + int(distance.argmax())
            keep[middle] = True
            stack += [(first, middle), (middle, last)]
    return line[keep]


def curve(points: np.ndarray) -> str:
    """Relative SVG commands of the smooth curve guided by `points`, from the first to the last.

    A quadratic B-spline: the points between are controls, the middles of its legs lie on the curve. It is the
    same curve when drawn backwards, so two neighbours share it.
    """
    if len(points) == 2:
        right, down = points[1] - points[0]
        return f"l{right} {down}"
    ends = np.vstack([(points[1:-2] + points[2:-1]) // 2, points[-1:]])
    starts = np.vstack([points[:1], ends[:-1]])
    legs = np.hstack([points[1:-1] - starts, ends - starts])
    return "q" + " ".join(" ".join(map(str, leg)) for leg in legs.tolist())


def closed_curve(points: np.ndarray) -> np.ndarray:
    """Guide points of a loop, beginning and ending in the middle of a leg so that it has no corner."""
    middle = (points[-2:-1] + points[:1]) // 2
    return np.vstack([middle, points[:-1], middle])


def region_paths(image: np.ndarray, sigma: float, tolerance: float) -> dict[int, str]:
    """SVG path of every label (0 is the outside), with shared borders."""
    ends = defaultdict(lambda: defaultdict(list))
    for points, left, right in trace(image):
        arc = smooth_arc(points, sigma, tolerance)
        if points[0] == points[-1] and len(arc) > 3:
            arc = closed_curve(arc)
        ends[left][points[0]].append((arc, points[-1]))
        ends[right][points[-1]].append((arc[::-1], points[0]))
    return {label: "".join(chain(starts)) for label, starts in ends.items()}


def chain(starts: dict) -> list[str]:
    """Arcs that begin where another ends, joined to the rings of one label."""
    found = []
    while starts:
        first = node = next(iter(starts))
        text = ""
        while not text or node != first:
            arc, following = starts[node].pop()
            if not starts[node]:
                del starts[node]
            text = text or f"M{arc[0][0]},{arc[0][1]}"
            text += curve(arc) if len(arc) > 1 else ""
            node = following
        found.append(shorter(text) + "z")
    return found


def shorter(text: str) -> str:
    """Path data without repeated commands and needless blanks."""
    result, last = "", ""
    for command, numbers in re.findall(r"([Mlq])([^Mlq]+)", text):
        result += numbers if command == "M" else (" " if command == last else command) + numbers
        last = command
    return "M" + re.sub(r" +(?=-)", "", result)


def shading(depth: np.ndarray, thresholds: tuple[float, ...]) -> list[str]:
    """Sulci as outlines, one path per depth."""
    deep = ((depth > threshold).astype(int) for threshold in thresholds)
    return [region_paths(without_specks(image, 12), 5, 0.9).get(1, "") for image in deep]


def view_entry(image: np.ndarray, title: str, sides: list[str], sigma: float, tolerance: float) -> dict:
    names = {1: WALL, **label_names()}
    merged = np.where(image == 42, 3, image)
    paths = region_paths(merged, sigma, tolerance)
    outline = paths.pop(0)
    drawn = {names[label]: path for label, path in sorted(paths.items())}
    context = {name: drawn.pop(name) for name in (WALL, "cortex") if name in drawn}
    rows, columns = image.shape
    entry = {"title": title, "size": [columns, rows], "sides": sides, "outline": outline}
    return {**entry, "context": context, "regions": drawn}


def make_atlas(fsaverage: Path, aseg: Path) -> dict:
    """The whole drawing, as it is stored."""
    views = {}
    for hemisphere, side, order in (("lh", "left", ("lateral", "medial")), ("rh", "right", ("medial", "lateral"))):
        images, depths = zip(*(cortex_view(fsaverage, hemisphere, view) for view in order))
        for view, image, depth in zip(order, without_slivers(list(images)), depths):
            entry = view_entry(image, f"{side} hemisphere, {view}", [], 4, 0.5)
            views[f"{hemisphere}_{view}"] = {**entry, "shade": shading(depth, (0.72, 0.9))}
    volume = nib.load(aseg)
    for name, (plane, axis, position) in SLICES.items():
        letter = "xyz"[axis]
        sides = [] if plane == "sagittal" else ["L", "R"]
        image = slice_view(volume, axis, position)
        views[name] = view_entry(image, f"{plane}, {letter} = {position} mm".replace("-", "−"), sides, 3, 0.7)
        views[name]["shade"] = []
    return {"source": SOURCE, "views": views}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("fsaverage5", type=Path)
    parser.add_argument("aseg", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("bids_app/data/atlas.json"))
    arguments = parser.parse_args()
    atlas = make_atlas(arguments.fsaverage5, arguments.aseg)
    text = json.dumps(atlas, indent=0, ensure_ascii=False) + "\n"
    arguments.output.write_text(text, encoding="utf-8")
    print(f"{arguments.output}: {len(text) / 1000:.0f} kB")


if __name__ == "__main__":
    main()
