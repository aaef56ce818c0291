"""Options of fMRIPrep, sMRIPrep and MRIQC that somebody may type here: accepted, or refused with what to use instead.

They stand in ``data/nipreps_options.tsv``. Other spellings of our own options (``same``) are rewritten before the
command line is parsed; options without meaning here (``unused``) are taken with a remark, the others (``refused``) are
an error.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from itertools import groupby
from typing import Any, NamedTuple, NoReturn

from bids_app.cli.options import Parser, plain
from bids_app.cli.words import tell

SAME, UNUSED, REFUSED = "same", "unused", "refused"
LEVELS = ("participant", "group")
NUMBER_OF_VALUES = {"*": "*", "+": "+", "?": "?"}


class Foreign(NamedTuple):
    """One row of the table: what `written` (with `value`, "n/a" for any) means here."""

    written: str
    value: str
    apps: str
    here: str
    words: str

    @property
    def names(self) -> list[str]:
        """The option's spellings."""
        return [word for word in self.written.split() if word.startswith("-")]

    @property
    def placeholder(self) -> str:
        """What stands for its value; empty where it takes none."""
        last = self.written.split()[-1]
        return "" if last.startswith("-") else last


@lru_cache(maxsize=1)
def foreign_options() -> tuple[Foreign, ...]:
    """The table."""
    with (files("bids_app.data") / "nipreps_options.tsv").open(encoding="utf-8") as stream:
        return tuple(Foreign(*row.values()) for row in csv.DictReader(stream, delimiter="\t"))


def translated(words: Sequence[str]) -> list[str]:
    """The command line with other apps' spellings of our own options in our spelling."""
    ours = {
        name: row.words for row in foreign_options() if row.here == SAME and row.value == "n/a" for name in row.names
    }
    variants = {plain(name): words for name, words in ours.items() if name.startswith("--")}
    end = words.index("--") if "--" in words else len(words)
    out: list[str] = []
    left = iter(words[:end])
    for word in left:
        name, equals, value = word.partition("=")
        mine = ours.get(name) or (variants.get(plain(name)) if name.startswith("--") else None)
        if mine is None:
            out.append(word)
            continue
        option, *meant = mine.split()
        if meant == ["{}G"]:
            value = value if equals else next(left, "")
            meant = [f"{value}G" if value.replace(".", "", 1).isdecimal() else value]
        elif equals:
            meant = [value]
        out += [option, *meant]
    return [*out, *words[end:]]


class ForeignAction(argparse.Action):
    """Takes an option of another app with a remark, or refuses it."""

    def __init__(self, rows: Sequence[Foreign] = (), **settings: Any) -> None:
        super().__init__(**settings)
        self.rows = rows

    def __call__(self, parser: Any, namespace: Any, values: Any, option: str | None = None) -> None:
        """Say what the option, with the value given, means here."""
        given = values if isinstance(values, list) else [values]
        fitting = [row for row in self.rows if row.value in given] or [row for row in self.rows if row.value == "n/a"]
        for row in fitting:
            if row.here == REFUSED:
                raise argparse.ArgumentError(None, f"{option} is not for normvol: {row.words}")
            if row.here == SAME:
                setattr(namespace, row.words.removeprefix("--"), True)
            else:
                tell(f"normvol: {option} changes nothing here: {row.words}")


def add_foreign_options(parser: argparse.ArgumentParser) -> None:
    """Let `parser` know the options that are not ours; ``--help`` does not list them."""
    for _, group in groupby(foreign_options(), key=lambda row: row.written):
        rows = tuple(group)
        if (rows[0].here, rows[0].value) == (SAME, "n/a"):
            continue
        settings: dict[str, Any] = {"nargs": 0}
        if holder := rows[0].placeholder:
            settings = {"nargs": NUMBER_OF_VALUES.get(holder[-1])}
        if holder.startswith("{"):
            settings["choices"] = tuple(holder[1:-1].split(","))
        parser.add_argument(
            *rows[0].names, action=ForeignAction, rows=rows, dest=argparse.SUPPRESS, help=argparse.SUPPRESS, **settings
        )


def _with_recon_words(words: Sequence[str]) -> list[str]:
    """``--recon-args -hires`` as ``--recon-args=-hires``: argparse would take the flag for one of ours."""
    out: list[str] = []
    for word in words:
        if out and out[-1] == "--recon-args" and word.startswith("-"):
            out[-1] = f"--recon-args={word}"
        else:
            out.append(word)
    return out


class AppParser(Parser):
    """The parser of ``normvol``: knows what users of other BIDS-Apps type, and in which order."""

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """As argparse, after translation."""
        return super().parse_args(_with_recon_words(translated(sys.argv[1:] if args is None else args)), namespace)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.dest == "analysis_level" and value not in LEVELS and set(LEVELS) & set(self.words):
            raise argparse.ArgumentError(None, f"{value!r} stands where the level is expected; {self._order()}")
        super()._check_value(action, value)

    def error(self, message: str) -> NoReturn:
        """One sentence, and exit code 2."""
        if "--force" in message and "ignored explicit" in message:
            message = f"unrecognized arguments: {message.rpartition(' ')[2]}".replace("'", "")
        if message.startswith("unrecognized arguments"):
            stray = message.partition(": ")[2].split()
            forced = any(word.partition("=")[0] == "--force" for word in self.words)
            if stray[0] in LEVELS:
                message = f"one level per command: run it again with {stray[0]} when this one is done"
            elif forced and stray[0] in ("bbr", "no-bbr", "syn-sdc", "fmap-jacobian"):
                message = f"--force {stray[0]} is not for normvol: functional images are not read; leave it out"
            else:
                message = self._unrecognized(stray[0])
        elif message.startswith("the following arguments are required"):
            message = f"dataset, output folder and level are needed; {self._order()}"
        super().error(message)

    def _unrecognized(self, stray: str) -> str:
        said = super()._unrecognized(stray)
        if stray.startswith("-") or "takes no value" in said:
            return said
        return f"{stray!r} is one word too many; {self._order()}"

    def _order(self) -> str:
        return (
            "write normvol BIDS_DIR OUTPUT_DIR {participant,group} in this order and options after them "
            "(an option that takes several values takes every word up to the next option)"
        )


def option_table() -> str:
    """The table of docs/usage.md, in Markdown."""
    words = {SAME: "the same as `{}`", UNUSED: "no effect: {}", REFUSED: "refused: {}"}
    lines = ["| option | known from | here |", "|---|---|---|"]
    for row in foreign_options():
        names = ", ".join(f"`{name}`" for name in row.names) + (f" `{row.value}`" if row.value != "n/a" else "")
        lines.append(
            f"| {names} | {row.apps.replace(' ', ', ')} | {words[row.here].format(row.words.replace('{}G', 'NG'))} |"
        )
    return "\n".join(lines) + "\n"
