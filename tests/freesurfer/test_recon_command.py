"""The command line of recon-all, what it needs and what it costs."""

import os
from pathlib import Path

import pytest

from bids_app.errors import ReconAllError, UsageError
from bids_app.freesurfer.recon_command import (
    ReconAllCommand,
    child_environment,
    expected_cost,
    find_license,
    find_recon_all,
    installed_version,
)

T1W = (Path("/in/t1.nii.gz"),)


def cross(root="/s", **options):
    return ReconAllCommand(**{"subjects_dir": Path(root), "name": "sub-01", "t1w": T1W, **options})


def test_each_stream_needs_its_own_input():
    for options in (
        {"t1w": ()},
        {"stream": "base"},
        {"stream": "long"},
        {"stream": "other"},
        {"stream": "long", "time_points": ("a",)},
        {"stream": "base", "base": "sub-01"},
    ):
        with pytest.raises(ValueError, match="without its input"):
            cross(**options)
    assert cross(stream="base", t1w=(), time_points=("a",)).arguments()[:4] == ["-base", "sub-01", "-tp", "a"]
    assert cross(stream="long", t1w=(), base="b").arguments()[:3] == ["-long", "sub-01", "b"]


def test_threads_are_shared_by_the_hemispheres():
    def threads(number, **options):
        return cross(threads=number, **options).arguments()[6:]

    assert cross().arguments() == ["-s", "sub-01", "-i", "/in/t1.nii.gz", "-sd", "/s", "-all", "-openmp", "1"][:9]
    assert threads(1)[1:] == ["-openmp", "1"]
    assert threads(2)[1:] == ["-parallel", "-openmp", "1"]
    assert threads(5)[1:] == ["-parallel", "-openmp", "2"]
    long = cross(stream="long", t1w=(), base="b", threads=4)
    assert long.arguments()[-2:] == ["-openmp", "4"]
    assert "-parallel" not in long.arguments()


def test_a_resumed_run_gets_no_images_but_refines_the_surface_again():
    t2w, flair = Path("/in/t2.nii.gz"), Path("/in/f.nii.gz")
    assert cross(t2w=t2w).arguments(resume=True)[:3] == ["-s", "sub-01", "-T2pial"]
    assert cross(flair=flair).arguments(resume=True)[:3] == ["-s", "sub-01", "-FLAIRpial"]
    assert cross(flair=flair).arguments()[4:7] == ["-FLAIR", str(flair), "-FLAIRpial"]
    assert cross(t2w=t2w, flair=flair).arguments()[4:8] == ["-T2", str(t2w), "-T2pial", "-sd"]
    assert cross().arguments(resume=True)[:3] == ["-s", "sub-01", "-sd"]


@pytest.mark.parametrize(
    "word", ["-s", "-i", "-sd", "-SUBJECT", "-flairPIAL", "-SD", "-no-isrunning", "-DontRun", "-hemi"]
)
def test_words_that_are_ours_or_make_less_than_all_are_refused(word):
    with pytest.raises(UsageError, match="must not hold"):
        cross(extra=("-cm", word))


def test_one_letter_flags_are_ours_in_their_own_case_only():
    assert cross(extra=("-S", "-I")).extra == ("-S", "-I")


@pytest.mark.parametrize(
    "options",
    [
        {"name": "sub-helper-help"},
        {"name": "sub-01", "stream": "long", "base": "b-version"},
        {"root": "/s/my-help"},
        {"extra": ("-version",)},
    ],
)
def test_words_that_stop_recon_all_are_refused_wherever_they_stand(options):
    with pytest.raises(UsageError, match="-help or -version"):
        cross(**options)


def test_a_word_with_blanks_is_refused_unless_it_is_a_file(tmp_path):
    with pytest.raises(UsageError, match="one word with blanks"):
        cross(extra=("-xopts", "a b"))
    file = tmp_path / "a b.txt"
    file.write_text("")
    assert cross(extra=("-expert", str(file))).extra[1] == str(file)
    with pytest.raises(UsageError, match="break at the blank"):
        cross(root="/a b")


