import pandas as pd
import pytest

from bids_app.clinical.analysis_file import (
    AnalysisConfig,
    _alternatives,
    control_level,
    from_mapping,
    grouping_column,
    load_analysis,
    propose,
    read_analysis,
)
from bids_app.errors import UsageError


@pytest.fixture
def cohort():
    return pd.DataFrame(
        {
            "participant_id": ["sub-1", "sub-2", "sub-3"],
            "Group": ["MS", "HC", "MS"],
            "EDSS": [2.0, None, 3.5],
            "edss_date": ["2020-01-01"] * 3,
            "PASAT-3": [50, 55, 40],
            "Disease duration (years)": [4.0, None, 9.0],
            "number_of_relapses": [0, 0, 1],
            "status": ["done", "done", "open"],
            "scanner": ["A", "B", "A"],
        }
    )


def test_a_proposal_finds_roles_by_name_and_value(cohort):
    config, text = propose(cohort)
    assert config.roles == {
        "diagnosis": "Group",
        "edss": "EDSS",
        "pasat": "PASAT-3",
        "scanner": "scanner",
        "disease_duration": "Disease duration (years)",
        "relapses": "number_of_relapses",
    }
    assert config.control == "HC"
    assert config.scores() == {"EDSS": "EDSS", "PASAT-3": "PASAT", "Disease duration (years)": "disease duration"}
    assert text.startswith("# Proposed by normvol")
    assert '# sdmt = "column"' in text


def test_a_proposal_can_be_read_back(cohort, tmp_path):
    config, text = propose(cohort)
    path = tmp_path / "analysis.toml"
    path.write_text(text, encoding="utf-8")
    assert read_analysis(path) == config
    assert load_analysis(str(path), cohort)[0] == config
    assert load_analysis("auto", cohort)[0] == config


def test_a_cohort_without_clinical_columns_gives_an_empty_proposal():
    config, text = propose(pd.DataFrame({"participant_id": ["sub-1"], "age": [40.0], "group": ["MS"]}))
    assert config == AnalysisConfig()
    assert "[options]" in text


def test_a_second_candidate_is_mentioned(cohort):
    cohort["edss_score"] = [1.0, 2.0, 3.0]
    assert "edss_score would fit too" in propose(cohort)[1]


@pytest.mark.parametrize("name", ["relapse_date", "Date of relapse", "relapses_onset", "relapse_years"])
def test_a_list_of_relapses_is_recognised(cohort, name):
    cohort[name] = ["2020-01-01; 2021-02-03", None, None]
    assert propose(cohort)[0].roles["relapse_dates"] == name


@pytest.mark.parametrize(
    ("levels", "control"),
    [
        (["MS", "Healthy Control"], "Healthy Control"),
        ([1.0, 0.0], "0"),
        (["patient", "controls"], "controls"),
        (["RRMS", "SPMS"], None),
    ],
)
def test_the_control_level_is_recognised(levels, control):
    assert control_level(pd.Series(levels)) == control


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"rolls": {}}, "unknown table rolls"),
        ({"roles": {"edds": "x"}}, "unknown role edds"),
        ({"options": {"cut": 2}}, "unknown option cut"),
        ({"roles": {"edss": 3}}, "role edss must be the name of a column"),
        ({"options": {"threshold": -1}}, "threshold must be positive"),
        ({"options": {"covariates": "age"}}, "covariates takes a list, not 'age'"),
        ({"options": {"missing": "guess"}}, "missing is one of complete, impute, average, not 'guess'"),
        ({"options": {"imputations": True}}, "imputations takes a whole number, not True"),
        ({"options": {"risk_rule": 0}}, "risk_rule is one of reference, data or must be 1 or more, not 0"),
    ],
)
def test_mistakes_are_named(content, message):
    with pytest.raises(UsageError, match=message):
        from_mapping(content)


