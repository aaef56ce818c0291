"""``normvol-model analyse``: from a table of volumes and a table of z to group statistics and report."""

import json
import shutil
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.simulated_cohort import PUBLISHED, simulate_cohort
from bids_app.bids.group_files import group_file
from bids_app.cli import exitcodes
from bids_app.cli.model import main
from bids_app.clinical import analysis
from bids_app.clinical.analysis_file import read_analysis
from bids_app.clinical.deviations import expected_count
from bids_app.normative.parameters import SEXES
from bids_app.normative.registry import load_model
from bids_app.regions import ETIV, reference_regions
from bids_app.tables import read_json, read_table, write_json, write_tsv
from bids_app.workbench.analyse import AnalyseConfig
from bids_app.workbench.score_tables import Origin, read_origin
from bids_app.workbench.table_input import TableChoice

pytestmark = pytest.mark.slow
REGIONS = list(reference_regions())
EFFECTS = replace(PUBLISHED, n_people=30, n_scans=70, n_controls=40)
QUICK = "[roles]\ndiagnosis = 'diagnosis'\n[options]\ncontrol = 'HC'\n"
OUTCOMES = "[roles]\ndiagnosis = 'diagnosis'\nedss = 'edss'\n[options]\ncontrol = 'HC'\nbootstrap = 20\n"


@pytest.fixture(scope="module")
def cohort():
    """Table of volumes with clinical columns, and its z."""
    people, z = simulate_cohort(3, EFFECTS)
    people = people.rename(columns={"etiv_mm3": ETIV}).assign(scanner="A", fs_version="7.4.1")
    volumes = load_model("open-reference").volumes_at(people, z.to_numpy(), tuple(REGIONS))
    table = pd.concat([people, pd.DataFrame(volumes, columns=REGIONS)], axis=1)
    return table, pd.concat([people[["participant_id", "session_id"]], z[REGIONS]], axis=1)


def write_inputs(folder, cohort):
    for table, name in zip(cohort, ("people.tsv", "z.tsv")):
        write_tsv(table, folder / name)
    (folder / "analysis.toml").write_text(QUICK)
    return folder


@pytest.fixture
def folder(tmp_path, cohort):
    return write_inputs(tmp_path, cohort)


@pytest.fixture(scope="module")
def baseline(tmp_path_factory, cohort):
    """The output folder of one run on the untouched tables."""
    place = write_inputs(tmp_path_factory.mktemp("baseline"), cohort)
    assert analyse(place) == exitcodes.OK
    return place / "out"


def analyse(folder, *options, table="people.tsv", zscores="z.tsv", analysis="analysis.toml"):
    words = ["analyse", str(folder / table), "-o", str(folder / "out"), "--zscores", str(folder / zscores)]
    return main([*words, "--analysis", str(folder / analysis) if analysis != "auto" else "auto", *options])


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def changed(folder, name, change):
    """Rewrite a table; the other one stays as it is."""
    write_tsv(change(read_table(folder / name)), folder / name)


def test_two_commands_lead_from_a_table_to_statistics_and_report(folder, capsys):
    z = folder / "scores" / "z.tsv"
    assert (
        main(
            [
                "score",
                str(folder / "people.tsv"),
                "--model",
                "open-reference",
                "-o",
                str(z),
                "--adapt-controls",
                "diagnosis == 'HC'",
            ]
        )
        == exitcodes.OK
    )
    (folder / "analysis.toml").write_text(OUTCOMES)
    assert analyse(folder, zscores="scores/z.tsv") == exitcodes.OK
    out = folder / "out"
    scans, expected = read_table(out / "group_deviations.tsv"), read_table(z)
    assert scans["participant_id"].tolist() == expected["participant_id"].tolist()
    assert scans["n_infra"].tolist() == (expected[REGIONS] <= -1.96).sum(axis=1).tolist()
    assert set(scans["group"]) == {"MS", "HC"}
    assert scans["model"].unique().tolist() == [f"open-reference {load_model('open-reference').card.version}"]
    names = (
        "burden",
        "case_control",
        "region_differences",
        "scores_regions_longitudinal",
        "progression",
        "prevalence",
        "counts",
        "cohort",
        "sites",
        "zscores",
        "volumes",
        "inclusion",
        "adaptation",
    )
    assert all(group_file(out, name, ".json").is_file() for name in names)
    assert "group/group_quality.tsv" not in contents(out)
    assert len(list(out.glob("group*"))) <= 20
    page = (out / "group.html").read_text()
    assert "Rows in the table" in page
    assert "40 local healthy people" in page
    assert "opens the person's report" not in page
    assert "BIDS dataset" not in page
    assert "report: " in capsys.readouterr().err


