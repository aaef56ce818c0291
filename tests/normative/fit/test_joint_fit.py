"""The joint maximum of location, scale and shape."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bids_app.normative.fit import fractional_polynomials as fp
from bids_app.normative.fit import joint_fit, location_scale, sinh_arcsinh
from bids_app.normative.fit.designs import Design
from bids_app.normative.fit.joint_fit import SEX_SD, Data, Parts

SHAPE = np.array([[0.0, 1.0, 0.5, 0.8]])


def simulated(n, seed, sex_difference=0.0):
    """Covariates of n people, and values with a linear mean, an SD that differs by sex, and a skewed shape."""
    rng = np.random.default_rng(seed)
    age, male = rng.uniform(6, 80, n), (np.arange(n) % 2).astype(float)
    etiv = rng.normal(1.5e6, 1.4e5, n)
    u = sinh_arcsinh.from_z(rng.standard_normal((n, 1)), SHAPE)
    y = 700 - 2 * age[:, None] + 20 * np.exp(sex_difference * male[:, None] + 0.004 * age[:, None]) * u
    return age, male, etiv, y


def first_fit(n, seed):
    """A plain starting point: least squares, constant SD, and the shape of nobody."""
    age, male, etiv, y = simulated(n, seed)
    scaled, none = (age + 10) / 100, np.full((1, 2), np.nan)
    powers = np.array([[1.0, np.nan, np.nan]])
    data = Data(scaled, male, etiv, 1.0, y, np.zeros_like(y))
    mean, spread = data.mean_design(powers), Design(scaled, male, etiv, none)
    beta = mean.step(y)[0]
    gamma = np.zeros((1, 6))
    gamma[:, 0] = np.log(np.std(y - mean.predict(beta)))
    parts = Parts(powers, beta, mean.ordinary_roots(), gamma, spread.ordinary_roots(), np.array([[0.0, 1.0, 0.0, 1.0]]))
    return data, spread, parts


def value(data, spread, parts):
    return joint_fit._at(data, spread, data.mean_design(parts.powers), parts)[0].value[0]


def test_the_likelihood_rises_to_a_maximum():
    data, spread, parts = first_fit(1500, 1)
    values = [value(data, spread, parts)]
    for _ in range(8):
        parts = joint_fit.fit_jointly(data, data.mean_design(parts.powers), spread, parts)
        values.append(value(data, spread, parts))
    assert (np.diff(values) >= 0).all()
    assert values[-1] - values[-2] < 1e-3
    # A small change of any coefficient does not raise it.
    for name, scale in (("beta", 1e-4), ("gamma", 1e-4)):
        for column in range(3):
            for sign in (-1, 1):
                moved = getattr(parts, name).copy()
                moved[0, column] *= 1 + sign * scale
                other = Parts(**{**vars(parts), name: moved})
                assert value(data, spread, other) < values[-1] + 1e-3


def test_a_step_that_does_not_help_is_not_taken(monkeypatch):
    data, spread, parts = first_fit(500, 2)
    wrong = np.full((1, 6), 1e6)
    monkeypatch.setattr(
        joint_fit, "_step", lambda data, spread, point: (point.mean, Parts(**{**vars(point.parts), "beta": wrong}))
    )
    kept = joint_fit.fit_jointly(data, data.mean_design(parts.powers), spread, parts)
    np.testing.assert_array_equal(kept.beta, parts.beta)
    np.testing.assert_array_equal(kept.shape, parts.shape)


@pytest.mark.parametrize(("n", "degree"), [(1990, (1, 2)), (2010, (3, 3))])
def test_the_third_degree_needs_many_people(n, degree):
    fitted = location_scale.fit_location_scale_shape(*simulated(n, 4))
    assert degree[0] <= np.sum(~np.isnan(fitted.powers)) <= degree[1]


def test_the_sex_difference_of_the_sd_is_shrunk_when_people_are_few():
    few = location_scale.fit_location_scale_shape(*simulated(300, 5, sex_difference=0.4)).sigma_coefficients[0, 1]
    many = location_scale.fit_location_scale_shape(*simulated(30_000, 5, sex_difference=0.4)).sigma_coefficients[0, 1]
    assert 0.05 < few < 0.25
    assert many == pytest.approx(0.4, abs=0.03)
    assert SEX_SD == 0.05


def test_the_standard_error_of_a_normal_scale_is_the_textbook_one():
    age, male, etiv, _ = simulated(1500, 6)
    fitted = location_scale.fit_location_scale_shape(
        age, male, etiv, np.random.default_rng(7).normal(100, 10, (1500, 5))
    )
    for powers, root in zip(fitted.sigma_powers, fitted.sigma_roots):
        design = Design((age + fitted.shift) / fitted.scale, male, etiv, powers[None])
        variance = design.quadratic(root[None])[:, 0]
        assert np.sqrt(variance.mean()) == pytest.approx(np.sqrt(design.parts[0][0].shape[1] / 1500 / 2), rel=0.2)


def two_regions(etiv_used=True):
    """A point away from the maximum, in two regions of different powers."""
    rng = np.random.default_rng(11)
    n = 120
    age, male = rng.uniform(1, 8, n), (np.arange(n) % 2).astype(float)
    etiv = rng.normal(1.5, 0.15, n) if etiv_used else None
    y = 5 - 0.3 * age[:, None] + rng.normal(0, 1, (n, 2)) * [1.0, 2.0]
    data = Data(age, male, etiv, 2.0, y, 0.5 * np.log(1 - rng.uniform(0, 0.1, (n, 2))))
    powers = np.array([[1.0, np.nan, np.nan], [0.5, 2.0, np.nan]])
    spread = Design(age, male, etiv, np.array([[np.nan, np.nan], [1.0, np.nan]]))
    beta, gamma = np.zeros((2, 6)), np.zeros((2, 6))
    beta[:, :3], gamma[:, :3] = [[4.0, 0.1, 0.2], [4.5, -0.1, 0.1]], [[0.1, 0.06, 0.05], [0.5, -0.04, 0.1]]
    gamma[1, 3] = 0.03
    shape = np.array([[0.1, 0.9, 0.3, 0.8], [0.0, 1.1, -0.2, 1.2]])
    parts = Parts(powers, beta, np.zeros((2, 6, 6)), gamma, np.zeros((2, 6, 6)), shape)
    return data, spread, parts


def columns(data, powers, exponent):
    """The design of one region written out."""
    out = [np.ones(data.scaled.size), data.male, data.etiv**exponent]
    return np.column_stack([*out, *(data.scaled**p for p in powers)])


MEAN, SPREAD = [(1.0,), (0.5, 2.0)], [(), (1.0,)]


def test_the_value_is_the_log_density_with_its_priors():
    data, spread, parts = two_regions()
    point, shaped = joint_fit._at(data, spread, data.mean_design(parts.powers), parts)
    assert shaped.tolist() == [True, True]
    for j in range(2):
        x, w = columns(data, MEAN[j], 2.0), columns(data, SPREAD[j], 1.0)
        sigma = np.exp(w @ parts.gamma[j, : w.shape[1]] + data.offset[:, j])
        mean = x @ parts.beta[j, : x.shape[1]]
        np.testing.assert_allclose(point.mu[:, j], mean)
        np.testing.assert_allclose(np.exp(point.eta[:, j]), sigma)

        def density(y, mean=mean, sigma=sigma, j=j):
            z = sinh_arcsinh.to_z(((y - mean) / sigma)[:, None], parts.shape[[j]])[:, 0]
            step = 1e-5
            ahead = sinh_arcsinh.to_z(((y + step - mean) / sigma)[:, None], parts.shape[[j]])[:, 0]
            behind = sinh_arcsinh.to_z(((y - step - mean) / sigma)[:, None], parts.shape[[j]])[:, 0]
            return -0.5 * z**2 + np.log((ahead - behind) / (2 * step))

        _, _, epsilon, delta = parts.shape[j]
        prior = 0.5 * (parts.gamma[j, 1] / 0.05) ** 2 + 0.5 * (epsilon**2 + np.log(delta) ** 2) / 0.5**2
        assert point.value[j] == pytest.approx(density(data.values[:, j]).sum() - prior, rel=1e-6)


@pytest.mark.parametrize("name", ["beta", "gamma"])
def test_scores_are_the_slopes_of_the_value(name):
    data, spread, parts = two_regions()
    point, _ = joint_fit._at(data, spread, data.mean_design(parts.powers), parts)
    step = 1e-6
    for i in range(3):
        moved = []
        for sign in (1, -1):
            changed = getattr(parts, name).copy()
            changed[:, i] += sign * step
            moved.append(joint_fit._at(data, spread, point.mean, replace(parts, **{name: changed}))[0].value)
        slope = (moved[0] - moved[1]) / (2 * step)
        for j in range(2):
            if name == "beta":
                expected = columns(data, MEAN[j], 2.0)[:, i] @ (-point.location_score[:, j] * np.exp(-point.eta[:, j]))
            else:
                expected = -columns(data, SPREAD[j], 1.0)[:, i] @ point.scale_score[:, j]
                expected -= parts.gamma[j, 1] / 0.05**2 if i == 1 else 0
            assert slope[j] == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_a_step_is_that_of_fisher_scoring():
    data, spread, parts = two_regions()
    point, _ = joint_fit._at(data, spread, data.mean_design(parts.powers), parts)
    design, found = joint_fit._step(data, spread, point)
    assert design is point.mean
    for j in range(2):
        x, w = columns(data, MEAN[j], 2.0), columns(data, SPREAD[j], 1.0)
        k, m = x.shape[1], w.shape[1]
        score, sigma = point.location_score[:, j], np.exp(point.eta[:, j])
        information = np.mean(score**2)
        normal = x.T @ (x / sigma[:, None] ** 2)
        step = np.linalg.solve(normal, x.T @ (-score / sigma)) / information
        np.testing.assert_allclose(found.beta[j, :k], parts.beta[j, :k] + step, rtol=1e-8)
        root = found.roots[j, :k, :k]
        np.testing.assert_allclose(root.T @ root, np.linalg.inv(normal) / information, rtol=1e-7)
        of_scale = np.mean(point.scale_score[:, j] ** 2)
        prior = np.zeros((m, m))
        prior[1, 1] = 1 / 0.05**2
        precision = of_scale * w.T @ w + prior
        gradient = -w.T @ point.scale_score[:, j] - prior @ parts.gamma[j, :m]
        np.testing.assert_allclose(
            found.gamma[j, :m], parts.gamma[j, :m] + np.linalg.solve(precision, gradient), rtol=1e-8
        )
        root = found.sigma_roots[j, :m, :m]
        np.testing.assert_allclose(root.T @ root, np.linalg.inv(precision), rtol=1e-7)
        assert not found.gamma[j, m:].any()


def test_a_new_curve_fits_the_working_response_by_weighted_least_squares():
    data, spread, parts = two_regions()
    point, _ = joint_fit._at(data, spread, data.mean_design(parts.powers), parts)
    _, found = joint_fit._new_curve(data, spread, point)
    for j in range(2):
        x = columns(data, (), 2.0)
        x = np.hstack([x, fp.basis(data.scaled, found.powers[j][~np.isnan(found.powers[j])])])
        score, sigma = point.location_score[:, j], np.exp(point.eta[:, j])
        information = np.mean(score**2)
        response = point.mu[:, j] - score * sigma / information
        weighted = x / sigma[:, None]
        expected = np.linalg.lstsq(weighted, response / sigma, rcond=None)[0]
        np.testing.assert_allclose(found.beta[j, : x.shape[1]], expected, rtol=1e-6)
        root = found.roots[j, : x.shape[1], : x.shape[1]]
        np.testing.assert_allclose(root.T @ root, np.linalg.inv(weighted.T @ weighted) / information, rtol=1e-6)
    np.testing.assert_array_equal(found.gamma, joint_fit._step(data, spread, point)[1].gamma)


def test_a_step_that_helps_one_region_is_taken_there_only(monkeypatch):
    data, spread, parts = two_regions()
    mean = data.mean_design(parts.powers)
    real = joint_fit._step

    def half(data, spread, point):
        design, new = real(data, spread, point)
        wrong = new.beta.copy()
        wrong[1] = 1e6
        return design, replace(new, beta=wrong)

    monkeypatch.setattr(joint_fit, "_step", half)
    found = joint_fit.fit_jointly(data, mean, spread, parts)
    np.testing.assert_array_equal(found.beta[1], parts.beta[1])
    assert (found.beta[0, :3] != parts.beta[0, :3]).all()


def test_linear_columns_have_etiv_where_it_is_a_covariate():
    male, etiv = np.array([0.0, 1.0]), np.array([2.0, 3.0])
    np.testing.assert_array_equal(joint_fit.linear_columns(male, etiv, 2.0), [[0, 4], [1, 9]])
    np.testing.assert_array_equal(joint_fit.linear_columns(male, None, 2.0), [[0], [1]])


def test_a_step_that_changes_no_likelihood_is_not_taken(monkeypatch):
    data, spread, parts = two_regions()
    monkeypatch.setattr(joint_fit.shape_fit, "fit_shapes", lambda u, start: (start, np.ones(2, dtype=bool)))
    same = replace(parts, roots=np.ones((2, 6, 6)))
    monkeypatch.setattr(joint_fit, "_step", lambda data, spread, point: (point.mean, same))
    found = joint_fit.fit_jointly(data, data.mean_design(parts.powers), spread, parts)
    assert not found.roots.any()
