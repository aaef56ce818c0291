"""What the files of all kinds of models share: their form, their digest and what stands for a date."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bids_app.errors import InputError, ModelError
from bids_app.tables import read_json, write_json

# Of files that others made: the day of the files is that of their copying, and the same files give the same model
NO_DATE = "not stated"
REMEDY = "get the model file again or train the model anew"
# Whole numbers up to it are exact as floating point numbers
LARGEST_WHOLE = 2**53


def digest(body: Mapping[str, Any]) -> str:
    """SHA-256 (hexadecimal) of the canonical JSON of everything but the digest."""
    try:
        text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise ModelError("a number of the model is not finite", REMEDY) from error
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def write_document(body: Mapping[str, Any], path: Path | str) -> Path:
    """Write `body` and its digest as readable JSON."""
    return write_json({**body, "digest": digest(body)}, path)


def read_document(path: Path | str, remedy: str = REMEDY) -> Any:
    """The content of a model file; ModelError where it is no JSON, or holds a whole number that no float is."""
    try:
        return read_json(path, parse_int=_whole)
    except InputError as error:
        raise ModelError(f"the model file {path} is not readable JSON (truncated?): {error.reason}", remedy) from error


def _whole(digits: str) -> int:
    value = int(digits)
    if abs(value) > LARGEST_WHOLE:
        raise ValueError(f"{digits[:20]}... is too large a number")
    return value


def has_format(path: Path, form: str) -> bool:
    """Whether the beginning of `path` says that it is a model of this form."""
    with path.open("rb") as stream:
        return f'"format": "{form}"'.encode() in stream.read(200)
