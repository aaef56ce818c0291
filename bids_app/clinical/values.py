"""Values of clinical columns as every analysis gets them: numbers on their scale, dates in one order, one spelling.

A value that cannot be is missing, and a sentence names it; a code for missing is never a value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd

from bids_app.clinical.wording import listing, plural

# Numbers that tables use for "missing"; those within a scale are not values either (SDMT goes to 110).
MISSING_CODES = (99, 999, 9999, 99999, 888, 8888, 777, 7777)
ISO = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?!\d)")
NUMBERED = re.compile(r"(\d{1,2})[-/.](\d{1,2})[-/.](\d{4})(?!\d)")
_DATE = re.compile(rf"{ISO.pattern}|{NUMBERED.pattern}")
WRITE_ISO = "write dates as 2019-05-31"


class Scale(NamedTuple):
    """Lowest and highest value of a score, its step (0: any value between), both in words, and whether it has codes.

    Without `codes` 99 and 999 are values as others.
    """

    low: float
    high: float
    step: float
    words: str
    codes: bool = True


SCALES = {
    "edss": Scale(0, 10, 0.5, "0 to 10 in steps of 0.5"),
    "pasat": Scale(0, 60, 0, "0 to 60"),
    "sdmt": Scale(0, 110, 0, "0 to 110"),
    "nhpt": Scale(0.1, 300, 0, "0.1 to 300 seconds"),
    "nhpt_other": Scale(0.1, 300, 0, "0.1 to 300 seconds"),
    "t25fw": Scale(0.1, 180, 0, "0.1 to 180 seconds"),
    "lesion_volume": Scale(0, float("inf"), 0, "0 or more", codes=False),
    "lesion_count": Scale(0, float("inf"), 1, "0, 1, 2, ...", codes=False),
    "disease_duration": Scale(0, 98, 0, "0 to 98 years"),
    "relapses": Scale(0, 98, 1, "0, 1, 2, ..."),
    "progression": Scale(0, 1, 1, "0 or 1"),
    "time": Scale(-98, 98, 0, "-98 to 98 years"),
}
FSS_MEAN, FSS_SUM = Scale(1, 7, 0, "1 to 7 (mean of the items)"), Scale(9, 63, 0, "9 to 63 (sum of the items)")


def numbers(values: pd.Series) -> pd.Series:
    """A column (n,) as numbers, a decimal comma read as a point; NaN where a cell is no number.

    Parameters
    ----------
    values : Series
        Text or numbers.

    Returns
    -------
    Series of float
        The index of `values`.
    """
    if not pd.api.types.is_numeric_dtype(values):
        values = values.astype(str).str.strip().str.replace(r"^([+-]?\d+),(\d+)$", r"\1.\2", regex=True)
    return pd.to_numeric(values, errors="coerce").astype(float)


def scale_of(role: str, column: str, values: pd.Series) -> Scale | None:
    """The scale of a role's column; that of FSS by its values, none for scores given as z.

    Parameters
    ----------
    role, column : str
    values : Series of float

    Returns
    -------
    Scale or None
        None for a role without a known scale.
    """
    if role == "fss":
        possible = values[(values >= FSS_MEAN.low) & (values <= FSS_SUM.high)]
        return FSS_MEAN if not len(possible) or (possible <= FSS_MEAN.high).mean() > 0.5 else FSS_SUM
    return None if re.search(r"(?i)z$", column) else SCALES.get(role)


def off_scale(values: pd.Series, scale: Scale) -> pd.Series:
    """Whether each number (n,) is no value of the scale: outside it, between its steps, or a code for missing.

    Parameters
    ----------
    values : Series of float
    scale : Scale

    Returns
    -------
    Series of bool
        False for missing values.
    """
    outside = (values < scale.low) | (values > scale.high) | np.isinf(values)
    if scale.codes:
        outside |= values.isin(MISSING_CODES)
    if scale.step:
        outside |= ((values / scale.step) % 1).between(1e-6, 1 - 1e-6)
    return outside & values.notna()


def dates(values: pd.Series) -> pd.Series:
    """A column of dates (n,) as days, in the one order of the whole column; NaT where a cell is none.

    Year-month-day is preferred; day-month-year and month-day-year are told apart by the column's values above 12.

    Parameters
    ----------
    values : Series of text

    Returns
    -------
    Series of datetime64
        NaT in the whole column, but for year-month-day, where `date_problem` finds its order unknown.
    """
    text = [str(value).strip() for value in values]
    order = _order(text)
    found = {}
    for index, cell in enumerate(text):
        if match := ISO.match(cell):
            found[index] = "-".join(match.groups())
        elif (match := NUMBERED.match(cell)) and order in ("day", "month"):
            first, second, year = match.groups()
            day, month = (first, second) if order == "day" else (second, first)
            found[index] = f"{year}-{month}-{day}"
    return pd.to_datetime(
        pd.Series([found.get(index) for index in range(len(text))], index=values.index, dtype=object), errors="coerce"
    )


def date_problem(values: pd.Series) -> str | None:
    """Why the order of day and month of a column cannot be told, None where it can.

    Parameters
    ----------
    values : Series of text

    Returns
    -------
    str or None
        Half a sentence.
    """
    return {
        "unknown": "day and month cannot be told apart in any of the dates",
        "mixed": "some dates can only be day-month-year, others only month-day-year",
    }.get(_order([str(value).strip() for value in values.dropna()]))


def looks_dated(values: pd.Series) -> bool:
    """Whether nine of ten known cells of a column look like dates.

    Parameters
    ----------
    values : Series

    Returns
    -------
    bool
    """
    text = [str(value).strip() for value in values.dropna()]
    return bool(len(text) and np.mean([bool(ISO.match(cell) or NUMBERED.match(cell)) for cell in text]) > 0.9)


def _order(text: list[str]) -> str:
    """``iso`` (nothing to tell), ``day`` or ``month`` first, ``unknown`` or ``mixed``."""
    pairs = [match.groups()[:2] for cell in text if not ISO.match(cell) and (match := NUMBERED.match(cell))]
    if not pairs:
        return "iso"
    first, second = (max(int(pair[position]) for pair in pairs) > 12 for position in (0, 1))
    return {(True, True): "mixed", (True, False): "day", (False, True): "month", (False, False): "unknown"}[
        first, second
    ]


def labels(values: pd.Series) -> pd.Series:
    """The levels of a column (n,) as text; whole numbers lose their decimals, missing stays None.

    Parameters
    ----------
    values : Series
        Text, numbers or both.

    Returns
    -------
    Series of object
        str or None.
    """
    text = [None if pd.isna(value) else str(int(value)) if _is_whole(value) else str(value) for value in values]
    return pd.Series(text, index=values.index, dtype=object)


def _is_whole(value: object) -> bool:
    return isinstance(value, float) and value.is_integer()


def level_key(level: str) -> str:
    """What two spellings of one level share: no case, single blanks."""
    return " ".join(level.split()).casefold()


def spellings(columns: Iterable[pd.Series]) -> dict[str, str]:
    """From every text level to the one spelling of it: the most frequent, of equals the first in the alphabet.

    Parameters
    ----------
    columns : iterable of Series
        Levels that differ in case or blanks are one.

    Returns
    -------
    dict of str to str
    """
    cells = [value for column in columns for value in column.dropna() if isinstance(value, str)]
    known: dict[str, dict[str, int]] = {}
    for cell in cells:
        counts = known.setdefault(level_key(cell), {})
        counts[cell] = counts.get(cell, 0) + 1
    chosen = {
        key: " ".join(min(counts, key=lambda text: (-counts[text], text)).split()) for key, counts in known.items()
    }
    return {cell: chosen[key] for key, counts in known.items() for cell in counts}


def spelling_notes(column: str, spelled: dict[str, str]) -> list[str]:
    """Sentences on levels of a column that were written in several ways."""
    ways: dict[str, list[str]] = {}
    for cell, chosen in sorted(spelled.items()):
        ways.setdefault(chosen, []).append(cell)
    return [
        f"{listing([repr(cell) for cell in cells])} are one level of {column}: {chosen}."
        for chosen, cells in ways.items()
        if len(cells) > 1
    ]


def without_date(value: object) -> object:
    """`value`; of a date only its form (``##.##.####``), since no output tells when somebody was there."""
    return _DATE.sub(lambda date: re.sub(r"\d", "#", date[0]), value) if isinstance(value, str) else value


def from_lines(file: str, lines: Iterable[int]) -> dict[str, object]:
    """``attrs`` of a table whose rows are these lines of a file; `named_values` says them."""
    return {"file": file, "lines": tuple(int(line) for line in lines)}


def named_values(table: pd.DataFrame, values: pd.Series, rows: pd.Series) -> str:
    """The values of some rows (n, bool) with person and session, and file and line where these are known.

    For example ``-999 (sub-01, ses-2; people.tsv, line 7) and 12 (sub-02; people.tsv, line 9)``.

    Parameters
    ----------
    table : (n rows) DataFrame
        Its ``attrs`` may hold ``file`` and ``lines``.
    values : (n,) Series
    rows : (n,) Series of bool
        Three are named, the rest is counted.

    Returns
    -------
    str
    """
    lines = table.attrs.get("lines", ())
    said = []
    for index in table.index[rows.to_numpy()]:
        person = [table.loc[index, name] for name in ("participant_id", "session_id") if name in table]
        where = ", ".join(str(part) for part in person if isinstance(part, str))
        if isinstance(index, int) and index < len(lines):
            where = f"{where}; {table.attrs['file']}, line {lines[index]}"
        value = values.loc[index]
        shown = f"{value:g}" if isinstance(value, float) else repr(without_date(value))
        said.append(f"{shown} ({where})")
    return listing(said, 3)


def unusable(table: pd.DataFrame, values: pd.Series, rows: pd.Series, column: str, why: str) -> list[str]:
    """The sentence on values of a column that are counted as missing; none without such rows.

    Parameters
    ----------
    table : (n rows) DataFrame
    values : (n,) Series
    rows : (n,) Series of bool
    column, why : str

    Returns
    -------
    list of str
        At most one.
    """
    count = int(rows.sum())
    if not count:
        return []
    verb = "is" if count == 1 else "are"
    where = named_values(table, values, rows)
    return [f"{plural(count, 'value')} of {column} {verb} {why} and {verb} counted as missing: {where}."]
