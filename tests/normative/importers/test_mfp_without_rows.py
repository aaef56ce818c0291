"""Models published without their rows give the parameters that the rows would have given."""

from __future__ import annotations

import numpy as np
import pytest

from bids_app.errors import ModelError
from bids_app.normative.importers import mfp_without_rows
from bids_app.normative.importers.mfp import region_fit
from bids_app.normative.importers.mfp_without_rows import Means, has_rows, summary_fit
from bids_app.normative.importers.rfile import read_r_file
from tests.normative.importers.r_writer import Matrix, mfp_object, without_rows, write_rds

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


def bare(tmp_path, centred=False, etiv_used=True, fields=(), **inner):
    """A model without rows of which parts of the inner fit, or other fields, are something else."""
    model = without_rows(mfp_object(np.random.default_rng(2), etiv_used=etiv_used), centred)
    model.fields.update(fields)
    model.fields["fit"].update(inner)
    return model, read(tmp_path, model)


@pytest.mark.parametrize("centred", [False, True])
def test_ranges_are_those_of_the_rows(tmp_path, centred):
    whole = mfp_object(np.random.default_rng(2)).fields
    y, etiv = whole["y"], whole["X"].values[:, 1]
    means = Means(y.mean(), etiv.mean()) if centred else Means()
    fit, _ = summary_fit(bare(tmp_path, centred)[1], "bare", AGES, means)
    low, high = y.mean() - 2.576 * y.std(), y.mean() + 2.576 * y.std()
    assert fit.volume_range == (np.floor(low / 10) * 10, np.ceil(high / 10) * 10)
    low, high = etiv.mean() - 3 * etiv.std(), etiv.mean() + 3 * etiv.std()
    assert fit.etiv_range == (np.floor(low / 1000) * 1000, np.ceil(high / 1000) * 1000)
    assert fit.root is None
    assert (fit.shift, fit.scale) == (0.0, 10.0)


def test_without_intracranial_volume_any_is_in_range(tmp_path):
    fit, used = summary_fit(bare(tmp_path, etiv_used=False)[1], "bare", AGES, Means())
    assert (fit.etiv_range, fit.coefficients[1], used) == ((0.0, 1e7), 0.0, False)


def test_residuals_give_the_rmse_where_they_are_kept(tmp_path):
    model, _ = bare(tmp_path)
    deviance = model.fields["fit"]["deviance"]
    fit, _ = summary_fit(read(tmp_path, model), "bare", AGES, Means())
    assert fit.rmse == pytest.approx(np.sqrt(deviance / 60))
    fit, _ = summary_fit(bare(tmp_path, fields={"residuals": np.array([300.0, -400.0])})[1], "bare", AGES, Means())
    assert fit.rmse == pytest.approx(np.sqrt((300**2 + 400**2) / 2))


def other_triangle(tmp_path, change=lambda r: r, labels=None):
    model, _ = bare(tmp_path)
    old = model.fields["fit"]["R"]
    return Matrix(change(old.values.copy()), old.rows, labels or old.columns)


def with_zero(at):
    def change(triangle):
        triangle[at, at] = 0.0
        return triangle

    return change


def test_each_part_that_does_not_fit_is_refused(tmp_path):
    three = other_triangle(tmp_path, lambda r: r[:3, :3])
    cut = Matrix(three.values, three.rows[:3], three.columns[:3])
    wide = other_triangle(tmp_path, lambda r: r[:3])
    values = bare(tmp_path)[0].fields["fit"]["coefficients"].values
    others = ["(Intercept)", "other", "I((age/10)^0.5)", "I((age/10)^3)"]
    both = ["(Intercept)", "ICV", "ICV", "I((age/10)^3)"]
    for inner, reason in (
        ({"coefficients": values[:3], "R": cut}, "3 coefficients do not fit its 3 terms"),
        ({"R": cut}, "4 coefficients do not fit its 3 terms"),
        ({"R": Matrix(wide.values, wide.rows[:3], wide.columns)}, "4 coefficients do not fit its 3 terms"),
        ({"R": other_triangle(tmp_path, with_zero(0))}, "do not fit its 3 terms"),
        ({"R": other_triangle(tmp_path, with_zero(3))}, "do not fit its 3 terms"),
        ({"R": other_triangle(tmp_path, labels=others)}, "are not those of its powers"),
        ({"R": other_triangle(tmp_path, labels=both)}, "are not those of its powers"),
        ({"df.null": 3.0}, "are not those of its powers"),
        ({"coefficients": np.array([*values[:3], np.inf])}, "are not those of its powers"),
        ({"deviance": np.inf}, "are not those of its powers"),
    ):
        with pytest.raises(ModelError, match=reason):
            summary_fit(bare(tmp_path, **inner)[1], "bare", AGES, Means())


def test_one_more_person_than_coefficients_is_enough_and_names_of_rows_do_not_matter(tmp_path):
    triangle = other_triangle(tmp_path)
    nameless = Matrix(triangle.values / triangle.values[0, 0], list("abcd"), triangle.columns)
    fit, used = summary_fit(bare(tmp_path, **{"df.null": 4.0, "R": nameless})[1], "bare", AGES, Means())
    assert (fit.n, used) == (5, True)


@pytest.mark.parametrize(("mean", "given", "expected"), [(4.0, 7.0, 0.0), (-4.0, 7.0, 0.0), (3.9, 7.0, 7.0)])
def test_a_mean_below_a_hundredth_of_the_rmse_says_that_volumes_were_centred(mean, given, expected):
    assert mfp_without_rows._volume_mean("m", mean, 400.0, Means(volume=given)) == expected
    assert mfp_without_rows._etiv_mean("m", mean, 4000.0, Means(etiv=given)) == expected
    if expected:
        with pytest.raises(ModelError, match="mean-centred volumes"):
            mfp_without_rows._volume_mean("m", mean, 400.0, Means(etiv=1.0))
        with pytest.raises(ModelError, match="mean-centred intracranial"):
            mfp_without_rows._etiv_mean("m", mean, 4000.0, Means(volume=1.0))


def test_rows_or_the_lack_of_an_inner_fit_decide_how_a_model_is_read(tmp_path):
    model, found = bare(tmp_path)
    assert not has_rows(found)
    del model.fields["fit"]
    assert has_rows(read(tmp_path, model))
    with pytest.raises(ModelError, match="lacks fit"):
        summary_fit(read(tmp_path, model), "bare", AGES, Means())
    assert has_rows(read(tmp_path, mfp_object(np.random.default_rng(2))))
