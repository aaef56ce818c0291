import pandas as pd
import pytest

from bids_app.clinical.analysis_file import (
    AnalysisConfig,
    control_level,
    from_mapping,
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
