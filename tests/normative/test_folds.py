"""Cross-validation splits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_app.errors import UsageError
from bids_app.normative.folds import leave_one_site_out, site_folds, stratified_folds


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("fm")), min_size=10, max_size=80))
def test_folds_are_balanced_in_every_stratum_and_overall(people):
    sites, sexes = np.array(people).T
    folds = stratified_folds(sites, sexes, n_folds=5)
    for mask in [np.ones(len(sites), bool)] + [(sites == s) & (sexes == x) for s in "abc" for x in "fm"]:
        counts = np.bincount(folds[mask], minlength=5)
        assert counts.max() - counts.min() <= 1


def test_the_seed_decides_the_folds():
    sites = np.repeat(["a", "b"], 50)
    assert (stratified_folds(sites, seed=3) == stratified_folds(sites, seed=3)).all()
    assert (stratified_folds(sites, seed=3) != stratified_folds(sites, seed=4)).any()


def test_too_few_people_are_refused():
    with pytest.raises(UsageError, match="3 people in 5 folds"):
        stratified_folds(["a", "b", "c"])


def test_sites_are_left_out_in_order_and_small_ones_skipped():
    sites = ["b", "a", "b", "c", "b"]
    left = dict(leave_one_site_out(sites, min_people=2))
    assert list(left) == ["b"]
    assert left["b"].tolist() == [True, False, True, False, True]
    assert site_folds(sites).tolist() == [1, 0, 1, 2, 1]
