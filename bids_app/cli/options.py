"""Options of the commands as data: how each is written in a usage line, what it means, and what argparse must know.

``-w --work-dir DIR`` has one value, ``--regions R...`` several, ``--recon {auto,run}`` one of these, ``--force`` none,
and ``BIDS_DIR`` is positional. The placeholder says what a value is (`KINDS`): a path, a whole number, or text.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from bids_app.cli.words import tell
from bids_app.errors import did_you_mean

T = TypeVar("T")
# How it is written, what it means, and more for argparse where the first two do not say it all.
Option = tuple[str, str] | tuple[str, str, Mapping[str, Any]]


# What word processors make of two hyphens
DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"


def plain(name: str) -> str:
    """An option's name in the spelling that all its variants share: hyphens for underscores, small letters."""
    return "--" + name.lstrip("-" + DASHES).replace("_", "-").lower()


class Parser(argparse.ArgumentParser):
    """argparse whose errors are one sentence, with the nearest word where one is misspelt."""

    words: Sequence[str] = ()

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """As argparse; underscores and capitals in options do not matter."""
        self.words = self._spelt(sys.argv[1:] if args is None else args)
        return super().parse_args(self.words, namespace)

    def _spelt(self, words: Sequence[str]) -> list[str]:
        """The words with the options among them as they are written here; long dashes and single ones are refused."""
        known = self._known()
        variants = {plain(name): name for name in reversed(known) if name.startswith("--")}
        end = words.index("--") if "--" in words else len(words)
        out = list(words)
        for place, word in enumerate(words[:end]):
            name, equals, value = word.partition("=")
            meant = variants.get(plain(name)) if name[:1] in ("-", *DASHES) and name not in known else None
            if meant and name.startswith("--"):
                out[place] = meant + equals + value
            elif meant:
                self.error(f"{name!r} is no option; write {meant}, with two hyphens")
        return out

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        choices = [str(choice) for choice in action.choices or ()]
        if choices and value not in choices:
            near = did_you_mean(str(value), choices) or f"it is one of {', '.join(choices)}"
            raise argparse.ArgumentError(action, f"{value!r} is not known; {near}")

    def error(self, message: str) -> NoReturn:
        """One sentence, and exit code 2."""
        explicit = re.search(r"argument (\S+): ignored explicit argument (.*)", message)
        if explicit:
            message = f"{explicit[1].rpartition('/')[2]} takes no value, but {explicit[2]} was given; leave that out"
        elif message.startswith("unrecognized arguments"):
            message = self._unrecognized(message.partition(": ")[2].split()[0])
        tell(f"{self.prog}: {message}; {self.prog} --help lists what there is")
        sys.exit(2)

    def _unrecognized(self, stray: str) -> str:
        """What to say of a word that was left over."""
        before = self.words[self.words.index(stray) - 1] if stray in self.words[1:] else ""
        if not stray.startswith("-") and any(before in action.option_strings for action in self._actions):
            return f"{before} takes no value, but {stray!r} follows it; leave that out"
        if stray.startswith("-") and "--" in self.words and stray in self.words[self.words.index("--") :]:
            return f"{stray} stands after --, where no options are read; leave -- out"
        near = self._near(stray.partition("=")[0])
        return f"there is no option {stray}" + (f"; {near}" if near else "")

    def _near(self, name: str) -> str:
        """The option that may be meant: one that begins so, else one that looks alike."""
        listed = [
            name for action in self._actions if action.help != argparse.SUPPRESS for name in action.option_strings
        ]
        longer = [one for one in [*listed, *self._known()] if len(name) > 4 and one.startswith(plain(name))]
        return f"did you mean {longer[0]}?" if longer else did_you_mean(name, self._known())

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
        setattr(namespace, self.dest, {**(getattr(namespace, self.dest, None) or {}), **dict(values)})


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
        # Given twice, values add up: whoever types --participant-label twice wants both.
        holder, settings["nargs"], settings["action"] = holder[:-3], "+", "extend"
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
