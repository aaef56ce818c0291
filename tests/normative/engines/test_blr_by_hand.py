"""A small archive in the form of PCNtoolkit's files: packed, read, and scored as the formulas say."""

from __future__ import annotations

import hashlib
import json
import zipfile

import numpy as np
import pandas as pd
import pytest
from scipy.interpolate import BSpline

from bids_app.errors import ModelError
from bids_app.normative.card import ModelCard
from bids_app.normative.engines import blr
from bids_app.regions import ETIV

CARD = ModelCard(name="b", version="1", title="t", summary="s", licence="CC0-1.0", date="2026-01-01")
KNOTS = [-3.0] * 4 + [0.0] + [3.0] * 4
BASIS = {"basis_function": "BsplineBasisFunction", "basis_column": 0, "knots": KNOTS, "degree": 3}
D = 12
RNG = np.random.default_rng(0)
HYP = np.array([0.1, -0.2, 0.3, 0.1, -0.1, 0.2, 0.05, -0.3, 0.4, -0.2, 1.5])
ROOT = RNG.normal(size=(D, D))
A = ROOT @ ROOT.T + 5 * np.eye(D)
M = RNG.normal(size=D)


def region(name="Left-Thalamus", **changed):
    model = {
        "name": name,
        "type": "BLR",
        "warp_name": "WarpSinhArcsinh",
        "warp_reparam": True,
        "heteroskedastic": True,
        "basis_function_mean": BASIS,
        "basis_function_var": BASIS,
        "fixed_effect": True,
        "fixed_effect_slope": False,
        "fixed_effect_var": False,
        "hyp": HYP.tolist(),
        "A": A.tolist(),
        "m": M.tolist(),
        "hyp0": [1.0],
        "beta": [2.0],
        **changed,
    }
    return {"model": model, "outscaler": {"m": [7000.0], "s": [500.0]}}


ROOT_FILE = {
    "covariates": ["age", ETIV],
    "covariate_ranges": {"age": {"min": 1.0, "max": 9.0}, ETIV: {"min": 1.0, "max": 2.0}},
    "batch_effects_maps": {"sex": {"0_0": "female", "1_1": "male"}, "site": {"0_1": "b", "1_0": "a"}},
    "inverse_batch_effect_counts": {"sex": {"0_5": "female", "1_6": "male"}, "site": {"0_4": "a", "1_7": "b"}},
    "inscalers": {"age": {"m": [4.0], "s": [2.0]}, ETIV: {"m": 1.5, "s": 0.1}},
}


def packed(tmp_path, **changed):
    folder = tmp_path / "folder"
    (folder / "model" / "Left-Thalamus").mkdir(parents=True)
    card = {
        "card": CARD.to_json(),
        "scale": {"age": 10, ETIV: 1e6},
        "site_versions": {"a": "7", "b": "7"},
        "columns": {"age": "age"},
    }
    (folder / "card.json").write_text(json.dumps(card))
    (folder / "model" / "normative_model.json").write_text(json.dumps(ROOT_FILE))
    (folder / "model" / "Left-Thalamus" / "regression_model.json").write_text(json.dumps(region(**changed)))
    return blr.pack(folder, tmp_path / "b.zip")


def people():
    return pd.DataFrame(
        {
            "age": [20.0, 45.0, 80.0],
            "sex": ["female", "male", "male"],
            ETIV: [1.4e6, 1.5e6, 1.7e6],
            "site": ["a", "b", "b"],
            "Left-Thalamus": [7100.0, 6500.0, 7700.0],
        }
    )


def design(data):
    age, head = (data["age"] / 10 - 4) / 2, (data[ETIV] / 1e6 - 1.5) / 0.1
    spline = BSpline.design_matrix(age.to_numpy(), np.array(KNOTS), 3).toarray()
    one = np.ones(len(data))
    variance = np.column_stack([age, spline, head, one])
    sexes = [data["sex"] == "female", data["sex"] == "male"]
    return np.column_stack([variance, *sexes, data["site"] == "a", data["site"] == "b"]), variance


def parts(data):
    x, v = design(data)
    tail = np.exp(HYP[-2])
    noise = tail**2 * np.exp(-v @ HYP[:-3])
    own = np.sum(x * np.linalg.solve(A, x.T).T, axis=1)
    return x @ M, noise, own, tail


