"""Models published without their rows give the parameters that the rows would have given."""

from __future__ import annotations

import numpy as np
import pytest

from bids_app.errors import ModelError
from bids_app.normative.importers.mfp import region_fit
from bids_app.normative.importers.mfp_without_rows import Means, has_rows, summary_fit
from bids_app.normative.importers.rfile import read_r_file
from tests.normative.importers.r_writer import mfp_object, without_rows, write_rds

AGES = (3.0, 90.0)


def read(tmp_path, model):
    return read_r_file(write_rds(tmp_path / "m.rds", model))[""]


@pytest.mark.parametrize("etiv_used", [True, False])
def test_equal_to_the_fit_on_the_rows(tmp_path, etiv_used):
    whole = mfp_object(np.random.default_rng(2), etiv_used=etiv_used)
    expected, _ = region_fit(read(tmp_path, whole), "whole")
    bare = read(tmp_path, without_rows(whole))
    assert not has_rows(bare)
    found, uses = summary_fit(bare, "bare", AGES, Means())
    assert uses == etiv_used
    np.testing.assert_allclose(found.coefficients, expected.coefficients, rtol=1e-6)
    assert found.rmse == pytest.approx(expected.rmse, rel=1e-9)
    assert (found.n, found.powers, found.age_range) == (expected.n, expected.powers, AGES)


def test_the_precision_of_the_mean_is_that_of_least_squares(tmp_path):
    model = mfp_object(np.random.default_rng(2), etiv_used=False)
    found, _ = summary_fit(read(tmp_path, without_rows(model)), "bare", AGES, Means())
    root = np.zeros((4, 4))
    root[np.tril_indices(4)] = found.root
    inner = without_rows(model).fields["fit"]
    at = np.array([1.0, 4.0**0.5, 4.0**3])
    triangle, n = inner["R"].values, inner["df.null"] + 1
    expected = inner["deviance"] / (n - 3) * at @ np.linalg.inv(triangle.T @ triangle) @ at
    assert np.sum((root @ np.insert(at, 1, 1.5e6)) ** 2) == pytest.approx(expected, rel=1e-5)


def test_centred_models_need_both_means_and_are_then_the_same(tmp_path):
    whole = mfp_object(np.random.default_rng(4))
    expected, _ = region_fit(read(tmp_path, whole), "whole")
    bare = read(tmp_path, without_rows(whole, centred=True))
    with pytest.raises(ModelError, match="mean-centred volumes"):
        summary_fit(bare, "bare", AGES, Means())
    volume = float(whole.fields["y"].mean())
    with pytest.raises(ModelError, match="mean-centred intracranial"):
        summary_fit(bare, "bare", AGES, Means(volume))
    found, _ = summary_fit(bare, "bare", AGES, Means(volume, float(whole.fields["X"].values[:, 1].mean())))
    np.testing.assert_allclose(found.coefficients, expected.coefficients, rtol=1e-6)


def test_lost_parts_are_named(tmp_path):
    model = without_rows(mfp_object(np.random.default_rng(2)))
    del model.fields["fit"]["R"]
    with pytest.raises(ModelError, match="lacks R"):
        summary_fit(read(tmp_path, model), "bare", AGES, Means())
