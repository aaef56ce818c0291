"""Reads back from a report every value that says which file it comes from."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from bids_app.reports.components import MISSING, typeset
from bids_app.tables import read_json, read_table

VOID = {"meta", "br", "img", "input", "link", "hr"}
DRAWN = ("style", "script", "svg", "title")
KEYS = ("data-file", "data-row", "data-column", "data-key", "data-scale")


class Shown(NamedTuple):
    """One marked value."""

    file: str
    row: str | None
    column: str | None
    key: str | None
    scale: float
    text: str


class Reader(HTMLParser):
    """Collects marked values in `values` and the text outside of them (drawings and methods apart) in `loose`."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._stack: list[tuple[str, dict[str, str]]] = []
        self._text: list[str] = []
        self._leaf = -1
        self.values: list[Shown] = []
        self.loose: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in VOID:
            return
        marks = {name: str(value) for name, value in attrs if name in (*KEYS, "id")}
        self._stack.append((tag, marks))
        if self._leaf < 0 and ("data-column" in marks or "data-key" in marks):
            self._leaf, self._text = len(self._stack), []

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        if len(self._stack) == self._leaf:
            self._close_leaf()
        assert self._stack.pop()[0] == tag

    def _close_leaf(self) -> None:
        marks: dict[str, str] = {}
        for _, own in self._stack:
            marks.update(own)
        self.values.append(
            Shown(
                marks["data-file"],
                marks.get("data-row"),
                marks.get("data-column"),
                marks.get("data-key"),
                float(marks.get("data-scale", 1)),
                " ".join("".join(self._text).split()),
            )
        )
        self._leaf = -1

    def handle_data(self, data: str) -> None:
        if self._leaf >= 0:
            self._text.append(data)
        elif not any(tag in DRAWN or marks.get("id") == "methods" for tag, marks in self._stack):
            self.loose.append(data)


def read_report(path: Path) -> Reader:
    """The values and the loose text of a report."""
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    assert not reader._stack
    return reader


class Files:
    """The files of a dataset, each read once."""

    def __init__(self, root: Path) -> None:
        self._root, self._read = root, {}

    def value(self, shown: Shown) -> Any:
        """What the file says."""
        if shown.file not in self._read:
            path = self._root / shown.file
            self._read[shown.file] = read_table(path) if path.suffix == ".tsv" else read_json(path)
        content = self._read[shown.file]
        if shown.key is None:
            return content.iloc[int(shown.row)][shown.column]
        return _at(content, shown.key)


def _at(content: Any, key: str) -> Any:
    """The value at a dotted key; names that hold dots themselves are tried whole."""
    if key == "":
        return content
    if isinstance(content, list):
        first, _, rest = key.partition(".")
        return _at(content[int(first)], rest)
    name = max((name for name in content if f"{key}.".startswith(f"{name}.")), key=len)
    return _at(content[name], key[len(name) + 1 :])


def agrees(text: str, value: Any, scale: float = 1.0) -> bool:
    """Whether `text` is `value` up to rounding in its last digit."""
    if value is None or (isinstance(value, float) and pd.isna(value)):
        return text == MISSING
    if isinstance(value, bool) or str(value) in ("True", "False"):
        return text == ("yes" if str(value) == "True" else "no")
    if isinstance(value, str):
        return text in (" ".join(value.split()), " ".join(typeset(value).split()))
    plain = re.sub(r"[\u202f\u2009\u00a0 ,]", "", text).replace("−", "-")
    if "∞" in plain:
        return plain.replace("∞", "inf") == str(value)
    if plain.startswith("<"):
        return value * scale < float(plain[1:])
    if plain.startswith(">"):
        return value * scale > float(plain[1:])
    mantissa, _, exponent = plain.partition("e")
    decimals = len(mantissa.partition(".")[2])
    half = 0.5 * 10.0 ** (int(exponent or 0) - decimals)
    whole = "." not in mantissa and abs(value * scale) >= 1000
    return abs(float(plain) - value * scale) <= (0.5 if whole else half) * (1 + 1e-9)
