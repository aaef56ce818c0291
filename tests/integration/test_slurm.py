"""A job array on a real Slurm: one job per person, at the same time, into one output folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from bids_app.bids.status import read_statuses
from bids_app.cli import exitcodes
from bids_app.cli.main import main
from bids_app.freesurfer.synthetic import write_subject
from tests.integration.test_runs import make_dataset

pytestmark = [pytest.mark.slow, pytest.mark.slurm, pytest.mark.shared]

JOB = """#!/bin/bash
#SBATCH --array=1-3 --ntasks=1 --cpus-per-task=1 --mem=1500M --output={logs}/%a.txt
label=$(awk -v n="$SLURM_ARRAY_TASK_ID" 'NR == n + 1 {{print $1}}' {bids}/participants.tsv)
export PYTHONPATH={root}
{python} -m bids_app.cli.main {bids} {output} participant --participant-label "$label" --recon ingest
"""


@pytest.fixture
def slurm(shared, tmp_path, monkeypatch):
    """A one-host Slurm that lives as long as the test."""
    if not shutil.which("slurmctld") or os.getuid() != 0:
        pytest.skip("Slurm is not installed, or not root")
    tools, state = shared / "tools", tmp_path / "slurm"
    started = subprocess.run(
        ["bash", str(tools / "slurm-up.sh"), str(state), "2"], capture_output=True, text=True, check=False, timeout=120
    )
    if started.returncode:
        pytest.skip(f"Slurm does not start here: {started.stderr[-300:]}")
    monkeypatch.setenv("SLURM_CONF", str(state / "slurm.conf"))
    yield
    subprocess.run(["bash", str(tools / "slurm-down.sh"), str(state)], check=False, capture_output=True, timeout=60)


def test_array_jobs_share_an_output_folder(slurm, tmp_path, repository):
    bids = make_dataset(tmp_path / "bids")
    with open(bids / "participants.tsv", "a") as stream:
        stream.write("sub-03\t52\tF\n")
    (bids / "sub-03").mkdir()
    for label in ("01", "02"):
        write_subject(bids / "derivatives/freesurfer" / f"sub-{label}", {}, etiv=1.5e6)
    logs = tmp_path / "logs"
    logs.mkdir()
    script = tmp_path / "job.sh"
    script.write_text(JOB.format(logs=logs, bids=bids, output=tmp_path / "out", python=sys.executable, root=repository))
    done = subprocess.run(["sbatch", "--wait", str(script)], capture_output=True, text=True, check=False, timeout=300)
    said = "\n".join(path.read_text() for path in sorted(logs.glob("*.txt")))
    assert done.returncode == exitcodes.OMISSIONS, done.stderr + said
    statuses = read_statuses(tmp_path / "out").set_index("participant_id")["status"].to_dict()
    assert statuses == {"sub-01": "scored", "sub-02": "scored", "sub-03": "omitted"}
    assert main([str(bids), str(tmp_path / "out"), "group"]) == exitcodes.OMISSIONS
