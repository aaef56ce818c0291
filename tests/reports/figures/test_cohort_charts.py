import re
from xml.etree import ElementTree

import numpy as np
import pandas as pd

from bids_app.clinical.figures import Forest, KaplanMeier
from bids_app.reports.figures import cohort_charts
from bids_app.reports.figures.svg import spread


def _dots(svg: str, cls: str) -> list[float]:
    return [float(x) for x in re.findall(rf'<circle class="{cls}" cx="([\d.]+)"', svg)]


def test_forest_fills_the_dots_below_five_per_cent() -> None:
    table = pd.DataFrame(
        {
            "region": ["Left-Thalamus", "Left-Caudate", "Left-Putamen"],
            "beta": [-0.2, 0.1, np.nan],
            "low": [-0.3, -0.1, np.nan],
            "high": [-0.1, 0.3, np.nan],
            "p": [0.01, 0.4, np.nan],
        }
    )
    figure = {"label": "region", "estimate": "beta", "low": "low", "high": "high", "p": "p"}
    svg = cohort_charts.forest(table, Forest(**figure))
    assert len(_dots(svg, "estimate")) == 1
    assert len(_dots(svg, "estimate hollow")) == 1
    assert "left thalamus" in svg
    assert "left putamen" not in svg


def test_forest_on_a_log_axis_is_symmetric_about_one() -> None:
    table = pd.DataFrame({"x": ["a", "b"], "hr": [0.5, 2.0], "low": [0.25, 1.0], "high": [1.0, 4.0]})
    svg = cohort_charts.forest(
        table, Forest(**{"label": "x", "estimate": "hr", "low": "low", "high": "high", "log": True})
    )
    null = float(re.search(r'class="null" x1="([\d.]+)"', svg).group(1))
    low, high = _dots(svg, "estimate")
    assert abs((null - low) - (high - null)) < 0.5


def test_forest_draws_an_interval_without_end_as_long_as_the_axis() -> None:
    table = pd.DataFrame({"x": ["a"], "b": [1.0], "low": [0.5], "high": [np.inf]})
    assert "nan" not in cohort_charts.forest(
        table, Forest(**{"label": "x", "estimate": "b", "low": "low", "high": "high"})
    )


def test_forest_points_at_an_estimate_without_end() -> None:
    table = pd.DataFrame({"x": ["none", "all", "some"], "b": [0.0, np.inf, 2.0]})
    table = table.assign(low=[0, 1.5, 1], high=[0.4, np.inf, 4])
    svg = cohort_charts.forest(
        table, Forest(**{"label": "x", "estimate": "b", "low": "low", "high": "high", "log": True})
    )
    assert (svg.count("←"), svg.count("→"), svg.count("<circle")) == (1, 1, 1)
    assert svg.count('class="whisker"') == 3
    assert "nan" not in svg


def test_forest_takes_the_null_of_its_own_rows() -> None:
    table = pd.DataFrame({"x": ["a"], "b": [3.0], "low": [2], "high": [5], "expected": [4.0]})
    figure = {"label": "x", "estimate": "b", "low": "low", "high": "high"}
    named = cohort_charts.forest(table, Forest(**{**figure, "null": "expected"}))
    assert named == cohort_charts.forest(table, Forest(**{**figure, "null": 4.0}))


def test_forest_keeps_the_largest_of_many() -> None:
    table = pd.DataFrame({"x": [f"r{i}" for i in range(80)], "b": np.linspace(-1, 1, 80), "low": -1.2, "high": 1.2})
    svg = cohort_charts.forest(table, Forest(**{"label": "x", "estimate": "b", "low": "low", "high": "high"}))
    assert svg.count("<circle") == cohort_charts.MOST_ROWS
    assert ">r0<" in svg
    assert ">r40<" not in svg


def test_survival_steps_start_at_one_and_hold_until_the_next_event() -> None:
    steps = cohort_charts._steps(np.array([1.0, 2.0]), np.array([0.8, 0.5]))
    assert steps == [(0.0, 1.0), (1.0, 1.0), (1.0, 0.8), (2.0, 0.8), (2.0, 0.5)]


def test_survival_shows_the_numbers_at_risk_of_the_table() -> None:
    table = pd.DataFrame(
        {
            "g": ["a"] * 3 + ["b"] * 3,
            "t": [0, 5, 10] * 2,
            "s": [1, 0.8, 0.6, 1, 0.5, 0.2],
            "n": [71, 62, 53, 44, 35, 26],
        }
    )
    svg = cohort_charts.kaplan_meier(table, KaplanMeier(**{"time": "t", "survival": "s", "group": "g", "at_risk": "n"}))
    assert all(f">{n}<" in svg for n in (71, 62, 53, 44, 35, 26))


def test_numbers_at_risk_stand_below_the_ticks() -> None:
    table = pd.DataFrame({"g": ["a"] * 3 + ["b"] * 3, "t": [0, 4.5, 9, 0, 1, 2.5], "s": 1.0})
    table["n"] = [90, 50, 7, 30, 20, 10]
    svg = cohort_charts.kaplan_meier(table, KaplanMeier(**{"time": "t", "survival": "s", "group": "g", "at_risk": "n"}))
    rows = re.findall(r'class="tick"[^>]*>([^<]+)<', svg)
    assert "".join(rows).endswith("".join(["90", "50", "50", "7", "7"] + ["30", "10", "0", "0", "0"]))


def test_outliers_are_ringed_and_named() -> None:
    rows = pd.DataFrame(
        {"participant_id": ["sub-1", "sub-<2>"], "value": [1.0, 9.0], "low": 0.0, "high": 2.0, "outlier": [False, True]}
    )
    svg = cohort_charts.quality_strip("holes", rows)
    assert svg.count('class="flag"') == 1
    assert "sub-&lt;2&gt;" in svg
    ElementTree.fromstring(svg)


def test_bounds_may_be_unknown() -> None:
    rows = pd.DataFrame(
        {"participant_id": ["sub-1"], "value": [1.0], "low": [np.nan], "high": [np.nan], "outlier": ["n/a"]}
    )
    assert "nan" not in cohort_charts.quality_strip("holes", rows)


def test_counts_are_drawn_per_group_on_one_axis() -> None:
    svg = cohort_charts.counts_chart({"a": np.array([0, 0, 3.0]), "b": np.array([])}, (0, 8), "infra")
    assert "0 regions: 2 people" in svg
    ElementTree.fromstring(svg)


def test_labels_at_the_end_of_lines_keep_apart() -> None:
    assert spread([50, 10, 12], 13) == [50, 10, 23]


def test_long_names_of_groups_have_room_beside_the_bars():
    name = "subclinical emotional dysregulation"
    svg = cohort_charts.counts_chart({name: np.array([1.0])}, None, "infra")
    label = re.search(rf'<text x="([\d.]+)"[^>]*>{name}<', svg)
    assert float(label[1]) > 6 * len(name)
