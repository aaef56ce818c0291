"""The scripts of the brain that turns, beside the reports."""

from __future__ import annotations

import base64
import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from bids_app.regions import reference_regions
from bids_app.reports.pages.viewer import FOLDER, LICENCE, SCRIPTS, write_viewer

ASSETS = files("bids_app.reports") / FOLDER


@pytest.fixture(scope="module")
def geometry() -> dict:
    text = (ASSETS / "brain3d-geometry.js").read_text(encoding="utf-8")
    return json.loads(text[text.index("{") : text.rindex("}") + 1])


def _numbers(text: str, kind: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype=kind)


def test_the_scripts_are_written_once_with_the_librarys_licence(tmp_path: Path) -> None:
    write_viewer(tmp_path)
    written = {path.name: path.stat().st_mtime_ns for path in (tmp_path / FOLDER).iterdir()}
    assert set(written) == {*SCRIPTS, LICENCE}
    write_viewer(tmp_path)
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / FOLDER).iterdir()} == written
    (tmp_path / FOLDER / "three.js").write_text("cut")
    write_viewer(tmp_path)
    assert (tmp_path / FOLDER / "three.js").stat().st_size > 100_000


def test_the_scripts_stay_below_four_megabytes_and_ask_for_nothing(tmp_path: Path) -> None:
    write_viewer(tmp_path)
    assert sum(path.stat().st_size for path in (tmp_path / FOLDER).iterdir()) <= 4_000_000
    for name in SCRIPTS:
        text = (tmp_path / FOLDER / name).read_text(encoding="utf-8")
        assert "import(" not in text
        assert "eval(" not in text


def test_every_reference_region_has_a_shape(geometry: dict) -> None:
    there = {part["region"] for part in geometry["deep"]} | {
        name for half in geometry["cortex"] for name in half["regions"]
    }
    assert set(reference_regions()) <= there


def test_triangles_refer_to_vertices_in_a_head(geometry: dict) -> None:
    for part in (*geometry["cortex"], *geometry["deep"]):
        vertices = _numbers(part["vertices"], "<i2").reshape(-1, 3) / geometry["perMm"]
        assert _numbers(part["faces"], "<u2").max() == len(vertices) - 1
        assert np.abs(vertices).max() < 120


def test_the_left_side_is_left(geometry: dict) -> None:
    for part in geometry["deep"]:
        across = _numbers(part["vertices"], "<i2")[::3].mean()
        if part["region"].startswith(("Left-", "Right-")):
            assert (across < 0) == part["region"].startswith("Left-"), part["region"]
