"""Select rows of a table by a condition in words: a small grammar of our own, nothing is ever executed.

::

    condition  = and_part { "or" and_part }
    and_part   = not_part { "and" not_part }
    not_part   = "not" not_part | comparison
    comparison = operand { ("==" | "!=" | "<" | "<=" | ">" | ">=") operand }
               | operand ["not"] "in" list
               | operand "is" ["not"] "missing"
               | "(" condition ")"
    list       = ("[" | "(") value { "," value } ("]" | ")")
    operand    = value | column
    value      = number | 'text' | "text" | True | False
    column     = word | `name with blanks`

A cell that is missing makes a comparison unknown (Kleene's logic); rows are selected where the whole is true.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bids_app.errors import UsageError
from bids_app.tables import NA_VALUES

MAX_LENGTH = 2000
MAX_DEPTH = 40
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_TOKEN = re.compile(
    r"""\s*(?:
    (?P<number>[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?(?![\w.]))
    |(?P<text>"[^"]*"|'[^']*')
    |(?P<column>`[^`]+`)
    |(?P<word>[^\W0-9][\w.]*)
    |(?P<sign>==|!=|<=|>=|<|>|[()\[\],])
    )""",
    re.VERBOSE,
)
_WORDS = ("and", "or", "not", "in", "is", "missing")
_END = ("end", "")


@dataclass(frozen=True)
class _Operand:
    """A column of the table, or one value for all rows (`column` is None)."""

    values: pd.Series
    column: str | None


def select_rows(table: pd.DataFrame, condition: str) -> np.ndarray:
    """Which rows fulfil `condition`.

    Parameters
    ----------
    table : DataFrame
    condition : str
        In the grammar of this module, for example ``group == "control" and age >= 18``.

    Returns
    -------
    ndarray of bool, one per row

    Raises
    ------
    UsageError
        When the condition is not in the grammar, or names a column that the table does not have.
    """
    parser = _Parser(table, condition)
    try:
        return parser.parse().fillna(False).to_numpy(dtype=bool)
    except RecursionError as error:
        raise parser.error("it is nested too deeply") from error


def _tokens(condition: str) -> list[tuple[str, str]]:
    if len(condition) > MAX_LENGTH:
        raise UsageError(f"a condition of {len(condition)} characters is too long", f"write at most {MAX_LENGTH}")
    found, position = [], 0
    while condition[position:].strip():
        match = _TOKEN.match(condition, position)
        if match is None:
            rest = condition[position:].strip()
            raise UsageError(f"the condition {condition!r} is not understood from {rest[:20]!r} on", _example(None))
        found.append((str(match.lastgroup), match[match.lastgroup or 0]))
        position = match.end()
    return found


def _example(table: pd.DataFrame | None) -> str:
    columns = "" if table is None else f"; columns: {', '.join(map(str, table.columns))}"
    return f'write for example \'group == "control"\' or \'age >= 18 and site in ["A", "B"]\'{columns}'


class _Parser:
    """Recursive descent over the tokens; every rule returns one nullable boolean per row."""

    def __init__(self, table: pd.DataFrame, condition: str) -> None:
        self._table = table
        self._condition = condition
        self._tokens = [*_tokens(condition), _END]
        self._at = 0
        self._depth = 0

    def error(self, why: str) -> UsageError:
        return UsageError(f"the condition {self._condition!r} cannot be used: {why}", _example(self._table))

    def parse(self) -> pd.Series:
        result = self._or()
        if self._tokens[self._at] != _END:
            raise self.error(f"{self._tokens[self._at][1]!r} is not expected there")
        return result

    def _or(self) -> pd.Series:
        result = self._and()
        while self._take("or"):
            result = result | self._and()
        return result

    def _and(self) -> pd.Series:
        result = self._not()
        while self._take("and"):
            result = result & self._not()
        return result

    def _not(self) -> pd.Series:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self.error("it is nested too deeply")
        result = ~self._not() if self._take("not") else self._comparison()
        self._depth -= 1
        return result

    def _comparison(self) -> pd.Series:
        if self._take("("):
            result = self._or()
            self._need(")")
            return result
        left = self._operand()
        if self._take("is"):
            negative = self._take("not")
            self._need("missing")
            missing = _missing(left.values).astype("boolean")
            return ~missing if negative else missing
        if self._tokens[self._at][1] in ("in", "not"):
            negative = self._take("not")
            self._need("in")
            members = [_compare("==", left, value) for value in self._list()]
            result = members[0]
            for member in members[1:]:
                result = result | member
            return ~result if negative else result
        return self._chain(left)

    def _chain(self, left: _Operand) -> pd.Series:
        """One comparison, or several as in ``18 <= age < 60``."""
        result = None
        while self._tokens[self._at][1] in _COMPARE and self._tokens[self._at][0] == "sign":
            sign = self._next()[1]
            right = self._operand()
            part = _compare(sign, left, right)
            result, left = part if result is None else result & part, right
        if result is None:
            raise self.error("a comparison such as == is missing")
        return result

    def _list(self) -> list[_Operand]:
        closing = "]" if self._take("[") else ")"
        if closing == ")":
            self._need("(")
        values = [self._operand()]
        while self._take(","):
            values.append(self._operand())
        self._need(closing)
        return values

    def _operand(self) -> _Operand:
        kind, token = self._next()
        if kind == "number":
            return self._constant(float(token))
        if kind == "text":
            return self._constant(token[1:-1])
        if token in ("True", "False"):
            return self._constant(token)
        if kind not in ("word", "column") or token in _WORDS:
            raise self.error(f"a column or a value is missing before {token!r}" if token else "it ends too early")
        name = token.strip("`")
        found = [column for column in self._table.columns if str(column) == name]
        if len(found) != 1 or not isinstance(self._table[found[0]], pd.Series):
            raise self.error(f"there is {'more than one' if found else 'no'} column {name}")
        return _Operand(self._table[found[0]], name)

    def _constant(self, value: float | str) -> _Operand:
        return _Operand(pd.Series([value] * len(self._table), index=self._table.index), None)

    def _next(self) -> tuple[str, str]:
        token = self._tokens[self._at]
        self._at += token != _END
        return token

    def _take(self, word: str) -> bool:
        kind, token = self._tokens[self._at]
        taken = token == word and kind in ("word", "sign")
        self._at += taken
        return taken

    def _need(self, word: str) -> None:
        if not self._take(word):
            raise self.error(f"{word!r} is missing")


def _missing(values: pd.Series) -> pd.Series:
    return values.isna() | values.astype(str).str.strip().isin(NA_VALUES)


def _compare(sign: str, left: _Operand, right: _Operand) -> pd.Series:
    """Cell by cell, so that a table read in pieces gives the same; unknown where a cell is missing.

    Text against text compares as text. Where one side holds numbers, numbers are compared, and text that is no
    number is unequal to all of them and neither above nor below.
    ``column != column`` is true where it is missing, as users of pandas write it.
    """
    absent = _missing(left.values) | _missing(right.values)
    if sign == "!=" and left.column is not None and left.column == right.column:
        return absent.astype("boolean")
    sides = (left.values, right.values)
    if not any(pd.api.types.is_numeric_dtype(side) and not pd.api.types.is_bool_dtype(side) for side in sides):
        return _COMPARE[sign](*(side.astype(str).str.strip() for side in sides)).astype("boolean").mask(absent)
    numbers = [pd.to_numeric(side, errors="coerce") for side in sides]
    found = _COMPARE[sign](*numbers).astype("boolean")
    if sign not in ("==", "!="):
        absent = absent | numbers[0].isna() | numbers[1].isna()
    return found.mask(absent)
