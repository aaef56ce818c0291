"""Reading ends: tables without end, too wide or packed to burst are a sentence, quickly and in little memory."""

from __future__ import annotations

import gzip
import io
import sys
import zipfile
import zlib

import pandas as pd
import pytest

from bids_app import bounded
from bids_app.bids.source_tables import read_any_sheet, read_sheet
from bids_app.errors import InputError, UsageError
from bids_app.tables import read_json, read_table, read_toml, read_yaml
from bids_app.workbench.table_pieces import TableFile

READERS = {
    "read_table": read_table,
    "read_any_sheet": read_any_sheet,
    "pieces": lambda path: list(TableFile(path).pieces(1000)),
}


@pytest.fixture
def little(monkeypatch):
    """Limits that a small file passes."""
    monkeypatch.setattr(bounded, "MAX_LINE_BYTES", 2_000_000)
    monkeypatch.setattr(bounded, "RATIO_FROM_BYTES", 3_000_000)
    monkeypatch.setattr(bounded, "MAX_LINES", 1000)
    monkeypatch.setattr(bounded, "MAX_COLUMNS", 500)
    monkeypatch.setattr(bounded, "MAX_SPREADSHEET_BYTES", 3_000_000)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("line.tsv", b"a\tb\n" + b"1" * 3_000_000, "has a line of more than 2 MB"),
        ("header.csv", b"a" * 3_000_000, "has a line of more than 2 MB"),
        ("wide.tsv", b"a\t" * 600 + b"\n", "has 601 columns, more than the 500 that are read"),
        ("bomb.tsv.gz", gzip.compress(b"a\tb\n" + b"1\t2\n" * 1_000_000), "unpacks to more than"),
        ("line.csv.gz", gzip.compress(b"a,b\n" + b"1" * 3_000_000), "has a line of more than 2 MB"),
    ],
)
def test_a_table_without_end_is_a_sentence(little, tmp_path, reader, name, content, words):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        READERS[reader](path)
    assert name in caught.value.reason


def test_a_table_of_too_many_lines_or_bytes_is_a_sentence(little, tmp_path, monkeypatch):
    path = tmp_path / "participants.tsv"
    path.write_text("participant_id\n" + "sub-01\n" * 1001)
    with pytest.raises(InputError, match="has 1,003 lines, more than the 1,000"):
        read_sheet(path)
    monkeypatch.setattr(bounded, "MAX_SHEET_BYTES", 1000)
    with pytest.raises(InputError, match="has more than 0 MB"):
        read_sheet(path)


def test_a_packed_table_is_read_as_the_plain_one(tmp_path):
    table = pd.DataFrame({"a": range(5000), "b": "x"})
    for name in ("t.tsv", "t.tsv.gz"):
        table.to_csv(tmp_path / name, sep="\t", index=False)
        pd.testing.assert_frame_equal(read_table(tmp_path / name), table)
        pieces = pd.concat(TableFile(tmp_path / name).pieces(700), ignore_index=True)
        pd.testing.assert_frame_equal(pieces, table)


def _spreadsheet(path, sheet=None, more=()):
    """A spreadsheet; `sheet` replaces the XML of its sheet, `more` are further members."""
    stream = io.BytesIO()
    pd.DataFrame({"a": [1]}).to_excel(stream, index=False)
    with zipfile.ZipFile(stream) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, sheet if sheet and name.startswith("xl/worksheets/") else content)
        for name, content in more:
            new.writestr(name, content)
    return path


FAR = (
    '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
    '<row r="1"><c r="XFD1"><v>1</v></c></row><row r="1048576"><c s="1" r="A1048576"><v>1</v></c></row>'
    "</sheetData></worksheet>"
)
LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefghi", "bcdefghij"))
    + ']><worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData><row r="1">'
    '<c r="A1" t="inlineStr"><is><t>&j;</t></is></c></row></sheetData></worksheet>'
)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("sheet", "more", "words"),
    [
        (FAR, (), "has 16,384 columns and 1,048,576 rows"),
        (None, [("xl/media/a.png", b"0" * 4_000_000)], "unpacks to .* files of 4 MB"),
        (None, [(f"xl/{i}", b"") for i in range(10_001)], "unpacks to 10,0.. files"),
        (LAUGHS, (), "cannot read"),
    ],
)
def test_a_spreadsheet_that_would_burst_is_a_sentence(little, tmp_path, reader, sheet, more, words):
    path = _spreadsheet(tmp_path / "t.xlsx", sheet, more)
    with pytest.raises(InputError, match=words):
        READERS[reader](path)


