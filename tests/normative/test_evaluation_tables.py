"""The tables that an evaluation leaves on disk."""

import json

import numpy as np
import pandas as pd
import pytest

from bids_app.normative.evaluation import evaluate, held_out
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
