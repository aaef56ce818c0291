"""Rows of a table and their z-scores: brought together by identifiers, nothing dropped in silence."""

import numpy as np
import pandas as pd
import pytest

from bids_app.bids.group_files import group_files
from bids_app.clinical.scored_scans import write_group_tables
from bids_app.clinical.values import from_lines, unusable
from bids_app.errors import InputError
from bids_app.regions import ETIV
from bids_app.tables import read_table, write_tsv
from bids_app.workbench.score_tables import read_zscores
from bids_app.workbench.table_cohort import make_cohort, match_rows
from bids_app.workbench.table_input import read_model_table

REGION, OTHER = "Left-Thalamus", "Left-Lateral-Ventricle"


def people(**columns):
    """Three people, the first with two scans."""
    return pd.DataFrame(
        {
            "participant_id": ["007", "007", "010", "011"],
            "session_id": ["1", "2", "1", "1"],
            "age": [30.0, 31.5, 40.0, 50.0],
            "sex": ["F", "F", "M", "F"],
            ETIV: 1.5e6,
            "dx": [1, 1, 0, 0],
            REGION: [7000.0, 6900.0, 7100.0, 6500.0],
            OTHER: 5000.0,
        }
        | columns
    )


def scores(table):
    """z that tell rows apart."""
    ids = [name for name in ("participant_id", "session_id") if name in table]
    return table[ids].assign(**{REGION: np.arange(len(table)) - 2.5, OTHER: 0.5})


def matched(folder, table, z, mapping=None, visits=None):
    write_tsv(table, folder / "t.tsv")
    write_tsv(z, folder / "z.tsv")
    if visits is not None:
        write_tsv(visits, folder / "v.tsv")
    read, _ = read_zscores(folder / "z.tsv", mapping)
    return match_rows(
        read_model_table(folder / "t.tsv", mapping),
        read,
        source="t.tsv",
        z_source="z.tsv",
        visits=None if visits is None else folder / "v.tsv",
        mapping=mapping,
    )


def test_z_follow_their_identifiers_and_identifiers_stay_text(tmp_path):
    rows = matched(tmp_path, people(), scores(people()).iloc[::-1])
    assert rows.zscores[REGION].tolist() == [-2.5, -1.5, -0.5, 0.5]
    assert rows.clinical["participant_id"].tolist() == ["007", "007", "010", "011"]
    assert rows.clinical["session_id"].tolist() == ["1", "2", "1", "1"]
    assert rows.clinical["etiv_mm3"].eq(1.5e6).all()


def test_scores_of_a_table_without_sessions_fit_one_scan_per_person(tmp_path):
    single = people().iloc[1:]
    rows = matched(tmp_path, single, scores(single).drop(columns="session_id").iloc[::-1])
    assert rows.zscores[REGION].tolist() == [-2.5, -1.5, -0.5]
    with pytest.raises(InputError, match="more than one row of 007; tell scans"):
        matched(tmp_path, people(), scores(people()).drop(columns="session_id"))


@pytest.mark.parametrize("scored_with_map", [True, False])
def test_mapped_names_are_found_in_either_table(tmp_path, scored_with_map):
    mapping = {"participant_id": "ID", "session_id": "visit", "age": "Alter"}
    table = people().rename(columns=mapping)
    z = scores(people()) if scored_with_map else scores(people()).rename(columns=mapping)
    assert matched(tmp_path, table, z, mapping).clinical["participant_id"].tolist() == ["007", "007", "010", "011"]


def test_unscored_rows_stay_in_the_inclusion_and_among_the_visits(tmp_path):
    z = scores(people())
    z.loc[[1, 2, 3], REGION] = np.nan
    table = people(age=[30.0, np.nan, 40.0, 50.0], sex=["F", "x", "M", "F"])
    table.loc[2, REGION] = np.nan
    rows = matched(tmp_path, table, z)
    cohort = make_cohort(rows, "m 1", None, "z.tsv")
    assert cohort.scans["participant_id"].tolist() == ["007"]
    assert cohort.inclusion["status"].tolist() == ["scored", "omitted", "omitted", "omitted"]
    assert cohort.inclusion["stage"].tolist() == ["done", "covariates", "volumes", "score"]
    assert "age and sex" in cohort.inclusion.loc[1, "reason"]
    assert len(rows.visits) == 4


