import numpy as np
import pandas as pd
import pytest

from bids_app.clinical.analyses.worsening_analyses import worsening
from bids_app.clinical.analysis_file import propose
from bids_app.clinical.cohort import prepare
from bids_app.clinical.stats.worsening import share_of, worsening_tables
from bids_app.simulation.courses import PER_BURDEN, plant_courses, plant_lesions, write_courses
from bids_app.tables import read_table

LABELS = [f"{number:03}" for number in range(80)]


@pytest.fixture(scope="module")
def courses():
    return plant_courses(LABELS, 6.0)


def found_in(courses, measure="edss"):
    times = courses.relapses.groupby("participant_id")["relapse_years"].agg(tuple).to_dict()
    return worsening_tables(courses.visits, {measure: measure}, "years_from_first", relapses=times)[0]


@pytest.mark.parametrize("measure", ["edss", "nhpt", "t25fw", "sdmt"])
def test_every_planted_event_is_found_and_nothing_else(courses, measure):
    planted = courses.truth[courses.truth["event_type"] != "relapse"]
    assert {"PIRA", "RAW", "relapse"} == set(courses.truth["event_type"])
    found = found_in(courses, measure)
    keys = ["participant_id", "event_type", "time"]
    assert sorted(found[keys].round(6).to_numpy().tolist()) == sorted(planted[keys].round(6).to_numpy().tolist())
    share = share_of(found)
    truth = (planted["event_type"] == "PIRA").mean()
    assert share.share == pytest.approx(truth)
    assert share.low < truth < share.high


def test_the_same_seed_gives_the_same_courses():
    assert plant_courses(["a"], seed=3).visits.equals(plant_courses(["a"], seed=3).visits)
    assert not plant_courses(["a"], seed=3).visits.equals(plant_courses(["a"], seed=4).visits)


def test_courses_start_where_they_are_told_to():
    first = plant_courses(["a", "b"], starts={"a": 0.0, "b": 4.5}).visits.drop_duplicates("participant_id")
    assert first["edss"].tolist() == [0.0, 4.5]


def test_pira_goes_with_the_weights():
    heavy = plant_courses(LABELS, 6.0, weights=dict.fromkeys(LABELS[:40], 4.0))
    pira = heavy.truth[heavy.truth["event_type"] == "PIRA"]["participant_id"].str.removeprefix("sub-")
    assert pira.isin(LABELS[:40]).mean() > 0.6


def test_lesions_go_with_the_burden_and_grow(courses):
    burden = dict(zip(LABELS, np.linspace(-2, 2, len(LABELS)), strict=True))
    table = plant_lesions(courses, burden)
    assert table[["participant_id", "session_id"]].equals(courses.visits[["participant_id", "session_id"]])
    first = table.drop_duplicates("participant_id")
    slope = np.polyfit(list(burden.values()), np.log(first["lesion_volume"]), 1)[0]
    assert slope == pytest.approx(PER_BURDEN, abs=0.25)
    last = table.drop_duplicates("participant_id", keep="last")
    assert (last["lesion_volume"].to_numpy() > first["lesion_volume"].to_numpy()).mean() > 0.95
    assert (table["lesion_count"] >= 1).all()


def test_the_tables_of_a_dataset(courses, tmp_path):
    lesions = plant_lesions(courses)
    truth = write_courses(tmp_path, courses, lesions)
    assert len(read_table(truth)) == len(courses.truth)
    assert read_table(tmp_path / "phenotype/relapses.tsv").columns.tolist() == ["participant_id", "relapse_years"]
    assert (tmp_path / "phenotype/lesions.json").exists()


def test_the_group_level_finds_them_by_the_names_of_the_columns(courses):
    attacks = courses.relapses.groupby("participant_id")["relapse_years"].agg(lambda x: ";".join(map(str, x)))
    scans = courses.visits.merge(plant_lesions(courses), on=["participant_id", "session_id"])
    scans = scans.assign(relapse_years=scans["participant_id"].map(attacks), age=40 + scans["years_from_first"])
    config, _ = propose(scans)
    assert {"edss", "nhpt", "t25fw", "sdmt", "relapse_dates", "lesion_volume", "lesion_count"} <= set(config.roles)
    z = pd.DataFrame({"Left-Thalamus": np.zeros(len(scans))})
    results = {result.name: result for result in worsening(prepare(scans, z, config))}
    events = results["worsening_events"].table
    planted = courses.truth[courses.truth["event_type"] != "relapse"]
    assert (events["measure"] == "edss").sum() == len(planted)
