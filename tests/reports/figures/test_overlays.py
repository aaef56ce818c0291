"""Overlay figures: drawn where images exist, a note where they do not, and nothing is touched."""

import gzip
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.freesurfer import write_annot, write_geometry

from bids_app import regions
from bids_app.reports.figures import inflated, slices
from bids_app.reports.figures.inflated import Hemisphere, paint
from bids_app.reports.figures.overlays import FIGURES, overlay_figures
from bids_app.reports.figures.scene import MapOptions
from bids_app.reports.figures.slices import plane_segments, read_volume, to_voxels
from bids_app.tables import read_json

SIZE = 64
# FreeSurfer's usual orientation: voxels run left, inferior, anterior
LIA = np.array([[-3.0, 0, 0, 96], [0, 0, 3.0, -96], [0, -3.0, 0, 96], [0, 0, 0, 1]])
NAMES = ["unknown", "precuneus", "superiorfrontal"]


def ball(steps=24):
    """A closed unit sphere, corners outwards."""
    theta, phi = np.linspace(0, np.pi, steps), np.linspace(0, 2 * np.pi, 2 * steps, endpoint=False)
    t, p = np.meshgrid(theta, phi, indexing="ij")
    vertices = np.stack([np.sin(t) * np.cos(p), np.sin(t) * np.sin(p), np.cos(t)], axis=-1).reshape(-1, 3)
    index = np.arange(steps * 2 * steps).reshape(steps, 2 * steps)
    a, b = index[:-1], np.roll(index, -1, axis=1)[:-1]
    c, d = index[1:], np.roll(index, -1, axis=1)[1:]
    return vertices, np.concatenate([np.stack(f, axis=-1).reshape(-1, 3) for f in ((a, c, b), (b, c, d))])


def save_volumes(folder, affine=LIA):
    """Two half brains: left cortex 1025, right cortex 2025, white matter 2 and 41 within."""
    folder.mkdir(parents=True)
    voxels = np.stack(np.indices((SIZE,) * 3), axis=-1)
    x, y, z = np.moveaxis(voxels @ affine[:3, :3].T + affine[:3, 3], -1, 0)
    radius = np.sqrt((x / 65) ** 2 + (y / 80) ** 2 + (z / 60) ** 2)
    labels = np.where(radius < 0.8, np.where(x < 0, 2, 41), np.where(x < 0, 1025, 2025))
    labels[radius > 1] = 0
    nib.save(nib.MGHImage(labels.astype(np.int32), affine), folder / "aparc+aseg.mgz")
    nib.save(nib.MGHImage((110 * (radius < 0.8) + 70 * (labels > 1000)).astype(np.uint8), affine), folder / "T1.mgz")


def save_surfaces(folder):
    (folder / "surf").mkdir(parents=True)
    (folder / "label").mkdir()
    vertices, faces = ball()
    for side, shift in (("lh", -32), ("rh", 32)):
        for kind, size in (("white", 0.8), ("pial", 1.0), ("inflated", 1.1)):
            scaled = vertices * np.array([32, 80, 60]) * size + [shift, 0, 0]
            write_geometry(folder / "surf" / f"{side}.{kind}", scaled, faces)
        table = np.array([[0, 0, 0, 0, 0], [160, 140, 180, 0, 1], [20, 220, 160, 0, 2]])
        labels = np.where(vertices[:, 1] < -0.3, 1, np.where(vertices[:, 1] > 0.3, 2, 0))
        write_annot(folder / "label" / f"{side}.aparc.annot", labels, table, NAMES, fill_ctab=True)


@pytest.fixture
def subject(tmp_path):
    folder = tmp_path / "subjects" / "sub-01"
    save_volumes(folder / "mri")
    save_surfaces(folder)
    return folder


@pytest.fixture
def z():
    return dict.fromkeys(regions.reference_regions(), 0.5) | {"lh_precuneus_volume": -3.0}


@pytest.fixture(autouse=True)
def no_templates(monkeypatch, tmp_path):
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(tmp_path / "no-templateflow"))


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch):
    monkeypatch.setattr(slices, "PIXELS_PER_MM", 0.5)
    monkeypatch.setattr(inflated, "WIDTH", 640)


def snapshot(folder):
    return {path: (path.lstat().st_mtime_ns, path.lstat().st_size) for path in sorted(folder.rglob("*"))}


