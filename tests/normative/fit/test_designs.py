"""Shared designs give what each region's own design gives."""

from __future__ import annotations

import numpy as np
import pytest

from bids_app.normative.fit import designs
from bids_app.normative.fit.designs import Design

N = 40
RNG = np.random.default_rng(0)
AGE, MALE, ETIV = RNG.uniform(1, 8, N), np.tile([0.0, 1.0], N // 2), RNG.normal(1.5, 0.1, N)
POWERS = np.array([[1.0, np.nan], [0.0, 2.0], [1.0, np.nan], [np.nan, np.nan]])
EXPONENTS = np.array([1.0, 2.0, 2.0, 1.0])


def written_out(j, etiv=True, exponents=EXPONENTS):
    age = {0.0: np.log(AGE), 1.0: AGE, 2.0: AGE**2}
    head = [ETIV ** exponents[j]] if etiv else []
    return np.column_stack([np.ones(N), MALE, *head, *(age[p] for p in POWERS[j] if not np.isnan(p))])


@pytest.fixture(params=["whole", "row blocks"])
def block(request, monkeypatch):
    if request.param == "row blocks":
        monkeypatch.setattr(designs, "ROW_BLOCK", 7)


def test_predictions_and_leverages(block):
    design = Design(AGE, MALE, ETIV, POWERS, EXPONENTS)
    assert design.shape == (N, 4)
    coefficients, roots = np.zeros((4, 6)), np.zeros((4, 6, 6))
    for j in range(4):
        k = written_out(j).shape[1]
        coefficients[j, :k], roots[j, :k, :k] = RNG.normal(size=k), RNG.normal(size=(k, k))
    for j in range(4):
        x = written_out(j)
        k = x.shape[1]
        np.testing.assert_allclose(design.predict(coefficients)[:, j], x @ coefficients[j, :k])
        np.testing.assert_allclose(design.quadratic(roots)[:, j], np.sum((x @ roots[j, :k, :k].T) ** 2, axis=1))
        root = design.ordinary_roots()[j, :k, :k]
        np.testing.assert_allclose(root.T @ root, np.linalg.inv(x.T @ x), rtol=1e-6)


@pytest.mark.parametrize("weighted", [False, True])
def test_steps_are_weighted_least_squares(block, weighted):
    design = Design(AGE, MALE, ETIV, POWERS, EXPONENTS)
    y, w = RNG.normal(size=(N, 4)), RNG.uniform(0.5, 2, (N, 4))
    found, roots = design.step(w * y, w) if weighted else design.step(y)
    for j in range(4):
        x, own = written_out(j), np.sqrt(w[:, j]) if weighted else np.ones(N)
        expected = np.linalg.lstsq(x * own[:, None], y[:, j] * own, rcond=None)[0]
        k = x.shape[1]
        np.testing.assert_allclose(found[j, :k], expected, rtol=1e-8)
        assert not found[j, k:].any()
        root = roots[j, :k, :k]
        np.testing.assert_allclose(root.T @ root, np.linalg.inv((x * own[:, None] ** 2).T @ x), rtol=1e-6)


def test_a_region_that_cannot_be_solved_does_not_harm_the_others():
    design = Design(AGE, MALE, ETIV, POWERS, EXPONENTS)
    y, w = RNG.normal(size=(N, 4)), np.ones((N, 4))
    w[1:, 0] = 0.0
    found, roots = design.step(w * y, w)
    assert np.isnan(found[0, :4]).all()
    plain, _ = design.step(y)
    np.testing.assert_allclose(found[1:], plain[1:], rtol=1e-8)
    assert np.isfinite(roots[1:]).all()


def test_a_design_may_be_of_the_intercept_only_or_without_etiv():
    constant = Design(AGE, MALE, ETIV, POWERS, constant=True)
    assert [part[1].shape for part in constant.parts] == [(1, 1)] * len(constant.parts)
    np.testing.assert_allclose(constant.step(np.ones((N, 4)))[0][:, 0], 1.0)
    bare = Design(AGE, MALE, None, POWERS)
    coefficients = np.zeros((4, 6))
    coefficients[:, :2] = [1.0, 0.5]
    coefficients[0, 2] = 2.0
    np.testing.assert_allclose(bare.predict(coefficients)[:, 0], 1 + 0.5 * MALE + 2 * AGE)
    usual = Design(AGE, MALE, ETIV, POWERS)
    coefficients[:, 2] = 3.0
    np.testing.assert_allclose(usual.predict(coefficients)[:, 3], 1 + 0.5 * MALE + 3 * ETIV)


def test_the_layout_of_many_people_is_by_region(monkeypatch):
    monkeypatch.setattr(designs, "MANY", 10)
    assert (designs.layout(9), designs.layout(10)) == ("C", "F")
    assert [(s.start, s.stop) for s in designs._row_blocks(8193)] == [(0, 8192), (8192, 16384)]
