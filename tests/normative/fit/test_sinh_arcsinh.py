"""The sinh-arcsinh distribution and its fit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from bids_app.normative.fit import shape_fit, sinh_arcsinh

SHAPES = np.array([[0, 1, 0, 1], [-0.3, 0.8, 0.4, 0.7], [0.2, 1.3, -0.2, 1.2]])


def test_the_neutral_shape_is_the_normal_distribution():
    u = np.linspace(-40, 40, 9)[:, None]
    np.testing.assert_allclose(sinh_arcsinh.to_z(u, SHAPES[:1]), u)


@given(st.lists(st.floats(-30, 30), min_size=3, max_size=3))
def test_inverse(values):
    z = np.array([values])
    back = sinh_arcsinh.to_z(sinh_arcsinh.from_z(z, SHAPES), SHAPES)
    np.testing.assert_allclose(back, z, rtol=1e-9, atol=1e-9)


def test_z_does_not_saturate_in_the_tails():
    z = sinh_arcsinh.to_z(np.array([[20.0], [40.0], [400.0]]), SHAPES[1:2])
    assert np.isfinite(z).all()
    assert (np.diff(z[:, 0]) > 0).all()


def test_slope_is_the_derivative():
    u, step = np.linspace(-4, 4, 41)[:, None] + np.zeros(3), 1e-6
    numeric = (sinh_arcsinh.to_z(u + step, SHAPES) - sinh_arcsinh.to_z(u - step, SHAPES)) / (2 * step)
    np.testing.assert_allclose(sinh_arcsinh.slope(u, sinh_arcsinh.to_z(u, SHAPES), SHAPES), numeric, rtol=1e-6)


def test_likelihood_derivatives_are_right():
    rng = np.random.default_rng(0)
    bins = shape_fit.Bins(rng.normal(size=(1, 40)) * 2, rng.integers(1, 5, (1, 40)).astype(float))
    theta = np.array([[-0.2, 0.1, 0.3, -0.15]])
    value, gradient, curvature = shape_fit._likelihood(theta, bins)
    for i in range(4):
        step = np.zeros((1, 4))
        step[0, i] = 1e-5
        up, down = shape_fit._likelihood(theta + step, bins), shape_fit._likelihood(theta - step, bins)
        assert (up[0] - down[0])[0] / 2e-5 == pytest.approx(gradient[0, i], rel=1e-5, abs=1e-6)
        np.testing.assert_allclose(-(up[1] - down[1])[0] / 2e-5, curvature[0, i], rtol=1e-4, atol=1e-4)
    assert np.isfinite(value).all()


def test_log_density_is_that_of_z_and_has_its_derivative():
    u = np.random.default_rng(8).standard_normal((200, 3)) * 4
    density, by_u = sinh_arcsinh.log_density(u, SHAPES)
    z = sinh_arcsinh.to_z(u, SHAPES)
    expected = norm.logpdf(z) + np.log(sinh_arcsinh.slope(u, z, SHAPES)) + 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(density, expected, rtol=1e-10, atol=1e-10)
    up, down = (sinh_arcsinh.log_density(u + step, SHAPES)[0] for step in (1e-6, -1e-6))
    np.testing.assert_allclose(by_u, (up - down) / 2e-6, rtol=1e-5, atol=1e-5)


def test_log_density_is_finite_far_out():
    density, by_u = sinh_arcsinh.log_density(np.array([[-1e12, 0.0, 1e12]]), SHAPES)
    assert np.isfinite(density).all()
    assert np.isfinite(by_u).all()


def test_the_quick_arcsinh_is_the_usual_one():
    a = np.concatenate([-np.geomspace(1e-12, 1e12, 50), [0.0], np.geomspace(1e-12, 1e12, 50)])
    np.testing.assert_allclose(sinh_arcsinh.quick_arcsinh(a), np.arcsinh(a), rtol=1e-13, atol=1e-15)


def test_a_start_changes_the_way_and_not_the_end():
    u = sinh_arcsinh.from_z(np.random.default_rng(9).standard_normal((3000, 3)), SHAPES)
    np.testing.assert_allclose(shape_fit.fit_shapes(u, SHAPES)[0], shape_fit.fit_shapes(u)[0], atol=2e-3)


def test_likelihood_is_that_of_the_density():
    node = np.array([[-1.5, 0.2, 3.0]])
    theta = np.array([[0.1, np.log(1.2), 0.2, np.log(0.8)]])
    shape = np.column_stack([theta[:, 0], np.exp(theta[:, 1]), theta[:, 2], np.exp(theta[:, 3])])
    z = sinh_arcsinh.to_z(node.T, shape)
    expected = np.sum(norm.logpdf(z) + np.log(sinh_arcsinh.slope(node.T, z, shape)))
    expected += 1.5 * np.log(2 * np.pi) - 0.5 * (0.2**2 + np.log(0.8) ** 2) / shape_fit.PRIOR_SD**2
    assert shape_fit._likelihood(theta, shape_fit.Bins(node, np.ones((1, 3))))[0][0] == pytest.approx(expected)


def test_known_shapes_are_recovered():
    z = np.random.default_rng(1).standard_normal((40_000, 3))
    fitted, converged = shape_fit.fit_shapes(sinh_arcsinh.from_z(z, SHAPES))
    assert converged.all()
    np.testing.assert_allclose(fitted, SHAPES, atol=0.06)
    again = sinh_arcsinh.to_z(sinh_arcsinh.from_z(np.full((1, 3), -1.96), SHAPES), fitted)
    np.testing.assert_allclose(again, -1.96, atol=0.05)


def test_outliers_do_not_break_the_fit():
    u = np.random.default_rng(2).standard_normal((500, 1))
    u[0], u[1] = 60, -1e4
    shape, _ = shape_fit.fit_shapes(u)
    assert np.isfinite(shape).all()
    assert (shape[:, [1, 3]] > 0).all()


def test_a_shape_that_does_not_converge_falls_back_to_normal(monkeypatch):
    monkeypatch.setattr(shape_fit, "MAX_ITERATIONS", 1)
    shape, converged = shape_fit.fit_shapes(np.random.default_rng(2).standard_exponential((500, 1)))
    assert not converged.any()
    np.testing.assert_array_equal(shape, [[0, 1, 0, 1]])
