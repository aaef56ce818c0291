"""Datasets that several tests of the reports read (none of them writes into it but the reports)."""

from __future__ import annotations

from pathlib import Path

import pytest

from bids_app.reports.pages.group import write_group_report
from bids_app.reports.pages.participant import write_participant_report
from tests.reports import dataset


@pytest.fixture(scope="session")
def derivatives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic output dataset with reports: sub-01 (three sessions, many deviations), sub-02 (one scan), a group."""
    root = tmp_path_factory.mktemp("derivatives")
    dataset.write_root(root)
    dataset.write_group(root, 24)
    dataset.write_person(root, "01", ("1", "2", "3"), burden=1.3)
    dataset.write_person(root, "02", (None,), burden=0.0, seed=3, age=34)
    for label in ("01", "02"):
        write_participant_report(root, label)
    write_group_report(root)
    return root
