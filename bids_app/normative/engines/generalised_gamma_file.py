"""The file of a generalised gamma model: readable JSON, checked against its schema and digest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from bids_app.errors import ModelError
from bids_app.normative.card import ModelCard
from bids_app.normative.documents import digest, read_document, write_document
from bids_app.normative.engines.generalised_gamma import GammaFit, GammaModel, Predictor

FORMAT = "normvol-generalised-gamma"
FORMAT_VERSION = "1.0"
REMEDY = "import the model again"


def save(model: GammaModel, path: Path | str) -> Path:
    """Write the model as readable JSON."""
    return write_document(_body(model), path)


def with_digest(model: GammaModel) -> GammaModel:
    """The model with the digest that its file would have."""
    return replace(model, digest=digest(_body(model)))


def load(path: Path | str) -> GammaModel:
    """Read a model file of this form.

    Raises
    ------
    ModelError
        When it is damaged, of another version, or was changed.
    """
    return from_document(read_document(path, REMEDY), str(path))


@lru_cache(maxsize=1)
def schema() -> dict[str, Any]:
    """The JSON Schema of a model file of this form."""
    return json.loads((files("bids_app.data") / "generalised_gamma.schema.json").read_text(encoding="utf-8"))


def from_document(document: Any, source: str) -> GammaModel:
    """Build a model from plain values, checking every one.

    Raises
    ------
    ModelError
        When something is missing, of the wrong kind, or was changed after saving.
    """
    from jsonschema import Draft202012Validator

    error = next(Draft202012Validator(schema()).iter_errors(document), None)
    if error is not None:
        place = "/".join(str(part) for part in error.absolute_path) or "the top level"
        raise ModelError(f"{source} is not a valid model file: at {place}, {error.message[:200]}", REMEDY)
    body = {key: value for key, value in document.items() if key != "digest"}
    if digest(body) != document["digest"]:
        raise ModelError(f"the content of {source} does not match its digest", REMEDY)
    return GammaModel(
        card=ModelCard.from_json(document["card"]),
        fits={name: _fit(values, f"{source}: {name}") for name, values in document["regions"].items()},
        level=document["level"],
        digest=document["digest"],
    )


def _fit(values: Mapping[str, Any], where: str) -> GammaFit:
    parts = {name: _predictor(values[name], where) for name in ("mu", "sigma")}
    return GammaFit(**{**values, **parts, "columns": tuple(values["columns"])})


def _predictor(values: Mapping[str, Any], where: str) -> Predictor:
    powers, coefficients = tuple(values["powers"]), tuple(values["coefficients"])
    if len(powers) != len(coefficients):
        raise ModelError(f"{where} has {len(powers)} powers but {len(coefficients)} coefficients", REMEDY)
    return Predictor(intercept=values["intercept"], male=values["male"], powers=powers, coefficients=coefficients)


def _body(model: GammaModel) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "card": model.card.to_json(),
        "level": model.level,
        "regions": {name: _plain(asdict(fit)) for name, fit in model.fits.items()},
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items() if item is not None}
    return list(value) if isinstance(value, tuple) else value
