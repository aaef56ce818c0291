"""The Boutiques descriptor launches both levels, with a new output folder and with one that exists."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bids_app.normative.registry import load_model
from bids_app.simulation.demo import make_demo
from tests.platforms.conftest import block

BIN = Path(sys.executable).parent
pytestmark = pytest.mark.skipif(not (BIN / "bosh").exists(), reason="boutiques is not installed")


@pytest.fixture(scope="module")
def bids(tmp_path_factory):
    return make_demo(tmp_path_factory.mktemp("boutiques") / "bids", load_model("open-reference")).bids_dir


def bosh(repository, folder, verb, *options, **invocation):
    """Run ``bosh exec VERB`` on the descriptor; its output."""
    (folder / "invocation.json").write_text(json.dumps(invocation))
    command = [str(BIN / "bosh"), "exec", verb]
    files = [str(repository / "boutiques.json"), str(folder / "invocation.json")]
    words = [*command, "-i", files[1], files[0]] if verb == "simulate" else [*command, *options, *files]
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        words, cwd=folder, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("level", ["participant", "group"])
@pytest.mark.parametrize("given", ["output_dir", "output_dir_existing"])
def test_the_output_folder_is_in_the_command_whichever_way_it_is_given(repository, tmp_path, bids, level, given):
    out = tmp_path / "an output folder"
    out.mkdir()
    said = bosh(
        repository, tmp_path, "simulate", bids_dir=str(bids), analysis_level=level, mem_mb="2G", **{given: str(out)}
    )
    command = said.strip().splitlines()[-1].partition(" # ")[0]
    assert command == f'out=\'{out}\'; mkdir -p "$out"; normvol {bids} "$out" {level} --mem 2G'


@pytest.mark.slow
def test_the_lines_of_the_docs_validate_simulate_and_launch(repository, tmp_path, bids):
    asked = {"bids_dir": str(bids), "analysis_level": "participant", "participant_label": ["08"], "nprocs": 1}
    (tmp_path / "invocation.json").write_text(json.dumps({**asked, "output_dir": str(tmp_path / "out")}))
    (tmp_path / "boutiques.json").write_text((repository / "boutiques.json").read_text())
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    lines = ["bash", "-euo", "pipefail", "-c", block(repository, "boutiques")]
    done = subprocess.run(
        lines, cwd=tmp_path, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "out" / "sub-08.html").exists()


@pytest.mark.slow
def test_both_levels_are_launched(repository, tmp_path, bids):
    asked = {"bids_dir": str(bids), "participant_label": ["07", "sub-08"], "nprocs": 1}
    out = tmp_path / "out"
    bosh(repository, tmp_path, "launch", "--no-container", analysis_level="participant", output_dir=str(out), **asked)
    assert {path.name for path in out.glob("sub-*.html")} == {"sub-07.html", "sub-08.html"}
    bosh(
        repository,
        tmp_path,
        "launch",
        "--no-container",
        analysis_level="group",
        output_dir_existing=str(out),
        bids_dir=str(bids),
    )
    assert (out / "group.html").stat().st_size > 10_000
