"""Places that turn against a run: shown late, read-only in the middle, unreadable; data that would steer a terminal."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bids_app import bounded, tables
from bids_app.cli import exitcodes, status
from bids_app.cli.main import main
from bids_app.cli.model import main as model_main
from bids_app.errors import InputError
from bids_app.freesurfer.synthetic import write_subject
from tests.integration.test_runs import make_dataset

pytestmark = pytest.mark.slow
RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]")


@pytest.fixture
def one(tmp_path):
    """A dataset of one person with a tree."""
    bids = make_dataset(tmp_path / "bids", labels=("01",))
    write_subject(bids / "derivatives/freesurfer/sub-01", {"Left-Thalamus": 7000.0}, etiv=1.5e6)
    return bids


def run(bids, output, *more):
    return main([str(bids), str(output), "participant", "--nprocs", "1", *more])


def test_what_workers_wrote_may_be_seen_seconds_later(one, tmp_path, monkeypatch, capsys):
    """As NFS shows a file of another machine: the main process sees summary and report two seconds late."""
    seen, own = {}, Path.stat
    main_process = os.getpid()

    def late(path, **how):
        if os.getpid() == main_process and path.name.endswith((".html", "summary_morph.json")) and "out" in path.parts:
            found = own(path, **how)
            if time.monotonic() - seen.setdefault(path, time.monotonic()) < 2:
                raise FileNotFoundError(errno.ENOENT, "not yet", str(path))
            return found
        return own(path, **how)

    monkeypatch.setattr(Path, "stat", late)
    assert run(one, tmp_path / "out") == exitcodes.OK
    assert seen
    assert "ended before" not in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="mounting takes root and unshare")
def test_a_disk_that_becomes_read_only_in_the_middle_is_named_and_the_next_run_goes_on(one, tmp_path):
    output = tmp_path / "out"
    output.mkdir()
    command = f"{sys.executable} -m bids_app.cli.main {one} {output} participant --nprocs 1"
    # A mount over the folder: one with files that are open for writing cannot become read-only
    script = f"""mount -t tmpfs none {output} || exit 77
    {command} & while [ ! -d {output}/sub-01 ]; do sleep 0.02; kill -0 $! || exit 78; done
    mount --bind {output} {output} && mount -o remount,bind,ro {output} || exit 77
    wait $!; echo "first $?"
    umount {output}; {command}; echo "second $?"; ls {output}"""
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, check=False)
    if done.returncode == 77:
        pytest.skip("no mount here")
    assert "Traceback" not in done.stderr
    assert re.search("read-only|Read-only", done.stderr), done.stderr
    assert "first 1" in done.stdout
    assert "second 0" in done.stdout
    assert "sub-01.html" in done.stdout


def test_a_folder_that_cannot_be_read_says_so(tmp_path, monkeypatch, capsys):
    def forbidden(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(bounded.os, "listdir", forbidden)
    with pytest.raises(InputError, match=r"the folder .* cannot be read"):
        bounded.names_in(tmp_path)


def test_a_folder_of_phenotypes_that_cannot_be_read_ends_the_run(one, tmp_path, monkeypatch, capsys):
    (one / "phenotype").mkdir()
    own = os.listdir

    def forbidden(path="."):
        if str(path).endswith("phenotype"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return own(path)

    monkeypatch.setattr(os, "listdir", forbidden)
    assert run(one, tmp_path / "out") == exitcodes.INPUT
    assert "phenotype cannot be read" in capsys.readouterr().err


def test_no_control_character_of_data_reaches_the_terminal(one, tmp_path, capsys):
    steer = "\x1b]0;owned\x07\x9b31m\u202e"
    (one / "participants.tsv").write_text(f"participant_id\tage\tsex\nsub-01\t{steer}\tF\nsub-{steer}\t3\tM\n")
    run(one, tmp_path / "out")
    run(one, tmp_path / "out", "--dry-run")
    main([str(one), str(tmp_path / "out"), "participant", "--adapt-controls", f"{steer} == 1"])
    status.main([str(tmp_path / "out")])
    (tmp_path / "t.tsv").write_text(f"{steer}\tage\tsex\n{steer}\t{steer}\t{steer}\n")
    model_main(["score", str(tmp_path / "t.tsv"), "-o", str(tmp_path / "z.tsv")])
    with pytest.raises(SystemExit):
        main([str(one), str(tmp_path / "out"), "participant", f"--{steer}"])
    told = capsys.readouterr()
    assert "owned" in told.err
    assert not RAW.search(told.out + told.err)


def test_commands_print_through_words_alone():
    """A print of their own would bypass what spells control characters out."""
    folder = Path(main.__code__.co_filename).parent
    with_print = {path.name for path in folder.glob("*.py") if re.search(r"(?<![.\w])print\(", path.read_text())}
    assert with_print == {"words.py", "options.py"}
    assert (folder / "options.py").read_text().count("print(") == 1


def test_every_command_that_fills_a_folder_ends_with_where_to_look(one, tmp_path, capsys):
    output = tmp_path / "out"
    for more in ((), ("--reports-only",)):
        assert run(one, output, *more) == exitcodes.OK
        assert f"normvol-status {output}" in capsys.readouterr().err.splitlines()[-1]


def test_status_reads_what_analyse_left_out(tmp_path, capsys):
    rows = "participant_id\tsession_id\tstatus\tstage\treason\tremedy\n"
    rows += "sub-01\tn/a\tscored\tdone\tn/a\tn/a\nsub-02\tses-1\tomitted\tcovariates\tno age\tadd it\n"
    (tmp_path / "group_inclusion.tsv").write_text(rows)
    assert status.main([str(tmp_path)]) == exitcodes.OMISSIONS
    assert "left out: sub-02_ses-1: no age; add it" in capsys.readouterr().out


def test_a_table_that_cannot_be_written_names_the_file(tmp_path, monkeypatch):
    def read_only(*args, **how):
        raise OSError(errno.EROFS, "Read-only file system", str(tmp_path / "t.tsv"))

    monkeypatch.setattr(tables, "_temporary", read_only)
    with pytest.raises(OSError, match="Read-only") as caught:
        tables.atomic_write(tmp_path / "t.tsv", "x")
    assert caught.value.filename == str(tmp_path / "t.tsv")