def test_a_cohort_splits_by_the_diagnosis_or_a_column_with_a_usual_name(tmp_path):
    rows = matched(tmp_path, people(kind=["a", "a", "b", "b"], Scanner=[1.0, 1.0, 2.0, 2.0]), scores(people()))
    cohort = make_cohort(rows, None, "kind", "z.tsv")
    assert cohort.scans["group"].tolist() == ["a", "a", "b", "b"]
    assert cohort.scans["site"].tolist() == ["1", "1", "2", "2"]
    assert make_cohort(rows, None, None, "z.tsv").scans["group"].tolist() == ["1", "1", "0", "0"]
    assert cohort.scans["n_infra"].tolist() == [1, 0, 0, 0]
    assert cohort.baseline().tolist() == [True, False, True, True]


def test_tables_without_content_are_not_written_and_earlier_ones_go(tmp_path):
    out = tmp_path / "out"
    cohort = make_cohort(matched(tmp_path, people(site="A"), scores(people())), None, None, "z.tsv")
    assert {"group_sites.tsv", "group_extended.tsv"} <= {path.name for path in write_group_tables(cohort, out)}
    assert read_table(out / "group" / "group_extended.tsv")[OTHER].eq(0.5).all()
    cohort = make_cohort(matched(tmp_path, people(), scores(people()).drop(columns=OTHER)), None, None, "z.tsv")
    write_group_tables(cohort, out)
    found = {path.name for path in group_files(out)}
    assert {"group_zscores.tsv", "group_zscores.json", "group_volumes.tsv"} <= found
    assert not {"group_sites.tsv", "group_sites.json", "group_extended.tsv", "group_quality.tsv"} & found


@pytest.mark.parametrize("by", ["session_id", "age"])
def test_a_visit_with_a_scan_completes_its_row_and_the_others_follow(tmp_path, by):
    visits = pd.DataFrame(
        {
            "participant_id": ["007", "011", "007", "099"],
            "session_id": ["2", "1", "9", "1"],
            "age": [31.5001, 50.0, 35.0, 20.0],
            "edss": [2.0, 3.0, 4.0, 5.0],
            "dx": [8, 8, 1, 8],
        }
    )
    rows = matched(
        tmp_path, people(), scores(people()), visits=visits if by == "session_id" else visits.drop(columns="session_id")
    )
    assert rows.clinical["edss"].tolist()[1::2] == [2.0, 3.0]
    assert rows.clinical["edss"].isna().tolist()[::2] == [True, True]
    assert rows.clinical["dx"].tolist() == [1, 1, 0, 0]
    assert rows.visits.iloc[4:][["participant_id", "age", "edss"]].to_numpy().tolist() == [["007", 35.0, 4.0]]
    assert rows.notes == ("1 row(s) of v.tsv are of people who are not in TABLE and were not used",)


def test_dates_give_the_years_since_the_first_visit(tmp_path):
    table = people(visit_date=["2020-01-01", "2021-01-01", "2020-01-01", None])
    rows = matched(tmp_path, table, scores(people()))
    assert rows.clinical["years_from_first"].round(2).tolist() == [0, 1, 0, 0]
    without_sessions = pd.DataFrame({"participant_id": ["010"], "age": [39.0], "visit_date": ["2019-01-01"]})
    rows = matched(
        tmp_path, table.iloc[1:].drop(columns="session_id"), scores(people()).iloc[1:], visits=without_sessions
    )
    assert "years_from_first" not in rows.clinical


def test_an_impossible_value_is_named_with_its_file_and_line():
    table = pd.DataFrame({"participant_id": ["sub-1", "sub-2", "sub-3"], "edss": [1.0, 12.0, 99.0]})
    table.attrs = from_lines("people.tsv", [2, 5, 9])
    (said,) = unusable(table, table["edss"], table["edss"] > 10, "edss", "not one of 0 to 10")
    assert "12 (sub-2; people.tsv, line 5)" in said
    assert "99 (sub-3; people.tsv, line 9)" in said