def test_a_table_without_scores_is_scored_first_with_the_same_result(folder):
    options = ["--model", "open-reference", "--adapt-controls", "diagnosis == 'HC'"]
    assert main(["score", str(folder / "people.tsv"), "-o", str(folder / "z1.tsv"), *options]) == exitcodes.OK
    assert analyse(folder, zscores="z1.tsv") == exitcodes.OK
    two_steps = contents(folder / "out")
    assert (
        main(
            [
                "analyse",
                str(folder / "people.tsv"),
                "-o",
                str(folder / "out"),
                "--analysis",
                str(folder / "analysis.toml"),
                *options,
            ]
        )
        == exitcodes.OK
    )
    one_step = contents(folder / "out")
    assert {"zscores.tsv", "zscores.json", "zscores_notes.tsv"} == set(one_step) - set(two_steps)
    assert {name: one_step[name] for name in two_steps} == two_steps


def test_the_table_is_scored_as_it_is_read():
    read = {"mapping": {"age": "months"}, "sex_coding": {"1": "male"}, "age_units": "months"}
    step = AnalyseConfig(table=Path("t.tsv"), output=Path("out"), **read).scoring_step()
    assert {item.name: getattr(step, item.name) for item in fields(TableChoice)} == {"table": Path("t.tsv"), **read}


def test_scores_and_how_to_score_exclude_each_other(folder, capsys):
    assert analyse(folder, "--adapt-by", "scanner") == exitcodes.USAGE
    assert "--adapt-by" in capsys.readouterr().err
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("z.tsv", lambda z: z.iloc[:-1], "1 only in people.tsv (sub-HC00040 ses-1)"),
        ("people.tsv", lambda table: table.iloc[:0], "people.tsv has no rows"),
        ("z.tsv", lambda z: z.iloc[:0], "z.tsv has no rows"),
        ("people.tsv", lambda table: table.iloc[:-7], "7 only in z.tsv (sub-HC00034 ses-1, "),
        ("people.tsv", lambda table: table.rename(columns={"participant_id": "code"}), "--map participant_id=COLUMN"),
        ("z.tsv", lambda table: table.rename(columns={"participant_id": "code"}), "z.tsv has no column participant_id"),
        (
            "people.tsv",
            lambda table: table.assign(participant_id=table["participant_id"].where(table.index != 3)),
            "people.tsv has no participant_id in line 5",
        ),
        ("people.tsv", lambda table: pd.concat([table, table.iloc[[4]]]), "more than one row of sub-MS"),
        ("z.tsv", lambda z: pd.concat([z, z.iloc[[4]]]), "z.tsv has more than one row of sub-MS"),
        ("people.tsv", lambda table: table.drop(columns="age"), "people.tsv has no column of age"),
        ("people.tsv", lambda table: table.drop(columns="session_id"), "--map session_id=COLUMN"),
        ("z.tsv", lambda z: z.drop(columns=REGIONS), "no column of a reference region"),
        ("z.tsv", lambda z: z.assign(**{REGIONS[0]: "much"}), f"column {REGIONS[0]} of z.tsv"),
        ("z.tsv", lambda z: z.assign(**dict.fromkeys(REGIONS, 5000)), "holds volumes"),
        ("z.tsv", lambda z: z.assign(**dict.fromkeys(REGIONS, np.nan)), "no row of z.tsv has a z"),
    ],
)
def test_tables_that_do_not_belong_together_are_refused_in_one_sentence(folder, capsys, name, change, words):
    changed(folder, name, change)
    assert analyse(folder) == exitcodes.INPUT
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"table": "absent.tsv"}, "absent.tsv does not exist"),
        ({"zscores": "absent.tsv"}, "absent.tsv does not exist"),
        ({"analysis": "absent.toml"}, "absent.toml"),
        ({"analysis": "wrong.toml"}, "unknown role handedness"),
    ],
)
def test_what_is_absent_or_unknown_is_said_and_nothing_is_written(folder, capsys, options, words):
    (folder / "wrong.toml").write_text("[roles]\nhandedness = 'hand'\n")
    code = analyse(folder, **options)
    assert code == (exitcodes.USAGE if "analysis" in options else exitcodes.INPUT)
    assert words in capsys.readouterr().err
    assert not (folder / "out").exists()


def test_folders_of_others_are_refused(folder, capsys):
    out = folder / "out"
    out.mkdir()
    (out / "dataset_description.json").write_text("{}")
    assert analyse(folder) == exitcodes.USAGE
    assert "is a BIDS dataset" in capsys.readouterr().err
    (out / "dataset_description.json").rename(out / "notes.json")
    changed(folder, "z.tsv", lambda z: write_tsv(z, out / "group_zscores.tsv") and z)
    before = contents(out)
    assert analyse(folder, zscores="out/group_zscores.tsv") == exitcodes.USAGE
    assert contents(out) == before


