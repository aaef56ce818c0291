"""Plain tables as people have them, one kind of trouble each: what cannot be never makes a z, and is said."""

import json
import sys

import numpy as np
import pandas as pd
import pytest

from bids_app.cli import exitcodes
from bids_app.cli.model import main
from bids_app.findings import kinds
from bids_app.normative.registry import load_model
from bids_app.regions import ETIV, reference_regions
from bids_app.tables import read_table, write_tsv

REGIONS = list(reference_regions())
LEFT, RIGHT, CORTEX = "Left-Thalamus", "Right-Thalamus", "lh_insula_volume"
N = 20


@pytest.fixture(scope="module")
def people():
    """Healthy people of the packaged reference model."""
    rng = np.random.default_rng(4)
    covariates = pd.DataFrame(
        {
            "participant_id": [f"sub-{i:02d}" for i in range(N)],
            "age": rng.uniform(20, 70, N).round(1),
            "sex": ["female", "male"] * (N // 2),
            ETIV: rng.normal(1.5e6, 8e4, N).round(1),
        }
    )
    volumes = load_model("open-reference").volumes_at(covariates, rng.normal(size=(N, len(REGIONS))), tuple(REGIONS))
    return pd.concat([covariates, pd.DataFrame(volumes, columns=REGIONS).round(1)], axis=1)


class Scored:
    """What a command said and wrote."""

    def __init__(self, folder, table, options, capsys, name="people.tsv"):
        path = folder / name
        if isinstance(table, pd.DataFrame):
            table.to_csv(path, sep="\t", index=False, na_rep="n/a")
        out, findings = folder / "z.tsv", folder / "findings.tsv"
        for file in (out, findings):
            file.unlink(missing_ok=True)
        words = ["score", str(path), "--model", "open-reference", "-o", str(out), "--findings", str(findings)]
        self.code = main([*words, *options])
        self.said = capsys.readouterr().err
        self.z = read_table(out) if out.exists() else None
        self.findings = read_table(findings) if findings.exists() else pd.DataFrame(columns=["kind", "seen"])

    @property
    def kinds(self):
        return set(self.findings["kind"])

    def seen(self, kind):
        return " | ".join(self.findings.loc[self.findings["kind"] == kind, "seen"])


@pytest.fixture
def score(tmp_path, capsys):
    def run(table, *options, **more):
        return Scored(tmp_path, table, options, capsys, **more)

    return run


@pytest.fixture
def right(people, score):
    """z of the table without any trouble."""
    return score(people).z


def set_cells(table, column, cells):
    table = table.astype({column: object})
    for row, cell in cells.items():
        table.loc[row, column] = cell
    return table


def test_a_table_without_trouble_has_no_finding(people, score):
    found = score(people)
    assert (found.code, found.kinds) == (exitcodes.OK, set())
    assert "finding" not in found.said


# Two columns of one measure


def halves(table, other, first=LEFT):
    even = table.index % 2 == 0
    return table.assign(**{other: table[first].where(even), first: table[first].where(~even)})


@pytest.mark.parametrize("other", ["Left-Thalamus-Proper", "Left.Thalamus", "left_thalamus", "LEFT-THALAMUS-PROPER"])
def test_two_names_of_a_structure_fill_each_other(people, score, right, other):
    found = score(halves(people, other))
    assert found.kinds == {"columns-joined"}
    assert other in found.seen("columns-joined")
    np.testing.assert_allclose(found.z[LEFT], right[LEFT])


@pytest.mark.parametrize(("other", "column"), [("Left-Thalamus-Proper", LEFT), ("eTIV", ETIV), ("ICV", ETIV)])
def test_two_names_that_contradict_each_other_are_refused(people, score, other, column):
    table = people.assign(**{other: people[column]})
    table.loc[3, other] *= 1.1
    found = score(table)
    assert (found.code, found.z) == (exitcodes.INPUT, None)
    assert "mean the same measure but differ in 1 row(s), the first in line 5" in found.said


def test_two_columns_that_differ_by_rounding_are_one(people, score):
    assert score(people.assign(**{"Left-Thalamus-Proper": people[LEFT].round()})).code == exitcodes.OK


def test_a_column_that_is_there_twice_is_joined_or_refused(people, tmp_path, score):
    lines = people.to_csv(sep="\t", index=False).splitlines()
    twice = [lines[0] + f"\t{LEFT}", *(line + "\t1000.0" for line in lines[1:])]
    (tmp_path / "people.tsv").write_text("\n".join(twice) + "\n")
    assert "mean the same measure" in score(None).said
    twice = [lines[0] + "\tage", *(line + "\t30" for line in lines[1:])]
    (tmp_path / "people.tsv").write_text("\n".join(twice) + "\n")
    found = score(None)
    assert found.code == exitcodes.INPUT
    assert "has column age twice" in found.said


@pytest.mark.parametrize("name", ["Left-Thalmus", "lh_insula_thickness", "Hippocampus_L", "ctx-lh-precuneus"])
def test_columns_that_look_like_regions_and_are_none_are_named(people, score, name):
    found = score(people.assign(**{name: 3.0}))
    assert found.code == exitcodes.OK
    assert name in found.seen("columns-unused")


# Age


@pytest.mark.parametrize(("factor", "unit"), [(12, "months"), (52.18, "weeks"), (365.25, "days")])
def test_ages_that_cannot_be_years_are_refused_as_a_whole_and_read_when_the_unit_is_said(
    people, score, right, factor, unit
):
    table = people.assign(age=people["age"] * factor)
    found = score(table)
    assert (found.code, found.z) == (exitcodes.INPUT, None)
    assert "hardly in years" in found.said
    assert "--age-units" in found.said
    found = score(table, "--age-units", unit)
    assert found.code == exitcodes.OK
    assert unit in found.seen("age-units")
    np.testing.assert_allclose(found.z[LEFT], right[LEFT], atol=0.01)


def test_a_third_of_ages_in_months_is_not_read_in_part(people, score):
    found = score(people.assign(age=people["age"].where(people.index % 3 > 0, people["age"] * 12)))
    assert (found.code, found.z) == (exitcodes.INPUT, None)


def test_the_columns_name_or_dictionary_says_the_unit(people, score, tmp_path, right):
    months = people.assign(age=people["age"] * 12)
    found = score(months.rename(columns={"age": "age_months"}))
    assert "months" in found.seen("age-units")
    np.testing.assert_allclose(found.z[LEFT], right[LEFT], atol=1e-6)
    (tmp_path / "people.json").write_text(json.dumps({"age": {"Units": "in months"}}))
    np.testing.assert_allclose(score(months).z[LEFT], right[LEFT], atol=1e-6)


@pytest.mark.parametrize("cell", [999, -9, "unknown", "18-25", "1968-02-03", "forty"])
def test_a_cell_that_is_no_age_leaves_its_row_out_and_is_shown(people, score, cell):
    found = score(set_cells(people, "age", {2: cell}))
    assert found.code == exitcodes.OMISSIONS
    assert str(cell) in found.seen("covariate-cell")
    assert found.z.loc[2, REGIONS].isna().all()
    assert found.z.drop(index=2)[LEFT].notna().all()


def test_a_lower_limit_is_used_and_said(people, score):
    found = score(set_cells(people, "age", {2: "89+"}))
    assert "lower limit" in found.seen("covariate-cell")
    assert found.z.loc[2, LEFT] is not None


def test_a_child_far_below_the_models_youngest_gets_no_z(people, score):
    found = score(people.assign(age=people["age"].where(people.index > 0, 1.5)))
    assert found.code == exitcodes.OMISSIONS
    assert found.z.loc[0, REGIONS].isna().all()
    assert found.findings.loc[0, ["kind", "participant_id"]].tolist() == ["age-below-model", "sub-00"]
    assert score(people.assign(age=people["age"].where(people.index > 0, 3.0))).z.loc[0, LEFT] is not None


# Sex


@pytest.mark.parametrize(("codes", "shown"), [((0, 1), "0=female 1=male"), ((1, 2), "1=female 2=male")])
def test_codes_of_sex_need_words(people, score, right, codes, shown):
    table = people.assign(sex=people["sex"].map({"female": codes[0], "male": codes[1]}))
    found = score(table)
    assert found.code == exitcodes.INPUT
    assert f"--sex-coding {shown}, or the other way round" in found.said
    found = score(table, "--sex-coding", f"{codes[0]}=female", f"{codes[1]}=male")
    np.testing.assert_allclose(found.z[LEFT], right[LEFT])


def test_words_of_sex_in_other_languages_are_read_and_single_codes_are_not_guessed(people, score):
    words = [("F", "f ", "female", "W", "1")[i // 2 % 5] if i % 2 == 0 else "m" for i in range(N)]
    found = score(people.assign(sex=words))
    assert found.code == exitcodes.OMISSIONS
    assert "sex '1' is neither female nor male" in found.seen("covariate-cell")
    assert found.z[LEFT].isna().sum() == words.count("1")


# Values that no brain has


@pytest.mark.parametrize(
    ("column", "cell", "words"),
    [
        (ETIV, 1480.2, "as if written in cm^3"),
        (ETIV, 1.48, "as if written in litres"),
        (ETIV, 0, "outside 600 to 2,600 cm^3"),
        (ETIV, 3.1e6, "outside 600 to 2,600 cm^3"),
        (ETIV, "inf", "outside 600 to 2,600 cm^3"),
        (LEFT, 0, "is 0"),
        (LEFT, -7100, "below 0"),
        (LEFT, 7.1, "less than a hundredth"),
        (LEFT, 7.1e6, "more than a hundred times"),
        (LEFT, "inf", "infinite"),
        (LEFT, "1e400", "infinite"),
        (CORTEX, 0.0, "is 0"),
    ],
)
def test_an_impossible_value_makes_no_z_and_is_shown(people, score, right, column, cell, words):
    found = score(set_cells(people, column, {4: cell}))
    assert words in found.seen("value-impossible")
    assert "line 6" in found.seen("value-impossible")
    assert found.findings["participant_id"].tolist() == ["sub-04"]
    lost = REGIONS if column == ETIV else [column]
    assert found.z.loc[4, lost].isna().all()
    assert found.code == (exitcodes.OMISSIONS if column == ETIV else exitcodes.OK)
    np.testing.assert_allclose(found.z.drop(index=4)[REGIONS], right.drop(index=4)[REGIONS])


def test_a_third_of_intracranial_volumes_in_another_unit_is_not_scored(people, score):
    third = people.index % 3 == 0
    found = score(people.assign(**{ETIV: people[ETIV].where(~third, people[ETIV] / 1000)}))
    assert found.code == exitcodes.OMISSIONS
    assert found.z[LEFT].isna().tolist() == third.tolist()
    assert f"{third.sum()} rows" in found.seen("value-impossible")


@pytest.mark.parametrize(("columns", "word"), [([ETIV], ETIV), (REGIONS, "volumes")])
def test_a_table_that_is_in_another_unit_as_a_whole_is_refused(people, score, columns, word):
    found = score(people.assign(**{name: people[name] / 1000 for name in columns}))
    assert found.code == exitcodes.INPUT
    assert word in found.said
    assert "mm^3" in found.said


def test_a_row_or_a_column_in_another_unit_is_missing(people, score):
    table = people.copy()
    table.loc[3, REGIONS] /= 1000
    found = score(table)
    assert found.code == exitcodes.OMISSIONS
    assert found.z.loc[3, REGIONS].isna().all()
    found = score(people.assign(**{CORTEX: people[CORTEX] / 1000}))
    assert found.code == exitcodes.OK
    assert found.z[CORTEX].isna().all()
    assert f"{N} rows" in found.seen("value-impossible")


def test_a_volume_that_can_be_zero_stays(people, score):
    assert score(people.assign(**{"5th-Ventricle": 0.0})).kinds == set()


# Numbers as spreadsheets write them


def in_style(values, form):
    return [form(f"{value:,.1f}") for value in values]


@pytest.mark.parametrize(
    "form",
    [
        lambda text: text,
        lambda text: text.replace(",", "_").replace(".", ",").replace("_", "."),
        lambda text: text.replace(",", " ").replace(".", ","),
        lambda text: text.replace(",", "'"),
        lambda text: text.replace(",", "\u00a0"),
    ],
)
def test_one_local_way_of_writing_numbers_is_read(people, score, right, form):
    found = score(people.assign(**{ETIV: in_style(people[ETIV], form), LEFT: in_style(people[LEFT], form)}))
    assert found.code == exitcodes.OK
    assert found.kinds <= {"numbers-in-local-style"}
    np.testing.assert_allclose(found.z[LEFT], right[LEFT], rtol=1e-6)


def test_a_thousand_that_may_be_a_decimal_is_read_by_what_is_usual(people, score):
    whole = people.assign(**{LEFT: people[LEFT].round()})
    expected = score(whole).z
    found = score(whole.assign(**{LEFT: [f"{value:,.0f}" for value in whole[LEFT]]}))
    assert "commas between thousands" in found.seen("numbers-in-local-style")
    np.testing.assert_allclose(found.z[LEFT], expected[LEFT])


def test_two_ways_of_writing_in_one_column_are_not_guessed(people, score):
    found = score(set_cells(people, ETIV, {1: "1,480,000.5", 2: "1.480.000,5"}))
    assert found.code == exitcodes.OMISSIONS
    assert "numbers-in-two-styles" in found.kinds
    assert found.z[LEFT].isna().tolist() == [row in (1, 2) for row in range(N)]


def test_a_decimal_comma_beside_a_cell_that_is_no_number(people, tmp_path, score):
    table = set_cells(people, LEFT, {3: "#DIV/0!"})
    table.to_csv(tmp_path / "people.csv", sep=";", decimal=",", index=False)
    text = (tmp_path / "people.csv").read_text()
    assert "#DIV/0!" in text
    found = score(None, name="people.csv")
    assert "#DIV/0!" in found.seen("cell-not-a-number")
    assert found.z[LEFT].isna().tolist() == [row == 3 for row in range(N)]


# Rows and identifiers


def test_rows_that_are_there_twice_are_said(people, score):
    found = score(pd.concat([people, people.head(3)]))
    assert found.code == exitcodes.OK
    assert "3 pair(s) of rows (lines 2 and 22, 3 and 23, 4 and 24)" in found.seen("rows-twice")


def test_repeated_scans_of_a_person_are_no_double(people, score):
    later = people.assign(age=people["age"] + 2, **{name: people[name] * 0.99 for name in REGIONS})
    assert score(pd.concat([people, later])).kinds == set()


def test_one_brain_under_two_names_is_said(people, score):
    copy = people.head(2).assign(participant_id=["sub-90", "sub-91"], age=[33.0, 44.0])
    found = score(pd.concat([people, copy]))
    assert found.kinds == {"brains-alike"}
    assert "lines 2 and 22, 3 and 23" in found.seen("brains-alike")


@pytest.mark.parametrize(
    "name", ["Measure:volume", "Patient ID", "Subject", "ID", "lh.aparc.volume", "Participant ID "]
)
def test_a_first_column_that_holds_identifiers_is_found(people, score, name):
    found = score(people.rename(columns={"participant_id": name}))
    assert found.code == exitcodes.OK
    assert f"participant_id is taken from column {name}" in found.said
    assert found.z["participant_id"].iloc[0] == "sub-00"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({LEFT: "Left.Thalamus"}, LEFT),
        ({LEFT: "left_thalamus"}, LEFT),
        ({CORTEX: "LH_insula_volume"}, CORTEX),
        ({ETIV: "etiv_mm3"}, LEFT),
        ({"Left-Hippocampus": "Left Hippocampus"}, "Left-Hippocampus"),
    ],
)
def test_other_spellings_of_a_region_are_read(people, score, right, names, expected):
    found = score(people.rename(columns=names))
    assert "FreeSurfer 7's name" in found.said
    np.testing.assert_allclose(found.z[expected], right[expected])


# Files


def test_a_spreadsheet_is_read(people, tmp_path, score, right):
    pytest.importorskip("openpyxl", reason="the optional reader of spreadsheets")
    people.to_excel(tmp_path / "people.xlsx", index=False)
    found = score(None, name="people.xlsx")
    assert found.code == exitcodes.OK
    np.testing.assert_allclose(found.z[LEFT], right[LEFT])


def test_a_spreadsheet_without_its_reader_names_the_cure(people, tmp_path, score, monkeypatch):
    pytest.importorskip("openpyxl", reason="the optional reader of spreadsheets")
    people.to_excel(tmp_path / "people.xlsx", index=False)
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    found = score(None, name="people.xlsx")
    assert found.code == exitcodes.INPUT
    assert "normvol[xlsx]" in found.said


def test_something_else_under_the_name_of_a_spreadsheet_is_a_sentence(tmp_path, score):
    pytest.importorskip("openpyxl", reason="the optional reader of spreadsheets")
    (tmp_path / "people.xlsx").write_text("no spreadsheet")
    found = score(None, name="people.xlsx")
    assert found.code == exitcodes.INPUT
    assert "Traceback" not in found.said


@pytest.mark.parametrize(("mark", "word"), [(" ", "spaces"), (";", "semicolons"), (",", "commas")])
def test_another_separator_is_named(people, tmp_path, score, mark, word):
    people.to_csv(tmp_path / "people.tsv", sep=mark, index=False)
    found = score(None)
    assert found.code == exitcodes.INPUT
    assert f"separated by {word}" in found.said


def test_another_encoding_names_the_cure(people, tmp_path, score):
    for encoding in ("utf-16", "latin-1"):
        people.assign(note="Größe").to_csv(tmp_path / "people.tsv", sep="\t", index=False, encoding=encoding)
        found = score(None)
        assert found.code == exitcodes.INPUT
        assert "save it as UTF-8" in found.said


@pytest.mark.parametrize("rows", ["1", "7"])
def test_findings_do_not_depend_on_the_piece(people, score, rows):
    table = set_cells(pd.concat([people, people.head(2)], ignore_index=True), LEFT, {3: 0, 9: "bad"})
    whole = score(table).findings
    pd.testing.assert_frame_equal(score(table, "--chunk-rows", rows).findings, whole)
    assert len(whole) == 3


def test_every_finding_has_an_effect_and_a_remedy(people, score):
    found = score(set_cells(people, ETIV, {0: 1480}))
    row = found.findings.iloc[0]
    assert (row["effect"], row["remedy"]) == (kinds()[row["kind"]].effect, kinds()[row["kind"]].remedy)
    assert "1 finding that can change a number" in found.said


# Training tables


@pytest.fixture(scope="module")
def healthy(people):
    rng, n = np.random.default_rng(9), 160
    ages = pd.DataFrame(
        {
            "participant_id": [f"sub-{i:03d}" for i in range(n)],
            "site": np.where(np.arange(n) % 2, "A", "B"),
            "age": rng.uniform(20, 70, n),
            "sex": rng.choice(["female", "male"], n),
            ETIV: rng.normal(1.5e6, 8e4, n),
        }
    )
    names = (LEFT, RIGHT, CORTEX)
    volumes = load_model("open-reference").volumes_at(ages, rng.normal(size=(n, len(names))), names)
    return pd.concat([ages, pd.DataFrame(volumes, columns=list(names))], axis=1)


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (lambda t: t.assign(site=np.where(t["sex"] == "female", "A", "B")), 3, "sex does not vary within any site"),
        (lambda t: t.assign(site=np.where(t["sex"] == "female", "A", "B")), 3, "--harmonise none"),
        (lambda t: t.assign(site=np.where(t["age"] < 45, "A", "B")), 0, "of the variance of age lies between sites"),
        (lambda t: t.assign(site=t["site"].where(t.index > 0, "C")), 0, "people at site C (1)"),
        (lambda t: t.assign(**{LEFT: t[LEFT].where(t["site"] == "A", 7000.0)}), 3, "is 7000 in all 80 rows of site B"),
        (lambda t: t.assign(**{LEFT: t[LEFT].where(t["site"] == "A", 0.0)}), 3, "no value that a brain can have"),
        (lambda t: t.rename(columns={"site": "Site"}), 0, "harmonisation: mean_only"),
        (lambda t: t.assign(**{LEFT: 7000.0}), 3, "is 7000 in all"),
        (lambda t: t.assign(**{ETIV: t[ETIV].where(t.index > 3, 1500.0)}), 0, "as if written in cm^3"),
    ],
)
def test_a_training_table_with_a_trap_is_refused_or_said(healthy, tmp_path, capsys, change, code, words):
    path, model = tmp_path / "t.tsv", tmp_path / "m.json"
    write_tsv(change(healthy), path)
    assert main(["train", str(path), "-o", str(model), "--mode", "reference", "--no-counts"]) == code
    assert words in capsys.readouterr().err
    assert model.exists() == (code == 0)


