"""The native model file: one readable JSON document, validated on load, never executed.

Forward compatibility: the format version is ``major.minor``. This software reads every file of its own
and of older major versions (2.0: three powers of age). Fields that it does not know are refused in a file
of its own or an older version, and ignored in one of a newer minor version; a newer major version is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import fields, replace
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from bids_app.errors import ModelError
from bids_app.normative.card import ModelCard
from bids_app.normative.documents import REMEDY, digest, read_document
from bids_app.normative.engines.native import NativeModel
from bids_app.normative.parameters import SEXES, RegionFit, RegionModel, ScaleFit
from bids_app.normative.reference_counts import ReferenceCounts
from bids_app.tables import atomic_write

FORMAT = "normvol-model"
FORMAT_VERSION = "2.0"


def save(model: NativeModel, path: Path | str) -> Path:
    """Write `model` to `path` (``.json``); the same model gives the same bytes."""
    return atomic_write(path, to_text(model))


def load(path: Path | str, *, packaged: bool = False) -> NativeModel:
    """Read, check and build a model.

    Of a `packaged` one the digest is enough: it was checked against the schema before it was packaged, and the library
    that does so takes longer to import than a person to score.

    Raises
    ------
    ModelError
        When the file is absent, damaged, of another kind or version, or not what was saved.
    """
    return from_document(read_document(path), str(path), packaged=packaged)


def to_text(model: NativeModel) -> str:
    """The model file's text: the frame indented, each fit on one line."""
    document = to_document(model)
    return _render(document, 0) + "\n"


def to_document(model: NativeModel) -> dict[str, Any]:
    """The model as plain values, with its digest."""
    body: dict[str, Any] = {"format": FORMAT, "format_version": FORMAT_VERSION, "card": model.card.to_json()}
    if model.counts is not None:
        body["reference_counts"] = model.counts.to_json()
    body["regions"] = {region.name: _region_to_json(region) for region in model.region_models}
    return {**body, "digest": digest(body)}


def from_document(document: Any, source: str, *, packaged: bool = False) -> NativeModel:
    """Build a model from plain values; `source` names it in messages."""
    _check_version(document, source)
    if not packaged:
        _check_schema(document, source)
    body = {key: value for key, value in document.items() if key != "digest"}
    if digest(body) != document["digest"]:
        raise ModelError(
            f"the content of {source} does not match its digest: the file was changed after it was saved", REMEDY
        )
    regions = tuple(_region_from_json(name, values) for name, values in document["regions"].items())
    for region in regions:
        _check_region(region, source)
    counts = document.get("reference_counts")
    return NativeModel(
        ModelCard.from_json(document["card"]),
        regions,
        None if counts is None else ReferenceCounts.from_json(counts),
        document["digest"],
    )


def with_digest(model: NativeModel) -> NativeModel:
    """The model with the digest that its file would have."""
    return replace(model, digest=to_document(model)["digest"])


def _check_version(document: Any, source: str) -> None:
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ModelError(f'{source} is not a normvol model file (it has no "format": "{FORMAT}")')
    version = str(document.get("format_version", ""))
    ours = int(FORMAT_VERSION.split(".")[0])
    if not re.fullmatch(r"[1-9][0-9]{0,3}(\.[0-9]{1,4})?", version):
        raise ModelError(f"{source} has no valid format version ({version!r})", REMEDY)
    if int(version.split(".")[0]) > ours:
        raise ModelError(f"{source} has format version {version}, this software reads up to {ours}.x", "update normvol")


@lru_cache(maxsize=1)
def schema() -> dict[str, Any]:
    """The JSON Schema of a model file."""
    return json.loads((files("bids_app.data") / "model.schema.json").read_text(encoding="utf-8"))


def _check_schema(document: dict[str, Any], source: str) -> None:
    from jsonschema import Draft202012Validator

    written, ours = (_numbers(str(version)) for version in (document["format_version"], FORMAT_VERSION))
    rules = _open(schema()) if written > ours else schema()
    error = next(Draft202012Validator(rules).iter_errors(document), None)
    if error is not None:
        place = "/".join(str(part) for part in error.absolute_path) or "the top level"
        message = error.message if len(error.message) < 200 else error.message[:200] + "..."
        raise ModelError(f"{source} is not a valid model file: at {place}, {message}", REMEDY)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in (version + ".0").split(".")[:2])


