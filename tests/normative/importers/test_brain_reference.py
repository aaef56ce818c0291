"""Brain Reference models score as R does, and files that do not belong together are refused."""

from __future__ import annotations

import contextlib
import gzip
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bids_app.errors import ModelError
from bids_app.normative.engines import native_file as model_file
from bids_app.normative.fit import fractional_polynomials as fp
from bids_app.normative.importers import brain_reference
from bids_app.normative.importers.assemble import native_model
from bids_app.normative.importers.brain_reference import import_brain_reference
from bids_app.normative.importers.mfp import TrainingSummary, region_fit
from bids_app.normative.importers.names import name_table
from bids_app.normative.importers.rfile import read_r_file
from bids_app.normative.registry import load_model
from bids_app.regions import ETIV, reference_regions


@pytest.fixture(scope="module")
def folder(repository):
    return repository / "tests" / "data" / "brain_reference"


@pytest.fixture(scope="module")
def model(folder):
    return import_brain_reference(folder)


@pytest.fixture(scope="module")
def predictions(folder):
    return pd.read_csv(folder / "predictions.tsv", sep="\t")


def test_coefficients_reproduce_every_prediction_of_r(folder, predictions):
    for name, rows in predictions.groupby("file"):
        fit, _ = region_fit(next(iter(read_r_file(folder / name).values())), name)
        x = fp.basis((rows["age"].to_numpy() + fit.shift) / fit.scale, fit.powers)
        found = np.column_stack([np.ones(len(rows)), rows[ETIV], x]) @ fit.coefficients
        np.testing.assert_allclose(found, rows["predicted"], rtol=1e-12)


def test_the_model_expects_what_r_predicts_within_the_trained_ages(model, predictions):
    compared = 0
    for name, rows in predictions.groupby("file"):
        published, _, sex = name.removesuffix(".Rdata").rpartition("_")
        region = published.replace("Left.", "Left-").replace("Right.", "Right-")
        low, high = model.parameters_of(region).fits[sex].age_range
        rows = rows[rows["age"].between(low, high)]
        data = rows[["age", ETIV]].assign(sex=sex, **{region: 1.0})
        np.testing.assert_allclose(model.deviations(data).expected[:, 0], rows["predicted"], rtol=1e-8)
        compared += len(rows)
    assert compared > 60


def test_rmse_is_that_of_the_published_table(model, folder):
    table = pd.read_csv(folder / "output_rmse.csv").set_index("model_file")["RMSE"]
    assert model.region_models[0].fits["female"].rmse == pytest.approx(table["Left.Thalamus_female.Rdata"], rel=1e-10)


def test_the_file_holds_coefficients_only_and_loads_again(model, tmp_path):
    path = model_file.save(model, tmp_path / "m.json")
    assert path.stat().st_size < 20_000
    assert load_model(path) == model
    assert "doi:10.1101/2025.09.14.25335702" in path.read_text()


def test_standard_errors_come_from_r_covariance(model, folder):
    r = next(iter(read_r_file(folder / "Left.Thalamus_female.Rdata").values()))
    covariance = r.get("var").value.reshape(4, 4)
    data = pd.DataFrame({"age": [40.0], "sex": ["female"], ETIV: [1.4e6], "Left-Thalamus": [7000.0]})
    x = np.array([1, 1.4e6, 2.0, 2.0 * np.log(4.0)])
    fit = model.region_models[0].fits["female"]
    mean_part = x @ covariance @ x / fit.rmse**2
    assert model.deviations(data).z_se[0, 0] ** 2 >= mean_part * (1 - 1e-6)


def test_a_table_of_other_models_is_refused(folder, tmp_path):
    other = tmp_path / "rmse.csv"
    other.write_text((folder / "output_rmse.csv").read_text().replace("717.9", "695.2"))
    with pytest.raises(ModelError, match="do not belong together"):
        import_brain_reference(folder, other)


def test_a_missing_sex_is_named(folder, tmp_path):
    shutil.copy(folder / "Left.Thalamus_female.Rdata", tmp_path)
    with pytest.raises(ModelError, match=r"Left-Thalamus \(male\)"):
        import_brain_reference(tmp_path)


def test_a_file_with_the_wrong_sex_inside_is_refused(folder, tmp_path):
    shutil.copy(folder / "Left.Thalamus_female.Rdata", tmp_path / "Left.Thalamus_male.Rdata")
    with pytest.raises(ModelError, match=r"mfp\.male\.model was expected"):
        import_brain_reference(tmp_path)


