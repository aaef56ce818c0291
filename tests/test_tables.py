"""Files appear whole or not at all, whoever else writes and whoever was killed."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys

import pandas as pd
import pytest

from bids_app.bids.source_tables import read_rows
from bids_app.tables import atomic_stream, atomic_write, read_table, write_parquet, write_tsv


def test_an_error_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    path = atomic_write(tmp_path / "a.tsv", "old")
    with pytest.raises(TypeError), atomic_stream(path) as stream:
        stream.write("no bytes")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.tsv"]


def test_what_a_killed_writer_left_is_gone_after_the_next_write(tmp_path):
    killed = (
        "import os, signal, sys; from bids_app.tables import atomic_stream\n"
        "with atomic_stream(sys.argv[1]) as stream:\n"
        "    stream.write(b'half of something long'); stream.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = tmp_path / "a.tsv"
    done = subprocess.run([sys.executable, "-c", killed, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert [entry.name for entry in tmp_path.iterdir()] == [".a.tsv.tmp"]
    atomic_write(path, "whole")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.tsv"]
    assert path.read_text() == "whole"


def test_two_writers_at_once_both_write_whole_files(tmp_path):
    path = tmp_path / "a.tsv"
    with atomic_stream(path) as first:
        first.write(b"first")
        atomic_write(path, "second")
        assert path.read_text() == "second"
    assert path.read_text() == "first"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.tsv"]


def test_a_link_planted_in_place_of_the_temporary_file_is_not_followed(tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("keep")
    (tmp_path / ".a.tsv.tmp").symlink_to(outside)
    with pytest.raises(OSError, match="symbolic"):
        atomic_write(tmp_path / "a.tsv", "x")
    assert outside.read_text() == "keep"


def test_new_files_have_the_permissions_of_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        assert atomic_write(tmp_path / "a.tsv", "x").stat().st_mode & 0o777 == 0o640
    finally:
        os.umask(before)


def test_parquet_holds_mixed_columns_as_text(tmp_path):
    table = pd.DataFrame({"site": ["a", 1, None], "z": [1.5, 2.0, float("nan")]})
    first = write_parquet(table, tmp_path / "t.parquet").read_bytes()
    assert write_parquet(table, tmp_path / "t.parquet").read_bytes() == first
    read = pd.read_parquet(tmp_path / "t.parquet")
    assert read["site"].tolist()[:2] == ["a", "1"]
    assert read["site"].isna().tolist() == [False, False, True]
    assert read["z"].tolist()[:2] == [1.5, 2.0]


FORMULAS = [
    "=1+1",
    "+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(A1)",
    "'=1",
    "''-x",
    "=",
    "-",
    "-/-",
    "-1.5",
    "+3e-4",
    "n-a",
    "'",
    "'a",
]


def test_cells_that_a_spreadsheet_would_run_are_quoted_and_read_back_unchanged(tmp_path):
    table = pd.DataFrame({"a": FORMULAS, "=b": range(len(FORMULAS)), "z": -1.5})
    path = write_tsv(table, tmp_path / "t.tsv")
    cells = [line.split("\t")[0] for line in path.read_text().splitlines()]
    assert cells[1:6] == ["'=1+1", "'+cmd|' /C calc'!A0", "'-2+3", "'@SUM(A1)", "''=1"]
    assert cells[7:12] == ["=", "-", "'-/-", "-1.5", "+3e-4"]
    assert path.read_text().startswith("a\t'=b\tz")
    pd.testing.assert_frame_equal(read_table(path, text="a"), table)
    assert [row["a"] for row in read_rows(path)] == FORMULAS


def test_a_full_disk_and_a_limit_on_files_name_the_file(tmp_path):
    limited = (
        "import resource, signal, sys; from bids_app.tables import atomic_write\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n    atomic_write(sys.argv[1], b'x' * 5000)\n"
        "except OSError as error:\n    print(error.filename)\n"
    )
    path = tmp_path / "a.tsv"
    done = subprocess.run([sys.executable, "-c", limited, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_the_temporary_file_is_made_leaves_none(tmp_path, monkeypatch, number):
    def ended(*_):
        raise SystemExit

    lock, before, told = fcntl.flock, signal.signal(number, ended), []

    def told_once(*how):
        lock(*how)
        if not told:
            told.append(number)
            signal.raise_signal(number)

    monkeypatch.setattr(fcntl, "flock", told_once)
    try:
        with pytest.raises(SystemExit):
            atomic_write(tmp_path / "a.json", "{}")
    finally:
        signal.signal(number, before)
    assert list(tmp_path.iterdir()) == []
