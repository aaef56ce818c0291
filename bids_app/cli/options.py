"""Options of the commands as data: how each is written in a usage line, what it means, and what argparse must know.

``-w --work-dir DIR`` has one value, ``--regions R...`` several, ``--recon {auto,run}`` one of these, ``--force`` none,
and ``BIDS_DIR`` is positional. The placeholder says what a value is (`KINDS`): a path, a whole number, or text.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
# How it is written, what it means, and more for argparse where the first two do not say it all.
Option = tuple[str, str] | tuple[str, str, Mapping[str, Any]]


def positive(text: str) -> int:
    """A whole number of 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number, 1 or more, not {text!r}")
    return int(text)


def pair(text: str) -> tuple[str, str]:
    """``NAME=VALUE`` in two."""
    name, separator, value = text.partition("=")
    if not (name and separator and value):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


class Pairs(argparse.Action):
    """Keeps several ``NAME=VALUE`` as a mapping."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option: str | None = None) -> None:
        """Store them under the option's name."""
        setattr(namespace, self.dest, dict(values))


PLACES = ("BIDS_DIR", "DIR", "FILE", "MODEL", "OUTDIR", "OUTPUT_DIR", "TABLE", "Z")
KINDS: Mapping[str, Any] = {"N": positive, **dict.fromkeys(PLACES, Path)}
PAIRS: Mapping[str, Any] = {"type": pair, "action": Pairs}


def add_options(parser: argparse._ActionsContainer, options: Iterable[Option]) -> None:
    """Add `options` to a parser or to one of its groups."""
    for written, meaning, *more in options:
        names, settings = _parsed(written)
        parser.add_argument(*names, help=meaning, **{**settings, **(more[0] if more else {})})


def _parsed(written: str) -> tuple[list[str], dict[str, Any]]:
    """The names of an option and what its placeholder says."""
    words = written.split()
    names = [word for word in words if word.startswith("-")]
    holder = "" if len(names) == len(words) else words[-1]
    settings: dict[str, Any] = {} if holder else {"action": "store_true"}
    if holder.endswith("..."):
        holder, settings["nargs"] = holder[:-3], "+"
    if holder.startswith("{"):
        settings["choices"] = tuple(holder[1:-1].split(","))
    elif holder:
        settings["metavar"] = holder
    kind = KINDS.get(holder.partition(".")[0])
    if kind is not None:
        settings["type"] = kind
    return names or [words[0].lower()], settings


def made(kind: type[T], arguments: argparse.Namespace) -> T:
    """The configuration `kind` of the options that were given; those that were not keep its defaults."""
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    given = {name: value for name, value in vars(arguments).items() if name in known}
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in given.items()})
