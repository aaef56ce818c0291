"""Small tables of a dataset, read as text."""

from datetime import datetime

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bids_app.bids.source_tables import (
    _text,
    format_remark,
    people_tables,
    plain,
    read_any_sheet,
    read_rows,
    read_sheet,
    read_sidecar,
    row_key,
    separator_of,
)
from bids_app.errors import BIDSError
from bids_app.tsv import without_mark

TEXT = "participant_id\tage\tname\nsub-01\t40\tA\nsub-02\tn/a\t\n"


def write(tmp_path, content, name="t.tsv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    "content",
    [
        TEXT,
        "\ufeff" + TEXT,
        TEXT.replace("\n", "\r\n"),
        TEXT.encode("utf-16"),
        TEXT.replace("A", '"A"'),
        TEXT.replace("40\tA", " 40 \tA\t\t"),
        "\n" + TEXT + "\n\n",
        TEXT.replace("\n", "\r"),
    ],
)
def test_every_dialect_reads_the_same(tmp_path, content):
    header, rows = read_sheet(write(tmp_path, content))
    assert header == ["participant_id", "age", "name"]
    assert rows == [{"participant_id": "sub-01", "age": "40", "name": "A"}, {"participant_id": "sub-02"}]


def test_a_lone_quote_swallows_nobody(tmp_path):
    rows = read_rows(write(tmp_path, 'participant_id\theight\nsub-01\t5\'11"\nsub-02\t"tall\nsub-03\tx"\n'))
    assert [row["participant_id"] for row in rows] == ["sub-01", "sub-02", "sub-03"]


def test_latin_1_is_read(tmp_path):
    assert read_rows(write(tmp_path, "participant_id\tsite\nsub-01\tTromsø\n".encode("latin-1")))[0]["site"] == "Tromsø"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("a\tb\n1\t2\t3\n", "line 2 has 3 cells"),
        ("a\ta\n1\t2\n", "more than one column a"),
    ],
)
def test_damage_is_named(tmp_path, content, words):
    with pytest.raises(BIDSError, match=words):
        read_sheet(write(tmp_path, content))


def test_missing_file_is_named(tmp_path):
    with pytest.raises(BIDSError, match=r"nothing\.tsv"):
        read_sheet(tmp_path / "nothing.tsv")


CELL = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=6).filter(
    lambda cell: '"' not in cell
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.lists(st.lists(CELL, min_size=3, max_size=3), max_size=8))
def test_every_row_survives(tmp_path, rows):
    text = "participant_id\tb\tc\n" + "".join("\t".join(row) + "\n" for row in rows)
    found = read_rows(write(tmp_path, text))
    missing = {"n/a", "N/A", "na", "NA", "NaN", "nan", "null", "None"}
    expected = [
        {name: without_mark(cell) for name, cell in zip(("participant_id", "b", "c"), row) if cell not in missing}
        for row in rows
    ]
    assert found == expected


def test_other_formats(tmp_path):
    header, rows = read_any_sheet(write(tmp_path, "Subject_ID,Age\n01,40\n", "t.csv"))
    assert header == ["participant_id", "Age"]
    assert rows == [{"participant_id": "01", "Age": "40"}]


def test_names_keys_and_sidecars(tmp_path):
    assert plain(" Age (years) ") == "age_years"
    assert row_key({"participant_id": "sub-01", "session_id": "1"}) == ("01", "1")
    assert row_key({"participant_id": "01"}) == ("01", None)
    path = write(tmp_path, TEXT)
    assert read_sidecar(path) == {}
    write(tmp_path, '{"age": {"Units": "year"}}', "t.json")
    assert read_sidecar(path) == {"age": {"Units": "year"}}


def test_the_ending_of_a_name_may_be_in_capitals(tmp_path):
    pd.DataFrame({"participant_id": ["sub-01"], "age": [40]}).to_excel(tmp_path / "b.XLSX", index=False)
    (tmp_path / "a.TSV").write_text("participant_id\tage\nsub-01\t40\n")
    (tmp_path / "c.csv").write_text("participant_id,age\nsub-01,40\n")
    row = {"participant_id": "sub-01", "age": "40"}
    assert [path.name for path in people_tables(tmp_path)] == ["a.TSV", "b.XLSX"]
    assert [read_any_sheet(path)[1] for path in people_tables(tmp_path)] == [[row], [row]]
    assert format_remark(tmp_path / "b.XLSX") == "b.XLSX is a spreadsheet, its first sheet was read"
    assert format_remark(tmp_path / "a.TSV") == ""
    (tmp_path / "a.TSV").write_text("participant_id;age\nsub-01;40\n")
    assert format_remark(tmp_path / "a.TSV") == "a.TSV has semicolons where BIDS wants tabs"
    assert format_remark(tmp_path / "c.csv") == ""
    assert people_tables(tmp_path / "none") == []


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (None, "n/a"),
        (float("nan"), "n/a"),
        (2.0, "2"),
        (2.5, "2.5"),
        (2, "2"),
        (" x ", "x"),
        (datetime(2010, 1, 31), "2010-01-31"),
        (datetime(2010, 1, 31, 8), "2010-01-31T08:00:00"),
        (datetime(2010, 1, 31, 0, 5), "2010-01-31T00:05:00"),
        (datetime(2010, 1, 31, 0, 0, 9), "2010-01-31T00:00:09"),
    ],
)
def test_cells_of_spreadsheets_as_text(cell, text):
    assert _text(cell) == text


