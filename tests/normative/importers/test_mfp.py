"""What R's ``mfp`` saved of one model, and what cannot be taken from it."""

from __future__ import annotations

import contextlib
import gzip

import numpy as np
import pytest

from bids_app.errors import ModelError
from bids_app.normative.importers import mfp
from bids_app.normative.importers.mfp import TrainingSummary, region_fit
from bids_app.normative.importers.rfile import read_r_file
from tests.normative.importers.r_writer import HEADER, Attributed, Matrix, dump, mfp_object, write_rds


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


def reordered(tmp_path, names, rows, coefficients, **fields):
    """The object of `read` with its terms in another order: rows of powers and scale, and places of coefficients."""
    model = mfp_object(np.random.default_rng(2))
    old = model.fields
    for name, columns in (("powers", ["power1", "power2"]), ("scale", ["shift", "scale"])):
        old[name] = Matrix(np.asarray(old[name].values, dtype=float)[rows], names, columns)
    old["fit"] = {"coefficients": old["coefficients"][coefficients]}
    old["var"] = Matrix(old["var"].values[np.ix_(coefficients, coefficients)], list("abcd"), list("abcd"))
    old.update(fields)
    return read_r_file(write_rds(tmp_path / "m.rds", model))[""]


def test_the_order_of_terms_in_r_does_not_matter(tmp_path):
    expected = region_fit(read(tmp_path), "m")
    other = reordered(tmp_path, ["age", "ICV"], [1, 0], [0, 2, 3, 1])
    assert region_fit(other, "m") == expected


def test_the_covariance_is_that_of_r(tmp_path):
    model = mfp_object(np.random.default_rng(2))
    root = np.zeros((4, 4))
    root[np.tril_indices(4)] = region_fit(read(tmp_path), "m")[0].root
    np.testing.assert_allclose(root.T @ root, model.fields["var"].values, rtol=1e-5)


def test_shift_and_offset_are_applied_and_ranges_rounded_outward(tmp_path):
    plain, summary = region_fit(read(tmp_path), "m")
    fields = mfp_object(np.random.default_rng(2)).fields
    rows = fields["X"].values.copy()
    rows[:, 2] -= 3.0
    scale = Matrix([[0, 1], [3, 10]], ["ICV", "age"], ["shift", "scale"])
    moved = read(tmp_path, extra={"scale": scale, "X": Matrix(rows, ["r"] * 60, ["(Intercept)", "ICV", "age"])})
    fit, same = region_fit(moved, "m", offset=500.0)
    assert same == summary
    assert summary == TrainingSummary(fields["y"].mean(), fields["y"].std(), True)
    assert (fit.shift, fit.scale, fit.n, fit.rmse) == (3.0, 10.0, 60, plain.rmse)
    assert fit.coefficients == (plain.coefficients[0] + 500.0, *plain.coefficients[1:])
    age, etiv, y = rows[:, 2], rows[:, 1], fields["y"] + 500
    low, high = np.quantile(y, (0.005, 0.995))
    assert fit.age_range == (round(np.floor(age.min() * 10) / 10, 1), round(np.ceil(age.max() * 10) / 10, 1))
    assert fit.etiv_range == (np.floor(etiv.min() / 1000) * 1000, np.ceil(etiv.max() / 1000) * 1000)
    assert fit.volume_range == (np.floor(low / 10) * 10, np.ceil(high / 10) * 10)
    assert fit.rmse == pytest.approx(np.sqrt(np.mean(fields["residuals"] ** 2)))


def flat_model(tmp_path, fitted, value=5.0, y=None, names=("ICV",), columns=("(Intercept)", "ICV", "age")):
    """A model of a mean only."""
    n = len(fitted)
    extra = {
        "powers": Matrix([[np.nan, np.nan]] * len(names), list(names), ["power1", "power2"]),
        "scale": Matrix([[0.0, 1.0]] * len(names), list(names), ["shift", "scale"]),
        "fit": {"coefficients": np.array([value])},
        "coefficients": np.array([value]),
        "fitted.values": np.array(fitted),
        "y": np.arange(float(n)) if y is None else y,
        "X": Matrix(
            np.column_stack([np.ones(n), np.full(n, 1.5e6), np.arange(20.0, 20 + n)]), ["r"] * n, list(columns)
        ),
    }
    return read(tmp_path, extra=extra)


def test_a_model_of_the_mean_only_has_no_terms(tmp_path):
    fit, summary = region_fit(flat_model(tmp_path, [5.0, 5.0, 5.0]), "m")
    assert (fit.coefficients, fit.powers, fit.shift, fit.scale) == ((5.0, 0.0), (), 0.0, 1.0)
    assert (fit.etiv_range, fit.root, summary.etiv_used) == ((0.0, 1e7), None, False)
    alone = flat_model(tmp_path, [5.0, 5.0, 5.0], columns=("(Intercept)", "eulers", "age"))
    assert region_fit(alone, "m")[0].coefficients == (5.0, 0.0)


