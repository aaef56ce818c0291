"""No output tells when somebody was there: dates in clinical columns become years since the person's first visit."""

from __future__ import annotations

import re
from datetime import datetime

import numpy as np
import pandas as pd

from bids_app.bids.age_sex import DAYS_PER_YEAR
from bids_app.bids.visit_times import parse_time
from bids_app.clinical.typed import YEARS_FROM_FIRST
from bids_app.clinical.values import ISO, NUMBERED

# A date with or without time of day
_DATE = re.compile(rf"({ISO.pattern}|{NUMBERED.pattern})([T ]\d{{1,2}}:\d{{2}}[0-9:.Z+]*)?")
DATE = "visit_date"


def undated(table: pd.DataFrame) -> pd.DataFrame:
    """`table` without ``visit_date``, and with years since the person's first visit for the dates in other columns.

    A date of somebody none of whose visits has one, and one that cannot be read, is missing.

    Parameters
    ----------
    table : DataFrame
        ``participant_id``, where there are dates also ``visit_date`` (ISO) and ``years_from_first``.

    Returns
    -------
    DataFrame
        The same rows; what was a date is text such as ``1.50``, in years.
    """
    dated = [
        name
        for name, column in table.items()
        if name not in (DATE, "participant_id", "session_id")
        and (
            pd.api.types.is_datetime64_any_dtype(column)
            or any(isinstance(cell, str) and _DATE.search(cell) for cell in column.dropna().unique())
        )
    ]
    first = _first_visits(table) if dated else {}
    changed = table.drop(columns=DATE, errors="ignore")
    for name in dated:
        pairs = zip(table[name], table["participant_id"], strict=True)
        changed[name] = pd.Series([_told(cell, first.get(person)) for cell, person in pairs], table.index, dtype=object)
    return changed


def _first_visits(table: pd.DataFrame) -> dict[str, datetime]:
    """When each person was there first: the date of a visit less its years since the first."""
    if DATE not in table:
        return {}
    dates = pd.to_datetime(table[DATE], errors="coerce", format="mixed")
    years = (
        table[YEARS_FROM_FIRST].astype(float).fillna(0)
        if YEARS_FROM_FIRST in table
        else pd.Series(0.0, index=table.index)
    )
    first: dict[str, datetime] = {}
    for person, date, since in zip(table["participant_id"], dates, years, strict=True):
        if not pd.isna(date):
            began = (date.tz_localize(None) - pd.Timedelta(days=round(since * DAYS_PER_YEAR))).to_pydatetime()
            first[person] = min(began, first.get(person, began))
    return first


def _told(cell: object, first: datetime | None) -> object:
    text = cell.isoformat() if isinstance(cell, datetime) and not pd.isna(cell) else cell
    if not isinstance(text, str):
        return np.nan if isinstance(cell, datetime) else cell
    said = _DATE.sub(lambda date: _years(date[0], first), text)
    return np.nan if said == "" else said


def _years(date: str, first: datetime | None) -> str:
    when = parse_time(date)
    return "" if when is None or first is None else f"{(when - first).days / DAYS_PER_YEAR:.2f}"
