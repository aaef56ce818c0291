"""What is checked of a folder of PCNtoolkit before and after it is loaded, with a stand-in for what it loads."""

from __future__ import annotations

import contextlib
import hashlib
import json
from types import SimpleNamespace

import pytest

from bids_app.errors import ModelError
from bids_app.normative.engines import pcntoolkit_load as load
from bids_app.regions import ETIV


class LinearBasisFunction:
    pass


class HBR:
    likelihood = LinearBasisFunction()


def template(**changed):
    plain = {"basis_function_mean": LinearBasisFunction(), "heteroskedastic": True, "warp_name": "WarpSinhArcsinh"}
    return SimpleNamespace(**{**plain, **changed})


def toolkit(**changed):
    return SimpleNamespace(
        **{
            "covariates": ["age", "eTIV"],
            "batch_effects_maps": {"Sex": {"F": 0, "M": 1}, "site": {"a": 0, "b": 1}},
            "batch_effect_counts": {},
            "response_vars": ["Left-Thalamus"],
            "is_fitted": True,
            "name": "kept",
            "y_transform": None,
            "outscaler": "standardize",
            "template_regression_model": template(),
            **changed,
        }
    )


@pytest.fixture
def folder(tmp_path):
    part = tmp_path / "model" / "Left-Thalamus"
    part.mkdir(parents=True)
    (part.parent / "normative_model.json").write_text(json.dumps({"type": "BLR"}))
    (part / "regression_model.json").write_text(json.dumps({"model": {"type": "BLR"}}))
    return tmp_path


@pytest.fixture
def loaded(folder, monkeypatch):
    def run(card=None, unknown_sites="average", **changed):
        made = toolkit(**changed)
        given = SimpleNamespace(NormativeModel=SimpleNamespace(load=lambda path: made if path == str(folder) else None))
        monkeypatch.setattr(load, "pcntoolkit", lambda: given)
        monkeypatch.setattr(load, "quiet", contextlib.nullcontext)
        if card is not None:
            (folder / "card.json").write_text(json.dumps({"format": "normvol-pcntoolkit", **card}))
        return load.load_pcntoolkit_model(folder, unknown_sites)

    return run


def test_a_folder_without_a_card_is_described_by_what_it_holds(loaded, folder):
    model = loaded()
    assert model.columns == {"age": "age", "eTIV": ETIV, "Sex": "sex", "site": "site"}
    assert model.sex_levels == {"F": "female", "M": "male"}
    assert (model.scale, model.unknown_sites, model.site_versions) == ({}, "average", {})
    digest = hashlib.sha256()
    for name in ("normative_model.json", "Left-Thalamus/regression_model.json"):
        digest.update((folder / "model" / name).read_bytes())
    assert model.digest == digest.hexdigest()
    card = model.card
    assert (card.name, card.title) == ("kept", "PCNtoolkit model kept")
    assert (card.engine, card.mode) == ("pcntoolkit", "calibrated")
    assert (card.version, card.licence, card.sites) == ("unknown", "not stated", 2)
    assert card.covariates == "age, eTIV, Sex (batch effect), site (batch effect)"
    assert card.transform == "PCNtoolkit's: response transform none, scaler standardize"
    assert card.harmonisation == "batch effects Sex, site"
    assert card.summary.startswith("Bayesian linear regression (Linear basis, heteroscedastic, warp WarpSinhArcsinh)")
    nameless = loaded(name=None, batch_effects_maps=None, y_transform="log")
    assert (nameless.card.name, nameless.card.harmonisation, nameless.card.sites) == (folder.name, "none", 0)
    assert "transform log," in nameless.card.transform
    dummy = loaded(batch_effects_maps={"dummy_batch_effect": {"x": 0}})
    assert (dummy.columns, dummy.card.harmonisation) == ({"age": "age", "eTIV": ETIV}, "none")


def test_the_card_beside_it_says_more(loaded):
    card = {
        "columns": {"eTIV": "age"},
        "scale": {"age": 10},
        "levels": {"sex": {"F": "male", "M": "female"}},
        "site_versions": {"a": "7"},
    }
    model = loaded(card, "refuse")
    assert model.columns["eTIV"] == "age"
    assert (model.scale, model.unknown_sites, model.site_versions) == ({"age": 10.0}, "refuse", {"a": "7"})
    assert model.sex_levels == {"F": "male", "M": "female"}


