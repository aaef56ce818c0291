"""The tables that an evaluation leaves on disk."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bids_app.normative import evaluation, evaluation_tables
from bids_app.normative.evaluation import HeldOut, evaluate, held_out
from bids_app.normative.evaluation_tables import curve_table, point_table, qq_table, write_evaluation
from bids_app.regions import ETIV
from bids_app.tables import read_table
from tests.normative.gaussian_model import REGIONS, GaussianModel

MODEL = GaussianModel()


@pytest.fixture
def people():
    rng = np.random.default_rng(6)
    n = 1200
    table = pd.DataFrame({"age": rng.uniform(20, 60, n), "sex": rng.choice(["female", "male"], n), ETIV: 1.5e6})
    volumes = MODEL.median(table) + 10 * rng.normal(size=(n, 4))
    return table.assign(**dict(zip(REGIONS, volumes.T)))


def test_quantiles_of_a_calibrated_model_lie_on_the_diagonal_and_end_with_the_data(people):
    table = qq_table(held_out(MODEL, people))
    inner = table[table["theoretical"].abs() < 2]
    assert (inner["theoretical"] - inner["observed"]).abs().max() < 0.2
    few = qq_table(held_out(MODEL, people.iloc[:30]))
    assert few["theoretical"].abs().max() < 2


def test_curves_are_the_models_centiles(people):
    table = curve_table(MODEL, people, REGIONS)
    row = table[(table["region"] == REGIONS[1]) & (table["sex"] == "male")].iloc[10]
    assert row["p05"] == pytest.approx(1000 - (row["age"] - 50) - 16.4485, rel=1e-4)
    assert row["p50"] == pytest.approx(1000 - (row["age"] - 50), rel=1e-4)


def test_points_show_where_the_people_differ_from_the_curves(people):
    shifted = people.assign(**{REGIONS[0]: people[REGIONS[0]] + 20})
    table = point_table(MODEL, shifted, held_out(MODEL, shifted))
    gap = (table["p50"] - (1000 - (table["age"] - 50))).groupby(table["region"]).mean()
    assert gap[REGIONS[0]] == pytest.approx(20, abs=2)
    assert gap[REGIONS[1]] == pytest.approx(0, abs=2)
    assert (table["n"] >= 20).all()
    assert (table["p95"] - table["p05"]).mean() == pytest.approx(2 * 16.4485, rel=0.1)


def test_all_files_are_written_and_hold_nobodys_volume(people, tmp_path):
    found = held_out(MODEL, people)
    write_evaluation(tmp_path, evaluate(found), found, people, MODEL, {"model": "gaussian"})
    names = {"evaluation", "evaluation_summary", "evaluation_qq", "evaluation_centiles", "evaluation_points"}
    assert {path.stem for path in tmp_path.glob("*.tsv")} == names
    assert set(json.loads((tmp_path / "evaluation.json").read_text())["columns"]) == set(
        read_table(tmp_path / "evaluation.tsv").columns
    )
    assert len(read_table(tmp_path / "evaluation.tsv")) == len(REGIONS)


def held(z, regions=REGIONS[:2]):
    blank = np.full(z.shape, np.nan)
    return HeldOut(tuple(regions), blank, blank, z, blank, blank)


def test_quantiles_reach_as_far_as_the_people():
    people, rng = 200, np.random.default_rng(0)
    z = rng.normal(size=(people, 2))
    z[10:, 1] = np.nan
    table = evaluation_tables.qq_table(held(z))
    wide, narrow = (table[table["region"] == name] for name in REGIONS[:2])
    reach = stats.norm.ppf(1 / (people + 1))
    inside = evaluation_tables.QUANTILE_Z[np.abs(evaluation_tables.QUANTILE_Z) <= -reach]
    assert wide["theoretical"].tolist() == inside.tolist()
    assert len(narrow) < len(wide)
    assert narrow["theoretical"].abs().max() <= -stats.norm.ppf(1 / 11)
    expected = stats.mstats.mquantiles(z[:, 0], stats.norm.cdf(inside), alphap=0, betap=0)
    np.testing.assert_allclose(wide["observed"], expected, atol=6e-5)
    z[:, 1] = np.nan
    assert set(evaluation_tables.qq_table(held(z))["region"]) == {REGIONS[0]}


def test_values_are_rounded_to_five_digits():
    found = evaluation_tables._rounded(np.array([123456.7, 0.00123456, -9.999996, 0.0, np.nan, np.inf]))
    np.testing.assert_allclose(found, [123460.0, 0.0012346, -10.0, 0.0, np.nan, np.inf], rtol=1e-12)


def crowd(n, sex="female", age=40.0):
    return pd.DataFrame({"age": np.full(n, age), "sex": sex, ETIV: np.linspace(1.4e6, 1.6e6, n)})


class WithHead(GaussianModel):
    """Its volumes follow eTIV too."""

    def median(self, data):
        return super().median(data) + data[ETIV].to_numpy()[:, None] / 1e4


def test_curves_lie_between_the_ages_of_each_sex_at_its_median_head():
    data = pd.concat([crowd(3, age=[20.0, 50.0, 30.0]), crowd(2, "male", [30.0, 70.0])], ignore_index=True)
    data.loc[5] = [99.0, "female", np.nan]
    data.loc[6] = [np.nan, "female", 9e6]
    table = evaluation_tables.curve_table(WithHead(), data, REGIONS)
    assert table.columns.tolist() == ["region", "sex", "age", *evaluation_tables.CENTILE_COLUMNS]
    rows = table[(table["region"] == REGIONS[1]) & (table["sex"] == "female")]
    n = evaluation_tables.CURVE_AGES
    np.testing.assert_allclose(rows["age"], np.round(20 + 30 * np.linspace(0, 1, n) ** 1.6, 2))
    for name, z in zip(evaluation_tables.CENTILE_COLUMNS, evaluation_tables.CENTILE_Z, strict=True):
        np.testing.assert_allclose(rows[name], 1000 - (rows["age"] - 50) + 150 + 10 * z, rtol=1e-4)
    assert table[table["sex"] == "male"]["age"].agg(["min", "max"]).tolist() == [30.0, 70.0]
    assert len(table) == 2 * n * len(REGIONS)


@pytest.mark.parametrize(("n", "points"), [(19, 0), (20, 2)])
def test_points_are_of_twenty_people_of_a_sex_and_band(n, points):
    data = pd.concat([crowd(n), crowd(5, "male")], ignore_index=True)
    z = np.random.default_rng(1).normal(size=(n + 5, 2))
    table = evaluation_tables.point_table(WithHead(), data, held(z))
    assert table.columns.tolist() == ["region", "sex", "age", "n", *evaluation_tables.CENTILE_COLUMNS]
    assert len(table) == points
    if points:
        assert table["n"].tolist() == [20, 20]
        assert table["region"].tolist() == list(REGIONS[:2])
        for i in range(2):
            levels = np.quantile(z[:20, i], evaluation.CENTILES / 100)
            np.testing.assert_allclose(
                table.loc[i, list(evaluation_tables.CENTILE_COLUMNS)].astype(float), 1160 + 10 * levels, rtol=1e-4
            )
        z[0] = np.nan
        assert evaluation_tables.point_table(WithHead(), data, held(z)).empty
        z[0, 0] = 0.0
        assert len(evaluation_tables.point_table(WithHead(), data, held(z))) == 2


def test_every_number_of_people_reaches_its_own_quantile():
    for n in (*range(1, 24), 60):
        z = np.linspace(-1, 1, n)[:, None]
        found = evaluation_tables.qq_table(held(z, REGIONS[:1]))["theoretical"]
        share = stats.norm.cdf(-np.abs(evaluation_tables.QUANTILE_Z))
        assert len(found) == sum(share * (n + 1) > 1 - 1e-12)
