import numpy as np
import pandas as pd
import pytest

from bids_app.bids.phenotypes import clinical_table
from bids_app.clinical.analyses.follow_up import follow_up
from bids_app.clinical.analyses.outcome_analyses import progression, relapses, survival_result
from bids_app.clinical.analysis_file import AnalysisConfig, propose
from bids_app.clinical.cohort import prepare
from bids_app.errors import AnalysisError

EDSS = (2.0, 3.0, 3.0)


def scans(**columns):
    table = pd.DataFrame(
        {
            "participant_id": ["sub-1"] * 3 + ["sub-2"] * 2,
            "session_id": ["ses-1", "ses-2", "ses-3", "ses-1", "ses-2"],
            "age": [30.0, 31, 32, 40, 42],
            "dx": "MS",
        }
    )
    return table.assign(**columns)


def data(table, visits=None, **options):
    roles = {role: role for role in ("edss", "relapses", "relapse_dates", "progression")} | {"diagnosis": "dx"}
    config = AnalysisConfig(roles=roles, control="HC", **options)
    return prepare(table, pd.DataFrame({"Left-Thalamus": np.zeros(len(table))}), config, visits)


def by_person(table):
    return table.set_index("participant_id")[["time", "event"]].to_numpy().tolist()


def test_progression_counts_from_the_first_scan():
    found = follow_up(data(scans(edss=[2, 3, 3, 1, 1.0]))).progression()
    assert by_person(found) == [[1.0, True], [2.0, False]]
    assert found["group"].tolist() == ["MS", "MS"]


def test_visits_without_a_scan_confirm_progression():
    table = scans(edss=[2, 2, 3, 1, 1.0])
    later = pd.DataFrame(
        {"participant_id": ["sub-1"], "session_id": ["ses-4"], "age": [33.0], "dx": ["MS"], "edss": [3.0]}
    )
    assert by_person(follow_up(data(table)).progression())[0] == [2.0, False]
    visits = pd.concat([table, later], ignore_index=True)
    assert by_person(follow_up(data(table, visits)).progression())[0] == [2.0, True]


def spread(**clock):
    """Numbers of relapses with the scans only, EDSS at more visits only."""
    rows = {
        "participant_id": ["sub-1"] * 4 + ["sub-2"] * 3,
        "session_id": None,
        "dx": "MS",
        "edss": [2, 3, 3, 3, 1, 1, 1],
    }
    times = {"age": [30.0, 31, 32, 33, 40, 41, 42]}
    return data(scans(relapses=[0, 1, 0, 0, 2]), pd.DataFrame({**rows, **(clock or times)}))


def test_scores_and_relapses_may_be_in_different_tables():
    found = follow_up(spread())
    assert by_person(found.progression()) == [[1.0, True], [2.0, False]]
    relapses = found.relapses()
    assert by_person(relapses) == [[1.0, True], [2.0, True]]
    assert relapses["n_relapses"].tolist() == [1, 2]
    assert relapses["unknown"].tolist() == [0, 0]


def test_times_written_as_text_are_put_together_too():
    found = follow_up(spread(age=["30.0", "31", "32", "33", "40", "41", "n/a"]))
    assert by_person(found.progression())[0] == [1.0, True]
    assert found.relapses()["n_relapses"].tolist() == [1, 2]


def test_visits_without_any_time_are_named():
    with pytest.raises(AnalysisError, match="put the columns into one table"):
        follow_up(spread(place=["x"] * 7))


def test_tables_whose_clocks_differ_are_not_put_together():
    with pytest.raises(
        AnalysisError, match=r"relapses can be found with the scans only .* which tell time by age and by"
    ):
        follow_up(spread(years_from_first=[0.0, 1, 2, 3, 0, 1, 2]))


