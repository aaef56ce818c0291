"""The standard error of z with the choices of the fit in it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bids_app.normative import resampling
from bids_app.normative.fitting import fit_calibrated
from bids_app.normative.parameters import RegionFit, ScaleFit, stack, triangle
from bids_app.normative.training import train
from tests.normative.simulated import THALAMUS, people


def test_the_root_is_that_of_the_covariance_of_curves_within_the_design():
    rng, x = np.random.default_rng(0), np.linspace(0.5, 9, 40)
    size = rng.normal(1.5e6, 1e5, 40)
    spread = np.array([[1.0, 0, 0], [0.3e-6, 2e-6, 0], [0.2, 0.1, 0.4]])
    coefficients = rng.standard_normal((3000, 3)) @ spread.T
    design = np.column_stack([np.ones(40), size, x])
    root = triangle(resampling._root(x, size, (1.0,), coefficients @ design.T), 3)
    found, truth = ((design @ matrix.T) ** 2 for matrix in (root, np.linalg.cholesky(np.cov(coefficients.T)).T))
    np.testing.assert_allclose(found.sum(axis=1), truth.sum(axis=1), rtol=1e-5)


def test_with_few_people_the_choices_make_z_less_certain_than_the_coefficients_alone(monkeypatch):
    table, ends = people(400, seed=3), people(400, seed=4)
    ends = ends[(ends["age"] < 20) | (ends["age"] > 75)]
    chosen = train(table, name="x", regions=(THALAMUS,), reference_counts=False).model.deviations(ends).z_se
    monkeypatch.setattr(resampling, "ENOUGH_PEOPLE", 0)
    plain = train(table, name="x", regions=(THALAMUS,), reference_counts=False).model.deviations(ends).z_se
    assert np.median(chosen) > 1.1 * np.median(plain)


@pytest.mark.slow
@pytest.mark.parametrize("n", [150, 400])
def test_the_spread_of_refits_is_the_standard_error(n):
    fixed = people(60, seed=99)
    found = [
        train(people(n, seed=s), name="x", regions=(THALAMUS,), reference_counts=False).model.deviations(fixed)
        for s in range(100, 160)
    ]
    spread = np.var([one.z for one in found], axis=0, ddof=1).mean()
    said = np.mean([one.z_se**2 for one in found])
    assert 0.8 <= np.sqrt(spread / said) <= 1.25


def test_simulated_people_follow_the_curve_of_their_own_sex():
    table, seen = people(150, seed=5), []
    columns = [table[name].to_numpy() for name in ("age", "sex", "EstimatedTotalIntraCranialVol")]
    male = columns[1] == "male"
    fits = fit_calibrated(*columns, np.log(table[[THALAMUS]].to_numpy()) + np.where(male, 1.0, -1.0)[:, None])

    def refit(age, sex, etiv, values):
        seen.append(values[sex == "male"].mean() - values[sex == "female"].mean())
        return fits

    resampling.with_choices(fits, refit, *columns)
    assert np.allclose(seen, 2.0, atol=0.2)


def test_the_order_of_people_changes_nothing():
    table = people(150, seed=5)
    values = np.log(table[[THALAMUS]].to_numpy())

    def refit(age, sex, etiv, values):
        return fit_calibrated(age, sex, etiv, values)

    columns = [table[name].to_numpy() for name in ("age", "sex", "EstimatedTotalIntraCranialVol")]
    fits = refit(*columns, values)
    turned = [column[::-1] for column in columns]
    first, second = (resampling.with_choices(fits, refit, *some) for some in (columns, turned))
    assert first["male"][0].root == pytest.approx(second["male"][0].root, rel=1e-5)


@pytest.mark.parametrize(("n", "said"), [(150, True), (260, False)])
def test_a_training_of_too_few_people_says_that_its_tails_are_not_calibrated(n, said):
    model, report = train(people(n, seed=6), name="x", regions=(THALAMUS,), reference_counts=False)
    for words in (report.sentences(), model.card.limitations):
        assert any("tails are not calibrated" in sentence for sentence in words) == said


def test_with_many_people_refits_are_made_when_asked_and_move_no_z(monkeypatch):
    table = people(400, seed=3)
    monkeypatch.setattr(resampling, "ENOUGH_PEOPLE", 0)
    plain, refitted = (
        train(table, name="x", regions=(THALAMUS,), reference_counts=False, refit=refit).model.deviations(table)
        for refit in (False, True)
    )
    np.testing.assert_array_equal(plain.z, refitted.z)
    assert np.median(refitted.z_se) > 1.05 * np.median(plain.z_se)


def level(mean=5.0, sd=2.0, root=0.4, scale_root=0.1):
    return RegionFit(
        n=100,
        shift=0.0,
        scale=10.0,
        powers=(),
        coefficients=(mean, 0.0),
        rmse=sd,
        age_range=(5.0, 80.0),
        etiv_range=(1.0, 2.0),
        volume_range=(1.0, 9.0),
        root=None if root is None else (root, 0.0, 0.0),
        sigma=ScaleFit(powers=(), coefficients=(np.log(sd), 0.0), root=(scale_root, 0.0, 0.0)),
    )


@pytest.mark.parametrize(("size", "expected"), [(1.0, None), (0.01, 0.7), (50.0, 3.0)])
def test_the_factor_is_the_spread_of_z_over_what_the_roots_say(size, expected):
    moved = size * np.array([-0.5, 0.1, 0.4, 0.9])
    refits = [stack([level(5.0 + d)]) for d in moved]
    found = resampling._factors(stack([level()]), refits, np.array([10.0, 40.0]), np.array([1.0, 1.5]))
    said = 5 * (0.4 / 2) ** 2 + sum(z**2 for z in (-2, -1, 0, 1, 2)) * 0.1**2
    by_hand = np.sqrt(5 * np.var(moved / 2, ddof=1) / said)
    assert found[0] == pytest.approx(by_hand if expected is None else expected, rel=1e-6)


def test_a_factor_scales_both_roots():
    found = resampling._scaled(level(), 1.5)
    assert (found.root, found.sigma.root) == ((0.6, 0.0, 0.0), (0.15, 0.0, 0.0))
    assert resampling._scaled(level(root=None), 1.5).root is None
    assert resampling._scaled(replace(level(), sigma=None), 1.5).sigma is None


def test_without_etiv_its_column_has_no_share():
    rng, x = np.random.default_rng(1), np.linspace(0.5, 9, 20)
    curves = rng.normal(size=(50, 1)) + rng.normal(size=(50, 1)) * x
    root = triangle(resampling._root(x, np.zeros(20), (1.0,), curves), 3)
    design = np.column_stack([np.ones(20), np.zeros(20), x])
    np.testing.assert_allclose(((design @ root.T) ** 2).sum(axis=1), np.var(curves, axis=0, ddof=1), rtol=1e-5)
