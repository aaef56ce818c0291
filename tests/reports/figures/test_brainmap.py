"""Brain maps as SVG."""

import re
import xml.etree.ElementTree as ET

import pandas as pd
import pytest

from bids_app import regions
from bids_app.errors import UsageError
from bids_app.reports.figures.brainmap import brain_map_svg, shared_geometry
from bids_app.reports.figures.colour import Scale
from bids_app.reports.figures.scene import MapOptions, finite_values, make_scene, number, undrawn

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def z():
    values = dict.fromkeys(regions.reference_regions(), 0.25)
    return values | {"Left-Thalamus": -2.5, "rh_insula_volume": 2.0, "lh_cuneus_volume": -1.95}


def tooltips(svg):
    found = {}
    for element in ET.fromstring(svg).iter():
        title = element.find(f"{SVG}title")
        if title is not None and element.tag != f"{SVG}svg":
            found[title.text.split(":")[0]] = (element, title.text)
    return found


def test_a_map_is_well_formed_named_and_described(z):
    root = ET.fromstring(brain_map_svg(z, title="sub-01", prefix="m1"))
    assert root.get("role") == "img"
    named = {element.get("id"): element.text for element in root if element.get("id")}
    title, description = root.get("aria-labelledby").split()
    assert named[title] == "sub-01"
    assert description == "m1-desc"
    assert "Lowest: left thalamus −2.5" in named["m1-desc"]
    assert "1 infra-normal, 1 supra-normal" in named["m1-desc"]


def test_every_reference_region_has_its_colour_and_tooltip(z):
    found, scale = tooltips(brain_map_svg(z)), Scale("diverging", -4, 4)
    for name in regions.reference_regions():
        element, text = found[regions.display_name(name)]
        assert element.get("fill") == scale.hex(z[name])
        assert text.startswith(f"{regions.display_name(name)}: z = {number(z[name])}")


def test_only_regions_at_the_threshold_are_flagged(z):
    flags = {shape.region: shape for shape in make_scene(z, MapOptions()).shapes if shape.region}
    assert {name for name, shape in flags.items() if shape.style == "infra"} == {"Left-Thalamus"}
    assert {name for name, shape in flags.items() if shape.style == "supra"} == {"rh_insula_volume"}
    assert [name for name, shape in flags.items() if shape.hatched] == ["Left-Thalamus"]


@pytest.mark.parametrize(("value", "flag"), [(-1.96, -1), (-1.9599, 0), (1.96, 1), (1.9599, 0)])
def test_the_threshold_itself_counts(value, flag):
    assert MapOptions().flags(value) == flag


def test_no_threshold_no_flag(z):
    svg = brain_map_svg(z, threshold=None)
    assert "infra" not in svg
    assert 'stroke-width="5"/>' not in svg.replace('stroke="#fff" stroke-width="5"', "")


def test_a_missing_region_says_so(z):
    del z["lh_precuneus_volume"]
    z["rh_precuneus_volume"] = float("nan")
    svg = brain_map_svg(z)
    found = tooltips(svg)
    for side in ("left", "right"):
        element, text = found[f"{side} precuneus"]
        assert text.endswith("no value")
        assert element.get("fill").startswith("url(#brainmap-dots")
    assert ">no value<" in svg
    assert ">no value<" not in brain_map_svg(dict.fromkeys(regions.reference_regions(), 0.0))


def test_series_mapping_and_old_names_give_the_same_map(z):
    old = {name.replace("-Thalamus", "-Thalamus-Proper"): value for name, value in z.items()}
    assert brain_map_svg(pd.Series(z)) == brain_map_svg(z) == brain_map_svg(old)


def test_text_is_escaped(z):
    svg = brain_map_svg(z, title="<script>alert(1)</script>", label="a & b", tooltips={"Left-Thalamus": "<b>"})
    assert "<script" not in svg
    assert "<b>" not in svg
    ET.fromstring(svg)


def test_a_map_is_small_and_needs_nothing_from_outside(z):
    svg = brain_map_svg(z)
    assert len(svg) < 120_000
    assert "http" not in svg.replace("http://www.w3.org/2000/svg", "")
    assert all(target.startswith("#brainmap-") for target in re.findall(r"url\(([^)]*)\)", svg))


def test_two_maps_of_one_page_share_no_id(z):
    ids = [set(re.findall(r'id="([^"]+)"', brain_map_svg(z, prefix=prefix))) for prefix in ("a", "b")]
    assert ids[0]
    assert not ids[0] & ids[1]


def test_shared_outlines_are_referred_to_not_repeated(z):
    svg, geometry = brain_map_svg(z, shared="atlas"), shared_geometry("atlas")
    there = set(re.findall(r'id="([^"]+)"', geometry))
    assert set(re.findall(r'href="#([^"]+)"', svg)) <= there
    assert len(svg) < 30_000
    assert len(tooltips(svg)) == len(tooltips(brain_map_svg(z)))
    with pytest.raises(ValueError, match="whole map"):
        brain_map_svg(z, shared="atlas", title="x")


def test_sequential_limits_round_up_and_nothing_is_flagged():
    values = dict.fromkeys(regions.reference_regions(), 3.0) | {"Left-Thalamus": 24.7}
    scene = make_scene(values, MapOptions(scale="sequential", label="%"))
    assert (scene.scale.low, scene.scale.high) == (0, 30)
    assert not any(shape.hatched for shape in scene.shapes)


def test_ends_say_when_values_lie_beyond(z):
    words = [text.words for text in make_scene({**z, "Left-Thalamus": -5.0}, MapOptions()).texts]
    assert "≤ −4" in words
    assert "4" in words


def test_views_can_be_chosen(z):
    svg = brain_map_svg(z, views=("rh_lateral",))
    assert "left precuneus" not in tooltips(svg)
    assert "right insula" in tooltips(svg)


@pytest.mark.parametrize(
    "options", [{"scale": "rainbow"}, {"limits": (1, 1)}, {"limits": (2, -2)}, {"views": ("top",)}, {"views": ()}]
)
def test_impossible_options_are_refused(z, options):
    with pytest.raises(UsageError):
        brain_map_svg(z, **options)


def test_a_table_without_known_regions_is_refused():
    with pytest.raises(UsageError, match="no region"):
        brain_map_svg({"hippo": 1.0, "TotalGrayVol": 2.0})


def test_what_cannot_be_drawn_is_listed(z):
    assert undrawn({**z, "TotalGrayVol": 1.0, "x": 2.0}) == ("TotalGrayVol", "x")


def test_same_values_same_bytes(z):
    assert brain_map_svg(z, standalone=True) == brain_map_svg(dict(reversed(z.items())), standalone=True)


def test_missing_values_are_dropped():
    assert finite_values({"a": None, "b": float("nan"), "c": float("inf"), "d": 1}) == {"d": 1.0}


def test_narrow_limits_get_more_decimals():
    values = dict.fromkeys(regions.reference_regions(), 0.004)
    scene = make_scene(values, MapOptions(limits=(-0.05, 0.05), label="beta", threshold=None))
    words = [text.words for text in scene.texts]
    assert "−0.025" in words
    assert "beta = 0.004" in next(shape.title for shape in scene.shapes if shape.region)


@pytest.mark.parametrize(("value", "text"), [(-0.001, "0"), (-1.5, "−1.5"), (2, "2"), (100, "100"), (0.126, "0.13")])
def test_numbers_are_short_with_a_true_minus(value, text):
    assert number(value) == text
