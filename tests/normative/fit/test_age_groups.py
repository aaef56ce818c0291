"""Groups of neighbours in age."""

from __future__ import annotations

import numpy as np

from bids_app.normative.fit.age_groups import AgeGroups


def test_groups_hold_everybody_once_and_in_order():
    age = np.random.default_rng(0).uniform(1, 9, 1003)
    values = np.random.default_rng(1).normal(size=(1003, 3))
    groups = AgeGroups(age, 100)
    assert groups.people.sum() == 1003
    assert set(groups.people) <= {10.0, 11.0}
    assert (np.diff(groups.age) > 0).all()
    np.testing.assert_allclose(groups.total(values).sum(axis=0), values.sum(axis=0))
    np.testing.assert_allclose(groups.age[0], np.sort(age)[: int(groups.people[0])].mean())


def test_few_people_are_a_group_each():
    age = np.array([3.0, 1.0, 2.0])
    groups = AgeGroups(age, 100)
    np.testing.assert_array_equal(groups.age, [1, 2, 3])
    np.testing.assert_array_equal(groups.total(age * 10), [10, 20, 30])
