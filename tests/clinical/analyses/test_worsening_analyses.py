import numpy as np
import pandas as pd
import pytest

from bids_app.clinical.analyses.follow_up import follow_up
from bids_app.clinical.analyses.risk_data import outcomes_of
from bids_app.clinical.analyses.worsening_analyses import (
    EDSS_PLUS,
    _by_type,
    _groups,
    _share_sentence,
    _shares,
    definition_rules,
    worsening,
    worsening_methods,
    worsening_outcomes,
)
from bids_app.clinical.analysis_file import AnalysisConfig, from_mapping, propose
from bids_app.clinical.cohort import prepare
from bids_app.clinical.stats.worsening import DEFINITIONS, WorseningRule
from bids_app.errors import AnalysisError, UsageError

ROLES = ("edss", "nhpt", "t25fw", "sdmt", "relapse_dates", "relapses")
# Every half year for five years; EDSS rises at the year that each person's name says
YEARS = np.arange(0, 5.1, 0.5)


def course(person, edss, relapses=None, **columns):
    table = {"participant_id": person, "years": YEARS, "edss": edss, "relapse_dates": relapses, **columns}
    return pd.DataFrame({**table, "dx": "MS", "age": 40 + YEARS, "session_id": [f"ses-{n}" for n in range(len(YEARS))]})


def cohort():
    step = np.where(YEARS >= 2, 3.0, 2.0)
    twice = np.select([YEARS >= 4, YEARS >= 2], [4.0, 3.0], 2.0)
    return pd.concat(
        [
            course("sub-pira", step, "0.2"),
            course("sub-raw", step, "1.9"),
            course("sub-both", twice, "1.95"),
            course("sub-stable", 2.0),
            course("sub-pegs", 2.0, nhpt=np.where(YEARS >= 3, 25.0, 20.0)),
        ],
        ignore_index=True,
    )


def data(table, roles=ROLES, **options):
    named = {role: role for role in roles if role in table} | {"diagnosis": "dx", "time": "years"}
    config = AnalysisConfig(roles=named, control="HC", **options)
    z = pd.DataFrame({"Left-Thalamus": np.linspace(-3, 1, len(table))})
    return prepare(table, z, config)


def results(table, **options):
    return {result.name: result for result in worsening(data(table, **options))}


def test_every_event_has_its_type():
    events = results(cohort())["worsening_events"].table
    assert events[["participant_id", "measure", "event_number", "event_type", "time"]].to_numpy().tolist() == [
        ["sub-both", "edss", 1, "RAW", 2.0],
        ["sub-both", "edss", 2, "PIRA", 4.0],
        ["sub-pira", "edss", 1, "PIRA", 2.0],
        ["sub-raw", "edss", 1, "RAW", 2.0],
        ["sub-pegs", "nhpt", 1, "PIRA", 3.0],
    ]


def test_the_share_is_a_sentence_with_its_interval():
    share = results(cohort())["worsening_share"]
    assert (
        "EDSS, group MS: 2 of 4 confirmed worsenings of 3 people are PIRA, 50 % (95 % interval 4 to 96 %); 2 are "
        "associated with a relapse." in share.sentences
    )
    assert share.table[share.table["measure"] == "edss"][["n_pira", "n_raw", "n_undetermined"]].to_numpy().tolist() == [
        [2, 2, 0]
    ]


def test_the_share_depends_on_the_definition():
    table = results(cohort())["worsening_definitions"].table
    assert len(table) == 1 + 6 * len(DEFINITIONS)
    assert table.iloc[0][["definition", "baseline", "weeks"]].tolist() == ["own", "roving", 24]
    assert table["share"].nunique() >= 1
    assert set(table["definition"]) == {"own", *DEFINITIONS}
    weeks = {rule.confirmation_days for *_, rule in definition_rules(WorseningRule())}
    assert weeks == {84.0, 168.0, 336.0}


def test_times_to_each_kind_are_outcomes_of_risk_groups_and_hazards():
    parts = [cohort().assign(participant_id=lambda t, n=n: t["participant_id"] + str(n)) for n in range(5)]
    followed = follow_up(data(pd.concat(parts, ignore_index=True)))
    people = pd.Series(["sub-both0", "sub-pegs0", "sub-pira0", "sub-raw0", "sub-stable0"])
    found = outcomes_of(followed, people)
    assert list(found) == ["progression", "relapse", "PIRA", "RAW", EDSS_PLUS]
    assert found["PIRA"].to_numpy().tolist() == [[4, 1], [5, 0], [2, 1], [5, 0], [5, 0]]
    assert found["RAW"]["event"].tolist() == [1, 0, 0, 1, 0]
    assert found[EDSS_PLUS].to_numpy().tolist() == [[2, 1], [3, 1], [2, 1], [2, 1], [5, 0]]