def test_everything_there_everything_drawn(subject, z, tmp_path):
    before = snapshot(subject)
    result = overlay_figures(subject, z, tmp_path / "out", "sub-01")
    assert [path.name for path in result.figures] == [f"sub-01_{name}" for name in FIGURES]
    assert result.notes == ()
    assert snapshot(subject) == before


def test_figures_are_compact_and_the_same_each_time(subject, z, tmp_path):
    first = overlay_figures(subject, z, tmp_path / "a", "x").figures
    second = overlay_figures(subject, z, tmp_path / "b", "x").figures
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert max(path.stat().st_size for path in first) < 600_000


def test_a_read_only_subject_is_no_obstacle(subject, z, tmp_path):
    for path in [subject, *subject.rglob("*")]:
        path.chmod(path.stat().st_mode & ~0o222)
    try:
        assert len(overlay_figures(subject, z, tmp_path / "out", "x").figures) == 3
    finally:
        for path in [subject, *subject.rglob("*")]:
            path.chmod(path.stat().st_mode | 0o200)


def test_absent_images_are_named_and_the_rest_goes_on(subject, z, tmp_path):
    (subject / "mri" / "T1.mgz").unlink()
    result = overlay_figures(subject, z, tmp_path, "x")
    assert [path.name for path in result.figures] == ["x_desc-zscores_inflated.png"]
    assert "no brain image to draw: mri/ holds none of T1.mgz" in result.notes[0]
    assert read_json(tmp_path / "x_desc-overlays.json")["Notes"] == list(result.notes)


def test_an_empty_subject_gives_notes_only(tmp_path, z):
    result = overlay_figures(tmp_path / "nobody", z, tmp_path / "out", "x")
    assert result.figures == ()
    assert len(result.notes) == 3


def damage_cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def damage_empty(path):
    path.write_bytes(b"")


def damage_noise(path):
    path.write_bytes(bytes(range(256)) * 40)


def damage_header_only(path):
    short = gzip.compress(gzip.decompress(path.read_bytes())[:300]) if path.suffix == ".mgz" else b"\xff\xff\xfe"
    path.write_bytes(short)


@pytest.mark.parametrize("damage", [damage_cut, damage_empty, damage_noise, damage_header_only])
@pytest.mark.parametrize(
    "name", ["mri/T1.mgz", "mri/aparc+aseg.mgz", "surf/lh.pial", "surf/rh.inflated", "label/lh.aparc.annot"]
)
def test_a_damaged_file_is_a_note_never_a_crash(subject, z, tmp_path, name, damage):
    damage(subject / name)
    result = overlay_figures(subject, z, tmp_path / "out", "x")
    assert result.figures
    assert len(result.notes) >= 1
    assert all("\n" not in note for note in result.notes)


def test_content_that_was_not_fetched_is_called_so(subject, z, tmp_path):
    for name in ("T1.mgz", "aparc+aseg.mgz"):
        (subject / "mri" / name).unlink()
        (subject / "mri" / name).symlink_to(f"../../.git/annex/objects/{name}")
    notes = overlay_figures(subject, z, tmp_path, "x").notes
    assert "the content of mri/T1.mgz is not on this disk (git-annex)" in notes[0]
    assert "mri/aparc+aseg.mgz" in notes[1]


def test_a_segmentation_of_another_grid_is_refused(subject, z, tmp_path):
    nib.save(nib.MGHImage(np.ones((40, 40, 40), np.int32), LIA), subject / "mri" / "aparc+aseg.mgz")
    result = overlay_figures(subject, z, tmp_path, "x")
    assert "not on the grid" in result.notes[0]


def test_without_own_surface_the_template_of_the_same_folder_is_used(subject, z, tmp_path):
    os.rename(subject / "surf", subject.parent / "surf")
    os.rename(subject / "label", subject.parent / "label")
    (subject.parent / "fsaverage").mkdir()
    for name in ("surf", "label"):
        os.rename(subject.parent / name, subject.parent / "fsaverage" / name)
    result = overlay_figures(subject, z, tmp_path / "out", "x")
    assert "x_desc-zscores_inflated.png" in [path.name for path in result.figures]
    assert any("painted on the template fsaverage" in note for note in result.notes)


def test_a_picture_of_an_earlier_run_does_not_stay(subject, z, tmp_path):
    overlay_figures(subject, z, tmp_path / "out", "x")
    (subject / "mri" / "T1.mgz").unlink()
    overlay_figures(subject, z, tmp_path / "out", "x")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "x_desc-overlays.json",
        "x_desc-zscores_inflated.png",
    ]