def test_a_parquet_table_of_more_cells_than_are_read_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(bounded, "MAX_CELLS", 1000)
    pd.DataFrame({"a": range(2000)}).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(InputError, match="has 2,000 cells, more than the 1,000"):
        read_table(tmp_path / "t.parquet")


DEEP = {
    "json": ("[" * 10_000 + "]" * 10_000, read_json),
    "toml": ("a = " + "[" * 10_000 + "]" * 10_000, read_toml),
    "yml": ("[" * 1500 + "]" * 1500, lambda path: read_yaml(path, "file")),
}


@pytest.mark.parametrize("kind", DEEP)
def test_thousands_of_levels_are_a_sentence(tmp_path, kind):
    content, read = DEEP[kind]
    path = tmp_path / f"deep.{kind}"
    path.write_text(content)
    limit = sys.getrecursionlimit()
    for allowed in (limit, 40_000) if kind != "json" else (limit,):
        sys.setrecursionlimit(allowed)
        try:
            with pytest.raises((InputError, UsageError), match="nested too deeply"):
                read(path)
        finally:
            sys.setrecursionlimit(limit)


@pytest.mark.parametrize(
    ("kind", "content"),
    [("json", '{"a": ' + "1" * 5000 + "}"), ("toml", "a = " + "1" * 5000), ("yml", "a: " + "1" * 5000)],
)
def test_a_number_of_five_thousand_digits_is_a_sentence(tmp_path, kind, content):
    path = tmp_path / f"long.{kind}"
    path.write_text(content)
    with pytest.raises((InputError, UsageError), match="limit"):
        DEEP[kind][1](path)


def test_a_settings_file_of_many_megabytes_is_a_sentence(tmp_path):
    path = tmp_path / "large.toml"
    path.write_bytes(b"# " + b"x" * 5_000_000)
    with pytest.raises(UsageError, match="has more than 4 MB"):
        read_toml(path)


@pytest.mark.parametrize(
    "content",
    [
        "!!python/object/apply:os.system ['touch MARK']",
        "a: !!python/object/new:os.system ['touch MARK']",
        "!!python/name:os.system",
        '!!python/object/apply:builtins.eval [\'open("MARK", "w")\']',
    ],
)
def test_yaml_makes_no_objects(tmp_path, content):
    path, mark = tmp_path / "evil.yml", tmp_path / "mark"
    path.write_text(content.replace("MARK", str(mark)))
    with pytest.raises(UsageError, match="neither YAML nor JSON"):
        read_yaml(path, "file")
    assert not mark.exists()


def test_yaml_whose_aliases_multiply_is_a_sentence(tmp_path):
    path = tmp_path / "laughs.yml"
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    path.write_text("\n".join(lines))
    with pytest.raises(UsageError, match="more than 100,000 values"):
        read_yaml(path, "file")


def test_depth_of_json_is_bounded_by_us_and_brackets_in_text_do_not_count(monkeypatch):
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)
    try:
        with pytest.raises(RecursionError):
            bounded.loads("[" * 5000 + "]" * 5000)
        with pytest.raises(RecursionError):
            bounded.loads('{"a":' * 300 + "1" + "}" * 300)
    finally:
        sys.setrecursionlimit(limit)
    assert bounded.loads('["' + "[" * 5000 + '\\"["]') == ["[" * 5000 + '"[']
    assert len(bounded.loads("[" + ",".join(["[]"] * 5000) + "]")) == 5000


@pytest.mark.parametrize(
    ("name", "reader", "error"),
    [
        ("t.parquet", "read_parquet", TypeError("data type 'float84' not understood")),
        ("t.xlsx", "read_excel", zlib.error("invalid distance too far back")),
        ("t.xlsx", "read_excel", AttributeError("no sheet")),
    ],
)
def test_what_libraries_raise_on_damaged_tables_is_a_sentence(tmp_path, monkeypatch, name, reader, error):
    def damaged(*args, **how):
        raise error

    path = tmp_path / name
    table = pd.DataFrame({"age": [1.5]})
    table.to_parquet(path) if name.endswith("parquet") else table.to_excel(path, index=False)
    monkeypatch.setattr(pd, reader, damaged)
    for read in (read_table, read_any_sheet):
        with pytest.raises(InputError, match=f"cannot read .*{name}"):
            read(path)
