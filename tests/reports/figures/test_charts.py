import re
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from bids_app.reports.figures.charts import Visit, centile_chart, change_chart, range_strip
from bids_app.reports.figures.files import standalone
from bids_app.reports.figures.svg import Plot, log_ticks, path, sparse, ticks

AGES = np.arange(20.0, 81.0, 5)
FAN = pd.DataFrame(
    {
        "age": AGES,
        **{
            name: 6000.0 + step - 20 * AGES
            for name, step in zip(("p05", "p25", "p50", "p75", "p95"), (-800, -300, 0, 300, 800), strict=True)
        },
    }
)


def _circles(svg: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r'<circle class="visit[^>]*cx="([\d.]+)" cy="([\d.]+)"', svg)]


def _points(path: str) -> list[tuple[float, float]]:
    """The corners of a path that starts at a point and goes on in steps."""
    numbers = np.array([float(number) for number in re.findall(r"-?(?:\d+\.?\d*|\.\d+)", path)])
    return [tuple(point) for point in numbers.reshape(-1, 2).cumsum(axis=0)]


def test_a_visit_on_the_median_lies_on_the_median_line() -> None:
    svg = centile_chart("Left-Thalamus", FAN, [Visit("ses-1", 50.0, 5000.0, 0.0, "none")])
    median = re.search(r'fan median" d="M([^"]+)"', svg).group(1)
    points = _points(median)
    ((x, y),) = _circles(svg)
    # a tenth of a pixel of rounding, and what a curve may leave out
    assert y == pytest.approx(np.interp(x, *zip(*points, strict=True)), abs=0.1 + 0.1)


def test_visits_outside_the_fan_stay_inside_the_picture() -> None:
    svg = centile_chart(
        "Left-Thalamus", FAN, [Visit("a", 15.0, 2000.0, -6.0, "infra"), Visit("b", 95.0, 9000.0, 5.0, "supra")]
    )
    for x, y in _circles(svg):
        assert 0 < x < 300
        assert 0 < y < 200


def test_older_is_further_right_and_larger_is_higher() -> None:
    first, last = _circles(
        centile_chart("Left-Thalamus", FAN, [Visit("a", 30.0, 4500.0, -1, "none"), Visit("b", 60.0, 5000.0, 0, "none")])
    )
    assert first[0] < last[0]
    assert first[1] > last[1]


def test_a_missing_volume_is_not_drawn() -> None:
    assert _circles(centile_chart("Left-Thalamus", FAN, [Visit("a", 30.0, float("nan"), float("nan"), "none")])) == []


def test_charts_are_well_formed_and_named() -> None:
    rows = pd.DataFrame(
        {
            "region": ["Left-Thalamus", "<&>"],
            "z_change": [-1.2, 0.4],
            "z_change_se": [0.3, 0.4],
            "reliable": [True, False],
        }
    )
    drawings = [
        centile_chart("a<b", FAN, [Visit("<s>", 30.0, 4500.0, -1, "none")]),
        change_chart(rows),
        range_strip({"mean": 2.0, "low": 0, "high": 8}, [("<x>", 3.0)], "infra"),
        range_strip({}, [("scan", 0.0)], "supra"),
    ]
    for svg in drawings:
        assert ElementTree.fromstring(svg).get("aria-label")
        assert ElementTree.fromstring(standalone(svg)).tag == "{http://www.w3.org/2000/svg}svg"


def test_reliable_change_takes_the_colour_of_its_direction() -> None:
    rows = pd.DataFrame(
        {
            "region": ["Left-Thalamus"] * 3,
            "z_change": [-1.2, 1.2, 0.1],
            "z_change_se": [0.3] * 3,
            "reliable": ["True", "True", "False"],
        }
    )
    assert re.findall(r'circle class="visit (\w+)"', change_chart(rows)) == ["infra", "supra", "none"]


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3.2, 4.7), (0, 1e6), (0.001, 0.0012), (5, 5)])
def test_ticks_are_inside_and_not_too_many(low: float, high: float) -> None:
    found = ticks(low, high, 5)
    assert 1 <= len(found) <= 8
    assert all(low - 1e-9 <= value <= high + 1e-9 for value in found)


