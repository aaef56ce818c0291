import re
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from bids_app.reports.figures.centile_charts import Visit, centile_chart
from bids_app.reports.figures.charts import change_chart, range_strip
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


def _points(path: str) -> list[tuple[float, float]]:
    """The corners of a path that starts at a point and goes on in steps."""
    numbers = np.array([float(number) for number in re.findall(r"-?(?:\d+\.?\d*|\.\d+)", path)])
    return [tuple(point) for point in numbers.reshape(-1, 2).cumsum(axis=0)]


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
