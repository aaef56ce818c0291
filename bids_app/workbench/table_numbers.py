"""Numbers as people write them in tables: ``7123.4``, ``7,123.4``, ``7.123,4``, ``7 123,4``; one style per column."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

import numpy as np
import pandas as pd

from bids_app.normative.plausible import typical_value

PLAIN, COMMA, POINT_GROUPS, COMMA_GROUPS, EITHER, NONE = "plain", "comma", "point groups", "comma groups", "either", ""
WORDS = {
    COMMA: "decimal commas",
    POINT_GROUPS: "points between thousands and decimal commas",
    COMMA_GROUPS: "commas between thousands",
}
_BLANKS = re.compile(r"(?<=\d)[ '\u00a0\u2009\u202f](?=\d{3})")
# The first that fits a cell; `EITHER` is one group of three after a comma.
_FORMS = (
    (COMMA_GROUPS, re.compile(r"[+-]?\d{1,3}(,\d{3})+\.\d*|[+-]?\d{1,3}(,\d{3}){2,}")),
    (POINT_GROUPS, re.compile(r"[+-]?\d{1,3}(\.\d{3})+,\d*|[+-]?\d{1,3}(\.\d{3}){2,}")),
    (EITHER, re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")),
    (COMMA, re.compile(r"[+-]?\d*,\d+")),
)
_ONE_GROUP = re.compile(r"[+-]?[1-9]\d{0,2}\.\d{3}")


def form_of(cell: str) -> str:
    """The style that a cell of text can only have; `PLAIN` for a number as programs write it, `NONE` for no number."""
    text = _BLANKS.sub("", cell.strip())
    try:
        float(text)
        return PLAIN
    except ValueError:
        return next((name for name, pattern in _FORMS if pattern.fullmatch(text)), NONE)


def style_of(name: str, forms: Mapping[str, int], examples: Mapping[str, str]) -> str:
    """The one style of a column, by the forms of its cells; `NONE` where they contradict each other.

    Parameters
    ----------
    name : str
        The measure: what is usual decides whether ``7,123`` is 7123 or 7.123.
    forms : mapping
        Form to the number of cells.
    examples : mapping
        Form to one of its cells.
    """
    seen = {form for form, count in forms.items() if count and form not in (PLAIN, NONE, EITHER)}
    if len(seen - {COMMA}) > 1 or seen == {COMMA, COMMA_GROUPS}:
        return NONE
    if seen:
        return next(iter(seen - {COMMA}), COMMA)
    if not forms.get(EITHER):
        return PLAIN
    usual = typical_value(name)
    fits = [style for style in (COMMA_GROUPS, COMMA) if usual and 0.1 < _number(examples[EITHER], style) / usual < 10]
    return fits[0] if len(fits) == 1 else NONE


def as_numbers(column: pd.Series, style: str = PLAIN) -> pd.Series:
    """A column as floating point, read in a style; NaN where a cell is no number.

    Parameters
    ----------
    column : (n,) Series
    style : str
        Of `style_of`; columns that hold numbers already need none.

    Returns
    -------
    (n,) Series of float
    """
    if column.dtype.kind in "iufb":
        return column.astype(float)
    cells = column.dropna().astype(str)
    found = {cell: _number(cell, style) for cell in cells.unique()}
    return pd.to_numeric(column.map(found), errors="coerce").astype(float)


def _number(cell: str, style: str) -> float:
    text, form = _BLANKS.sub("", cell.strip()), form_of(cell)
    if form == NONE or (style == NONE and form != PLAIN):
        return np.nan
    if style == COMMA_GROUPS:
        text = text.replace(",", "")
    elif style == POINT_GROUPS and (form != PLAIN or _ONE_GROUP.fullmatch(text)):
        text = text.replace(".", "").replace(",", ".")
    elif style == COMMA:
        text = text.replace(",", ".")
    try:
        return float(text)
    except ValueError:
        return np.nan


class Forms:
    """What the cells of some columns of text look like, piece by piece."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[str]] = {}
        self._examples: dict[str, dict[str, str]] = {}

    def see(self, name: str, column: pd.Series) -> None:
        """Take in a piece of a column; one that holds numbers already says nothing.

        Parameters
        ----------
        name : str
            The column's measure.
        column : Series
            Its cells in the piece.
        """
        if column.dtype.kind in "iufb":
            return
        counts, examples = self._counts.setdefault(name, Counter()), self._examples.setdefault(name, {})
        for cell, rows in column.dropna().astype(str).value_counts(sort=False).items():
            form = form_of(str(cell))
            counts[form] += int(rows)
            examples.setdefault(form, str(cell))

    def style(self, name: str) -> str:
        """The style of a whole column."""
        return style_of(name, self._counts.get(name, {}), self._examples.get(name, {}))

    def odd(self) -> dict[str, tuple[str, int, str]]:
        """Column to style, number of cells and an example, where cells are not written as programs do."""
        found = {}
        for name, counts in self._counts.items():
            odd = {form: count for form, count in counts.items() if count and form not in (PLAIN, NONE)}
            if odd:
                found[name] = (self.style(name), sum(odd.values()), self._examples[name][next(iter(odd))])
        return found
