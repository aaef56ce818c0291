"""Measures of a model's fit to people it did not see."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bids_app.normative import evaluation
from bids_app.normative.evaluation import evaluate, held_out, summarise, usual_groups
from tests.normative.gaussian_model import REGIONS, GaussianModel


@pytest.fixture
def people():
    rng = np.random.default_rng(5)
    n = 400
    table = pd.DataFrame(
        {"age": rng.uniform(20, 80, n), "sex": rng.choice(["female", "male"], n), "site": rng.choice(["a", "b"], n)}
    )
    volumes = 1000 - (table["age"].to_numpy()[:, None] - 50) + 10 * rng.normal(size=(n, 4))
    return table.assign(**dict(zip(REGIONS, volumes.T)))


def test_measures_are_those_of_scipy_and_of_their_definitions(people):
    found = held_out(GaussianModel(), people)
    table = evaluate(found).set_index("region")
    y, z = found.observed[:, 1], found.z[:, 1]
    row = table.loc[REGIONS[1]]
    error = y - found.expected[:, 1]
    assert row["skew"] == pytest.approx(stats.skew(z))
    assert row["kurtosis"] == pytest.approx(stats.kurtosis(z))
    assert row["z_sd"] == pytest.approx(z.std(ddof=1))
    assert row["ev"] == pytest.approx(1 - error.var() / y.var())
    assert row["smse"] == pytest.approx(np.mean(error**2) / y.var())
    assert row["below"] == np.mean(z < -1.96)
    assert row["above"] == np.mean(z > 1.96)
    expected = stats.norm.logpdf(y, y.mean(), y.std()) - stats.norm.logpdf(y, found.expected[:, 1], 10)
    assert row["msll"] == pytest.approx(expected.mean(), rel=1e-6)
    shares = [np.mean(z < stats.norm.ppf(c)) for c in (0.05, 0.25, 0.5, 0.75, 0.95)]
    assert row["mace"] == pytest.approx(np.mean(np.abs(np.subtract(shares, (0.05, 0.25, 0.5, 0.75, 0.95)))))


def test_log_density_is_the_normal_one_for_a_gaussian_model(people):
    found = held_out(GaussianModel(), people)
    expected = stats.norm.logpdf(found.observed, found.expected, 10)
    np.testing.assert_allclose(found.log_density, expected, rtol=1e-7)


def test_groups_have_their_own_rows_and_small_ones_none(people):
    people.loc[:4, "site"] = "tiny"
    table = evaluate(held_out(GaussianModel(), people), usual_groups(people))
    assert list(table.columns) == list(evaluation.COLUMNS) == list(evaluation.column_dictionary())
    groups = table.groupby("grouping", sort=False)["group"].unique()
    assert list(groups["age_band"]) == ["18-30", "30-40", "40-50", "50-60", "60-70", "70+"]
    assert list(groups["site"]) == ["a", "b"]
    by_sex = table[(table["grouping"] == "sex") & (table["region"] == REGIONS[0])]
    assert by_sex["n"].sum() == len(people)


def test_a_missing_volume_counts_for_its_region_only(people):
    people.loc[7, REGIONS[2]] = np.nan
    table = evaluate(held_out(GaussianModel(), people)).set_index("region")
    assert table["n"].tolist() == [400, 400, 399, 400]
    assert table.drop(columns=["grouping", "group"]).notna().all(axis=None)


def test_summary_averages_over_regions(people):
    table = evaluate(held_out(GaussianModel(), people))
    row = summarise(table).iloc[0]
    assert row["n_regions"] == 4
    assert row["abs_skew"] == pytest.approx(table["skew"].abs().mean())


def test_age_bands_hold_their_lower_edge():
    bands = evaluation.age_bands([5, 18, 29.99, 30, 95])
    assert bands.tolist() == ["0-10", "18-30", "18-30", "30-40", "70+"]


def test_the_baseline_is_that_of_the_training_data(people):
    train, test = people[:300], people[300:].reset_index(drop=True)
    train = train.assign(**{REGIONS[3]: train[REGIONS[3]].where(train.index > 9)})
    found = held_out(GaussianModel(), test, train)
    mean, sd = train[list(REGIONS)].mean(), train[list(REGIONS)].std(ddof=0)
    np.testing.assert_allclose(found.baseline, stats.norm.logpdf(test[list(REGIONS)], mean, sd))
    assert found.z.shape == (100, 4)


def test_a_region_without_values_has_no_baseline_and_no_warning(people):
    empty = people.assign(**{REGIONS[0]: np.nan})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = evaluate(held_out(GaussianModel(), people, empty)).set_index("region")
        none = evaluate(held_out(GaussianModel(), empty)).set_index("region")
    assert np.isnan(table.loc[REGIONS[0], "msll"])
    assert table["ev"].notna().all()
    assert none.loc[REGIONS[0], "n"] == 0
    assert none.loc[REGIONS[0]].drop(["grouping", "group", "n"]).isna().all()


class Wide(GaussianModel):
    """Not linear in z: the volume is ``median + 10 z + z^3``."""

    def volumes_at(self, data, z, regions, adaptation=None):
        return super().volumes_at(data, z, regions) + z**3


def test_the_density_is_that_of_the_slope_of_volume_over_z(people):
    z = np.tile([-2.0, 0.0, 0.5, 3.0], (400, 1))
    found = evaluation.log_density(Wide(), people, z, REGIONS)
    np.testing.assert_allclose(found, stats.norm.logpdf(z) - np.log(10 + 3 * z**2), rtol=1e-6)
    coarse = evaluation.log_density(Wide(), people, z, REGIONS, step=0.5)
    np.testing.assert_allclose(coarse, stats.norm.logpdf(z) - np.log(10 + 3 * z**2 + 0.25))


@pytest.mark.parametrize(("n", "kept"), [(19, False), (20, True)])
def test_a_group_of_twenty_is_kept(people, n, kept):
    labels = np.array(["x"] * n + ["y"] * (399 - n) + [None], dtype=object)
    table = evaluate(held_out(GaussianModel(), people), {"site": labels})
    sites = table[table["grouping"] == "site"]
    assert ("x" in set(sites["group"])) is kept
    assert set(sites.query("group == 'y'")["n"]) == {399 - n}
    assert table.index.tolist() == list(range(len(table)))
    assert table["grouping"].iloc[0] == "overall"


def test_bands_are_in_the_order_of_age_and_other_labels_alphabetical():
    found = [label for label, _ in evaluation._masks(["100-110", "20-30", "b", "70+", "a", np.nan, "5-10"])]
    assert found == ["a", "b", "5-10", "20-30", "70+", "100-110"]
    masks = dict(evaluation._masks(["a", None, 3, "3", "a"]))
    assert masks["a"].tolist() == [True, False, False, False, True]
    assert masks["3"].tolist() == [False, False, True, True, False]


def test_ages_outside_of_all_bands_belong_to_the_nearest():
    edges = evaluation.AGE_BANDS
    bands = evaluation.age_bands(
        [edges[0] - 3, edges[0], edges[1] - 1e-9, edges[1], edges[-2], edges[-1], edges[-1] + 9]
    )
    first, second, last = f"{edges[0]:g}-{edges[1]:g}", f"{edges[1]:g}-{edges[2]:g}", f"{edges[-2]:g}+"
    assert bands.tolist() == [first, first, first, second, last, last, last]


def test_usual_groups_have_a_site_where_there_is_one(people):
    assert list(usual_groups(people)) == ["age_band", "sex", "site"]
    assert list(usual_groups(people.drop(columns="site"))) == ["age_band", "sex"]


def test_limits_of_tails_and_centiles_are_not_beyond():
    z = np.array([[-1.96], [1.96], [-2.0], [2.0], [0.0], [np.nan]])
    found = evaluation._shape(z, np.array([5]))
    assert (found["below"][0], found["above"][0]) == (0.2, 0.2)
    assert found["z_sd"][0] == pytest.approx(np.nanstd(z, ddof=1))
    assert found["kurtosis"][0] == pytest.approx(stats.kurtosis(z[:5, 0]))
    skewed = np.array([[0.0], [0.1], [0.2], [3.0]])
    assert evaluation._shape(skewed, np.array([4]))["skew"][0] == pytest.approx(stats.skew(skewed[:, 0]))
    median = np.array([[0.0], [0.0], [1.0], [-1.0]])
    shares = [0.0, 0.25, 0.25, 0.75, 1.0]
    assert evaluation._shape(median, np.array([4]))["mace"][0] == pytest.approx(
        np.mean(np.abs(np.subtract(shares, (0.05, 0.25, 0.5, 0.75, 0.95))))
    )


def test_a_summary_takes_the_largest_number_and_the_mean_of_each_measure(people):
    people.loc[:9, REGIONS[1]] = np.nan
    table = evaluate(held_out(GaussianModel(), people), usual_groups(people))
    found = summarise(table)
    assert found.columns.tolist() == ["grouping", "group", "n", "n_regions", *evaluation.SUMMARY_COLUMNS]
    assert found["group"].iloc[0] == "all"
    for _, row in found.iterrows():
        some = table[(table["grouping"] == row["grouping"]) & (table["group"] == row["group"])]
        assert (row["n"], row["n_regions"]) == (some["n"].max(), 4)
        for name in ("z_mean", "z_sd", "below", "above", "mace", "ev", "smse", "msll"):
            assert row[name] == pytest.approx(some[name].mean())
        for name in ("z_mean", "skew", "kurtosis"):
            assert row[f"abs_{name}"] == pytest.approx(some[name].abs().mean())
