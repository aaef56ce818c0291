"""A job array on a real Slurm: one job per person, at the same time, into one output folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time

import pytest

from benchmarks.bench_scale import write_dataset
from bids_app.bids.status import read_statuses
from bids_app.cli import exitcodes
from bids_app.cli.main import main
from bids_app.cli.slurm import main as slurm_main
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


def answer(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def wait_for(condition, seconds=300):
    """Poll Slurm, which tells nobody when something has happened."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "\n".join([answer("squeue"), answer("sinfo", "-N", "-l")])
        time.sleep(0.3)


def states():
    """Job or task to its state, of everything that Slurm remembers."""
    said = answer("scontrol", "show", "jobs", "--oneliner")
    fields = [dict(word.split("=", 1) for word in line.split() if "=" in word) for line in said.splitlines()]
    return {
        f"{job.get('ArrayJobId', job['JobId'])}_{job.get('ArrayTaskId', '')}": job["JobState"]
        for job in fields
        if "JobId" in job
    }


def all_ended():
    return not answer("squeue", "-h").strip()


def test_a_hundred_people_whatever_happens_to_the_tasks(slurm, tmp_path, monkeypatch, repository):
    """One fails, one is left out, a task is cancelled, one is killed by memory, the node is drained; then once more."""
    bids, out, node = tmp_path / "bids", tmp_path / "out", answer("hostname", "-s").strip()
    labels = write_dataset(bids, 100)
    table = (bids / "participants.tsv").read_text().splitlines(True)
    _, _, rest = table[99].split("\t", 2)
    (bids / "participants.tsv").write_text("".join(table[:99]) + f"sub-{labels[98]}\tn/a\t{rest}" + table[100])
    (out / f"sub-{labels[0]}").mkdir(parents=True)
    (out / f"sub-{labels[0]}" / "anat").touch()  # where the first person's tables should go
    monkeypatch.setenv("PYTHONPATH", str(repository))
    asked = [str(bids), str(out), "--recon", "ingest", "--mem", "1200M", "--people-per-task"]
    assert slurm_main([*asked, "10"]) == exitcodes.OK
    (folder,) = (out / "logs" / "slurm").glob("array-*")
    script = folder / "participant.sbatch"
    eats = f"{sys.executable} -c 'import time; x = bytes([1]) * (1800 << 20); time.sleep(60)'"
    hungry = f'if [ "$SLURM_ARRAY_TASK_ID" = 3 ]; then {eats}; fi\n'
    script.write_text(script.read_text().replace("read -r", f"{hungry}read -r", 1))
    said = answer("bash", str(folder / "submit.sh"))
    array = re.search(r"array (\d+)", said)[1]
    answer("scancel", f"{array}_5")
    wait_for(lambda: any(state == "COMPLETED" for state in states().values()))
    answer("scontrol", "update", f"nodename={node}", "state=drain", "reason=test")
    wait_for(lambda: not answer("squeue", "-h", "-t", "R,CG").strip())
    assert answer("squeue", "-h").strip(), "the drained node has finished everything"
    answer("scontrol", "update", f"nodename={node}", "state=resume")
    wait_for(all_ended)
    ended = states()
    assert {ended[f"{array}_{task}"] for task in (2, 4, 6, 7, 8, 9, 10)} == {"COMPLETED"}, ended
    assert ended[f"{array}_1"] == "FAILED"
    assert ended[f"{array}_3"] in ("OUT_OF_MEMORY", "FAILED", "CANCELLED"), ended
    # Slurm forgets a task that was cancelled before it began.
    assert ended.get(f"{array}_5", "CANCELLED") == "CANCELLED"
    first = read_statuses(out).set_index("participant_id")["status"]
    assert first.value_counts().to_dict() == {"scored": 78, "failed": 1, "omitted": 1}
    assert (out / "group.html").exists()
    (out / f"sub-{labels[0]}" / "anat").unlink()
    assert slurm_main([*asked, "10", "--submit"]) == exitcodes.OK
    wait_for(all_ended)
    (second,) = set((out / "logs" / "slurm").glob("array-*")) - {folder}
    missing = [f"sub-{label}" for label in (labels[0], *labels[20:30], *labels[40:50])]
    assert (second / "tasks.txt").read_text().split() == missing
    assert read_statuses(out)["status"].value_counts().to_dict() == {"scored": 99, "omitted": 1}
    assert slurm_main([*asked, "10"]) == exitcodes.OK
    assert len(list((out / "logs" / "slurm").glob("array-*"))) == 2
