"""Finding models: those packaged with the software by name, others by path."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from bids_app.errors import ModelError, did_you_mean
from bids_app.normative.base import NormativeModel
from bids_app.normative.card import ModelCard
from bids_app.normative.documents import has_format
from bids_app.normative.engines import blr
from bids_app.normative.engines import generalised_gamma_file as gamma_file
from bids_app.normative.engines import native_file as model_file
from bids_app.normative.engines import terms as terms_model
from bids_app.normative.engines.combined import JOINT, combine
from bids_app.normative.engines.generalised_gamma import GammaModel
from bids_app.normative.engines.native import NativeModel
from bids_app.normative.engines.terms import TermsModel
from bids_app.tables import read_json

NATIVE_FILE = "model.json"


def packaged_files() -> dict[str, Path]:
    """Files of the packaged models by name, in alphabetical order: JSON of ours, zip archives of PCNtoolkit's."""
    found = (Path(str(entry)) for entry in (files("bids_app.data") / "models").iterdir())
    return {path.stem: path for path in sorted(found) if path.suffix in (".json", ".zip")}


def model_names() -> tuple[str, ...]:
    """Names of the packaged models, in alphabetical order."""
    return tuple(packaged_files())


def list_models() -> tuple[ModelCard, ...]:
    """Cards of the packaged models."""
    return tuple(
        blr.card(path) if path.suffix == ".zip" else ModelCard.from_json(read_json(path)["card"])
        for path in packaged_files().values()
    )


def split_name(name_or_path: str | Path) -> tuple[str, ...]:
    """The models that ``NAME+NAME`` joins; the path of an existing file may hold a plus."""
    if JOINT not in str(name_or_path) or Path(name_or_path).exists():
        return (str(name_or_path),)
    return tuple(part for part in str(name_or_path).split(JOINT) if part)


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
    """A packaged model by name, a native model file, a folder saved by PCNtoolkit, or several joined by ``+``.

    Raises
    ------
    ModelError
        When there is no such model, or it cannot be used.
    """
    packaged = packaged_files().get(str(name_or_path))
    if packaged is not None:
        return blr.load(packaged) if packaged.suffix == ".zip" else model_file.load(packaged, packaged=True)
    path, parts = Path(name_or_path), split_name(name_or_path)
    if len(parts) > 1:
        return combine(tuple(map(load_model, parts)))
    if not path.exists():
        raise ModelError(
            f"there is no model {str(name_or_path)!r}: give the path of a model file or one of "
            f"{', '.join(model_names())}",
            did_you_mean(str(name_or_path), model_names()),
        )
    if path.is_file():
        if has_format(path, gamma_file.FORMAT):
            return gamma_file.load(path)
        return terms_model.load(path) if has_format(path, terms_model.FORMAT) else model_file.load(path)
    if (path / NATIVE_FILE).is_file():
        return model_file.load(path / NATIVE_FILE)
    from bids_app.normative.engines.pcntoolkit_load import load_pcntoolkit_model

    return load_pcntoolkit_model(path)
