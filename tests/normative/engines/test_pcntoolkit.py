"""What is handed to PCNtoolkit for scoring and made of its answers, with a toolkit of plain formulas in its place."""

from __future__ import annotations

import contextlib
import os
import sys
import types
import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtr
from xarray import DataArray

from bids_app.errors import CovariateError, ModelError
from bids_app.normative.base import Deviations
from bids_app.normative.card import ModelCard
from bids_app.normative.engines import pcntoolkit as engine
from bids_app.normative.engines import pcntoolkit_runtime as runtime
from bids_app.normative.engines.pcntoolkit import PCNtoolkitModel
from bids_app.regions import ETIV

CARD = ModelCard(name="pcn", version="1", title="t", summary="s", licence="CC0-1.0", date="2026-01-01")
THALAMUS, INSULA = "Left-Thalamus", "lh_insula_volume"
SITES = {"a": 0, "b": 1, "c": 2}
SHIFT = np.array([0.0, 0.4, -0.7])


class Scaler:
    def __init__(self, centre, scale):
        self.centre, self.scale = centre, scale

    def transform(self, values):
        return (values - self.centre) / self.scale

    def inverse_transform(self, values):
        return values * self.scale + self.centre


class Fitted:
    """``y = slope * age + shift of the site + 0.5 z`` in scaled units."""

    def __init__(self, slope):
        self.slope = slope

    def mean(self, x, effects):
        return self.slope * x.to_numpy()[:, 0] + SHIFT[effects.to_numpy()[:, 1]] + 0.1 * effects.to_numpy()[:, 0]

    def forward(self, x, effects, y):
        return (y - self.mean(x, effects)) / 0.5

    def backward(self, x, effects, z):
        return z * 0.5 + self.mean(x, effects)


class BLR(Fitted):
    """With the parts that a standard error is made of: variance 1, noise 0.64 and 1.5."""

    hyp = "hyp"

    def ys_s2(self, x, effects):
        assert (x.shape, effects.shape) == ((len(x), 1), (len(x), 2))
        return None, np.ones(len(x))

    def Phi_Phi_var(self, x, effects):
        return ("phi", x.shape), ("variance", effects.shape)

    def parse_hyps(self, hyp, phi, variance):
        assert (hyp, phi[0], variance[0]) == ("hyp", "phi", "variance")
        return None, 1 / np.where(np.arange(phi[1][0]) % 2, 1.5, 0.64)


class Toolkit:
    response_vars = (INSULA, "Left-Thalamus-Proper")
    covariates = ("decades",)
    y_transform = None

    def __init__(self, **changed):
        self.covariate_ranges = {"decades": {"min": 2.0, "max": 8.0}}
        self.batch_effects_maps = {"sex": {"F": 0, "M": 1}, "site": SITES}
        self.batch_effect_counts = {"site": {"a": 5, "b": 9, "c": 5}}
        self.inscalers = {"decades": Scaler(5.0, 2.0)}
        self.outscalers = {INSULA: Scaler(8.8, 0.1), "Left-Thalamus-Proper": Scaler(7000.0, 500.0)}
        vars(self).update(changed)
        self.fitted = {INSULA: Fitted(-0.3), "Left-Thalamus-Proper": BLR(0.2)}

    def __getitem__(self, name):
        return self.fitted[name]

    def extract_data(self, data):
        table, options = data
        assert options == {"covariates": ["decades"], "batch_effects": ["sex", "site"], "response_vars": ["_none"]}
        assert (table["_none"] == 0).all()
        codes = [[self.batch_effects_maps[name][label] for label in table[name]] for name in ("sex", "site")]
        return DataArray(np.full((len(table), 1), np.nan)), DataArray(np.array(codes).T), None, None, None


@pytest.fixture(autouse=True)
def package(monkeypatch):
    made = SimpleNamespace(from_dataframe=lambda name, table, **options: (table, options))
    monkeypatch.setattr(engine, "quiet", contextlib.nullcontext)
    monkeypatch.setattr(engine, "pcntoolkit", lambda: SimpleNamespace(NormData=made))


