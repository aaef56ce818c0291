"""Two brains in one tree are noticed, whichever file is the stranger."""

import math
from datetime import datetime, timedelta

import pytest

from bids_app.freesurfer.agreement import contradiction, days_older, difference
from bids_app.freesurfer.check import check_subject
from bids_app.freesurfer.quality import assess_quality
from bids_app.freesurfer.stats import Measure, StatsFile
from bids_app.freesurfer.synthetic import write_subject
from bids_app.freesurfer.volumes import extract_volumes
from tests.freesurfer.conftest import edit


def measures(**values):
    return {name: Measure(name, name, value, "mm^3") for name, value in values.items()}


def aseg(header=None, **values):
    known = {"eTIV": 1.5e6, "CortexVol": 480000.0, "BrainSegVol": 1.15e6, "lhCortexVol": 240000.0, **values}
    return StatsFile({"cvs_version": "7.4.1", **(header or {})}, measures(**known), None)


def cortex(hemisphere="lh", header=None, grey=(120000.0, 120000.0), **values):
    known = {"eTIV": 1.5e6, "CortexVol": 480000.0, "BrainSegVol": 1.15e6, **values}
    recorded = {"hemi": hemisphere, "cvs_version": "7.4.1", "AnnotationFile": f"../label/{hemisphere}.aparc.annot"}
    columns = {"StructName": ["a", "b"], "GrayVol": list(grey)}
    return StatsFile({**recorded, **(header or {})}, measures(**known), columns)


def files(one=None, other=None, third=None):
    return {
        "stats/aseg.stats": one or aseg(rhCortexVol=240100.0),
        "stats/lh.aparc.stats": other or cortex(),
        "stats/rh.aparc.stats": third or cortex("rh", grey=(120000.0, 120100.0)),
    }


def test_the_files_of_one_run_do_not_contradict_each_other():
    assert contradiction(files()) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"third": cortex("rh", eTIV=1.52e6)},
            "eTIV is 1500000 mm^3 in stats/aseg.stats but 1520000 in stats/rh.aparc",
        ),
        ({"other": cortex(CortexVol=520000.0)}, "CortexVol is 480000 mm^3"),
        ({"other": cortex(BrainSegVol=1.0e6)}, "BrainSegVol"),
        ({"third": cortex("rh", header={"hemi": "lh"})}, "stats/rh.aparc.stats holds the hemisphere lh"),
        (
            {"other": cortex(header={"AnnotationFile": "../label/lh.aparc.DKTatlas.annot"})},
            "stats/lh.aparc.stats was made from the annotation lh.aparc.DKTatlas.annot",
        ),
        ({"other": cortex(grey=(100000.0, 100000.0))}, "adds up to 200000 mm^3, but stats/aseg.stats gives 240000"),
        ({"other": cortex(header={"cvs_version": "6.0.1"})}, "was made by FreeSurfer 7 and stats/lh.aparc.stats by 6"),
        ({"third": cortex("rh")}, "hold the same numbers"),
    ],
)
def test_each_sign_of_a_second_brain_is_named(change, words):
    assert words in contradiction(files(**change))


def test_a_difference_that_rounding_cannot_make_is_measured():
    assert difference(aseg(), {"lh": cortex(BrainSegVol=1.1385e6)}) == pytest.approx(0.01)
    assert math.isnan(difference(StatsFile({}, {}, None), {"lh": cortex()}))


def test_an_older_cortex_is_measured_in_days():
    image = aseg(header={"InVolFileTimeStamp": "2025/06/04 13:00:00"})
    old = cortex(header={"CreationTime": "2025/05/30-13:00:00-GMT"})
    new = cortex(header={"CreationTime": "2025/06/04-20:00:00-GMT"})
    assert days_older(image, {"lh": old, "rh": new}) == 5
    assert days_older(image, {"lh": new}) == 0
    assert math.isnan(days_older(aseg(), {"lh": old}))


def test_a_tree_with_another_persons_hemisphere_is_not_usable(tree, tmp_path):
    other = write_subject(tmp_path / "sub-02", {}, etiv=1.7e6)
    text = (other / "stats" / "rh.aparc.stats").read_text().replace("sub-02", "sub-01")
    (tree / "stats" / "rh.aparc.stats").write_text(text)
    found = check_subject(tree, expected_subject="sub-01")
    assert found.status == "mixed"
    assert "stats/rh.aparc.stats" in found.message
    assert found.remedy


def test_a_hemisphere_under_the_other_name_is_not_usable(tree):
    stats = tree / "stats"
    (stats / "rh.aparc.stats").write_text((stats / "lh.aparc.stats").read_text())
    assert check_subject(tree).status == "mixed"


def test_a_tree_without_one_hemisphere_never_passes(tree):
    (tree / "stats" / "rh.aparc.stats").unlink()
    quality = assess_quality(extract_volumes(tree))
    assert (quality.verdict, quality.technical) == ("fail", "fail")
    assert "34 reference regions are not measured" in quality.reasons[0]


