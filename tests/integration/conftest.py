"""Datasets that several journeys begin with."""

import pytest

from bids_app.freesurfer.synthetic import write_subject


@pytest.fixture
def bids(tmp_path):
    """Two people whose FreeSurfer output is in the dataset."""
    from tests.integration.test_runs import make_dataset

    folder = make_dataset(tmp_path / "bids")
    for label in ("01", "02"):
        write_subject(folder / "derivatives/freesurfer" / f"sub-{label}", {"Left-Thalamus": 7000.0}, etiv=1.5e6)
    return folder
