"""The tables of many scans, read as one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bids_app.bids import scan_tables
from bids_app.bids.names import derivative_path
from bids_app.bids.scan_tables import KeptTables, read_wide
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
