"""Training, scoring, adaptation, evaluation and export on invented people: no number moves unnoticed."""

from __future__ import annotations

import hashlib
import os
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from bids_app.errors import ModelError
from bids_app.normative import compare, export
from bids_app.normative.cross_validation import cross_validate, harmonise_as_trained
from bids_app.normative.documents import digest
from bids_app.normative.engines import native_file as model_file
from bids_app.normative.evaluation import age_bands, evaluate, held_out, summarise, usual_groups
from bids_app.normative.evaluation_tables import curve_table, point_table, qq_table
from bids_app.normative.folds import stratified_folds
from bids_app.normative.harmonise.adaptation import SiteAdaptation, unadapted_warning
from bids_app.normative.harmonise.adaptation_posterior import Sums, posterior
from bids_app.normative.harmonise.combat import Combat
from bids_app.normative.importers.brain_reference import import_brain_reference
from bids_app.normative.registry import load_model
from bids_app.normative.training import train
from bids_app.regions import ETIV, add_asymmetry
from tests.recorded import check_recorded, constants

DATA = Path(__file__).resolve().parents[1] / "data"
REGIONS = ["Left-Thalamus", "Left-Caudate", "Left-Putamen", "lh_insula_volume", "rh_precuneus_volume", "Left-Amygdala"]
SHOWN = ("Left-Thalamus", "Right-Thalamus", "Left-Amygdala", "lh_insula_volume", "rh_insula_volume")
RECIPES = {
    "reference": ("reference", "none", 500),
    "reference_mean_only": ("reference", "mean_only", 500),
    "calibrated": ("calibrated", "location", 800),
    "calibrated_full": ("calibrated", "full", 500),
    "calibrated_many": ("calibrated", "none", 2400),
}


def healthy(n: int) -> pd.DataFrame:
    """Invented people at twelve sites that differ in offset, spread and FreeSurfer version."""
    table = pd.read_csv(DATA / "simulated" / "C3000.tsv", sep="\t").head(n)
    number = np.arange(n) % 12
    table["site"] = [f"site-{k:02}" for k in number]
    table["fs_version"] = np.where(number < 5, "6.0.0", "7.4.1")
    table[REGIONS] = table[REGIONS].mul(1 + 0.01 * (number - 6) / 3, axis=0)
    noise = norm.ppf((0.5 + np.arange(n) * 0.6180339887) % 1)
    table["Left-Lateral-Ventricle"] = np.exp(8 + 0.015 * table["age"] + 0.3 * noise).round(1)
    table["Right-Amygdala"] = (table["Left-Amygdala"] * (1.02 + 0.03 * noise)).round(1)
    return table


def scans() -> pd.DataFrame:
    """People of every kind that a model meets, some of them out of its range."""
    table = healthy(120).iloc[::5].reset_index(drop=True)
    table.loc[0, "age"], table.loc[1, "age"], table.loc[2, "age"] = 2.0, 97.0, np.nan
    table.loc[3, ETIV], table.loc[4, "sex"], table.loc[5, "Left-Thalamus"] = 3.2e6, "n/a", np.nan
    table.loc[6, "fs_version"], table.loc[7, "fs_version"] = "5.3.0", "8.0.0"
    table["Right-Thalamus"] = table["Left-Thalamus"] * 0.98
    table["rh_insula_volume"] = table["lh_insula_volume"] * 1.03
    return table


@pytest.mark.parametrize("name", RECIPES)
def test_trained_models_are_as_recorded(name):
    mode, harmonise, n = RECIPES[name]
    said = []
    counts = name in ("reference_mean_only", "calibrated")
    made = train(
        healthy(n),
        name=name,
        mode=mode,
        harmonise=harmonise,
        reference_counts=counts,
        min_per_sex=20,
        progress=said.append,
    )
    document = model_file.to_document(made.model)
    found = made.model.deviations(add_asymmetry(scans()))
    check_recorded(
        f"trained_{name}",
        {
            "said": said,
            "report": made.report.sentences(),
            "dropped": made.report.dropped,
            "parameters": {key: value for key, value in document.items() if key not in ("card", "sha256", "digest")},
            "people": document["card"]["n"],
            **{key: getattr(found, key) for key in ("expected", "z", "z_se", "centile", "in_range", "notes")},
        },
    )


