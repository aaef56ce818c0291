"""What the participant report shows of change in percent a year, and of which sessions can be compared."""

from __future__ import annotations

from typing import Any

from bids_app.clinical.comparable import NOT_COMPARABLE
from bids_app.clinical.composites import composites
from bids_app.reports.components import Column
from bids_app.reports.loading import Person

RATE_COLUMNS = (
    Column("structure", "Volume", "text"),
    Column("session_from", "From", "text"),
    Column("session_to", "To", "text"),
    Column("years", "Years"),
    Column("annual_percent_change", "% a year", digits=2),
    Column("annual_percent_change_se", "SE", digits=2),
    Column("low", "95 % from", digits=2),
    Column("high", "to", digits=2),
    Column("healthy_percent_change", "Healthy people", digits=2),
    Column("published_healthy", "Published, healthy", digits=2),
    Column("published_ms", "Published, MS", digits=2),
    Column("stream", "Stream", "text"),
    Column("comparable", "Can be compared", "text"),
)
# Of one pair of sessions, which the sentence above the table names
PAIR_COLUMNS = (RATE_COLUMNS[0], *(column for column in RATE_COLUMNS[4:11]))
COMPARED_COLUMNS = (
    Column("session_from", "From", "text"),
    Column("session_to", "To", "text"),
    Column("comparable", "Can be compared", "text"),
    Column("reasons", "What differs", "long"),
    Column("etiv_difference_percent", "eTIV, difference in %", digits=1),
)


def apart_sessions(person: Person) -> set[tuple[Any, Any]]:
    """The pairs of sessions that cannot be compared."""
    if person.comparability is None:
        return set()
    rows = person.comparability.table
    rows = rows[rows["comparable"] == NOT_COMPARABLE]
    return set(zip(rows["session_from"], rows["session_to"], strict=True))


def rates_section(person: Person) -> dict[str, Any] | None:
    """Annualised change of the composites between the sessions furthest apart that can be compared."""
    if person.rates is None or not len(person.rates.table):
        return None
    sheet, table = person.rates, person.rates.table
    usable = table[table["comparable"] != NOT_COMPARABLE]
    shown = sheet.pick(table.iloc[:0])
    if len(usable):
        widest = usable[usable["years"] == usable["years"].max()].iloc[-1]
        pair = (usable["session_from"] == widest["session_from"]) & (usable["session_to"] == widest["session_to"])
        shown = sheet.pick(usable[pair & usable["region"].isin(list(composites()))])
    return {
        "shown": shown,
        "sheet": sheet,
        "compared": person.comparability,
        "pair": next(shown.rows(), None),
        "columns": RATE_COLUMNS,
        "pair_columns": PAIR_COLUMNS,
        "compared_columns": COMPARED_COLUMNS,
        "mixed": (table["stream"] == "mixed").any(),
        "left": int((person.comparability.table["comparable"] == NOT_COMPARABLE).sum()) if person.comparability else 0,
    }
