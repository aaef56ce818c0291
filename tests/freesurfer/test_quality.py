"""The quality verdict: each limit by itself, and the table of limits in the documentation."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd
import pytest

from bids_app import regions
from bids_app.freesurfer.quality import LIMITS, assess_quality
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
