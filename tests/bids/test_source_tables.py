"""Small tables of a dataset, read as text."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bids_app.bids.source_tables import plain, read_any_sheet, read_rows, read_sheet, read_sidecar, row_key
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
