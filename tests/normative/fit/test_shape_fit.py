"""The shape of residuals: density, gradient and curvature against differences, the maximum against another search."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, stats

from bids_app.normative.fit import shape_fit, sinh_arcsinh
from bids_app.normative.fit.shape_fit import PRIOR_SD, Bins


def standard_normal(u, theta):
    """z of residuals by the definition of the distribution."""
    xi, log_width, epsilon, log_delta = theta
    return np.sinh(np.exp(log_delta) * np.arcsinh((u - xi) / np.exp(log_width)) - epsilon)


def log_density(u, theta, step=1e-5):
    slope = (standard_normal(u + step, theta) - standard_normal(u - step, theta)) / (2 * step)
    return stats.norm.logpdf(standard_normal(u, theta)) + 0.5 * np.log(2 * np.pi) + np.log(slope)


THETA = np.array([[0.0, 0.0, 0.0, 0.0], [0.3, -0.2, 0.4, -0.3], [-0.5, 0.5, -0.3, 0.4]])


@pytest.fixture
def bins():
    rng = np.random.default_rng(0)
    return Bins(rng.normal(size=(3, 30)), rng.integers(0, 4, (3, 30)).astype(float))


def test_the_likelihood_is_that_of_the_transformed_normal_with_a_prior(bins):
    value, _, _ = shape_fit._likelihood(THETA, bins)
    for j, theta in enumerate(THETA):
        prior = 0.5 * (theta[2] ** 2 + theta[3] ** 2) / PRIOR_SD**2
        assert value[j] == pytest.approx(bins.weight[j] @ log_density(bins.node[j], theta) - prior, rel=1e-7)
        shape = shape_fit._shapes(theta[None], np.array([True]))
        assert shape_fit.log_prior(shape)[0] == pytest.approx(-prior)


def test_gradient_and_curvature_are_the_slopes(bins):
    _, gradient, curvature = shape_fit._likelihood(THETA, bins)
    step = 1e-5
    for i in range(4):
        moved = [THETA + sign * step * np.eye(4)[i] for sign in (1, -1)]
        (up, up_slope, _), (down, down_slope, _) = (shape_fit._likelihood(theta, bins) for theta in moved)
        np.testing.assert_allclose(gradient[:, i], (up - down) / (2 * step), rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(-curvature[:, i], (up_slope - down_slope) / (2 * step), rtol=1e-6, atol=1e-5)


def test_far_residuals_do_not_overflow():
    value, gradient, curvature = shape_fit._likelihood(
        np.array([[0.0, -3.0, 3.0, 2.0], [0.0, -3.0, -3.0, 2.0]]), Bins(np.array([[-1e6], [1e6]]), np.ones((2, 1)))
    )
    assert np.isfinite(value).all()
    assert np.isfinite(gradient).all()
    assert np.isfinite(curvature).all()


def test_bins_hold_the_mean_and_number_of_their_residuals():
    u = np.array([[0.0, np.sinh(0.5)], [0.004, -np.sinh(0.5)], [np.sinh(0.0101), 0.0], [np.sinh(6.0), np.sinh(-6.0)]])
    found = shape_fit._compress(u)
    np.testing.assert_array_equal(found.weight, [[0, 0, 2, 1, 0, 1], [1, 1, 1, 0, 1, 0]])
    nodes = [[0, 0, 0.002, np.sinh(0.0101), 0, np.sinh(6)], [np.sinh(-6), -np.sinh(0.5), 0, 0, np.sinh(0.5), 0]]
    np.testing.assert_allclose(found.node, nodes, atol=1e-12)


def test_a_step_is_newtons_with_damping_of_the_diagonal():
    rng = np.random.default_rng(1)
    root = rng.normal(size=(2, 4, 4))
    curvature = root @ root.transpose(0, 2, 1)
    curvature[1, 0, 0] *= -1
    gradient, damping = rng.normal(size=(2, 4)), np.array([0.1, 2.0])
    found = shape_fit._step(gradient, curvature, damping)
    for j in range(2):
        damped = curvature[j] + damping[j] * np.diag(np.abs(np.diag(curvature[j])))
        np.testing.assert_allclose(found[j], np.linalg.solve(damped, gradient[j]))
    flat = shape_fit._step(np.ones((1, 4)), np.zeros((1, 4, 4)), np.ones(1))
    np.testing.assert_allclose(flat, 1e8)


def test_the_fit_is_where_another_search_ends():
    z = np.random.default_rng(2).standard_normal((500, 2))
    u = sinh_arcsinh.from_z(z, np.array([[0.1, 0.9, 0.5, 0.8], [-0.2, 1.1, -0.2, 1.3]]))
    shapes, converged = shape_fit.fit_shapes(u)
    assert converged.all()
    bins = shape_fit._compress(u)

    def lost(theta, j):
        return 0.5 * (theta[2:] ** 2).sum() / PRIOR_SD**2 - bins.weight[j] @ log_density(bins.node[j], theta)

    for j in range(2):
        best = optimize.minimize(lost, np.zeros(4), (j,), method="BFGS").x
        np.testing.assert_allclose(shape_fit._parameters(shapes[[j]])[0], best, atol=2e-3)
    again, _ = shape_fit.fit_shapes(u, shapes)
    np.testing.assert_allclose(again, shapes, atol=2e-4)


def test_parameters_and_shapes_are_inverse_and_what_failed_is_normal(monkeypatch):
    shapes = np.array([[0.1, 0.9, 0.5, 0.8], [0.2, 2.0, -0.5, 1.5]])
    theta = shape_fit._parameters(shapes)
    np.testing.assert_allclose(theta[0], [0.1, np.log(0.9), 0.5, np.log(0.8)])
    np.testing.assert_allclose(shape_fit._shapes(theta, np.array([True, False])), [shapes[0], [0, 1, 0, 1]])
    theta[0, 2] = np.nan
    np.testing.assert_allclose(shape_fit._shapes(theta, np.array([True, True])), [[0, 1, 0, 1], shapes[1]])
    monkeypatch.setattr(shape_fit, "MAX_ITERATIONS", 1)
    found, converged = shape_fit.fit_shapes(np.sinh(np.random.default_rng(3).normal(size=(200, 1))))
    assert not converged.any()
    np.testing.assert_array_equal(found, [[0, 1, 0, 1]])
