"""What a subject directory says about itself."""

import pytest

from bids_app.freesurfer import subject
from bids_app.freesurfer.stats import StatsFile


def script(folder, name, text):
    (folder / "scripts").mkdir(parents=True, exist_ok=True)
    (folder / "scripts" / name).write_text(text)


@pytest.mark.parametrize(
    "sign",
    ["stats/aseg+DKT.stats", "stats/lh.aparc.DKTatlas.mapped.stats", "scripts/deep-seg.log", "scripts/recon-surf.log"],
)
def test_each_sign_of_fastsurfer(tmp_path, sign):
    assert subject.flavour(tmp_path) == "freesurfer"
    (tmp_path / sign).parent.mkdir()
    (tmp_path / sign).symlink_to(tmp_path / "not fetched")
    assert subject.flavour(tmp_path) == "fastsurfer"


def test_a_time_point_is_known_by_its_name_or_its_record(tmp_path):
    assert subject.stream(tmp_path / "sub-01_ses-1.long.sub-01") == "long"
    assert subject.stream(tmp_path) == "cross"
    script(tmp_path, "long.base", "b")
    assert subject.stream(tmp_path) == "long"


def test_a_base_has_its_list_and_is_no_time_point(tmp_path):
    for name, sign in (("a", "base-tps"), ("b", "touch/base.touch")):
        (tmp_path / name / sign).parent.mkdir(parents=True)
        assert not subject.is_longitudinal_base(tmp_path / name)
        (tmp_path / name / sign).write_text("")
        assert subject.is_longitudinal_base(tmp_path / name)
    script(tmp_path / "a", "long.base", "b")
    assert not subject.is_longitudinal_base(tmp_path / "a")


def test_scripts_are_read_where_they_are_there(tmp_path):
    assert subject.read_script(tmp_path, "recon-all.done") == ""
    script(tmp_path, "recon-all.done", "SUBJECT sub-01\n")
    assert subject.done_subject(tmp_path) == "sub-01"
    script(tmp_path, "recon-all.done", "/annex/objects/key")
    assert subject.read_script(tmp_path, "recon-all.done") == ""
    assert subject.done_subject(tmp_path) is None
    assert subject.base_time_points(tmp_path) == ()
    script(tmp_path, "long.base-tps", "a\nb\n")
    assert subject.base_time_points(tmp_path) == ("a", "b")


def test_the_image_that_refined_the_pial_surface(tmp_path):
    assert subject.pial_image(tmp_path) is None
    script(tmp_path, "recon-all-status.log", "#@# Refine Pial Surfs w/ T2/FLAIR\n")
    assert subject.pial_image(tmp_path) is None
    (tmp_path / "mri" / "orig").mkdir(parents=True)
    (tmp_path / "mri" / "orig" / "FLAIRraw.mgz").write_text("")
    assert subject.pial_image(tmp_path) == "FLAIR"
    script(tmp_path, "recon-all.cmd", "mri_convert x T2raw.mgz\n")
    assert subject.pial_image(tmp_path) == "T2w"
    script(tmp_path, "recon-all-status.log", "#@# Other\n")
    assert subject.pial_image(tmp_path) is None


@pytest.mark.parametrize(
    ("stamp", "version"),
    [
        ("freesurfer-Linux-centos6_x86_64-stable-pub-v6.0.1-f53a55a", "6.0.1"),
        ("freesurfer-linux-ubuntu22_x86_64-7.4.1-20230614-7eb8460", "7.4.1"),
        ("freesurfer-linux-x86_64-8.0.0-beta-20250101", "8.0.0-beta"),
        ("freesurfer-Linux-x86_64-dev-20200101", None),
        ("", None),
    ],
)
def test_versions_in_build_stamps(stamp, version):
    assert subject.version_in_stamp(stamp) == version


@pytest.mark.parametrize(
    ("recorded", "version"), [("7.4.1", "7.4.1"), ("v8.1.0-x", "8.1.0"), ("$Id: mri_segstats.c 1.2", None), ("", None)]
)
def test_versions_in_headers(recorded, version):
    assert subject.plain_version(recorded) == version


def aseg(cvs):
    return StatsFile({"cvs_version": cvs}, {}, None)


def test_the_version_of_the_header_goes_before_stamp_done_and_year(tmp_path):
    year = "$Id: mri_segstats.c,v 1.121 2016/05/31 17:27:11 greve Exp $"
    assert subject.freesurfer_version(tmp_path) == (None, "the FreeSurfer version is not recorded")
    assert subject.freesurfer_version(tmp_path, aseg(year)) == ("6.0.x", "")
    old = year.replace("2016", "1999")
    assert subject.freesurfer_version(tmp_path, aseg(old)) == (None, "the FreeSurfer version is not recorded")
    script(tmp_path, "recon-all.done", "VERSION v6.0.0 (x)\n")
    assert subject.freesurfer_version(tmp_path, aseg(year)) == ("6.0.0", "")
    script(tmp_path, "build-stamp.txt", "freesurfer-Linux-pub-v6.0.1-f53a55a\n")
    assert subject.freesurfer_version(tmp_path, aseg(year)) == ("6.0.1", "")
    version, remark = subject.freesurfer_version(tmp_path, aseg("7.1.0"))
    assert version == "7.1.0"
    assert remark == "aseg.stats was made by FreeSurfer 7.1.0, the build stamp says 6.0.1"
    assert subject.freesurfer_version(tmp_path, aseg("6.0.1")) == ("6.0.1", "")
    (tmp_path / "scripts" / "build-stamp.txt").unlink()
    assert subject.freesurfer_version(tmp_path, aseg("7.1.0")) == ("7.1.0", "")


@pytest.mark.parametrize(
    ("recorded", "expected", "another"),
    [
        ("sub-01", "sub-01", False),
        ("sub-01", "sub-01_ses-1", False),
        ("sub-01_ses-1", "sub-01_ses-2", True),
        ("sub-01", "sub-02", True),
        ("sub-02_ses-1", "sub-01_ses-1", True),
        ("bert", "sub-01", False),
        ("sub-01", "bert", True),
        ("bert", "ernie", False),
        ("sub-01_ses-1.long.sub-01", "sub-01_ses-1", False),
    ],
)
def test_names_that_contradict_each_other(tmp_path, recorded, expected, another):
    assert subject.is_another_person(recorded, expected) is another
    assert subject.is_wrong_person(tmp_path, recorded, expected) is another


def test_fastsurfers_done_file_is_believed(tmp_path):
    script(tmp_path, "deep-seg.log", "")
    assert subject.is_wrong_person(tmp_path, "sub-02", "sub-01")
    script(tmp_path, "recon-all.done", "SUBJECT sub-01\n")
    assert not subject.is_wrong_person(tmp_path, "sub-02", "sub-01")
    (tmp_path / "scripts" / "deep-seg.log").unlink()
    assert subject.is_wrong_person(tmp_path, "sub-02", "sub-01")


def test_labels_in_a_name():
    assert subject.labels("sub-01_ses-1.long.sub-02") == {"sub": "01", "ses": "1"}
    assert subject.labels("sub-01/ses-1") == {"sub": "01", "ses": "1"}
    assert subject.labels("mysub-01") == {}