def test_lines_without_content_are_none_and_long_ones_are_named(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text("\n\t\na\tb\n\n1\t2\t\n")
    assert read_sheet(path) == (["a", "b"], [{"a": "1", "b": "2"}])
    path.write_text("\na\tb\n1\t2\n\n1\t2\t3\n")
    with pytest.raises(BIDSError, match="line 5 has 3 cells but the header has 2"):
        read_sheet(path)
    path.write_text("a\tb\tc\n1\n")
    assert read_sheet(path)[1] == [{"a": "1"}]
    path.write_text("a\tA\ta\n")
    with pytest.raises(BIDSError, match="more than one column a"):
        read_sheet(path)
    path.write_text("a\t\t\n1\t2\t3\n")
    assert read_sheet(path)[1] == [{"a": "1"}]


def sheet(tmp_path, text):
    path = tmp_path / "t.tsv"
    path.write_text(text)
    return read_sheet(path)


def test_a_column_that_tells_the_rows_of_a_person_apart_is_the_session(tmp_path):
    header, rows = sheet(tmp_path, "participant_id\tvisit\tx\ns1\t1\ta\ns1\t2\tb\n")
    assert header == ["participant_id", "session_id", "x"]
    assert rows[1] == {"participant_id": "s1", "session_id": "2", "x": "b"}


@pytest.mark.parametrize(
    "text",
    [
        "participant_id\tvisit\ns1\t1\ns2\t2\n",
        "participant_id\tvisit\ns1\t1\ns1\t1\n",
        "participant_id\tvisit\ns1\tat noon\ns1\t2\n",
        "participant_id\tvisit\tsession_id\ns1\t1\t1\ns1\t2\t2\n",
        "participant_id\tround\ns1\t1\ns1\t2\n",
        "participant_id\tvisit\ts\ns1\t1\ta\ns1\tn/a\tb\n",
    ],
)
def test_any_other_column_keeps_its_name(tmp_path, text):
    assert sheet(tmp_path, text)[0] == text.splitlines()[0].split("\t")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], "tabs"),
        (["", " "], "tabs"),
        (["a;b", "1;2"], "semicolons"),
        (["a,b", "1,2"], "commas"),
        (["a b", "1 2"], "spaces"),
        (["a;b\tc"], "tabs"),
        (["a;b", "1;2;3"], "tabs"),
        (["a;b,c", "1;2,3"], "semicolons"),
        (["a;b,c", "1,2"], "commas"),
        (["a", "b"], "tabs"),
        (["a,b", '"1,5",2'], "commas"),
        (["a  b", "1 2"], "spaces"),
    ],
)
def test_the_separator_splits_every_line_alike(lines, expected):
    assert separator_of(lines) == expected


def test_quotes_around_a_cell_are_taken_off(tmp_path):
    found = sheet(tmp_path, 'a\tb\tc\n"x ""y"" "\t"\t""\n')[1][0]
    assert found["a"] == 'x "y"'
    assert found["b"] == '"'
    assert found.get("c") is None


def test_text_of_other_programs_is_decoded(tmp_path):
    path = tmp_path / "t.tsv"
    for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-8-sig", "latin-1"):
        mark = {"utf-16-le": "\ufeff", "utf-16-be": "\ufeff"}.get(encoding, "")
        path.write_bytes((mark + "größe\tb\n1\t2\n").encode(encoding))
        assert read_sheet(path)[0] == ["größe", "b"]


def test_the_first_of_the_names_for_a_key_is_the_key(tmp_path):
    assert sheet(tmp_path, "id\tsubject\tses_id\n1\t2\t3\n")[0] == ["id", "participant_id", "session_id"]
    assert sheet(tmp_path, "Patient ID\tx\n1\t2\n")[0] == ["participant_id", "x"]


def test_a_sidecar_that_is_no_dictionary_says_nothing(tmp_path):
    (tmp_path / "a.json").write_text('{"x": 1}')
    (tmp_path / "b.json").write_text("[1]")
    assert read_sidecar(tmp_path / "a.tsv.gz") == read_sidecar(tmp_path / "a.tsv") == {"x": 1}
    assert read_sidecar(tmp_path / "b.tsv") == read_sidecar(tmp_path / "c.tsv") == {}


def test_a_spreadsheet_that_is_none_is_a_sentence(tmp_path):
    (tmp_path / "a.xlsx").write_text("no spreadsheet")
    with pytest.raises(BIDSError, match=r"a\.xlsx"):
        read_any_sheet(tmp_path / "a.xlsx")