@pytest.mark.parametrize(
    ("changed", "card", "reason"),
    [
        ({"is_fitted": False}, None, "is not fitted"),
        ({"response_vars": []}, None, "is not fitted"),
        ({"covariates": ["age", "mood"]}, None, "needs mood, which is not understood"),
        ({"covariates": ["age", "sex"]}, None, "has sex as a number"),
        ({"batch_effects_maps": {"sex": {"0": 0, "1": 1}}}, None, "codes sex as 0, 1"),
        ({"batch_effects_maps": {"sex": {"F": 0, "female": 1}}}, None, "codes sex as F, female"),
        ({"batch_effects_maps": {"sex": {"F": 0, "other": 1}}}, None, "codes sex as F, other"),
        ({}, {"scale": {"age": 0}}, "must map covariates to positive numbers"),
        ({}, {"scale": {"age": -1}}, "must map covariates to positive numbers"),
        ({}, {"scale": {"age": "10"}}, "must map covariates to positive numbers"),
        ({}, {"scale": [10]}, "must map covariates to positive numbers"),
        ({}, {"format": "other"}, "is not the card of a PCNtoolkit model"),
    ],
)
def test_each_part_that_is_not_understood_is_refused(loaded, changed, card, reason):
    with pytest.raises(ModelError, match=reason):
        loaded(card, **changed)


def test_sex_as_a_number_is_understood_when_the_card_says_which(loaded):
    card = {"columns": {"gender": "sex"}, "levels": {"sex": {"0": "female", "1": "male"}}}
    model = loaded(card, covariates=["age", "gender"], batch_effects_maps=None)
    assert model.sex_levels == {0.0: "female", 1.0: "male"}
    assert loaded({}, covariates=["age"], batch_effects_maps=None).sex_levels == {}


def test_what_pcntoolkit_cannot_load_is_said(folder, monkeypatch):
    def broken(path):
        raise RuntimeError("no such basis")

    monkeypatch.setattr(load, "quiet", contextlib.nullcontext)
    monkeypatch.setattr(load, "pcntoolkit", lambda: SimpleNamespace(NormativeModel=SimpleNamespace(load=broken)))
    with pytest.raises(ModelError, match=r"cannot load .* \(RuntimeError: no such basis\)"):
        load.load_pcntoolkit_model(folder)
    (folder / "card.json").write_text("[]")
    with pytest.raises(ModelError, match="is not the card"):
        load.load_pcntoolkit_model(folder)


def test_files_are_checked_before_they_are_loaded(folder, monkeypatch):
    part = folder / "model" / "Left-Thalamus"
    load._check_files(folder)
    draws = part / "idata.nc"
    draws.write_bytes(b"12345")
    monkeypatch.setattr(load, "MAX_DRAWS_BYTES", 5)
    load._check_files(folder)
    monkeypatch.setattr(load, "MAX_DRAWS_BYTES", 4)
    with pytest.raises(ModelError, match="is larger than"):
        load._check_files(folder)
    draws.unlink()
    whole = part / "regression_model.json"
    for text, reason in (
        ('{"model": {"type": "SVM"}}', "has the type 'SVM', which is none of PCNtoolkit"),
        ('{"model": {"type": "NormalPrior"}}', "holds a model of type 'NormalPrior'"),
        ('{"model": {}}', "is damaged"),
        ("[1]", "is damaged"),
        ("{", "is damaged"),
    ):
        whole.write_text(text)
        with pytest.raises(ModelError, match=reason):
            load._check_files(folder)
    whole.write_text('{"model": {"type": "HBR"}}')
    load._check_files(folder)
    monkeypatch.setattr(load, "MAX_JSON_BYTES", 10)
    with pytest.raises(ModelError, match="more than the"):
        load._check_files(folder)
    with pytest.raises(ModelError, match="neither a normvol model nor a folder saved by PCNtoolkit"):
        load._check_files(folder / "model")


@pytest.mark.parametrize(
    ("content", "fine"),
    [
        ({"warp_name": "WarpSinhArcsinh"}, True),
        ({"warp_name": "WarpCompose(WarpAffine, WarpBoxCox)"}, True),
        ({"warp_name": None}, True),
        ({"type": 3}, True),
        ([{"type": "NormalPrior"}, {"a": [{"type": "BLR"}]}], True),
        ({"name": "open('x')"}, True),
        ("text", True),
        ({"warp_name": "Warp if 1 else 2"}, False),
        ({"warp_name": "WarpCompose(open)"}, False),
        ([1, {"a": [{"type": "os"}]}], False),
        ({"a": {"b": {"type": "BLR()"}}}, False),
    ],
)
def test_names_are_those_of_pcntoolkits_classes(folder, content, fine):
    with contextlib.nullcontext() if fine else pytest.raises(ModelError, match="which is none of PCNtoolkit"):
        load._check_names(content, folder)


def test_kinds_of_regression_are_described():
    assert load.describe(toolkit(template_regression_model=HBR())) == (
        "Hierarchical Bayesian regression (LinearBasisFunction), PCNtoolkit."
    )
    plain = template(heteroskedastic=False, warp_name=None)
    assert load.describe(toolkit(template_regression_model=plain)) == (
        "Bayesian linear regression (Linear basis, constant variance), PCNtoolkit."
    )
