"""The workbench as plain functions: a typed configuration in, files and sentences out, no command line."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import bids_app
from bids_app.errors import CovariateError, InputError, ModelError, UsageError
from bids_app.normative.registry import load_model
from bids_app.regions import ETIV, counted_regions, reference_regions
from bids_app.tables import read_table, write_json, write_tsv
from bids_app.workbench.analyse import AnalyseConfig, analyse_table
from bids_app.workbench.evaluate import EvaluateConfig, evaluate_table
from bids_app.workbench.exchange import (
    CompareConfig,
    ExportConfig,
    ImportConfig,
    compare_models,
    export_model,
    import_model,
)
from bids_app.workbench.score import ScoreConfig, score_table
from bids_app.workbench.show import card_lines, region_parameters
from bids_app.workbench.table_input import TableReader
from bids_app.workbench.train import Recipe, TrainConfig, healthy_people, train_model, training_options
from bids_app.workbench.train_change import TrainChangeConfig, train_change

REGIONS = reference_regions()


@pytest.fixture(scope="module")
def people():
    """Healthy people of the packaged reference model."""
    rng, n = np.random.default_rng(2), 24
    ages = {"participant_id": [f"{i:02d}" for i in range(n)], "age": rng.uniform(20, 70, n)}
    table = pd.DataFrame({**ages, "sex": ["female", "male"] * (n // 2), ETIV: rng.normal(1.5e6, 1e5, n)})
    volumes = load_model("open-reference").volumes_at(table, rng.normal(size=(n, len(REGIONS))), REGIONS)
    return pd.concat([table, pd.DataFrame(volumes, columns=list(REGIONS))], axis=1)


def test_scoring_says_what_it_does_and_returns_what_became_of_the_rows(tmp_path, people):
    people = people.assign(age=people["age"].where(people.index != 3))
    table, said = write_tsv(people, tmp_path / "t.tsv"), []
    config = ScoreConfig(table=table, model="open-reference", output=str(tmp_path / "z.tsv"), chunk_rows=10)
    scored = score_table(config, said.append)
    assert (scored.n_rows, scored.unscored) == (24, 1)
    assert "1 of 24 rows were not scored (all n/a)" in scored.sentences
    assert said[-1] == "24 of 24 rows scored"
    assert read_table(tmp_path / "z.tsv")["Left-Thalamus"].isna().sum() == 1


@pytest.mark.parametrize("options", [{"adapt_by": "site"}, {"adapt_controls": "nobody == 1"}])
def test_impossible_wishes_are_refused_before_a_file_appears(tmp_path, people, options):
    table, out = write_tsv(people, tmp_path / "t.tsv"), tmp_path / "z.tsv"
    with pytest.raises(UsageError):
        score_table(ScoreConfig(table=table, output=str(out), **options), print)
    assert not out.exists()


def test_a_second_model_is_scored_beside_and_disagreements_are_listed(tmp_path, people):
    people = people.assign(z="own", group=["control", "patient"] * 12)
    people.loc[0, "Left-Thalamus"] *= 0.72
    table, out = write_tsv(people, tmp_path / "t.tsv"), tmp_path / "z.tsv"
    config = ScoreConfig(table=table, output=str(out), second_model="open-blr", chunk_rows=10)
    found = score_table(config, lambda sentence: None)
    alone = ScoreConfig(table=table, output=str(tmp_path / "alone.tsv"))
    score_table(alone, lambda sentence: None)
    assert out.read_bytes() == (tmp_path / "alone.tsv").read_bytes()
    first, second = read_table(out), read_table(tmp_path / "z_second.tsv")
    assert second["participant_id"].tolist() == first["participant_id"].tolist()
    listed = read_table(tmp_path / "z_disagreements.tsv")
    flags = {name: (table[list(REGIONS)].abs() >= 1.96) for name, table in (("a", first), ("b", second))}
    assert len(listed) == int((flags["a"] != flags["b"]).to_numpy().sum())
    assert set(listed.columns) >= {"participant_id", "table_z", "region", "z", "z_second", "deviation_second"}
    assert f"disagree on {len(listed)}." in found.sentences[-1]


@pytest.mark.parametrize(("second", "why"), [("open-calibrated", "is the first"), ("open-thickness", "no region in")])
def test_a_second_model_that_says_nothing_new_is_refused(tmp_path, people, second, why):
    table = write_tsv(people, tmp_path / "t.tsv")
    with pytest.raises(ModelError, match=why):
        score_table(ScoreConfig(table=table, output=str(tmp_path / "z.tsv"), second_model=second), print)
    assert not (tmp_path / "z.tsv").exists()


def test_analysing_without_scores_scores_first(tmp_path, people):
    table = write_tsv(people.assign(dx=["MS", "HC"] * 12), tmp_path / "t.tsv")
    config = AnalyseConfig(table=table, output=tmp_path / "out", model="open-reference")
    found = analyse_table(config, lambda sentence: None)
    assert len(found.scored.scans) == 24
    assert found.report.is_file()
    assert (tmp_path / "out" / "zscores_notes.tsv").is_file()


def test_analysing_refuses_two_sources_of_scores(tmp_path, people):
    table = write_tsv(people, tmp_path / "t.tsv")
    config = AnalyseConfig(table=table, output=tmp_path / "out", zscores=table, scoring="reference-compat")
    with pytest.raises(UsageError, match="--scoring says how to score"):
        analyse_table(config, print)


@pytest.mark.parametrize(
    ("mode", "sites", "wish", "expected"),
    [
        ("calibrated", True, None, "location"),
        ("reference", True, None, "mean_only"),
        ("reference", False, None, "none"),
        ("reference", True, "full", "full"),
    ],
)
def test_the_usual_harmonisation_depends_on_mode_and_sites(people, tmp_path, mode, sites, wish, expected):
    said = []
    data = people.assign(site="A") if sites else people
    options = training_options(Recipe(table=tmp_path, mode=mode, harmonise=wish), data, said.append)
    assert options["harmonise"] == expected
    assert bool(said) == (wish is None)


def test_harmonisation_without_sites_and_unknown_words_of_a_card_are_refused(people, tmp_path):
    table = write_tsv(people, tmp_path / "t.tsv")
    with pytest.raises(UsageError, match="needs a column site"):
        training_options(Recipe(table=table, harmonise="full"), people, print)
    card = write_json({"titel": "x"}, tmp_path / "card.json")
    with pytest.raises(InputError, match="titel"):
        train_model(TrainConfig(table=table, output=tmp_path / "m.json", card=card), print)


def test_rows_with_a_quality_flag_are_left_out_of_training_and_counted(people, tmp_path):
    said = []
    table = write_tsv(people.assign(qc_flag=["motion"] + [None] * 23), tmp_path / "t.tsv")
    data, impossible = healthy_people(Recipe(table=table), said.append)
    assert len(data) == len(impossible) == 23
    assert said == ["1 rows left out: their qc_flag is filled"]


def test_pcntoolkit_regions_that_the_table_lacks_are_named(people, tmp_path):
    table = write_tsv(people, tmp_path / "t.tsv")
    config = TrainConfig(table=table, output=tmp_path / "m", engine="pcntoolkit", region=("Left-Nonsense",))
    with pytest.raises(UsageError, match="no column Left-Nonsense"):
        train_model(config, print)


def test_a_card_is_lines_and_a_region_its_parameters():
    model = load_model("open-reference")
    lines = card_lines(model.card.to_json())
    assert any(line.startswith("name") and line.endswith("open-reference") for line in lines)
    assert region_parameters(model, "Left-Thalamus-Proper")["name"] == "Left-Thalamus"
    with pytest.raises(UsageError, match="no readable parameters of a region 'x'"):
        region_parameters(model, "x")


def test_options_of_centiles_belong_to_centiles_and_braincharts_needs_its_sites(tmp_path):
    with pytest.raises(UsageError, match="--ages belong to the kind centiles"):
        export_model(ExportConfig(model="open-reference", kind="json", output=tmp_path / "m", ages=(30.0,)), print)
    with pytest.raises(UsageError, match="needs --sites"):
        import_model(ImportConfig(format="braincharts", path=tmp_path, output=tmp_path / "m"), print)


@pytest.mark.parametrize("measure", ["thickness", "area"])
def test_a_table_of_surfaces_alone_is_scored_counted_and_analysed(tmp_path, measure):
    rng, model = np.random.default_rng(3), load_model(f"open-{measure}")
    people = pd.DataFrame({"participant_id": [f"sub-{i:02}" for i in range(16)], "age": rng.uniform(20, 60, 16)})
    people = people.assign(sex=["female", "male"] * 8, group=["control", "MS"] * 8, **{ETIV: 1.5e6})
    values = model.volumes_at(people, rng.normal(0, 1, (16, len(model.regions))), model.regions)
    people = people.join(pd.DataFrame(values, columns=list(model.regions)))
    table = tmp_path / "people.tsv"
    people.drop(columns=ETIV if measure == "thickness" else []).to_csv(table, sep="\t", index=False)
    done = analyse_table(AnalyseConfig(table=table, output=tmp_path / "out", model=f"open-{measure}"), lambda _: None)
    assert (done.scored.scans["n_regions"] == 68).all()
    burden = next(result for result in done.results if result.name == "burden").table
    assert set(burden["region_set"]) == {"all"}
    expected = model.expected_counts(68, "female", adapted=False, measure=measure)["n_infra"]["mean"]
    assert abs(burden["expected"].iloc[0] - expected) < 0.5
    assert "68 Desikan-Killiany regions" in (tmp_path / "out" / "CITATION.md").read_text()


def test_a_model_of_thickness_is_trained_without_intracranial_volume(tmp_path):
    rng = np.random.default_rng(3)
    people = pd.DataFrame({"participant_id": [f"sub-{i:03d}" for i in range(80)], "site": ["a", "b"] * 40})
    people["age"], people["sex"] = rng.uniform(20, 60, 80).round(1), ["F", "F", "M", "M"] * 20
    for region in ("lh_insula_thickness", "rh_insula_thickness"):
        people[region] = (3 - 0.005 * people["age"] + rng.normal(0, 0.1, 80)).round(3)
    table = tmp_path / "healthy.tsv"
    people.to_csv(table, sep="\t", index=False)
    recipe = TrainConfig(table=table, output=tmp_path / "m.json", regions="thickness", no_counts=True)
    train_model(recipe, lambda _: None)
    model = load_model(str(tmp_path / "m.json"))
    assert not model.needs_etiv
    assert "eTIV" not in model.card.harmonisation + model.card.covariates
    scored = model.deviations(people.replace({"sex": {"F": "female", "M": "male"}}))
    assert np.isfinite(scored.z).all()
    assert abs(scored.z.std() - 1) < 0.15
    for wish in ({"etiv": "yes"}, {"regions": "all"}):
        with pytest.raises(CovariateError, match=r"no column Estimated.*only training of thickness does without"):
            train_model(replace(recipe, **wish), lambda _: None)


@pytest.mark.parametrize("column", ["absent", "empty", "given"])
@pytest.mark.parametrize("how", [{"model": "open-thickness"}, {"train": True, "regions": "thickness"}])
def test_thickness_is_evaluated_without_intracranial_volume(tmp_path, how, column):
    rng, names = np.random.default_rng(3), ("lh_insula_thickness", "rh_insula_thickness")
    people = pd.DataFrame({"age": rng.uniform(20, 60, 120).round(1), "sex": ["female", "female", "male", "male"] * 30})
    values = load_model("open-thickness").volumes_at(people, rng.normal(0, 1, (120, 2)), names)
    people = people.assign(**dict(zip(names, values.T)), site=["a", "b"] * 60)
    head = {"absent": {}, "empty": {ETIV: np.nan}, "given": {ETIV: rng.normal(1.5e6, 1e5, 120)}}[column]
    table = write_tsv(people.assign(**head), tmp_path / "healthy.tsv")
    evaluate_table(EvaluateConfig(table=table, output=tmp_path / "e", folds=2, **how), lambda _: None)
    overall = pd.read_csv(tmp_path / "e" / "evaluation.tsv", sep="\t").query("grouping == 'overall'")
    assert overall["n"].eq(120).all()
    assert overall["z_sd"].between(0.8, 1.2).all()
    curves = pd.read_csv(tmp_path / "e" / "evaluation_centiles.tsv", sep="\t")
    assert set(curves["sex"]) == {"female", "male"}
    assert curves["p50"].between(2, 4).all()


def test_only_tables_of_thickness_go_without_intracranial_volume(tmp_path):
    table = tmp_path / "people.tsv"
    for name, missing in (("lh_insula_area", True), ("lh_insula_volume", True), ("lh_insula_thickness", False)):
        table.write_text(f"participant_id\tage\tsex\t{name}\nsub-01\t40\tF\t{2.9 if not missing else 2400}\n")
        if missing:
            with pytest.raises(CovariateError, match="no column Estimated"):
                TableReader(table)
        else:
            config = ScoreConfig(table=table, output=str(tmp_path / "z.tsv"), model="open-thickness")
            assert score_table(config, lambda _: None).n_rows == 1
            with pytest.raises(ModelError, match="open-thickness is of thickness"):
                score_table(replace(config, model="open-calibrated"), lambda _: None)
            evaluation = EvaluateConfig(table=table, output=tmp_path / "e", model="open-area")
            with pytest.raises(CovariateError, match="no column Estimated"):
                evaluate_table(evaluation, lambda _: None)


@pytest.fixture
def thick(tmp_path):
    """Sixty people with thickness, and area and a volume beside it, without intracranial volume."""
    rng, model = np.random.default_rng(4), load_model("open-thickness")
    people = pd.DataFrame({"participant_id": [f"sub-{i // 2:02}" for i in range(60)], "site": ["a", "b"] * 30})
    people = people.assign(age=rng.uniform(20, 60, 60).round(2), sex=["female", "female", "male", "male"] * 15)
    names = ("lh_insula_thickness", "rh_insula_thickness")
    values = model.volumes_at(people, rng.normal(0, 1, (60, 2)), names).round(4)
    people = people.join(pd.DataFrame(values, columns=list(names)))
    return people.assign(**{"lh_insula_area": 2400.0, "Left-Thalamus": 7500.0 + people.index})


def test_a_model_of_thickness_needs_no_intracranial_volume_in_a_table_that_holds_more(tmp_path, thick):
    table, out = tmp_path / "people.tsv", tmp_path / "out"
    thick.to_csv(table, sep="\t", index=False)
    z = {}
    for model in ("open-thickness", "open-thickness+open-area"):
        config = ScoreConfig(table=table, output=str(tmp_path / "z.tsv"), model=model, adapt_controls="site == 'a'")
        if "+" in model:
            with pytest.raises(CovariateError, match=r"no column Estimated.*--map"):
                score_table(config, lambda _: None)
            thick.drop(columns="lh_insula_area").to_csv(table, sep="\t", index=False)
        score_table(config, lambda _: None)
        z[model] = read_table(tmp_path / "z.tsv")["lh_insula_thickness"]
    pd.testing.assert_series_equal(*z.values())
    adaptation = bids_app.adapt(thick[thick["site"] == "a"], "open-thickness")
    found = bids_app.score(thick, "open-thickness", adaptation=adaptation)
    np.testing.assert_allclose(found.z[:, 0], z["open-thickness"], atol=1e-6)
    compare = CompareConfig(table=table, output=out, model_a="open-thickness", model_b="open-thickness")
    compare_models(compare, lambda _: None)
    with pytest.raises(CovariateError, match="no column Estimated"):
        compare_models(replace(compare, model_b="open-calibrated"), lambda _: None)


@pytest.mark.parametrize("empty", [False, True])
def test_models_of_thickness_are_evaluated_without_intracranial_volume(tmp_path, thick, empty):
    table, said = tmp_path / "people.tsv", []
    thick = thick.assign(participant_id=[f"sub-{i:02}" for i in range(60)])
    (thick.assign(**{ETIV: np.nan}) if empty else thick).to_csv(table, sep="\t", index=False)
    config = EvaluateConfig(table=table, output=tmp_path / "evaluation", model="open-thickness")
    evaluate_table(config, said.append)
    assert "60 people, 2 regions" in said[-2]
    assert read_table(tmp_path / "evaluation" / "evaluation_centiles.tsv")["p50"].between(2, 4).all()
    recipe = replace(config, model=None, train=True, regions="thickness", folds=2, min_per_sex=10)
    evaluate_table(recipe, said.append)
    assert "60 people, 2 regions" in said[-2]
    with pytest.raises(InputError if empty else CovariateError, match="no row can be" if empty else "no column Estim"):
        evaluate_table(replace(config, model="open-area"), said.append)


def test_change_of_thickness_is_trained_without_intracranial_volume(tmp_path, thick):
    table = tmp_path / "people.tsv"
    thick.drop(columns="site").to_csv(table, sep="\t", index=False)
    config = TrainChangeConfig(table=table, output=tmp_path / "change.json", model="open-thickness")
    assert train_change(config, lambda _: None).exists()
    with pytest.raises(CovariateError, match="no column Estimated"):
        train_change(replace(config, model="open-area"), lambda _: None)


def test_thickness_and_area_together_are_each_counted_by_themselves(tmp_path):
    name, rng = "open-thickness+open-area", np.random.default_rng(3)
    model = load_model(name)
    people = pd.DataFrame({"participant_id": [f"sub-{i:02}" for i in range(12)], "age": rng.uniform(20, 60, 12)})
    people = people.assign(sex=["female", "male"] * 6, **{ETIV: 1.5e6})
    z = rng.normal(0, 1, (12, len(model.regions)))
    people = people.join(pd.DataFrame(model.volumes_at(people, z, model.regions), columns=list(model.regions)))
    table, out = write_tsv(people, tmp_path / "people.tsv"), tmp_path / "out"
    done = analyse_table(AnalyseConfig(table=table, output=out, model=name), lambda _: None)
    counts = read_table(out / "group/group_surfaces.tsv").set_index(["measure", "participant_id"])
    assert (counts["n_regions"] == 68).all()
    for measure in ("thickness", "area"):
        own = pd.DataFrame(z, people["participant_id"], list(model.regions)).filter(regex=f"_{measure}$")
        own = own[[region for region in own if region in counted_regions(measure)]]
        assert counts.loc[measure, "n_infra"].tolist() == (own <= -1.96).sum(axis=1).tolist()
        expected = model.expected_counts(68, "female", adapted=False, measure=measure)["n_infra"]["mean"]
        assert abs(counts.loc[(measure, "sub-00"), "expected_infra"] - expected) < 1e-6
    assert done.scored.scans["n_infra"].tolist() == counts.loc["thickness", "n_infra"].tolist()
    assert "cortical thickness and cortical surface area" in (out / "group.html").read_text()
    assert "areas of the white surface of 68 Desikan-Killiany regions" in (out / "CITATION.md").read_text()
    alone = people[[column for column in people if not column.endswith("_area")]]
    write_tsv(alone, table)
    analyse_table(AnalyseConfig(table=table, output=out, model=name), lambda _: None)
    assert not (out / "group/group_surfaces.tsv").exists()
