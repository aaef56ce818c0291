"""Make the geometry of the brain that turns: ``bids_app/reports/assets/brain3d-geometry.js``, from fsaverage.

Usage: ``python scripts/make_brain3d.py FSAVERAGE5_DIR ASEG_VOLUME [-o FILE]``

The cortex is the pial surface of fsaverage5 with the Desikan-Killiany labels; deep structures are the borders of
fsaverage's ``aseg.mgz``. The viewer's library is three.js (MIT), of which ``bids_app/reports/assets/three.js`` holds
what the viewer uses; it was made by esbuild from the package ``three``::

    export { AmbientLight, BufferAttribute, BufferGeometry, Color, DirectionalLight, DoubleSide, Group, Mesh,
      MeshLambertMaterial, PerspectiveCamera, Raycaster, Scene, Vector2, Vector3, WebGLRenderer } from "three";
    export { OrbitControls } from "three/examples/jsm/controls/OrbitControls.js";

    esbuild entry.js --bundle --minify --format=iife --global-name=THREE --legal-comments=inline --outfile=three.js
"""

from __future__ import annotations

import argparse
import base64
import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.freesurfer import read_annot, read_geometry
from scipy.ndimage import gaussian_filter, zoom

from bids_app import regions
from bids_app.reports.figures.surface import neighbour_mean
from scripts.make_atlas import LEFT_OUT, SOURCE

OUTPUT = Path(__file__).resolve().parents[1] / "bids_app" / "reports" / "assets" / "brain3d-geometry.js"
PER_MM = 100
BLUR_MM = 0.7
# large structures are drawn coarser: voxels of their own size in mm
COARSE_VOXELS, FINE_MM, COARSE_MM = 30_000, 1.3, 2.0
EDGES = [(a, b) for a in range(8) for b in range(a + 1, 8) if (a ^ b) in (1, 2, 4)]


def packed(values: np.ndarray, kind: str) -> str:
    """An array as base64 of little-endian numbers."""
    return base64.b64encode(np.ascontiguousarray(values, dtype=kind).tobytes()).decode("ascii")


def mesh(vertices: np.ndarray, faces: np.ndarray) -> dict[str, str]:
    """Vertices (mm) in hundredths of a millimetre, and triangles."""
    return {"vertices": packed(np.rint(vertices * PER_MM), "<i2"), "faces": packed(faces, "<u2")}


def cortex(folder: Path, hemisphere: str) -> dict[str, Any]:
    """One hemisphere: mesh, names of its regions and the region of each vertex (0: none)."""
    vertices, faces = read_geometry(folder / "surf" / f"{hemisphere}.pial")
    labels, _, names = read_annot(folder / "label" / f"{hemisphere}.aparc.annot")
    known = {f"{hemisphere}_{name.decode()}_volume": index for index, name in enumerate(names)}
    there = [name for name in known if name in regions.reference_regions()]
    place = np.zeros(len(names) + 1, dtype=int)
    for index, name in enumerate(there):
        place[known[name]] = index + 1
    return {"side": hemisphere, "regions": there, "labels": packed(place[labels], "<u1"), **mesh(vertices, faces)}


def deep(volume: nib.MGHImage) -> list[dict[str, Any]]:
    """A mesh per deep structure of the segmentation."""
    table = regions.region_table()
    table = table[table["label"].notna() & (table["measure"] == regions.VOLUME) & ~table["set"].isin(LEFT_OUT)]
    data, affine = np.asarray(volume.dataobj), volume.header.get_vox2ras_tkr()
    found = []
    for label, name, kind in zip(table["label"].astype(int), table["name"], table["kind"], strict=True):
        inside = data == label
        if kind == "cortical" or inside.sum() < 100:
            continue
        step = COARSE_MM if inside.sum() > COARSE_VOXELS else FINE_MM
        corner = np.argwhere(inside).min(axis=0) - 4
        box = inside[tuple(slice(a, b + 9) for a, b in zip(corner, np.argwhere(inside).max(axis=0) - 4, strict=True))]
        box = box.astype(float)
        field = zoom(gaussian_filter(box, BLUR_MM), 1 / step, order=1, grid_mode=False)
        spacing = (np.array(box.shape) - 1) / (np.array(field.shape) - 1)
        vertices, faces = surface_net(field - 0.5)
        vertices = neighbour_mean(vertices * spacing + corner, faces, 2)
        found.append({"region": name, **mesh(vertices @ affine[:3, :3].T + affine[:3, 3], faces)})
    return found


def surface_net(field: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The zero level of a field as triangles: one vertex per cell that it crosses (Gibson 1998).

    Returns
    -------
    (vertices (n, 3) in voxels, faces (m, 3))
    """
    inside = field > 0
    size = np.array(field.shape) - 1
    offsets = [np.array([index >> 2 & 1, index >> 1 & 1, index & 1]) for index in range(8)]
    corners = np.stack([field[tuple(slice(o, o + n) for o, n in zip(offset, size))] for offset in offsets], -1)
    active = (corners > 0).any(-1) & (corners <= 0).any(-1)
    cells, values = np.argwhere(active), corners[active]
    total, count = np.zeros((len(cells), 3)), np.zeros(len(cells))
    for a, b in EDGES:
        crossed = (values[:, a] > 0) != (values[:, b] > 0)
        share = np.where(crossed, values[:, a] / np.where(crossed, values[:, a] - values[:, b], 1), 0)[:, None]
        total += crossed[:, None] * (offsets[a] + share * (offsets[b] - offsets[a]))
        count += crossed
    number = np.full(active.shape, -1)
    number[active] = np.arange(len(cells))
    quads = []
    for axis in range(3):
        first, second = (other for other in range(3) if other != axis)
        low, high = (np.take(inside, range(s, inside.shape[axis] - 1 + s), axis) for s in (0, 1))
        for at in np.argwhere(low != high):
            around = [
                at - np.eye(3, dtype=int)[first] * i - np.eye(3, dtype=int)[second] * j
                for i, j in ((0, 0), (1, 0), (1, 1), (0, 1))
            ]
            quad = [number[tuple(cell)] for cell in around]
            outwards = low[tuple(at)] == (axis != 1)
            quads.append(quad if outwards else quad[::-1])
    square = np.array(quads)
    faces = np.concatenate([square[:, [0, 1, 2]], square[:, [0, 2, 3]]])
    return cells + total / count[:, None], faces


def main() -> None:
    """Write the geometry."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fsaverage5", type=Path)
    parser.add_argument("aseg", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()
    content = {
        "source": SOURCE,
        "perMm": PER_MM,
        "cortex": [cortex(arguments.fsaverage5, side) for side in ("lh", "rh")],
        "deep": deep(nib.load(arguments.aseg)),
    }
    text = json.dumps(content, separators=(",", ":"))
    arguments.output.write_text(f'"use strict";\nwindow.normvolBrain = {text};\n', encoding="utf-8")
    print(arguments.output.stat().st_size, [part["region"] for part in content["deep"]])


if __name__ == "__main__":
    main()
