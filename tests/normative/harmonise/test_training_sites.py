"""Harmonisation as a step of training."""

from __future__ import annotations

import numpy as np
import pytest

from bids_app.normative.harmonise.combat import Combat
from bids_app.normative.harmonise.training_sites import Harmoniser
from bids_app.normative.training_data import prepare
from tests.normative.simulated import THALAMUS, VENTRICLE, people, thalamus_mean, thalamus_sd


def data_of(table):
    return prepare(table, (THALAMUS, VENTRICLE), logarithms=True, min_per_site=1, min_per_sex=1)


@pytest.fixture(scope="module")
def scanners():
    """Two scanners; the second adds one SD and doubles the spread of the thalamus."""
    table = people(1600, seed=2)
    second = np.arange(1600) % 2 == 1
    deviation = table[THALAMUS] - thalamus_mean(table)
    table[THALAMUS] += np.where(second, thalamus_sd(table) + deviation, 0.0)
    return data_of(table.assign(site=np.where(second, "b", "a"))), second


def residual(data, values):
    return (values[:, 0] - thalamus_mean(data.table)) / thalamus_sd(data.table)


@pytest.mark.parametrize(("kind", "shift", "ratio"), [("none", 1.2, 2.0), ("location", 0.0, 2.0), ("full", 0.0, 1.0)])
def test_what_is_removed(scanners, kind, shift, ratio):
    data, second = scanners
    etiv, values = Harmoniser(kind).fit(data).transform(data)
    u = residual(data, values)
    assert u[second].mean() - u[~second].mean() == pytest.approx(shift, abs=0.2)
    assert u[second].std() / u[~second].std() == pytest.approx(ratio, abs=0.12)
    np.testing.assert_array_equal(etiv, data.etiv)


def test_mean_only_harmonises_etiv_too(scanners):
    data, _ = scanners
    etiv, values = Harmoniser("mean_only").fit(data).transform(data)
    assert np.abs(etiv - data.etiv).max() > 0
    assert values.shape == (1600, 2)


def test_new_people_at_a_known_site_are_harmonised_and_others_left_as_they_are(scanners):
    data, _ = scanners
    harmoniser = Harmoniser("location").fit(data)
    new = data.subset(np.arange(1600) < 40)
    moved = new.table.assign(site=["b" if i % 2 else "unknown" for i in range(40)])
    _, values = harmoniser.transform(data_of(moved))
    changed = values[:, 0] != new.modelled()[:, 0]
    np.testing.assert_array_equal(changed, np.arange(40) % 2 == 1)


def test_one_site_is_left_as_it_is():
    data = data_of(people(100))
    _, values = Harmoniser("full").fit(data).transform(data)
    np.testing.assert_array_equal(values, data.modelled())


def test_a_site_of_one_person_does_not_stop_the_others(scanners):
    data, _ = scanners
    table = data.table.copy()
    table.loc[0, "site"] = "alone"
    single = data_of(table)
    _, values = Harmoniser("full").fit(single).transform(single)
    assert values[0, 0] == single.modelled()[0, 0]
    assert values[1, 0] != single.modelled()[1, 0]


@pytest.mark.parametrize("kind", ["full", "location"])
def test_scale_is_removed_by_full_harmonisation_only_and_the_curve_of_age_is_kept(scanners, kind):
    data, _ = scanners
    harmoniser = Harmoniser(kind).fit(data)
    kept = harmoniser._preserved(data)
    age, male, etiv = data.age, (data.sex == "male").astype(float), data.etiv / 1e6
    curve = [age, np.log(age + 1), age**2]
    np.testing.assert_allclose(kept, np.column_stack([male, etiv, *curve, *(column * male for column in curve)]))
    assert (harmoniser._combat.delta_star_ == 1).all() == (kind == "location")
    assert harmoniser._combat.mean_only is False
    np.testing.assert_array_equal(harmoniser._features(data), data.modelled())


def test_mean_only_keeps_age_and_sex_and_takes_in_etiv(scanners):
    data, _ = scanners
    harmoniser = Harmoniser("mean_only").fit(data)
    np.testing.assert_array_equal(harmoniser._preserved(data), np.column_stack([data.age, data.sex == "male"]))
    np.testing.assert_array_equal(harmoniser._features(data), np.column_stack([data.etiv, data.modelled()]))
    assert harmoniser._combat.mean_only is True
    before = data.etiv.copy()
    etiv, values = harmoniser.transform(data)
    np.testing.assert_array_equal(data.etiv, before)
    whole = Combat(mean_only=True).fit_transform(harmoniser._features(data), data.site, harmoniser._preserved(data))
    np.testing.assert_allclose(np.column_stack([etiv, values]), whole)


@pytest.mark.parametrize(("kind", "moved"), [("full", False), ("mean_only", True)])
def test_a_person_alone_at_a_site_is_harmonised_in_the_mean_only(scanners, kind, moved):
    data, _ = scanners
    table = data.table.copy()
    table.loc[0, "site"] = "alone"
    single = data_of(table)
    _, values = Harmoniser(kind).fit(single).transform(single)
    assert (values[0, 0] != single.modelled()[0, 0]) == moved
    table["site"] = ["alone", *["a"] * (len(table) - 1)]
    pair = data_of(table)
    _, values = Harmoniser(kind).fit(pair).transform(pair)
    assert (values[1, 0] != pair.modelled()[1, 0]) == moved
