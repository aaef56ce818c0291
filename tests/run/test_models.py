"""The run's model and its fingerprint."""

import hashlib
from pathlib import Path

import pytest

import bids_app
from bids_app.errors import ModelError
from bids_app.run.models import load_study_model, model_sha256

PACKAGED = Path(bids_app.__file__).parent / "data" / "models" / "open-reference.json"


def test_the_scoring_asked_for_is_the_models(tmp_path):
    assert load_study_model("open-reference").card.scoring == "own-sex"
    assert load_study_model("open-reference", "reference-compat").card.scoring == "reference-compat"
    with pytest.raises(ModelError, match="nowhere"):
        load_study_model(str(tmp_path / "nowhere.json"))


def test_a_packaged_model_has_the_digest_of_its_file():
    assert model_sha256("open-reference") == hashlib.sha256(PACKAGED.read_bytes()).hexdigest()


def test_the_digest_of_a_folder_covers_names_and_contents(tmp_path):
    found = []
    for name, content in (("a", "1"), ("b", "1"), ("b", "2")):
        folder = tmp_path / str(len(found))
        (folder / "deep").mkdir(parents=True)
        (folder / "deep" / name).write_text(content)
        found.append(model_sha256(str(folder)))
    assert len(set(found)) == 3