@pytest.mark.parametrize(
    ("value", "off", "agreement", "refused"),
    [
        (0.5, 1.5e-8, 1e-8, True),
        (0.5, 0.5e-8, 1e-8, False),
        (100.0, 0.9e-6, 1e-8, False),
        (100.0, 1.1e-6, 1e-8, True),
        (-100.0, 0.9e-6, 1e-8, False),
        (5.0, 0.0, 0.0, False),
    ],
)
def test_fitted_values_agree_to_a_hundred_millionth(tmp_path, monkeypatch, value, off, agreement, refused):
    monkeypatch.setattr(mfp, "AGREEMENT", agreement)
    model = flat_model(tmp_path, [value, value - off, value], value)
    with pytest.raises(ModelError, match="do not reproduce") if refused else contextlib.nullcontext():
        region_fit(model, "m")


def test_each_lost_part_of_the_rows_is_noticed(tmp_path):
    for model, reason in (
        (flat_model(tmp_path, [5.0, 5.0, 5.0], columns=("(Intercept)", "ICV", "height")), "training rows"),
        (flat_model(tmp_path, [5.0, 5.0, 5.0], columns=("(Intercept)", "Age", "age")), "training rows"),
        (flat_model(tmp_path, [5.0, 5.0, 5.0], y=np.arange(4.0)), "training rows"),
        (flat_model(tmp_path, []), "training rows"),
        (flat_model(tmp_path, [5.0, 5.0, 5.0], np.nan), "1 coefficients do not fit its 0 terms"),
        (read(tmp_path, extra={"fit": {"coefficients": np.ones(3)}}), "3 coefficients do not fit its 3 terms"),
        (read(tmp_path, extra={"fitted.values": np.ones(1)}), "do not reproduce"),
    ):
        with pytest.raises(ModelError, match=reason):
            region_fit(model, "m")


def test_another_class_is_refused(tmp_path):
    model = mfp_object(np.random.default_rng(2))
    model.name = "glm"
    with pytest.raises(ModelError, match="not a model of R's mfp package"):
        region_fit(read_r_file(write_rds(tmp_path / "m.rds", model))[""], "m")


@pytest.mark.parametrize(
    ("powers", "scale", "reason"),
    [
        ([2.0, np.nan], [0.0, 1.0], "needs the covariate ICV"),
        ([1.0, np.nan], [1.0, 1.0], "needs the covariate ICV"),
        ([1.0, np.nan], [0.0, 10.0], "needs the covariate ICV"),
    ],
)
def test_intracranial_volume_is_linear_and_unscaled(tmp_path, powers, scale, reason):
    extra = {
        "powers": Matrix([powers, [0.5, 3.0]], ["ICV", "age"], ["power1", "power2"]),
        "scale": Matrix([scale, [0.0, 10.0]], ["ICV", "age"], ["shift", "scale"]),
    }
    with pytest.raises(ModelError, match=reason):
        region_fit(read(tmp_path, extra=extra), "m")


def test_a_covariance_that_is_not_positive_gives_no_standard_error(tmp_path):
    var = Matrix(np.ones((4, 4)) - 2 * np.eye(4) + 4 * np.diag([1, 1, 1, 0]), list("abcd"), list("abcd"))
    singular = Matrix(np.ones((4, 4)), list("abcd"), list("abcd"))
    assert region_fit(read(tmp_path, extra={"var": singular}), "m")[0].root is None
    with np.errstate(invalid="ignore"):
        assert region_fit(read(tmp_path, extra={"var": var}), "m")[0].root is None


@pytest.mark.parametrize(
    ("value", "attributes"),
    [
        (np.ones(4), {}),
        (np.ones(4), {"dim": np.array([2.0, 2.0])}),
        (np.ones(4), {"dim": np.array([3.0, 2.0]), "dimnames": [["a", "b", "c"], ["d", "e"]]}),
        (np.ones(4), {"dim": np.array([2.0, 2.0]), "dimnames": [["a"], ["d", "e"]]}),
        (np.ones(4), {"dim": np.array([2.0, 2.0, 1.0]), "dimnames": [["a", "b"], ["d", "e"], ["f"]]}),
        (np.ones(4), {"dim": np.array([4.0]), "dimnames": [["a", "b", "c", "d"]]}),
    ],
)
def test_a_matrix_needs_two_dimensions_and_all_names(tmp_path, value, attributes):
    path = tmp_path / "m.rds"
    path.write_bytes(gzip.compress(HEADER + dump({"x": Attributed(value, attributes)})))
    with pytest.raises(ModelError, match="x is not a matrix with names"):
        mfp.matrix(read_r_file(path)[""], "x", "m")


def test_a_matrix_is_read_by_columns_with_the_names_asked_for(tmp_path):
    model = read_r_file(write_rds(tmp_path / "m.rds", {"x": Matrix([[1, 2, 3], [4, 5, 6]], ["a", "b"], list("cde"))}))[
        ""
    ]
    values, rows = mfp.matrix(model, "x", "m")
    np.testing.assert_array_equal(values, [[1, 2, 3], [4, 5, 6]])
    assert (rows, mfp.matrix(model, "x", "m", columns=True)[1]) == (["a", "b"], ["c", "d", "e"])
