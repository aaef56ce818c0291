"""Healthy people's quality measures by FreeSurfer version, and limits that a user asks for."""

from dataclasses import replace

import pytest

from bids_app.errors import UsageError
from bids_app.freesurfer.quality import assess_quality, check_limits, quality_metrics
from bids_app.freesurfer.quality_reference import Bounds, asked_bounds, reference_metrics, reference_range
from bids_app.freesurfer.volumes import extract_volumes


def test_ranges_are_by_major_version():
    six, seven = (reference_range("surface_holes", version) for version in ("6.0.1", "7.4.1"))
    assert (six.low, six.high, six.n) == (9, 168, 1605)
    assert (seven.high, seven.n) == (92.04, 1933)
    assert reference_range("contrast_snr", "7.4.1").n == 40
    assert reference_range("contrast_snr", "6.0.0") is None
    assert reference_range("surface_holes", None) is None
    assert {"brainsegvol_to_etiv", "euler", "surface_holes", "contrast_snr"} <= set(reference_metrics())


def bounds(*asked, version="7.4.1"):
    return asked_bounds(asked, version, quality_metrics())


def test_limits_as_they_are_written():
    assert bounds("surface_holes=:50")["surface_holes"][:2] == (None, 50)
    assert bounds("euler=-100:")["euler"][:2] == (-100, None)
    assert bounds("etiv_litres=1.0:2.0")["etiv_litres"] == Bounds(1.0, 2.0, "--quality-limit")
    assert bounds("surface_holes=off")["surface_holes"][:2] == (None, None)
    assert bounds("surface_holes=reference")["surface_holes"].high == 92.04
    assert set(bounds("all=reference")) == set(reference_metrics())
    assert "contrast_snr" not in bounds("all=reference", version="6.0.0")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("surface_hole=:5", "surface_holes"),
        ("surface_holes", "NAME=LOW:HIGH"),
        ("surface_holes=5", "no range"),
        ("surface_holes=:", "no range"),
        ("surface_holes=9:3", "no range"),
        ("surface_holes=many:", "no range"),
        ("all=0:1", "NAME=LOW:HIGH"),
    ],
)
def test_what_is_no_limit_is_a_sentence(text, said):
    with pytest.raises(UsageError) as caught:
        check_limits([text])
    assert said in str(caught.value)


def test_limits_decide_the_verdict(tree):
    scan = extract_volumes(tree)
    assert assess_quality(scan).verdict == "pass"
    found = assess_quality(scan, asked=bounds("surface_holes=:15"))
    assert (found.verdict, found.reasons) == ("warn", ("number of surface holes is 20, above 15",))
    many = replace(scan, measures={**scan.measures, "surface_holes": 150.0})
    assert assess_quality(many).verdict == "warn"
    assert assess_quality(many, asked=bounds("surface_holes=off")).verdict == "pass"
    thin = replace(scan, measures={**scan.measures, "lh_mean_thickness": 1.9})
    assert assess_quality(thin).verdict == "pass"
    assert assess_quality(thin, asked=bounds("all=reference")).reasons[0].startswith("lh mean thickness is 1.9, below")


def test_a_range_of_one_value_and_blanks_are_read():
    assert bounds("surface_holes = 9:9")["surface_holes"][:2] == (9, 9)
    assert bounds("surface_holes=0:")["surface_holes"][:2] == (0, None)
    assert bounds("surface_holes=1:2", "surface_holes=off")["surface_holes"][:2] == (None, None)
    assert bounds("surface_holes=-2:-1")["surface_holes"][:2] == (-2, -1)
    assert bounds("surface_holes=reference", version=None) == {}
    assert bounds("surface_holes=reference")["surface_holes"].source.endswith(" centile of 1933 healthy people")


@pytest.mark.parametrize("text", ["all=off", "=1:2", "other=off", "surface_holes=1"])
def test_what_names_no_measure_or_no_range_is_refused(text):
    with pytest.raises(UsageError, match="--quality-limit"):
        bounds(text)
