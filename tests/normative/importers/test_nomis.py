"""NOMIS' files (made here in the form of the published ones) score as its own script does."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest

from bids_app.errors import ModelError
from bids_app.normative.engines import terms as terms_model
from bids_app.normative.importers.names import name_table
from bids_app.normative.importers.nomis import import_nomis
from bids_app.normative.registry import load_model
from bids_app.regions import ETIV, names

AGE, TIV, HOLES = 54.96, 1.51e6, 3.1


class LinearRegression:
    """Attributes as scikit-learn's has them."""

    def __init__(self, intercept: float, slopes: list[float]) -> None:
        self.intercept_, self.coef_ = np.float64(intercept), np.array(slopes)


def write(folder, file: str, name: str, predictors: list[str], model, mse: float) -> None:
    models = folder / "models" / file / "Models"
    models.mkdir(parents=True, exist_ok=True)
    (models / f"{name}.sav").write_bytes(pickle.dumps(model))
    (models / f"{name}.csv").write_text(",".join(predictors) + "\n")
    (models / f"{name}_mse.csv").write_text(f"{mse}\n")
    for quantity, mean in (("age", AGE), ("etiv", TIV), ("surfaceholes", HOLES)):
        (folder / f"mean{quantity}.csv").write_text(f"{mean}\n")


@pytest.fixture
def people():
    rng = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "age": rng.uniform(20, 85, 6),
            "sex": ["female", "male"] * 3,
            ETIV: rng.normal(1.5e6, 1e5, 6),
            "Left-Hippocampus": rng.normal(3900, 300, 6),
            "Left-Lateral-Ventricle": rng.lognormal(9, 0.4, 6),
        }
    )


def test_z_equals_the_formula_of_the_script(tmp_path, people):
    predictors = ["age", "age2", "age3", "etiv", "sex_m", "age_x_sex_m", "etiv_x_mfs_15", "manufacturer_ge"]
    slopes = [-12.0, -0.4, -0.002, 0.0015, 40.0, -1.5, 1e-4, 55.0]
    write(tmp_path, "aseg.csv", "left-hippocampus", predictors, LinearRegression(3900.0, slopes), 114538.0)
    assume = {"mfs": "1.5", "manufacturer": "GE"}
    model = load_model(terms_model.save(import_nomis(tmp_path, assume), tmp_path / "n.json"))
    found = model.deviations(people)
    age, etiv, male = people["age"] - AGE, people[ETIV] - TIV, (people["sex"] == "male").astype(float)
    columns = [age, age**2, age**3, etiv, male, age * male, etiv, np.ones(6)]
    predicted = 3900.0 + sum(slope * column for slope, column in zip(slopes, columns))
    expected = (people["Left-Hippocampus"] - predicted) / np.sqrt(114538.0)
    np.testing.assert_allclose(found.z[:, 0], expected, rtol=1e-10)
    assert "manufacturer = GE" in model.card.z_notes[0]


def test_ventricles_are_on_log10(tmp_path, people):
    write(tmp_path, "aseg.csv", "left-lateral-ventricle", ["age"], LinearRegression(3.9, [0.01]), 0.04)
    model = import_nomis(tmp_path)
    found = model.deviations(people)
    expected = (np.log10(people["Left-Lateral-Ventricle"]) - 3.9 - 0.01 * (people["age"] - AGE)) / 0.2
    np.testing.assert_allclose(found.z[:, 0], expected, rtol=1e-10)
    np.testing.assert_allclose(model.volumes_at(people, found.z, found.regions), found.observed, rtol=1e-10)


def test_predictors_that_cannot_be_provided_are_named(tmp_path):
    write(
        tmp_path,
        "aseg.csv",
        "left-hippocampus",
        ["age", "cnr", "voxel", "surfaceholes2"],
        LinearRegression(1.0, [1, 1, 1, 1]),
        1.0,
    )
    with pytest.raises(ModelError, match="need cnr, surfaceholes, voxel"):
        import_nomis(tmp_path)
    model = import_nomis(tmp_path, {"cnr": "mean", "voxel": "1", "surfaceholes": "mean"})
    assert model.regions == ("Left-Hippocampus",)


@pytest.mark.parametrize(
    "assume", [{"cnr": "3"}, {"mfs": "7"}, {"manufacturer": "hitachi"}, {"colour": "red"}, {"surfaceholes": "-4"}]
)
def test_impossible_assumptions_are_refused(tmp_path, assume):
    write(tmp_path, "aseg.csv", "left-hippocampus", ["age"], LinearRegression(1.0, [1]), 1.0)
    with pytest.raises(ModelError):
        import_nomis(tmp_path, assume)


def test_a_pickle_of_something_else_is_refused(tmp_path):
    write(tmp_path, "aseg.csv", "left-hippocampus", ["age"], {"no": "model"}, 1.0)
    with pytest.raises(ModelError, match="not a linear regression"):
        import_nomis(tmp_path)


def test_predictors_and_slopes_must_fit(tmp_path):
    write(tmp_path, "aseg.csv", "left-hippocampus", ["age", "etiv"], LinearRegression(1.0, [1]), 1.0)
    with pytest.raises(ModelError, match="1 slopes for 2 predictors"):
        import_nomis(tmp_path)


def test_every_name_is_a_region():
    assert {row["region"] for row in name_table("nomis")} <= set(names())
