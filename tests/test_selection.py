"""Conditions that select rows: the grammar, unknown cells, and that nothing is executed."""

from __future__ import annotations

import contextlib

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_app.errors import UsageError
from bids_app.selection import select_rows

TABLE = pd.DataFrame(
    {
        "group": ["control", "MS", "control", None, "n/a"],
        "age": [17.0, 40.0, 65.0, 30.0, None],
        "site": ["1", "2", "02", "3", "1"],
        "scanner model": ["Prisma", "Skyra", "Prisma", "Skyra", "Prisma"],
        "ok": [True, False, True, True, False],
    }
)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ('group == "control"', [1, 0, 1, 0, 0]),
        ("group != 'MS'", [1, 0, 1, 0, 0]),
        ("not group == 'MS'", [1, 0, 1, 0, 0]),
        ("18 <= age < 60", [0, 1, 0, 1, 0]),
        ("age >= 18 and group == 'control'", [0, 0, 1, 0, 0]),
        ("age < 18 or group == 'MS' and age > 60", [1, 0, 0, 0, 0]),
        ("(age < 18 or group == 'MS') and age < 20", [1, 0, 0, 0, 0]),
        ("site in [1, 3]", [1, 0, 0, 1, 1]),
        ("site == '2'", [0, 1, 0, 0, 0]),
        ("group != 3", [1, 1, 1, 0, 0]),
        ("group > 3", [0, 0, 0, 0, 0]),
        ("site not in ('1', '3')", [0, 1, 1, 0, 0]),
        ("`scanner model` == 'Prisma'", [1, 0, 1, 0, 1]),
        ("group is missing", [0, 0, 0, 1, 1]),
        ("group is not missing and group != group", [0, 0, 0, 0, 0]),
        ("age != age", [0, 0, 0, 0, 1]),
        ("ok == True", [1, 0, 1, 1, 0]),
        ("site == 2", [0, 1, 1, 0, 0]),
    ],
)
def test_conditions_select_the_rows_that_they_describe(condition, expected):
    assert select_rows(TABLE, condition).astype(int).tolist() == expected


@pytest.mark.parametrize(
    "condition",
    [
        "",
        "group",
        "group =",
        "group = 'control'",
        "group == ",
        "(group == 'x'",
        "nobody == 1",
        "group == 'control' age",
        "@pd.io.common.os.system('touch planted') == 1",
        "__import__('os').system('touch planted')",
        "group.str.upper() == 'MS'",
        "age + 1 > 3",
        "in in in",
        "not " * 100 + "group == 'MS'",
        "(" * 100 + "group == 'MS'" + ")" * 100,
        "group == '" + "x" * 3000 + "'",
    ],
)
def test_everything_else_is_refused_in_words(condition, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as refused:
        select_rows(TABLE, condition)
    assert refused.value.remedy
    assert not list(tmp_path.iterdir())


@given(st.text(max_size=60))
def test_any_text_selects_or_is_refused(text):
    with contextlib.suppress(UsageError):
        assert select_rows(TABLE, text).shape == (5,)