# One's own outputs


def test_own_outputs_can_be_scored_adapted_and_analysed_again(people, tmp_path, capsys):
    table = people.assign(scanner=["A", "B"] * (N // 2), dx=["MS", "HC"] * (N // 2), fs_version="7.4.1")
    write_tsv(table, tmp_path / "people.tsv")
    first, again = tmp_path / "first", tmp_path / "again"
    words = ["--model", "open-calibrated", "--adapt-controls", "dx == 'HC'"]
    assert main(["analyse", str(tmp_path / "people.tsv"), "-o", str(first), *words]) == exitcodes.OK
    volumes = first / "group_volumes.tsv"
    written = read_table(volumes)
    assert {"age", "sex", ETIV, "scanner", "dx", "fs_version"} <= set(written.columns)
    assert main(["analyse", str(volumes), "-o", str(again), *words]) == exitcodes.OK
    np.testing.assert_allclose(
        read_table(again / "group_zscores.tsv")[REGIONS], read_table(first / "group_zscores.tsv")[REGIONS], atol=1e-6
    )
    by = ["--adapt-controls", "dx == 'HC'", "--adapt-by", "scanner"]
    assert main(["score", str(volumes), "-o", str(tmp_path / "z.tsv"), *by]) == exitcodes.OK
    assert "adapted to scanner B" in capsys.readouterr().err
    z = ["--zscores", str(first / "group_zscores.tsv")]
    assert main(["analyse", str(volumes), "-o", str(tmp_path / "third"), *z]) == exitcodes.OK
    assert read_table(tmp_path / "third" / "group_deviations.tsv")["site"].tolist() == ["A", "B"] * (N // 2)