def test_log_axis_places_the_middle_in_the_middle() -> None:
    plot = Plot(0, 0, 100, 100, (0.1, 10.0), (0, 1), log_x=True)
    assert plot.px(1.0) == pytest.approx(50)
    assert set(log_ticks(0.1, 10)) == {0.1, 0.2, 0.5, 1, 2, 5, 10}


def years(svg: str) -> list[str]:
    (group,) = re.findall(r'<g class="tick" text-anchor="middle">(.*?)</g>', svg)
    return re.findall(r">(\d+)<", group)


def test_the_axis_shows_the_years_around_the_visits_and_the_lifespan_as_an_inset() -> None:
    visits = [Visit("a", 45.0, 5000.0, 0.0, "none"), Visit("b", 47.0, 5000.0, 0.0, "none")]
    near, whole = centile_chart("Left-Thalamus", FAN, visits), centile_chart("Left-Thalamus", FAN, [])
    assert years(near) == ["35", "40", "45", "50", "55"]
    assert 'class="window"' in near
    assert 'class="window"' not in whole
    assert years(whole)[-1] == "80"


def test_the_limits_of_a_deviation_are_drawn_where_the_table_has_them() -> None:
    wide = FAN.assign(p025=FAN["p05"] - 200, p975=FAN["p95"] + 200)
    assert centile_chart("Left-Thalamus", FAN, []).count("fan limit") == 0
    drawn = centile_chart("Left-Thalamus", wide, [])
    assert drawn.count("fan limit") == 2
    assert ">97.5<" in drawn


def test_each_visit_has_its_own_error_and_says_when_it_was() -> None:
    visits = [Visit("ses-1", 50.0, 5000.0, 0.0, "none", 0.1), Visit("ses-2", 53.5, 5000.0, 0.1, "none", 0.4)]
    drawn = centile_chart("Left-Thalamus", FAN, visits)
    bars = [
        abs(float(a) - float(b)) for a, b in re.findall(r'whisker none"[^>]*y1="([\d.]+)"[^>]*y2="([\d.]+)"', drawn)
    ]
    assert bars[1] == pytest.approx(4 * bars[0], rel=0.05)
    assert "ses-2: 53.5 years, 3.5 years after ses-1, 5.000 mL, z 0.10 ± 0.78" in drawn


@pytest.mark.parametrize(
    "points", [[(0, 0), (0.04, 0.02), (10.25, -3.5)], [(-1.5, 2), (-0.96, 1.04), (-12, 12.3), (0, 0)]]
)
def test_a_path_in_steps_goes_through_its_points(points: list[tuple[float, float]]) -> None:
    found = _points(re.search(r'd="M([^"]+)"', path(points, "x")).group(1))
    assert {(round(x, 1), round(y, 1)) for x, y in found} == {(round(x, 1) + 0, round(y, 1) + 0) for x, y in points}


def test_a_gap_parts_a_path() -> None:
    assert path([(0, 0), (1, 1), (float("nan"), 0), (2, 2), (3, 3)], "x").count("M") == 2
    assert path([(float("nan"), 0)], "x") == ""


def test_a_curve_keeps_the_points_that_a_reader_could_miss() -> None:
    bent = [(float(x), 0.005 * x * x) for x in range(0, 60, 3)]
    kept = sparse(bent)
    drawn = np.interp([x for x, _ in bent], *zip(*kept, strict=True))
    assert 2 < len(kept) < len(bent)
    assert np.abs(drawn - [y for _, y in bent]).max() <= 0.1
    assert sparse([(0.0, 1.0), (1.0, 2.0), (2.0, 3.0)]) == [(0.0, 1.0), (2.0, 3.0)]
    assert sparse([(0.0, 1.0)]) == [(0.0, 1.0)]