def model(**changed):
    given = {
        "columns": {"decades": "age", "sex": "sex", "site": "site"},
        "sex_levels": {"F": "female", "M": "male"},
        "scale": {"decades": 10.0},
    }
    toolkit = changed.pop("toolkit", Toolkit())
    return PCNtoolkitModel(CARD, toolkit, **{**given, **changed})


def people():
    return pd.DataFrame(
        {
            "age": [20.0, 50.0, 80.0, 30.0],
            "sex": ["female", "male", "male", "female"],
            "site": ["a", "b", "c", "a"],
            "fs_version": ["6.0", "6.0", "7.4", "7.4"],
            THALAMUS: [7000.0, 7600.0, 6100.0, 7200.0],
            INSULA: [9000.0, 8800.0, 8500.0, 8700.0],
        }
    )


def thalamus(data, sites):
    """z and expectation by hand."""
    age, male = (data["age"] / 10 - 5) / 2, (data["sex"] == "male") * 1.0
    mean = 0.2 * age + SHIFT[[SITES[site] for site in sites]] + 0.1 * male
    return ((data[THALAMUS] - 7000) / 500 - mean) / 0.5, 7000 + 500 * mean


def test_z_and_expectation_are_those_of_the_scaled_values():
    data = people()
    found = model().deviations(data)
    assert isinstance(found, Deviations)
    assert found.regions == (THALAMUS, INSULA)
    z, expected = thalamus(data, data["site"])
    np.testing.assert_allclose(found.z[:, 0], z)
    np.testing.assert_allclose(found.expected[:, 0], expected)
    np.testing.assert_allclose(found.centile, 100 * ndtr(found.z))
    np.testing.assert_allclose(found.z_se[:, 0], [0.6, 0.0, 0.6, 0.0])
    assert np.isnan(found.z_se[:, 1]).all()
    assert found.in_range.all()
    assert found.notes == ("",) * 4
    np.testing.assert_allclose(model().volumes_at(data, found.z, found.regions), found.observed)
    one = model().deviations(data[["age", "sex", "site", INSULA]])
    np.testing.assert_allclose(one.z[:, 0], found.z[:, 1])


@pytest.mark.parametrize(("transform", "function"), [("log", np.log), ("log1p", np.log1p)])
def test_a_transform_of_the_response_is_undone(transform, function):
    toolkit = Toolkit(y_transform=transform, outscalers={INSULA: Scaler(9.0, 0.1)}, response_vars=(INSULA,))
    data = people()
    data.loc[3, INSULA] = -5.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = model(toolkit=toolkit).deviations(data)
    age, male = (data["age"] / 10 - 5) / 2, (data["sex"] == "male") * 1.0
    mean = -0.3 * age + SHIFT[[SITES[site] for site in data["site"]]] + 0.1 * male
    with np.errstate(invalid="ignore"):
        expected = ((function(data[INSULA]) - 9) / 0.1 - mean) / 0.5
    np.testing.assert_allclose(found.z[:, 0], expected.where(np.arange(4) < 3))
    again = model(toolkit=toolkit).volumes_at(data, found.z, found.regions)
    np.testing.assert_allclose(again[:3, 0], data[INSULA][:3])


def test_an_unknown_site_is_scored_at_every_known_one():
    data = people()
    data.loc[[1, 2], "site"] = ["x", None]
    found = model().deviations(data)
    each = np.array([thalamus(data, [site] * 4)[0] for site in "abc"])
    np.testing.assert_allclose(found.z[1:3, 0], each[:, 1:3].mean(axis=0))
    spread = each[:, 1:3].std(axis=0, ddof=1)
    np.testing.assert_allclose(found.z_se[1:3, 0], np.hypot(spread, 0.6))
    np.testing.assert_allclose(found.z[[0, 3], 0], thalamus(data, ["a"] * 4)[0][[0, 3]])
    expected = np.mean([thalamus(data, [site] * 4)[1] for site in "abc"], axis=0)
    np.testing.assert_allclose(found.expected[1:3, 0], expected[1:3])
    assert [("site unknown" in note) for note in found.notes] == [False, True, True, False]
    with pytest.raises(ModelError, match=r"the site\(s\) x; it knows b, a, c"):
        model(unknown_sites="refuse").deviations(data)
    with pytest.raises(ModelError, match=r"\(none given\)"):
        model(unknown_sites="refuse").deviations(data.drop(columns="site"))
    assert np.isfinite(model(unknown_sites="refuse").deviations(people()).z).all()
    data.loc[[1, 2], "age"] = np.nan
    assert np.isnan(model(unknown_sites="refuse").deviations(data).z[1:3]).all()


