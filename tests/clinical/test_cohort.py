import numpy as np
import pandas as pd
import pytest

from bids_app.bids.columns import KEYS
from bids_app.clinical.analyses.follow_up import follow_up
from bids_app.clinical.analysis import roles_result
from bids_app.clinical.analysis_file import AnalysisConfig, propose
from bids_app.clinical.cohort import prepare
from bids_app.clinical.cohort_findings import contradicting
from bids_app.errors import AnalysisError
from tests.clinical.simulated import simulated_cohort


@pytest.fixture(scope="module")
def cohort():
    table, z = simulated_cohort(n_patients=6, n_controls=4)
    return table, z.iloc[:, :10]


def config(**options):
    return AnalysisConfig(**{"roles": {"diagnosis": "dx", "edss": "edss"}, "control": "HC", **options})


def test_a_person_stays_in_the_group_of_the_first_scan_that_has_one(cohort):
    table, z = cohort
    dx = table["dx"].astype(object).copy()
    dx.iloc[0], dx.iloc[2] = None, "SPMS"
    data = prepare(table.assign(dx=dx), z, config())
    assert data.scans["group"].iloc[:3].tolist() == ["MS"] * 3
    assert any("dx changes between the scans of 1 person (sub-000)" in note for note in data.notes)


def test_people_without_a_diagnosis_are_counted(cohort):
    table, z = cohort
    dx = table["dx"].where(table["participant_id"] != "sub-001", None)
    notes = " ".join(prepare(table.assign(dx=dx), z, config()).notes)
    assert "1 person without dx is in no group" in notes


def test_levels_that_nobody_has_are_named(cohort):
    notes = " ".join(prepare(*cohort, config(control="Healthy")).notes)
    assert "Nobody who was scanned has dx Healthy; the levels are HC and MS" in notes
    assert "check control" in notes
    assert prepare(*cohort, config()).notes == ()


def test_decimal_commas_are_numbers_and_other_text_is_said(cohort):
    table, z = cohort
    text = table["edss"].map(lambda value: None if pd.isna(value) else f"{value:.1f}".replace(".", ","))
    text.iloc[0] = "about 3"
    data = prepare(table.assign(edss=text), z, config())
    np.testing.assert_allclose(data.scans["edss"].iloc[1:18], table["edss"].iloc[1:18], atol=0.051)
    assert np.isnan(data.scans["edss"].iloc[0])
    assert (
        "1 value of edss (role edss) is not a number and is counted as missing: 'about 3' (sub-000, ses-1)"
        in data.notes[0]
    )
    assert "is not a number" in " ".join(roles_result(data).sentences)


def test_dates_of_visits_tell_time(cohort):
    table, z = cohort
    years = table["age"] - table.groupby("participant_id")["age"].transform("min")
    dates = (pd.Timestamp("1875-03-01") + pd.to_timedelta((years * 365.25).round(), unit="D")).dt.strftime("%Y-%m-%d")
    dated = table.assign(exam_date=dates, age=table["age"].round())
    proposed = propose(dated)[0]
    assert proposed.roles["visit_date"] == "exam_date"
    data = prepare(dated, z, proposed)
    np.testing.assert_allclose(data.scans["years_from_first"], years, atol=0.002)
    assert data.clock(data.scans) == "years_from_first"
    assert follow_up(data).visits["years"].iloc[:3].tolist() == pytest.approx([0, 1.5, 3], abs=0.002)
    odd = prepare(dated.assign(exam_date=["spring", *dates[1:]]), z, proposed)
    assert "is not a date such as 2019-05-31" in odd.notes[0]
    assert np.isnan(odd.scans["years_from_first"].iloc[0])


def test_time_is_the_role_then_years_then_age(cohort):
    table, z = cohort
    timed = table.assign(years_from_first=1.0, months=2.0)
    assert prepare(table, z, config()).clock(table) == "age"
    assert prepare(timed, z, config()).clock(timed) == "years_from_first"
    assert prepare(timed, z, config(roles={"time": "months"})).clock(timed) == "months"


def test_what_counts_as_a_deviation_is_said(cohort):
    usual, other = (prepare(*cohort, config(**given)) for given in ({}, {"threshold": 1.645, "regions": "cortical"}))
    assert usual.counting_note == ()
    assert other.counting_note == ("Deviations are counted with |z| >= 1.645 over the cortical regions.",)


def test_roles_with_a_column_are_not_called_absent(cohort):
    sentence = roles_result(prepare(*cohort, config())).sentences[0]
    assert "pasat" in sentence
    assert "edss" not in sentence


def test_codes_for_missing_and_values_off_the_scale_are_not_values(cohort):
    table, z = cohort
    edss = table["edss"].copy()
    edss.iloc[0], edss.iloc[4], edss.iloc[7], edss.iloc[8] = -999, 99, 11.0, 2.3
    data = prepare(table.assign(edss=edss), z, config())
    assert data.scans["edss"].isna().iloc[[0, 4, 7, 8]].all()
    assert "4 values of edss (role edss) are not one of 0 to 10 in steps of 0.5" in data.notes[0]
    assert "-999 (sub-000, ses-1), 99 (sub-001, ses-2), 11 (sub-002, ses-2) and 1 more" in data.notes[0]


def test_levels_that_differ_in_case_or_blanks_are_one(cohort):
    table, z = cohort
    dx = table["dx"].where(table.index % 2 == 0, table["dx"].str.lower() + " ")
    data = prepare(table.assign(dx=dx), z, config(control="hc"))
    assert set(data.scans["group"]) == {"MS", "HC"}
    assert data.config.control == "HC"
    assert "'MS' and 'ms ' are one level of dx: MS." in data.notes