def test_z_expectation_and_error_are_those_of_the_formulas(tmp_path):
    model, data = blr.load(packed(tmp_path)), people()
    mean, noise, own, tail = parts(data)
    y = (data["Left-Thalamus"].to_numpy() - 7000) / 500
    warped = np.sinh(tail * (np.arcsinh(y) + HYP[-3]))
    found = model.deviations(data)
    np.testing.assert_allclose(found.z[:, 0], (warped - mean) / np.sqrt(noise + own), rtol=1e-6)
    np.testing.assert_allclose(found.z_se[:, 0], np.sqrt(own / (noise + own)), rtol=1e-6)
    middle = 7000 + 500 * np.sinh(np.arcsinh(mean) / tail - HYP[-3])
    np.testing.assert_allclose(found.expected[:, 0], middle, rtol=1e-6)
    np.testing.assert_allclose(model.volumes_at(data, found.z, found.regions)[:, 0], data["Left-Thalamus"])
    assert found.in_range.all()
    assert (model.sites, model.scale) == (("b", "a"), {"age": 10.0, ETIV: 1e6})
    assert model.columns == {"age": "age", ETIV: ETIV, "sex": "sex", "site": "site"}
    assert model.toolkit.response_vars == ["Left-Thalamus"]


def test_the_spread_of_sites_is_around_their_version_in_units_of_the_noise(tmp_path):
    model = blr.load(packed(tmp_path))
    middle = pd.DataFrame({"age": [40.0], ETIV: [1.5e6], "sex": "female", "site": "b"})
    _, noise, own, _ = parts(middle)
    effects = M[-2:] / np.sqrt(noise + own)
    found = model.site_sd(("Left-Thalamus", "unknown"))
    assert found[0] == pytest.approx(np.std(effects, ddof=1), rel=1e-6)
    assert np.isnan(found[1])


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"type": "HBR"}, "only a warped, heteroscedastic BLR"),
        ({"warp_name": None}, "only a warped, heteroscedastic BLR"),
        ({"warp_reparam": False}, "only a warped, heteroscedastic BLR"),
        ({"heteroskedastic": False}, "only a warped, heteroscedastic BLR"),
        ({"basis_function_var": {**BASIS, "basis_function": "Linear"}}, "only a warped, heteroscedastic BLR"),
        ({"basis_function_mean": {**BASIS, "basis_function": "Linear"}}, "only a warped, heteroscedastic BLR"),
        ({"fixed_effect_slope": True}, "only batch effects of the mean's intercept"),
        ({"fixed_effect_var": True}, "only batch effects of the mean's intercept"),
        ({"fixed_effect": False}, "only batch effects of the mean's intercept"),
    ],
)
def test_each_other_kind_is_refused(tmp_path, changed, reason):
    with pytest.raises(ModelError, match=reason):
        blr.load(packed(tmp_path, **changed))


def test_the_archive_is_trimmed_rounded_and_the_same_each_time(tmp_path):
    path = packed(tmp_path)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == blr.load(path).digest
    again = blr.pack(tmp_path / "folder", tmp_path / "again.zip")
    assert again.read_bytes() == path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        content = json.loads(archive.read("model/Left-Thalamus/regression_model.json"))
        entries = archive.infolist()
    assert names == ["card.json", "model/Left-Thalamus/regression_model.json", "model/normative_model.json"]
    assert {(e.date_time, e.external_attr >> 16, e.compress_type) for e in entries} == {
        ((1980, 1, 1, 0, 0, 0), 0o644, zipfile.ZIP_DEFLATED)
    }
    assert {"hyp0", "beta"}.isdisjoint(content["model"])
    assert content["model"]["m"] == [float(f"{value:.9g}") for value in M]
    assert blr.card(path) == CARD == blr.load(path).card
    rounded = blr._rounded({"a": [2.0, 1e9, 0.1234567891234, 1e8], "b": 3, "c": "x"})
    assert json.dumps(rounded) == '{"a": [2, 1000000000.0, 0.123456789, 100000000], "b": 3, "c": "x"}'


def test_damaged_archives_are_refused(tmp_path):
    path = packed(tmp_path)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ModelError, match="is damaged"):
        blr.load(path)
    with pytest.raises(ModelError, match="is damaged"):
        blr.load(tmp_path / "absent.zip")
