"""Dates as people write them."""

from datetime import datetime

import pytest

from bids_app.bids.visit_times import parse_time


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2010-01-31", (2010, 1, 31)),
        ("2010-01-31T12:30:00", (2010, 1, 31, 12, 30)),
        ("2010-01-31T12:30:00+02:00", (2010, 1, 31, 12, 30)),
        (" 2010-01-31 ", (2010, 1, 31)),
        ("2010/01/31", (2010, 1, 31)),
        ("2010.1.3", (2010, 1, 3)),
        ("2010/1/3 12:00", (2010, 1, 3)),
        ("31.01.2010", (2010, 1, 31)),
        ("1.2.2010", (2010, 2, 1)),
        ("12.12.2010", (2010, 12, 12)),
        ("31/01/2010", (2010, 1, 31)),
        ("01/31/2010", (2010, 1, 31)),
        ("01-31-2010 08:00", (2010, 1, 31)),
        ("13/12/2010", (2010, 12, 13)),
        ("12/13/2010", (2010, 12, 13)),
        ("05/05/2010", (2010, 5, 5)),
        ("12/12/2010", (2010, 12, 12)),
    ],
)
def test_dates_that_have_one_meaning_are_read(text, expected):
    assert parse_time(text) == datetime(*expected)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "soon",
        "01/02/2010",
        "12/11/2010",
        "11-12-2010",
        "32.01.2010",
        "13/13/2010",
        "2010/13/45",
        "01/31.2010",
    ],
)
def test_others_are_not_guessed(text):
    assert parse_time(text) is None