@pytest.mark.parametrize("name", ["open-calibrated", "open-reference"])
def test_scores_of_the_packaged_models_are_as_recorded(name):
    model, data = load_model(name), add_asymmetry(scans()[[*SHOWN, "age", "sex", ETIV, "fs_version"]])
    found = model.deviations(data)
    values = {key: getattr(found, key) for key in ("regions", "expected", "z", "z_se", "centile", "in_range", "notes")}
    counts = model.counts
    expected = {
        f"{sex} {n} {adapted}": counts.expected(n, sex, adapted)
        for sex in ("female", "male")
        for n in (82, 40)
        for adapted in (True, False)
    }
    check_recorded(
        f"scored_{name}",
        {
            **values,
            "volumes": model.volumes_at(data, found.z, found.regions),
            "counts": expected,
            "warning": unadapted_warning(model),
        },
    )


def test_an_adaptation_is_as_recorded():
    model = load_model("open-calibrated")
    data = healthy(90)[[*REGIONS, "age", "sex", ETIV, "fs_version", "participant_id", "site"]]
    data["scanner"] = np.where(np.arange(90) % 3 == 0, "one", "two")
    data.loc[5:8, "participant_id"] = "s5"
    adaptation = SiteAdaptation.fit(model, data[::2], by="scanner")
    regions = tuple(REGIONS)
    shift, scale, error = adaptation.parameters(data, regions)
    found = model.deviations(data, adaptation)
    again = SiteAdaptation.from_dict(adaptation.to_dict())
    others = data[1:4:2]
    np.testing.assert_allclose(again.parameters(others, regions), adaptation.parameters(others, regions))
    values = {"shift": shift[:20], "scale": scale[:20], "error": error[:20], "z": found.z[:20], "z_se": found.z_se[:20]}
    more = {"notes": found.notes[:20], "controls": adaptation.n_controls(data), "report": adaptation.report()}
    check_recorded("adaptation", {**values, **more, "sentences": adaptation.notes(data)[:20]})


def test_a_cross_validation_is_as_recorded():
    data = healthy(360)

    def recipe(table):
        return train(
            table, name="fold", mode="reference", harmonise="mean_only", reference_counts=False, min_per_sex=20
        ).model

    folds = stratified_folds(data["site"], data["sex"], 3, seed=1)
    adjust = partial(harmonise_as_trained, kind="mean_only", regions=tuple(REGIONS), logarithms=False)
    held = cross_validate(recipe, data, folds, adjust)
    measures = evaluate(held, usual_groups(data))
    check_recorded(
        "cross_validation", {"folds": folds, "z": held.z[:30], "measures": measures, "summary": summarise(measures)}
    )


def test_a_comparison_of_models_is_as_recorded():
    data = healthy(80)
    found = compare.full_comparison(load_model("open-calibrated"), load_model("open-reference"), data)
    check_recorded("comparison", vars(found))


def test_exports_are_as_recorded():
    model = load_model("open-calibrated")
    centiles = export.centile_table(model, ages=[10.0, 45.5, 80.0])
    coefficients = export.coefficient_table(model)
    check_recorded("exports", {"centiles": centiles.iloc[::37], "coefficients": coefficients.iloc[::23]})