def test_visits_long_before_the_first_scan_do_not_count():
    early = pd.DataFrame(
        {
            "participant_id": ["sub-1", "sub-1"],
            "session_id": [None, None],
            "age": [25.0, 29.9],
            "dx": "MS",
            "edss": [0.0, 2.0],
        }
    )
    table = scans(edss=[np.nan, 2.5, 2.5, 1, 1.0])
    found = follow_up(data(table, pd.concat([early, table], ignore_index=True))).progression()
    assert found["baseline"].tolist()[0] == 2.0
    assert found["event"].tolist() == [False, False]


def test_a_clock_of_its_own_starts_at_the_session_of_the_first_scan():
    sessions = ["ses-0", "ses-1", "ses-2", "ses-3"]
    visits = pd.DataFrame(
        {
            "participant_id": ["sub-1"] * 4,
            "session_id": sessions,
            "dx": "MS",
            "years": [0.0, 3, 4, 5],
            "edss": [0, 2, 3, 3.0],
        }
    )
    table = scans(edss=np.nan, years=np.nan)
    config = AnalysisConfig(roles={"edss": "edss", "diagnosis": "dx", "time": "years"}, control="HC")
    prepared = prepare(table, pd.DataFrame({"Left-Thalamus": np.zeros(5)}), config, visits)
    assert by_person(follow_up(prepared).progression()) == [[1.0, True]]


def test_a_column_of_progression_is_used_instead_of_the_rule():
    found = follow_up(data(scans(edss=[2, 3, 3, 1, 1.0], progression=[0, 0, 1, 0, 0]))).progression()
    assert by_person(found) == [[2.0, True], [2.0, False]]


def test_counted_relapses():
    found = follow_up(data(scans(relapses=[3, 0, 2, 0, 1]))).relapses()
    assert by_person(found) == [[2.0, True], [2.0, True]]
    assert found["n_relapses"].tolist() == [2, 1]
    assert found["followed"].tolist() == [2, 2]


def test_relapses_by_years_and_by_dates():
    years = follow_up(data(scans(relapse_dates=["0.5; 1.5, 9", None, None, None, None]))).relapses()
    assert by_person(years) == [[0.5, True], [2.0, False]]
    assert years["n_relapses"].tolist() == [2, 0]
    dates = ["2015-01-01", "2016-01-01", "2017-01-01", None, None]
    listed = ["2016-07-01", None, "2014-05-05", None, None]
    found = follow_up(data(scans(relapse_dates=listed, visit_date=dates))).relapses()
    assert found["time"].tolist()[0] == pytest.approx(547 / 365.25, abs=0.01)
    assert found["n_relapses"].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("entry", "shown", "why"),
    [
        ("soon", "soon", "neither a date"),
        ("2016", "2016|#", "neither a date"),
        ("2016-07-01", "####-##-##", "no visit of theirs"),
    ],
)
def test_a_relapse_that_cannot_be_placed_is_named(entry, shown, why):
    with pytest.raises(AnalysisError, match=f"({shown}).*sub-1.*{why}"):
        follow_up(data(scans(relapse_dates=[entry, None, None, None, None]))).relapses()


def test_one_row_per_relapse_is_read_from_the_phenotype_folder(tmp_path):
    (tmp_path / "phenotype").mkdir()
    (tmp_path / "participants.tsv").write_text("participant_id\tgroup\nsub-01\tMS\nsub-02\tHC\n", encoding="utf-8")
    for person in ("sub-01", "sub-02"):
        (tmp_path / person).mkdir()
        (tmp_path / person / f"{person}_sessions.tsv").write_text(
            "session_id\tacq_time\tage\nses-1\t2010-01-01\t40\nses-2\t2012-01-01\t42\n", encoding="utf-8"
        )
    (tmp_path / "phenotype/relapses.tsv").write_text(
        "participant_id\trelapse_date\nsub-01\t2010-07-02\nsub-01\t2011-07-02\nsub-01\t2009-05-05\n", encoding="utf-8"
    )
    visits = clinical_table(tmp_path)
    config, _ = propose(visits)
    assert config.roles["relapse_dates"] == "relapse_date"
    found = prepare(visits, pd.DataFrame({"Left-Thalamus": np.zeros(len(visits))}), config, visits)
    table = follow_up(found).relapses()
    assert table[["participant_id", "event", "n_relapses"]].to_numpy().tolist() == [["sub-01", True, 2]]
    assert table["time"].item() == pytest.approx(0.5, abs=0.01)
    assert follow_up(found).outside() == (1, 0)


