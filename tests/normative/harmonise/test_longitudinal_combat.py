"""Longitudinal ComBat on simulated cohorts whose scanner effects are known."""

import numpy as np
import pandas as pd
import pytest

from bids_app.errors import AnalysisError, InputError
from bids_app.normative.harmonise.combat import Combat
from bids_app.normative.harmonise.longitudinal_combat import LongitudinalCombat


def test_equals_longcombat(repository):
    folder = repository / "tests" / "data" / "simulated"
    scans = pd.read_csv(folder / "longcombat_input.csv")
    theirs = pd.read_csv(folder / "longcombat_result.csv").to_numpy()
    features = scans.filter(regex=r"^f\d$").to_numpy()
    ours = LongitudinalCombat().fit_transform(features, scans["scanner"], scans["eid"], scans[["age", "male"]])
    # lme4 stops its search for the variance earlier than we do
    np.testing.assert_allclose(ours, theirs, atol=5e-7)


def cohort(seed=1, n_people=150, n_features=20, visits=4):
    """Truth without scanner effects, measured volumes, scanners, people, covariates."""
    rng = np.random.default_rng(seed)
    people = np.repeat(np.arange(n_people), visits)
    time = np.tile(np.arange(visits), n_people).astype(float)
    age = rng.uniform(20, 60, n_people)[people] + time
    male = rng.integers(0, 2, n_people)[people]
    # Later visits are ever more often on the new scanner, so that its shift looks like change.
    scanners = np.where(rng.random(len(people)) < time / visits, "new", "old")
    noise = rng.normal(0, 1, (len(people), n_features))
    base = 100 - 0.2 * age[:, None] + 3 * male[:, None] + rng.normal(0, 4, (n_people, n_features))[people]
    shift, spread = rng.normal(2, 1, n_features), rng.uniform(1.3, 1.7, n_features)
    new = (scanners == "new")[:, None]
    measured = base + np.where(new, shift + spread * noise, noise)
    return base + noise, measured, scanners, people, np.column_stack([age, male])


def true_shift(seed=1, n_people=150, n_features=20, visits=4):
    """Mean shift of the new scanner in `cohort`, noise included."""
    truth, measured, scanners, *_ = cohort(seed, n_people, n_features, visits)
    gap = measured - truth
    return gap[scanners == "new"].mean(axis=0)


def slopes(values, people, time):
    """Within-person slope over time of each feature."""
    centred = time - np.bincount(people, time)[people] / np.bincount(people)[people]
    return centred @ values / (centred @ centred)


def error(values, truth):
    """Root mean square distance from the truth; its level, which no data can tell, does not count."""
    gap = values - truth
    return np.sqrt(np.mean((gap - gap.mean(axis=0)) ** 2))


def test_scanner_shift_and_scale_are_removed_and_real_change_is_kept():
    truth, measured, scanners, people, covariates = cohort()
    combat = LongitudinalCombat()
    out = combat.fit_transform(measured, scanners, people, covariates)
    time = covariates[:, 0]
    assert slopes(truth, people, time).mean() == pytest.approx(-0.2, abs=0.05)
    assert slopes(measured, people, time).mean() > 0.2
    assert slopes(out, people, time).mean() == pytest.approx(-0.2, abs=0.06)
    assert error(out, truth) < 0.4 * error(measured, truth)
    assert combat.coefficients_[0].mean() == pytest.approx(-0.2, abs=0.05)
    assert combat.intercept_sd_.mean() == pytest.approx(4, rel=0.1)
    estimated = (combat.gamma_star_[0] - combat.gamma_star_[1]) * combat.residual_sd_
    assert np.abs(estimated - true_shift()).mean() < 0.2
    scale = np.sqrt(combat.delta_star_)
    assert (scale[0] / scale[1]).mean() == pytest.approx(1.5, rel=0.1)


def test_change_over_time_is_truer_than_after_cross_sectional_combat():
    truth, measured, scanners, people, covariates = cohort(2, n_people=40)
    time = covariates[:, 0]
    expected = slopes(truth, people, time)
    longitudinal = LongitudinalCombat().fit_transform(measured, scanners, people, covariates)
    cross_sectional = Combat().fit_transform(measured, scanners, covariates)
    wrong = [
        np.sqrt(np.mean((slopes(values, people, time) - expected) ** 2)) for values in (longitudinal, cross_sectional)
    ]
    assert wrong[0] < 0.7 * wrong[1]


def test_without_scanner_effects_little_changes():
    truth, _, scanners, people, covariates = cohort(3)
    out = LongitudinalCombat().fit_transform(truth, scanners, people, covariates)
    assert error(out, truth) < 0.15


def test_scanner_effects_average_to_zero_over_scans():
    _, measured, scanners, people, covariates = cohort(4)
    out = LongitudinalCombat().fit_transform(measured, scanners, people, covariates)
    np.testing.assert_allclose(out.mean(axis=0), measured.mean(axis=0), atol=0.15)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda y, s, p, x: (y, np.full(len(s), "one"), p, x), InputError, "two scanners"),
        (lambda y, s, p, x: (y, s, np.arange(len(s)), x), AnalysisError, "two visits"),
        (lambda y, s, p, x: (y, s, p, np.column_stack([x, s == "new"])), AnalysisError, "depend on each other"),
        (lambda y, s, p, x: (np.where(y == y[0, 0], np.nan, y), s, p, x), InputError, "missing"),
        (lambda y, s, p, x: (y, np.where(np.arange(len(s)) == 0, "third", s), p, x), InputError, "third"),
    ],
)
def test_what_cannot_be_harmonised_is_said(change, error, words):
    _, *cohort_parts = cohort(5, n_people=20)
    with pytest.raises(error, match=words):
        LongitudinalCombat().fit_transform(*change(*cohort_parts))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda y, s, p, x: (y[:, 0], s, p, x), "one row per scan"),
        (lambda y, s, p, x: (y, s, p, x[:-1]), "one row per scan"),
        (lambda y, s, p, x: (y, s[:-1], p, x), "one row per scan"),
        (lambda y, s, p, x: (y, s, p, np.where(x == x[0, 0], np.inf, x)), "must be finite"),
        (lambda y, s, p, x: (y[:, :1], s, p, x), "two features"),
        (lambda y, s, p, x: (np.column_stack([y, np.ones(len(y))]), s, p, x), "the same in every scan"),
    ],
)
def test_each_impossible_input_is_refused(change, words):
    _, *cohort_parts = cohort(5, n_people=20)
    with pytest.raises(InputError, match=words):
        LongitudinalCombat().fit_transform(*change(*cohort_parts))


def test_one_covariate_two_features_and_two_scans_of_a_scanner_are_enough():
    _, y, _, people, x = cohort(6, n_people=20, n_features=2)
    scanners = np.where(np.arange(len(y)) < 2, "few", "old")
    combat = LongitudinalCombat()
    one = combat.fit_transform(y, scanners, people, x[:, 0])
    np.testing.assert_array_equal(one, LongitudinalCombat().fit_transform(y, scanners, people, x[:, :1]))
    assert (combat.scanners_.tolist(), combat.counts_.tolist()) == (["few", "old"], [2, 78])
    assert combat.coefficients_.shape == (1, 2)
