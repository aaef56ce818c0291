"""Options and messages that subcommands of ``normvol-model`` share."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bids_app.workbench.table_input import TableInput, TableReader


def add_table(parser: argparse.ArgumentParser, *, optional: bool = False) -> None:
    """TABLE and the options that say how to read it."""
    parser.add_argument(
        "table",
        type=Path,
        metavar="TABLE",
        nargs="?" if optional else None,
        help="TSV, CSV or Parquet with age, sex, EstimatedTotalIntraCranialVol (mm^3) and one "
        "column per region (mm^3), named as FreeSurfer names them",
    )
    parser.add_argument(
        "--map",
        nargs="+",
        type=_pair,
        default=[],
        metavar="NAME=COLUMN",
        help="columns of TABLE with other names, for example --map age=Age Left-Thalamus=lthal",
    )
    parser.add_argument(
        "--sex-coding",
        nargs="+",
        type=_sex_code,
        default=[],
        metavar="CODE=SEX",
        help="codes of sex in TABLE, for example --sex-coding 1=male 2=female",
    )


def read(arguments: argparse.Namespace, *, quiet: bool = False) -> TableInput:
    """The whole TABLE that `add_table` asked for; says what was read tolerantly, unless that was said before."""
    return next(reader(arguments, quiet=quiet).pieces())


def reader(arguments: argparse.Namespace, rows: int | None = None, *, quiet: bool = False) -> TableReader:
    """The TABLE in pieces of some rows; says what was read tolerantly, unless that was said before."""
    from bids_app.workbench.table_input import TableReader

    found = TableReader(arguments.table, dict(arguments.map), dict(arguments.sex_coding), rows)
    for note in () if quiet else found.notes:
        say(note)
    return found


def say(sentence: str) -> None:
    """One line on standard error."""
    print(f"normvol-model: {sentence}", file=sys.stderr, flush=True)


def _pair(text: str) -> tuple[str, str]:
    name, separator, column = text.partition("=")
    if not (name and separator and column):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=COLUMN")
    return name, column


def _sex_code(text: str) -> tuple[str, str]:
    code, sex = _pair(text)
    if sex not in ("female", "male"):
        raise argparse.ArgumentTypeError(f"{text!r} must end in =female or =male")
    return code, sex
