"""The joint maximum of location, scale and shape."""

from __future__ import annotations

import numpy as np
import pytest

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
