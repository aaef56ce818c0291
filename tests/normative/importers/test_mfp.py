"""What R's ``mfp`` saved of one model, and what cannot be taken from it."""

from __future__ import annotations

import numpy as np
import pytest

from bids_app.errors import ModelError
from bids_app.normative.importers.mfp import region_fit
from bids_app.normative.importers.rfile import read_r_file
from tests.normative.importers.r_writer import Matrix, mfp_object, write_rds


def read(tmp_path, **options):
    return read_r_file(write_rds(tmp_path / "m.rds", mfp_object(np.random.default_rng(2), **options)))[""]


@pytest.mark.parametrize("wrong", [[0.4, 3.0], [0.5, 2.5], [4.0, np.nan]])
def test_powers_that_are_no_fractional_polynomial_are_refused(tmp_path, wrong):
    powers = Matrix(np.array([[1.0, np.nan], wrong]), ["ICV", "age"], ["power1", "power2"])
    with pytest.raises(ModelError, match="not a fractional polynomial"):
        region_fit(read(tmp_path, extra={"powers": powers}), "m")


def test_three_powers_are_refused(tmp_path):
    table = np.array([[1.0, np.nan, np.nan], [0.5, 1.0, 3.0]])
    powers = Matrix(table, ["ICV", "age"], ["power1", "power2", "power3"])
    with pytest.raises(ModelError, match="degree 1 or 2"):
        region_fit(read(tmp_path, extra={"powers": powers}), "m")


@pytest.mark.parametrize("var", [Matrix(np.eye(3), list("abc"), list("abc")), None, ["text"]])
def test_without_a_usable_covariance_there_is_no_standard_error(tmp_path, var):
    assert region_fit(read(tmp_path), "m")[0].root is not None
    assert region_fit(read(tmp_path, extra={"var": var}), "m")[0].root is None
