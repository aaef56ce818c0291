"""What is exported suffices to score without this software."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace

import jsonschema
import numpy as np
import pandas as pd
import pytest

from bids_app.errors import UsageError
from bids_app.normative import export as export_module
from bids_app.normative.card import ModelCard
from bids_app.normative.engines.terms import TermsFit, TermsModel
from bids_app.normative.export import centile_table, coefficient_table, export
from bids_app.normative.parameters import RegionFit, ScaleFit
from bids_app.normative.registry import load_model
from bids_app.regions import ETIV
from bids_app.tables import read_table


@pytest.fixture(scope="module")
def model():
    return load_model("open-calibrated")


def z_by_hand(row: dict, age: float, etiv: float, volume: float) -> float:
    """The docstring of `coefficient_table` in arithmetic."""

    def number(name: str) -> float:
        return math.nan if row[name] == "NA" else float(row[name])

    def power(p: float) -> float:
        return math.log(x) if p == 0 else x**p

    def terms(*names: str) -> list[float]:
        out, before = [], math.nan
        for p in map(number, names):
            out.append(0.0 if math.isnan(p) else out[-1] * math.log(x) if p == before else power(p))
            before = p
        return out

    def weight(name: str) -> float:
        return 0.0 if math.isnan(number(name)) else number(name)

    x = (age + number("shift")) / number("scale")
    f1, f2, f3 = terms("power1", "power2", "power3")
    g1, g2 = terms("s_power1", "s_power2")
    mean = number("intercept") + number("b_etiv") * etiv ** number("etiv_power")
    mean += weight("b_age1") * f1 + weight("b_age2") * f2 + weight("b_age3") * f3
    sd = math.exp(number("s0") + number("s_etiv") * etiv + weight("s1") * g1 + weight("s2") * g2)
    y = math.log(volume) if row["transform"] == "log" else volume
    u = (y - mean) / sd
    return math.sinh(number("delta") * math.asinh((u - number("xi")) / number("lambda")) - number("epsilon"))


def test_the_csv_suffices_to_score_by_hand(model, tmp_path):
    path = export(model, tmp_path / "c.csv", "coefficients")
    assert path.read_text().startswith("region,sex,transform,n,")
    rows = list(csv.DictReader(path.open()))
    assert len(rows) == 2 * len(model.regions)
    for row in rows[:: len(rows) // 23]:
        region, sex = row["region"], row["sex"]
        low, high = model.parameters_of(region).fits[sex].volume_range
        data = pd.DataFrame({"age": [33.0], "sex": [sex], ETIV: [1.5e6], region: [low + 0.6 * (high - low)]})
        expected = model.deviations(data).z[0, 0]
        assert z_by_hand(row, 33.0, 1.5e6, data[region][0]) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_reference_models_have_rmse_and_no_shape():
    table = coefficient_table(load_model("open-reference"))
    assert table["rmse"].notna().all()
    assert table[["s0", "xi", "delta"]].isna().all(axis=None)


def test_the_json_is_described_by_the_schema_beside_it(model, tmp_path):
    path = export(model, tmp_path / "m.json", "json")
    schema = json.loads((tmp_path / "m.schema.json").read_text())
    jsonschema.validate(json.loads(path.read_text()), schema)
    assert load_model(path) == model


def test_centiles_are_volumes_that_score_at_their_centile(model, tmp_path):
    path = export(
        model,
        tmp_path / "c.tsv",
        "centiles",
        etiv=1.5e6,
        ages=[20, 50],
        centiles=[2.5, 50, 97.5],
        regions=("Left-Thalamus", "Left-Lateral-Ventricle"),
    )
    table = read_table(path)
    assert table.columns.tolist() == ["region", "sex", "age", "etiv_mm3", "p2.5", "p50", "p97.5"]
    assert len(table) == 2 * 2 * 2
    for region, rows in table.groupby("region"):
        data = rows[["age", "sex"]].assign(**{ETIV: 1.5e6, region: rows["p2.5"]})
        np.testing.assert_allclose(model.deviations(data).centile[:, 0], 2.5, rtol=1e-6)
    assert (table["p2.5"] < table["p50"]).all()


def test_the_default_grid_is_every_trained_year(model):
    table = centile_table(model, regions=("Left-Thalamus",))
    low, high = model.card.age_range["female"]
    ages = table.loc[table["sex"] == "female", "age"]
    assert ages.min() == math.ceil(low)
    assert ages.max() <= high
    assert table["etiv_mm3"].nunique() == 2


def test_models_of_other_engines_export_centiles_only(tmp_path):
    card = ModelCard(
        name="t", version="1", title="t", summary="t", licence="CC0-1.0", date="2026-01-01", engine="terms"
    )
    fit = TermsFit(terms=((), ("age",)), coefficients=(7000.0, -10.0), noise=250_000.0)
    other = TermsModel(card=card, fits={"Left-Thalamus": fit})
    with pytest.raises(UsageError, match="native"):
        export(other, tmp_path / "x.csv", "coefficients")
    with pytest.raises(UsageError, match="no age range"):
        centile_table(other)
    table = centile_table(other, etiv=1.5e6, ages=[30], centiles=[50])
    assert table["p50"].tolist() == [6700.0, 6700.0]
    with pytest.raises(UsageError, match="percentages"):
        centile_table(other, etiv=1.5e6, ages=[30], centiles=[0])


FIT = RegionFit(
    n=9,
    shift=1.0,
    scale=10.0,
    powers=(0.5,),
    coefficients=(5.0, 0.1, 2.0),
    rmse=2.5,
    age_range=(10.0, 12.5),
    etiv_range=(1e6, 2e6),
    volume_range=(1.0, 9.0),
    etiv_power=2.0,
)


def test_every_parameter_has_its_column():
    names = ("power1", "power2", "power3", "intercept", "b_etiv", "b_age1", "b_age2", "b_age3")
    found = export_module._parameters(FIT)
    nan = math.nan
    np.testing.assert_array_equal([found[name] for name in names], [0.5, nan, nan, 5.0, 0.1, 2.0, nan, nan])
    rest = ("n", "shift", "scale", "etiv_power", "rmse", "age_min", "age_max", "etiv_min", "etiv_max")
    assert [found[name] for name in rest] == [9, 1.0, 10.0, 2.0, 2.5, 10.0, 12.5, 1e6, 2e6]
    spread = ("s_power1", "s_power2", "s0", "s_etiv", "s1", "s2", "xi", "lambda", "epsilon", "delta")
    assert all(math.isnan(found[name]) for name in spread)
    sigma = ScaleFit(powers=(3.0,), coefficients=(0.1, 0.2, 0.3), root=None)
    found = export_module._parameters(replace(FIT, sigma=sigma, shape=(1.0, 2.0, 3.0, 4.0)))
    np.testing.assert_array_equal([found[name] for name in spread], [3.0, nan, 0.1, 0.2, 0.3, nan, 1.0, 2.0, 3.0, 4.0])


def grid_of(age_range, etiv_range, needs_etiv=True, etiv=None, ages=None):
    card = ModelCard(
        name="c",
        version="1",
        title="t",
        summary="t",
        licence="CC0",
        date="2026-01-01",
        age_range=age_range,
        etiv_range=etiv_range,
    )
    model = type("Model", (), {"card": card, "needs_etiv": needs_etiv})()
    return export_module._grid(model, etiv, ages)


def test_the_grid_is_of_whole_years_inside_the_range_at_the_middle_head():
    ages = {"female": (10.2, 13.0), "male": (20.0, 20.9)}
    heads = {"female": (1e6, 2e6), "male": (1e6, 1.2e6)}
    found = grid_of(ages, heads)
    assert found["age"].tolist() == [11.0, 12.0, 13.0, 20.0]
    assert found["sex"].tolist() == ["female"] * 3 + ["male"]
    assert found[ETIV].tolist() == [1.5e6] * 3 + [1.1e6]
    assert found.index.tolist() == [0, 1, 2, 3]
    assert grid_of({}, heads, ages=[30, 31.5])["age"].tolist() == [30.0, 31.5] * 2
    assert grid_of(ages, {}, etiv=1.3e6)[ETIV].unique().tolist() == [1.3e6]
    assert grid_of(ages, {}, needs_etiv=False)[ETIV].isna().all()
    with pytest.raises(UsageError, match="no range of intracranial volume"):
        grid_of(ages, {})
    with pytest.raises(UsageError, match="no age range"):
        grid_of({"female": (1, 2)}, heads)


@pytest.mark.parametrize("centiles", [[0], [100], [50, -1], [50, 101]])
def test_centiles_are_between_nothing_and_everybody(model, centiles):
    with pytest.raises(UsageError, match="above 0 and below 100"):
        centile_table(model, centiles=centiles)


def test_other_kinds_are_refused(model, tmp_path):
    with pytest.raises(UsageError, match=r"cannot export open-calibrated .* as xml"):
        export(model, tmp_path / "x", "xml")
    card = ModelCard(name="t", version="1", title="t", summary="t", licence="CC0", date="2026-01-01", engine="terms")
    other = TermsModel(card=card, fits={"Left-Thalamus": TermsFit(terms=((),), coefficients=(1.0,), noise=1.0)})
    with pytest.raises(UsageError, match=r"cannot export t \(terms\) as json"):
        export(other, tmp_path / "x", "json")
    with pytest.raises(UsageError, match="is a model of terms"):
        coefficient_table(other)