def test_relapses_outside_the_follow_up_are_counted_aloud():
    listed = scans(relapse_dates=["-1; 0; 0.5; 1.5; 9", None, None, "3", None])
    rate = relapses(data(listed))[0]
    assert rate.table["n_relapses"].tolist() == [2]
    assert rate.sentences[-1] == "2 relapses up to the first scan and 2 after the last visit do not count."
    inside = relapses(data(scans(relapse_dates=["0.5", None, None, None, None])))[0].sentences
    assert not any("do not count" in sentence for sentence in inside)


def test_relapse_free_days_need_relapse_dates():
    table = scans(edss=[2, 3, 3, 1, 1.0])
    with pytest.raises(AnalysisError, match="relapse_dates"):
        follow_up(data(table, relapse_free_days=90)).progression()
    dated = table.assign(relapse_dates=["0.9", None, None, None, None])
    assert by_person(follow_up(data(dated, relapse_free_days=90)).progression())[0] == [2.0, False]


def test_results_of_progression():
    curve, people = progression(data(scans(edss=[2, 3, 3, 1, 1.0])))
    assert curve.name == "progression"
    assert curve.sentences[0].startswith("Group MS: 1 of 2 people had confirmed progression")
    assert curve.table[["years", "at_risk", "survival"]].iloc[[0, -1]].to_numpy().tolist() == [[0, 2, 1], [2, 1, 0.5]]
    assert len(people.table) == 2
    assert "6 months" in curve.methods


def test_results_of_relapses():
    rate, curve, people = relapses(data(scans(relapses=[3, 0, 2, 0, 1])))
    assert rate.table["rate"].item() == pytest.approx(3 / 4)
    assert "3 relapses in 4.0 person-years" in rate.sentences[0]
    assert curve.figure.kind == "km"
    assert people.table["n_relapses"].tolist() == [2, 1]


def test_one_visit_each_cannot_be_followed():
    table = scans(edss=1.0, relapses=0).drop_duplicates("participant_id")
    with pytest.raises(AnalysisError, match="beyond the first visit"):
        progression(data(table))
    with pytest.raises(AnalysisError, match="beyond the first visit"):
        relapses(data(table))


def test_a_curve_says_the_share_with_an_event_by_the_reading_time():
    people = pd.DataFrame({"time": [1.0, 2, 3, 4, 4], "event": [1, 1, 0, 0, 0], "group": "MS"})
    text = survival_result("relapse", "Relapse", people, "a relapse", "").sentences[0]
    assert text.startswith("Group MS: 2 of 5 people had a relapse during follow-up; by 4 years 40 % (95 % interval ")


def test_groups_that_are_not_at_risk_together_have_curves_and_no_test():
    people = pd.DataFrame({"time": [1.0, 1, 3, 4], "event": [0, 0, 1, 1], "group": ["a", "a", "b", "b"]})
    result = survival_result("relapse", "Relapse", people, "a relapse", "")
    assert "p" not in result.table
    assert any("cannot be compared" in sentence for sentence in result.sentences)


def test_nothing_seen_has_an_exact_upper_bound():
    people = pd.DataFrame({"time": [4.0] * 6, "event": 0, "group": "MS"})
    text = survival_result("relapse", "Relapse", people, "a relapse", "").sentences[0]
    assert text.endswith("by 4 years nobody of 6 followed so long (95 % interval 0 to 46 %).")


@pytest.mark.parametrize("word", ["none", "No", "-", "no relapses", ""])
def test_words_for_no_relapse_are_none(word):
    found = follow_up(data(scans(relapse_dates=["0.5", word, word, word, word]))).relapse_times()
    assert {len(times) for times in found.values()} <= {0, 1}
    assert sum(len(times) for times in found.values()) == 1
