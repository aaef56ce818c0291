"""Who is in which task of a job array, and the scripts that are written."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from bids_app.errors import SchedulerError, UsageError
from bids_app.run import job_array, slurm_limits
from bids_app.run.config import RunConfig
from bids_app.run.job_array import RECON_SECONDS, SCORE_SECONDS, JobArray, check_places, into_tasks, submit, write_jobs
from bids_app.run.slurm_limits import minutes_of, partition_minutes, tasks_allowed


def people(number, seconds=SCORE_SECONDS):
    return [(f"{index:04d}", seconds) for index in range(number)]


@pytest.fixture
def config(tmp_path):
    (tmp_path / "my bids").mkdir()
    return RunConfig(bids_dir=tmp_path / "my bids", output_dir=tmp_path / "out", participant_label=("0001",), nprocs=7)


def test_a_task_lasts_minutes():
    tasks = into_tasks(people(1000), JobArray(), 1000)
    assert 4 * 60 < len(tasks[0]) * SCORE_SECONDS < 12 * 60
    assert [label for task in tasks for label in task] == [label for label, _ in people(1000)]


def test_a_person_with_recon_all_has_a_task_alone():
    tasks = into_tasks(people(5, RECON_SECONDS), JobArray(), 1000)
    assert [len(task) for task in tasks] == [1] * 5


def test_tasks_grow_when_slurm_takes_no_more():
    tasks = into_tasks(people(5000, RECON_SECONDS), JobArray(), 1000)
    assert len(tasks) <= 1000
    assert sum(map(len, tasks)) == 5000


def test_a_size_that_needs_too_many_tasks_is_refused_with_one_that_fits():
    with pytest.raises(UsageError, match="--people-per-task 5"):
        into_tasks(people(5000), JobArray(people_per_task=2), 1000)


def test_limits_are_those_of_this_slurm(monkeypatch):
    said = {"scontrol": "MaxArraySize            = 501\nMaxJobCount             = 10000\n", "sacctmgr": "300\n"}
    monkeypatch.setattr(slurm_limits, "_answer", lambda *command: said[command[0]])
    assert tasks_allowed(None) == 298
    said["sacctmgr"] = ""
    assert tasks_allowed(None) == 500
    said["scontrol"] = ""
    assert tasks_allowed(None) == 1000
    assert tasks_allowed(7) == 7


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        *(("90", 90), ("90:30", 90.5), ("01:30:00", 90), ("2-0", 2880), ("1-12:00", 2160), ("1-00:00:30", 1440.5)),
        *(("UNLIMITED", math.inf), ("infinite", math.inf)),
    ],
)
def test_times_of_slurm(text, minutes):
    assert minutes_of(text) == minutes


@pytest.mark.parametrize("text", ["soon", "", "1-", "-1", "1:2:3:4", "1.5", "٣"])
def test_what_is_no_time_of_slurm(text):
    with pytest.raises(UsageError, match="no time of Slurm"):
        minutes_of(text)


def limits_of(monkeypatch, said):
    monkeypatch.delenv("SBATCH_PARTITION", raising=False)
    monkeypatch.setattr(slurm_limits, "_answer", lambda *command: said if command[0] == "sinfo" else "")


def test_the_limit_of_a_partition(monkeypatch):
    limits_of(monkeypatch, "main* infinite\nshort 1:00:00\nlong 2-00:00:00\nodd n/a\n")
    assert [partition_minutes(name) for name in (None, "main", "short", "short,long", "odd", "none")] == [
        *(math.inf, math.inf, 60, 2880, math.inf, math.inf)
    ]
    monkeypatch.setenv("SBATCH_PARTITION", "long")
    assert partition_minutes("short") == 2880
    limits_of(monkeypatch, "")
    assert partition_minutes("short") == math.inf


def times(folder):
    return [
        re.search(r"--time=(\S+)", (folder / f"{name}.sbatch").read_text())[1]
        for name in ("participant", "group", "summary")
    ]


def test_no_job_asks_for_more_time_than_its_partition_gives(config, monkeypatch):
    limits_of(monkeypatch, "main* 20:00\nlong 1-00:00:00\n")
    assert times(write_jobs(config, people(3), JobArray())) == ["00:20:00"] * 3
    recon = people(3, RECON_SECONDS)
    assert times(write_jobs(config, recon, JobArray(partition="long"))) == ["24:00:00", "02:00:00", "00:30:00"]
    assert times(write_jobs(config, recon, JobArray(sbatch_args=("-p other",)))) == ["30:00:00", "02:00:00", "00:30:00"]
    with pytest.raises(UsageError, match="20 minutes, and a task is thought to need 600"):
        write_jobs(config, recon, JobArray())
    with pytest.raises(UsageError, match="the partition long may take 1440 minutes, and --time 2-0 is longer"):
        write_jobs(config, recon, JobArray(partition="long", time="2-0"))


def test_the_same_work_has_the_same_folder(config):
    first = write_jobs(config, people(3), JobArray())
    assert write_jobs(config, people(3), JobArray()) == first
    assert write_jobs(config, people(2), JobArray()) != first


def test_tasks_take_processors_and_memory_from_their_job(config):
    written = (write_jobs(config, people(3), JobArray()) / "config.toml").read_text()
    assert not {"nprocs", "mem_mb", "participant_label"} & {line.split(" ")[0] for line in written.splitlines()}


@pytest.mark.parametrize("image", [None, Path("/images/norm vol.sif")])
def test_scripts_pass_shellcheck(config, tmp_path, image):
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not installed")
    folder = write_jobs(config, people(3), JobArray(partition="main", account="x", image=image, bind=("/a b:/c",)))
    scripts = [str(path) for path in (*folder.glob("*.sbatch"), folder / "submit.sh")]
    assert len(scripts) == 4
    done = subprocess.run(["shellcheck", *scripts], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_a_container_sees_what_the_configuration_names(config, tmp_path):
    trees, filled = tmp_path / "trees", tmp_path / "filled"
    trees.mkdir()
    filled.mkdir()
    equal = tmp_path / "site=1"
    equal.mkdir()
    config = replace(config, fs_subjects_dir=trees, derivatives=(f"filled={trees}", str(equal)))
    config = replace(config, t1w_derivative=f"filled={filled}:lesionfilled")
    text = (write_jobs(config, people(3), JobArray(image=Path("/i.sif"))) / "participant.sbatch").read_text()
    for path in (trees, filled, equal):
        assert f"--bind {path}:{path}:ro" in text
    assert f"--bind {tmp_path}/out:{tmp_path}/out " in text


def test_exit_code_of_people_left_out_is_no_failure():
    for code, expected in ((0, 0), (4, 0), (1, 1), (130, 130)):
        script = "set -euo pipefail\n" + job_array._carried_out(f"bash -c 'exit {code}'")
        assert subprocess.run(["bash", "-c", script], check=False).returncode == expected


def test_a_signal_of_slurm_reaches_the_run():
    program = "trap 'echo ended; exit 130' TERM; kill -TERM $PPID; for _ in 1 2 3 4 5; do sleep 0.2; done; exit 0"
    script = "set -euo pipefail\n" + job_array._carried_out(f'bash -c "{program.replace("$", chr(92) + "$")}"')
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False, timeout=20)
    assert (done.returncode, done.stdout) == (130, "ended\n")


@pytest.fixture
def pretended(tmp_path, monkeypatch):
    """Commands of Slurm that write down what they are asked; the folder of their answers."""
    place = tmp_path / "slurm of a test"
    place.mkdir()
    commands = {
        "sbatch": 'grep -qsFx "${!#}" refused && { echo "no room" >&2; exit 1; }; echo "$#" >> number; wc -l < number',
        "squeue": "cat queue 2>/dev/null || true",
        "scancel": 'echo "$@" > cancelled',
    }
    for name, does in commands.items():
        (place / name).write_text(f"#!/bin/bash\ncd '{place}'\n{does}\n")
        (place / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(place), prepend=":")
    return place


@pytest.mark.parametrize(("refused", "cancelled"), [("group.sbatch", "1\n"), ("summary.sbatch", "1 2\n")])
def test_what_was_accepted_is_taken_back_when_a_later_job_is_refused(config, pretended, refused, cancelled):
    (pretended / "refused").write_text(refused + "\n")
    with pytest.raises(SchedulerError, match="no room"):
        submit(write_jobs(config, people(3), JobArray()))
    assert (pretended / "cancelled").read_text() == cancelled


def test_an_output_folder_has_one_array_at_a_time(config, pretended):
    assert submit(write_jobs(config, people(3), JobArray())) == "submitted: array 1, group level 2, summary 3"
    (pretended / "queue").write_text("77\n2\n2\n3\n")
    with pytest.raises(SchedulerError, match="scancel 2 3"):
        submit(write_jobs(config, people(4), JobArray()))
    (pretended / "queue").write_text("77\n")
    assert "array 4" in submit(write_jobs(config, people(4), JobArray()))
    assert not (pretended / "cancelled").exists()


def test_no_path_is_in_a_line_for_sbatch(config, tmp_path):
    config = replace(config, output_dir=tmp_path / "it's %a\n$HOME")
    folder = write_jobs(config, people(3), JobArray())
    for script in folder.glob("*.sbatch"):
        lines = [line for line in script.read_text().splitlines() if line.startswith("#SBATCH")]
        assert any("--output=log/" in line for line in lines)
        assert str(tmp_path) not in "".join(lines)


@pytest.mark.parametrize(
    ("name", "in_image", "refused"),
    [("50%", False, "%"), ("a\\b", False, "a pattern"), ("a:b", True, "colon"), ("a,b", True, "comma")],
)
def test_a_name_that_slurm_or_apptainer_takes_apart_is_refused(config, tmp_path, name, in_image, refused):
    config = replace(config, output_dir=tmp_path / name)
    with pytest.raises(UsageError, match=refused):
        check_places(config, JobArray(image=Path("/i.sif") if in_image else None))
    check_places(replace(config, output_dir=tmp_path / "a:b,c"), JobArray())
