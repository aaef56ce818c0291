"""Columns of the roles as numbers on their scales and times by date, and which values could not be read."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from bids_app.bids.age_sex import DAYS_PER_YEAR
from bids_app.clinical.analysis_file import LOGGED, SCORES
from bids_app.clinical.values import WRITE_ISO, date_problem, dates, numbers, off_scale, scale_of, unusable

NUMERIC_ROLES = (*SCORES, "nhpt_other", "time", "relapses", "progression")
YEARS_FROM_FIRST = "years_from_first"


def typed(
    scans: pd.DataFrame, visits: pd.DataFrame, roles: Mapping[str, str]
) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Both tables with the roles' columns as numbers and times by the role visit_date, and what could not be read.

    Parameters
    ----------
    scans, visits : DataFrame
        One row per scan and per clinical visit, with ``participant_id``.
    roles : mapping of role to column

    Returns
    -------
    scans, visits : DataFrame
        Numbers off their scale and what is no number as NaN; ``log1p_<column>`` of lesions; with dates ``visit_date``
        and ``years_from_first`` (since the first row of the person in that table).
    notes : list of str
        A sentence for each column with values that are not used.
    """
    notes: dict[str, None] = {}
    tables = []
    for table in (scans, visits):
        table = table.copy()
        for role in NUMERIC_ROLES:
            if roles.get(role) in table:
                table[roles[role]], said = _numeric(table, role, roles[role])
                notes |= dict.fromkeys(said)
                if role in LOGGED:
                    table[f"log1p_{roles[role]}"] = np.log1p(table[roles[role]])
        if roles.get("visit_date") in table:
            name = roles["visit_date"]
            read, problem = dates(table[name]), date_problem(table[name])
            if problem:
                notes[f"{name} (role visit_date) is not used: {problem}; {WRITE_ISO}."] = None
            else:
                lost = table[name].notna() & read.isna()
                why = "not a date such as 2019-05-31"
                notes |= dict.fromkeys(unusable(table, table[name], lost, f"{name} (role visit_date)", why))
            table = _timed(table, read)
        tables.append(table)
    return tables[0], tables[1], list(notes)


def _numeric(table: pd.DataFrame, role: str, name: str) -> tuple[pd.Series, list[str]]:
    """The column of a role as numbers on its scale, and what was not one of them."""
    read, what = numbers(table[name]), f"{name} (role {role})"
    notes = unusable(table, table[name], table[name].notna() & read.isna(), what, "not a number")
    scale = scale_of(role, name, read)
    if scale is None:
        return read, notes
    off = off_scale(read, scale)
    return read.mask(off), [*notes, *unusable(table, read, off, what, f"not one of {scale.words}")]


def _timed(table: pd.DataFrame, date: pd.Series) -> pd.DataFrame:
    """`table` with years since each person's first visit by `date`; people without any date keep their years."""
    person = table["participant_id"]
    years = (date - date.groupby(person).transform("min")).dt.days / DAYS_PER_YEAR
    dated = date.notna().groupby(person).transform("any")
    before = numbers(table[YEARS_FROM_FIRST]) if YEARS_FROM_FIRST in table else pd.Series(np.nan, index=table.index)
    return table.assign(visit_date=date, **{YEARS_FROM_FIRST: years.where(dated, before)})
