"""recon-all: command lines, licence, locks, resume, failure; against an executable that honours its contract."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bids_app.errors import ReconAllError, UsageError
from bids_app.freesurfer import recon_all
from bids_app.freesurfer.check import check_subject
from bids_app.freesurfer.recon_all import (
    ReconAllCommand,
    _ending,
    find_license,
    find_recon_all,
    link_fsaverage,
    run_recon_all,
)
from bids_app.freesurfer.recon_command import expected_cost, installed_version
from bids_app.freesurfer.subject import stream
from tests.freesurfer.fake_recon_all import install


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "sub-01_T1w.nii.gz"
    path.write_bytes(b"image")
    return path


@pytest.fixture
def home(tmp_path):
    return tmp_path / "freesurfer"


def command(tmp_path, image, **changes):
    return ReconAllCommand(**({"subjects_dir": tmp_path / "subjects", "name": "sub-01", "t1w": (image,)} | changes))


def commands_given(tree: Path) -> list[str]:
    return (tree / "scripts" / "recon-all.cmd").read_text().splitlines()


def wait_for(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def test_several_images_are_given_with_repeated_i_and_t2_wins_over_flair(tmp_path):
    given = ReconAllCommand(
        subjects_dir=Path("/s"),
        name="sub-01",
        t1w=(Path("/a.nii"), Path("/b.nii")),
        t2w=Path("/t2.nii"),
        flair=Path("/flair.nii"),
        threads=8,
        extra=("-hires",),
    )
    assert given.arguments() == [
        "-s",
        "sub-01",
        "-i",
        "/a.nii",
        "-i",
        "/b.nii",
        "-T2",
        "/t2.nii",
        "-T2pial",
        "-sd",
        "/s",
        "-all",
        "-parallel",
        "-openmp",
        "4",
        "-hires",
    ]
    assert "-i" not in given.arguments(resume=True)
    assert "-T2pial" in given.arguments(resume=True)


def test_one_thread_does_not_run_the_hemispheres_in_parallel():
    given = ReconAllCommand(subjects_dir=Path("/s"), name="sub-01", t1w=(Path("/a"),), flair=Path("/f"))
    assert given.arguments()[-2:] == ["-openmp", "1"]
    assert "-parallel" not in given.arguments()
    assert given.arguments()[4:7] == ["-FLAIR", "/f", "-FLAIRpial"]


def test_longitudinal_names_and_arguments():
    points = ("sub-01_ses-1", "sub-01_ses-2")
    base = ReconAllCommand(subjects_dir=Path("/s"), name="sub-01", stream="base", time_points=points)
    assert base.arguments()[:6] == ["-base", "sub-01", "-tp", "sub-01_ses-1", "-tp", "sub-01_ses-2"]
    point = ReconAllCommand(subjects_dir=Path("/s"), name="sub-01_ses-2", stream="long", base="sub-01")
    assert point.arguments()[:3] == ["-long", "sub-01_ses-2", "sub-01"]
    assert point.directory == Path("/s/sub-01_ses-2.long.sub-01")


def test_a_command_without_input_or_with_our_own_flags_is_refused():
    with pytest.raises(ValueError, match="without its input"):
        ReconAllCommand(subjects_dir=Path("/s"), name="sub-01")
    with pytest.raises(UsageError, match="-sd"):
        ReconAllCommand(subjects_dir=Path("/s"), name="sub-01", t1w=(Path("/a"),), extra=("-sd", "/x"))


def test_a_run_completes_and_is_not_repeated(tmp_path, image, home):
    environ = install(home)
    tree = run_recon_all(command(tmp_path, image), environ=environ)
    assert check_subject(tree, expected_subject="sub-01").status == "complete"
    before = commands_given(tree)
    assert run_recon_all(command(tmp_path, image), environ={"PATH": ""}) == tree
    assert commands_given(tree) == before
    assert (tmp_path / "subjects" / "fsaverage").is_symlink()


@pytest.mark.parametrize("version", ["6.0.1", "7.4.1", "8.0.0"])
def test_every_version_runs_in_parallel_with_pial_refinement(tmp_path, image, home, version):
    environ = install(home, FAKE_RECON_VERSION=version)
    assert installed_version(environ) == version
    run_recon_all(command(tmp_path, image, flair=image, threads=4, extra=("-notal-check",)), environ=environ)


def test_the_longitudinal_stream_from_cross_over_base_to_time_points(tmp_path, image, home):
    environ, root = install(home), tmp_path / "subjects"
    names = ("sub-01_ses-1", "sub-01_ses-2")
    for name in names:
        run_recon_all(command(tmp_path, image, name=name), environ=environ)
    base = ReconAllCommand(subjects_dir=root, name="sub-01", stream="base", time_points=names)
    assert check_subject(run_recon_all(base, environ=environ)).status == "longitudinal_base"
    point = ReconAllCommand(subjects_dir=root, name=names[0], stream="long", base="sub-01")
    tree = run_recon_all(point, environ=environ)
    assert tree.name == "sub-01_ses-1.long.sub-01"
    assert check_subject(tree, expected_subject=names[0]).status == "complete"
    assert stream(tree) == "long"
    before = commands_given(root / "sub-01")
    run_recon_all(base, environ=environ)
    assert commands_given(root / "sub-01") == before


def test_a_failed_step_is_named_and_the_next_run_resumes_without_the_images(tmp_path, image, home):
    environ = install(home)
    with pytest.raises(ReconAllError, match=r"exit code 1 .*mri_ca_reg.*recon-all\.log"):
        run_recon_all(command(tmp_path, image), environ=environ | {"FAKE_RECON_FAIL": "CA_Reg"})
    tree = tmp_path / "subjects" / "sub-01"
    assert check_subject(tree).status == "failed"
    run_recon_all(command(tmp_path, image), environ=environ)
    first, second = commands_given(tree)
    assert " -i " in first
    assert " -i " not in second


def test_a_killed_run_leaves_isrunning_which_our_own_next_run_clears(tmp_path, image, home):
    environ = install(home)
    with pytest.raises(ReconAllError, match=r"killed by signal 9.*out of memory"):
        run_recon_all(command(tmp_path, image), environ=environ | {"FAKE_RECON_KILL": "Surfaces"})
    tree = tmp_path / "subjects" / "sub-01"
    assert check_subject(tree).status == "stale"
    assert run_recon_all(command(tmp_path, image), environ=environ) == tree


def test_a_run_killed_before_its_images_were_converted_starts_anew(tmp_path, image, home):
    environ = install(home)
    tree = tmp_path / "subjects" / "sub-01"
    with pytest.raises(ReconAllError):
        run_recon_all(command(tmp_path, image), environ=environ | {"FAKE_RECON_KILL": "MotionCor"})
    (tree / "mri" / "orig" / "001.mgz").unlink()
    run_recon_all(command(tmp_path, image), environ=environ)
    assert commands_given(tree) == [" ".join(["recon-all", *command(tmp_path, image).arguments()])]


def test_a_run_that_takes_too_long_is_stopped_with_its_children(tmp_path, image, home):
    environ = install(home, FAKE_RECON_HANG="Talairach")
    with pytest.raises(ReconAllError, match="longer than allowed"):
        run_recon_all(command(tmp_path, image), environ=environ, timeout=2.0)
    process = (tmp_path / "subjects" / "sub-01" / "scripts" / "IsRunning.lh+rh").read_text().split("PROCESSID ")[1]
    wait_for(lambda: not Path(f"/proc/{process.strip()}").exists())


def test_success_without_statistics_is_an_error(tmp_path, image, home):
    with pytest.raises(ReconAllError, match="no whole statistics"):
        run_recon_all(command(tmp_path, image), environ=install(home, FAKE_RECON_SILENT="1"))


def test_a_tree_that_someone_else_started_is_left_alone(tmp_path, image, home):
    tree = tmp_path / "subjects" / "sub-01"
    (tree / "scripts").mkdir(parents=True)
    (tree / "scripts" / "recon-all-status.log").write_text("status file for recon-all\n")
    with pytest.raises(ReconAllError, match="not started by normvol"):
        run_recon_all(command(tmp_path, image), environ=install(home))
    assert [path.name for path in tree.rglob("*")] == ["scripts", "recon-all-status.log"]


def test_other_input_than_at_the_start_is_refused(tmp_path, image, home):
    environ = install(home)
    with pytest.raises(ReconAllError):
        run_recon_all(command(tmp_path, image), environ=environ | {"FAKE_RECON_FAIL": "CA_Reg"})
    with pytest.raises(ReconAllError, match="other input"):
        run_recon_all(command(tmp_path, image, extra=("-hires",)), environ=environ)


def start_in_background(tmp_path, image, environ):
    code = (
        "from pathlib import Path; from bids_app.freesurfer.recon_all import *\n"
        f"run_recon_all(ReconAllCommand(subjects_dir=Path({str(tmp_path / 'subjects')!r}), name='sub-01', "
        f"t1w=(Path({str(image)!r}),)))"
    )
    found = environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    process = subprocess.Popen([sys.executable, "-c", code], env=found, stderr=subprocess.DEVNULL)
    marker = tmp_path / "subjects" / "sub-01" / "scripts" / "IsRunning.lh+rh"
    wait_for(lambda: marker.exists() and "PROCESSID" in marker.read_text())
    return process, int(marker.read_text().split("PROCESSID ")[1])


def test_a_second_run_on_the_same_tree_is_refused(tmp_path, image, home):
    environ = install(home, FAKE_RECON_HANG="CA_Reg")
    parent, child = start_in_background(tmp_path, image, environ)
    try:
        with pytest.raises(ReconAllError, match="already running"):
            run_recon_all(command(tmp_path, image), environ=environ)
    finally:
        os.kill(child, signal.SIGKILL)
        parent.wait(timeout=20)


def test_an_orphaned_recon_all_still_holds_the_lock(tmp_path, image, home):
    environ = install(home, FAKE_RECON_HANG="CA_Reg")
    parent, child = start_in_background(tmp_path, image, environ)
    parent.kill()
    parent.wait(timeout=20)
    with pytest.raises(ReconAllError, match="already running"):
        run_recon_all(command(tmp_path, image), environ=environ)
    os.kill(child, signal.SIGKILL)
    wait_for(lambda: not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text().split()[2])
    assert run_recon_all(command(tmp_path, image), environ=install(tmp_path / "other"))


def test_licence_rules_in_freesurfers_order(tmp_path):
    home = tmp_path / "fs"
    home.mkdir()
    files = {name: tmp_path / name for name in ("option.txt", "variable.txt")}
    for path in (*files.values(), home / ".license"):
        path.write_text("licence")
    environ = {"FREESURFER_HOME": str(home)}
    assert find_license(None, environ) == home / ".license"
    (home / "license.txt").write_text("licence")
    assert find_license(None, environ) == home / "license.txt"
    environ["FS_LICENSE"] = str(files["variable.txt"])
    assert find_license(None, environ) == files["variable.txt"]
    assert find_license(files["option.txt"], environ) == files["option.txt"]
    with pytest.raises(ReconAllError, match="cannot be read"):
        find_license(tmp_path / "absent", environ)
    with pytest.raises(ReconAllError, match=r"\(FS_LICENSE\) cannot be read"):
        find_license(None, {"FS_LICENSE": str(home)})  # a folder
    with pytest.raises(ReconAllError, match="--fs-license-file"):
        find_license(None, {})


def test_an_absent_program_or_licence_is_said_only_when_recon_all_must_run(tmp_path, image, home):
    with pytest.raises(ReconAllError, match="not found"):
        find_recon_all({"PATH": str(tmp_path)})
    with pytest.raises(ReconAllError, match="licence"):
        run_recon_all(command(tmp_path, image), environ=install(home, licensed=False))
    assert not (tmp_path / "subjects" / "sub-01").exists()


def test_linking_fsaverage_twice_is_harmless(tmp_path, home):
    environ = install(home)
    link_fsaverage(tmp_path, environ)
    link_fsaverage(tmp_path, environ)
    assert (tmp_path / "fsaverage").resolve() == (home / "subjects" / "fsaverage").resolve()


def test_costs_grow_with_version_8s_memory_and_fall_with_threads():
    assert expected_cost("8.0.0").memory_gb > expected_cost("7.4.1").memory_gb
    assert expected_cost("7.4.1", threads=4).hours < expected_cost("7.4.1").hours
    assert expected_cost(None) == expected_cost("7.4.1")
    assert expected_cost("5.3.x") == expected_cost("6.0.0")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (-9, "was killed by signal 9 (out of memory?)"),
        (137, "was killed by signal 9 (out of memory?)"),
        (-15, "was killed by signal 15"),
        (1, "ended with exit code 1"),
        (128, "ended with exit code 128"),
        (0, "ended without error but left no whole statistics"),
        (None, "took longer than allowed and was stopped"),
    ],
)
def test_the_ending_is_named_whoever_reports_it(code, words):
    assert _ending(code) == words


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ""),
        ("the command\n", ""),
        ("the command\nlast words\n\n", " (last words)"),
        ("the command\nERROR: one\nerror: two\nafter\n", " (error: two)"),
        ("the command\nERROR: one\nrecon-all exited with ERRORS at Wed\n", " (ERROR: one)"),
        ("the command\nx: Command not found.\nend\n", " (x: Command not found.)"),
        ("the command\ncannot open\nend\n", " (cannot open)"),
        ("cannot be the command\n", " (cannot be the command)"),
    ],
)
def test_the_last_line_that_says_what_is_wrong(tmp_path, text, said):
    (tmp_path / "log").write_text(text)
    assert recon_all._last_error(tmp_path / "log") == said
    assert recon_all._last_error(tmp_path / "none") == ""


def test_the_package_of_an_absent_program_is_named():
    assert recon_all._to_install(" (tcsh: Command not found.)") == "install tcsh, which has tcsh; "
    assert recon_all._to_install(" (nobodys-program: Command not found.)") == ""
    assert recon_all._to_install(" (all is well)") == ""


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (None, "took longer than allowed and was stopped"),
        (0, "ended without error but left no whole statistics"),
        (1, "ended with exit code 1"),
        (128, "ended with exit code 128"),
        (129, "was killed by signal 1"),
        (137, "was killed by signal 9 (out of memory?)"),
        (-9, "was killed by signal 9 (out of memory?)"),
        (-1, "was killed by signal 1"),
        (-15, "was killed by signal 15"),
    ],
)
def test_every_ending_has_its_words(code, words):
    assert _ending(code) == words


def test_two_records_agree_in_what_both_know():
    record = {"images": [1], "version": "7.4.1", "segmentation": "atlas"}
    assert recon_all._same(record, dict(record))
    assert not recon_all._same(record, {**record, "images": [2]})
    for name in ("version", "segmentation"):
        assert recon_all._same(record, {**record, name: None})
        assert recon_all._same({**record, name: None}, record)
        assert not recon_all._same(record, {**record, name: "other"})
    assert recon_all._same({"images": [1]}, record)
    assert recon_all._only_time_points_differ({**record, "time_points": [1]}, {**record, "time_points": [2]})
    assert recon_all._only_time_points_differ({**record, "version": "1"}, record)
    assert not recon_all._only_time_points_differ({**record, "images": [2]}, record)


def test_a_record_without_version_is_completed_from_the_tree(tmp_path):
    assert recon_all._with_version({"version": "7"}, tmp_path) == {"version": "7"}
    assert recon_all._with_version({}, tmp_path) == {"version": None, "segmentation": None}
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "build-stamp.txt").write_text("freesurfer-linux-8.1.0-20250101-x")
    assert recon_all._with_version({"a": 1}, tmp_path) == {"a": 1, "version": "8.1.0", "segmentation": "synthseg"}


def base(tmp_path):
    return command(tmp_path, None, stream="base", t1w=(), time_points=("a",))


def test_a_base_is_finished_when_recon_all_says_so(tmp_path):
    made = base(tmp_path)
    assert recon_all._state(made).status == "killed"
    scripts = made.directory / "scripts"
    scripts.mkdir(parents=True)
    (scripts / "recon-all.done").write_text("1\n")
    assert recon_all._state(made).status == "killed"
    (scripts / "recon-all.done").write_text("SUBJECT sub-01\n")
    assert recon_all._state(made).status == "complete"
    (scripts / "recon-all.error").write_text("")
    assert recon_all._state(made).status == "failed"


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOTSUP, errno.EINVAL, errno.ENOLCK])
def test_a_file_system_without_locks_is_worked_on_all_the_same(tmp_path, image, monkeypatch, number):
    def refused(*_args):
        raise OSError(number, "no locks")

    monkeypatch.setattr(recon_all.fcntl, "flock", refused)
    with recon_all._locked(tmp_path / "lock", command(tmp_path, image)) as (handle, exclusive):
        assert exclusive is False
        assert os.fstat(handle)
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(handle)


def test_another_error_of_a_lock_is_raised(tmp_path, image, monkeypatch):
    def refused(*_args):
        raise OSError(errno.EIO, "broken disk")

    monkeypatch.setattr(recon_all.fcntl, "flock", refused)
    with pytest.raises(OSError, match="broken disk"), recon_all._locked(tmp_path / "l", command(tmp_path, image)):
        pass


def test_without_freesurfers_home_there_is_no_fsaverage_to_link(tmp_path, monkeypatch):
    (tmp_path / "subjects" / "fsaverage").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own").mkdir()
    for environ in ({}, {"FREESURFER_HOME": ""}, {"FREESURFER_HOME": str(tmp_path / "own")}):
        link_fsaverage(tmp_path / "own", environ)
        assert list((tmp_path / "own").iterdir()) == []
    link_fsaverage(tmp_path / "own", {"FREESURFER_HOME": str(tmp_path)})
    assert (tmp_path / "own" / "fsaverage").readlink() == tmp_path / "subjects" / "fsaverage"


def test_only_images_with_blanks_are_linked_each_under_its_own_name(tmp_path):
    (tmp_path / "records").mkdir()
    blank = [tmp_path / f"a b{number}.nii.gz" for number in range(5)]
    plain = tmp_path / "c.nii.gz"
    given = command(tmp_path, plain, t1w=(plain, blank[0]), t2w=blank[1], flair=blank[2])
    blank[4].write_text("")
    given = replace(given, extra=("-x", str(blank[4])))
    made = recon_all._with_linked_images(given, tmp_path / "records")
    images = tmp_path / "records" / "images"
    assert made.t1w == (plain, images / "sub-01_1.nii.gz")
    assert (made.t2w, made.flair) == (images / "sub-01_2.nii.gz", images / "sub-01_3.nii.gz")
    assert made.extra == ("-x", str(images / "sub-01_5.nii.gz"))
    assert [path.readlink() for path in (*made.t1w[1:], made.t2w, made.flair)] == blank[:3]
    again = recon_all._with_linked_images(given, tmp_path / "records")
    assert again == made
    assert recon_all._with_linked_images(command(tmp_path, plain), tmp_path / "none") == command(tmp_path, plain)


def test_what_runs_is_ended_first_gently_then_at_once(monkeypatch):
    calls = []
    monkeypatch.setattr(recon_all.os, "killpg", lambda group, step: calls.append((group, step)))
    monkeypatch.setattr(recon_all.time, "sleep", calls.append)
    recon_all.end_running()
    assert calls == [0, 0]
    monkeypatch.setattr(recon_all, "_RUNNING", {7})
    calls.clear()
    recon_all.end_running()
    assert calls == [(7, signal.SIGTERM), 2.0, (7, signal.SIGKILL), 0]


class Stubborn:
    """A process that ends at the second signal."""

    pid = 11

    def __init__(self, left):
        self.left, self.waited = left, []

    def poll(self):
        return None if self.left else 0

    def wait(self, timeout):
        self.waited.append(timeout)
        self.left -= 1
        if self.left:
            raise subprocess.TimeoutExpired("x", timeout)


@pytest.mark.parametrize(("left", "steps"), [(0, []), (1, [signal.SIGTERM]), (2, [signal.SIGTERM, signal.SIGKILL])])
def test_a_process_that_does_not_end_is_killed(monkeypatch, left, steps):
    calls, process = [], Stubborn(left)
    monkeypatch.setattr(recon_all.os, "killpg", lambda group, step: calls.append(step))
    recon_all._end_group(process)
    assert calls == steps
    assert process.waited == [20.0] * len(steps)
