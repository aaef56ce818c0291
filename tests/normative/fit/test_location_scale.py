"""The calibrated fit recovers known trajectories, spread and shape, and never yields a NaN."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import skew

from bids_app.normative.fit import location_scale, sinh_arcsinh
from bids_app.normative.fit.designs import Design
from bids_app.normative.fit.location_scale import CONSTANT_SCALE, NORMAL_SHAPE
from bids_app.normative.fit.scale_fit import excess_kurtosis, fisher_scoring, select_powers
from bids_app.normative.fitting import fit_calibrated
from bids_app.normative.parameters import flat, stack, triangle
from bids_app.normative.prediction import moments
from bids_app.regions import ETIV
from tests.normative.simulated import SKEW, THALAMUS, people, thalamus_mean, thalamus_sd


def arguments(table):
    male = (table["sex"] == "male").to_numpy(dtype=float)
    return table["age"].to_numpy(), male, table[ETIV].to_numpy()


def fit(table):
    return location_scale.fit_location_scale_shape(*arguments(table), table[[THALAMUS]].to_numpy())


@pytest.fixture(scope="module")
def large():
    table = people(20_000, seed=4)
    return table, fit(table)


@pytest.fixture(scope="module")
def residual():
    """Mean and SD of residuals of the simulated shape."""
    u = sinh_arcsinh.from_z(np.random.default_rng(0).standard_normal((400_000, 1)), SKEW)
    return u.mean(), u.std()


def test_known_trajectory_is_recovered(large, residual):
    table, fitted = large
    mean = thalamus_mean(table) + thalamus_sd(table) * residual[0]
    predicted = fitted.location(*arguments(table))[:, 0]
    assert np.abs(predicted - mean).max() < 0.1 * thalamus_sd(table).mean()


def test_known_spread_is_recovered(large, residual):
    table, fitted = large
    sigma = fitted.sigma(*arguments(table))[:, 0]
    np.testing.assert_allclose(sigma / thalamus_sd(table), residual[1], rtol=0.06)


def test_z_is_standard_normal_at_every_age(large):
    table, fitted = large
    u = (table[[THALAMUS]].to_numpy() - fitted.location(*arguments(table))) / fitted.sigma(*arguments(table))
    z, age = sinh_arcsinh.to_z(u, fitted.shape)[:, 0], table["age"]
    assert abs(skew(z)) < 0.05
    for low in (6, 30, 55):
        band = z[(age >= low) & (age < low + 25)]
        assert abs(band.mean()) < 0.05
        assert abs(band.std() - 1) < 0.03
        assert abs(np.mean(band < -1.96) - 0.025) < 0.006


@pytest.mark.slow
def test_precision_of_the_location_matches_repetition():
    ages, spread, claimed = np.array([20.0, 70.0]), [], []
    male, etiv = np.zeros(2), np.full(2, 1.5e6)
    for seed in range(60):
        fitted = fit(people(400, seed=100 + seed))
        spread.append(fitted.location(ages, male, etiv)[:, 0])
        design = Design((ages + fitted.shift) / fitted.scale, male, etiv, fitted.powers, fitted.etiv_power)
        roots = fitted.roots[:1]
        x = np.column_stack([np.ones(2), male, etiv ** fitted.etiv_power[0]])
        powers = fitted.powers[0][~np.isnan(fitted.powers[0])]
        x = np.hstack(
            [x, location_scale.mfpr.design((ages + fitted.shift) / fitted.scale, np.empty((2, 0)), powers)[:, 1:]]
        )
        claimed.append(np.sqrt(np.sum((x @ roots[0, : x.shape[1], : x.shape[1]].T) ** 2, axis=1)))
        assert design.shape == (2, 1)
    ratio = np.mean(claimed, axis=0) / np.std(spread, axis=0)
    assert (ratio > 0.6).all(), "the powers are selected, so that some optimism is expected"
    assert (ratio < 1.3).all()


def test_fits_by_sex_are_the_same_model_written_out():
    table = people(1500, seed=3)
    age, male, etiv = arguments(table)
    values = table[[THALAMUS]].to_numpy()
    together = location_scale.fit_location_scale_shape(age, male, etiv, values)
    by_sex = fit_calibrated(age, table["sex"].to_numpy(dtype=object), etiv, values)
    for sex, is_male in (("female", 0.0), ("male", 1.0)):
        rows = male == is_male
        m = moments(stack(by_sex[sex]), age[rows], etiv[rows])
        where = age[rows], male[rows], etiv[rows]
        np.testing.assert_allclose(m.mean, together.location(*where), rtol=1e-10)
        np.testing.assert_allclose(m.sigma, together.sigma(*where), rtol=1e-10)
        design = Design((age + together.shift) / together.scale, male, etiv, together.powers, together.etiv_power)
        np.testing.assert_allclose(m.mean_variance, design.quadratic(together.roots)[rows], rtol=1e-4)


def test_powers_are_of_the_age_ten_years_on():
    table = people(600, seed=8).query("age >= 8")
    age, male, etiv = arguments(table)
    values = table[[THALAMUS]].to_numpy()
    fitted = location_scale.fit_location_scale_shape(age, male, etiv, values)
    assert fitted.shift == location_scale.ORIGIN
    chosen = location_scale.mfpr.fit_mfpr(age + 10, np.column_stack([male, etiv ** fitted.etiv_power[0]]), values)
    np.testing.assert_array_equal(fitted.powers[:, :2], chosen.powers)


def test_few_people_get_a_simpler_model_that_is_named():
    fitted = fit(people(80, seed=2))
    assert fitted.fallback(0) == f"{CONSTANT_SCALE}; {NORMAL_SHAPE}"
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
    age, etiv, male = rng.uniform(10, 80, 400), rng.normal(1.5e6, 1e5, 400), (rng.random(400) < 0.5).astype(float)
    fitted = location_scale.fit_location_scale_shape(age, male, etiv, hostile(kind)[:, None])
    for part in (fitted.coefficients, fitted.roots, fitted.sigma_coefficients, fitted.sigma_roots, fitted.shape):
        assert np.isfinite(part).all()
    assert np.isfinite(fitted.sigma(age, male, etiv)).all()


def test_a_singular_weighted_system_keeps_the_former_solution():
    design = Design(
        np.linspace(1, 8, 50),
        np.tile([0.0, 1.0], 25),
        np.linspace(1e6, 2e6, 50)[::-1] ** 1.01,
        np.array([[1.0, np.nan]]),
    )
    precision = np.zeros((50, 1))
    precision[0] = 1
    assert np.isnan(design.step(precision, precision)[0]).any()
    kept, _ = location_scale._known(design.step(precision, precision), np.ones((1, 6)), np.ones((1, 6, 6)))
    np.testing.assert_array_equal(kept, 1)


def test_fisher_scoring_reaches_the_maximum():
    rng = np.random.default_rng(7)
    x = rng.uniform(-1, 1, 3000)
    q = np.linalg.qr(np.column_stack([np.ones(3000), x]))[0]
    squares = (np.exp(1 + 0.7 * x) * rng.standard_normal(3000))[:, None] ** 2
    g, converged = fisher_scoring(q, squares, np.zeros((2, 1)))
    assert converged.all()
    np.testing.assert_allclose(q.T @ (squares * np.exp(-2 * (q @ g)) - 1), 0, atol=0.05)
    level, slope = np.linalg.lstsq(np.column_stack([np.ones(3000), x]), q @ g, rcond=None)[0][:, 0]
    assert level == pytest.approx(1, abs=0.04)
    assert slope == pytest.approx(0.7, abs=0.06)


def test_fisher_scoring_survives_a_bad_start():
    q = np.linalg.qr(np.column_stack([np.ones(100), np.linspace(-1, 1, 100)]))[0]
    g, converged = fisher_scoring(q, np.ones((100, 1)), np.array([[-30.0], [20.0]]))
    assert converged.all()
    np.testing.assert_allclose(q @ g, 0, atol=1e-3)


def test_powers_of_sigma_are_chosen_when_the_spread_depends_on_age():
    rng = np.random.default_rng(9)
    x = rng.uniform(0.6, 8, 4000)
    flat_, rising = rng.standard_normal((2, 4000))
    squares = np.column_stack([flat_, np.exp(0.15 * x) * rising]) ** 2
    powers = select_powers(x, squares, np.zeros(2))
    assert np.isnan(powers[0]).all()
    assert not np.isnan(powers[1, 0])


def test_excess_kurtosis():
    z = np.random.default_rng(1).standard_normal((50_000, 1))
    assert excess_kurtosis(z)[0] < 0.1
    assert excess_kurtosis(np.sinh(z))[0] > 5


def test_root_survives_the_file():
    root = np.tril(np.random.default_rng(8).normal(size=(4, 4)))
    np.testing.assert_allclose(triangle(flat(root, 3), 4)[:3, :3], root[:3, :3], rtol=1e-7)
    assert np.isnan(triangle(None, 4)).all()


def test_sigma_is_not_too_small_when_people_are_few():
    rng = np.random.default_rng(10)
    n = 110
    age, male, etiv = rng.uniform(6, 80, n), (np.arange(n) % 2).astype(float), rng.normal(1.5e6, 1e5, n)
    fitted = location_scale.fit_location_scale_shape(age, male, etiv, rng.normal(0, 1, (n, 400)))
    variance = np.mean(fitted.sigma(age, male, etiv) ** 2, axis=0)
    assert 0.98 < np.mean(variance) < 1.03


@pytest.mark.parametrize(
    ("n", "constant", "normal"), [(99, True, True), (100, False, True), (199, False, True), (200, False, False)]
)
def test_a_scale_takes_a_hundred_people_and_a_shape_two_hundred(n, constant, normal):
    table = people(n, seed=3)
    fitted = fit(table)
    assert (fitted.constant[0], fitted.normal[0], fitted.n) == (constant, normal, n)
    words = [word for word, used in ((CONSTANT_SCALE, constant), (NORMAL_SHAPE, normal)) if used]
    assert fitted.fallback(0) == ("; ".join(words) or None)
    if constant:
        assert np.isnan(fitted.sigma_powers).all()
        assert not fitted.sigma_coefficients[0, 1:].any()
        assert fitted.sigma(*arguments(table)).std() < 1e-9


def test_without_etiv_its_coefficients_are_zero_and_the_others_those_of_the_smaller_design():
    table = people(150, seed=4)
    age, male, _ = arguments(table)
    values = table[[THALAMUS]].to_numpy()
    fitted = location_scale.fit_location_scale_shape(age, male, None, values)
    for part in (fitted.coefficients, fitted.sigma_coefficients):
        assert part.shape == (1, 6)
        assert part[0, 2] == 0
    for part in (fitted.roots, fitted.sigma_roots):
        assert part.shape == (1, 6, 6)
        assert not part[0, 2].any()
        assert not part[0, :, 2].any()
    some, other = (fitted.location(age, male, np.full(150, etiv)) for etiv in (1.0, 2e6))
    np.testing.assert_allclose(some, other, rtol=1e-12)
    assert np.std(values - some) < values.std()
    assert (fitted.etiv_power == 1).all()


def test_zeros_stand_where_etiv_would():
    values = np.arange(1.0, 7)[None]
    np.testing.assert_array_equal(location_scale.with_zero_etiv(values, 2), [[1, 2, 0, 3, 4, 5]])
    roots = np.arange(1.0, 10).reshape(1, 3, 3)
    np.testing.assert_array_equal(location_scale.with_zero_etiv(roots, 1), [[[1, 0, 2], [0, 0, 0], [4, 0, 5]]])


def test_the_power_of_etiv_is_the_one_that_leaves_less():
    rng = np.random.default_rng(5)
    n = 120
    age, male, etiv = rng.uniform(10, 80, n), np.tile([0.0, 1.0], n // 2), rng.uniform(0.8, 2.2, n)
    for power in (1.0, 2.0):
        y = 5 + 3 * etiv[:, None] ** power - 0.01 * age[:, None] + rng.normal(0, 0.05, (n, 3))
        fitted = location_scale.fit_location_scale_shape(age, male, etiv, y)
        assert fitted.etiv_power.tolist() == [power] * 3
        assert fitted.shift >= 10


def test_blocks_and_threads_change_nothing(monkeypatch):
    rng = np.random.default_rng(6)
    n = 220
    age, male, etiv = rng.uniform(10, 80, n), np.tile([0.0, 1.0], n // 2), rng.normal(1.5, 0.1, n)
    y = 5 - 0.02 * np.outer(age, [0, 1, 2, 1, 0, 3]) + rng.normal(0, 0.5, (n, 6))
    y[:, 3] += 0.5 * np.log(age)
    whole = location_scale.fit_location_scale_shape(age, male, etiv, y)
    monkeypatch.setattr(location_scale, "MANY", 100)
    monkeypatch.setattr(location_scale, "LEAST_WIDTH", 2)
    monkeypatch.setattr(location_scale.mfpr, "BLOCK_BYTES", 1)
    parts = location_scale.fit_location_scale_shape(age, male, etiv, y)
    for name in ("powers", "coefficients", "sigma_coefficients", "shape", "roots", "sigma_roots"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-5, atol=1e-7)
    assert (parts.normal == whole.normal).all()


def test_powers_of_the_scale_are_looked_for_where_sex_and_head_are_taken_out(monkeypatch):
    rng = np.random.default_rng(7)
    n = 400
    age, male, etiv = rng.uniform(1, 8, n), np.tile([0.0, 1.0], n // 2), rng.normal(1.5, 0.1, n)
    squares = (np.exp(0.5 + 1.2 * male)[:, None] * rng.normal(size=(n, 1))) ** 2
    seen = []
    monkeypatch.setattr(location_scale.scale_fit, "select_powers", lambda *given: seen.append(given) or "powers")
    powers, start = location_scale._sigma_powers(age, male, etiv, squares, np.array([0.7]))
    assert powers == "powers"
    assert start[0, 1] == pytest.approx(1.2, abs=0.15)
    scaled, rest, kurtosis = seen[0]
    assert scaled is age
    assert kurtosis.tolist() == [0.7]
    assert [rest[male == sex].mean() for sex in (0, 1)] == pytest.approx([1.0, 1.0], abs=0.01)
    none, nothing = location_scale._sigma_powers(age[:99], male[:99], etiv[:99], squares[:99], np.array([0.7]))
    assert np.isnan(none).all()
    assert (none.shape, nothing, len(seen)) == ((1, 2), None, 1)
