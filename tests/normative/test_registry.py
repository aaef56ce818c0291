"""Finding models."""

from __future__ import annotations

import shutil

import pytest

from bids_app.errors import ModelError
from bids_app.normative.registry import list_models, load_model, model_names


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
