import re

import numpy as np
import pandas as pd
import pytest

from bids_app.reports.figures.centile_charts import Visit, centile_chart, centile_charts

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


def test_charts_drawn_together_are_those_drawn_alone() -> None:
    """Other ages, other curves, a region without visits, one with a forecast: none takes anything from another."""
    wide = FAN.assign(p025=FAN["p05"] - 200, p975=FAN["p95"] + 200)
    fans = {"Left-Thalamus": FAN, "Left-Putamen": FAN.iloc[::2] * 1.1, "Left-Caudate": wide, "Left-Pallidum": wide / 2}
    fans["Left-Hippocampus"] = FAN.assign(p50=5000.0, p05=5000.0, p25=5000.0, p75=5000.0, p95=5000.0)
    visits = {name: [Visit("a", 47.0, 5000.0, 0.0, "none", 0.1)] for name in fans if name != "Left-Putamen"}
    ahead = {"Left-Caudate": wide[wide["age"].between(47, 56)]}
    together = centile_charts(fans, visits, ahead)
    assert list(together) == list(fans)
    for name, fan in fans.items():
        assert together[name] == centile_chart(name, fan, visits.get(name, []), ahead.get(name))
