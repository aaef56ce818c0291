import numpy as np
import pandas as pd
import pytest

from bids_app.clinical.composites import composites
from bids_app.clinical.person import repeatability
from bids_app.clinical.volume_change import (
    RATE_COLUMNS,
    annual_percent,
    healthy_volumes,
    measurement_error,
    modelled_volumes,
    rates_table,
)
from bids_app.normative.registry import load_model
from bids_app.regions import ETIV

SESSIONS = pd.DataFrame({"session_id": ["ses-1", "ses-2"], "age": [40.0, 42.0], "stream": ["long", "long"]})
VOLUMES = pd.DataFrame({"Left-Thalamus": [8000.0, 7920.0], "Right-Thalamus": [8000.0, 7840.0]})


def row(table, region="Left-Thalamus"):
    return table.set_index("region").loc[region]


def test_a_rate_worked_by_hand():
    """8000 to 7920 mm^3 in 2 years: 0.99 ** (1 / 2) = 0.994987. SEM 1.17 % (df 20, t = 2.085963): half the interval of
    the log change is 2.085963 * sqrt(2) * 0.0117 = 0.034515."""
    found = row(rates_table(SESSIONS, VOLUMES))
    assert found["annual_percent_change"] == pytest.approx(-0.501256, abs=1e-6)
    assert found["annual_percent_change_se"] == pytest.approx(0.994987 * 1.17 * np.sqrt(2) / 2, abs=1e-5)
    assert (found["low"], found["high"]) == pytest.approx((-2.203610, 1.230730), abs=2e-5)
    assert found["years"] == 2
    assert found["structure"] == "left thalamus"


def test_a_composite_is_the_change_of_the_sum_with_the_largest_error_that_can_be():
    """16000 to 15760 mm^3; both sides have SEM 1.17 %, whose volume-weighted mean is 1.17 %."""
    found = row(rates_table(SESSIONS, VOLUMES), "thalamus")
    assert found["annual_percent_change"] == pytest.approx(100 * (np.sqrt(15760 / 16000) - 1), abs=1e-9)
    every = pd.Series({"thalamus": 16000.0, "Left-Thalamus": 8000.0, "Right-Thalamus": 8000.0, "whole-brain": 1e6})
    error = measurement_error("long", every)["sem_percent"]
    assert error["thalamus"] == pytest.approx(1.17)
    assert np.isnan(error["whole-brain"])
    assert (found["published_healthy"], found["published_ms"]) == (-0.28, -0.71)


def test_without_a_model_what_healthy_people_do_is_a_missing_number():
    told = rates_table(SESSIONS, VOLUMES)["healthy_percent_change"]
    assert told.dtype == float
    assert told.isna().all()


def test_between_streams_no_error_is_given_and_mixing_is_said():
    table = rates_table(
        SESSIONS.assign(stream=["cross", "long"]), VOLUMES, None, {("ses-1", "ses-2"): "not comparable"}
    )
    assert set(table["stream"]) == {"mixed"}
    assert table[["annual_percent_change_se", "low", "high"]].isna().all(axis=None)
    assert set(table["comparable"]) == {"not comparable"}


def test_pairs_without_time_and_volumes_of_zero_are_left_out():
    assert rates_table(SESSIONS.assign(age=40.0), VOLUMES).empty
    table = rates_table(SESSIONS, VOLUMES.assign(**{"Right-Thalamus": [0.0, 8000.0]}))
    assert set(table["region"]) == {"Left-Thalamus"} | {"thalamus"}


def test_healthy_people_change_as_the_models_curve_does():
    model = load_model("open-calibrated")
    people = pd.DataFrame({"age": [40.0, 42.0], "sex": "male", ETIV: 1.6e6, "fs_version": "7.4.1"})
    healthy = healthy_volumes(model, people, ["Left-Thalamus", "Right-Thalamus", "no-such-region"])
    ends = model.volumes_at(people, np.zeros((2, 2)), ("Left-Thalamus", "Right-Thalamus"), None)
    np.testing.assert_allclose(healthy["thalamus"], ends.sum(axis=1))
    found = row(rates_table(SESSIONS, VOLUMES, healthy), "thalamus")
    expected = 100 * (np.sqrt(ends[1].sum() / ends[0].sum()) - 1)
    assert found["healthy_percent_change"] == pytest.approx(expected)
    assert -0.8 < expected < 0


