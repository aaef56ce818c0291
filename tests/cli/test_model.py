"""``normvol-model``: subcommands end to end on small tables."""

import json
import subprocess
import sys
import warnings
from functools import lru_cache

import numpy as np
import pandas as pd
import pytest

from bids_app.cli import exitcodes
from bids_app.cli.model import SUBCOMMANDS, build_parser, main
from bids_app.normative.registry import load_model
from bids_app.regions import ETIV, reference_regions
from bids_app.tables import read_table

REGIONS = reference_regions()
SHOWN = ("Left-Thalamus", "Right-Thalamus", "Left-Hippocampus", "lh_insula_volume", "rh_insula_volume")


@lru_cache(maxsize=1)
def reference_model():
    return load_model("open-reference")


def people(n=30, seed=1, regions=REGIONS):
    """Synthetic healthy people of the packaged reference model."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "participant_id": [f"sub-{i:03d}" for i in range(n)],
            "age": rng.uniform(20, 70, n).round(1),
            "sex": rng.choice(["female", "male"], n),
            ETIV: rng.normal(1.5e6, 1e5, n).round(),
            "group": rng.choice(["control", "patient"], n),
        }
    )
    z = rng.normal(size=(n, len(regions)))
    volumes = reference_model().volumes_at(table, z, tuple(regions))
    return pd.concat([table, pd.DataFrame(volumes, columns=list(regions))], axis=1)


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "people.tsv"
    people().to_csv(path, sep="\t", index=False)
    return path


def score(path, *options, model="open-reference"):
    out = path.parent / "z.tsv"
    return main(["score", str(path), "--model", model, "-o", str(out), *options]), out


def test_every_subcommand_has_a_module_with_help_and_a_runner():
    commands = build_parser()._subparsers._group_actions[0].choices
    assert list(commands) == list(SUBCOMMANDS)
    assert {"list", "show", "train", "evaluate", "score"} <= set(SUBCOMMANDS)


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from bids_app.cli.model import build_parser; build_parser().format_help(); "
        "print([m for m in ('numpy', 'pandas', 'scipy', 'jinja2', 'nibabel') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize("command", list(SUBCOMMANDS))
def test_help_of_every_subcommand_names_its_positional_arguments_first(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: normvol-model {command}")


def test_score_writes_id_columns_and_one_z_per_region(table):
    code, out = score(table)
    assert code == exitcodes.OK
    found = read_table(out)
    assert list(found.columns) == ["participant_id", "group", *reference_model().regions]
    data = read_table(table)
    expected = reference_model().deviations(data)
    np.testing.assert_allclose(found[list(expected.regions)], expected.z, rtol=1e-9)


def test_score_to_the_terminal_prints_the_table_and_nothing_else(table, capsys):
    assert main(["score", str(table), "--model", "open-reference", "-o", "-"]) == exitcodes.OK
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 31
    assert lines[0].startswith("participant_id\tgroup\t")


def test_score_writes_standard_errors_centiles_and_counts(table, tmp_path):
    files = {name: tmp_path / f"{name}.tsv" for name in ("se", "centiles", "counts")}
    code, out = score(table, *(part for name, path in files.items() for part in (f"--{name}", str(path))))
    assert code == exitcodes.OK
    z, counts = read_table(out), read_table(files["counts"])
    assert (read_table(files["se"])[list(REGIONS)] > 0).all(axis=None)
    assert read_table(files["centiles"])[list(REGIONS)].max(axis=None) <= 100
    assert counts["n_infra"].tolist() == (z[list(REGIONS)] <= -1.96).sum(axis=1).tolist()
    assert (counts["n_regions"] == 82).all()


def test_large_tables_are_scored_in_pieces_with_the_same_result(table, capsys):
    whole = read_table(score(table, "--adapt-controls", "group == 'control'")[1])
    options = ("--adapt-controls", "group == 'control'", "--counts", str(table.parent / "counts.tsv"))
    code, out = score(table, *options, "--chunk-rows", "7")
    assert code == exitcodes.OK
    pd.testing.assert_frame_equal(read_table(out), whole)
    assert len(read_table(table.parent / "counts.tsv")) == 30
    assert "28 of 30 rows scored" in capsys.readouterr().err


def test_what_is_missing_is_na_and_said(tmp_path, capsys):
    data = people()
    data.loc[0, "age"] = np.nan
    data.loc[1, SHOWN[0]] = np.nan
    path = tmp_path / "holes.csv"
    data.drop(columns=[SHOWN[1], "group"]).to_csv(path, index=False)
    code, out = score(path)
    assert code == exitcodes.OMISSIONS
    found, said = read_table(out), capsys.readouterr().err
    assert found.loc[0, list(REGIONS)].isna().all()
    assert found[SHOWN[1]].isna().all()
    assert found.loc[1, list(REGIONS)].isna().sum() == 2
    assert "1 reference region(s) are not in TABLE and n/a: Right-Thalamus" in said
    assert "1 of 30 rows were not scored" in said
    assert "1 single volumes are missing" in said


def test_other_names_codes_and_spellings_are_read_and_said(tmp_path, table, capsys):
    data = read_table(table)
    odd = data.assign(sex=data["sex"].map({"male": 1, "female": 2}), age=data["age"].astype(str))
    odd.loc[0, "age"] = "89+"
    odd = odd.rename(
        columns={
            "age": "age_at_scan",
            "sex": "Gender",
            ETIV: "icv",
            "Left-Thalamus": "Left-Thalamus-Proper",
            "Left-Hippocampus": "Left.Hippocampus",
            "Right-Thalamus": "rthal",
        }
    )
    path = tmp_path / "odd.tsv"
    odd.to_csv(path, sep="\t", index=False)
    code, out = score(path, "--map", f"{ETIV}=icv", "Right-Thalamus=rthal", "--sex-coding", "1=male", "2=female")
    assert code == exitcodes.OK
    _, plain = score(table)
    expected = reference_model().deviations(data)
    np.testing.assert_allclose(read_table(plain)[list(expected.regions)].iloc[1:], expected.z[1:], rtol=1e-9)
    said = capsys.readouterr().err
    assert "age '89+' is a lower limit" in said
    assert "Left-Thalamus-Proper as Left-Thalamus" in said
    assert "sex is taken from column Gender" in said
    main(["score", str(path), "--model", "open-reference", "-o", str(out), "--map", f"{ETIV}=icv"])
    assert "--sex-coding" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.drop(columns=ETIV), "--map EstimatedTotalIntraCranialVol=COLUMN"),
        (lambda d: d.assign(**{ETIV: d[ETIV] / 1000}), "mm^3"),
        (lambda d: d.drop(columns="age"), "--map age=COLUMN"),
        (lambda d: d.drop(columns=list(REGIONS)), "none of the 82 regions"),
    ],
)
def test_a_table_that_cannot_be_scored_is_one_sentence_and_exit_code_3(tmp_path, capsys, change, words):
    path = tmp_path / "bad.tsv"
    change(people()).to_csv(path, sep="\t", index=False)
    code, out = score(path)
    assert code == exitcodes.INPUT
    assert not out.exists()
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said


def test_unknown_models_columns_and_queries_are_refused(table, capsys):
    assert score(table, model="no-such")[0] == exitcodes.INPUT
    assert score(table, "--map", "age=Alter")[0] == exitcodes.INPUT
    assert score(table, "--adapt-controls", "grp == 'control'")[0] == exitcodes.USAGE
    assert score(table, "--adapt-by", "site")[0] == exitcodes.USAGE
    assert "has no column Alter" in capsys.readouterr().err


def test_adaptation_removes_a_scanners_shift_and_is_written(tmp_path):
    data = people(80, 2)
    shifted = list(REGIONS[:10])
    data[shifted] *= 1.15
    path = tmp_path / "scanner.tsv"
    data.to_csv(path, sep="\t", index=False)
    raw = read_table(score(path)[1])
    code, out = score(path, "--adapt-controls", "group == 'control'", "--adaptation", str(tmp_path / "adaptation.json"))
    assert code == exitcodes.OK
    patients = data["group"] == "patient"
    adapted = read_table(out)
    assert adapted.loc[patients, shifted].mean().abs().mean() < 0.5 * raw.loc[patients, shifted].mean().abs().mean()
    assert json.loads((tmp_path / "adaptation.json").read_text())["format"] == "normvol-adaptation"
    assert set(read_table(tmp_path / "adaptation_regions.tsv")["region"]) == set(reference_model().regions)


def test_train_show_and_score_with_the_trained_model(tmp_path, capsys):
    path = tmp_path / "healthy.parquet"
    healthy = people(300, 3, SHOWN)
    healthy.loc[3, "age"] = np.nan
    healthy.assign(qc_flag=[None] * 299 + ["motion"]).to_parquet(path)
    model = tmp_path / "mine.json"
    code = main(
        [
            "train",
            str(path),
            "-o",
            str(model),
            "--mode",
            "reference",
            "--no-counts",
            "--dropped",
            str(tmp_path / "dropped.tsv"),
        ]
    )
    said = capsys.readouterr().err
    assert code == exitcodes.OK
    assert "1 rows left out: their qc_flag is filled" in said
    assert "1 left out: age is missing" in said
    assert len(read_table(tmp_path / "dropped.tsv")) == 1
    assert main(["show", str(model)]) == exitcodes.OK
    assert "mine" in capsys.readouterr().out
    assert main(["show", str(model), "--region", "Left-Thalamus-Proper"]) == exitcodes.OK
    assert json.loads(capsys.readouterr().out)["name"] == "Left-Thalamus"
    assert main(["show", str(model), "--region", "nonsense"]) == exitcodes.USAGE
    code, out = score(path, model=str(model))
    z = read_table(out)[list(SHOWN)]
    assert z.std().between(0.9, 1.1).all()


def test_words_for_the_card_are_kept_and_unknown_fields_refused(tmp_path, capsys):
    path, model, card = tmp_path / "healthy.tsv", tmp_path / "m.json", tmp_path / "card.json"
    people(200, 5, SHOWN).to_csv(path, sep="\t", index=False)
    command = ["train", str(path), "-o", str(model), "--mode", "reference", "--no-counts", "--card", str(card)]
    card.write_text('{"title": "Ours", "limitations": ["few people"]}')
    assert main(command) == exitcodes.OK
    assert load_model(model).card.title == "Ours"
    assert load_model(model).card.limitations == ("few people",)
    card.write_text('{"no_such_field": "Ours"}')
    assert main(command) == exitcodes.INPUT
    assert "no_such_field" in capsys.readouterr().err


def test_too_few_people_of_a_sex_are_refused(tmp_path, capsys):
    path = tmp_path / "few.tsv"
    people(20).to_csv(path, sep="\t", index=False)
    assert main(["train", str(path), "-o", str(tmp_path / "m.json"), "--no-counts"]) == exitcodes.INPUT
    assert "at least 30 of each sex" in capsys.readouterr().err


@pytest.mark.parametrize("by_site", [False, True])
def test_evaluate_cross_validates_a_recipe(tmp_path, capsys, by_site):
    path = tmp_path / "healthy.tsv"
    healthy = people(400, 4, SHOWN).assign(site=np.repeat(["a", "b", "c", "d"], 100))
    healthy.to_csv(path, sep="\t", index=False)
    options = ["--by-site"] if by_site else ["--folds", "4"]
    code = main(["evaluate", str(path), "--train", "--mode", "reference", "-o", str(tmp_path / "out"), *options])
    assert code == exitcodes.OK
    measures = read_table(tmp_path / "out" / "evaluation.tsv")
    overall = measures[measures["grouping"] == "overall"].set_index("region")
    assert overall["n"].eq(400).all()
    assert overall["z_sd"].between(0.9, 1.1).all()
    assert "fold 4 of 4 done" in capsys.readouterr().err
    html = (tmp_path / "out" / "evaluation.html").read_text()
    assert "Left thalamus" in html


def test_evaluate_scores_a_table_with_a_model(tmp_path, table):
    code = main(["evaluate", str(table), "--model", "open-reference", "-o", str(tmp_path / "out")])
    assert code == exitcodes.OK
    assert "http://" not in (tmp_path / "out" / "evaluation.html").read_text().replace("http://www.w3.org", "")


def test_evaluate_says_who_is_left_out_and_refuses_a_table_of_nobody(tmp_path, table, capsys):
    healthy = read_table(table)
    healthy.loc[:2, "age"] = np.nan
    healthy["Left-Thalamus"] = np.nan
    healthy.to_csv(table, sep="\t", index=False)
    options = ["--model", "open-reference", "-o", str(tmp_path / "out")]
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        assert main(["evaluate", str(table), *options]) == exitcodes.OK
    assert f"3 of {len(healthy)} rows left out" in capsys.readouterr().err
    healthy.assign(age=np.nan).to_csv(table, sep="\t", index=False)
    assert main(["evaluate", str(table), *options]) == exitcodes.INPUT
    assert "no row can be scored" in capsys.readouterr().err


def test_list_names_the_packaged_models(capsys):
    assert main(["list"]) == exitcodes.OK
    assert "open-reference" in capsys.readouterr().out