def test_rows_that_could_not_be_scored_are_listed_with_their_reason(folder, capsys):
    def holes(table):
        table.loc[0, "age"] = np.nan
        table.loc[1, "sex"] = np.nan
        table.loc[2, REGIONS] = np.nan
        return table

    changed(folder, "people.tsv", holes)
    changed(folder, "z.tsv", lambda z: z.mask(z.index.isin([0, 1, 2, 3])[:, None] & z.columns.isin(REGIONS)[None, :]))
    assert analyse(folder) == exitcodes.OMISSIONS
    rows = read_table(folder / "out" / "group_inclusion.tsv")
    assert rows["status"].value_counts().to_dict() == {"scored": 106, "omitted": 4}
    assert [reason.split(" in the")[0] for reason in rows["reason"].iloc[:4]] == [
        "no readable age",
        "no readable sex",
        "no volume of a reference region",
        "z.tsv holds no z of this row",
    ]
    assert len(read_table(folder / "out" / "group_deviations.tsv")) == 106
    assert read_table(folder / "out" / "group" / "group_flow.tsv")["n_scans"].tolist() == [110, 108, 106]
    assert "left out: 1 row(s): no readable age" in capsys.readouterr().err
    assert "no readable sex" in (folder / "out" / "group.html").read_text()


def test_results_of_an_earlier_run_are_removed(folder):
    out = folder / "out"
    main(
        [
            "score",
            str(folder / "people.tsv"),
            "--model",
            "open-reference",
            "-o",
            str(folder / "z1.tsv"),
            "--adapt-controls",
            "diagnosis == 'HC'",
        ]
    )
    assert analyse(folder, zscores="z1.tsv") == exitcodes.OK
    (out / "mine.txt").write_text("kept")
    before = set(contents(out))
    assert {"group/group_adaptation.tsv", "model_open-reference.json", "figures/group_region_differences.svg"} <= before
    changed(folder, "people.tsv", lambda table: table.drop(columns=["scanner", "fs_version"]))
    (folder / "analysis.toml").write_text("")
    assert analyse(folder) == exitcodes.OK
    gone = before - set(contents(out))
    assert {
        "group/group_sites.tsv",
        "group/group_sites.json",
        "group/group_adaptation.tsv",
        "adaptation.json",
        "CITATION.md",
        "model_open-reference.json",
        "group/group_matching.tsv",
        "figures/group_region_differences.svg",
    } <= gone
    assert "mine.txt" not in gone
    assert "open-reference" not in (out / "group.html").read_text()


def test_score_says_beside_its_table_which_model_made_it_and_spares_other_files(folder, capsys):
    out = folder / "scored.tsv"
    command = ["score", str(folder / "people.tsv"), "--model", "open-reference", "-o", str(out)]
    assert main(command) == exitcodes.OK
    content = read_json(out.with_suffix(".json"))
    assert set(read_table(out).columns) == set(content) - {"GeneratedBy"}
    maker = content["GeneratedBy"][0]
    assert (maker["Name"], maker["Model"]["name"], maker["Adaptation"]) == ("normvol", "open-reference", None)
    write_json({"mine": 1}, out.with_suffix(".json"))
    assert main(command) == exitcodes.OK
    assert json.loads(out.with_suffix(".json").read_text()) == {"mine": 1}
    assert "was left alone" in capsys.readouterr().err
    assert read_origin(out) == Origin()


def test_scores_of_an_earlier_state_of_the_table_are_noticed(folder, capsys):
    words = "z1.tsv was made from other values than people.tsv holds now"
    assert main(["score", str(folder / "people.tsv"), "--model", "open-reference", "-o", str(folder / "z1.tsv")]) == 0
    changed(folder, "people.tsv", lambda table: table.assign(edss=1.0).iloc[::-1])
    assert analyse(folder, zscores="z1.tsv") == exitcodes.OK
    assert words not in capsys.readouterr().err
    changed(folder, "people.tsv", lambda table: table.assign(age=table["age"].where(table.index != 3, 71.5)))
    assert analyse(folder, zscores="z1.tsv") == exitcodes.OK
    assert words in capsys.readouterr().err


def test_rows_that_failed_quality_control_are_pointed_out(folder, capsys):
    changed(folder, "people.tsv", lambda table: table.assign(qc_flag=["holes" if i < 3 else None for i in table.index]))
    assert analyse(folder) == exitcodes.OK
    assert "qc_flag is filled in 3 of 110 rows" in capsys.readouterr().err