def test_what_few_people_had_is_in_no_cox_model_and_says_so():
    assert not {"PIRA", "RAW", EDSS_PLUS} & set(outcomes_of(follow_up(data(cohort())), pd.Series(["sub-both"])))
    assert "so it is in no Cox model" in results(cohort())["worsening_pira"].sentences[-1]


def test_edss_plus_is_of_the_tests_that_are_asked_for():
    table = cohort()
    table["sdmt"] = np.where(table["participant_id"].eq("sub-stable") & (table["years"] > 1), 40, 50)
    everything = worsening_outcomes(follow_up(data(table)))[EDSS_PLUS]
    assert everything["event"].all()
    config = from_mapping({"worsening": {"edss_plus": ["edss", "nhpt"]}})
    without = worsening_outcomes(follow_up(data(table, worsening=config.worsening)))[EDSS_PLUS]
    assert not without.set_index("participant_id").loc["sub-stable", "event"]


def test_without_dates_of_relapses_nothing_can_be_told():
    found = results(cohort().drop(columns="relapse_dates"))
    assert set(found["worsening_events"].table["event_type"]) == {"undetermined"}
    assert any("relapse_dates" in sentence for sentence in found["worsening_share"].sentences)
    assert "worsening_definitions" not in found
    assert found["worsening_share"].table["share"].isna().all()
    assert found["worsening_share"].sentences[0] == "EDSS: 4 confirmed worsenings in 3 of 5 people (4 undetermined)."


def test_nobody_who_worsens_is_a_result_too():
    table = cohort()
    found = results(table[table["participant_id"] == "sub-stable"].drop(columns="nhpt"))
    assert set(found) == {"worsening_share", "worsening_events"}
    assert len(found["worsening_events"].table) == 0
    assert found["worsening_share"].sentences[0] == "EDSS: 0 confirmed worsenings in 0 of 1 person."
    assert found["worsening_share"].table["n_events"].tolist() == [0]


def test_scores_given_as_z_have_no_threshold():
    table = cohort().drop(columns="edss").assign(sdmt_z=np.tile(np.linspace(0, -6, len(YEARS)), 5))
    named = {"sdmt": "sdmt_z", "diagnosis": "dx", "time": "years"}
    z = pd.DataFrame({"Left-Thalamus": np.zeros(len(table))})
    with pytest.raises(AnalysisError):
        worsening(prepare(table, z, AnalysisConfig(roles=named, control="HC")))


def test_every_window_is_an_option_of_the_file():
    options = {name: getattr(WorseningRule(), name) for name in vars(WorseningRule()) if name != "baseline_days"}
    config = from_mapping({"worsening": {**options, "definition": "kappos2020", "before_onset": 180}})
    rule = config.worsening.rule(60.0)
    assert (rule.before_onset, rule.baseline_days, rule.free_from) == (180, 60, "days")
    assert from_mapping({"worsening": {"definition": "kappos2020"}}).worsening.rule(90).free_from == "baseline"
    with pytest.raises(UsageError, match="raw_befor"):
        from_mapping({"worsening": {"raw_befor": 30}})
    with pytest.raises(UsageError, match=r"definition is one of portaccio2025"):
        from_mapping({"worsening": {"definition": "mine"}})


def test_methods_say_the_windows():
    methods = worsening_methods(follow_up(data(cohort())))
    assert "in the 90 days before or the 30 days after its onset" in methods
    assert "168 days later" in methods
    config = from_mapping({"worsening": {"definition": "absent", "sdmt_points": 8}})
    text = worsening_methods(follow_up(data(cohort(), worsening=config.worsening)))
    assert "since the baseline" in text
    assert "between onset and confirmation" in text
    assert "changed as said here" in text


def test_the_tests_are_found_by_their_names():
    table = pd.DataFrame(
        {
            "participant_id": ["a", "b"],
            "9HPT_dominant": [20.0, 21],
            "9HPT_nondominant": [22.0, 23],
            "T25FW": [5.0, 6],
            "lesion_volume_mm3": [100.0, 2000],
            "n_lesions": [3, 12],
        }
    )
    roles = propose(table)[0].roles
    assert roles == {
        "nhpt": "9HPT_dominant",
        "nhpt_other": "9HPT_nondominant",
        "t25fw": "T25FW",
        "lesion_volume": "lesion_volume_mm3",
        "lesion_count": "n_lesions",
    }