def test_the_tree_of_a_time_point_is_named_by_its_base():
    assert cross().directory == Path("/s/sub-01")
    assert cross(stream="long", t1w=(), base="b").directory == Path("/s/sub-01.long.b")
    assert cross(base="b").directory == Path("/s/sub-01")


def test_a_cross_sectional_run_goes_on_with_all_its_images_only(tmp_path):
    def made(*names):
        folder = tmp_path / "sub-01" / "mri"
        (folder / "orig").mkdir(parents=True, exist_ok=True)
        for name in names:
            (folder / name).write_text("")

    two = cross(tmp_path, t1w=(*T1W, Path("/in/t1b.nii.gz")))
    made("rawavg.mgz", "orig.mgz", "orig/001.mgz")
    assert cross(tmp_path).can_resume()
    assert not two.can_resume()
    (tmp_path / "sub-01" / "mri" / "orig" / "001.mgz").unlink()
    assert not cross(tmp_path).can_resume()
    made("orig/001.mgz")
    made("orig/002.mgz")
    assert two.can_resume()
    flair, both = cross(tmp_path, flair=T1W[0]), cross(tmp_path, t2w=T1W[0], flair=T1W[0])
    assert not flair.can_resume()
    made("orig/FLAIRraw.mgz")
    assert flair.can_resume()
    assert not both.can_resume()
    made("orig/T2raw.mgz")
    assert both.can_resume()
    (tmp_path / "sub-01" / "mri" / "orig.mgz").unlink()
    assert not cross(tmp_path).can_resume()


def test_a_base_goes_on_with_its_list_and_a_time_point_always(tmp_path):
    base = cross(tmp_path, stream="base", t1w=(), time_points=("a",))
    assert not base.can_resume()
    base.directory.mkdir()
    (base.directory / "base-tps").write_text("a")
    assert base.can_resume()
    assert cross(tmp_path, stream="long", t1w=(), base="b").can_resume()


def test_the_record_has_what_decides_the_result(tmp_path):
    image = tmp_path / "t1.nii"
    image.write_text("123")
    found = cross(t1w=(image,), t2w=Path("/in/t2"), flair=Path("/in/f"), extra=("-cm",), threads=3).record()
    assert found["images"] == [[str(image), 3], ["/in/t2", None], ["/in/f", None]]
    assert found["extra"] == ["-cm"]
    assert not {"version", "segmentation", "threads"} & set(found)
    assert cross(flair=Path("/in/f")).record()["images"] == [["/in/t1.nii.gz", None], ["/in/f", None]]
    stamp = tmp_path / "build-stamp.txt"
    stamp.write_text("freesurfer-Linux-x86_64-8.0.0-20250101-abc")
    known = cross(extra=("-cm",)).record({"FREESURFER_HOME": str(tmp_path)})
    assert (known["version"], known["segmentation"]) == ("8.0.0", "synthseg")
    assert cross().record({})["version"] is None


def program(folder):
    folder.mkdir(parents=True)
    (folder / "recon-all").write_text("#!/bin/sh\n")
    (folder / "recon-all").chmod(0o755)
    return folder / "recon-all"


def test_the_program_on_the_path_goes_before_that_of_freesurfers_home(tmp_path):
    own, home = program(tmp_path / "own"), program(tmp_path / "home" / "bin")
    assert find_recon_all({"PATH": str(own.parent), "FREESURFER_HOME": str(tmp_path / "home")}) == own
    assert find_recon_all({"PATH": "/nowhere", "FREESURFER_HOME": str(tmp_path / "home")}) == home
    assert find_recon_all({"FREESURFER_HOME": str(tmp_path / "home")}) == home
    with pytest.raises(ReconAllError, match="was not found"):
        find_recon_all({"PATH": "/nowhere"})


