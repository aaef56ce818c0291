"""Outputs of an older version are recognised: read, written anew, or refused with the command that does it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bids_app.bids.derivatives import SCHEMA
from bids_app.cli import exitcodes, status
from bids_app.cli.main import main
from bids_app.freesurfer.synthetic import write_subject
from bids_app.tables import read_json, write_json
from tests.integration.test_runs import make_dataset

OLD = Path(__file__).parents[1] / "data" / "version-0.1"


@pytest.fixture
def bids(tmp_path):
    """The person of the old outputs, invented."""
    folder = make_dataset(tmp_path / "bids", labels=("01",), sessions=("1",))
    write_subject(folder / "derivatives/freesurfer/sub-01_ses-1", {"Left-Thalamus": 7000.0}, etiv=1.5e6)
    return folder


@pytest.fixture
def output(tmp_path):
    return Path(shutil.copytree(OLD, tmp_path / "out"))


@pytest.mark.parametrize("level", [["group"], ["participant", "--reports-only"]])
def test_outputs_of_version_0_1_are_read(bids, output, level):
    assert main([str(bids), str(output), *level]) == exitcodes.OK
    assert (output / ("group.html" if level == ["group"] else "sub-01.html")).exists()


@pytest.mark.parametrize("level", [["group"], ["participant", "--reports-only"]])
def test_outputs_in_a_form_that_is_not_read_any_more_are_refused_with_the_command(bids, output, level, capsys):
    path = output / "sub-01/ses-1/anat/sub-01_ses-1_desc-summary_morph.json"
    write_json({**read_json(path), "schema": SCHEMA - 1}, path)
    assert main([str(bids), str(output), *level]) == exitcodes.INPUT
    said = capsys.readouterr().err
    assert "was written by an older version of normvol" in said
    assert f"normvol BIDS_DIR {output} participant --force" in said


def test_outputs_of_an_older_version_are_rebuilt(bids, output, capsys):
    assert main([str(bids), str(output), "participant", "--recon", "ingest", "--nprocs", "1", "--force"]) == 0
    summary = read_json(output / "sub-01/ses-1/anat/sub-01_ses-1_desc-summary_morph.json")
    assert summary["schema"] == SCHEMA
    assert read_json(output / "dataset_description.json")["OutputSchema"] == SCHEMA
    assert main([str(bids), str(output), "group"]) == exitcodes.OK
    capsys.readouterr()


def test_status_reads_outputs_of_an_older_version_as_not_done(output, capsys):
    status.main([str(output)])
    assert "0 done" in capsys.readouterr().out


def test_outputs_of_a_newer_version_are_refused(bids, output, capsys):
    path = output / "sub-01/ses-1/anat/sub-01_ses-1_desc-summary_morph.json"
    write_json({**read_json(path), "schema": SCHEMA + 1}, path)
    assert main([str(bids), str(output), "group"]) == exitcodes.INPUT
    assert "newer version of normvol; update normvol" in capsys.readouterr().err
