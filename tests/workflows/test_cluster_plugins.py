"""A plugin of nipype that cannot work on this cluster is refused before anything runs."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from nipype.pipeline import plugins

from bids_app.cli import exitcodes
from bids_app.cli.main import main
from bids_app.errors import UsageError
from bids_app.workflows.cluster_plugins import COMMANDS, check_cluster_plugin


@pytest.fixture
def environ(tmp_path):
    for command in COMMANDS.values():
        (tmp_path / command).write_text("#!/bin/sh\n")
        (tmp_path / command).chmod(0o755)
    return {"PATH": str(tmp_path), "LOGNAME": "me"}


def test_every_plugin_that_is_checked_is_nipypes():
    assert all(inspect.isclass(getattr(plugins, f"{name}Plugin")) for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_plugin_with_all_it_needs_passes(environ, name):
    check_cluster_plugin(name, Path("/shared/work"), environ)


@pytest.mark.parametrize("name", COMMANDS)
def test_an_absent_command_is_named(name):
    with pytest.raises(UsageError, match=f"needs the command {COMMANDS[name]}"):
        check_cluster_plugin(name, Path("/shared/work"), {"PATH": "", "LOGNAME": "me"})


def test_a_user_without_name_is_told_what_to_export(environ):
    del environ["LOGNAME"]
    with pytest.raises(UsageError, match="export LOGNAME="):
        check_cluster_plugin("SLURM", Path("/shared/work"), environ)


@pytest.mark.parametrize("work_dir", [None, Path("/tmp/work"), Path("/tmp/../tmp/x"), Path("/dev/shm/work")])
def test_a_work_folder_of_one_machine_is_refused(environ, work_dir):
    with pytest.raises(UsageError, match="-w DIR"):
        check_cluster_plugin("PBS", work_dir, environ)


def test_plugins_of_this_machine_need_none_of_it():
    check_cluster_plugin("MultiProc", None, {})


def test_nothing_is_written_before_the_refusal(tmp_path, monkeypatch, capsys):
    (tmp_path / "bids").mkdir()
    (tmp_path / "bids" / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.9.0"}')
    (tmp_path / "plugin.yml").write_text("plugin: SLURM\n")
    monkeypatch.setenv("PATH", "")
    code = main(
        [
            str(tmp_path / "bids"),
            str(tmp_path / "out"),
            "participant",
            "--nipype-plugin-file",
            str(tmp_path / "plugin.yml"),
        ]
    )
    assert code == exitcodes.USAGE
    assert "sbatch" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
