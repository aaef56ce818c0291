"""A real browser and the accessibility checker, where they can be had."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.reports.browser.chromium import Browser, browser, executables

AXE = "axe-core@4.10.3"


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all tests; skips where chromium or chromedriver is not installed."""
    if executables() is None:
        pytest.skip("chromium and chromedriver are not installed")
    with browser(tmp_path_factory.mktemp("profile")) as session:
        yield session


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The source of axe-core, fetched by npm into a temporary folder; skips without npm or network."""
    folder = tmp_path_factory.mktemp("axe")
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    packed = subprocess.run(["npm", "pack", AXE, "--silent"], cwd=folder, capture_output=True, text=True, timeout=120)
    archives = list(Path(folder).glob("*.tgz"))
    if packed.returncode or not archives:
        pytest.skip("axe-core could not be fetched")
    with tarfile.open(archives[0]) as archive:
        return archive.extractfile("package/axe.min.js").read().decode("utf-8")
