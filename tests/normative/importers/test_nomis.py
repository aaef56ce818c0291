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


def write_one(tmp_path, predictors=("age",), slopes=(1.0,), name="left-hippocampus"):
    write(tmp_path, "aseg.csv", name, list(predictors), LinearRegression(10.0, list(slopes)), 4.0)
    return tmp_path / "models" / "aseg.csv" / "Models"


def coefficients(tmp_path, predictors, slopes, assume):
    write_one(tmp_path, predictors, slopes)
    fit = import_nomis(tmp_path, assume).fits["Left-Hippocampus"]
    return dict(zip(fit.terms, fit.coefficients, strict=True))


@pytest.mark.parametrize(
    ("assume", "predictor", "factor"),
    [
        ({"manufacturer": "Siemens"}, "manufacturer_ge", 0.0),
        ({"manufacturer": "siemens"}, "manufacturer_philips", 0.0),
        ({"manufacturer": "philips"}, "manufacturer_philips", 1.0),
        ({"manufacturer": "philips"}, "manufacturer_ge", 0.0),
        ({"manufacturer": "ge"}, "manufacturer_philips", 0.0),
        ({"manufacturer": "ge"}, "manufacturer_ge", 1.0),
        ({"mfs": "1.5"}, "mfs_15", 1.0),
        ({"mfs": "3"}, "mfs_15", 0.0),
        ({"voxel": "1.2"}, "voxel", 1.2),
        ({"cnr": "mean"}, "cnr", 0.0),
        ({"surfaceholes": "mean"}, "surfaceholes", 0.0),
        ({"surfaceholes": "40"}, "surfaceholes", np.log(40) - HOLES),
        ({"surfaceholes": "40"}, "surfaceholes2", (np.log(40) - HOLES) ** 2),
        ({"surfaceholes": "40"}, "surfaceholes3", (np.log(40) - HOLES) ** 3),
    ],
)
def test_constants_of_the_dataset_go_into_the_intercept(tmp_path, assume, predictor, factor):
    found = coefficients(tmp_path, ["age", predictor], [0.5, 2.0], assume)
    assert found == {(): pytest.approx(10 + 2 * factor), ("age",): 0.5}


def test_constants_scale_what_they_stand_with(tmp_path):
    found = coefficients(tmp_path, ["age2_x_voxel", "age2"], [2.0, 0.5], {"voxel": "3"})
    assert found == {(): 10.0, ("age", "age"): 6.5}


@pytest.mark.parametrize(
    ("assume", "reason"),
    [
        ({"colour": "red", "apple": "1"}, "cannot assume apple, colour"),
        ({"manufacturer": "hitachi"}, "manufacturer must be one of siemens, philips, ge"),
        ({"voxel": "big"}, "a value of --assume is not possible"),
        ({"surfaceholes": "0"}, "a value of --assume is not possible"),
    ],
)
def test_the_reason_is_said(tmp_path, assume, reason):
    write_one(tmp_path)
    with pytest.raises(ModelError, match=reason):
        import_nomis(tmp_path, assume)


def test_files_that_hold_no_number_are_refused(tmp_path):
    models = write_one(tmp_path)
    noise = models / "left-hippocampus_mse.csv"
    for text, reason in (("much", "no number"), ("nan", "no finite number"), ("inf", "no finite number")):
        noise.write_text(text)
        with pytest.raises(ModelError, match=reason):
            import_nomis(tmp_path)
    noise.write_text("4")
    (models / "left-hippocampus.csv").write_text("")
    with pytest.raises(ModelError, match="1 slopes for 0 predictors"):
        import_nomis(tmp_path)


def test_a_regression_without_intercept_is_refused(tmp_path):
    models = write_one(tmp_path)
    model = LinearRegression(1.0, [1.0])
    model.intercept_ = "none"
    (models / "left-hippocampus.sav").write_bytes(pickle.dumps(model))
    with pytest.raises(ModelError, match="has no intercept"):
        import_nomis(tmp_path)
    model.coef_, model.intercept_ = np.array([[2.0]]), np.array([1.0])
    (models / "left-hippocampus.sav").write_bytes(pickle.dumps(model))
    assert import_nomis(tmp_path).fits["Left-Hippocampus"].coefficients == (1.0, 2.0)
    model.coef_ = [2.0]
    (models / "left-hippocampus.sav").write_bytes(pickle.dumps(model))
    with pytest.raises(ModelError, match="not a linear regression"):
        import_nomis(tmp_path)


def test_a_folder_without_models_is_refused(tmp_path):
    write_one(tmp_path, name="nothing-known")
    with pytest.raises(ModelError, match="holds no NOMIS model"):
        import_nomis(tmp_path)


def test_the_card_names_what_was_assumed(tmp_path):
    write_one(tmp_path)
    plain, stated = import_nomis(tmp_path).card, import_nomis(tmp_path, {"voxel": "1", "cnr": "mean"}).card
    assert (plain.z_notes, plain.covariates) == ((), "age (years), sex, EstimatedTotalIntraCranialVol (mm^3)")
    assert stated.covariates.endswith("(mm^3); cnr = mean, voxel = 1")
    assert "(cnr = mean, voxel = 1)" in stated.z_notes[0]


def test_a_model_of_log10_is_preferred(tmp_path):
    write_one(tmp_path)
    write_one(tmp_path, name="left-hippocampuslog10")
    assert import_nomis(tmp_path).fits["Left-Hippocampus"].response == "log10"
