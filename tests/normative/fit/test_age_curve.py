"""The choice among fractional polynomials of third degree."""

from __future__ import annotations

import numpy as np
import pytest

from bids_app.normative.fit import age_curve
from bids_app.normative.fit import fractional_polynomials as fp


@pytest.fixture(scope="module")
def people():
    rng = np.random.default_rng(3)
    n = 900
    x = rng.uniform(0.08, 0.9, n)
    male, etiv = (rng.random(n) < 0.5).astype(float), rng.normal(1.5e6, 1.4e5, n)
    return x, np.column_stack([male, etiv**2]), rng


def weighted_rss(x, linear, powers, y, w):
    root = np.sqrt(w)
    design = np.column_stack([np.ones(x.size), linear / linear.std(axis=0), fp.basis(x, powers)])
    design = design / np.abs(design).max(axis=0)
    fitted = np.linalg.lstsq(design * root[:, None], y * root, rcond=1e-14)[0]
    return float(np.sum(w * (y - design @ fitted) ** 2))


def test_the_choice_is_that_of_weighted_least_squares(people):
    x, linear, rng = people
    curves = np.column_stack([np.sin(9 * x), x**-0.5 + x, np.log(x) ** 2 - x**3, np.zeros(x.size)])
    y = curves + 0.4 * linear[:, [0]] + 1e-13 * linear[:, [1]] + rng.normal(0, 0.05, curves.shape)
    w = np.exp(rng.normal(0, 0.7, y.shape))
    chosen = age_curve.select_powers(x, linear, y, w)
    for j in range(4):
        every = [weighted_rss(x, linear, [fp.POWERS[i] for i in model], y[:, j], w[:, j]) for model in age_curve.MODELS]
        assert weighted_rss(x, linear, chosen[j], y[:, j], w[:, j]) == pytest.approx(min(every), rel=1e-7)


def test_a_curve_without_noise_is_found_again(people):
    x, linear, _ = people
    for powers in ((-1.0, 0.5, 2.0), (0.0, 0.0, 0.0), (-2.0, 3.0, 3.0)):
        curve = fp.basis(x, powers)
        y = (curve / curve.std(axis=0)).sum(axis=1, keepdims=True)
        np.testing.assert_array_equal(age_curve.select_powers(x, linear, y, np.ones_like(y)), [powers])


def test_weights_decide_who_is_fitted(people):
    x, linear, _ = people
    young = x < 0.45
    y = np.where(young, np.log(x), 10 * x**3)[:, None]
    for rows, powers in ((young, 0.0), (~young, 3.0)):
        w = np.where(rows, 1.0, 1e-9)[:, None]
        assert powers in age_curve.select_powers(x, linear, y, w)[0]


def test_curves_are_compared_in_well_conditioned_coordinates(monkeypatch):
    rng = np.random.default_rng(3)
    age, linear = rng.uniform(0.6, 9, 300), np.column_stack([rng.integers(0, 2, 300), rng.normal(1.5e6, 1e5, 300)])
    seen = []
    real = age_curve._moments
    monkeypatch.setattr(age_curve, "_moments", lambda *given: seen.append(given) or real(*given))
    age_curve.select_powers(age, linear, rng.normal(size=(300, 1)), np.ones((300, 1)))
    groups, basis, standard, _, _ = seen[0]
    np.testing.assert_allclose((basis * groups.people[:, None]).T @ basis, np.eye(basis.shape[1]), atol=1e-9)
    np.testing.assert_allclose(standard.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(standard.std(axis=0), 1)
    spaces = age_curve._spaces(np.linalg.qr(rng.normal(size=(40, 25)))[1], 2)
    for space in spaces[:: len(spaces) // 5]:
        np.testing.assert_allclose(space.T @ space, np.eye(space.shape[1]), atol=1e-9)