class Shifted:
    """An adaptation: shift 1, scale 2, standard error 0.3."""

    def parameters(self, data, regions):
        shape = (len(data), len(regions))
        return np.full(shape, 1.0), np.full(shape, 2.0), np.full(shape, 0.3)


def test_an_adaptation_moves_z_expectation_and_brings_its_own_error():
    data = people().assign(site="x")
    raw, found = model().deviations(data), model().deviations(data, Shifted())
    np.testing.assert_allclose(found.z, (raw.z - 1) / 2)
    np.testing.assert_allclose(found.z_se[:, 0], np.hypot([0.6, 0, 0.6, 0], 0.3) / 2)
    at_zero = model().volumes_at(data, np.ones((4, 2)), found.regions)
    np.testing.assert_allclose(found.expected, at_zero)
    np.testing.assert_allclose(model().volumes_at(data, np.zeros((4, 2)), found.regions, Shifted()), at_zero)


@pytest.mark.parametrize(
    ("versions", "stand_ins"),
    [
        ({"a": "6", "b": "7", "c": "7"}, {"6.0": "a", "7.4": "bc", "5.3": "abc"}),
        ({"a": "6"}, {"6.0": "a", "7.4": "abc"}),
    ],
)
def test_stand_ins_are_sites_of_the_same_version(versions, stand_ins):
    fitted = model(site_versions=versions)
    assert fitted.corrected_versions == frozenset(versions.values())
    for version, sites in stand_ins.items():
        data = people().assign(site="x", fs_version=version)
        expected = np.mean([thalamus(data, [site] * 4)[0] for site in sites], axis=0)
        np.testing.assert_allclose(fitted.deviations(data).z[:, 0], expected)


def test_stand_ins_are_the_largest_sites(monkeypatch):
    monkeypatch.setattr(engine, "MAX_SITES", 2)
    data = people().assign(site="x")
    expected = np.mean([thalamus(data, [site] * 4)[0] for site in "ba"], axis=0)
    np.testing.assert_allclose(model().deviations(data).z[:, 0], expected)


def test_what_cannot_be_scored_is_said():
    data = people()
    data["sex"] = ["female", "n/a", "male", None]
    data.loc[2, "age"] = np.nan
    found = model().deviations(data)
    assert np.isfinite(found.z).all(axis=1).tolist() == [True, False, False, False]
    assert found.in_range[:, 0].tolist() == [True, False, False, False]
    assert ["not scored" in note for note in found.notes] == [False, True, True, True]
    assert np.isnan(model().volumes_at(data, np.zeros((4, 2)), found.regions)[1:]).all()
    with pytest.raises(CovariateError, match="age"):
        model().deviations(data.drop(columns="age"))
    with pytest.raises(CovariateError, match="sex"):
        model().deviations(data.drop(columns="sex"))


def test_the_trained_range_includes_its_ends():
    data = people().assign(age=[19.9, 20.0, 80.0, 80.1])
    found = model().deviations(data)
    assert found.in_range.tolist() == [[False] * 2, [True] * 2, [True] * 2, [False] * 2]
    assert found.notes[0].startswith("age 19.9 is outside the 20 to 80 of the training data")
    assert (found.notes[1], found.notes[2]) == ("", "")
    for ranges in (None, {}, {"decades": {}}):
        assert model(toolkit=Toolkit(covariate_ranges=ranges)).deviations(data).in_range.all()
    own = model(scale={}, toolkit=Toolkit(covariate_ranges={"decades": {"min": 20, "max": 80}}))
    assert own.deviations(data).in_range[:, 0].tolist() == [False, True, True, False]