def test_volumes_are_not_taken_for_differences(folder, tmp_path):
    for sex in ("female", "male"):
        shutil.copy(folder / f"Left.Thalamus_{sex}.Rdata", tmp_path)
    with pytest.raises(ModelError, match="import it as brain-reference"):
        import_brain_reference(tmp_path, asymmetry=True)


def test_an_empty_folder_says_where_the_models_are_published(tmp_path):
    with pytest.raises(ModelError, match=r"osf\.io/6r8dy"):
        import_brain_reference(tmp_path)


def test_truncated_files_are_refused(folder, tmp_path):
    whole = gzip.decompress((folder / "Left.Thalamus_female.Rdata").read_bytes())
    for keep in (100, 5_000, len(whole) // 2, len(whole) - 9):
        (tmp_path / "Left.Thalamus_female.Rdata").write_bytes(gzip.compress(whole[:keep]))
        with pytest.raises(ModelError):
            import_brain_reference(tmp_path)


def test_a_changed_coefficient_is_noticed(folder, tmp_path):
    path = folder / "Left.Thalamus_female.Rdata"
    whole = gzip.decompress(path.read_bytes())
    value = next(iter(read_r_file(path).values())).get("coefficients").value[:1].tobytes()
    changed = np.array([-1000.0], dtype=">f8").tobytes()
    (tmp_path / path.name).write_bytes(gzip.compress(whole.replace(value, changed)))
    with pytest.raises(ModelError, match="do not reproduce its own fitted values"):
        import_brain_reference(tmp_path)


def test_every_reference_region_has_a_published_name():
    assert {row["region"] for row in name_table("brain_reference")} == set(reference_regions())


@pytest.mark.parametrize(
    ("mean", "asymmetry", "refused"),
    [(3.0, True, False), (3.0, False, True), (-3.5, False, False), (3.5, True, True), (-3.5, True, True)],
)
def test_a_response_is_a_volume_when_it_lies_more_than_three_sd_from_zero(mean, asymmetry, refused):
    summary = TrainingSummary(mean=mean, sd=1.0, etiv_used=True)
    with pytest.raises(ModelError, match="import it as") if refused else contextlib.nullcontext():
        brain_reference._check_response(summary, Path("m.Rdata"), asymmetry)


def rmse_table(folder, text):
    (folder / "rmse.csv").write_text(text)
    return folder


def test_the_published_rmse_is_compared_by_file(tmp_path, monkeypatch):
    table = rmse_table(tmp_path, "model_file,RMSE\na,1.5\n")
    monkeypatch.setattr(brain_reference, "_RMSE_AGREEMENT", 0.5)
    brain_reference._check_rmse({"a": 1.0}, table, None)
    brain_reference._check_rmse({"a": 3.0}, table, None)
    for rmse in ({"a": 0.99}, {"a": 3.01}, {"b": 1.0}):
        with pytest.raises(ModelError, match="do not belong together"):
            brain_reference._check_rmse(rmse, table, None)
    brain_reference._check_rmse({"b": 1.0}, tmp_path / "absent", None)


@pytest.mark.parametrize("columns", ["model_file,sd", "name,RMSE", "name,sd"])
def test_another_table_is_not_taken_for_the_published_one(tmp_path, columns):
    table = rmse_table(tmp_path, f"{columns}\na,1.5\n")
    with pytest.raises(ModelError, match="not the published RMSE table"):
        brain_reference._check_rmse({"a": 1.5}, table, None)


def test_a_file_of_an_unknown_region_is_refused(folder, tmp_path):
    shutil.copy(folder / "Left.Thalamus_female.Rdata", tmp_path / "Left.Nothing_female.Rdata")
    with pytest.raises(ModelError, match=r"Left\.Nothing is not a region"):
        import_brain_reference(tmp_path)
    with pytest.raises(ModelError, match="is not a folder"):
        import_brain_reference(tmp_path / "absent")


def test_regions_stand_in_the_order_of_the_reference(model):
    order = list(reference_regions())
    assert list(model.regions) == sorted(model.regions, key=order.index)
    assert model.card.training[0]["n"] == sum(model.card.n.values())
    for sex in ("female", "male"):
        fits = [region.fits[sex] for region in model.region_models]
        assert model.card.n[sex] == max(fit.n for fit in fits)
        low, high = zip(*(fit.age_range for fit in fits))
        assert model.card.age_range[sex] == (min(low), max(high))
        low, high = zip(*(fit.etiv_range for fit in fits))
        assert model.card.etiv_range[sex] == (min(low), max(high))


def test_no_fit_at_all_is_refused(tmp_path):
    with pytest.raises(ModelError, match="there is no model file"):
        native_model({}, tmp_path, {})