def test_the_version_is_that_of_the_home_or_beside_the_program(tmp_path):
    found = program(tmp_path / "home" / "bin")
    (tmp_path / "home" / "build-stamp.txt").write_text("freesurfer-linux-ubuntu22_x86_64-7.4.1-20230614-7eb8460\n")
    assert installed_version({"PATH": str(found.parent)}) == "7.4.1"
    assert installed_version({"PATH": str(found.parent), "FREESURFER_HOME": str(tmp_path)}) is None
    assert installed_version({"PATH": "/nowhere"}) is None


def test_the_child_has_what_the_set_up_script_would_have_set(tmp_path):
    executable = program(tmp_path / "home" / "bin")
    home = str(tmp_path / "home")
    found = child_environment(executable, {"PATH": "/usr/bin::/usr/bin", "FS_OVERRIDE": "1", "PERL5LIB": "/p:"})
    assert found["FREESURFER_HOME"] == found["FREESURFER"] == home
    assert found["FS_OVERRIDE"] == "1"
    assert found["PATH"] == os.pathsep.join([f"{home}/bin", f"{home}/mni/bin", "/usr/bin"])
    assert found["PERL5LIB"] == f"{home}/mni/share/perl5:/p"
    assert child_environment(executable, {"FREESURFER_HOME": "/fs"})["MNI_DIR"] == "/fs/mni"


def test_a_licence_is_looked_for_in_order_and_one_that_is_given_must_be_there(tmp_path):
    home, given = tmp_path / "home", tmp_path / "given.txt"
    home.mkdir()
    (home / ".license").write_text("hidden")
    assert find_license(None, {"FREESURFER_HOME": str(home)}) == home / ".license"
    (home / "license.txt").write_text("plain")
    assert find_license(None, {"FREESURFER_HOME": str(home)}) == home / "license.txt"
    given.write_text("given")
    assert find_license(None, {"FS_LICENSE": str(given), "FREESURFER_HOME": str(home)}) == given
    assert find_license(home / "license.txt", {"FS_LICENSE": str(given)}) == home / "license.txt"
    for absent in (tmp_path / "none.txt", home):  # a folder can be read, but is no licence
        with pytest.raises(ReconAllError, match=r"--fs-license-file\) cannot be read"):
            find_license(absent, {"FREESURFER_HOME": str(home)})
    with pytest.raises(ReconAllError, match="needs a FreeSurfer licence"):
        find_license(None, {})


def test_without_a_home_no_file_of_the_working_folder_is_a_licence(tmp_path, monkeypatch):
    (tmp_path / "license.txt").write_text("another program's")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ReconAllError, match="needs a FreeSurfer licence"):
        find_license(None, {})


@pytest.mark.parametrize(
    ("version", "options", "cost"),
    [
        (None, {}, (0.5, 8.0, 12.0)),
        ("7.4.1", {}, (0.5, 8.0, 12.0)),
        ("dev", {}, (0.5, 8.0, 12.0)),
        ("5.3.0", {}, (0.5, 8.0, 14.0)),
        ("6.0.1", {}, (0.5, 8.0, 14.0)),
        ("8.1.0", {}, (0.5, 24.0, 6.0)),
        ("9.0.0", {}, (0.5, 24.0, 6.0)),
        ("6.0.1", {"threads": 4}, (0.5, 8.0, 6.0)),
        ("8.0.0", {"threads": 4}, (0.5, 24.0, 3.0)),
        ("7.4.1", {"threads": 2}, (0.5, 8.0, 9.7)),
        ("7.4.1", {"threads": 4}, (0.5, 8.0, 5.0)),
        ("7.4.1", {"threads": 8}, (0.5, 8.0, 5.0)),
        ("7.4.1", {"stream": "long"}, (0.4, 8.0, 7.2)),
        ("7.4.1", {"stream": "base"}, (0.5, 8.0, 12.0)),
        ("7.4.1", {"segmented_by": "synthseg"}, (0.5, 24.0, 12.0)),
        ("8.0.0", {"segmented_by": "atlas"}, (0.5, 8.0, 6.0)),
        ("6.0.0", {"segmented_by": "atlas"}, (0.5, 8.0, 14.0)),
    ],
)
def test_what_a_run_costs(version, options, cost):
    assert tuple(expected_cost(version, **options)) == cost
