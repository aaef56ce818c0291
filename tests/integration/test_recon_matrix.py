"""``--recon run`` through the whole app: version, stream, threads, point of interruption, and the run after."""

from __future__ import annotations

import random
import shutil
from itertools import product

import pytest

from bids_app.bids.status import read_statuses
from bids_app.cli import exitcodes
from bids_app.cli.main import main
from bids_app.tables import read_json, read_table
from tests.freesurfer.fake_recon_all import install
from tests.integration.test_runs import make_dataset

VERSIONS = ("6.0.0", "7.1.0", "7.2.0", "7.3.2", "7.4.1", "8.0.0", "8.1.0")
STREAMS = ("cross", "long")
THREADS = ("1", "4")
INTERRUPTIONS = ("nothing", "KILL MotionCor", "KILL CA_Reg", "FAIL Surfaces", "KILL ASegStats")
MATRIX = list(product(VERSIONS, STREAMS, THREADS, INTERRUPTIONS))
HANDFUL = random.Random(15).sample(MATRIX, 4)


def go(tmp_path, monkeypatch, stream, threads, version, **settings):
    for name in ("FAKE_RECON_FAIL", "FAKE_RECON_KILL", "FS_LICENSE"):
        monkeypatch.delenv(name, raising=False)
    shutil.rmtree(tmp_path / "freesurfer", ignore_errors=True)
    for name, value in install(tmp_path / "freesurfer", FAKE_RECON_VERSION=version, **settings).items():
        monkeypatch.setenv(name, value)
    words = ["participant", "--recon", "run", "--omp-nthreads", threads, "--nprocs", "1"]
    words += ["--longitudinal"] if stream == "long" else []
    return main([str(tmp_path / "bids"), str(tmp_path / "out"), *words])


def interrupted_and_run_again(tmp_path, monkeypatch, version, stream, threads, interruption):
    bids = make_dataset(tmp_path / "bids", sessions=("1", "2"), labels=("01",))
    (bids / "sub-01/ses-1/anat/sub-01_ses-1_T2w.nii.gz").write_bytes(b"image")
    if interruption != "nothing":
        way, step = interruption.split()
        code = go(tmp_path, monkeypatch, stream, threads, version, **{f"FAKE_RECON_{way}": step})
        assert code == exitcodes.FAILED
        assert (read_statuses(tmp_path / "out")["status"] == "failed").all()
    assert go(tmp_path, monkeypatch, stream, threads, version) == exitcodes.OK
    check_outputs(tmp_path / "out", version, stream)
    assert main([str(tmp_path / "bids"), str(tmp_path / "out"), "group"]) == exitcodes.OK
    citation = (tmp_path / "out" / "CITATION.md").read_text()
    said = "In 1 of 2 scans the pial surface was refined with the T2w image."
    assert (said in citation) == (stream == "cross")
    trees = tmp_path / "out/sourcedata/freesurfer"
    before = {path: path.read_text() for path in trees.glob("*/scripts/recon-all.cmd")}
    assert go(tmp_path, monkeypatch, stream, threads, version) == exitcodes.OK
    assert {path: path.read_text() for path in trees.glob("*/scripts/recon-all.cmd")} == before


def check_outputs(output, version, stream):
    assert (read_statuses(output)["status"] == "scored").all()
    stem = output / "sub-01/ses-1/anat/sub-01_ses-1"
    summary = read_json(f"{stem}_desc-summary_morph.json")
    tree = summary["freesurfer"]
    assert (tree["version"], tree["stream"]) == (version, stream)
    t2w = stream == "cross"
    assert (tree["pial"], len(tree["images"])) == (("T2w", 2) if t2w else (None, 1))
    z = read_table(f"{stem}_desc-extended_morph.tsv").set_index("region")["z"]
    unscored = {item["region"]: item["reason"] for item in summary["unscored"]}
    if version.startswith("8"):
        assert "not segmented" in unscored["WM-hypointensities"]
        assert "not-segmented" in {finding["kind"] for finding in summary["findings"]}
        assert z.isna().get("WM-hypointensities", True)
    else:
        assert z.notna()["WM-hypointensities"]
        assert "WM-hypointensities" not in unscored


@pytest.mark.parametrize(("version", "stream", "threads", "interruption"), HANDFUL)
def test_a_handful_of_the_matrix(tmp_path, monkeypatch, version, stream, threads, interruption):
    interrupted_and_run_again(tmp_path, monkeypatch, version, stream, threads, interruption)


@pytest.mark.slow
@pytest.mark.campaign
@pytest.mark.parametrize(("version", "stream", "threads", "interruption"), [m for m in MATRIX if m not in HANDFUL])
def test_the_whole_matrix(tmp_path, monkeypatch, version, stream, threads, interruption):
    interrupted_and_run_again(tmp_path, monkeypatch, version, stream, threads, interruption)


@pytest.mark.slow
@pytest.mark.campaign
@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize(("first", "second"), [("7.4.1", "8.1.0"), ("8.0.0", "8.1.0"), ("6.0.0", "7.1.0")])
def test_another_version_does_not_go_on_in_a_tree(tmp_path, monkeypatch, stream, first, second):
    make_dataset(tmp_path / "bids", sessions=("1", "2"), labels=("01",))
    assert go(tmp_path, monkeypatch, stream, "2", first, FAKE_RECON_KILL="CA_Reg") == exitcodes.FAILED
    assert go(tmp_path, monkeypatch, stream, "2", second) == exitcodes.FAILED
    reasons = " ".join(read_statuses(tmp_path / "out")["reason"])
    assert f"begun by FreeSurfer {first}" in reasons
    assert go(tmp_path, monkeypatch, stream, "2", first) == exitcodes.OK