def test_no_z_scores_no_painted_surface(subject, tmp_path):
    assert len(overlay_figures(subject, None, tmp_path, "x").figures) == 2


@pytest.mark.parametrize("affine", [LIA, np.diag([3.0, 3, 3, 1]) + np.array([[0, 0, 0, -96]] * 3 + [[0] * 4])])
def test_left_is_first_and_surfaces_meet_the_image(tmp_path, affine):
    save_volumes(tmp_path / "mri", affine)
    labels = read_volume(tmp_path / "mri" / "aparc+aseg.mgz")
    assert set(np.unique(labels.data[: SIZE // 2 - 1])) <= {0, 2, 1025}
    # FreeSurfer's surface coordinates of every voxel of the left white matter, by its own matrix
    image = nib.load(tmp_path / "mri" / "aparc+aseg.mgz")
    voxels = np.argwhere(np.asarray(image.dataobj) == 2)
    matrix = image.header.get_vox2ras_tkr()
    found = np.rint(to_voxels(voxels @ matrix[:3, :3].T + matrix[:3, 3], labels)).astype(int)
    assert (labels.data[tuple(found.T)] == 2).all()


def test_nothing_far_from_the_brain_is_shown(subject):
    background, labels = (read_volume(subject / "mri" / name) for name in ("T1.mgz", "aparc+aseg.mgz"))
    bright = replace(background, data=np.full(background.data.shape, 200, np.uint8))
    labels.data[:, : SIZE // 2] = 0
    labels.data[SIZE // 2 - 4 : SIZE // 2 + 4, 10:] = 2
    picture = np.asarray(slices.segmentation_mosaic(bright, labels.data).convert("L"))
    # a thin slab and half a brain: most of the frame is far from both
    assert (picture > 60).mean() < 0.6


def test_a_sphere_is_cut_in_a_circle():
    vertices, faces = ball(60)
    segments = plane_segments(vertices, faces, axis=2, position=0.5)
    assert np.linalg.norm(segments, axis=-1) == pytest.approx(np.sqrt(0.75), abs=2e-3)
    length = np.linalg.norm(segments[:, 1] - segments[:, 0], axis=1).sum()
    assert length == pytest.approx(2 * np.pi * np.sqrt(0.75), rel=2e-3)


def test_a_plane_through_vertices_is_cut_too():
    vertices, faces = ball(25)
    segments = plane_segments(vertices, faces, axis=2, position=0.0)
    assert np.isfinite(segments).all()
    assert np.linalg.norm(segments[:, 1] - segments[:, 0], axis=1).sum() == pytest.approx(2 * np.pi, rel=1e-2)


def painted(values):
    vertices, faces = ball()
    labels = np.where(vertices[:, 1] < 0, 1, 2)
    half = Hemisphere(vertices * 70, faces, labels, tuple(NAMES))
    return np.asarray(paint({"lh": half, "rh": half}, values, MapOptions()))


def test_painting_shows_the_value_on_its_side_of_the_brain():
    blue = painted({"lh_precuneus_volume": -1.5})
    excess = (blue[..., 2].astype(int) - blue[..., 0] > 40)[40:-100]
    columns = np.flatnonzero(excess.any(axis=0))
    # only the two views of the left hemisphere, which fill the left half of the picture
    assert columns.size
    assert columns.max() < blue.shape[1] / 2


def test_values_for_other_regions_only_are_refused():
    with pytest.raises(ValueError, match="none of its regions"):
        painted({"Left-Thalamus": 1.0})


def test_labels_must_fit_the_surface():
    vertices, faces = ball()
    with pytest.raises(ValueError, match="labels for"):
        Hemisphere(vertices, faces, np.zeros(3, int), tuple(NAMES))


@pytest.mark.parametrize(
    ("folder", "figures"),
    [
        ("bert_fs7.2.0-beta/bert", 1),
        ("spynoza_sub-0020_fs6.0.0/sub-0020", 1),
        ("nimh-dasb_sub-01_fs7.4.1/sub-01", 0),
        ("brainload_subject1_fs6.0/subject1", 0),
    ],
)
def test_real_subjects(shared, tmp_path, z, folder, figures):
    result = overlay_figures(shared / "data" / "freesurfer" / folder, z, tmp_path, "x")
    assert len(result.figures) == figures
    assert all(path.stat().st_size < 500_000 for path in result.figures)
    assert result.notes


def test_fsaverage_is_drawn_with_its_own_surface(shared, tmp_path, z):
    folder = tmp_path / "fsaverage5"
    source = shared / "data" / "fsaverage"
    folder.mkdir()
    (folder / "surf").symlink_to(source / "fsaverage5" / "surf")
    (folder / "label").symlink_to(source / "fsaverage5" / "label")
    result = overlay_figures(folder, z, tmp_path / "out", "x")
    assert [path.name for path in result.figures] == ["x_desc-zscores_inflated.png"]


@pytest.mark.slow
def test_templateflow_is_read_from_its_cache_without_network(subject, tmp_path):
    cache = tmp_path / "cache" / "tpl-fsaverage"
    cache.mkdir(parents=True)
    vertices, faces = ball()
    mesh = nib.gifti.GiftiImage(
        darrays=[
            nib.gifti.GiftiDataArray(vertices.astype("f4") * 70, intent="NIFTI_INTENT_POINTSET"),
            nib.gifti.GiftiDataArray(faces.astype("i4"), intent="NIFTI_INTENT_TRIANGLE"),
        ]
    )
    table = nib.gifti.GiftiLabelTable()
    for key, name in enumerate(NAMES):
        label = nib.gifti.GiftiLabel(key, 1, 0, 0, 1)
        label.label = f"lh_{name}"
        table.labels.append(label)
    kinds = np.where(vertices[:, 1] < 0, 1, 2).astype("i4")
    labels = nib.gifti.GiftiImage(
        darrays=[nib.gifti.GiftiDataArray(kinds, intent="NIFTI_INTENT_LABEL")], labeltable=table
    )
    for hemi in "LR":
        nib.save(mesh, cache / f"tpl-fsaverage_hemi-{hemi}_den-10k_pial.surf.gii")
        nib.save(labels, cache / f"tpl-fsaverage_hemi-{hemi}_den-10k_atlas-Desikan2006_seg-aparc_dseg.label.gii")
        (cache / f"tpl-fsaverage_hemi-{hemi}_den-10k_sphere.surf.gii").touch()
    code = f"""
import socket
def refuse(*_): raise RuntimeError("network")
socket.socket.connect = refuse
from bids_app.reports.figures.overlays import overlay_figures
from bids_app.reports.figures.templates_flow import cached_file
result = overlay_figures({str(tmp_path / "nobody")!r}, {{"lh_precuneus_volume": 1.0}}, {str(tmp_path / "out")!r}, "x")
print(len(result.figures), cached_file("fsaverage", hemi="L", density="10k", suffix="sphere"))
"""
    environment = {**os.environ, "TEMPLATEFLOW_HOME": str(cache.parent), "PYTHONPATH": str(Path(__file__).parents[3])}
    before = snapshot(cache.parent)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout == "1 None\n"
    assert snapshot(cache.parent) == before


def test_slices_go_through_the_flagged_structures_and_stay_an_overview():
    labels = np.zeros((100, 100, 100), int)
    labels[40:44, 60:64, 30:34], labels[55:59, 20:24, 31:35] = 10, 49
    centres = slices._centres(labels, [10, 49, 77])
    assert centres == [[41, 56], [61, 21], [31, 32]]
    regular = slices._positions((0, 100), 6)
    assert sorted(set(regular) - {57, 16} | {61, 21}) == slices._positions((0, 100), 6, centres[1], 3)
    moved = slices._positions((0, 100), 6, [31, 32, 33, 80, 60, 10], 3)
    assert len(moved) == 6
    assert {31, 80, 60} < set(moved)
    assert not {32, 33, 10} & set(moved)


def test_the_flagged_structures_are_told_most_extreme_first(tmp_path):
    save_volumes(tmp_path / "s" / "mri")
    z = {"lh_precuneus_volume": -2.1, "Left-Thalamus": -3.0, "rh_insula_volume": 0.2}
    overlay_figures(tmp_path / "s", z, tmp_path, "x")
    assert read_json(tmp_path / "x_desc-overlays.json")["Through"] == ["left thalamus", "left precuneus"]


def test_every_colour_of_an_outline_is_explained():
    assert {colour for _, colour in slices.LEGEND} == set(slices.COLOURS.values())
