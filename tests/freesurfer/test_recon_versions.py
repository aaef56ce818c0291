"""recon-all by version: each fact of how FreeSurfer's scripts behave, and that our commands live with it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bids_app.errors import ReconAllError, UsageError
from bids_app.freesurfer.check import check_subject
from bids_app.freesurfer.programs import packages
from bids_app.freesurfer.recon_all import run_recon_all
from bids_app.freesurfer.recon_command import ReconAllCommand, child_environment, expected_cost, find_recon_all
from bids_app.freesurfer.subject import base_time_points, pial_image
from bids_app.freesurfer.volumes import extract_volumes
from bids_app.tables import read_json, write_json
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


def images_of_two_sizes(folder):
    images = tuple(folder / f"t1w_{size}.nii.gz" for size in (4, 5))
    for size, path in zip((4, 5), images, strict=True):
        nib.save(nib.Nifti1Image(np.zeros((size, size, size), dtype=np.int16), np.eye(4)), path)
    return images


def test_t1w_images_of_different_dimensions_are_refused_by_recon_all_after_it_began(tmp_path):
    with pytest.raises(ReconAllError, match="mismatched dimensions"):
        run(tmp_path, "7.4.1", name="sub-01", t1w=images_of_two_sizes(tmp_path))
    assert (tmp_path / "subjects/sub-01/mri/orig/002.mgz").exists()


@pytest.mark.parametrize("version", VERSIONS)
def test_one_or_several_images_with_t2_or_flair_are_accepted_and_recorded_where_used(tmp_path, image, version):
    both = run(tmp_path, version, name="a", t1w=(image, image), t2w=image, flair=image)
    flair = run(tmp_path, version, name="b", t1w=(image,), flair=image, threads=4)
    assert [pial_image(tree) for tree in (both, flair)] == ["T2w", "FLAIR"]
    assert not (both / "mri/orig/FLAIRraw.mgz").exists()
    run(tmp_path, version, name="base", stream="base", time_points=("a",))
    long = run(tmp_path, version, name="a", stream="long", base="base", time_points=("a",))
    assert pial_image(long) is None


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("step", ["MotionCor", "CA_Reg", "ASegStats"])
def test_a_killed_run_is_finished_by_the_next(tmp_path, image, version, step):
    environ = environment(tmp_path, version) | {"FAKE_RECON_VERSION": version}
    command = ReconAllCommand(subjects_dir=tmp_path / "subjects", name="sub-01", t1w=(image,), flair=image)
    with pytest.raises(ReconAllError, match="killed"):
        run_recon_all(command, environ=environ | {"FAKE_RECON_KILL": step})
    assert command.can_resume() == (step != "MotionCor")
    assert check_subject(run_recon_all(command, environ=environ)).usable


@pytest.mark.parametrize("version", VERSIONS)
def test_an_unknown_flag_is_named_before_any_log(tmp_path, image, version):
    code, words = raw(tmp_path, version, "-s", "x", "-i", str(image), "-sd", str(tmp_path), "-all", "-bogus")
    assert (code, words.strip().splitlines()[-1]) == (1, "ERROR: Flag -bogus unrecognized.")
    assert not (tmp_path / "x").exists()


def test_images_of_different_dimensions_are_refused_again_by_the_second_run(tmp_path):
    images = images_of_two_sizes(tmp_path)
    for _ in range(2):
        with pytest.raises(ReconAllError, match="mismatched dimensions"):
            run(tmp_path, "7.4.1", name="sub-01", t1w=images)


@pytest.mark.parametrize(("version", "words"), [("8.0.0", ()), ("8.1.0", ()), ("7.4.1", ("-synthseg",))])
def test_without_uptime_synthseg_cannot_run_and_its_package_is_named(tmp_path, image, version, words):
    with pytest.raises(ReconAllError, match="uptime: Command not found") as failed:
        run_recon_all(
            ReconAllCommand(subjects_dir=tmp_path / "subjects", name="sub-01", t1w=(image,), extra=words),
            environ=environment(tmp_path, version, FAKE_RECON_WITHOUT_UPTIME="1") | {"FAKE_RECON_VERSION": version},
        )
    assert "install procps" in failed.value.remedy


@pytest.mark.parametrize("version", VERSIONS[:5])
def test_without_uptime_the_atlas_runs(tmp_path, image, version):
    environ = environment(tmp_path, version, FAKE_RECON_WITHOUT_UPTIME="1")
    command = ReconAllCommand(subjects_dir=tmp_path / "subjects", name="sub-01", t1w=(image,))
    assert check_subject(run_recon_all(command, environ=environ)).usable


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("xopts", [None, "0"])
def test_labels_of_the_default_segmentation(tmp_path, image, version, xopts):
    environ = environment(tmp_path, version) | {"FAKE_RECON_VERSION": version}
    environ |= {} if xopts is None else {"FS_V8_XOPTS": xopts}
    command = ReconAllCommand(subjects_dir=tmp_path / "subjects", name="sub-01", t1w=(image,))
    found = extract_volumes(run_recon_all(command, environ=environ))
    lacks = version.startswith("8") and xopts is None
    assert ("WM-hypointensities" in found.not_segmented) == lacks
    record = read_json(tmp_path / "subjects/.normvol/sub-01.json")
    assert (record["version"], record["segmentation"]) == (version, "synthseg" if lacks else "atlas")


def test_a_shell_that_is_not_there_is_said(tmp_path, image):
    environ = environment(tmp_path, "7.4.1")
    find_recon_all(environ).write_text("#!/nowhere/tcsh -f\n")
    with pytest.raises(ReconAllError, match="cannot be started") as failed:
        run(tmp_path, "7.4.1", name="sub-01", t1w=(image,))
    assert "install tcsh" in failed.value.remedy


OTHERS = [
    ({"version": "7.4.1"}, {"version": "8.1.0"}),
    ({"version": "7.3.2"}, {"version": "7.4.1"}),
    ({"version": "8.1.0"}, {"version": "8.1.0", "FS_V8_XOPTS": "0"}),
    ({"version": "8.1.0", "FS_V8_XOPTS": "0"}, {"version": "8.1.0"}),
]


@pytest.mark.parametrize(("first", "second"), OTHERS)
@pytest.mark.parametrize("stream", ["cross", "base", "long"])
@pytest.mark.parametrize("recorded", [True, False])
def test_a_tree_of_another_freesurfer_is_not_resumed(tmp_path, image, first, second, stream, recorded):
    def at(given, **fields):
        environ = environment(tmp_path, given["version"]) | {"FAKE_RECON_VERSION": given["version"]}
        environ |= {name: value for name, value in given.items() if name != "version"} | fields
        return environ

    subjects = tmp_path / "subjects"
    for name in ("a", "b")[: {"cross": 0, "base": 2, "long": 2}[stream]]:
        run_recon_all(ReconAllCommand(subjects_dir=subjects, name=name, t1w=(image,)), environ=at(first))
    base = ReconAllCommand(subjects_dir=subjects, name="base", stream="base", time_points=("a", "b"))
    if stream == "long":
        run_recon_all(base, environ=at(first))
    long = ReconAllCommand(subjects_dir=subjects, name="a", stream="long", base="base", time_points=("a", "b"))
    command = {"cross": ReconAllCommand(subjects_dir=subjects, name="a", t1w=(image,)), "base": base, "long": long}
    with pytest.raises(ReconAllError):
        run_recon_all(command[stream], environ=at(first, FAKE_RECON_KILL="CA_Reg"))
    if not recorded:  # as before versions were recorded: the tree's own files say it
        record = subjects / ".normvol" / f"{command[stream].directory.name}.json"
        content = read_json(record)
        del content["version"], content["segmentation"]
        write_json(content, record)
        stamp = f"freesurfer-linux-fake_x86_64-{first['version']}-20230613-fake\n"
        (command[stream].directory / "scripts" / "build-stamp.txt").write_text(stamp)
        (command[stream].directory / "scripts" / "recon-all.env").write_text(
            f"FS_V8_XOPTS={first.get('FS_V8_XOPTS', 1)}\n"
        )
    with pytest.raises(ReconAllError, match="begun by FreeSurfer") as refused:
        run_recon_all(command[stream], environ=at(second))
    assert "to start anew" in refused.value.remedy
    assert run_recon_all(command[stream], environ=at(first)).exists()


def test_a_finished_tree_of_another_freesurfer_is_no_time_point_of_a_base(tmp_path, image):
    run(tmp_path, "7.4.1", name="a", t1w=(image,))
    with pytest.raises(ReconAllError, match=r"was made by FreeSurfer 7\.4\.1"):
        run(tmp_path, "8.1.0", name="a", t1w=(image,))


@pytest.mark.parametrize(
    ("version", "segmented_by", "memory"),
    [
        ("6.0.0", "atlas", 8),
        ("7.4.1", "atlas", 8),
        ("7.4.1", "synthseg", 24),
        ("8.1.0", "synthseg", 24),
        ("8.1.0", "atlas", 8),
    ],
)
def test_memory_goes_by_the_segmentation(version, segmented_by, memory):
    assert expected_cost(version, segmented_by=segmented_by).memory_gb == memory


def test_the_image_has_what_the_scripts_call():
    dockerfile = (Path(__file__).parents[2] / "Dockerfile").read_text()
    full = dockerfile[dockerfile.index("FROM slim AS full") :]
    installed = full[full.index("--no-install-recommends") : full.index("rm -rf")].split()
    debian_slim_has = {"coreutils"}
    assert {"uptime", "time", "gawk", "bc", "tcsh", "perl", "libgomp.so.1"} <= packages().keys()
    assert set(packages().values()) - debian_slim_has <= set(installed)


@pytest.mark.parametrize("version", ["8.0.0", "8.1.0"])
def test_an_undefined_freesurfer_ends_version_8_and_our_child_has_it(tmp_path, image, version):
    environ = environment(tmp_path, version)
    words = ["-s", "x", "-i", str(image), "-sd", str(tmp_path), "-all"]
    bare = {"PATH": environ["PATH"], "FREESURFER_HOME": environ["FREESURFER_HOME"], "FAKE_RECON_VERSION": version}
    done = subprocess.run(["recon-all", *words], env=bare, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "FREESURFER: Undefined variable.\n")
    assert check_subject(run(tmp_path, version, name="sub-01", t1w=(image,))).usable


@pytest.mark.parametrize(
    ("version", "segmentation"), [*((version, "atlas") for version in VERSIONS[:5]), ("8.1.0", "synthseg")]
)
def test_3t_chooses_an_atlas_and_nothing_with_synthseg(tmp_path, image, version, segmentation):
    tree = run(tmp_path, version, name="sub-01", t1w=(image,), extra=("-3T",))
    assert check_subject(tree).usable
    record = read_json(tmp_path / "subjects/.normvol/sub-01.json")
    assert record["segmentation"] == segmentation


@pytest.mark.parametrize("version", VERSIONS)
def test_dontrun_makes_nothing_and_is_refused_by_us(tmp_path, image, version):
    words = ["-s", "x", "-i", str(image), "-sd", str(tmp_path), "-all", "-dontrun"]
    assert raw(tmp_path, version, *words)[0] == 0
    assert not (tmp_path / "x").exists()
    with pytest.raises(UsageError, match="--recon-args must not hold -dontrun"):
        run(tmp_path, version, name="sub-01", t1w=(image,), extra=("-dontrun",))


@pytest.mark.parametrize("version", VERSIONS)
def test_one_hemisphere_is_no_subject_and_is_refused_by_us(tmp_path, image, version):
    words = ["-s", "x", "-i", str(image), "-sd", str(tmp_path), "-all", "-hemi", "lh"]
    assert raw(tmp_path, version, *words)[0] == 0
    assert not check_subject(tmp_path / "x").usable
    with pytest.raises(UsageError, match="--recon-args must not hold -hemi"):
        run(tmp_path, version, name="sub-01", t1w=(image,), extra=("-hemi", "lh"))


@pytest.mark.parametrize("word", ["-t2pial", "-flairPial", "-T2PIAL", "-OpenMP"])
def test_our_flags_in_another_case_are_refused(tmp_path, image, word):
    with pytest.raises(UsageError, match=f"--recon-args must not hold {word}"):
        run(tmp_path, "7.4.1", name="sub-01", t1w=(image,), extra=(word,))