@pytest.mark.parametrize("mean_only", [True, False])
def test_combat_is_as_recorded(mean_only):
    data = healthy(300)
    covariates = np.column_stack([data["age"], data["sex"] == "male"])
    combat = Combat(mean_only=mean_only)
    out = combat.fit_transform(data[REGIONS], data["site"], covariates)
    new = combat.transform(data[REGIONS][:40], data["site"][:40], covariates[:40])
    np.testing.assert_allclose(new, out[:40], rtol=1e-9)
    check_recorded(
        f"combat_{'mean_only' if mean_only else 'full'}",
        {"out": out[:40], "gamma": combat.gamma_star_, "delta": combat.delta_star_},
    )


def test_an_imported_model_is_as_recorded(tmp_path):
    # Files that were copied on another day are the same model
    files = shutil.copytree(DATA / "brain_reference", tmp_path / "files")
    for path in (files, *files.rglob("*")):
        os.utime(path, (0, 0))
    document = model_file.to_document(import_brain_reference(files))
    check_recorded("imported", {key: value for key, value in document.items() if key not in ("sha256", "digest")})


def test_the_tables_of_an_evaluation_are_as_recorded():
    model, data = load_model("open-reference"), healthy(150)
    found = held_out(model, data)
    with_baseline = held_out(model, data[:60], data[60:])
    tables = {
        "quantiles": qq_table(found).iloc[::9],
        "curves": curve_table(model, data, found.regions[:2]).iloc[::7],
        "points": point_table(model, data, found),
        "measures": evaluate(with_baseline, {"site": data["site"][:60]}),
    }
    check_recorded("evaluation", {**tables, "bands": age_bands([0.5, 9.99, 10, 35, 79.9, 101])})


def test_posteriors_of_few_controls_are_as_recorded():
    z = np.array([[0.5, -1.0, 2.0], [1.5, 0.2, np.nan], [0.1, -0.4, 1.1], [0.9, 0.0, 0.3], [-0.7, 0.6, 1.9]])
    found = {}
    for n in range(6):
        people = Sums.by_person(z[:n], np.arange(n) // 2, (n + 1) // 2) if n else None
        if people is not None:
            result = posterior(people.summed().row(), np.array([0.4, 0.2, 0.5]), np.array([0.9, 1.0, 0.8]))
            found[str(n)] = [result.shift, result.scale, result.se]
    check_recorded("posterior", found)


def test_a_volume_that_goes_with_the_square_of_head_size_is_as_recorded():
    data = healthy(300)
    volume = 5000 + 3e-9 * data[ETIV] ** 2 - 10 * data["age"]
    noise = norm.ppf((0.5 + np.arange(300) * 0.6180339887) % 1)
    data["Left-Thalamus"] = volume + (30 + 0.4 * data["age"]) * noise
    made = train(
        data,
        name="square",
        mode="calibrated",
        harmonise="none",
        regions=("Left-Thalamus",),
        min_per_sex=20,
        reference_counts=False,
    )
    fits = made.model.region_models[0].fits
    check_recorded(
        "square",
        {
            sex: {k: v for k, v in vars(fit).items() if not hasattr(v, "__dataclass_fields__")}
            for sex, fit in fits.items()
        },
    )


def test_the_digest_is_that_of_the_characters_as_they_are():
    text = '{"a":1.5,"name":"Größe"}'
    assert digest({"name": "Größe", "a": 1.5}) == hashlib.sha256(text.encode()).hexdigest()
    with pytest.raises(ModelError, match="not finite"):
        digest({"a": float("nan")})


@pytest.mark.parametrize("column", ["source", "licence"])
def test_a_card_counts_sources_only_where_their_licence_is_known(column):
    data = healthy(200).assign(**{column: "x"})
    options = {"mode": "reference", "harmonise": "none", "reference_counts": False, "min_per_sex": 20}
    assert train(data, name="one", **options).model.card.training == ()
    both = train(data.assign(source="s", licence="l"), name="both", **options).model.card.training
    assert both == ({"source": "s", "licence": "l", "n": 200},)


def test_limits_and_defaults_are_as_recorded():
    check_recorded("constants_normative", constants("normative"))