def test_no_change_is_expected_of_people_older_than_the_model_knows():
    model = load_model("open-calibrated")
    people = pd.DataFrame({"age": [60.0, 120.0], "sex": "male", ETIV: 1.6e6})
    assert healthy_volumes(model, people, ["Left-Thalamus"])["Left-Thalamus"].isna().to_list() == [False, True]


def test_percent_a_year_compounds():
    assert annual_percent(np.log(0.5), 1.0) == pytest.approx(-50.0)
    assert annual_percent(np.log(0.25), 2.0) == pytest.approx(-50.0)


def test_a_table_of_rates_is_whole():
    sessions = pd.DataFrame({"session_id": list("abc"), "age": [40.0, 41.0, 43.0], "stream": "long"})
    volumes = pd.DataFrame(
        {"Left-Thalamus": [8000.0, 7960.0, 7900.0], "Left-Putamen": [0.0, 5000.0, 5100.0]}, [5, 6, 7]
    )
    table = rates_table(sessions, volumes, None, {("a", "c"): "with care"})
    assert list(table) == list(RATE_COLUMNS)
    assert set(zip(table["region"], table["session_from"], table["session_to"], table["years"])) == {
        ("Left-Thalamus", "a", "b", 1),
        ("Left-Thalamus", "b", "c", 2),
        ("Left-Putamen", "b", "c", 2),
        ("Left-Thalamus", "a", "c", 3),
    }
    assert len(table) == 4
    thalamus = table[table["region"] == "Left-Thalamus"]
    assert thalamus["volume_from_mm3"].tolist() == [8000, 7960, 8000]
    assert thalamus["volume_to_mm3"].tolist() == [7960, 7900, 7900]
    expected = 100 * ((thalamus["volume_to_mm3"] / thalamus["volume_from_mm3"]) ** (1 / thalamus["years"]) - 1)
    np.testing.assert_allclose(thalamus["annual_percent_change"], expected)
    assert thalamus["comparable"].fillna("none").tolist() == ["none", "none", "with care"]
    assert thalamus["stream"].tolist() == ["long"] * 3
    assert thalamus["healthy_percent_change"].isna().all()
    assert list(rates_table(sessions.iloc[:1], volumes.iloc[:1])) == list(RATE_COLUMNS)


def test_the_error_of_a_composite_is_weighted_by_volume():
    table = repeatability().query("stream == 'cross'").set_index("region")
    parts = composites()["thalamus"]
    volumes = pd.Series({"thalamus": 4.0, parts[0]: 1.0, parts[1]: 3.0})
    error = measurement_error("cross", volumes)
    own = table.loc[list(parts), "sem_percent"]
    assert error.loc["thalamus", "sem_percent"] == pytest.approx((own.iloc[0] + 3 * own.iloc[1]) / 4)
    assert error.loc["thalamus", "df"] == table.loc[list(parts), "df"].min()
    alone = measurement_error("cross", volumes.drop(parts[1]))
    assert np.isnan(alone.loc["thalamus", "sem_percent"])
    assert alone.index.tolist() == ["thalamus", parts[0]]


def test_sums_and_asymmetries_are_no_structures():
    model = load_model("open-calibrated")
    found = modelled_volumes(model)
    assert not any(name.startswith(("sum_", "asymmetry_")) for name in found)
    assert set(found) <= set(model.regions)
    assert "Left-Thalamus" in found
    assert modelled_volumes(model, "thickness") == tuple(
        name for name in model.regions if name.endswith("_thickness") and not name.startswith(("sum_", "asymmetry_"))
    )


def test_ages_at_the_ends_of_the_model_are_inside():
    model = load_model("open-calibrated")
    low, high = model.card.age_range["female"]
    people = pd.DataFrame(
        {"age": [low - 0.01, low, high, high + 0.01], "sex": "female", ETIV: 1.5e6}, index=list("wxyz")
    )
    found = healthy_volumes(model, people, ["Left-Thalamus"])
    assert found["Left-Thalamus"].isna().tolist() == [True, False, False, True]
    assert found.index.tolist() == list("wxyz")
    assert healthy_volumes(model, people, ["none"]).shape == (4, 0)