def _open(rules: Any) -> Any:
    """The schema without its bans on unknown fields."""
    if isinstance(rules, dict):
        return {
            key: _open(value) for key, value in rules.items() if not (key == "additionalProperties" and value is False)
        }
    return [_open(item) for item in rules] if isinstance(rules, list) else rules


def _region_to_json(region: RegionModel) -> dict[str, Any]:
    out: dict[str, Any] = {"transform": region.transform}
    if region.site_sd is not None:
        out["site_sd"] = region.site_sd
    if region.versions:
        out["versions"] = {version: list(pair) for version, pair in sorted(region.versions.items())}
    return {**out, **{sex: _fit_to_json(region.fits[sex]) for sex in SEXES}}


def _fit_to_json(fit: RegionFit | ScaleFit) -> dict[str, Any]:
    values = {f.name: getattr(fit, f.name) for f in fields(fit)}
    return {
        name: _fit_to_json(value) if isinstance(value, ScaleFit) else list(value) if isinstance(value, tuple) else value
        for name, value in values.items()
        if value is not None
    }


def _region_from_json(name: str, values: Mapping[str, Any]) -> RegionModel:
    return RegionModel(
        name=name,
        transform=values["transform"],
        site_sd=values.get("site_sd"),
        versions={version: (pair[0], pair[1]) for version, pair in values.get("versions", {}).items()},
        fits={sex: _fit_from_json(values[sex]) for sex in SEXES},
    )


def _fit_from_json(values: Mapping[str, Any]) -> RegionFit:
    known = {f.name for f in fields(RegionFit)}
    read: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in values.items()
        if key in known and key != "sigma"
    }
    if "sigma" in values:
        names = {f.name for f in fields(ScaleFit)}
        read["sigma"] = ScaleFit(**{key: tuple(value) for key, value in values["sigma"].items() if key in names})
    return RegionFit(**read)


def _check_region(region: RegionModel, source: str) -> None:
    """Checks that a schema cannot express."""
    for sex, fit in region.fits.items():
        problem = _problem(fit)
        if problem:
            raise ModelError(f"{source}: {region.name}, {sex}: {problem}", REMEDY)


def _problem(fit: RegionFit) -> str | None:
    parts = [("mean", fit.powers, fit.coefficients, fit.root, 2)]
    if fit.sigma is not None:
        parts.append(("sigma", fit.sigma.powers, fit.sigma.coefficients, fit.sigma.root, 2))
    for name, powers, coefficients, root, fixed in parts:
        width = fixed + len(powers)
        if len(coefficients) != width:
            return f"{name} has {len(powers)} powers but {len(coefficients)} coefficients"
        if root is not None and len(root) != width * (width + 1) // 2:
            return f"the root of {name} must have {width * (width + 1) // 2} numbers"
    if any(low > high for low, high in (fit.age_range, fit.etiv_range, fit.volume_range)):
        return "a range ends before it starts"
    if (fit.age_range[0] + fit.shift) / fit.scale <= 0:
        return "the shifted age is not positive at the youngest trained age"
    return None if np.isfinite([*fit.coefficients, fit.rmse]).all() else "a coefficient is not finite"


def _render(value: Any, depth: int) -> str:
    if isinstance(value, Mapping) and value and depth < 3:
        inner = ",\n".join(
            f"{'  ' * (depth + 1)}{json.dumps(key, ensure_ascii=False)}: {_render(item, depth + 1)}"
            for key, item in value.items()
        )
        return "{\n" + inner + "\n" + "  " * depth + "}"
    if isinstance(value, list) and len(value) > 0 and depth < 3 and isinstance(value[0], Mapping | str):
        inner = ",\n".join("  " * (depth + 1) + _render(item, 3) for item in value)
        return "[\n" + inner + "\n" + "  " * depth + "]"
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
