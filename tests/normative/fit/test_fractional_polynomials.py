"""Fractional polynomials."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_app.normative.fit import fractional_polynomials as fp

X = np.array([0.5, 1.0, 2.0, 7.5])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([6.0, 90.0], (0.0, 100.0)),  # log10(48) = 1.68 rounds to 2
        ([10.0, 30.0], (0.0, 10.0)),
        ([0.0, 1.0, 80.0], (1.0, 10.0)),
        ([-2.0, 0.5, 40.0], (4.5, 10.0)),
        ([0.0, 0.25, 9.0], (0.3, 10.0)),
        ([0.01, 0.02, 0.03], (0.0, 0.01)),
        ([3.1622776601683795, 3.1622776601683795], (0.0, 1.0)),  # exactly half: to even
    ],
)
def test_shift_and_scale_follow_mfp(values, expected):
    assert fp.shift_and_scale(np.array(values)) == pytest.approx(expected)


def test_power_zero_is_the_logarithm():
    np.testing.assert_array_equal(fp.power(X, 0), np.log(X))


@pytest.mark.parametrize("power", fp.POWERS)
def test_a_repeated_power_gets_a_logarithm(power):
    columns = fp.basis(X, (power, power))
    np.testing.assert_allclose(columns[:, 1], columns[:, 0] * np.log(X))


def test_a_power_repeated_twice_gets_the_squared_logarithm():
    columns = fp.basis(X, (0.5, 2.0, 2.0))
    np.testing.assert_allclose(columns, np.column_stack([np.sqrt(X), X**2, X**2 * np.log(X)]))
    np.testing.assert_allclose(fp.basis(X, (0.0, 0.0, 0.0))[:, 2], np.log(X) ** 3)
    np.testing.assert_allclose(fp.basis(X, (-1.0, -1.0, -1.0))[:, 2], np.log(X) ** 2 / X)


def test_unused_powers_are_skipped():
    assert fp.basis(X, (np.nan, np.nan)).shape == (4, 0)
    assert fp.basis(X, (2.0, np.nan)).shape == (4, 1)


@pytest.mark.parametrize("pair", fp.PAIRS)
def test_candidates_hold_the_columns_of_every_pair(pair):
    columns = fp.candidates(X)[:, fp.candidate_columns(pair)]
    np.testing.assert_allclose(columns, fp.basis(X, [fp.POWERS[i] for i in pair]))


def test_there_are_36_pairs_in_the_order_of_mfp():
    assert len(fp.PAIRS) == 36
    assert fp.PAIRS[:3] == ((0, 0), (0, 1), (0, 2))


def test_groups_put_regions_with_the_same_powers_together():
    powers = np.array([[1, np.nan], [0, 0.5], [1, np.nan]])
    found = {tuple(key): list(members) for key, members in fp.groups(powers)}
    assert found == {(1.0,): [0, 2], (0.0, 0.5): [1]}


@given(st.lists(st.integers(-500, 10_000), min_size=2, max_size=30, unique=True))
def test_scaled_values_are_positive(hundredths):
    x = np.array(hundredths) / 100
    shift, scale = fp.shift_and_scale(x)
    assert ((x + shift) / scale > 0).all()


def test_only_ages_that_are_not_positive_are_shifted():
    for smallest, shift in ((0.5, 0.0), (1.0, 0.0), (0.0, 1.0), (-0.3, 1.3)):
        x = np.array([smallest, smallest + 1.0, 40.0, 50.0])
        assert fp.shift_and_scale(x)[0] == pytest.approx(shift)
