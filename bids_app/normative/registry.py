"""Finding models: those packaged with the software by name, others by path."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

from bids_app.errors import ModelError, did_you_mean
from bids_app.normative.base import NormativeModel
from bids_app.normative.card import ModelCard
from bids_app.normative.engines import generalised_gamma_file as gamma_file
from bids_app.normative.engines import native_file as model_file
from bids_app.normative.engines import terms as terms_model
from bids_app.normative.engines.generalised_gamma import GammaModel
from bids_app.normative.engines.native import NativeModel
from bids_app.normative.engines.terms import TermsModel

NATIVE_FILE = "model.json"


def model_names() -> tuple[str, ...]:
    """Names of the packaged models, in alphabetical order."""
    folder = files("bids_app.data") / "models"
    return tuple(sorted(entry.name.removesuffix(".json") for entry in folder.iterdir() if entry.name.endswith(".json")))


def list_models() -> tuple[ModelCard, ...]:
    """Cards of the packaged models."""
    folder = files("bids_app.data") / "models"
    return tuple(
        ModelCard.from_json(json.loads((folder / f"{name}.json").read_text("utf-8"))["card"]) for name in model_names()
    )


def save_model(model: NormativeModel, path: Path) -> Path:
    """Write a model in the file format of its engine.

    Raises
    ------
    ModelError
        For an engine that has no file of ours (PCNtoolkit).
    """
    if isinstance(model, NativeModel):
        return model_file.save(model, path)
    if isinstance(model, TermsModel):
        return terms_model.save(model, path)
    if isinstance(model, GammaModel):
        return gamma_file.save(model, path)
    raise ModelError(f"a model of the engine {model.card.engine} is saved by that engine", "copy its folder")


def load_model(name_or_path: str | Path) -> NormativeModel:
    """A packaged model by name, a native model file, or a folder saved by PCNtoolkit.

    Raises
    ------
    ModelError
        When there is no such model, or it cannot be used.
    """
    if str(name_or_path) in model_names():
        return model_file.load(str(files("bids_app.data") / "models" / f"{name_or_path}.json"))
    path = Path(name_or_path)
    if not path.exists():
        raise ModelError(
            f"there is no model {str(name_or_path)!r}: give the path of a model file or one of "
            f"{', '.join(model_names())}",
            did_you_mean(str(name_or_path), model_names()),
        )
    if path.is_file():
        if gamma_file.is_gamma_file(path):
            return gamma_file.load(path)
        return terms_model.load(path) if terms_model.is_terms_file(path) else model_file.load(path)
    if (path / NATIVE_FILE).is_file():
        return model_file.load(path / NATIVE_FILE)
    from bids_app.normative.engines.pcntoolkit_load import load_pcntoolkit_model

    return load_pcntoolkit_model(path)
