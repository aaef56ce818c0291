"""Charts with a mark per person or region."""

import re

import numpy as np
import pandas as pd
import pytest

from bids_app.clinical.figures import Calibration, Courses, Forest, Scatter, Shifts
from bids_app.reports.figures import cohort_charts, people_charts
from bids_app.reports.figures.analyses import chart_drawings
from bids_app.reports.figures.people_charts import CENTILE_Z, Ground

COURSES = Courses(x="age", y="z", person="participant_id", colour="group", facet="structure")
AGES = np.array([20.0, 40.0, 60.0])


@pytest.fixture
def fan():
    widths = {name: 8000 + 500 * z for name, z in CENTILE_Z.items()}
    return pd.DataFrame({"age": AGES, "region": "Left-Thalamus", **widths})


@pytest.fixture
def scans():
    return pd.DataFrame(
        {
            "participant_id": ["a", "a", "b", "c"],
            "group": ["MS", "MS", "HC", "HC"],
            "structure": "left thalamus",
            "region": "Left-Thalamus",
            "age": [30.0, 33.0, 50.0, 41.0],
            "z": [-1.0, -2.5, 0.3, np.nan],
        }
    )


def test_everybody_stands_on_the_fan_at_their_own_centile(fan):
    ground = Ground.of(fan, AGES)
    z = np.array([-3.0, -1.0, 0.0, 1.2, 4.0])
    assert ground.height(np.full(5, 35.0), z) == pytest.approx(8000 + 500 * z)


def test_without_a_fan_centiles_are_flat(scans):
    assert Ground.of(None, AGES).height(AGES, np.array([1.0, 2.0, 3.0])).tolist() == [1.0, 2.0, 3.0]
    assert ">z<" in people_charts.courses(scans, COURSES)


def test_a_line_joins_the_scans_of_a_person_and_no_others(scans, fan):
    drawing = people_charts.courses(scans, COURSES, fan)
    assert ">mL<" in drawing
    lines = re.findall(r'<path class="people (s\d)" d="([^"]*)"', drawing)
    assert [cls for cls, _ in lines] == ["s1"]
    assert lines[0][1].count("M") == 1
    dots = re.findall(r'<path class="dots (s\d)" d="([^"]*)"', drawing)
    # the colours' names at the end have a dot each
    assert [(cls, d.count("M")) for cls, d in dots] == [("s0", 1), ("s1", 2), ("s0", 1), ("s1", 1)]


def test_a_score_colours_from_low_to_high_and_is_told(scans):
    drawing = people_charts.courses(
        scans.assign(edss=[1.0, 2.0, 6.0, 3.0]), Courses(**{**vars(COURSES), "colour": "edss"})
    )
    assert list(dict.fromkeys(re.findall(r'class="dots (c\d)"', drawing))) == ["c0", "c2", "c4"]
    assert ">1<" in drawing


def test_many_people_are_thinned_evenly_and_never_split(scans):
    many = pd.DataFrame({"participant_id": np.repeat(np.arange(5000), 2), "z": 0.0})
    kept = people_charts._fewer_people(many, "participant_id")
    assert kept["participant_id"].nunique() == people_charts.MOST_PEOPLE
    assert (kept["participant_id"].value_counts() == 2).all()


def test_a_scatter_has_a_dot_per_person_the_line_and_its_band():
    table = pd.DataFrame(
        {"x": [1, 2, 3], "y": [2.0, 1.0, 4.0], "fit": [1.0, 2.0, 3.0], "low": 0.5, "high": 3.5, "n": "EDSS"}
    )
    drawing = people_charts.scatter(table, Scatter(x="x", y="y", fit="fit", low="low", high="high", yname="n"))
    assert drawing.count("h0") == 3
    assert 'class="series s1"' in drawing
    assert 'class="ribbon s1"' in drawing
    assert ">EDSS<" in drawing


def test_a_calibration_has_a_line_per_region_that_the_page_can_select():
    table = pd.DataFrame(
        {
            "region": ["Left-Thalamus", "Left-Caudate"] * 2,
            "expected": [0.025, 0.025, 0.5, 0.5],
            "observed": [0.0, 0.1, 0.4, 1.0],
        }
    )
    drawing = people_charts.calibration(table, Calibration(label="region", expected="expected", observed="observed"))
    assert re.findall(r'data-region="([^"]*)"', drawing) == ["Left-Thalamus", "Left-Caudate"]
    assert "nan" not in drawing
    assert "inf" not in drawing.replace("infra", "")


def test_shifts_tell_the_mean_magnitude_before_and_after():
    table = pd.DataFrame({"scanner": ["north", "north"], "mean_z": [0.4, -0.6], "mean_z_after": [0.1, -0.1]})
    drawing = people_charts.shifts(table, Shifts(label="scanner", before="mean_z", after="mean_z_after"))
    assert "before: ±0.50" in drawing
    assert "after: ±0.10" in drawing


@pytest.mark.parametrize("chart", [(people_charts.courses, COURSES), (people_charts.scatter, Scatter(x="age", y="z"))])
def test_nothing_known_is_no_drawing(scans, chart):
    draw, figure = chart
    assert draw(scans.assign(z=np.nan), figure) == ""


def test_parts_of_a_forest_share_one_scale_and_its_rows_are_selected_by_region():
    table = pd.DataFrame(
        {"region": ["Left-Thalamus"] * 2, "event": ["a", "b"], "hr": [1.0, 5.0], "low": [0.5, 2.0], "high": [2.0, 9.0]}
    )
    figure = Forest(label="region", estimate="hr", low="low", high="high", log=True, facet="event")
    first, second = (drawing.inline for drawing in chart_drawings(figure, table))
    null = [re.search(r'class="null" x1="([\d.]+)"', drawing)[1] for drawing in (first, second)]
    assert null[0] == null[1]
    assert 'data-region="Left-Thalamus"' in first
    alone = cohort_charts.forest(table.iloc[:1].reset_index(drop=True), figure)
    assert re.search(r'class="null" x1="([\d.]+)"', alone)[1] != null[0]


def test_a_histogram_counts_people_on_its_axis():
    drawing = cohort_charts.counts_chart({"MS": np.array([0.0, 0.0, 1.0, 2.0])}, (0, 6), "infra")
    assert ">people<" in drawing
    assert ">2<" in drawing
    assert ">2.5<" not in drawing
