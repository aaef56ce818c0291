"""``normvol-model score`` in pieces: the same bytes, bounded memory, all or nothing."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest

from bids_app.cli import exitcodes
from bids_app.cli.model import main
from bids_app.normative.registry import load_model
from bids_app.regions import ETIV

pytestmark = pytest.mark.slow
SHOWN = ("Left-Thalamus", "Right-Thalamus", "Left-Lateral-Ventricle", "lh_insula_volume", "rh_insula_volume")
OUTPUTS = ("se", "centiles", "counts")
ADAPT = ("--adapt-controls", "group == 'control' and visit == 1", "--adapt-by", "scanner")


def people(n, seed=0):
    """Healthy people on two scanners, with the cells that make reading in pieces go wrong."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "age": rng.uniform(18, 80, n).round(2),
            "sex": rng.choice(["female", "male"], n),
            ETIV: rng.normal(1.5e6, 1e5, n).round(),
        }
    )
    volumes = load_model("open-calibrated").volumes_at(table, rng.normal(size=(n, len(SHOWN))), SHOWN)
    return pd.DataFrame(
        {
            "participant_id": [f"{i // 2:03d}" for i in range(n)],
            "visit": np.arange(n) % 2 + 1,
            "group": rng.choice(["control", "patient"], n),
            "scanner": rng.choice(["1", "2"], n),
            **table,
            **dict(zip(SHOWN, volumes.T)),
        }
    )


def odd(n):
    """`people` whose later rows change what the columns seem to hold."""
    table = people(n).astype(object)
    table.loc[n - 3, "age"] = "61,5"
    table.loc[n - 4, "scanner"] = np.nan
    table.loc[n - 2, "Left-Thalamus"] = "bad"
    table.loc[n - 1, "participant_id"] = "x"
    return table.assign(score=[*range(n - 1), "n/a"], flag=["true", *[np.nan] * (n - 2), "false"])


def write(folder, table, kind):
    path = folder / f"people.{kind}"
    if kind == "parquet":
        text = {name: table[name].astype(str) for name in ("age", "Left-Thalamus")}
        dates = pd.date_range("2020-01-01", periods=len(table), freq="36h")
        typed = {
            "score": pd.to_numeric(table["score"], errors="coerce").astype("Int64"),
            "flag": table["flag"].map({"true": True, "false": False}).astype("boolean"),
        }
        table.assign(**text, **typed, date=dates).to_parquet(path, row_group_size=25)
    else:
        table.to_csv(path, sep="," if "csv" in kind else "\t", index=False, na_rep="n/a")
    return path


def score(path, out, *options):
    out.mkdir()
    files = [part for name in OUTPUTS for part in (f"--{name}", str(out / f"{name}.tsv"))]
    code = main(["score", str(path), "-o", str(out / "z.tsv"), *files, *options])
    return code, {file.name: file.read_bytes() for file in sorted(out.iterdir())}


@pytest.mark.parametrize("kind", ["tsv", "csv.gz", "parquet"])
def test_the_bytes_do_not_depend_on_the_chunk(tmp_path, capsys, kind):
    path = write(tmp_path, odd(61), kind)
    whole = score(path, tmp_path / "whole", *ADAPT)
    said = capsys.readouterr().err.splitlines()
    for rows in (1, 13, 60):
        assert score(path, tmp_path / str(rows), *ADAPT, "--chunk-rows", str(rows)) == whole
        spoken = capsys.readouterr().err
        assert "61 of 61 rows scored" in spoken
        assert [line for line in spoken.splitlines() if " of 61 rows scored" not in line] == said
    assert whole[0] == exitcodes.OK
    assert list(whole[1]) == ["centiles.tsv", "counts.tsv", "se.tsv", "z.json", "z.tsv"]


def test_identifying_columns_stay_as_they_are_written(tmp_path):
    path = write(tmp_path, people(6).assign(code=["0.10", "2", "3", "4", "5", "6"]), "tsv")
    z = score(path, tmp_path / "out")[1]["z.tsv"].decode().splitlines()
    assert z[1].split("\t")[:5] == ["000", "1", *z[1].split("\t")[2:4], "0.10"]


def test_memory_does_not_grow_with_the_rows(tmp_path):
    peaks = []
    for n in (500, 500, 4000):
        path = write(tmp_path, people(n), "tsv")
        tracemalloc.start()
        assert main(["score", str(path), "-o", str(tmp_path / "z.tsv"), "--chunk-rows", "250"]) == exitcodes.OK
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # eight times the rows; a little more or less is what the garbage collector has not taken yet
    assert peaks[2] < 1.5 * peaks[1]


def test_nothing_is_written_when_a_later_piece_cannot_be_read(tmp_path, capsys):
    path = write(tmp_path, people(30), "tsv")
    path.write_text(path.read_text() + "too\tmany\t" + "x\t" * 20 + "\n")
    code, files = score(path, tmp_path / "out", "--chunk-rows", "10")
    assert (code, files) == (exitcodes.INPUT, {})
    assert "cannot read" in capsys.readouterr().err


def test_an_error_while_scoring_leaves_the_old_file_and_no_scraps(tmp_path, monkeypatch):
    path = write(tmp_path, people(30), "tsv")
    (tmp_path / "z.tsv").write_text("old")
    from bids_app.workbench.score_outputs import ScoreOutputs

    write_piece = ScoreOutputs.write

    def fail_later(self, *parts):
        if self.n_rows:
            raise OSError("disk full")
        write_piece(self, *parts)

    monkeypatch.setattr(ScoreOutputs, "write", fail_later)
    code = main(["score", str(path), "-o", str(tmp_path / "z.tsv"), "--chunk-rows", "10"])
    assert code == exitcodes.FAILED
    assert (tmp_path / "z.tsv").read_text() == "old"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["people.tsv", "z.tsv"]


def test_a_condition_that_compares_rows_with_each_other_is_refused(tmp_path, capsys):
    path = write(tmp_path, people(30), "tsv")
    for rows in ("10", "100"):
        code, files = score(path, tmp_path / rows, "--adapt-controls", "age > age.mean()", "--chunk-rows", rows)
        assert (code, files) == (exitcodes.USAGE, {})
        assert "the condition 'age > age.mean()'" in capsys.readouterr().err


@pytest.mark.parametrize("rows", ["0", "-5", "many"])
def test_a_chunk_is_a_number_of_rows(tmp_path, capsys, rows):
    with pytest.raises(SystemExit) as stopped:
        main(["score", "t.tsv", "--chunk-rows", rows])
    assert stopped.value.code == exitcodes.USAGE
    assert "--chunk-rows: must be a whole number, 1 or more" in capsys.readouterr().err


def test_a_table_without_rows_gives_tables_without_rows(tmp_path):
    path = write(tmp_path, people(6).iloc[:0], "tsv")
    code, files = score(path, tmp_path / "out")
    assert code == exitcodes.INPUT
    assert files == {}
