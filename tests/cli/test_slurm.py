"""``normvol-slurm``: options, what is written, and that only who is missing or stale has a task."""

from __future__ import annotations

import json

import pytest

from bids_app.bids.status import write_status
from bids_app.cli import exitcodes
from bids_app.cli.slurm import main
from bids_app.freesurfer.synthetic import write_subject
from tests.integration.test_runs import make_dataset


@pytest.fixture
def bids(tmp_path):
    folder = make_dataset(tmp_path / "bids", labels=("01", "02", "03"))
    for label in ("01", "02"):
        write_subject(folder / "derivatives/freesurfer" / f"sub-{label}", {"Left-Thalamus": 7000.0}, etiv=1.5e6)
    return folder


def run(bids, tmp_path, *more):
    return main([str(bids), str(tmp_path / "out"), "--recon", "ingest", *more])


def written(tmp_path):
    (folder,) = (tmp_path / "out" / "logs" / "slurm").iterdir()
    return folder


def test_options_of_slurm_and_of_normvol_go_where_they_belong(bids, tmp_path, capsys):
    options = ["--partition", "short", "--account", "lab", "--time", "01:00:00", "--mem", "2G", "--nprocs", "2"]
    assert run(bids, tmp_path, *options, "--sbatch-args=--qos=low", "--model", "open-reference") == exitcodes.OK
    assert "submit with: bash" in capsys.readouterr().out
    script = (written(tmp_path) / "participant.sbatch").read_text()
    for line in ("--partition=short", "--account=lab", "--qos=low", "--cpus-per-task=2 --mem=2048M --time=01:00:00"):
        assert f"#SBATCH --ntasks=1 {line}\n" in script or f"#SBATCH {line}\n" in script
    assert 'model = "open-reference"' in (written(tmp_path) / "config.toml").read_text()
    assert not list((tmp_path / "out").glob("sub-*"))


def test_who_is_left_out_for_the_reason_on_record_has_no_task(bids, tmp_path):
    assert run(bids, tmp_path, "--people-per-task", "1") == exitcodes.OK
    assert (written(tmp_path) / "tasks.txt").read_text() == "sub-01\nsub-02\nsub-03\n"
    from bids_app.cli.parser import parse_config
    from bids_app.run.job_array import people_to_do
    from bids_app.run.plan import make_plan

    config = parse_config([str(bids), str(tmp_path / "out"), "participant", "--recon", "ingest"])
    plan = make_plan(config, tmp_path / "work")
    (omission,) = plan.omissions
    for reason, labels in ((omission.reason, ["01", "02"]), ("another", ["01", "02", "03"])):
        write_status(tmp_path / "out", "03", status="omitted", stage="freesurfer", reason=reason)
        assert [label for label, _ in people_to_do(plan, tmp_path / "out")] == labels


def test_without_sbatch_nothing_is_written_and_the_command_says_how_to_go_on(bids, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run(bids, tmp_path, "--submit") == exitcodes.INPUT
    assert "submit.sh" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "options",
    [
        ["--mem", "0G"],
        ["--time", "soon"],
        ["--time", ""],
        ["--time", "2"],
        ["--mem", "512K"],
        ["--bind", "data:/data"],
        ["--bind", ""],
        ["--partition", "a b"],
        ["--account", "x\n#SBATCH --foo"],
        ["--sbatch-args=--qos=short\nrm -rf x"],
        ["--sbatch-args=qos=short"],
        ["--image", "/nothing.sif"],
        ["--venv", "/nothing"],
        ["--max-tasks", "2", "--people-per-task", "1"],
    ],
)
def test_what_cannot_be_is_a_sentence_and_nothing_is_written(bids, tmp_path, capsys, options):
    assert run(bids, tmp_path, *options) == exitcodes.USAGE
    assert capsys.readouterr().err.startswith("normvol: ")
    assert not (tmp_path / "out" / "logs" / "slurm").exists()


def test_a_dry_run_writes_nothing(bids, tmp_path, capsys):
    assert run(bids, tmp_path, "--dry-run", "--people-per-task", "2") == exitcodes.OK
    assert capsys.readouterr().out == "would write jobs for 3 people in 2 tasks\n"
    assert not (tmp_path / "out").exists()


def test_a_wrong_option_is_a_sentence(bids, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        run(bids, tmp_path, "--partitoin", "x")
    assert stop.value.code == exitcodes.USAGE
    assert "--partitoin" in capsys.readouterr().err


def test_a_dataset_of_nobody_writes_nothing(tmp_path):
    (tmp_path / "bids").mkdir()
    (tmp_path / "bids" / "dataset_description.json").write_text(json.dumps({"Name": "x", "BIDSVersion": "1.9.0"}))
    assert run(tmp_path / "bids", tmp_path) == exitcodes.INPUT
    assert not (tmp_path / "out" / "logs").exists()
