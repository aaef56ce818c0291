"""The calibrated fit recovers known trajectories, spread and shape, and never yields a NaN."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import skew

from bids_app.normative import location_scale, sinh_arcsinh
from bids_app.normative.location_scale import CONSTANT_SCALE, NORMAL_SHAPE, fisher_scoring
from bids_app.normative.parameters import flat, triangle
from bids_app.regions import ETIV
from tests.normative.simulated import SKEW, THALAMUS, people, thalamus_mean, thalamus_sd


@pytest.fixture(scope="module")
def large():
    table = people(20_000, seed=4)
    fitted = location_scale.fit(table["age"].to_numpy(), table[[ETIV]].to_numpy(), table[[THALAMUS]].to_numpy())
    return table, fitted


def sigma_at(fitted, age):
    x = (age + fitted.mean.shift) / fitted.mean.scale
    powers = fitted.sigma_powers[0][~np.isnan(fitted.sigma_powers[0])]
    design = location_scale.mfpr.design(x, np.empty((age.size, 0)), powers)
    return np.exp(design @ fitted.sigma_coefficients[0, : design.shape[1]])


def test_known_trajectory_is_recovered(large):
    table, fitted = large
    u = sinh_arcsinh.from_z(np.random.default_rng(0).standard_normal((200_000, 1)), SKEW)
    mean = thalamus_mean(table) + thalamus_sd(table) * u.mean()
    predicted = fitted.mean.predict(table["age"].to_numpy(), table[[ETIV]].to_numpy())[:, 0]
    assert np.abs(predicted - mean).max() < 0.08 * thalamus_sd(table).mean()


def test_known_spread_is_recovered(large):
    _, fitted = large
    ages = np.array([10.0, 40.0, 75.0])
    u = sinh_arcsinh.from_z(np.random.default_rng(0).standard_normal((200_000, 1)), SKEW)
    np.testing.assert_allclose(sigma_at(fitted, ages) / np.exp(6.0 + 0.005 * ages), u.std(), rtol=0.04)


def test_z_is_standard_normal_at_every_age(large):
    table, fitted = large
    age = table["age"].to_numpy()
    u = table[THALAMUS].to_numpy() - fitted.mean.predict(age, table[[ETIV]].to_numpy())[:, 0]
    z = sinh_arcsinh.to_z((u / sigma_at(fitted, age))[:, None], fitted.shape)[:, 0]
    assert abs(skew(z)) < 0.05
    for low in (6, 30, 55):
        band = z[(age >= low) & (age < low + 25)]
        assert abs(band.mean()) < 0.05
        assert abs(band.std() - 1) < 0.03
        assert abs(np.mean(band < -1.96) - 0.025) < 0.006


def test_precision_of_the_mean_matches_repetition():
    ages, spread, claimed = np.array([20.0, 70.0]), [], []
    etiv = np.full((2, 1), 1.5e6)
    for seed in range(60):
        table = people(400, seed=100 + seed)
        fitted = location_scale.fit(table["age"].to_numpy(), table[[ETIV]].to_numpy(),
                                    table[[THALAMUS]].to_numpy())
        spread.append(fitted.mean.predict(ages, etiv)[:, 0])
        width = fitted.mean.parameters[0]
        x = location_scale.mfpr.design((ages + fitted.mean.shift) / fitted.mean.scale, etiv,
                                       fitted.mean.powers[0][~np.isnan(fitted.mean.powers[0])])
        claimed.append(np.sqrt(np.sum((x @ fitted.mean.roots[0, :width, :width].T) ** 2, axis=1)))
    ratio = np.mean(claimed, axis=0) / np.std(spread, axis=0)
    assert (ratio > 0.6).all(), "the powers are selected, so that some optimism is expected"
    assert (ratio < 1.3).all()


def test_few_people_get_a_simpler_model_that_is_named():
    table = people(45, seed=2)
    fitted = location_scale.fit(table["age"].to_numpy(), table[[ETIV]].to_numpy(), table[[THALAMUS]].to_numpy())
    assert fitted.fallbacks == (f"{CONSTANT_SCALE}; {NORMAL_SHAPE}",)
    np.testing.assert_array_equal(fitted.shape, [[0, 1, 0, 1]])


def hostile(kind, n=400):
    rng = np.random.default_rng(5)
    y = rng.normal(1000, 10, n)
    if kind == "one giant":
        y[3] = 1e9
    if kind == "half identical":
        y[: n // 2] = 1000.0
    if kind == "two values":
        y = np.where(rng.random(n) < 0.5, 0.0, 1.0)
    if kind == "tiny":
        y *= 1e-12
    return y


@pytest.mark.parametrize("kind", ["one giant", "half identical", "two values", "tiny"])
def test_hostile_data_never_yield_a_nan(kind):
    rng = np.random.default_rng(6)
    age, etiv = rng.uniform(10, 80, 400), rng.normal(1.5e6, 1e5, (400, 1))
    fitted = location_scale.fit(age, etiv, hostile(kind)[:, None])
    for part in (fitted.mean.coefficients, fitted.mean.roots, fitted.sigma_coefficients, fitted.sigma_roots,
                 fitted.shape):
        assert np.isfinite(part).all()


def test_fisher_scoring_reaches_the_maximum():
    rng = np.random.default_rng(7)
    x = rng.uniform(-1, 1, 3000)
    q = np.linalg.qr(np.column_stack([np.ones(3000), x]))[0]
    squares = (np.exp(1 + 0.7 * x) * rng.standard_normal(3000))[:, None] ** 2
    g, converged = fisher_scoring(q, squares, np.zeros((2, 1)))
    assert converged.all()
    gradient = q.T @ (squares * np.exp(-2 * (q @ g)) - 1)
    np.testing.assert_allclose(gradient, 0, atol=0.05)
    level, slope = np.linalg.lstsq(np.column_stack([np.ones(3000), x]), q @ g, rcond=None)[0][:, 0]
    assert level == pytest.approx(1, abs=0.04)
    assert slope == pytest.approx(0.7, abs=0.06)


def test_fisher_scoring_survives_a_bad_start():
    squares = np.ones((100, 1))
    q = np.linalg.qr(np.column_stack([np.ones(100), np.linspace(-1, 1, 100)]))[0]
    g, converged = fisher_scoring(q, squares, np.array([[-30.0], [20.0]]))
    assert converged.all()
    np.testing.assert_allclose(q @ g, 0, atol=1e-3)


def test_root_survives_the_file():
    root = np.tril(np.random.default_rng(8).normal(size=(4, 4)))
    np.testing.assert_allclose(triangle(flat(root, 3), 4)[:3, :3], root[:3, :3], rtol=1e-7)
    assert np.isnan(triangle(None, 4)).all()
