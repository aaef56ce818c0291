"""Fractional polynomial regression against R's mfp and against plain least squares."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2

from bids_app.errors import ModelError
from bids_app.normative.fit import fractional_polynomials as fp
from bids_app.normative.fit import mfpr
from bids_app.regions import ETIV, reference_regions


@pytest.fixture(scope="module")
def reference(shared):
    table = pd.read_csv(shared / "data" / "reference" / "healthy.tsv.gz", sep="\t", low_memory=False)
    return table[table["qc_flag"].isna()]


@pytest.mark.parametrize("sex", ["female", "male"])
def test_equal_to_r_mfp(reference, shared, sex):
    rows = reference[reference["sex"] == sex]
    regions = list(reference_regions())
    fitted = mfpr.fit_mfpr(rows["age"].to_numpy(), rows[[ETIV]].to_numpy(), rows[regions].to_numpy())
    theirs = pd.read_csv(shared / "parity" / "mfp" / "models.tsv", sep="\t").query("sex == @sex")
    theirs = theirs.set_index("region").loc[regions]
    np.testing.assert_array_equal(fitted.powers, theirs[["power1", "power2"]].to_numpy())
    np.testing.assert_allclose(fitted.rmse, theirs["rmse"], rtol=1e-10)
    np.testing.assert_allclose(fitted.deviance, theirs["deviance"], rtol=1e-10)
    grid = pd.read_csv(shared / "parity" / "mfp" / "predictions.tsv", sep="\t").query("sex == @sex")
    for i, region in enumerate(regions):
        points = grid[grid["region"] == region]
        ours = fitted.predict(points["age"].to_numpy(), points[[ETIV]].to_numpy())[:, i]
        np.testing.assert_allclose(ours, points["predicted"], rtol=1e-8)


def simulated_results(repository):
    """One (table, sex, R's rows) per case: R's mfp on invented people."""
    folder = repository / "tests" / "data" / "simulated"
    results = pd.read_csv(folder / "mfp_results.tsv", sep="\t", na_values="n/a")
    for (table, sex), theirs in results.groupby(["table", "sex"]):
        people = pd.read_csv(folder / f"{table}.tsv", sep="\t")
        yield people[people["sex"] == sex], theirs


def test_equal_to_r_mfp_on_invented_people(repository):
    compared = 0
    for rows, theirs in simulated_results(repository):
        fitted = mfpr.fit_mfpr(rows["age"].to_numpy(), rows[[ETIV]].to_numpy(), rows[list(theirs["region"])].to_numpy())
        np.testing.assert_array_equal(fitted.powers, theirs[["p1", "p2"]].to_numpy())
        assert {(fitted.shift, fitted.scale)} == set(zip(theirs["shift"], theirs["scale"]))
        np.testing.assert_allclose(fitted.rmse, theirs["rmse"], rtol=1e-10)
        for i, (_, row) in enumerate(theirs.iterrows()):
            age, etiv, predicted = (np.array(row[name].split(), float) for name in ("age", "etiv", "predicted"))
            np.testing.assert_allclose(fitted.predict(age, etiv[:, None])[:, i], predicted, rtol=1e-8)
            compared += 1
    assert compared == 36


def plain_mfp(age, linear, y):
    """The rule of mfp 1.5.4 written out for one region, with numpy's lstsq on scaled columns."""
    shift, scale = fp.shift_and_scale(age)
    x = (age + shift) / scale

    def deviance(powers):
        design = mfpr.design(x, linear, powers)
        design = design / np.sqrt((design**2).sum(axis=0))
        beta = np.linalg.lstsq(design, y, rcond=1e-15)[0]
        return float(((y - design @ beta) ** 2).sum())

    singles = [(p,) for p in fp.POWERS]
    pairs = [(fp.POWERS[i], fp.POWERS[j]) for i, j in fp.PAIRS]
    one, two = [deviance(p) for p in singles], [deviance(p) for p in pairs]
    best1, best2, straight = min(one), min(two), one[fp.LINEAR]
    dispersion = straight / (len(y) - linear.shape[1] - 2)
    if chi2.sf((straight - best2) / dispersion, 3) >= 0.05:
        return (1.0,), straight
    if chi2.sf((best1 - best2) / dispersion, 2) >= 0.05:
        return singles[one.index(best1)], best1
    return pairs[two.index(best2)], best2


SHAPES = {
    "none": lambda x: 0 * x,
    "linear": lambda x: -4 * x,
    "FP1": lambda x: 300 * np.log(x + 1),
    "FP2": lambda x: 60 * x - 12 * x * np.sqrt(x),
}


@pytest.mark.parametrize("n", [60, 500, 5_000, pytest.param(60_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("youngest", [0.0, 6.0])
def test_simulated_shapes_agree_with_plain_least_squares(n, youngest):
    rng = np.random.default_rng(n)
    age = np.round(rng.uniform(youngest, 90, n), 1)
    age[0] = youngest
    linear = rng.normal(1.5e6, 1.2e5, (n, 1))
    y = np.column_stack([5000 + 0.002 * linear[:, 0] + shape(age) + rng.normal(0, 40, n) for shape in SHAPES.values()])
    fitted = mfpr.fit_mfpr(age, linear, y)
    for i in range(y.shape[1]):
        powers, deviance = plain_mfp(age, linear, y[:, i])
        assert tuple(p for p in fitted.powers[i] if not np.isnan(p)) == powers
        assert fitted.deviance[i] == pytest.approx(deviance, rel=1e-10)


def test_known_curve_without_noise_is_recovered():
    age = np.linspace(1, 90, 400)
    etiv = np.linspace(1.2e6, 1.8e6, 400)[::-1] ** 1.01
    y = 100 + 0.001 * etiv + 50 * np.log(age / 10) - 3 * (age / 10) ** 2
    fitted = mfpr.fit_mfpr(age, etiv, y + 1e-3 * np.sin(np.arange(400)))
    assert sorted(fitted.powers[0]) == [0.0, 2.0]
    np.testing.assert_allclose(fitted.coefficients[0], [100 + 50 * np.log(10), 0.001, 50, -300], rtol=1e-3)


def test_regions_do_not_influence_each_other(rng_table):
    age, linear, y = rng_table
    together = mfpr.fit_mfpr(age, linear, y)
    alone = mfpr.fit_mfpr(age, linear, y[:, [1]])
    np.testing.assert_allclose(together.coefficients[1], alone.coefficients[0], rtol=1e-9)


def test_blocks_change_nothing(rng_table, monkeypatch):
    whole = mfpr.fit_mfpr(*rng_table)
    monkeypatch.setattr(mfpr, "BLOCK_BYTES", 8 * rng_table[0].size)
    np.testing.assert_allclose(mfpr.fit_mfpr(*rng_table).coefficients, whole.coefficients, rtol=1e-9)


def test_root_is_the_covariance_of_ordinary_least_squares(rng_table):
    age, linear, y = rng_table
    fitted = mfpr.fit_mfpr(age, linear, y)
    for i, width in enumerate(fitted.parameters):
        powers = fitted.powers[i][~np.isnan(fitted.powers[i])]
        x = mfpr.design((age + fitted.shift) / fitted.scale, linear, powers)
        root = fitted.roots[i, :width, :width]
        ours = np.sum((x @ root.T) ** 2, axis=1)
        q = np.linalg.qr(x)[0]
        np.testing.assert_allclose(ours, np.sum(q**2, axis=1), rtol=1e-8)


@pytest.fixture
def rng_table():
    rng = np.random.default_rng(3)
    age = rng.uniform(5, 80, 300)
    linear = rng.normal(1.5e6, 1e5, (300, 1))
    y = np.column_stack([1000 - 8 * age, 900 + 100 * np.log(age), 800 + 40 * np.sqrt(age) - 6 * age])
    return age, linear, y + rng.normal(0, 20, y.shape)


@pytest.mark.parametrize(
    ("age", "message"),
    [
        (np.arange(5.0) + 20, "too few"),
        (np.full(50, 30.0), "distinct ages"),
        (np.append(np.arange(49.0) + 20, np.nan), "missing"),
    ],
)
def test_unusable_data_are_refused_in_words(age, message):
    with pytest.raises(ModelError, match=message):
        mfpr.fit_mfpr(age, np.full((age.size, 1), 1.5e6), np.ones((age.size, 1)))


def test_few_people_and_many_regions_agree_with_plain_least_squares():
    rng = np.random.default_rng(1)
    age, linear = rng.uniform(6, 80, 16), rng.normal(1.5e6, 1e5, (16, 1))
    y = 1000 + 100 * np.outer(np.log(age), rng.uniform(0, 3, 250)) + rng.normal(0, 30, (16, 250))
    fitted = mfpr.fit_mfpr(age, linear, y)
    found = [tuple(p for p in row if not np.isnan(p)) for row in fitted.powers]
    assert found == [plain_mfp(age, linear, y[:, i])[0] for i in range(250)]
    assert len(set(found)) > 3


@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_the_closed_test_asks_for_a_curve_before_it_asks_for_two_terms(alpha):
    """Of regions without any curve, some would have two terms if only the second test were asked."""
    rng = np.random.default_rng(12)
    age, linear = rng.uniform(6, 80, 60), rng.normal(1.5, 0.1, (60, 1))
    y = rng.normal(0, 1, (60, 1500))
    chosen = mfpr.select(age, linear, y, alpha)
    one, two = mfpr.candidate_deviances((age + chosen.shift) / chosen.scale, linear, y)
    best1, best2, straight = one.min(axis=0), two.min(axis=0), one[fp.LINEAR]
    dispersion = straight / (60 - 1 - 2)
    curved = chi2.sf((straight - best2) / dispersion, 3) < alpha
    double = chi2.sf((best1 - best2) / dispersion, 2) < alpha
    assert (double & ~curved).any()
    assert (double & curved).any()
    assert (curved & ~double).any()
    np.testing.assert_array_equal(np.isfinite(chosen.powers[:, 1]), curved & double)
    np.testing.assert_array_equal(chosen.powers[~curved, 0], 1.0)
    np.testing.assert_allclose(
        chosen.deviance, np.where(curved & double, best2, np.where(curved, best1, straight)), rtol=1e-12
    )
    singles = np.asarray(fp.POWERS)[one.argmin(axis=0)]
    np.testing.assert_array_equal(chosen.powers[curved & ~double, 0], singles[curved & ~double])
    both = np.array([[fp.POWERS[i], fp.POWERS[j]] for i, j in fp.PAIRS])[two.argmin(axis=0)]
    np.testing.assert_array_equal(chosen.powers[curved & double], both[curved & double])


def test_a_nearly_exact_fit_has_the_deviance_of_its_residuals():
    age = np.linspace(10, 80, 60)
    etiv = 1.5 + 0.1 * np.sin(np.arange(60.0))
    noise = np.random.default_rng(1).normal(0, 1e-7, 60)
    y = (5 + etiv + age)[:, None] + noise[:, None]
    chosen = mfpr.select(age, etiv[:, None], y)
    x = np.column_stack([np.ones(60), etiv, age])
    exact = np.sum((noise - x @ np.linalg.lstsq(x, noise, rcond=None)[0]) ** 2)
    assert chosen.deviance[0] == pytest.approx(exact, rel=1e-4)
    constant = mfpr.fit_mfpr(age, etiv[:, None], np.zeros((60, 1)))
    assert constant.powers[0, 0] == 1.0
    assert np.isnan(constant.powers[0, 1])
    assert constant.deviance[0] == 0.0


def test_near_ties_are_decided_by_full_least_squares(monkeypatch):
    rng = np.random.default_rng(4)
    age, linear, y = rng.uniform(1, 9, 40), rng.normal(1.5, 0.1, (40, 1)), rng.normal(0, 1, (40, 3))
    x = age / 10
    models = [(i,) for i in range(len(fp.POWERS))]
    exact = np.array([[mfpr._deviance(x, linear, y[:, [j]], [p]) for j in range(3)] for p in fp.POWERS])
    for powers, row in zip(fp.POWERS, exact, strict=True):
        design = mfpr.design(x, linear, [powers])
        residual = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
        np.testing.assert_allclose(row, (residual**2).sum(axis=0))
    tied = np.ones_like(exact)
    np.testing.assert_array_equal(mfpr._first_minimum(tied, x, linear, y, models), exact.argmin(axis=0))
    untied = tied + np.arange(8)[:, None]
    asked = []
    monkeypatch.setattr(mfpr, "_deviance", lambda *given: asked.append(given) or 0.0)
    np.testing.assert_array_equal(mfpr._first_minimum(untied, x, linear, y, models), [0, 0, 0])
    assert asked == []
    mfpr._first_minimum(np.array([[1.0] * 3, [1 + 0.9e-9] * 3, [1 + 2e-9] * 3]), x, linear, y, models)
    assert [given[3] for given in asked] == [[fp.POWERS[0]], [fp.POWERS[1]]] * 3
    asked.clear()
    monkeypatch.setattr(mfpr, "TIE", 0.0)
    assert mfpr._first_minimum(np.ones((2, 3)), x, linear, y, models).tolist() == [0, 0, 0]
    assert len(asked) == 6


@pytest.mark.parametrize(
    ("rows", "columns", "least", "expected"),
    [
        (1000, 10, 1, [(0, 4), (4, 8), (8, 10)]),
        (4000, 3, 1, [(0, 1), (1, 2), (2, 3)]),
        (10**9, 3, 1, [(0, 1), (1, 2), (2, 3)]),
        (4000, 5, 2, [(0, 2), (2, 4), (4, 5)]),
        (0, 3, 1, [(0, 3)]),
        (1000, 0, 1, []),
        (1000, 4, 1, [(0, 4)]),
    ],
)
def test_blocks_hold_as_many_columns_as_fit(monkeypatch, rows, columns, least, expected):
    monkeypatch.setattr(mfpr, "BLOCK_BYTES", 32_000)
    found = list(mfpr.blocks(rows, columns, *([least] if least != 1 else [])))
    assert [(part.start, part.stop) for part in found] == expected


def test_ten_people_of_five_ages_are_enough():
    age = np.repeat([20.0, 30.0, 40.0, 50.0, 60.0], 2)
    linear, y = np.random.default_rng(0).normal(1.5, 0.1, (10, 1)), np.random.default_rng(1).normal(9, 1, (10, 2))
    assert mfpr.fit_mfpr(age, linear, y).n == 10
    with pytest.raises(ModelError, match="9 people are too few"):
        mfpr.fit_mfpr(age[:9], linear[:9], y[:9])
    with pytest.raises(ModelError, match="fewer than 5 distinct ages"):
        mfpr.fit_mfpr(np.where(age == 60, 50, age), linear, y)
    for part in range(3):
        broken = [age.copy(), linear.copy(), y.copy()]
        broken[part].flat[3] = np.inf
        with pytest.raises(ModelError, match="missing or infinite"):
            mfpr.fit_mfpr(*broken)


def test_numbers_of_parameters_and_spread_are_those_of_the_fit(rng_table):
    age, linear, y = rng_table
    fitted = mfpr.fit_mfpr(age, np.column_stack([linear, age**0.3]), y)
    np.testing.assert_array_equal(fitted.parameters, 3 + np.isfinite(fitted.powers).sum(axis=1))
    residual = y - fitted.predict(age, np.column_stack([linear, age**0.3]))
    np.testing.assert_allclose(fitted.rmse, np.sqrt(np.mean(residual**2, axis=0)))
    np.testing.assert_allclose(fitted.deviance, np.sum(residual**2, axis=0))
