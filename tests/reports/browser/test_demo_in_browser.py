"""The pages of the demo and of the study, with every analysis in them, as a reader meets them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bids_app.cli import demo, exitcodes
from tests.reports.browser.chromium import Browser, count_pages
from tests.reports.browser.test_reports_in_browser import RUN_AXE, SERIOUS, UNFOLD

pytestmark = [pytest.mark.browser, pytest.mark.slow]
SCREEN = 900
LARGEST_PAGE = 600_000


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "demo"
    assert demo.main([str(folder)]) == exitcodes.OK
    return folder / "derivatives" / "normvol"


def check_group(chromium: Browser, page: Path) -> None:
    """At most six screens of few elements, and twelve pages of paper."""
    assert page.is_file()
    chromium.appearance("light")
    chromium.width(1280, SCREEN)
    chromium.open(page)
    size = chromium.run("return [document.documentElement.scrollHeight, document.querySelectorAll('*').length]")
    assert size[0] <= 6 * SCREEN
    assert size[1] <= 8000
    assert 2 <= count_pages(chromium.pdf()) <= 12


def test_the_group_of_the_demo_is_read_on_six_screens_and_twelve_pages(chromium: Browser, outputs: Path) -> None:
    check_group(chromium, outputs / "group.html")


@pytest.mark.campaign
def test_the_group_of_the_study_is_read_on_six_screens_and_twelve_pages(chromium: Browser, tmp_path: Path) -> None:
    assert demo.main([str(tmp_path / "study"), "--study"]) == exitcodes.OK
    bids, output = tmp_path / "study" / "bids", tmp_path / "out"
    for level in (
        ("participant", "--adapt-controls", "group == 'control'", "--adapt-by", "site"),
        ("group", "--analysis", "auto"),
    ):
        subprocess.run([sys.executable, "-m", "bids_app.cli.main", str(bids), str(output), *level], check=False)
    check_group(chromium, output / "group.html")


@pytest.mark.parametrize("name", ["sub-01", "sub-03", "group"])
def test_unfolded_on_a_phone_nothing_is_wider_than_it(chromium: Browser, outputs: Path, name: str) -> None:
    chromium.width(390)
    chromium.open(outputs / f"{name}.html")
    chromium.run_async(UNFOLD)
    assert chromium.run("return document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["sub-01", "group"])
def test_no_serious_accessibility_violation_on_a_phone(
    chromium: Browser, outputs: Path, axe: str, name: str, scheme: str
) -> None:
    chromium.appearance(scheme)
    chromium.width(390)
    chromium.open(outputs / f"{name}.html")
    chromium.run_async(UNFOLD)
    chromium.run(axe)
    assert [violation for violation in chromium.run_async(RUN_AXE) if violation[0] in SERIOUS] == []


def test_a_page_of_one_session_is_small(chromium: Browser, outputs: Path) -> None:
    page = outputs / "sub-03.html"
    assert page.stat().st_size <= LARGEST_PAGE
    chromium.open(page)
    assert chromium.run("return document.querySelectorAll('*').length") <= 8000
