"""Measures of a model's fit to people it did not see."""

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
