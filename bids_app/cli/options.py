"""Options of the commands as data: how each is written in a usage line, what it means, and what argparse must know.

``-w --work-dir DIR`` has one value, ``--regions R...`` several, ``--recon {auto,run}`` one of these, ``--force`` none,
and ``BIDS_DIR`` is positional. The placeholder says what a value is (`KINDS`): a path, a whole number, or text.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from bids_app.cli.words import tell
from bids_app.errors import did_you_mean

T = TypeVar("T")
# How it is written, what it means, and more for argparse where the first two do not say it all.
Option = tuple[str, str] | tuple[str, str, Mapping[str, Any]]


class Parser(argparse.ArgumentParser):
    """argparse whose errors are one sentence, with the nearest word where one is misspelt."""

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        choices = [str(choice) for choice in action.choices or ()]
        if choices and value not in choices:
            near = did_you_mean(str(value), choices) or f"it is one of {', '.join(choices)}"
            raise argparse.ArgumentError(action, f"{value!r} is not known; {near}")

    def error(self, message: str) -> NoReturn:
        """One sentence, and exit code 2."""
        if message.startswith("unrecognized arguments"):
            stray = message.partition(": ")[2].split()[0]
            near = did_you_mean(stray.partition("=")[0], self._known())
            message = f"there is no option {stray}" + (f"; {near}" if near else "")
        tell(f"{self.prog}: {message}; {self.prog} --help lists what there is")
        sys.exit(2)

    def _known(self) -> list[str]:
        """Every option, of subcommands too."""
        inside = [action.choices.values() for action in self._actions if isinstance(action.choices, Mapping)]
        parsers = [self, *(parser for group in inside for parser in group)]
        return [option for parser in parsers for action in parser._actions for option in action.option_strings]


class Completion(argparse.Action):
    """Prints the script that completes the command's options in a shell."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option: str | None = None) -> None:
        """Print and stop."""
        import shtab

        print(shtab.complete(parser, shell=values))
        parser.exit()


def add_general_options(parser: argparse.ArgumentParser, version: str) -> None:
    """``--version`` and ``--print-completion``."""
    parser.add_argument("--version", action="version", version=f"normvol {version}")
    parser.add_argument(
        "--print-completion",
        action=Completion,
        choices=("bash", "zsh", "tcsh"),
        help="print a script that completes options in this shell",
    )


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


PLACES = ("BIDS_DIR", "DIR", "FILE", "MODEL", "OUTDIR", "OUTPUT_DIR", "SUBJECTS_DIR", "TABLE", "Z")
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
