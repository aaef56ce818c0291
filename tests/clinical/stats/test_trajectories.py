import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_1samp

from bids_app.clinical.stats.trajectories import mean_rates, person_rates, within_people
from bids_app.errors import AnalysisError


def visits(n_people=60, slope=-0.1, spread=0.05, noise=0.2, seed=0):
    """z of two regions that change by `slope` per year on average; people differ by `spread`."""
    generator = np.random.default_rng(seed)
    number = generator.integers(2, 5, n_people)
    person = np.repeat(np.arange(n_people), number)
    years = np.concatenate([np.arange(count) * generator.uniform(0.5, 2) for count in number])
    own = slope + spread * generator.normal(size=n_people)
    z = generator.normal(size=n_people)[person] + own[person] * years + noise * generator.normal(size=len(person))
    frame = pd.DataFrame({"Left-Thalamus": z, "Right-Thalamus": z + 1})
    return frame, pd.Series([f"sub-{number}" for number in person]), years


def test_a_line_without_noise_gives_its_slope():
    z = pd.DataFrame({"Left-Thalamus": [0.0, -0.5, -1.0, 2.0, 2.5, 3.0]})
    table = person_rates(z, pd.Series(["a"] * 3 + ["b"] * 3), [0, 1, 2, 5, 6, 7])
    np.testing.assert_allclose(table["rate"], [-0.5, 0.5], atol=1e-12)
    np.testing.assert_allclose(table["se"], 0, atol=1e-7)
    assert table["df"].tolist() == [2, 2]


def test_one_person_alone_is_an_ordinary_regression():
    years, z = np.array([0, 1, 2, 4.0]), np.array([1, 0.4, 0.1, -1.2])
    table = person_rates(pd.DataFrame({"Left-Thalamus": z}), pd.Series(["a"] * 4), years)
    slope, covariance = np.polyfit(years, z, 1, cov=True)[0][0], np.polyfit(years, z, 1, cov=True)[1]
    assert table["rate"].item() == pytest.approx(slope)
    assert table["se"].item() == pytest.approx(np.sqrt(covariance[0, 0]))


def test_two_scans_give_a_rate_with_the_variance_of_the_others():
    z, people, years = visits()
    table = person_rates(z, people, years)
    short = table[table["n_scans"] == 2]
    assert len(short) > 0
    assert short["low"].notna().all()
    assert (table["low"] < table["rate"]).all()


def test_without_a_third_scan_there_is_no_interval():
    table = person_rates(pd.DataFrame({"Left-Thalamus": [0.0, 1.0]}), pd.Series(["a", "a"]), [0, 2])
    assert table["rate"].item() == pytest.approx(0.5)
    assert np.isnan(table["low"].item())


def test_scans_within_three_months_have_no_rate():
    z = pd.DataFrame({"Left-Thalamus": [0.0, 1.0, 0.0, 1.0]})
    table = person_rates(z, pd.Series(["a", "a", "b", "b"]), [0, 0.1, 0, 1])
    assert table["participant_id"].tolist() == ["b"]


def test_intervals_hold_what_they_promise():
    z, people, years = visits(n_people=400, spread=0.0)
    table = person_rates(z[["Left-Thalamus"]], people, years)
    inside = (table["low"] <= -0.1) & (table["high"] >= -0.1)
    assert 0.92 < inside.mean() < 0.98


def test_missing_values_are_passed_over():
    z, people, years = visits()
    z.loc[people == "sub-3", "Left-Thalamus"] = np.nan
    table = mean_rates(z, people, years).set_index("region")
    assert table.loc["Left-Thalamus", "n_people"] == table.loc["Right-Thalamus", "n_people"] - 1


def test_average_rates_cover_the_truth_when_people_differ():
    inside = []
    for seed in range(200):
        z, people, years = visits(n_people=40, spread=0.3, seed=seed)
        row = mean_rates(z[["Left-Thalamus"]], people, years).iloc[0]
        inside.append(row["low"] <= -0.1 <= row["high"])
    assert 0.90 < np.mean(inside) < 0.99


