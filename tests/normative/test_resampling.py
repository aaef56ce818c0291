"""The standard error of z with the choices of the fit in it."""

from __future__ import annotations

import numpy as np
import pytest

from bids_app.normative import resampling
from bids_app.normative.fitting import fit_calibrated
from bids_app.normative.parameters import triangle
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
