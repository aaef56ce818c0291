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


def test_unlike_people_of_a_group_worked_by_hand():
    """Weights 0.5, 2 and 0 (one scan); slopes -0.02 and -0.01: mean -0.012."""
    logs = pd.DataFrame({"a": [5.0, 4.98, 6.0, 5.98, 7.0], "b": [1.0, 1.01, 1.0, np.nan, 1.0]})
    people, years = pd.Series(["p", "p", "q", "q", "r"]), np.array([0.0, 1, 0, 2, 0])
    table = group_volume_rates(logs, people, years)
    assert table["region"].tolist() == ["a"]
    found = table.iloc[0]
    factor = 100 * np.exp(-0.012)
    assert found["rate"] == pytest.approx(100 * np.expm1(-0.012))
    assert found["sd"] == pytest.approx(factor * np.sqrt((0.5 * 0.008**2 + 2 * 0.002**2) / 2.5 * 2))
    scatter = (0.5 * 0.008) ** 2 + (2 * 0.002) ** 2
    assert found["se"] == pytest.approx(factor * np.sqrt(scatter * 2) / 2.5)
    assert found["df"] == pytest.approx(2.5**2 / (0.25 + 4) - 1)
    slope_half = np.log1p(found["high"] / 100) + 0.012
    assert np.log1p(found["low"] / 100) + 0.012 == pytest.approx(-slope_half)
    assert set(table) & {"structure", "statistic", "q"} == set()


def test_a_contrast_is_exact_where_its_interval_leaves_0():
    columns = ["region", "n_people", "rate", "se", "df", "sd"]
    one = pd.DataFrame([("a", 11, 1.0, 0.1, 1e9, 0.5), ("c", 3, 1.0, 0.1, 5.0, 1.0)], columns=columns)
    other = pd.DataFrame([("b", 3, 1.0, 0.1, 5.0, 1.0), ("a", 21, 0.4, 0.1, 1e9, 9.0)], columns=columns)
    (row,) = contrast(one, other).to_dict("records")
    assert (row["n_group"], row["n_control"], row["rate_group"], row["rate_control"]) == (11, 21, 1.0, 0.4)
    assert row["sd_group"] == 0.5
    half = 1.959964 * np.sqrt(0.02)
    assert (row["low"], row["high"]) == pytest.approx((0.6 - half, 0.6 + half), rel=1e-6)
    assert row["p"] == pytest.approx(2 * 1.1045e-5, rel=1e-3)
    assert row["n_per_arm_30"] == np.ceil(2 * (1.959964 + 0.841621) ** 2 * 0.25 / 0.18**2)
    narrow = contrast(one, other, level=0.5).iloc[0]
    assert narrow["high"] - narrow["difference"] == pytest.approx(0.67449 * np.sqrt(0.02), rel=1e-4)


def test_level_and_places_of_a_persons_interval():
    logs = pd.DataFrame({"a": [8.0, 7.9, np.nan, 7.0, 7.0]})
    people, years = pd.Series(["q", "q", "q", "p", "p"]), [0.0, 0.25, 5.0, 0.0, 0.2]
    (row,) = person_volume_rates(logs, people, years, ERROR, level=0.5).to_dict("records")
    assert (row["participant_id"], row["n_scans"], row["followed"]) == ("q", 2, 0.25)
    half = 0.68695 * 0.01 / np.sqrt(2 * 0.125**2)
    assert row["high"] == pytest.approx(100 * np.expm1(-0.4 + half), rel=1e-4)
    assert row["low"] == pytest.approx(100 * np.expm1(-0.4 - half), rel=1e-4)


def test_people_per_arm_without_excess_are_without_end():
    assert people_per_arm(1.0, 0.0, 0.5) == np.inf
    assert people_per_arm([1.0, 2.0], [1.0, 1.0], 0.3).tolist() == [175, 698]
