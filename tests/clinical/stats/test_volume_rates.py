import numpy as np
import pandas as pd
import pytest

from bids_app.clinical.stats.volume_rates import contrast, group_volume_rates, people_per_arm, person_volume_rates

ERROR = pd.DataFrame({"sem_percent": [1.0], "df": [20.0]}, index=["a"])


def two_people(first, second):
    """Log volumes of two people at 0 and 1 years who change by `first` and `second`."""
    logs = pd.DataFrame({"a": [5.0, 5.0 + first, 6.0, 6.0 + second]})
    return logs, pd.Series(["p", "p", "q", "q"]), np.array([0.0, 1.0, 0.0, 1.0])


def test_a_persons_rate_worked_by_hand():
    """ln V falls by 0.02 in 2 years (slope -0.01, the middle scan on the line): sum of squares of time 2, SE of the
    slope 0.01 / sqrt(2)."""
    logs = pd.DataFrame({"a": [8.0, 7.99, 7.98]})
    found = person_volume_rates(logs, pd.Series(["p"] * 3), [0.0, 1.0, 2.0], ERROR).iloc[0]
    assert found["rate"] == pytest.approx(100 * (np.exp(-0.01) - 1))
    assert found["se"] == pytest.approx(100 * np.exp(-0.01) * 0.01 / np.sqrt(2))
    assert found["low"] == pytest.approx(100 * (np.exp(-0.01 - 2.085963 * 0.01 / np.sqrt(2)) - 1), abs=1e-6)
    assert (found["n_scans"], found["followed"], found["weight"]) == (3, 2.0, 2.0)


def test_an_unknown_error_gives_a_rate_without_interval_and_short_intervals_none():
    logs = pd.DataFrame({"a": [8.0, 7.99], "b": [9.0, 9.0]})
    found = person_volume_rates(logs, pd.Series(["p", "p"]), [0.0, 1.0], ERROR).set_index("region")
    assert np.isnan(found.loc["b", "se"])
    assert found.loc["b", "rate"] == 0.0
    assert person_volume_rates(logs, pd.Series(["p", "p"]), [0.0, 0.2], ERROR).empty


def test_a_groups_rate_worked_by_hand():
    """Slopes -0.02 and -0.01, each with weight 0.5: mean -0.015; clustered SE sqrt(2 * (0.5 * 0.005)^2 * 2) = 0.005;
    standard deviation sqrt(0.005^2 * 2) = 0.0070711."""
    found = group_volume_rates(*two_people(-0.02, -0.01)).iloc[0]
    assert found["rate"] == pytest.approx(100 * (np.exp(-0.015) - 1))
    assert found["se"] == pytest.approx(100 * np.exp(-0.015) * 0.005)
    assert found["sd"] == pytest.approx(100 * np.exp(-0.015) * 0.005 * np.sqrt(2))
    assert (found["n_people"], found["df"]) == (2, pytest.approx(1.0))


def test_a_contrast_worked_by_hand():
    """Rates -1.0 (SE 0.3, 10 df) and -0.4 (SE 0.4, 20 df): difference -0.6, SE 0.5; Welch's df 0.25^2 / (0.09^2 / 10 +
    0.16^2 / 20) = 29.9043; the interval holds 0, so that no number of people is given."""
    columns = ["region", "n_people", "rate", "se", "df", "sd"]
    patients = pd.DataFrame([("a", 11, -1.0, 0.3, 10.0, 1.0)], columns=columns)
    controls = pd.DataFrame([("a", 21, -0.4, 0.4, 20.0, 1.0)], columns=columns)
    found = contrast(patients, controls).iloc[0]
    assert (found["difference"], found["se"]) == pytest.approx((-0.6, 0.5))
    assert found["df"] == pytest.approx(0.0625 / (0.0081 / 10 + 0.0256 / 20))
    assert (found["low"], found["high"]) == pytest.approx((-1.6213, 0.4213), abs=2e-3)
    assert np.isnan(found["n_per_arm_50"])
    sure = contrast(patients.assign(se=0.1), controls.assign(se=0.1)).iloc[0]
    assert sure["n_per_arm_50"] == np.ceil(2 * (1.959964 + 0.841621) ** 2 / 0.3**2)


def test_people_per_arm_worked_by_hand():
    """2 * (1.959964 + 0.841621)^2 * 1 / (0.5 * 0.5)^2 = 251.16, rounded up."""
    assert people_per_arm(1.0, -0.5, 0.5) == 252
    assert people_per_arm(1.0, 0.5, 0.5) == 252
    assert np.isnan(people_per_arm(1.0, np.nan, 0.3))


def test_people_per_arm_have_the_power_that_they_are_for():
    rng = np.random.default_rng(0)
    n = int(people_per_arm(0.8, -0.6, 0.5))
    placebo = -0.6 + 0.8 * rng.standard_normal((4000, n))
    treated = -0.3 + 0.8 * rng.standard_normal((4000, n))
    z = (treated.mean(axis=1) - placebo.mean(axis=1)) / np.sqrt(
        (placebo.var(axis=1, ddof=1) + treated.var(axis=1, ddof=1)) / n
    )
    assert np.mean(z > 1.96) == pytest.approx(0.8, abs=0.03)
