"""Quality measures in stats files."""

import math
from types import SimpleNamespace

import pytest

from bids_app.freesurfer.quality_measures import DESCRIPTIONS, measure
from bids_app.freesurfer.stats import Measure, StatsFile


def file(columns=None, **measures):
    return StatsFile({}, {name: Measure(name, "", value, "") for name, value in measures.items()}, columns)


def rows(**volumes):
    return [SimpleNamespace(region=name, volume_mm3=value) for name, value in volumes.items()]


def test_surface_holes_of_both_hemispheres():
    found = measure(file(lhSurfaceHoles=3.0, rhSurfaceHoles=5.0), {}, {}, [])
    assert found == {
        "lh_surface_holes": 3,
        "rh_surface_holes": 5,
        "surface_holes": 8,
        "lh_euler": -4,
        "rh_euler": -8,
        "euler": -6,
    }
    assert list(found) == [name for name in DESCRIPTIONS if name in found]


def test_what_is_not_there_is_left_out():
    assert measure(file(), {}, {}, []) == {}
    assert set(measure(file(lhSurfaceHoles=1.0), {}, {}, [])) == {"lh_surface_holes", "lh_euler"}


def test_ratios_to_etiv_and_surfaces():
    cortex = {"lh": file(MeanThickness=2.5), "rh": file(WhiteSurfArea=9.0)}
    volumes = rows(EstimatedTotalIntraCranialVol=200.0, BrainSegVol=150.0, MaskVol=180.0)
    assert measure(file(), cortex, {}, volumes) == {
        "lh_mean_thickness": 2.5,
        "rh_white_area": 9.0,
        "brainsegvol_to_etiv": 0.75,
        "maskvol_to_etiv": 0.9,
    }


def test_contrast_is_weighted_by_area_and_leaves_out_what_is_no_cortex_or_no_number():
    names = ["unknown", "corpuscallosum", "medial_wall", "Medial_wall", "a", "b", "c"]
    columns = {
        "StructName": names,
        "Area_mm2": [9.0, 9.0, 9.0, 9.0, 1.0, 3.0, 5.0],
        "Mean": [9.0, 9.0, 9.0, 9.0, 10.0, 20.0, math.nan],
    }
    assert measure(file(), {}, {"lh": file(columns)}, []) == {"lh_grey_white_contrast": pytest.approx(17.5)}
    empty = {"StructName": ["a"], "Area_mm2": [0.0], "SNR": [3.0]}
    assert measure(file(), {}, {"rh": file(empty)}, []) == {}
    assert measure(file(), {}, {"rh": file(None)}, []) == {}
    assert measure(file(), {}, {"rh": file(empty | {"Area_mm2": [0.5]})}, []) == {"rh_contrast_snr": 3.0}