def test_quality_by_outcome_is_no_technical_failure(tree):
    volumes = extract_volumes(tree)
    z = dict.fromkeys(volumes.table["region"], 9.0)
    quality = assess_quality(volumes, z=z)
    assert (quality.verdict, quality.technical) == ("fail", "pass")


def test_another_annotation_is_not_desikan_killiany(tree):
    header = "AnnotationFile ../label/lh.aparc.annot"
    path = tree / "stats" / "lh.aparc.stats"
    if header not in path.read_text():
        path.write_text(path.read_text().replace("# hemi lh", f"# hemi lh\n# {header}", 1))
    edit(path, header, "AnnotationFile ../label/lh.aparc.a2009s.annot")
    assert "lh.aparc.a2009s.annot" in check_subject(tree).message


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        ({"other": cortex(eTIV=1498500.0)}, False),
        ({"other": cortex(eTIV=1.5e6 * 0.9985)}, True),
        ({"other": cortex(eTIV=1.5e6 * 1.0015)}, True),
        ({"other": cortex(CortexVol=480000 * 0.97)}, False),
        ({"other": cortex(CortexVol=480000 * 0.969)}, True),
        ({"other": cortex(BrainSegVol=1.15e6 * 1.032)}, True),
        ({"other": cortex(grey=(240000 * 0.97, 0.0))}, False),
        ({"other": cortex(grey=(240000 * 1.03, 0.0))}, False),
        ({"other": cortex(grey=(240000 * 0.969, 0.0))}, True),
        ({"other": cortex(grey=(240000 * 1.031, 0.0))}, True),
        ({"other": cortex(header={"cvs_version": "7.1.1"})}, False),
        ({"other": cortex(header={"cvs_version": "$Id: mris_anatomical_stats.c 1.79"})}, False),
        ({"one": aseg(header={"cvs_version": ""}, rhCortexVol=240100.0)}, False),
        ({"other": cortex(header={"AnnotationFile": " "})}, False),
        ({"other": cortex(header={"AnnotationFile": "lh.aparc.annot "})}, False),
    ],
)
def test_differences_at_their_limits(change, differs):
    assert bool(contradiction(files(**change))) is differs


def test_only_desikan_killiany_adds_up_to_the_hemisphere():
    low = cortex(header={"AnnotationFile": "lh.aparc.a2009s.annot"}, grey=(1.0, 2.0))
    assert contradiction({"stats/aseg.stats": aseg(), "stats/lh.aparc.a2009s.stats": low}) is None
    assert contradiction({"stats/aseg.stats": StatsFile({}, {}, None), "stats/lh.aparc.stats": cortex()}) is None
    empty = StatsFile({"hemi": "lh"}, {}, None)
    assert "adds up to 0" in contradiction({"stats/aseg.stats": aseg(), "stats/lh.aparc.stats": empty})


def test_every_hemisphere_is_held_against_every_aseg():
    other = cortex("rh", grey=(120000.0, 120100.0), BrainSegVol=1e6)
    assert "BrainSegVol" in contradiction({"stats/a.stats": StatsFile({}, {}, None), **files(third=other)})
    assert contradiction({"stats/lh.aparc.stats": cortex(), "stats/rh.aparc.stats": cortex("rh")}).startswith(
        "stats/lh.aparc.stats and stats/rh.aparc.stats hold the same numbers"
    )


def test_one_hemisphere_has_no_twin_and_neither_have_files_of_the_demo():
    assert contradiction({"stats/lh.aparc.stats": cortex()}) is None
    empty = {f"stats/{h}.x.stats": StatsFile({"hemi": h}, {}, None) for h in ("lh", "rh")}
    assert contradiction(empty) is None
    made = {f"stats/{h}.aparc.stats": cortex(h, header={"SYNTHETIC": "x"}) for h in ("lh", "rh")}
    assert contradiction(made) is None


def test_the_largest_difference_counts_and_a_measure_of_0_is_no_divisor():
    one, other = cortex(BrainSegVol=1.1385e6), cortex(CortexVol=480000 * 1.02)
    assert difference(aseg(), {"lh": one, "rh": other}) == pytest.approx(0.02)
    assert difference(aseg(CortexVol=0.0), {"lh": cortex()}) == 0


@pytest.mark.parametrize(("seconds", "days"), [(86400, 1.0), (43200, 0.5), (0, 0.0), (-5, 0.0)])
def test_days_are_counted_in_seconds(seconds, days):
    image = aseg(header={"InVolFileTimeStamp": "2025/06/04 00:00:00"})
    made = datetime(2025, 6, 4) - timedelta(seconds=seconds)
    file = cortex(header={"CreationTime": made.strftime("%Y/%m/%d-%H:%M:%S") + "-GMT"})
    unknown = cortex(header={"CreationTime": "2025"})
    assert days_older(image, {"lh": unknown, "rh": file}) == days
    assert math.isnan(days_older(image, {"lh": unknown}))
