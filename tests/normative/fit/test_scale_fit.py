"""The scale of residuals: its likelihood, its maximum and the choice of its powers, by other means."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, stats

from bids_app.normative.fit import fractional_polynomials as fp
from bids_app.normative.fit import scale_fit
from bids_app.normative.fit.designs import Design


def lost(coefficients, z, squares, people):
    """-2 log likelihood of log-linear standard deviations, up to a constant."""
    eta = z @ coefficients
    return 2 * np.sum(people * (eta + 0.5 * squares * np.exp(-2 * eta)))


def slope(coefficients, z, squares, people):
    return 2 * z.T @ (people * (1 - squares * np.exp(-2 * z @ coefficients)))


def lowest(z, squares, people):
    z = z / np.sqrt((z**2).mean(axis=0))
    start = np.zeros(z.shape[1])
    start[0] = 0.5 * np.log(np.average(squares, weights=people))
    return optimize.minimize(lost, start, (z, squares, people), jac=slope, method="BFGS", options={"gtol": 1e-6}).fun


def test_the_likelihood_is_that_of_the_normal_distribution():
    rng = np.random.default_rng(0)
    q, g, squares = rng.normal(size=(20, 2)), rng.normal(size=(2, 3)), rng.chisquare(1, (20, 3))
    value, ratio = scale_fit._likelihood(q, g, squares, np.ones((20, 1)))
    sigma = np.exp(q @ g)
    expected = stats.norm.logpdf(np.sqrt(squares), 0, sigma).sum(axis=0) + 20 * 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(value, expected)
    np.testing.assert_allclose(ratio, squares / sigma**2)
    weighted, _ = scale_fit._likelihood(q[:1], g, squares[:1], np.array([[3.0]]))
    once, _ = scale_fit._likelihood(q[:1], g, squares[:1], np.array([[1.0]]))
    np.testing.assert_allclose(weighted, 3 * once)
    one = np.ones((1, 1))
    far, _ = scale_fit._likelihood(one, np.array([[900.0, -900.0]]), np.zeros((1, 2)), one)
    assert far.tolist() == [-300.0, 300.0]


@pytest.mark.parametrize("weighted", [False, True])
def test_fisher_scoring_ends_where_another_search_does(weighted):
    rng = np.random.default_rng(1)
    x = rng.uniform(-1, 1, 300)
    people = rng.integers(1, 5, 300).astype(float) if weighted else np.ones(300)
    squares = np.exp(2 * np.outer(x, [0.0, 0.5, -1.5])) * rng.chisquare(1, (300, 3))
    z = np.column_stack([np.ones(300), x, x**2])
    q = np.linalg.qr(z * np.sqrt(people)[:, None])[0] / np.sqrt(people)[:, None]
    g, converged = scale_fit.fisher_scoring(q, squares, np.zeros((3, 3)), people if weighted else None, 1e-12)
    assert converged.all()
    for j in range(3):
        found = lost(g[:, j], q, squares[:, j], people)
        assert found == pytest.approx(lowest(z, squares[:, j], people), abs=1e-6)
        assert np.abs(slope(g[:, j], q, squares[:, j], people)).max() < 1e-3


def test_regions_converge_each_in_its_time_and_the_start_is_left_as_it_was():
    rng = np.random.default_rng(2)
    q = np.linalg.qr(np.column_stack([np.ones(200), rng.uniform(-1, 1, 200)]))[0]
    squares = rng.chisquare(1, (200, 3)) * [1.0, 1e4, 1e-6]
    start = np.zeros((2, 3))
    together, converged = scale_fit.fisher_scoring(q, squares, start, tolerance=1e-12)
    assert converged.all()
    assert not start.any()
    for j in range(3):
        alone, _ = scale_fit.fisher_scoring(q, squares[:, [j]], start[:, [j]], tolerance=1e-12)
        np.testing.assert_allclose(together[:, [j]], alone, rtol=1e-9, atol=1e-9)


def test_at_the_maximum_one_look_is_enough(monkeypatch):
    calls = []
    real = scale_fit._likelihood
    monkeypatch.setattr(scale_fit, "_likelihood", lambda *given: calls.append(1) or real(*given))
    g, converged = scale_fit.fisher_scoring(np.ones((4, 1)) / 2, np.ones((4, 2)), np.zeros((1, 2)))
    assert converged.all()
    assert not g.any()
    assert len(calls) == 2


def test_a_region_that_does_not_converge_gets_a_constant(monkeypatch):
    rng = np.random.default_rng(3)
    x, male, etiv = rng.uniform(1, 8, 60), np.tile([0.0, 1.0], 30), rng.normal(1.5, 0.1, 60)
    design = Design(x, male, etiv, np.array([[1.0, np.nan], [1.0, 2.0]]))
    squares = rng.chisquare(1, (60, 2)) * [2.0, 5.0]
    found, failed = scale_fit.fit_log_sigma(design, squares)
    assert not failed.any()
    for j, width in enumerate((4, 5)):
        z = np.column_stack([np.ones(60), male, etiv, x, x**2])[:, :width]
        assert not found[j, width:].any()
        assert lost(found[j, :width], z, squares[:, j], np.ones(60)) == pytest.approx(
            lowest(z, squares[:, j], np.ones(60)), abs=1e-4
        )
    again, _ = scale_fit.fit_log_sigma(design, squares, found)
    np.testing.assert_allclose(again, found, atol=1e-2)
    monkeypatch.setattr(scale_fit, "ITERATIONS", 1)
    found, failed = scale_fit.fit_log_sigma(design, squares, tolerance=0.0)
    assert failed.all()
    np.testing.assert_allclose(found[:, 0], 0.5 * np.log(squares.mean(axis=0)))
    assert not found[:, 1:].any()


def test_excess_kurtosis_is_the_fourth_moment_and_never_below_0():
    rng = np.random.default_rng(4)
    z = np.column_stack([np.sinh(rng.normal(size=500)), rng.uniform(-1, 1, 500), np.zeros(500)])
    found = scale_fit.excess_kurtosis(z)
    moments = (z[:, 0] ** 4).mean() / (z[:, 0] ** 2).mean() ** 2
    np.testing.assert_allclose(found, [moments - 3, 0.0, 0.0])


def by_hand(x, squares, kurtosis):
    """The closed test with another search for every candidate."""
    people = np.ones(x.size)

    def deviance(powers):
        z = np.column_stack([np.ones(x.size), fp.basis(x, powers)]) if powers else np.ones((x.size, 1))
        return lowest(z, squares, people)

    singles = [(p,) for p in fp.POWERS]
    pairs = [(fp.POWERS[i], fp.POWERS[j]) for i, j in fp.PAIRS]
    null, one, two = deviance(()), [deviance(p) for p in singles], [deviance(p) for p in pairs]

    def rejected(simple, df):
        return stats.chi2.sf(max(simple - min(two), 0) / (1 + kurtosis / 2), df) < 0.05

    if not rejected(null, 4):
        return ()
    if not rejected(one[fp.LINEAR], 3):
        return (1.0,)
    if not rejected(min(one), 2):
        return singles[int(np.argmin(one))]
    return pairs[int(np.argmin(two))]


def test_powers_are_those_of_the_closed_test():
    rng = np.random.default_rng(5)
    x = np.sort(rng.uniform(0.5, 3, 250))
    spreads = [0 * x, 0.4 * x, 0.8 / x**2, 2.5 * np.abs(x - 1.7), 0 * x, 0.1 * x]
    squares = np.exp(2 * np.column_stack(spreads)) * rng.chisquare(1, (250, 6))
    kurtosis = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 9.0])
    found = scale_fit.select_powers(x, squares, kurtosis)
    expected = [by_hand(x, squares[:, j], kurtosis[j]) for j in range(6)]
    assert [tuple(p for p in row if not np.isnan(p)) for row in found] == expected
    assert {len(powers) for powers in expected} == {0, 1, 2}
    assert any(len(powers) == 1 and powers != (1.0,) for powers in expected)


def test_heavy_tails_ask_for_more_evidence():
    rng = np.random.default_rng(6)
    x = rng.uniform(0.5, 3, 300)
    squares = np.tile((np.exp(0.3 * x) ** 2 * rng.chisquare(1, 300))[:, None], 2)
    found = scale_fit.select_powers(x, squares, np.array([0.0, 40.0]))
    assert np.isfinite(found[0, 0])
    assert np.isnan(found[1]).all()
