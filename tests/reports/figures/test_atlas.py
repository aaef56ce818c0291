"""The packaged drawing: complete, gap-free, small, the right way round."""

import importlib.util
import re
from importlib.resources import files
from itertools import pairwise
from typing import NamedTuple

import pytest

from bids_app import regions
from bids_app.reports.figures.atlas import CORTEX, SLICES, VIEWS, load_atlas, shift_path

COMMAND = re.compile(r"([Mlq])([^Mlq]+)")
NUMBER = re.compile(r"-?\d+")


class Ring(NamedTuple):
    """One closed line: `points` (k, 2) and, per point, ``M`` start, ``l`` corner, ``q`` guide, ``e`` end of a curve."""

    points: list[tuple[int, int]]
    kinds: str


def parse_path(path: str) -> list[Ring]:
    """The rings of a path of the atlas, in absolute coordinates."""
    return [parse_ring(ring) for ring in path.split("z")[:-1]]


def parse_ring(ring: str) -> Ring:
    points: list[tuple[int, int]] = []
    kinds = ""
    x = y = 0
    for command, content in COMMAND.findall(ring):
        numbers = [int(number) for number in NUMBER.findall(content)]
        steps = list(zip(numbers[::2], numbers[1::2]))
        for index, (right, down) in enumerate(steps):
            points.append((x + right, y + down))
            # a curve's guide and its end both count from the curve's start
            guide = command == "q" and index % 2 == 0
            kinds += command if command != "q" or guide else "e"
            if not guide:
                x, y = points[-1]
    return Ring(points, kinds)


def flatten(ring, pieces=6):
    """Corner points of a polygon that follows the ring, `pieces` for each curve."""
    line = []
    for index, (point, kind) in enumerate(zip(ring.points, ring.kinds)):
        if kind != "e":
            line += [point] if kind != "q" else []
            continue
        start, guide = line[-1], ring.points[index - 1]
        shares = ((part + 1) / pieces for part in range(pieces))
        line += [
            tuple((1 - t) ** 2 * a + 2 * t * (1 - t) * b + t * t * c for a, b, c in zip(start, guide, point))
            for t in shares
        ]
    return line


def area(path):
    """Signed area of a path (square units); holes count negative."""
    total = 0.0
    for ring in parse_path(path):
        line = flatten(ring)
        total += sum(a[0] * b[1] - b[0] * a[1] for a, b in pairwise([*line, line[0]])) / 2
    return total


def middle(path):
    xs = [x for ring in parse_path(path) for x, _ in ring.points]
    return sum(xs) / len(xs)


def test_views_are_stored_in_drawing_order():
    assert tuple(load_atlas().views) == VIEWS


def test_every_reference_region_can_be_seen():
    assert set(regions.reference_regions()) <= set(load_atlas().regions())


@pytest.mark.parametrize("name", regions.reference_regions())
def test_a_reference_region_is_large_enough_in_some_view(name):
    views = load_atlas().views.values()
    largest = max(abs(area(view.regions[name])) for view in views if name in view.regions)
    assert largest > 300  # about 20 mm^2


def test_all_names_are_those_of_the_region_table():
    assert set(load_atlas().regions()) <= set(regions.names())


def test_ventricles_white_matter_and_callosum_are_drawn_too():
    wanted = {
        "Left-Lateral-Ventricle",
        "3rd-Ventricle",
        "4th-Ventricle",
        "Brain-Stem",
        "CC_Anterior",
        "CC_Posterior",
        "Left-Accumbens-area",
        "Right-VentralDC",
        "lhCerebralWhiteMatterVol",
        "Left-Cerebellum-White-Matter",
    }
    assert wanted <= set(load_atlas().regions())


@pytest.mark.parametrize("name", VIEWS)
def test_parts_fill_the_silhouette_without_gap_or_overlap(name):
    view = load_atlas().views[name]
    parts = sum(area(path) for path in (*view.regions.values(), *view.context.values()))
    assert abs(parts) == pytest.approx(abs(area(view.outline)), rel=1e-9)


@pytest.mark.parametrize("name", VIEWS)
def test_every_part_lies_inside_its_view(name):
    view = load_atlas().views[name]
    points = [p for path in (*view.regions.values(), view.outline) for r in parse_path(path) for p in r.points]
    assert min(min(p) for p in points) >= 0
    assert max(x for x, _ in points) <= view.size[0]
    assert max(y for _, y in points) <= view.size[1]


@pytest.mark.parametrize("name", [view for view in SLICES if view != "sagittal"])
def test_slices_show_left_on_the_left(name):
    view = load_atlas().views[name]
    lefts = [region for region in view.regions if region.startswith("Left-")]
    assert lefts
    assert view.sides == ("L", "R")
    for left in lefts:
        right = left.replace("Left-", "Right-")
        if right in view.regions:
            assert middle(view.regions[left]) < middle(view.regions[right])


@pytest.mark.parametrize("name", CORTEX)
def test_cortical_views_hold_one_hemisphere_front_outwards_or_inwards(name):
    view = load_atlas().views[name]
    assert {region[:2] for region in view.regions} == {name[:2]}
    # seen from the left the front is on the left; from the right, on the right
    front, back = f"{name[:2]}_superiorfrontal_volume", f"{name[:2]}_lateraloccipital_volume"
    from_left = name in ("lh_lateral", "rh_medial")
    assert (middle(view.regions[front]) < middle(view.regions[back])) == from_left


def test_the_file_is_small():
    assert len((files("bids_app.data") / "atlas.json").read_bytes()) < 300_000


def test_the_source_is_cited():
    assert "fsaverage" in load_atlas().source
    assert "10.1016/j.neuroimage.2006.01.021" in load_atlas().source


def test_shifting_moves_every_point():
    path = "M5,6l10 0 0 10-10 0zM1,1q1 0 2 0l0 3z"
    moved = parse_path(shift_path(path, 100, -3))
    for before, after in zip(parse_path(path), moved, strict=True):
        assert after.points == [(x + 100, y - 3) for x, y in before.points]


def test_a_path_is_read_with_its_curves():
    (ring,) = parse_path("M10,20l4-2q1 0 3 5 2 2 4 0z")
    assert ring.points == [(10, 20), (14, 18), (15, 18), (17, 23), (19, 25), (21, 23)]
    assert ring.kinds == "Mlqeqe"


def test_a_curve_is_flattened_through_its_middle():
    (ring,) = parse_path("M0,0q10 0 10 10z")
    assert flatten(ring, 2) == [(0, 0), (7.5, 2.5), (10, 10)]


@pytest.mark.slow
def test_the_drawing_is_what_the_script_makes(shared, repository):
    spec = importlib.util.spec_from_file_location("make_atlas", repository / "scripts" / "make_atlas.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    folder = shared / "data" / "fsaverage"
    made = script.make_atlas(folder / "fsaverage5", folder / "fsaverage_partial" / "mri" / "aseg.mgz")
    for name, view in load_atlas().views.items():
        assert set(made["views"][name]["regions"]) == set(view.regions)
        assert area(made["views"][name]["outline"]) == pytest.approx(area(view.outline), rel=1e-3)
