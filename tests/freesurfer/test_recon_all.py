"""recon-all: command lines, licence, locks, resume, failure; against an executable that honours its contract."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bids_app.errors import ReconAllError, UsageError
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
