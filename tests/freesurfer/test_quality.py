"""The quality verdict: each limit by itself, and the table of limits in the documentation."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd
import pytest

from bids_app import regions
from bids_app.freesurfer.quality import LIMITS, _judge, assess_quality, with_bounds
from bids_app.freesurfer.quality_reference import Bounds
from bids_app.freesurfer.synthetic import write_subject
from bids_app.freesurfer.volumes import extract_volumes


@pytest.fixture
def scan(tree):
    return extract_volumes(tree)


def with_volume(scan, **volumes):
    table = scan.table.set_index("region")
    for name, value in volumes.items():
        table.loc[name, "volume_mm3"] = value
    return replace(scan, table=table.reset_index())


def test_an_ordinary_scan_passes_with_its_metrics(scan):
    found = assess_quality(scan)
    assert (found.verdict, found.reasons) == ("pass", ())
    assert found.metrics["etiv_litres"] == 1.5
    assert found.metrics["surface_holes"] == 20
    assert all(isinstance(value, float) and not math.isnan(value) for value in found.metrics.values())


@pytest.mark.parametrize(
    ("etiv", "verdict"),
    [(0.4e6, "fail"), (0.85e6, "warn"), (1.2e6, "pass"), (2.3e6, "warn"), (3.1e6, "fail"), (math.nan, "fail")],
)
def test_implausible_etiv(scan, etiv, verdict):
    assert assess_quality(replace(scan, etiv_mm3=etiv)).verdict == verdict


@pytest.mark.parametrize(
    ("ratio", "verdict"), [(0.45, "fail"), (0.55, "warn"), (0.89, "pass"), (0.91, "warn"), (1.01, "fail")]
)
def test_brain_to_skull_ratio(scan, ratio, verdict):
    found = assess_quality(replace(scan, measures={**scan.measures, "brainsegvol_to_etiv": ratio}))
    assert found.verdict == verdict


@pytest.mark.parametrize(
    ("others", "verdict"),
    [
        ([], "pass"),
        ([1.51e6, 1.49e6], "pass"),
        ([1.6e6], "warn"),
        ([1.5e6, 1.2e6, 1.2e6], "fail"),
        ([math.nan], "pass"),
    ],
)
def test_agreement_of_etiv_with_the_other_sessions(scan, others, verdict):
    assert assess_quality(scan, other_sessions_etiv=others).verdict == verdict


@pytest.mark.parametrize(("holes", "verdict"), [((40, 50), "pass"), ((60, 50), "warn"), ((150, 90), "fail")])
def test_surface_holes_and_euler_number(tmp_path, holes, verdict):
    measures = dict(zip(("lh_surface_holes", "rh_surface_holes"), holes))
    scan = extract_volumes(write_subject(tmp_path / "sub-01", {}, etiv=1.5e6, measures=measures))
    assert assess_quality(scan).verdict == verdict


def test_hemispheres_that_differ(scan):
    assert assess_quality(with_volume(scan, lhCortexVol=200_000, rhCortexVol=225_000)).verdict == "warn"
    assert assess_quality(with_volume(scan, lhCerebralWhiteMatterVol=150_000)).verdict == "fail"


def test_low_contrast(scan):
    for snr, verdict in ((3.0, "pass"), (1.5, "warn"), (0.9, "fail")):
        measures = {**scan.measures, "lh_contrast_snr": 3.5, "rh_contrast_snr": snr}
        assert assess_quality(replace(scan, measures=measures)).verdict == verdict


def test_one_extreme_region_is_a_warning_and_many_are_a_failure(scan):
    z = dict.fromkeys(regions.reference_regions(), 0.5)
    assert assess_quality(scan, z=z).verdict == "pass"
    found = assess_quality(scan, z=z | {"Left-Thalamus": -5.5, "asymmetry_Thalamus": -6.0})
    assert found.verdict == "warn"
    assert "left thalamus" in found.reasons[0]
    assert "left and right differ" in found.reasons[1]
    many = dict.fromkeys(regions.reference_regions()[:20], -6.0)
    found = assess_quality(scan, z=pd.Series(z | many))
    assert found.verdict == "fail"
    assert found.metrics["extreme_share"] == pytest.approx(20 / 82)
    assert any("and 15 more" in reason for reason in found.reasons)


def test_values_outside_the_training_range(scan):
    ranges = {regions.ETIV: (1.0e6, 1.4e6), "Left-Thalamus": (7500.0, 9000.0)}
    found = assess_quality(scan, ranges=ranges)
    assert found.verdict == "warn"
    assert any("outside the training data (1.00 to 1.40)" in reason for reason in found.reasons)
    assert any("left thalamus" in reason for reason in found.reasons)


def test_the_limits_of_the_training_range_are_inside(scan):
    names = ("Left-Thalamus", "Right-Thalamus")
    volume = scan.table.set_index("region")["volume_mm3"]
    found = assess_quality(scan, ranges={name: (volume[name], volume[name]) for name in names})
    assert not any("thalamus" in reason for reason in found.reasons)


def test_an_empty_region_is_a_failure(scan):
    found = assess_quality(with_volume(scan, **{"Left-Hippocampus": 0.0}))
    assert found.verdict == "fail"
    assert "left hippocampus" in found.reasons[0]


def test_the_worst_reason_comes_first(scan):
    found = assess_quality(replace(scan, etiv_mm3=3.1e6, measures={**scan.measures, "surface_holes": 120.0}))
    assert "eTIV" in found.reasons[0]
    assert "surface holes" in found.reasons[1]


def test_every_limit_is_ordered_and_documented(repository):
    page = (repository / "docs" / "freesurfer.md").read_text()
    for limit in LIMITS.values():
        bounds = [b for b in (limit.fail_low, limit.warn_low, limit.warn_high, limit.fail_high) if b is not None]
        assert bounds == sorted(bounds)
        shown = ["" if b is None else f"{b:g}" for b in limit[1:5]]
        assert f"| `{limit.metric}` | {' | '.join(shown)} |" in page


@pytest.mark.parametrize(("apart", "verdict"), [(0.0, "pass"), (0.019, "pass"), (0.021, "warn"), (0.04, "fail")])
def test_statistics_that_do_not_agree_do_not_pass(scan, apart, verdict):
    found = assess_quality(replace(scan, measures={**scan.measures, "aseg_aparc_difference": apart}))
    assert found.verdict == verdict


BOUNDS = [
    (limit.metric, level, side, value)
    for limit in LIMITS.values()
    for level, side, value in (
        ("fail", -1, limit.fail_low),
        ("warn", -1, limit.warn_low),
        ("warn", 1, limit.warn_high),
        ("fail", 1, limit.fail_high),
    )
    if value is not None
]


@pytest.mark.parametrize(("metric", "level", "side", "bound"), BOUNDS)
def test_a_limit_itself_is_inside_and_what_lies_beyond_is_said(scan, metric, level, side, bound):
    def judged(value):
        limit = with_bounds({})[metric]
        return _judge(limit, value)

    at, beyond = judged(bound), judged(bound + side * 1e-3)
    assert at is None or at[0] != level
    assert beyond[0] == level
    assert beyond[1].endswith(f", {'above' if side > 0 else 'below'} {bound:g}")


def test_the_values_of_the_limits_are_those_of_their_sources():
    assert {limit.metric: tuple(limit[1:5]) for limit in LIMITS.values()} == {
        "etiv_litres": (0.5, 0.9, 2.2, 3.0),
        "brainsegvol_to_etiv": (0.5, 0.6, 0.9, 1.0),
        "etiv_session_difference": (None, None, 0.05, 0.1),
        "surface_holes": (None, None, 100, None),
        "euler": (-217, None, None, None),
        "aseg_aparc_difference": (None, None, 0.02, 0.03),
        "aparc_older_days": (None, None, 1.0, None),
        "cortex_asymmetry": (None, None, 0.05, 0.1),
        "white_matter_asymmetry": (None, None, 0.05, 0.1),
        "contrast_snr": (1.0, 2.0, None, None),
        "extreme_share": (None, None, 0.05, 0.2),
    }


def test_etiv_is_held_against_the_median_of_the_other_sessions(scan):
    found = assess_quality(scan, other_sessions_etiv=[1.2e6, math.nan, 1.25e6, 9e6])
    assert found.metrics["etiv_session_difference"] == pytest.approx(0.2)
    alone = assess_quality(replace(scan, etiv_mm3=math.nan), other_sessions_etiv=[1.2e6])
    assert "etiv_session_difference" not in alone.metrics
    assert "etiv_session_difference" not in assess_quality(scan).metrics


def test_asymmetry_is_the_difference_over_the_sum(scan):
    found = assess_quality(with_volume(scan, lhCortexVol=300.0, rhCortexVol=100.0)).metrics
    assert found["cortex_asymmetry"] == 0.5
    swapped = assess_quality(with_volume(scan, lhCortexVol=100.0, rhCortexVol=300.0)).metrics
    assert swapped["cortex_asymmetry"] == 0.5
    none = assess_quality(with_volume(scan, lhCortexVol=0.0, rhCortexVol=0.0)).metrics
    assert "cortex_asymmetry" not in none
    tiny = assess_quality(with_volume(scan, lhCortexVol=0.6, rhCortexVol=0.2)).metrics
    assert tiny["cortex_asymmetry"] == pytest.approx(0.5)


def test_the_lower_hemisphere_tells_the_contrast(scan):
    one = replace(scan, measures={**scan.measures, "lh_contrast_snr": 3.5})
    assert assess_quality(one).metrics["contrast_snr"] == 3.5
    both = replace(scan, measures={**scan.measures, "lh_contrast_snr": 3.5, "rh_contrast_snr": 3.0})
    assert assess_quality(both).metrics["contrast_snr"] == 3.0
    assert "contrast_snr" not in assess_quality(scan).metrics


@pytest.mark.parametrize(("absent", "verdict"), [(16, "pass"), (17, "fail")])
def test_half_a_hemisphere_less_is_no_whole_run(scan, absent, verdict):
    names = regions.reference_regions()[:absent]
    less = replace(scan, table=scan.table[~scan.table["region"].isin(names)])
    assert assess_quality(less).verdict == verdict
    assert assess_quality(replace(less, flavour="fastsurfer")).verdict == "pass"


def test_the_range_of_etiv_includes_its_ends(scan):
    for low, high, verdict in ((1.5e6, 2e6, "pass"), (1e6, 1.5e6, "pass"), (1.6e6, 2e6, "warn"), (1e6, 1.4e6, "warn")):
        found = assess_quality(scan, ranges={regions.ETIV: (low, high)})
        assert found.verdict == found.technical == verdict


def test_without_etiv_its_range_says_nothing_more(scan):
    found = assess_quality(replace(scan, etiv_mm3=math.nan), ranges={regions.ETIV: (1e6, 2e6)})
    assert found.reasons == ("there is no eTIV",)
    assert found.technical == "fail"


def test_extreme_means_beyond_5_on_either_side(scan):
    names = regions.reference_regions()
    z = dict.fromkeys(names, 0.0)
    assert assess_quality(scan, z=z | {names[0]: 5.0, names[1]: -5.0}).metrics["extreme_share"] == 0
    found = assess_quality(scan, z=z | {names[0]: 5.001, names[1]: -5.001})
    assert found.metrics["extreme_share"] == pytest.approx(2 / len(names))
    assert found.technical == "pass"
    assert found.verdict == "warn"


@pytest.mark.parametrize(("count", "known"), [(19, False), (20, True)])
def test_a_share_of_few_regions_says_nothing(scan, count, known):
    z = dict.fromkeys(regions.reference_regions()[:count], 6.0)
    found = assess_quality(scan, z=z)
    assert ("extreme_share" in found.metrics) is known
    assert found.verdict == ("fail" if known else "warn")


def test_scores_of_other_regions_alone_are_not_judged(scan):
    assert assess_quality(scan, z={"asymmetry_Thalamus": 9.0}).reasons == ()


def test_the_share_counts_reference_regions_only(scan):
    z = dict.fromkeys(regions.reference_regions(), 0.0)
    found = assess_quality(scan, z=z | {"asymmetry_Thalamus": 9.0})
    assert found.metrics["extreme_share"] == 0
    assert found.verdict == "warn"


def test_values_below_and_above_the_training_range_are_extreme(scan):
    volume = scan.table.set_index("region")["volume_mm3"]
    for name, pair in (("Left-Thalamus", (8000.0, 9000.0)), ("Right-Thalamus", (1.0, 2.0))):
        assert volume[name] > 2.0
        found = assess_quality(scan, ranges={name: pair})
        assert regions.display_name(name) in found.reasons[0]


def test_five_regions_are_named_and_the_sixth_is_counted(scan):
    names = regions.reference_regions()
    z = dict.fromkeys(names, 0.0)
    five = assess_quality(scan, z=z | dict.fromkeys(names[:5], 9.0)).reasons
    six = assess_quality(scan, z=z | dict.fromkeys(names[:6], 9.0)).reasons
    assert not any("more" in reason for reason in five)
    assert any(reason.endswith(" and 1 more") for reason in six)


def test_limits_that_are_asked_for_take_the_place_of_warn_and_leave_fail(scan):
    asked = {"etiv_litres": Bounds(1.6, None, "here"), "lh_mean_thickness": Bounds(None, 2.4, "there")}
    limits = with_bounds(asked)
    assert limits["etiv_litres"][1:5] == (0.5, 1.6, None, 3.0)
    assert limits["lh_mean_thickness"] == ("lh_mean_thickness", None, None, 2.4, None, "lh mean thickness", "there")
    assert LIMITS["etiv_litres"].warn_low == 0.9
    found = assess_quality(scan, asked=asked)
    assert found.verdict == "warn"
    assert len(found.reasons) == 2


def test_equal_reasons_are_said_once_and_missing_measures_are_left_out(scan):
    found = assess_quality(replace(scan, measures={**scan.measures, "euler": math.nan}))
    assert "euler" not in found.metrics
    assert found.verdict == "pass"
