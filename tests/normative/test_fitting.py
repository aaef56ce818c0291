"""From arrays to parameters: each number of a fit by plain algebra, folds, spread and rounding at their limits."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bids_app.normative import fitting
from bids_app.normative.fit import mfpr, sinh_arcsinh
from bids_app.normative.fit.location_scale import fit_location_scale_shape
from bids_app.normative.parameters import RegionFit, ScaleFit, triangle

N = 60
RNG = np.random.default_rng(0)
AGE, ETIV = RNG.uniform(8, 80, N), RNG.normal(1.5e6, 1e5, N)
VALUES = np.column_stack([7000 + 0.001 * ETIV - 10 * AGE, 900 + 90 * np.log(AGE)]) + RNG.normal(0, 50, (N, 2))
SEX = np.tile(np.array(["female", "male"], dtype=object), N // 2)


@pytest.mark.parametrize("uses_etiv", [True, False])
def test_a_reference_fit_is_least_squares_with_its_textbook_covariance(uses_etiv):
    fits = fitting._fit_reference(AGE, ETIV, VALUES, uses_etiv=uses_etiv)
    for j, fit in enumerate(fits):
        x = mfpr.design((AGE + fit.shift) / fit.scale, ETIV[:, None] if uses_etiv else np.empty((N, 0)), fit.powers)
        scale = np.sqrt((x**2).mean(axis=0))
        beta = np.linalg.lstsq(x / scale, VALUES[:, j], rcond=None)[0] / scale
        residual = VALUES[:, j] - x @ beta
        full, at = np.zeros((x.shape[1] + (not uses_etiv),) * 2), np.arange(x.shape[1] + (not uses_etiv))
        keep = at if uses_etiv else np.delete(at, 1)
        covariance = residual @ residual / (N - x.shape[1]) * np.linalg.inv(x.T @ x)
        full[np.ix_(keep, keep)] = covariance
        root = triangle(fit.root, len(full))
        np.testing.assert_allclose(root.T @ root, full, rtol=1e-5, atol=1e-12)
        expected = np.zeros(len(full))
        expected[keep] = beta
        np.testing.assert_allclose(fit.coefficients, expected, rtol=1e-7)
        assert fit.rmse == pytest.approx(np.sqrt(np.mean(residual**2)))
        assert (fit.n, fit.sigma, fit.shape, fit.fallback, fit.etiv_power) == (N, None, None, None, 1.0)
        assert fit.age_range == (np.floor(AGE.min() * 10) / 10, np.ceil(AGE.max() * 10) / 10)
        assert fit.etiv_range == (np.floor(ETIV.min() / 1000) * 1000, np.ceil(ETIV.max() / 1000) * 1000)
        low, high = np.quantile(VALUES[:, j], (0.005, 0.995))
        assert fit.volume_range == (float(f"{low:.4g}"), float(f"{high:.4g}"))


@pytest.mark.parametrize("uses_etiv", [True, False])
def test_a_calibrated_fit_is_the_common_one_written_out_by_sex(uses_etiv):
    fits = fitting.fit_calibrated(AGE, SEX, ETIV, VALUES, uses_etiv=uses_etiv)
    male = (SEX == "male").astype(float)
    whole = fit_location_scale_shape(AGE, male, ETIV if uses_etiv else None, VALUES)
    residual = VALUES - whole.location(AGE, male, ETIV)
    for sex in ("female", "male"):
        rows = sex == SEX
        for j, fit in enumerate(fits[sex]):
            assert fit.n == N // 2
            assert fit.rmse == pytest.approx(np.sqrt(np.mean(residual[rows, j] ** 2)))
            assert (fit.shift, fit.scale, fit.etiv_power) == (whole.shift, whole.scale, whole.etiv_power[j])
            assert fit.shape == (0.0, 1.0, 0.0, 1.0)
            assert fit.fallback == whole.fallback(j)
            assert fit.age_range[0] <= AGE[rows].min() <= fit.age_range[1]
            is_male = sex == "male"
            own = whole.coefficients[j]
            k = len(fit.powers)
            assert fit.coefficients == pytest.approx([own[0] + own[1] * is_male, *own[2 : 3 + k]])
            x = np.column_stack([np.ones(4), np.full(4, is_male), RNG.normal(size=(4, 1 + k))])
            root = whole.roots[j, : 3 + k, : 3 + k]
            mine = triangle(fit.root, 2 + k)
            short = np.delete(x, 1, axis=1)
            np.testing.assert_allclose(
                np.sum((short @ mine.T) ** 2, axis=1), np.sum((x @ root.T) ** 2, axis=1), rtol=1e-5
            )
            of_scale = whole.sigma_coefficients[j]
            assert fit.sigma.coefficients == pytest.approx([of_scale[0] + of_scale[1] * is_male, of_scale[2]])
            assert fit.sigma.powers == ()


FIT = RegionFit(
    n=9,
    shift=0.0,
    scale=10.0,
    powers=(),
    coefficients=(5.0, 0.0),
    rmse=2.0,
    age_range=(1.0, 9.0),
    etiv_range=(1.0, 9.0),
    volume_range=(1.0, 9.0),
    root=(1.0, 2.0, 3.0),
    sigma=ScaleFit(powers=(), coefficients=(0.5, 0.0), root=(1.0, 0.0, 0.0)),
)


def test_a_wider_fit_has_a_larger_sigma_and_error():
    wide = fitting._widen(FIT, 1.2)
    assert wide.sigma.coefficients == (0.5 + np.log(1.2), 0.0)
    assert (wide.rmse, wide.root) == (2.4, (1.2, 2.4, 3.6))
    assert wide.coefficients == FIT.coefficients
    assert fitting._widen(replace(FIT, root=None), 1.2).root is None
    constant = replace(FIT, sigma=None)
    assert fitting._widen(constant, 1.2) is constant
    both = fitting.widen(fitting.Fitted(None, {"female": [FIT], "male": [constant]}), 1.2)
    assert both.fits == {"female": [wide], "male": [constant]}


@pytest.mark.parametrize(("sizes", "expected"), [((1.0, 1.1, 5.0), 1.1), ((0.1, 0.2, 0.3), 0.9), ((2, 3, 4), 1.3)])
def test_the_spread_factor_is_the_median_size_of_z_within_limits(sizes, expected):
    z = np.array([[1.0] * 3, [-1.0] * 3, [1.0] * 3]) * sizes
    assert fitting.spread_factor(z) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("values", "decimals", "expected"),
    [
        ((8.14, 71.26), 1, (8.1, 71.3)),
        ((8.0, 71.0), 1, (8.0, 71.0)),
        ((1234567.0, 1999999.0), -3, (1234000.0, 2000000.0)),
        ((-0.126, 0.126), 2, (-0.13, 0.13)),
    ],
)
def test_ranges_are_rounded_outward(values, decimals, expected):
    assert fitting.outward(np.array([*values, sum(values) / 2]), decimals) == expected
    assert fitting.rounded(np.array([1234.56, 0.000123456])) == (1235.0, 0.0001235)


class Data:
    """Training data as far as folds and z ask for them."""

    def __init__(self, rows=None):
        self.rows = np.arange(N) if rows is None else rows
        self.regions = ("a", "b")
        self.table = pd.DataFrame(index=range(len(self.rows)))
        self.site, self.sex, self.age, self.etiv = (
            np.full(len(self.rows), "s"),
            SEX[self.rows],
            AGE[self.rows],
            ETIV[self.rows],
        )

    def subset(self, some):
        return Data(self.rows[some])

    def modelled(self):
        return VALUES[self.rows]


def test_z_and_residuals_are_those_of_each_sex():
    shape = (0.1, 0.9, 0.3, 0.8)
    female, male = replace(FIT, coefficients=(7000.0, 0.0), shape=shape), replace(FIT, coefficients=(900.0, 1e-3))
    moved = SimpleNamespace(transform=lambda data: (data.etiv + 1000, data.modelled() + 5))
    fitted = fitting.Fitted(moved, {"female": [female, female], "male": [male, male]})
    data, is_male = Data(), SEX == "male"
    mean = np.where(is_male, 900 + 1e-3 * ETIV, 7000.0)[:, None]
    np.testing.assert_allclose(fitted.residuals(data), (VALUES - mean) / np.exp(0.5))
    z = fitted.z(data)
    u = (VALUES + 5 - np.where(is_male, 900 + 1e-3 * (ETIV + 1000), 7000.0)[:, None]) / np.exp(0.5)
    np.testing.assert_allclose(z[is_male], u[is_male])
    np.testing.assert_allclose(z[~is_male], sinh_arcsinh.to_z(u[~is_male], np.array([shape, shape])))


@pytest.mark.parametrize("corrected", [False, True])
def test_nobody_is_scored_by_a_fit_that_knows_them(monkeypatch, corrected):
    seen = []

    class Fold:
        factor = 1.0

        def __init__(self, rows):
            self.rows = set(rows)

        def z(self, data):
            assert not self.rows & set(data.rows)
            return np.full((len(data.rows), 2), 1.2 * self.factor)

    def widened(fitted, factor):
        seen.append(factor)
        fitted.factor = factor
        return fitted

    monkeypatch.setattr(fitting, "harmonise_and_fit", lambda data, mode, harmonise: Fold(data.rows))
    monkeypatch.setattr(fitting, "widen", widened)
    z = fitting.out_of_fold(Data(), "calibrated", "none", corrected=corrected)
    assert z.shape == (N, 2)
    np.testing.assert_allclose(z, 1.2 * 1.2 if corrected else 1.2)
    assert seen == pytest.approx([1.2] * 5 if corrected else [])


@pytest.mark.parametrize(
    ("n", "always", "refitted"), [(0, False, True), (1, False, False), (1, True, True), (-1, False, True)]
)
def test_choices_are_refitted_when_people_are_few_or_when_asked(monkeypatch, n, always, refitted):
    monkeypatch.setattr(fitting.resampling, "ENOUGH_PEOPLE", N - n + (1 if n == 0 else 0))
    monkeypatch.setattr(fitting.resampling, "with_choices", lambda fits, refit, age, sex, etiv: ("refitted", etiv[0]))
    harmoniser = SimpleNamespace(transform=lambda data: (np.array([3.0]), None))
    data = Data()
    data.uses_etiv = True
    fitted = fitting.Fitted(harmoniser, {"female": [], "male": []})
    found = fitting.with_choices(data, "calibrated", fitted, always)
    assert (found.fits == ("refitted", 3.0)) is refitted
    monkeypatch.setattr(fitting.resampling, "ENOUGH_PEOPLE", N)
    assert fitting.with_choices(data, "calibrated", fitted) is fitted
