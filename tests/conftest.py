"""Fixtures used by every room's tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# The first example pays for imports; a deadline would make slow machines fail.
settings.register_profile("normvol", deadline=None)
settings.load_profile("normvol")

REPOSITORY = Path(__file__).resolve().parents[1]
# Beside the tests that say so themselves: made by scripts/list_slow_tests.py
SLOW_TESTS = Path(__file__).parent / "slow_tests.txt"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Mark the tests of the list as slow, before any is left out (scripts/mutants.py wants them)."""
    if os.environ.get("NORMVOL_SLOW_LIST") == "ignored":
        return
    slow = set(SLOW_TESTS.read_text(encoding="utf-8").splitlines())
    for item in items:
        if item.nodeid in slow:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The development data beside the repository (never part of it); skips where it is absent."""
    folder = Path(os.environ.get("NORMVOL_SHARED", REPOSITORY.parent / "shared"))
    if not (folder / "data" / "README.md").exists():
        pytest.skip("the development data (../shared) is not beside this checkout")
    return folder


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of this checkout."""
    return REPOSITORY
