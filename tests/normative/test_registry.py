"""Finding models."""

from __future__ import annotations

import shutil

import pytest

from bids_app.errors import ModelError
from bids_app.normative import registry
from bids_app.normative.card import ModelCard
from bids_app.normative.engines import pcntoolkit_load
from bids_app.normative.engines.generalised_gamma import GammaFit, GammaModel, Predictor
from bids_app.normative.engines.pcntoolkit import PCNtoolkitModel
from bids_app.normative.engines.terms import TermsFit, TermsModel
from bids_app.normative.registry import list_models, load_model, model_names, save_model, split_name


def test_the_packaged_models_are_listed_with_their_cards():
    cards = {card.name: card for card in list_models()}
    assert set(cards) == set(model_names()) >= {"open-calibrated", "open-reference"}
    for card in cards.values():
        assert card.licence == "CC-BY-SA-4.0"
        assert any("research use only" in text for text in card.not_for)
        assert card.training
        assert card.n["female"] > 1000


def test_a_model_is_loaded_by_name_path_or_folder(repository, tmp_path):
    source = repository / "bids_app" / "data" / "models" / "open-reference.json"
    shutil.copy(source, tmp_path / "model.json")
    by_name = load_model("open-reference")
    assert load_model(str(source)) == by_name
    assert load_model(tmp_path) == by_name


def test_a_misspelt_model_gets_the_nearest_name():
    with pytest.raises(ModelError) as error:
        load_model("open-calibratd")
    assert error.value.remedy == "did you mean open-calibrated?"


def test_an_unknown_model_names_the_known_ones():
    with pytest.raises(ModelError, match="open-calibrated"):
        load_model("open-typo")


def test_names_that_are_joined_are_split_but_not_the_path_of_a_file(tmp_path):
    assert split_name("a+b") == ("a", "b")
    assert split_name("a++b+") == ("a", "b")
    assert split_name("a") == ("a",)
    path = tmp_path / "a+b.json"
    assert split_name(path) == (str(tmp_path / "a"), "b.json")
    path.write_text("{}")
    assert split_name(path) == (str(path),)


CARD = ModelCard(
    name="m",
    version="1",
    title="t",
    summary="s",
    licence="CC0-1.0",
    date="2026-01-01",
    engine="pcntoolkit",
    age_range={"female": (0.0, 90.0), "male": (0.0, 90.0)},
)
LEVEL = Predictor(intercept=-1.0, male=0.0, powers=(), coefficients=())


def test_every_engine_with_a_file_is_saved_and_found_again(tmp_path):
    terms = TermsModel(card=CARD, fits={"A": TermsFit(terms=((),), coefficients=(1.0,), noise=1.0)})
    fit = GammaFit(columns=("Left-Caudate",), combine="mean", n=9, mu=LEVEL, sigma=LEVEL, nu=0.5)
    gamma = GammaModel(card=CARD, fits={"mean_Caudate": fit})
    for model, kind in ((terms, TermsModel), (gamma, GammaModel)):
        path = save_model(model, tmp_path / f"{kind.__name__}.json")
        assert path == tmp_path / f"{kind.__name__}.json"
        assert isinstance(load_model(path), kind)
        assert load_model(path).fits == model.fits
    native = load_model("open-reference").subset(("Left-Thalamus",))
    path = save_model(native, tmp_path / "native.json")
    assert load_model(path).regions == ("Left-Thalamus",)
    with pytest.raises(ModelError, match="saved by that engine"):
        save_model(PCNtoolkitModel(CARD, None, {}, {}), tmp_path / "x")


def test_joined_models_and_folders_go_to_their_engines(monkeypatch, tmp_path):
    monkeypatch.setattr(pcntoolkit_load, "load_pcntoolkit_model", lambda path: ("folder", path))
    assert load_model(tmp_path) == ("folder", tmp_path)
    monkeypatch.setattr(registry, "combine", lambda models: models)
    assert [model.card.name for model in load_model("open-reference+open-thickness")] == [
        "open-reference",
        "open-thickness",
    ]
    seen = []
    monkeypatch.setattr(registry.model_file, "load", lambda path, **options: seen.append(options))
    load_model("open-calibrated")
    load_model(registry.packaged_files()["open-calibrated"])
    assert seen == [{"packaged": True}, {}]
