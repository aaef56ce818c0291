"""Age and sex as people write them in tables: read tolerantly, never guessed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from bids_app.tables import NA_VALUES

MAX_AGE = 120.0
# Numbers that tables write for a missing age
MISSING_CODES = (777, 888, 999, 7777, 8888, 9999, 99999)
DAYS_PER_YEAR = 365.25
YEARS_PER_UNIT = {"years": 1.0, "months": 1 / 12, "weeks": 7 / DAYS_PER_YEAR, "days": 1 / DAYS_PER_YEAR}

_UNIT_WORDS = {
    "years": ("y", "yr", "yrs", "year", "years", "yo", "y/o", "years old", "year old", "a"),
    "months": ("mo", "mos", "mth", "mths", "month", "months"),
    "weeks": ("wk", "wks", "week", "weeks"),
    "days": ("day", "days"),
}
_UNITS = {word: unit for unit, words in _UNIT_WORDS.items() for word in words}
# DICOM's Age String: three digits and a capital; elsewhere `61M` may well be a man of 61
_DICOM = re.compile(r"(?P<number>\d{3})(?P<unit>[YMWD])")
_DICOM_UNITS = {"Y": "years", "M": "months", "W": "weeks", "D": "days"}
_NUMBER = r"\d{1,5}(?:[.,]\d+)?"
_AGE = re.compile(
    rf"(?P<over>>=?|≥)?\s*(?P<number>{_NUMBER})\s*(?P<plus>\+|or (?:older|over|more))?"
    r"\s*(?P<unit>[a-z/ ]*)"
)
_RANGE = re.compile(rf"[\[(]?\s*{_NUMBER}\s*(?:-|–|—|to|,\s|\.\.|/)\s*{_NUMBER}\s*[\])]?\s*[a-z]*")

_FEMALE = (
    "female",
    "females",
    "f",
    "fem",
    "woman",
    "women",
    "w",
    "girl",
    "weiblich",
    "femme",
    "kvinne",
    "kvinna",
    "femenino",
    "feminino",
)
_MALE = ("male", "males", "m", "man", "men", "boy", "männlich", "homme", "mann", "masculino")
_SEX = dict.fromkeys(_FEMALE, "female") | dict.fromkeys(_MALE, "male")


def is_missing(value: Any) -> bool:
    """True for None, NaN and every spelling of missing that tables use."""
    return value is None or value != value or str(value).strip() in NA_VALUES


def units_of(text: Any) -> str | None:
    """``years``, ``months``, ``weeks`` or ``days`` from a sidecar's ``Units``; None when unknown."""
    found = {_UNITS[word] for word in re.findall(r"[a-z]+", str(text).lower()) if word in _UNITS}
    return found.pop() if len(found) == 1 else None


def described_unit(text: Any) -> str | None:
    """The unit that a description names: ``age in months``, ``Age (weeks)``; None when it names none or several."""
    found = {_UNITS[word] for word in re.findall(r"(?:\bin |\()(years|months|weeks|days)\b", str(text).lower())}
    return found.pop() if len(found) == 1 else None


def cannot_be_years(cells: Iterable[Any]) -> str | None:
    """The largest of bare ages that cannot all be years, as text; None when they can.

    A single impossible cell is a slip of its own; where at least two and every fifth are above `MAX_AGE`, the column
    holds another unit, and its smaller values must not be taken for years.
    """
    values = [float(text.replace(",", ".")) for text in map(str, cells) if re.fullmatch(_NUMBER, text.strip())]
    above = [value for value in values if value > MAX_AGE and value not in MISSING_CODES]
    return f"{max(above):g}" if len(above) >= 2 and 5 * len(above) >= len(values) else None


def parse_age(text: Any, units: str = "years") -> tuple[float | None, str | None]:
    """Age in years from one table cell.

    Parameters
    ----------
    text : str or number
        ``61.2``, ``61,2``, ``61 years``, ``018M`` (DICOM), ``12 months``, ``89+``, ``>89``.
    units : {'years', 'months', 'weeks', 'days'}
        Of a bare number, as the column's name or JSON sidecar says.

    Returns
    -------
    age : float or None
        Years; None when the cell is missing, a range, negative, above 120 or not an age.
    note : str or None
        With an age: what was read tolerantly. Without: why not (None when the cell is just missing).
    """
    if is_missing(text):
        return None, None
    dicom = _DICOM.fullmatch(str(text).strip())
    cell = f"{dicom['number']} {_DICOM_UNITS[dicom['unit']]}" if dicom else str(text).strip().lower()
    match = _AGE.fullmatch(cell)
    unit = _UNITS.get(match["unit"].strip()) if match and match["unit"].strip() else units
    if match is None or unit is None:
        return None, _refusal(str(text).strip(), cell)
    age = float(match["number"].replace(",", ".")) * YEARS_PER_UNIT[unit]
    if age > MAX_AGE:
        return None, f"age '{text}' is above {MAX_AGE:g} years"
    return age, _age_note(str(text).strip(), age, match, unit)


def _refusal(text: str, cell: str) -> str:
    if _RANGE.fullmatch(cell):
        return f"age '{text}' is a range, not an age"
    if cell.startswith(("<", "≤")):
        return f"age '{text}' is only an upper limit"
    return f"age '{text}' cannot be read as an age"


def _age_note(text: str, age: float, match: re.Match[str], unit: str) -> str | None:
    if match["over"] or match["plus"]:
        return f"age '{text}' is a lower limit and was read as {age:g}"
    if unit != "years":
        return f"age '{text}' ({unit}) was read as {age:.4g} years"
    if "," in match["number"]:
        return f"age '{text}' was read with a decimal comma"
    return None


def parse_sex(value: Any, levels: Mapping[str, Any] | None = None) -> str | None:
    """``female``, ``male`` or None (missing, another value, or a number that nothing explains).

    Parameters
    ----------
    value : str or number
    levels : mapping, optional
        ``Levels`` of the column's JSON sidecar (text, or a mapping with ``Description``). A level that
        explains `value` wins over its spelling; a number such as ``1`` is read only through it.
    """
    if is_missing(value):
        return None
    cell = _cell(value)
    explained = {_cell(key): meaning for key, meaning in (levels or {}).items()}.get(cell)
    if explained is not None:
        return _sex_in_words(explained)
    return _SEX.get(cell)


def _cell(value: Any) -> str:
    return re.sub(r"^(\d+)\.0+$", r"\1", str(value).strip().lower())


def _sex_in_words(meaning: Any) -> str | None:
    """The sex that a level's description names, None when it names both or neither."""
    if isinstance(meaning, Mapping):
        meaning = meaning.get("Description") or meaning.get("LongName") or ""
    found = {_SEX[word] for word in re.findall(r"[^\W\d_]+", str(meaning).lower()) if word in _SEX}
    return found.pop() if len(found) == 1 else None
