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