def test_the_file_is_named_in_the_message(tmp_path):
    path = tmp_path / "a.toml"
    path.write_text("[options]\nthreshold = 0\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"a\.toml: the option threshold must be positive"):
        read_analysis(path)


def test_types_are_those_of_the_dataclass():
    config = from_mapping({"options": {"control": 0, "covariates": ["age"], "threshold": 2, "risk_rule": 5}})
    assert (config.control, config.covariates, config.threshold, config.risk_rule) == ("0", ("age",), 2.0, 5)


def test_scores_of_visits_without_a_scan_are_proposed_too():
    scans = pd.DataFrame({"participant_id": ["a"], "age": [40.0], "edss": [None]})
    visits = pd.DataFrame({"participant_id": ["a", "a"], "edss": [2.0, 3.0], "relapse_dates": ["2020-01-01", None]})
    assert load_analysis("auto", scans)[0].roles == {}
    assert load_analysis("auto", scans, visits)[0].roles == {"edss": "edss", "relapse_dates": "relapse_dates"}


@pytest.mark.parametrize(
    ("name", "values", "role"),
    [
        ("edss", ["1.0", "2,5", None], "edss"),
        ("edss", [2.0, 2.0], None),
        ("edss", [None, None], None),
        ("edss", ["x"] + ["1"] * 5 + ["2"] * 4, None),
        ("edss", ["x"] + ["1"] * 6 + ["2"] * 4, "edss"),
        ("dx", ["HC", "HC"], None),
        ("dx", ["HC", "MS"], "diagnosis"),
        ("dx", ["RRMS", "MS"], None),
        ("dx", ["HC", *(f"site{n}" for n in range(19))], "diagnosis"),
        ("dx", ["HC", *(f"site{n}" for n in range(20))], None),
        ("scanner", ["A", None], None),
        ("scanner", ["A", "B"], "scanner"),
        ("dmt", ["A", "A"], None),
        ("dmt", ["A", "B"], "treatment"),
        ("relapse_dates", [None, "2019-01-01"], "relapse_dates"),
        ("relapse_dates", [None, None], None),
        ("exam_date", ["2019-01-01", "2019-01-01"], "visit_date"),
        ("exam_date", ["1", "2"], None),
        ("treatment_start", ["2019-01-01", "2019-01-01"], "treatment_start"),
        ("treatment_start", ["0.5", "1.5"], "treatment_start"),
        ("treatment_start", ["soon", "later"], None),
    ],
)
def test_a_column_plays_a_role_by_its_values_too(name, values, role):
    found = propose(pd.DataFrame({name: pd.Series(values, dtype=object)}))[0].roles
    assert found == ({} if role is None else {role: name})


def test_columns_are_taken_in_the_order_of_the_names_that_are_known():
    table = pd.DataFrame(
        {"Group": ["HC", "MS"], "DX": ["HC", "MS"], "edss": [1.0, 2], "EDSS total": [1.0, 3], "other": [1, 2]}
    )
    config, text = propose(table)
    assert config.roles == {"diagnosis": "DX", "edss": "edss"}
    assert "# diagnosis: DX was taken; Group would fit too\n# edss: edss was taken; EDSS total would fit too\n" in text


def test_alternatives_are_split_at_the_top_only():
    assert _alternatives("a(b|c(d|e))|f|g(h)?") == ["a(b|c(d|e))", "f", "g(h)?"]
    assert _alternatives("a") == ["a"]


def test_a_column_of_levels_without_a_known_control_is_found():
    table = pd.DataFrame({"group": [1, 2], "dx": ["MS", "HC"], "arm": ["a", "a"]})
    assert grouping_column(table) == "group"
    assert grouping_column(table.drop(columns="group")) is None
    assert grouping_column(table[["arm"]]) is None


def test_columns_of_visits_count_where_the_scans_have_no_value():
    scans = pd.DataFrame({"edss": [None, None], "sdmt": [40.0, 50.0]})
    visits = pd.DataFrame({"edss": [1.0, 2.0, 3.0], "sdmt": [1.0, 2.0, 3.0], "pasat": [None] * 3})
    assert load_analysis("auto", scans, visits)[0].roles == {"edss": "edss", "sdmt": "sdmt"}
    assert load_analysis("auto", scans, visits[["sdmt"]])[0].roles == {"sdmt": "sdmt"}


def test_lesions_enter_models_by_their_logarithm():
    config = AnalysisConfig(roles={"lesion_volume": "tlv", "edss": "e", "relapses": "r"})
    assert config.scores() == {"e": "EDSS", "log1p_tlv": "log(1 + lesion volume)"}
    assert (config.model_column("lesion_volume"), config.model_column("edss")) == ("log1p_tlv", "e")
    assert config.column("edss") == "e"
    assert config.column("pasat") is None
    text = config.to_toml()
    assert '# pasat = "column"' in text
    assert '# edss = "column"' not in text
