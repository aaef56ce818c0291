"""Dates of visits and births as people write them."""

from __future__ import annotations

import re
from datetime import datetime

# Years of follow-up that nobody has: dates further apart were shifted separately to hide them (BIDS allows it)
MAX_FOLLOW_UP = 30.0
_DAY = re.compile(r"(?P<one>\d{1,2})(?P<mark>[./-])(?P<two>\d{1,2})(?P=mark)(?P<year>\d{4})(?:[ T].*)?")
_YEAR_FIRST = re.compile(r"(\d{4})[./](\d{1,2})[./](\d{1,2})")


def parse_time(text: str | None) -> datetime | None:
    """A date or time without time zone; None when it is absent, unreadable or ambiguous.

    Read are BIDS' own ISO 8601 (date alone allowed), ``2010/01/31``, ``31.01.2010`` (with points the day comes
    first) and ``31/01/2010`` or ``01/31/2010`` where only one of both numbers can be the month.
    """
    if not text:
        return None
    text = text.strip()
    try:
        return datetime.fromisoformat(_YEAR_FIRST.sub(r"\1-\2-\3", text)).replace(tzinfo=None)
    except ValueError:
        match = _YEAR_FIRST.match(text) or _DAY.fullmatch(text)
    if match is None:
        return None
    if match.re is _YEAR_FIRST:
        year, month, day = map(int, match.groups())
    else:
        year, one, two = (int(match[name]) for name in ("year", "one", "two"))
        if match["mark"] != "." and one <= 12 and two <= 12 and one != two:
            return None
        day, month = (two, one) if two > 12 else (one, two)
    try:
        return datetime(year, month, day)
    except ValueError:
        return None