def test_what_a_model_says_of_itself():
    assert model().regions == (THALAMUS, INSULA)
    assert model().published == {THALAMUS: "Left-Thalamus-Proper", INSULA: INSULA}
    assert model().sites == ("b", "a", "c")
    assert model().extra_covariates == ("site",)
    assert not model().needs_etiv
    assert model(columns={"decades": "age", "icv": ETIV, "v": "fs_version"}).needs_etiv
    columns = {"decades": "age", "icv": ETIV, "v": "fs_version", "sex": "sex", "q": "euler"}
    assert model(columns=columns).extra_covariates == ("euler",)
    odd = Toolkit(response_vars=("zebra", INSULA, "ape", "Left-Thalamus-Proper"))
    assert model(toolkit=odd).regions == (THALAMUS, INSULA, "ape", "zebra")
    uncounted = Toolkit(batch_effect_counts=None)
    assert model(toolkit=uncounted).sites == ("a", "b", "c")
    assert model(toolkit=uncounted)._effects() == {"sex": {"F": 0, "M": 0}, "site": {"a": 0, "b": 0, "c": 0}}
    bare = Toolkit(batch_effects_maps={"dummy_batch_effect": {"x": 0}, "sex": {"F": 0, "M": 1}})
    assert (model(toolkit=bare).sites, list(model(toolkit=bare)._effects())) == ((), ["sex"])
    assert model(toolkit=Toolkit(batch_effects_maps=None))._effects() == {}


def test_models_without_coefficients_of_their_own_have_no_standard_error():
    x, effects = DataArray(np.zeros((2, 1))), DataArray(np.zeros((2, 2), dtype=int))
    fitted = BLR(0.2)
    np.testing.assert_allclose(engine._standard_error(fitted, x, effects), [0.6, 0.0])
    fitted.transfered = True
    assert np.isnan(engine._standard_error(fitted, x, effects))
    assert np.isnan(engine._standard_error(Fitted(0.2), x, effects))


@pytest.fixture
def variables(monkeypatch, tmp_path):
    monkeypatch.setattr(runtime, "temporary_folder", lambda prefix: tmp_path)
    for name in (*runtime._CACHES, "PYTENSOR_FLAGS"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return monkeypatch


def test_caches_lie_in_a_private_folder_unless_they_are_set(variables, tmp_path):
    variables.setenv("MPLCONFIGDIR", "mine")
    runtime._set_caches()
    assert os.environ["MPLCONFIGDIR"] == "mine"
    assert os.environ["PCN_HOME_DIR"] == str(tmp_path / "pcntoolkit")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "config", "numba", "pcntoolkit"]
    assert os.environ["PYTENSOR_FLAGS"] == f"base_compiledir={tmp_path / 'pytensor'}"


@pytest.mark.parametrize(("given", "kept"), [("a=1", "a=1,base_compiledir={}"), ("compiledir=x", "compiledir=x")])
def test_flags_of_the_user_are_kept(variables, tmp_path, given, kept):
    variables.setenv("PYTENSOR_FLAGS", given)
    runtime._set_caches()
    assert os.environ["PYTENSOR_FLAGS"] == kept.format(tmp_path / "pytensor")


def test_the_package_is_imported_once_and_told_to_be_quiet(variables):
    said = []
    output = types.ModuleType("pcntoolkit.util.output")
    output.Output = SimpleNamespace(
        set_show_messages=lambda on: said.append(("messages", on)),
        set_show_warnings=lambda on: said.append(("warnings", on)),
    )
    stand_in = types.ModuleType("pcntoolkit")
    for name, module in (
        ("pcntoolkit", stand_in),
        ("pcntoolkit.util", types.ModuleType("pcntoolkit.util")),
        ("pcntoolkit.util.output", output),
    ):
        variables.setitem(sys.modules, name, module)
    imported = runtime.pcntoolkit.__wrapped__
    assert imported() is stand_in
    assert said == [("messages", False), ("warnings", False)]
    variables.setitem(sys.modules, "pcntoolkit", None)
    with pytest.raises(ModelError, match="needs the package pcntoolkit"):
        imported()


def test_quiet_hides_warnings_and_gives_them_back():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with runtime.quiet():
            warnings.warn("inside", stacklevel=1)
        warnings.warn("outside", stacklevel=1)
    assert [str(item.message) for item in seen] == ["outside"]
