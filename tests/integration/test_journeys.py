"""What happens to people on the way: stops, wrong wishes, odd places."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from bids_app.cli import exitcodes
from bids_app.cli.main import main
from bids_app.freesurfer.synthetic import write_subject
from tests.integration.test_runs import make_dataset, scored

pytestmark = pytest.mark.slow


MANY = tuple(f"{number:02d}" for number in range(1, 15))


@pytest.fixture
def bids(tmp_path):
    return with_trees(tmp_path / "bids", ("01", "02"))


def with_trees(folder, labels):
    """A dataset with the FreeSurfer output of everybody."""
    dataset = make_dataset(folder, labels=labels)
    for label in labels:
        write_subject(dataset / "derivatives/freesurfer" / f"sub-{label}", {"Left-Thalamus": 7000.0}, etiv=1.5e6)
    return dataset


def _lines_until(stream, word):
    for line in stream:
        if word in line:
            return
    raise AssertionError(f"the run never said {word!r}")


def _hang_up_is_heard():
    """Under nohup, children inherit that SIGHUP is ignored."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stopped_run_leaves_nothing_behind_and_can_be_continued(tmp_path, number):
    bids, output, temporary = with_trees(tmp_path / "bids", MANY), tmp_path / "out", tmp_path / "tmp"
    temporary.mkdir()
    arguments = [str(bids), str(output), "participant", "--nprocs", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "bids_app.cli.main", *arguments],
        text=True,
        stderr=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(temporary)},
        start_new_session=True,
        preexec_fn=_hang_up_is_heard,
    )
    _lines_until(process.stderr, "finished in")  # the first of many people
    os.killpg(process.pid, number)
    words = process.communicate(timeout=60)[1]
    assert process.returncode == exitcodes.INTERRUPTED, words
    assert "interrupted; run the same command again" in words
    assert "Traceback" not in words
    assert list(temporary.iterdir()) == []
    assert list(output.rglob("*.tmp")) == []
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    assert main(arguments) == exitcodes.OK
    assert scored(output) == [f"sub-{label}" for label in MANY]


def test_paths_on_the_command_line_may_be_relative(bids, tmp_path, monkeypatch):
    (bids / "derivatives/freesurfer").rename(tmp_path / "trees")
    (tmp_path / "mine.toml").write_text("[options]\n")
    monkeypatch.chdir(tmp_path)
    assert main(["bids", "out", "participant", "-d", "fs=trees", "--nprocs", "1"]) == exitcodes.OK
    assert main(["bids", "out", "group", "--analysis", "mine.toml", "--nprocs", "1"]) == exitcodes.OK


def test_a_crash_that_could_not_be_recorded_is_no_success(bids, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("bids_app.cli.carry_out.run_graph", lambda *args, **kwargs: [])
    assert main([str(bids), str(tmp_path / "out"), "participant", "--nprocs", "1"]) == exitcodes.FAILED
    words = capsys.readouterr().err
    assert "scored 0, up to date 0, left out 0, failed 2" in words
    assert "the run ended before this scan was done" in words


def test_people_after_the_first_crash_are_not_called_scored(bids, tmp_path, monkeypatch, capsys):
    def broken(*args, **kwargs):
        raise ZeroDivisionError("bug")

    monkeypatch.setattr("bids_app.interfaces.freesurfer.ReadScan._call", broken)
    arguments = [str(bids), str(tmp_path / "out"), "participant", "--nprocs", "1", "--stop-on-first-crash"]
    assert main(arguments) == exitcodes.FAILED
    words = capsys.readouterr().err
    assert "scored 0, up to date 0, left out 0, failed 2" in words
    assert "the run ended before this scan was done (--stop-on-first-crash)" in words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("plugin: Bogus", "nipype has no plugin 'Bogus'"),
        ("plugin: [", "is neither YAML nor JSON"),
        ("plugin: Linear\nplugin_args: 3", "must hold 'plugin: NAME'"),
    ],
)
def test_a_wrong_plugin_file_is_refused_before_anything_is_written(bids, tmp_path, capsys, text, words):
    path = tmp_path / "plugin.yml"
    path.write_text(text)
    arguments = [str(bids), str(tmp_path / "out"), "participant", "--nipype-plugin-file", str(path)]
    assert main(arguments) == exitcodes.USAGE
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_wrong_analysis_file_is_refused_before_anything_is_written(bids, tmp_path, capsys):
    output = tmp_path / "out"
    assert main([str(bids), str(output), "participant", "--nprocs", "1"]) == exitcodes.OK
    path = tmp_path / "analysis.toml"
    path.write_text("bogus = 1")
    capsys.readouterr()
    assert main([str(bids), str(output), "group", "--analysis", str(path)]) == exitcodes.USAGE
    assert capsys.readouterr().err.count("unknown table bogus") == 1
    assert not (output / "group_deviations.tsv").exists()


def test_without_a_home_nothing_stays_in_the_temporary_folder(bids, tmp_path, monkeypatch):
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("HOME", "/nonexistent")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    before = dict(os.environ)
    assert main([str(bids), str(tmp_path / "out"), "participant", "--nprocs", "1"]) == exitcodes.OK
    assert list((tmp_path / "tmp").iterdir()) == []
    assert dict(os.environ) == before


def test_two_runs_at_the_same_time_into_one_folder(bids, tmp_path):
    command = [sys.executable, "-m", "bids_app.cli.main", str(bids), str(tmp_path / "out"), "participant"]
    runs = [subprocess.Popen([*command, "--nprocs", "1"], stderr=subprocess.PIPE, text=True) for _ in range(2)]
    words = [run.communicate(timeout=120)[1] for run in runs]
    assert [run.returncode for run in runs] == [exitcodes.OK, exitcodes.OK], words
    assert scored(tmp_path / "out") == ["sub-01", "sub-02"]
    assert list((tmp_path / "out").rglob("*.tmp")) == []


def test_the_group_level_says_at_its_end_what_was_not_computed_and_why(bids, tmp_path, capsys):
    output, path = tmp_path / "out", tmp_path / "mine.toml"
    path.write_text('[roles]\nedss = "edss_absent"\n')
    assert main([str(bids), str(output), "participant", "--nprocs", "1"]) == exitcodes.OK
    assert main([str(bids), str(output), "group", "--analysis", str(path), "--nprocs", "1"]) == exitcodes.OK
    said = capsys.readouterr().err
    assert "The column edss_absent, which the analysis file names for edss, is not in the cohort." in said
    assert "No column plays" not in said
    lines = [line for line in said.splitlines() if "not computed: " in line]
    absent = "the column edss_absent (role edss) is not in the cohort"
    assert any("progression" in line and absent in line for line in lines)
    assert main([str(bids), str(output), "group", "--nprocs", "1"]) == exitcodes.OK
    assert "not computed" not in capsys.readouterr().err