def test_scans_and_regions_without_z_are_said_and_not_counted_as_normal(cohort):
    table, z = cohort
    z = z.copy()
    z.iloc[0], z.iloc[:, 2] = np.nan, np.nan
    data = prepare(table, z, config())
    assert len(data.scans) == len(data.zscores) == len(table) - 1
    assert data.notes[0] == "1 scan without any z-score left out."
    assert data.notes[1].startswith("No scan has a z-score of the ")


def test_sex_and_ages_that_contradict_themselves_are_named(cohort):
    table, z = cohort
    sex, age = table["sex"].copy(), table["age"].copy()
    sex.iloc[4] = "male" if sex.iloc[3] == "female" else "female"
    age.iloc[7] -= 10
    data = prepare(table.assign(sex=sex, age=age), z, config())
    assert any("The sex of sub-001 differs" in note for note in data.notes)
    assert any("The age of sub-002 falls" in note for note in data.notes)
    assert data.scans["sex"].iloc[3] == data.scans["sex"].iloc[4] == sex.iloc[3]


def test_a_region_with_one_z_for_everybody_is_a_finding(cohort):
    table, z = cohort
    z = z.assign(**{z.columns[0]: 0.0})
    found = prepare(table, z, config()).findings
    assert [finding.kind for finding in found] == ["z-constant"]
    assert found[0].seen.endswith("(0)")


def test_controls_by_a_code_are_a_finding(cohort):
    table, z = cohort
    coded = table.assign(dx=(table["dx"] == "MS").astype(int))
    found = prepare(coded, z, config(control="0")).findings
    assert [finding.kind for finding in found] == ["group-unknown"]
    assert "The people with dx 0, a code, are taken for the controls" in found[0].seen


def test_what_changes_a_number_has_its_kind(cohort):
    table, z = cohort
    edss = table["edss"].astype(float).tolist() if "edss" in table else [2.0] * len(table)
    odd = table.assign(edss=[-999.0, *edss[1:]], sex=["male", "female", *(["male"] * (len(table) - 2))])
    odd["participant_id"] = ["sub-x", "sub-x", *table["participant_id"][2:]]
    kinds = [finding.kind for finding in prepare(odd, z, config(roles={"edss": "edss", "diagnosis": "dx"})).findings]
    assert {"values-unusable", "people-contradict"} <= set(kinds)


@pytest.mark.parametrize(
    "written",
    [
        pytest.param(lambda table: table, id="whole numbers"),
        pytest.param(lambda table: table.astype({"participant_id": float}), id="floats, as beside a missing cell"),
        pytest.param(lambda table: table.astype({"participant_id": "Int64", "session_id": "Int64"}), id="Int64"),
        pytest.param(lambda table: table.astype(dict.fromkeys(KEYS, "category")), id="categories"),
        pytest.param(lambda table: table.set_index("participant_id"), id="the index"),
        pytest.param(lambda table: table.set_index(list(KEYS)), id="both the index"),
    ],
)
def test_ids_of_any_type_are_text(cohort, written):
    table, z = cohort
    codes = {name: pd.factorize(table[name])[0] + 1 for name in KEYS}
    numbered = table.assign(**codes, relapse_dates=np.where(table["edss"] > 3, 0.5, np.nan))
    plain = numbered.astype(dict.fromkeys(KEYS, str))
    chosen = config(roles={"diagnosis": "dx", "edss": "edss", "relapse_dates": "relapse_dates"})
    expected, found = prepare(plain, z, chosen), prepare(written(numbered), z, chosen, visits=numbered)
    pd.testing.assert_frame_equal(found.scans, expected.scans, check_like=True)
    assert follow_up(found).relapse_times() == follow_up(expected).relapse_times()


def test_the_tenth_session_comes_after_the_second(cohort):
    table = pd.DataFrame({"participant_id": "a", "session_id": map(str, range(1, 12)), "age": np.arange(30.0, 41.0)})
    assert contradicting(table) == []
    assert "falls" in contradicting(table.assign(age=table["age"].to_numpy()[::-1]))[0]


def test_rows_without_an_id_are_refused(cohort):
    table, z = cohort
    table = table.assign(participant_id=table["participant_id"].where(table.index > table.index[0]))
    with pytest.raises(AnalysisError, match="1 row of the cohort has no participant_id"):
        prepare(table, z, config(roles={"diagnosis": "dx"}))


@pytest.mark.parametrize(
    ("wanted", "compared"), [((), ("CIS", "MS")), (("MS",), ("MS",)), (("MS", "CIS", "PP"), ("CIS", "MS"))]
)
def test_the_groups_of_the_configuration_are_compared_in_their_order(cohort, wanted, compared):
    table, z = cohort
    dx = table["dx"].where(table["participant_id"] != "sub-001", "CIS")
    data = prepare(table.assign(dx=dx), z, config(groups=wanted))
    assert data.groups == compared
    assert set(data.scans.loc[data.patients, "group"]) == set(compared)
    nobody = prepare(table.drop(columns="dx"), z, config(roles={}, control=None, groups=wanted))
    assert nobody.groups == ()


@pytest.mark.parametrize("column", ["participant_id", "age"])
def test_people_and_ages_must_be_told(cohort, column):
    table, z = cohort
    with pytest.raises(AnalysisError, match="the cohort needs participant_id, age and z-scores"):
        prepare(table.drop(columns=column), z, config())


def test_regions_without_a_reference_make_no_cohort(cohort):
    table, z = cohort
    with pytest.raises(AnalysisError, match="the cohort needs participant_id, age and z-scores"):
        prepare(table, z.rename(columns=lambda name: f"unknown_{name}"), config())
