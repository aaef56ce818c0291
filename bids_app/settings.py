"""Configuration files: TOML to a frozen dataclass and back; what does not fit is a sentence with file, key and cure.

The annotations of the class say what a key may hold. Values are never converted, but for numbers where labels stand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tomli_w
from pydantic import BeforeValidator, TypeAdapter, ValidationError

from bids_app.errors import UsageError, did_you_mean

T = TypeVar("T")
# A label that looks like a number may be written without quotes.
Label = Annotated[str, BeforeValidator(lambda value: str(value) if type(value) in (int, float) else value)]
LONGEST_SHOWN = 200
# bytes of a path that are not UTF-8
_SURROGATE = re.compile("[\ud800-\udfff]")
# What pydantic's kinds of error are called here (https://docs.pydantic.dev/latest/errors/validation_errors/).
WORDS = {
    "literal_error": "is one of {expected}",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be {ge:g} or more",
    "less_than_equal": "must be {le:g} or less",
    "tuple_type": "takes a list",
    "dict_type": "takes a table",
    "int_type": "takes a whole number",
    "float_type": "takes a number",
    "bool_type": "takes true or false",
    "string_type": "takes text in quotes",
}


def from_plain(kind: type[T], values: Mapping[str, Any], source: str = "", what: str = "option") -> T:
    """An instance of the dataclass `kind` from values as TOML holds them.

    Parameters
    ----------
    source : str
        The file, for messages; empty where there is none.
    what : str
        What a key is called in messages.

    Raises
    ------
    UsageError
        When a key is unknown or its value does not fit.
    """
    where = f"{source}: " if source else ""
    assert is_dataclass(kind)
    refuse_unknown(values, [field.name for field in fields(kind)], where, what)
    try:
        # Strict JSON is what TOML holds: a list for a tuple, text for a path, but never "2" for 2.
        text = json.dumps(dict(values), default=str, ensure_ascii=False)
        if _SURROGATE.search(text):
            raise UsageError(f"{where}{_not_text(values)} is not in UTF-8", "rename it, or give a link to it")
        if "\\u0000" in text:
            raise UsageError(f"{where}a text holds a NUL (\\u0000), which no name or path can", "remove it")
        made: T = _adapter(kind).validate_json(text, strict=True)
    except RecursionError as error:
        raise UsageError(f"{where}tables and lists are nested too deeply") from error
    except ValidationError as error:
        found = error.errors(include_url=False)
        name = str(found[0]["loc"][0])
        said = dict.fromkeys(_sentence(item) for item in found if item["loc"][0] == name)
        raise UsageError(f"{where}the {what} {name} {' or '.join(said)}, not {_shown(found[0]['input'])}") from error
    return made


def _not_text(values: Mapping[str, Any]) -> str:
    """Key and value that hold bytes which are no text."""
    return next(f"{key} {_shown(value)}" for key, value in values.items() if _SURROGATE.search(str(value)))


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


def refuse_unknown(values: Mapping[str, Any], known: Iterable[str], where: str = "", what: str = "option") -> None:
    """UsageError when `values` is no table, or has keys that are not `known`."""
    if not isinstance(values, Mapping):
        raise UsageError(f"{where}a table of {what}s is needed, not {_shown(values)}")
    known = list(known)
    unknown = sorted(set(values) - set(known))
    if unknown:
        listing = f"known are {', '.join(known)}"
        near = did_you_mean(unknown[0], known)
        raise UsageError(
            f"{where}unknown {what} {', '.join(unknown)[:LONGEST_SHOWN]}", f"{listing}; {near}" if near else listing
        )


def to_toml(values: Mapping[str, Any]) -> str:
    """Plain values, paths and tuples as TOML; what is None is left out."""
    return tomli_w.dumps(_as_toml(values))


@lru_cache
def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _sentence(error: Any) -> str:
    context = {key: value for key, value in error.get("ctx", {}).items() if key != "error"}
    if "expected" in context:
        context["expected"] = context["expected"].replace("'", "").replace(" or ", ", ")
    if context.get("gt") == 0:
        return "must be positive"
    return WORDS.get(error["type"], error["msg"]).format(**context)


def _as_toml(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _as_toml(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_as_toml(item) for item in value]
    return str(value) if isinstance(value, Path) else value
