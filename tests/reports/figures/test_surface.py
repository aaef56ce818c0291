"""The small mesh renderer."""

import numpy as np
import pytest

from bids_app.reports.figures.surface import neighbour_mean, rasterise, vertex_normals

TRIANGLE = np.array([[1.0, 1.0], [9.0, 1.0], [1.0, 9.0]])


def tetrahedron():
    vertices = np.array([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    return vertices, np.array([[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]])


def test_a_triangle_covers_its_pixels_and_no_other():
    face = rasterise(TRIANGLE, np.zeros(3), np.array([[0, 1, 2]]), (12, 12)).face
    rows, columns = np.indices(face.shape)
    inside = (columns >= 1) & (rows >= 1) & (columns + rows <= 10)
    assert ((face == 0) == inside).all()


def test_either_winding_is_drawn():
    shape = (12, 12)
    faces = [rasterise(TRIANGLE, np.zeros(3), np.array([order]), shape).face for order in ([0, 1, 2], [2, 1, 0])]
    assert (faces[0] == faces[1]).all()


def test_the_nearer_triangle_hides_the_other():
    points = np.vstack([TRIANGLE, TRIANGLE])
    depth = np.array([0.0, 0, 0, 5, 5, 5])
    raster = rasterise(points, depth, np.array([[0, 1, 2], [3, 4, 5]]), (12, 12))
    assert set(np.unique(raster.face)) == {-1, 1}


def test_values_are_interpolated_linearly():
    faces = np.array([[0, 1, 2]])
    raster = rasterise(TRIANGLE, np.zeros(3), faces, (12, 12))
    across = raster.vertex_values(faces, TRIANGLE[:, 0])
    rows, columns = np.nonzero(raster.face == 0)
    assert across[rows, columns] == pytest.approx(columns)
    assert (across[raster.face < 0] == 0).all()


def test_what_lies_outside_the_picture_is_cut():
    face = rasterise(TRIANGLE - 4, np.zeros(3), np.array([[0, 1, 2]]), (4, 4)).face
    assert face.shape == (4, 4)
    assert face[0, 0] == 0


def test_normals_point_outwards():
    vertices, faces = tetrahedron()
    normals = vertex_normals(vertices, faces)
    assert (normals * vertices).sum(axis=1) == pytest.approx(np.full(4, np.sqrt(3)))


def test_neighbour_mean_keeps_the_constant_and_shrinks_the_rest():
    vertices, faces = tetrahedron()
    assert neighbour_mean(np.ones((4, 2)), faces, 3) == pytest.approx(np.ones((4, 2)))
    assert np.abs(neighbour_mean(vertices, faces)).max() < 1e-12
