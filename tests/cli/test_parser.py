"""Arguments and configuration file to a RunConfig."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace

import pytest

from bids_app.cli import exitcodes
from bids_app.cli.guard import guarded
from bids_app.cli.parser import parse_config
from bids_app.errors import UsageError
from bids_app.run.config import RunConfig
from bids_app.tables import read_toml


def test_labels_lose_their_prefix():
    config = parse_config(["b", "o", "participant", "--participant-label", "sub-01", "02", "--session-label", "ses-1"])
    assert config.participant_label == ("01", "02")
    assert config.session_label == ("1",)


def test_labels_may_be_separated_by_commas():
    assert parse_config(["b", "o", "participant", "--participant-label", "01,02"]).participant_label == ("01", "02")


def test_paths_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert parse_config(["b", "o", "group"]).output_dir == tmp_path / "o"


def test_configuration_file_round_trip(tmp_path):
    config = parse_config(["/b", "/o", "participant", "--mem", "3G", "--nprocs", "2", "--adapt-controls", "a == 'c'"])
    path = config.write(tmp_path / "config.toml")
    assert RunConfig.from_mapping(read_toml(path)) == config
    assert parse_config(["/b", "/o", "participant", "--config-file", str(path)]) == config


def test_a_shared_configuration_has_no_place_of_this_machine_and_runs_again(tmp_path):
    output = tmp_path / "study" / "out"
    options = ["--derivatives", f"fs={tmp_path}/study/fs", "--qc-file", f"{tmp_path}/study/qc.tsv", "--model", "open"]
    options += ["--scheduler", "dask:tcp://host:1", "-w", str(tmp_path / "work")]
    config = parse_config([f"{tmp_path}/study/bids", str(output), "participant", *options])
    path = config.write_shared(output / "sub-01" / "log" / "x" / "config.toml")
    assert str(tmp_path) not in path.read_text()
    again = parse_config([f"{tmp_path}/study/bids", str(output), "participant", "--config-file", str(path)])
    assert again == replace(config, work_dir=None)
    moved = (tmp_path / "study").rename(tmp_path / "moved")
    path = moved / "out/sub-01/log/x/config.toml"
    again = parse_config([f"{moved}/bids", f"{moved}/out", "participant", "--config-file", str(path)])
    assert again.qc_file == (f"{moved}/qc.tsv",)
    assert again.derivatives == (f"fs={moved}/fs",)


def test_a_place_apart_from_the_output_is_given_again(tmp_path):
    apart = ["--fs-subjects-dir", "/elsewhere/subjects", "--recon-args=-expert /elsewhere/opts"]
    config = parse_config(["/b", str(tmp_path / "out"), "participant", *apart])
    path = config.write_shared(tmp_path / "out" / "config.toml")
    assert "elsewhere" not in path.read_text()
    with pytest.raises(UsageError, match="--fs-subjects-dir, --recon-args was, which lay apart"):
        parse_config(["/b", str(tmp_path / "out"), "participant", "--config-file", str(path)])
    again = parse_config(["/b", str(tmp_path / "out"), "participant", "--config-file", str(path), *apart])
    assert again == config


def test_words_for_others_name_no_place_of_this_machine(tmp_path):
    config = parse_config([f"{tmp_path}/bids", f"{tmp_path}/out", "participant", "-w", "/elsewhere/work"])
    text = f"no {tmp_path}/out/a, {tmp_path}/bids: '{tmp_path}/bids/x' /elsewhere/work/y {tmp_path}/bids2"
    said = config.shared(text)
    assert said.startswith("no ./a, ../bids: '../bids/x' work/y ")


def test_command_line_wins_over_the_file(tmp_path):
    path = parse_config(["/b", "/o", "participant", "--nprocs", "2"]).write(tmp_path / "config.toml")
    again = parse_config(["/b", "/o", "participant", "--nprocs", "1", "--config-file", str(path)])
    assert again.nprocs == 1


def test_unknown_option_in_the_file_is_named(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text("nproc = 2\n")
    with pytest.raises(UsageError, match="nproc"):
        parse_config(["b", "o", "participant", "--config-file", str(path)])


def test_wrong_type_in_the_file_is_named(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text('nprocs = "two"\n')
    with pytest.raises(UsageError, match="nprocs"):
        parse_config(["b", "o", "participant", "--config-file", str(path)])


def test_damaged_file_is_a_usage_error(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text("nprocs = = 2")
    with pytest.raises(UsageError, match=r"config\.toml"):
        parse_config(["b", "o", "participant", "--config-file", str(path)])


def test_config_is_frozen():
    config = parse_config(["b", "o", "participant"])
    with pytest.raises(AttributeError):
        config.nprocs = 3
    assert replace(config, nprocs=3).nprocs == 3


def test_help_and_version_import_nothing_heavy():
    code = (
        "import sys; from bids_app.cli.main import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'pandas', 'numpy', 'nipype', 'pcntoolkit', 'bids', 'scipy'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_missing_dataset_has_its_exit_code_and_one_sentence(tmp_path, capsys):
    from bids_app.cli.main import main

    code = main([str(tmp_path / "nowhere"), str(tmp_path / "out"), "participant"])
    lines = capsys.readouterr().err.strip().splitlines()
    assert code == exitcodes.INPUT
    assert len(lines) == 1
    assert "nowhere" in lines[0]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('recon = "bogus"', "option recon is one of auto, ingest, run, not 'bogus'"),
        ('scoring = "bogus"', "option scoring is one of own-sex, reference-compat, not 'bogus'"),
        ('exclude_quality = ["bad"]', "option exclude_quality is one of warn, fail, not 'bad'"),
        ("nprocs = 0", "option nprocs must be 1 or more, not 0"),
        ('participant_label = "sub-01"', "option participant_label takes a list, not 'sub-01'"),
        ('adapt_by = "scanner"', "--adapt-by scanner needs --adapt-controls"),
        ('change_model = "c.json"\nreports_only = true', "--change-model is about the tables of people"),
        ('analysis = "/nowhere.toml"', "--analysis /nowhere.toml: there is no such file"),
    ],
)
def test_impossible_values_are_refused_before_anything_is_done(tmp_path, line, words):
    path = tmp_path / "run.toml"
    path.write_text(line)
    with pytest.raises(UsageError, match=re.escape(words)):
        parse_config(["bids", "out", "participant", "--config-file", str(path)])


def test_the_file_takes_options_as_the_command_line_spells_them(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text('mem = "4G"\nparticipant-label = ["sub-01"]\n')
    config = parse_config(["bids", "out", "participant", "--config-file", str(path)])
    assert (config.mem_mb, config.participant_label) == (4096, ("01",))


def test_derivatives_keep_their_name_and_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = parse_config(
        ["bids", "out", "participant", "-d", "fs=trees", "other", "--t1w-derivative", "ls=filled:lesion"]
    )
    assert config.derivatives == (f"fs={tmp_path}/trees", f"{tmp_path}/other")
    assert config.t1w_derivative == f"ls={tmp_path}/filled:lesion"
    (tmp_path / "a=b").mkdir()
    config = parse_config(["bids", "out", "participant", "-d", "a=b", "/data/site=1"])
    assert config.derivatives == (f"{tmp_path}/a=b", "/data/site=1")


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device", "/out/x"), FileNotFoundError(2, "gone", "/proc/x")]
)
def test_an_error_of_the_system_is_a_sentence(error, capsys):
    def fail():
        raise error

    assert guarded(fail) == exitcodes.FAILED
    assert f"{error.strerror} ({error.filename})" in capsys.readouterr().err


def test_a_licence_that_does_not_exist_is_said_at_once(tmp_path):
    with pytest.raises(UsageError, match=r"--fs-license-file .*nowhere\.txt: there is no such file"):
        parse_config(["bids", "out", "participant", "--fs-license-file", str(tmp_path / "nowhere.txt")])


def test_swapped_folders_are_recognised(tmp_path):
    (tmp_path / "bids" / "sub-01" / "anat").mkdir(parents=True)
    (tmp_path / "bids" / "sub-01" / "anat" / "sub-01_T1w.nii.gz").touch()
    (tmp_path / "bids" / "dataset_description.json").write_text("{}")
    with pytest.raises(UsageError, match="BIDS_DIR comes before OUTPUT_DIR"):
        parse_config([str(tmp_path / "out"), str(tmp_path / "bids"), "participant"])
    assert parse_config([str(tmp_path / "bids"), str(tmp_path / "out"), "participant"])


def test_a_misspelt_key_of_the_file_gets_the_nearest(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text("nproc = 2\n")
    with pytest.raises(UsageError, match=r"unknown option nproc; .*; did you mean nprocs\?"):
        parse_config(["bids", "out", "participant", "--config-file", str(path)])


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_a_shell_can_complete_the_options(shell, capsys):
    with pytest.raises(SystemExit) as stopped:
        parse_config(["--print-completion", shell])
    script = capsys.readouterr().out
    assert stopped.value.code == 0
    assert "participant-label" in script
    assert "fs-no-reconall" not in script


@pytest.mark.parametrize(("option", "words"), [("--qc-file", "keeps the ratings"), ("--participants-file", "table of")])
def test_what_belongs_to_one_sample_is_refused_beside_pool(tmp_path, option, words):
    with pytest.raises(UsageError, match=rf"{option} is about one sample.*{words}"):
        parse_config(["/b", "/o", "group", "--pool", str(tmp_path / "p.toml"), option, str(tmp_path / "x.tsv")])
