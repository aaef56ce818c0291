import numpy as np
import pandas as pd
import pytest

from bids_app.clinical.volume_change import annual_percent, healthy_volumes, measurement_error, rates_table
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
