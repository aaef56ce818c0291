"""``normvol-model import``, ``compare`` and ``export`` from arguments to files."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bids_app.cli import exitcodes
from bids_app.cli.model import main
from bids_app.regions import ETIV, reference_regions
from bids_app.tables import read_table, write_tsv


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    rng = np.random.default_rng(0)
    n = 25
    people = pd.DataFrame(
        {
            "participant_id": [f"sub-{i:02d}" for i in range(n)],
            "age": rng.uniform(20, 60, n),
            "sex": rng.choice(["female", "male"], n),
            ETIV: rng.normal(1.5e6, 1e5, n),
        }
    )
    from bids_app.normative.registry import load_model

    model = load_model("open-calibrated")
    regions = reference_regions()
    volumes = model.volumes_at(people, rng.normal(0, 1, (n, len(regions))), regions)
    return write_tsv(people.assign(**dict(zip(regions, volumes.T))), tmp_path_factory.mktemp("t") / "people.tsv")


def test_compare_writes_tables_and_page(table, tmp_path, capsys):
    assert main(["compare", "open-calibrated", "open-reference", str(table), "-o", str(tmp_path / "c")]) == exitcodes.OK
    assert "82 regions in common" in capsys.readouterr().err
    assert len(read_table(tmp_path / "c" / "comparison.tsv")) == 82
    assert "open-reference" in (tmp_path / "c" / "comparison.html").read_text()


def test_export_centiles_on_a_grid(tmp_path):
    out = tmp_path / "c.tsv"
    assert (
        main(
            [
                "export",
                "open-reference",
                "centiles",
                "-o",
                str(out),
                "--etiv",
                "1.5e6",
                "--ages",
                "30",
                "--centiles",
                "5",
                "95",
            ]
        )
        == exitcodes.OK
    )
    assert read_table(out).columns.tolist() == ["region", "sex", "age", "etiv_mm3", "p5", "p95"]
    assert main(["export", "open-reference", "json", "-o", str(tmp_path / "m.json"), "--ages", "30"]) != exitcodes.OK


def test_an_imported_model_scores(repository, table, tmp_path, capsys):
    path = tmp_path / "br.json"
    folder = repository / "tests" / "data" / "brain_reference"
    assert main(["import", "brain-reference", str(folder), "-o", str(path)]) == exitcodes.OK
    assert "please cite" in capsys.readouterr().err
    assert main(["show", str(path)]) == exitcodes.OK
    shown = capsys.readouterr().out
    for word in ("covariates", "transform", "sites", "adaptation_allowed", "licence"):
        assert word in shown
    assert main(["score", str(table), "--model", str(path), "-o", str(tmp_path / "z.tsv")]) == exitcodes.OK
    assert np.isfinite(read_table(tmp_path / "z.tsv")["Left-Thalamus"]).all()


@pytest.mark.parametrize(
    "arguments",
    [
        ["import", "brain-reference", "absent", "-o", "x.json"],
        ["import", "braincharts", ".", "-o", "x.json"],
        ["export", "absent", "json", "-o", "x.json"],
    ],
)
def test_what_cannot_be_done_is_a_sentence(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) != exitcodes.OK
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert not (tmp_path / "x.json").exists()


def test_an_assumption_without_a_value_is_a_wrong_command(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["import", "nomis", ".", "-o", "x.json", "--assume", "mfs"])
    assert stopped.value.code == exitcodes.USAGE
    assert "'mfs' is not NAME=VALUE" in capsys.readouterr().err