def test_with_the_same_times_it_is_a_t_test_of_the_slopes():
    generator = np.random.default_rng(4)
    years, z = np.tile([0.0, 1, 3], 12), generator.normal(size=36)
    slopes = [np.polyfit(years[:3], part, 1)[0] for part in z.reshape(12, 3)]
    row = mean_rates(pd.DataFrame({"Left-Thalamus": z}), pd.Series(np.repeat(np.arange(12), 3)), years).iloc[0]
    test = ttest_1samp(slopes, 0)
    assert row[["statistic", "p", "df"]].tolist() == pytest.approx([test.statistic, test.pvalue, test.df])
    assert (row["low"], row["high"]) == pytest.approx(tuple(test.confidence_interval()))


def test_differences_between_people_play_no_part():
    z, people, years = visits()
    shifted = z + people.str[4:].astype(float).to_numpy()[:, None]
    pd.testing.assert_frame_equal(mean_rates(z, people, years), mean_rates(shifted, people, years))


def test_nobody_with_two_scans_is_an_error():
    with pytest.raises(AnalysisError, match="repeated scans"):
        mean_rates(pd.DataFrame({"Left-Thalamus": [0.0, 1.0]}), pd.Series(["a", "b"]), [0, 0])


def test_sums_within_people_worked_by_hand():
    z = np.array([[1.0, np.nan], [3.0, 1.0], [2.0, 5.0], [7.0, 2.0]])
    n, weight, product, span = within_people(z, np.array([0.0, 2.0, 4.0, 1.0]), np.array([0, 0, 0, 1]))
    assert n.tolist() == [[3, 2], [1, 1]]
    assert weight.tolist() == [[8, 2], [0, 0]]
    assert product.tolist() == [[-2 * 1 + 2 * 2, -1 + 5], [0, 0]]
    assert span.tolist() == [[4, 2], [0, 0]]
    unknown = within_people(z[:2, :1], np.array([np.nan, 1.0]), np.array([0, 1]))
    assert unknown[0].tolist() == [[0], [1]]
    assert unknown[3].tolist() == [[0], [0]]


def test_rates_of_unlike_people_worked_by_hand():
    """Sums of squares of time 0.5 and 2, slopes 1 and 0: the mean is 0.2, the pooled variance that of person c."""
    z = pd.DataFrame({"Left-Thalamus": [0.0, 1, 0, 0, 0, 1, 0]})
    people = pd.Series(["a", "a", "b", "b", "c", "c", "c"])
    years = np.array([0, 1, 0, 2, 0, 1, 2.0])
    table = person_rates(z, people, years)
    sigma = np.sqrt(2 / 3)  # residuals around (0, 1, 0): 1/3, 2/3, 1/3, one degree of freedom
    np.testing.assert_allclose(table["rate"], [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(table["se"], sigma / np.sqrt([0.5, 2, 2]))
    assert table["df"].tolist() == [1, 1, 1]
    assert table["followed"].tolist() == [1, 2, 2]
    assert table["n_scans"].tolist() == [2, 2, 3]
    np.testing.assert_allclose(table["high"] - table["rate"], 12.7062047 * table["se"])
    half = person_rates(z, people, years, level=0.5)
    np.testing.assert_allclose(half["high"] - half["rate"], 1.0 * half["se"])
    row = mean_rates(z, people, years).iloc[0]
    assert row["rate"] == pytest.approx(0.5 / 4.5)
    scatter = (0.5 - row["rate"] * 0.5) ** 2 + 2 * (row["rate"] * 2) ** 2
    assert row["se"] == pytest.approx(np.sqrt(scatter * 3 / 2) / 4.5)
    assert row["df"] == pytest.approx(4.5**2 / (0.25 + 4 + 4) - 1)
    assert (row["n_people"], row["n_scans"]) == (3, 7)
    assert row["q"] == row["p"]


def test_three_months_are_enough():
    z = pd.DataFrame({"Left-Thalamus": [0.0, 1.0]})
    assert len(person_rates(z, pd.Series(["a", "a"]), [0, 0.25])) == 1
    assert person_rates(z, pd.Series(["a", "a"]), [0, 0.2499]).empty
