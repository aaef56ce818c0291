import math
import re

import pandas as pd
import pytest

from bids_app.reports.components import (
    Column,
    cell,
    column_digits,
    field,
    gauge,
    measured_words,
    number,
    prose,
    shown,
    table_rows,
    typeset,
    words,
)
from bids_app.reports.loading import Record, Sheet


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (-2.345, 2, "−2.35"),
        (-0.001, 2, "0.00"),
        (12345.6, 0, "12 346"),
        (3, None, "3"),
        (0.123456, None, "0.123"),
        (float("nan"), 2, "–"),
        (1.5e-7, None, "1.50e−07"),
        ("left", None, "left"),
    ],
)
def test_numbers_as_text(value: object, digits: int | None, text: str) -> None:
    assert number(value, digits) == text


@pytest.mark.parametrize(
    ("value", "column", "text"),
    [
        (0.04, "centile", "< 0.1"),
        (99.97, "centile", "> 99.9"),
        (50.0, "centile", "50.0"),
        (True, "in_range", "yes"),
        ("False", "in_range", "no"),
        (None, "z", "–"),
        (0.0002, "p", "< 0.001"),
        (0.0421, "p_fdr", "0.042"),
    ],
)
def test_cells_as_text(value: object, column: str, text: str) -> None:
    assert shown(value, column) == text


@pytest.mark.parametrize(
    ("z", "expected"),
    [
        (-3.2, "far smaller than expected"),
        (-1.96, "smaller than expected"),
        (2.0, "larger than expected"),
        (1.2, "somewhat larger than expected"),
        (0.3, "about as expected"),
        (float("nan"), "not scored"),
    ],
)
def test_a_deviation_in_words(z: float, expected: str) -> None:
    assert words(z) == expected


def test_a_value_says_where_it_stands() -> None:
    assert cell("a<b.tsv", 3, "z", -1.0) == '<data data-file="a&lt;b.tsv" data-row="3" data-column="z">−1.00</data>'
    record = Record("s.json", {"a": {"b": [1, {"c": "<i>"}]}, "x.y": 2})
    assert field(record, "a.b.1.c") == '<data data-file="s.json" data-key="a.b.1.c">&lt;i&gt;</data>'
    assert record.get("x.y") == 2
    assert record.get("a.q", "absent") == "absent"
    assert record.get("a.b.7") is None


def test_the_gauge_stays_on_its_line() -> None:
    assert "--at:100.0%" in gauge(17.0)
    assert "--at:0.0%" in gauge(-17.0)
    assert gauge(float("nan")) == ""


@pytest.mark.parametrize(
    ("values", "digits"),
    [
        ([1.0, 20.0], 0),
        ([1.5, 2.25], 2),
        ([0.1234], 3),
        ([44.5, 2.0], 1),
        ([444.5], 0),
        ([1e-5, 1e-9], None),
        ([], None),
        ([float("nan")], None),
    ],
)
def test_decimals_of_a_column(values: list[float], digits: int | None) -> None:
    assert column_digits(values) == digits


def test_sentences_get_real_signs() -> None:
    said = typeset("beta -0.20 (95 % interval -0.38 to -0.01), z <= -1.96, ses-1, infra-normal, 2019-05-31")
    assert said == "beta −0.20 (95\u00a0% interval −0.38 to −0.01), z ≤ −1.96, ses-1, infra-normal, 2019-05-31"


def test_markdown_becomes_headings_lists_and_links_only() -> None:
    text = prose(
        "# Title\n\nOne *two*\nthree (https://doi.org/10.1/x).\n\n## References\n\n* A. https://a.org/b.\n* B <b>\n"
    )
    assert "Title" not in text
    assert "<em>two</em> three" in text
    assert '<a href="https://doi.org/10.1/x" rel="noreferrer">https://doi.org/10.1/x</a>).' in text
    assert "<h3>References</h3>" in text
    assert text.count("<li>") == 2
    assert text.count("<ul>") == 1
    assert "B &lt;b&gt;" in text


@pytest.mark.parametrize(
    ("regions", "said"),
    [
        ((), "regional brain volumes"),
        (("lh_insula_thickness",), "regional cortical thickness"),
        (("lh_insula_area", "Left-Thalamus"), "regional brain volumes and cortical surface area"),
        (
            ("lh_insula_area", "Left-Thalamus", "lh_MeanThickness_thickness"),
            "regional brain volumes, cortical thickness and cortical surface area",
        ),
    ],
)
def test_titles_name_the_measures_that_are_in(regions, said):
    assert measured_words(regions) == said


def test_a_column_of_numbers_is_written_as_each_of_them_alone() -> None:
    values = [1234567.891, -0.0004, -0.0, 0.0, -3.14159, math.nan, math.inf, -math.inf, -1234.5]
    sheet = Sheet("a.tsv", pd.DataFrame({"z": values, "volume_mm3": values}))
    written = re.findall(r"<td[^>]*>(.*?)</td>", table_rows(sheet, (Column("z", "z"), Column("volume_mm3", "Volume"))))
    assert written == [shown(value, name) for value in values for name in ("z", "volume_mm3")]


def test_a_table_without_rows_has_none() -> None:
    sheet = Sheet("a.tsv", pd.DataFrame({"z": pd.Series([], dtype=float)}))
    assert table_rows(sheet, (Column("z", "z"), Column("region", "Region", "text"))) == ""
