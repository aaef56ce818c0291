"""recon-all by version: each fact of how FreeSurfer's scripts behave, and that our commands live with it."""

from __future__ import annotations

import os
import subprocess

import nibabel as nib
import numpy as np
import pytest

from bids_app.errors import ReconAllError, UsageError
from bids_app.freesurfer.check import check_subject
from bids_app.freesurfer.recon_all import run_recon_all
from bids_app.freesurfer.recon_command import ReconAllCommand, child_environment, find_recon_all
from bids_app.freesurfer.subject import base_time_points
from tests.freesurfer.fake_recon_all import install

VERSIONS = ("6.0.0", "7.1.0", "7.2.0", "7.3.2", "7.4.1", "8.0.0", "8.1.0")
SINCE_7 = VERSIONS[1:]


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "t1w.nii.gz"
    path.write_bytes(b"image")
    return path


def environment(tmp_path, version, **settings):
    home = tmp_path / f"freesurfer-{version}"
    found = {"PATH": "/usr/bin:/bin", "FREESURFER_HOME": str(home)}
    return found if home.exists() else install(home, FAKE_RECON_VERSION=version, **settings)


def raw(tmp_path, version, *words):
    """The program itself, with FreeSurfer's set-up."""
    environ = environment(tmp_path, version)
    environ = child_environment(find_recon_all(environ), environ) | {
        "FS_LICENSE": f"{environ['FREESURFER_HOME']}/license.txt",
        "FAKE_RECON_VERSION": version,
    }
    done = subprocess.run(["recon-all", *words], env=environ, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def run(tmp_path, version, **fields):
    environ = environment(tmp_path, version) | {"FAKE_RECON_VERSION": version}
    return run_recon_all(ReconAllCommand(subjects_dir=tmp_path / "subjects", **fields), environ=environ)


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("version", VERSIONS)
def test_the_longitudinal_stream_finishes(tmp_path, image, version, threads):
    points = ("sub-01_ses-1", "sub-01_ses-2")
    for name in points:
        run(tmp_path, version, name=name, t1w=(image,), threads=threads)
    run(tmp_path, version, name="sub-01", stream="base", time_points=points, threads=threads)
    for name in points:
        long = {"stream": "long", "base": "sub-01", "time_points": points, "threads": threads}
        tree = run(tmp_path, version, name=name, **long)
        assert check_subject(tree).usable
        assert base_time_points(tree) == (() if version == "6.0.0" else points)


@pytest.mark.parametrize("version", SINCE_7)
def test_long_with_parallel_is_what_ends_in_an_error(tmp_path, image, version):
    run(tmp_path, version, name="a", t1w=(image,))
    run(tmp_path, version, name="base", stream="base", time_points=("a",))
    folder = tmp_path / "subjects"
    code, words = raw(tmp_path, version, "-long", "a", "base", "-sd", str(folder), "-all", "-parallel", "-openmp", "2")
    assert code == 1
    assert "exited with ERRORS" in words


def test_a_new_session_makes_the_base_and_all_time_points_anew_and_keeps_the_cross_runs(tmp_path, image):
    def all_of(points):
        crosses = [run(tmp_path, "7.4.1", name=name, t1w=(image,)) for name in points]
        base = run(tmp_path, "7.4.1", name="sub-01", stream="base", time_points=points)
        longs = [run(tmp_path, "7.4.1", name=n, stream="long", base="sub-01", time_points=points) for n in points]
        return crosses, base, longs

    crosses, base, longs = all_of(("s1", "s2"))
    kept = [(tree / "scripts/recon-all.cmd").read_text() for tree in crosses]
    crosses, base, longs = all_of(("s1", "s2", "s3"))
    assert [(tree / "scripts/recon-all.cmd").read_text() for tree in crosses[:2]] == kept
    assert (base / "base-tps").read_text().split() == ["s1", "s2", "s3"]
    assert {base_time_points(tree) for tree in longs} == {("s1", "s2", "s3")}


@pytest.mark.parametrize("version", VERSIONS[:5])
def test_a_quoted_command_line_in_one_word_does_nothing_and_is_refused_by_us(tmp_path, image, version):
    code, _ = raw(tmp_path, version, "-s", "x", "-i", str(image), "-sd", str(tmp_path), "-all", "-hires -cm")
    assert code == 0
    assert not (tmp_path / "x").exists()
    with pytest.raises(UsageError, match="one word with blanks"):
        ReconAllCommand(subjects_dir=tmp_path, name="x", t1w=(image,), extra=("-hires -cm",))


def test_ending_well_without_doing_anything_is_a_failure(tmp_path, image):
    environ = environment(tmp_path, "7.4.1")
    program = find_recon_all(environ)
    program.write_text("#!/bin/sh\nexit 0\n")
    command = ReconAllCommand(subjects_dir=tmp_path / "subjects", name="sub-01", t1w=(image,))
    with pytest.raises(ReconAllError, match="without error but did nothing"):
        run_recon_all(command, environ=environ)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("word", ["-help", "-version"])
def test_help_and_version_inside_a_word_stop_recon_all_and_are_refused_by_us(tmp_path, image, version, word):
    code, _ = raw(tmp_path, version, "-s", f"sub{word}", "-i", str(image), "-sd", str(tmp_path), "-all")
    assert code == (word == "-help")
    with pytest.raises(UsageError, match="cannot run"):
        ReconAllCommand(subjects_dir=tmp_path, name=f"sub{word}", t1w=(image,))


@pytest.mark.parametrize("version", SINCE_7)
def test_images_whose_path_has_blanks_are_linked(tmp_path, version):
    image = tmp_path / "my data" / "t1 w.nii.gz"
    image.parent.mkdir()
    image.write_bytes(b"image")
    code, words = raw(tmp_path, version, "-s", "x", "-i", str(image), "-sd", str(tmp_path), "-all")
    assert (code, "Too many arguments" in words) == (1, True)
    assert check_subject(run(tmp_path, version, name="sub-01", t1w=(image,))).usable


def test_a_subjects_folder_with_blanks_is_refused_before_anything_starts(tmp_path, image):
    with pytest.raises(UsageError, match="blank") as refused:
        ReconAllCommand(subjects_dir=tmp_path / "my data", name="x", t1w=(image,))
    assert "without blanks" in refused.value.remedy


@pytest.mark.parametrize("version", SINCE_7)
def test_without_freesurfers_set_up_the_scripts_fail_and_our_child_has_it(tmp_path, image, version):
    environ = environment(tmp_path, version)
    bare = {"PATH": "/usr/bin:/bin", "FS_LICENSE": "x", "FAKE_RECON_VERSION": version}
    done = subprocess.run(
        [str(find_recon_all(environ)), "-s", "x", "-i", str(image), "-sd", str(tmp_path), "-all"],
        env=bare | {"FREESURFER_HOME": environ["FREESURFER_HOME"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "rca-config" in done.stdout) == (1, True)
    environ["PATH"] = "/usr/bin:/bin"
    command = ReconAllCommand(subjects_dir=tmp_path / "subjects", name="sub-01", t1w=(image,))
    assert check_subject(run_recon_all(command, environ=environ | {"FAKE_RECON_VERSION": version})).usable


def test_what_is_set_already_stays_in_the_childs_environment(tmp_path):
    environ = {"FREESURFER_HOME": "/fs", "PATH": "/usr/bin", "MNI_DIR": "/elsewhere", "PERL5LIB": "/mine"}
    found = child_environment(tmp_path / "fs/bin/recon-all", environ)
    assert found["MNI_DIR"] == "/elsewhere"
    assert found["PERL5LIB"] == f"/fs/mni/share/perl5{os.pathsep}/mine"
    assert found["PATH"].split(os.pathsep)[0] == str(tmp_path / "fs/bin")
    assert {"FREESURFER", "FSFAST_HOME", "FS_OVERRIDE", "MNI_DATAPATH", "MNI_PERL5LIB"} <= set(found)


@pytest.mark.parametrize("version", SINCE_7)
def test_a_base_that_was_killed_early_is_started_anew(tmp_path, image, version):
    run(tmp_path, version, name="a", t1w=(image,))
    environ = environment(tmp_path, version) | {"FAKE_RECON_VERSION": version}
    command = ReconAllCommand(subjects_dir=tmp_path / "subjects", name="base", stream="base", time_points=("a",))
    with pytest.raises(ReconAllError):
        run_recon_all(command, environ=environ | {"FAKE_RECON_KILL": "MotionCor"})
    (command.directory / "base-tps").unlink()
    code, words = raw(tmp_path, version, "-base", "base", "-tp", "a", "-sd", str(command.subjects_dir), "-all")
    assert (code, "existing regular" in words) == (1, True)
    assert run_recon_all(command, environ=environ) == command.directory


def test_recon_alls_own_last_error_line_and_the_log_that_exists_are_named(tmp_path, image):
    with pytest.raises(ReconAllError) as failed:
        run(tmp_path, "7.4.1", name="sub-01", t1w=(image,), extra=("-bogus",))
    assert "ERROR: Flag -bogus unrecognized." in failed.value.reason
    assert "sub-01.log" in failed.value.remedy
    assert "recon-all.log" not in failed.value.remedy


def test_t1w_images_of_different_dimensions_are_refused_by_recon_all_after_it_began(tmp_path):
    images = []
    for size in (4, 5):
        path = tmp_path / f"t1w_{size}.nii.gz"
        nib.save(nib.Nifti1Image(np.zeros((size, size, size), dtype=np.int16), np.eye(4)), path)
        images.append(path)
    with pytest.raises(ReconAllError, match="mismatched dimensions"):
        run(tmp_path, "7.4.1", name="sub-01", t1w=tuple(images))
    assert (tmp_path / "subjects/sub-01/mri/orig/002.mgz").exists()
