"""Drawings as files: the same picture in every renderer."""

import importlib.util
import io
import re
import shutil
import subprocess
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from bids_app.errors import UsageError
from bids_app.reports.figures.files import FORMATS, SVG, checked_ending, rendered, standalone
from bids_app.reports.pages.group import write_group_report
from tests.reports import dataset

WIDTH = 720
BLOCK = 8
SIMPLE = f'<svg xmlns="{SVG}" width="40" height="20"><rect width="20" height="20" fill="#c00"/></svg>'
TEXT = re.compile(r"<text\b.*?</text>", re.DOTALL)


def by_resvg(svg: str) -> bytes:
    return rendered(svg, "png", dpi=96)


def by_librsvg(svg: str) -> bytes:
    if shutil.which("rsvg-convert") is None:
        pytest.skip("rsvg-convert is not installed")
    return subprocess.run(["rsvg-convert"], input=svg.encode(), capture_output=True, check=True).stdout


def by_cairosvg(svg: str) -> bytes:
    if importlib.util.find_spec("cairosvg") is None:
        pytest.skip("cairosvg is not installed")
    try:
        import cairosvg
    except OSError:
        pytest.skip("cairosvg finds no cairo")
    return cairosvg.svg2png(bytestring=svg.encode())


def blocks(png: bytes) -> np.ndarray:
    """Mean colour of every block of 8 x 8 pixels: edges that are smoothed in another way do not count."""
    picture = Image.open(io.BytesIO(png)).convert("RGBA")
    ground = Image.new("RGBA", picture.size, "white")
    ground.alpha_composite(picture)
    rgb = np.asarray(ground.convert("RGB"), float)
    high, wide = (size // BLOCK for size in rgb.shape[:2])
    return rgb[: high * BLOCK, : wide * BLOCK].reshape(high, BLOCK, wide, BLOCK, 3).mean(axis=(1, 3))


def distance(first: np.ndarray, second: np.ndarray) -> float:
    """The largest difference between blocks of two pictures, up to one row or column of rounding."""
    high, wide = (min(a, b) for a, b in zip(first.shape[:2], second.shape[:2]))
    assert abs(first.shape[0] - second.shape[0]) <= 1
    return float(np.abs(first[:high, :wide] - second[:high, :wide]).mean(axis=2).max())


@pytest.fixture(scope="module")
def drawings(derivatives: Path) -> dict[str, str]:
    """Every SVG file that the reports write, without its words: fonts differ from machine to machine."""
    found = sorted([*derivatives.glob("figures/*.svg"), *derivatives.glob("sub-*/figures/*_morph.svg")])
    assert len(found) > 20
    return {path.name: TEXT.sub("", path.read_text()) for path in found}


@pytest.mark.slow
@pytest.mark.parametrize("other", [by_librsvg, by_cairosvg])
def test_every_renderer_draws_the_same(drawings, other):
    wrong = {name: distance(blocks(by_resvg(svg)), blocks(other(svg))) for name, svg in drawings.items()}
    assert {name: value for name, value in wrong.items() if value > 20} == {}


def test_no_style_of_a_file_needs_a_stylesheet(derivatives):
    for path in derivatives.glob("**/figures/*.svg"):
        text = path.read_text()
        assert "var(" not in text
        assert "<style" not in text
        assert " class=" not in text or "brain-map" in text
        assert "system-ui" not in text
        assert ElementTree.fromstring(text).get("width")


def test_lines_and_words_of_a_chart_carry_their_colours():
    chart = (
        '<svg class="chart" width="10" height="10"><line class="whisker infra" x1="0"/>'
        '<path class="series s1" d=""/><text class="tick">1</text></svg>'
    )
    rectangle, line, path, text = ElementTree.fromstring(standalone(chart))
    assert rectangle.get("fill") == "#fff"
    assert (line.get("stroke"), line.get("stroke-width")) == ("#1d5fa8", "1.6")
    assert (path.get("stroke"), path.get("fill")) == ("#b3541e", "none")
    assert (text.get("fill"), text.get("font-size")) == ("#55524c", "10")


def test_group_figures_are_written_in_every_format(derivatives):
    folder = derivatives / "figures"
    for svg in folder.glob("*.svg"):
        assert svg.with_suffix(".pdf").read_bytes()[:5] == b"%PDF-"
        with Image.open(svg.with_suffix(".png")) as picture:
            wanted = float(ElementTree.parse(svg).getroot().get("width")) / 96 * 300
            assert picture.width == pytest.approx(wanted, abs=1)


def test_people_have_svg_files_only(derivatives):
    assert {path.suffix for path in derivatives.glob("sub-*/figures/*_morph.*")} == {".svg"}


def test_formats_can_be_chosen_and_others_of_an_earlier_run_go(tmp_path):
    dataset.write_root(tmp_path)
    dataset.write_group(tmp_path, 6)
    write_group_report(tmp_path, figure_formats=("svg", "pdf"))
    write_group_report(tmp_path, figure_formats=("svg",))
    assert {path.suffix for path in (tmp_path / "figures").iterdir()} == {".svg", ".png"}
    assert [path.name for path in (tmp_path / "figures").glob("*.png")] == ["group_heatmap.png"]


@pytest.mark.parametrize("file_format", ["png", "pdf"])
def test_the_same_drawing_gives_the_same_bytes(drawings, file_format):
    svg = min(drawings.values(), key=len)
    assert rendered(svg, file_format) == rendered(svg, file_format)


def test_other_endings_are_refused():
    assert [checked_ending(Path(f"a.{ending.upper()}")) for ending in FORMATS] == list(FORMATS)
    with pytest.raises(UsageError, match=r"\.svg, \.png, \.pdf"):
        checked_ending(Path("a.gif"))


def test_a_chart_without_rows_has_no_file():
    assert standalone("") == ""


def test_a_worker_forked_from_a_process_that_has_drawn_draws_as_well():
    here = rendered(SIMPLE, "png", dpi=96)
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool:
        assert pool.submit(rendered, SIMPLE, "png", dpi=96).result(timeout=60) == here
