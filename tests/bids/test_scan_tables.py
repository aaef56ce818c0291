"""The tables of many scans, read as one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bids_app.bids import scan_tables
from bids_app.bids.names import derivative_path
from bids_app.bids.scan_tables import KeptTables, read_column, read_wide
from bids_app.errors import InputError
from bids_app.tables import read_table, write_tsv

PEOPLE = [(f"sub-{number}", None) for number in range(5)]


@pytest.fixture
def output(tmp_path):
    rng = np.random.default_rng(3)
    for number, (person, _) in enumerate(PEOPLE):
        names = ["a", "b", "c", "d"][: 4 - number % 2]
        table = pd.DataFrame({"region": names, "z": rng.normal(size=len(names)) * 10.0 ** (3 * number - 6)})
        table.loc[number % 3, "z"] = np.nan
        write_tsv(table.assign(deviation="none"), derivative_path(tmp_path, person, desc="deviations"))
    return tmp_path


def expected(output):
    tables = [read_table(derivative_path(output, person, desc="deviations")) for person, _ in PEOPLE]
    return pd.DataFrame([table.set_index("region")["z"] for table in tables]).to_numpy()


@pytest.mark.parametrize("at_once", [2, 256])
def test_every_digit_is_that_of_the_table(output, monkeypatch, at_once):
    monkeypatch.setattr(scan_tables, "AT_ONCE", at_once)
    found = read_wide(output, PEOPLE, "deviations", "z")
    assert found.columns.tolist() == ["participant_id", "session_id", "a", "b", "c", "d"]
    np.testing.assert_array_equal(found[["a", "b", "c", "d"]].to_numpy(), expected(output))


@pytest.mark.parametrize(
    "changed",
    [
        lambda text: b"\xef\xbb\xbf" + text,
        lambda text: text.replace(b"\n", b"\r\n"),
        lambda text: text.removesuffix(b"\n"),
        lambda text: text.replace(b"n/a", b"NaN"),
        lambda text: b"\n".join(b"\t".join(line.split(b"\t")[::-1]) for line in text.split(b"\n")),
    ],
    ids=["byte-order-mark", "line-ends-of-windows", "no-last-line-end", "other-missing", "other-order"],
)
def test_a_table_that_another_program_saved_reads_the_same(output, changed):
    before = read_wide(output, PEOPLE, "deviations", "z")
    path = derivative_path(output, "2", desc="deviations")
    path.write_bytes(changed(path.read_bytes()))
    pd.testing.assert_frame_equal(read_wide(output, PEOPLE, "deviations", "z"), before)


def test_kept_text_is_that_of_each_scan_whatever_becomes_of_the_files(output):
    kept = KeptTables()
    read_wide(output, PEOPLE, "deviations", "z", kept=kept)
    read_wide(output, PEOPLE, "thickness", "z", optional=True, kept=kept)
    path = derivative_path(output, "3", desc="deviations")
    text = path.read_text()
    path.write_text("gone")
    assert kept.of_scan(3) == [("deviations", text)]
    assert kept.of_scan(0)[0][1].startswith("region\tz\tdeviation\na\tn/a")


def test_nobody_has_a_table_that_is_optional(output):
    assert read_wide(output, PEOPLE, "area", "z", optional=True).columns.tolist() == ["participant_id", "session_id"]


def written(tmp_path, *texts):
    keys = []
    for number, text in enumerate(texts):
        path = derivative_path(tmp_path, str(number), desc="deviations")
        path.parent.mkdir(parents=True)
        path.write_text(text)
        keys.append((f"sub-{number}", None))
    return keys


def test_one_column_of_one_table(tmp_path):
    written(tmp_path, "z\tregion\n1.5\ta\nn/a\tb\n")
    path = derivative_path(tmp_path, "0", desc="deviations")
    regions, values = read_column(path, "z")
    assert regions == ["a", "b"]
    assert values[0] == 1.5
    assert np.isnan(values[1])
    for value in ("y", "volume_mm3"):
        with pytest.raises(InputError, match=f"cannot read the column {value}"):
            read_column(path, value)
    with pytest.raises(InputError):
        read_column(tmp_path / "none.tsv", "z")


def test_tables_with_different_headers_are_read_one_by_one(tmp_path):
    keys = written(tmp_path, "region\tz\na\t1\nb\t2\n", "z\tregion\n3\tb\n4\tc\n", "region\tz\tx\nc\t5\t9\n")
    found = read_wide(tmp_path, keys, "deviations", "z")
    assert found.columns.tolist() == ["participant_id", "session_id", "a", "b", "c"]
    np.testing.assert_array_equal(found[["a", "b", "c"]], [[1, 2, np.nan], [np.nan, 3, 4], [np.nan, np.nan, 5]])


@pytest.mark.parametrize(
    "bad", ["region\tz\na\t1\t2\n", "region\tz\na\n", "region\tz\n\na\t1\n", "", "region\tz\na\t\xff\n"]
)
def test_a_damaged_table_among_whole_ones_is_named(tmp_path, bad):
    keys = written(tmp_path, "region\tz\na\t1\n", bad, "region\tz\na\t3\n")
    with pytest.raises(InputError, match="sub-1_desc-deviations"):
        read_wide(tmp_path, keys, "deviations", "z")


def test_an_absent_table_may_be_optional_for_some(tmp_path):
    keys = written(tmp_path, "region\tz\na\t1\n", "region\tz\na\t2\nb\t3\n")
    keys = [keys[0], ("sub-9", None), keys[1]]
    found = read_wide(tmp_path, keys, "deviations", "z", optional=True)
    np.testing.assert_array_equal(found[["a", "b"]], [[1, np.nan], [np.nan, np.nan], [2, 3]])
    with pytest.raises(InputError, match="sub-9"):
        read_wide(tmp_path, keys, "deviations", "z")
    kept = KeptTables()
    read_wide(tmp_path, keys, "deviations", "z", optional=True, kept=kept)
    assert [len(kept.of_scan(number)) for number in range(3)] == [1, 0, 1]


def test_tables_without_rows_have_no_regions(tmp_path):
    keys = written(tmp_path, "region\tz\n", "region\tz\n")
    assert read_wide(tmp_path, keys, "deviations", "z").columns.tolist() == ["participant_id", "session_id"]


def test_kinds_of_tables_are_kept_in_the_order_in_which_they_came():
    kept = KeptTables()
    kept.add("one", [b"a", b"", b"ccc"])
    kept.add("two", [b"dd", b"e", b""])
    kept.add("one", [b"later"])
    assert [kept.of_scan(number) for number in range(3)] == [
        [("one", "a"), ("two", "dd")],
        [("two", "e")],
        [("one", "ccc")],
    ]