def test_groups_of_different_sites_are_pointed_out_in_the_report(folder):
    sites = {"MS": "north", "HC": "south"}
    changed(folder, "people.tsv", lambda table: table.assign(site=table["diagnosis"].map(sites)))
    assert analyse(folder) == exitcodes.OK
    words = "30 of 30 people and 30 of 30 controls are from sites (column site)"
    for name in ("case_control", "region_differences"):
        assert any(words in sentence for sentence in read_json(group_file(folder / "out", name, ".json"))["Sentences"])
    assert words in (folder / "out" / "group.html").read_text()


def test_a_second_run_changes_no_byte_and_rows_need_no_order(folder, baseline):
    before = contents(baseline)
    changed(folder, "z.tsv", lambda z: z.sample(frac=1, random_state=1))
    shutil.copytree(baseline, folder / "out")
    assert analyse(folder) == exitcodes.OK
    assert contents(folder / "out") == before


def test_the_report_can_be_rebuilt_from_the_tables_alone(folder, baseline, capsys):
    out = folder / "alone"
    shutil.copytree(baseline, out)
    (out / "group.html").unlink()
    shutil.rmtree(out / "figures")
    assert main(["analyse", "-o", str(out), "--reports-only"]) == exitcodes.OK
    assert contents(out) == contents(baseline)
    assert main(["analyse", "-o", str(folder / "empty"), "--reports-only"]) == exitcodes.INPUT
    assert main(["analyse", "-o", str(out)]) == exitcodes.USAGE
    assert "name the TABLE" in capsys.readouterr().err


def test_the_proposal_is_an_analysis_file(folder):
    changed(folder, "people.tsv", lambda table: table.drop(columns=["relapse_dates", "edss"]))
    assert analyse(folder, analysis="auto") == exitcodes.OK
    config = read_analysis(folder / "out" / "analysis.toml")
    assert config.roles == {"diagnosis": "diagnosis", "time": "years_from_first"}
    assert config.control == "HC"


def test_visits_without_a_scan_count_for_progression(folder, capsys):
    (folder / "analysis.toml").write_text(OUTCOMES.replace("20", "0"))
    patients = read_table(folder / "people.tsv").query("diagnosis == 'MS'").drop_duplicates("participant_id")
    later = [patients.assign(session_id=f"ses-clinic{n}", age=patients["age"] + 20 + n, edss=9.5) for n in (1, 2)]
    visits = pd.concat(later)[["participant_id", "session_id", "age", "edss"]]
    write_tsv(pd.concat([visits, visits.iloc[[0]].assign(participant_id="sub-unknown")]), folder / "visits.tsv")
    assert analyse(folder, "--visits", str(folder / "visits.tsv")) == exitcodes.OK
    found = read_table(folder / "out" / "group" / "group_progression_people.tsv")
    assert found["event"].sum() == len(patients)
    assert "1 row(s) of visits.tsv are of people who are not in TABLE" in capsys.readouterr().err


def test_an_analysis_that_dies_of_a_bug_fails_the_command_with_its_traceback(folder, monkeypatch, capsys):
    def broken(data):
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(analysis, "ANALYSES", (analysis.Analysis("broken", "Broken", (), broken),))
    monkeypatch.setattr(
        analysis.run_analysis, "__kwdefaults__", {"visits": None, "expected": None, "analyses": analysis.ANALYSES}
    )
    assert analyse(folder) == exitcodes.FAILED
    assert 'raise ZeroDivisionError("oops")' in capsys.readouterr().err
    assert (folder / "out" / "group.html").is_file()


def test_the_expected_range_is_that_of_the_models_own_healthy_people(folder):
    """The yardstick of a person's report: without adaptation, healthy people at sites that the model does not know."""
    words = ["analyse", str(folder / "people.tsv"), "-o", str(folder / "out"), "--model", "open-reference"]
    assert main([*words, "--analysis", str(folder / "analysis.toml")]) == exitcodes.OK
    table = read_table(folder / "out" / "group" / "group_counts.tsv")
    highs = [load_model("open-reference").expected_counts(82, sex, False)["n_infra"]["high"] for sex in SEXES]
    shown = table.loc[table["tail"] == "infra", "expected_high"]
    assert shown.between(min(highs), max(highs)).all()
    assert (shown != expected_count(82, "infra").high).all()


def test_a_value_off_its_scale_is_named_with_file_and_line(folder):
    changed(folder, "people.tsv", lambda table: table.assign(edss=table["edss"].where(table.index != 4, 12.5)))
    (folder / "analysis.toml").write_text(OUTCOMES)
    assert analyse(folder) == exitcodes.OK
    said = read_json(folder / "out" / "group" / "group_roles.json")["Sentences"]
    assert any("12.5" in sentence and "people.tsv, line 6" in sentence for sentence in said)