def made(*kinds, group="MS"):
    people = [f"p{number}" for number in range(len(kinds))]
    return pd.DataFrame({"participant_id": people, "event_type": kinds, "group": group, "measure": "edss"})


def test_shares_count_every_kind_and_have_none_where_no_kind_is_known():
    found = _shares(made("PIRA", "RAW", "RAW", "undetermined"))
    assert [found[f"n_{kind}"] for kind in ("pira", "raw", "undetermined", "events", "people")] == [1, 2, 1, 4, 4]
    assert found["share"] == 0.25
    assert 0 < found["low"] < 0.25 < found["high"] < 1
    unknown = _shares(made("undetermined", "undetermined"))
    assert np.isnan([unknown["share"], unknown["low"], unknown["high"]]).all()
    assert (unknown["n_events"], unknown["n_people"]) == (2, 2)


def test_groups_and_all_of_them_together():
    both = pd.concat([made("PIRA", group="B"), made("RAW", "RAW", group="A")])
    assert [(name, len(part)) for name, part in _groups(both)] == [("A", 2), ("B", 1), ("all", 3)]
    assert [(name, len(part)) for name, part in _groups(made("PIRA"))] == [("MS", 1)]
    assert [(name, len(part)) for name, part in _groups(made("PIRA").iloc[:0])] == [("all", 0)]


def test_a_share_is_said_with_its_verbs():
    row = {"measure": "sdmt", "group": "MS", "n_pira": 1, "n_raw": 1, "n_undetermined": 3, "n_events": 5}
    row |= {"n_people": 1, "share": 0.2, "low": 0.01, "high": 0.72}
    assert _share_sentence(row) == (
        "SDMT, group MS: 1 of 5 confirmed worsenings of 1 person is PIRA, 20 % (95 % interval 1 to 72 %); 1 is "
        "associated with a relapse, of 3 neither can be said."
    )
    text = _share_sentence({**row, "n_pira": 0, "n_raw": 2, "n_undetermined": 0})
    assert "0 of 5 confirmed worsenings of 1 person are PIRA" in text
    assert text.endswith("2 are associated with a relapse.")


def test_events_are_listed_by_kind():
    assert _by_type(made("PIRA", "RAW", "PIRA")) == " (2 PIRA and 1 RAW)"
    assert _by_type(made("undetermined")) == " (1 undetermined)"
    assert _by_type(made()) == ""


def test_people_without_a_score_near_the_scan_and_without_relapses_are_said():
    late = course("sub-late", 2.0)
    late.loc[late["years"] < 1, "edss"] = np.nan
    share = results(pd.concat([cohort(), late], ignore_index=True))["worsening_share"]
    said = " ".join(share.sentences)
    assert "EDSS: 4 confirmed worsenings in 3 of 5 people (2 PIRA and 2 RAW)." in said
    assert "1 person without a score near the first scan left out." in said
    assert "9-hole peg test: 1 confirmed worsening in 1 of 1 person (1 PIRA)." in said
    assert "3 people without any listed relapse count as having had none." in said


def test_definitions_come_in_two_baselines_and_three_times():
    own = WorseningRule(roving=False, confirmation_days=84.0, baseline_days=30.0)
    found = list(definition_rules(own))
    assert found[0] == ("own", "fixed", 12, own)
    assert [entry[1:3] for entry in found[1:7]] == [
        (baseline, weeks) for baseline in ("roving", "fixed") for weeks in (12, 24, 48)
    ]
    for name, baseline, weeks, rule in found[1:]:
        assert rule == WorseningRule(
            **{**DEFINITIONS[name], "baseline_days": 30.0}, roving=baseline == "roving", confirmation_days=7.0 * weeks
        )


def test_methods_say_the_rule():
    plain = worsening_methods(follow_up(data(cohort())))
    assert "at least 168 days later (less 7 days)" in plain
    assert "changed as said here" not in plain
    assert "in the 90 days before or the 30 days after its onset" in plain
    assert ", or a better score that is confirmed in the same way" in plain
    assert "20 % longer" in plain
    assert "and at every later visit" not in plain
    other = from_mapping(
        {"worsening": {"definition": "kappos2020", "roving": False, "sustained": True, "confirmation_days": 84.0}}
    ).worsening
    said = worsening_methods(follow_up(data(cohort(), worsening=other)))
    assert "changed as said here" in said
    assert "since the baseline or the 30 days after its onset" in said
    assert "or from 30 days before to 30 days after confirmation" in said
    assert "at least 84 days later" in said
    assert "and at every later visit" in said
    assert ", or a better score" not in said
