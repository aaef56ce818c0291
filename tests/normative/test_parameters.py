"""The root that a model keeps of a covariance is one of many: the one whose signs no rounding error decides."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_app.normative.parameters import flat, lower_root


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(0, 4))
def test_the_root_has_the_products_of_the_columns(seed, width, more):
    columns = np.random.default_rng(seed).normal(size=(width + more, width))
    root = lower_root(columns)
    np.testing.assert_allclose(root.T @ root, columns.T @ columns, rtol=1e-9, atol=1e-9)
    assert np.array_equal(root, np.tril(root))
    assert (np.diag(root) > 0).all()


@pytest.mark.parametrize("flipped", range(8))
def test_signs_of_what_it_is_made_of_do_not_matter(flipped):
    columns = np.random.default_rng(3).normal(size=(3, 3))
    signs = np.array([-1.0 if flipped >> row & 1 else 1.0 for row in range(3)])
    np.testing.assert_allclose(lower_root(signs[:, None] * columns), lower_root(columns), rtol=1e-12, atol=1e-14)


def test_a_column_of_zeros_has_a_root_without_negative_zeros():
    root = lower_root(np.array([[-2.0, 0.0], [0.0, 0.0], [0.0, 0.0]]))
    assert root.tolist() == [[0.0, 0.0], [2.0, 0.0]]
    assert not np.signbit(root).any()


def test_rows_of_the_triangle_follow_each_other():
    assert flat(np.array([[1.0, 9.0], [2.123456789, 3.0]]), 2) == (1.0, 2.1234568, 3.0)
