import numpy as np
import pandas as pd
import pytest
from scipy.stats import poisson

from bids_app.clinical.stats.progression import (
    ProgressionRule,
    by_person,
    calm_visits,
    confirmed_progression,
    counted_relapses,
    first_after,
    first_marked,
    nearest_calm,
    ordered_visits,
    poisson_rate,
    progression_table,
    required_rise,
)
from bids_app.errors import AnalysisError

SIX = ProgressionRule(confirmation=0.5)
YEAR = ProgressionRule(confirmation=1.0)
ROVING = ProgressionRule(confirmation=0.5, roving=True)
TOLERANT = ProgressionRule(confirmation=0.5, tolerance=30 / 365.25)
WIDE_BASELINE = ProgressionRule(confirmation=0.5, window=0.5)
QUIET = ProgressionRule(confirmation=0.5, relapse_free=0.25)

# (what, times, scores, rule, relapses, time of event or censoring, event)
CASES = [
    ("baseline 0 needs 1.5", (0, 1, 2), (0, 1.0, 1.0), SIX, (), 2, False),
    ("baseline 0 with 1.5", (0, 1, 2), (0, 1.5, 1.5), SIX, (), 1, True),
    ("baseline 1 needs 1.0", (0, 1, 2), (1, 1.5, 1.5), SIX, (), 2, False),
    ("baseline 1 with 1.0", (0, 1, 2), (1, 2.0, 2.0), SIX, (), 1, True),
    ("baseline 5.5 needs 1.0", (0, 1, 2), (5.5, 6.0, 6.0), SIX, (), 2, False),
    ("baseline 5.5 with 1.0", (0, 1, 2), (5.5, 6.5, 6.5), SIX, (), 1, True),
    ("baseline 6 needs 0.5", (0, 1, 2), (6.0, 6.5, 6.5), SIX, (), 1, True),
    ("higher than needed", (0, 1, 2), (2, 5, 4), SIX, (), 1, True),
    ("confirmed lower than first seen, but above the limit", (0, 1, 2), (2, 4, 3), SIX, (), 1, True),
    ("not confirmed", (0, 1, 2), (2, 3, 2.5), SIX, (), 2, False),
    ("rise at the last visit", (0, 1, 2), (2, 2, 3), SIX, (), 2, False),
    ("confirmed exactly at the window", (0, 1, 1.5), (2, 3, 3), SIX, (), 1, True),
    ("confirmed too soon", (0, 1, 1.4), (2, 3, 3), SIX, (), 1.4, False),
    ("a visit inside the window also counts", (0, 1, 1.25, 1.5), (2, 3, 3, 3), SIX, (), 1, True),
    ("interrupted inside the window", (0, 1, 1.25, 1.5), (2, 3, 2, 3), SIX, (), 1.5, False),
    ("second rise confirmed after the first was not", (0, 1, 2, 3, 4), (2, 3, 2, 3, 3), SIX, (), 3, True),
    ("longer window", (0, 1, 1.5, 1.9), (2, 3, 3, 3), YEAR, (), 1.9, False),
    ("longer window met", (0, 1, 1.5, 2), (2, 3, 3, 3), YEAR, (), 1, True),
    ("stepwise half points", (0, 1, 2, 3), (2, 2.5, 3, 3), SIX, (), 2, True),
    ("improvement only", (0, 1, 2), (4, 3, 2), SIX, (), 2, False),
    ("fixed baseline ignores a recovery", (0, 1, 2, 3, 4), (4, 2, 2, 3, 3), SIX, (), 4, False),
    ("roving baseline follows a confirmed recovery", (0, 1, 2, 3, 4), (4, 2, 2, 3, 3), ROVING, (), 3, True),
    ("roving baseline ignores a single low score", (0, 1, 2, 3, 4), (4, 2, 4, 4.5, 4.5), ROVING, (), 4, False),
    ("roving baseline is the highest of the recovery", (0, 1, 2, 3, 4), (4, 2, 3, 3.5, 3.5), ROVING, (), 4, False),
    ("roving agrees with fixed without recovery", (0, 1, 2), (2, 3, 3), ROVING, (), 1, True),
    ("a rise soon after a relapse does not start", (0, 1, 2, 3), (2, 3, 3, 3), QUIET, (0.9,), 2, True),
    ("a score soon after a relapse does not confirm", (0, 1, 2), (2, 3, 3), QUIET, (1.9,), 2, False),
    ("a relapse long before does no harm", (0, 1, 2), (2, 3, 3), QUIET, (0.5,), 1, True),
    ("without a relapse-free window relapses are ignored", (0, 1, 2), (2, 3, 3), SIX, (0.95, 1.95), 1, True),
    ("visits in any order", (2, 0, 1), (3, 2, 3), SIX, (), 1, True),
    ("a missing score is no visit", (0, 1, 2, 3), (2, 3, np.nan, 3), SIX, (), 1, True),
    ("times count from the first visit with a score", (5, 6, 7), (2, 3, 3), SIX, (), 1, True),
    ("one visit", (0,), (3,), SIX, (), 0, False),
    ("a regression after confirmation does not undo it", (0, 1, 2, 3), (2, 3, 3, 2), SIX, (), 1, True),
    ("180 days confirm six months with a tolerance", (0, 1, 1 + 180 / 365.25), (2, 3, 3), TOLERANT, (), 1, True),
    ("152 days do so too, 151 do not", (0, 1, 1 + 151 / 365.25), (2, 3, 3), TOLERANT, (), 1 + 151 / 365.25, False),
    ("two visits at one time are one", (0, 1, 1, 2), (2, 3, 2.5, 3), SIX, (), 2, False),
]

# The same with the scan at time 0: (what, times, scores, rule, relapses, time, event, baseline)
AT_SCAN = [
    ("the nearest score is the baseline, not the first", (-0.2, 0.1, 1, 2), (0, 2, 2.5, 2.5), SIX, (), 2, False, 2),
    ("of two at the same distance the earlier", (-0.1, 0.1, 1, 2), (2, 3, 3, 3), SIX, (), 0.1, True, 2),
    ("no score within the window", (-0.4, 0.5, 1), (2, 3, 3), SIX, (), np.nan, False, np.nan),
    ("without the scan's score one after 80 days", (0, 0.22, 1, 2), (np.nan, 2, 3, 3), SIX, (), 1, True, 2),
    ("scores before the scan start nothing", (-0.2, -0.1, 0.0, 1), (1, 3, 3, 3), SIX, (), 1, False, 3),
    ("an event is not dated at the scan", (-0.1, 0, 0.5, 1), (2, 3, 3, 3), (WIDE_BASELINE), (), 1, False, 3),
    ("a score soon after a relapse is no baseline", (0, 0.2, 1, 2), (4, 2, 3, 3), QUIET, (-0.1,), 1, True, 2),
    ("and without another the person is left out", (0, 1, 2), (4, 3, 3), QUIET, (-0.1,), np.nan, False, np.nan),
    ("a baseline of 5.5 needs 1.0 still", (0, 1, 2), (5.5, 6.0, 6.0), SIX, (), 2, False, 5.5),
    ("a baseline after the scan counts time from the scan", (0.1, 1, 2), (2, 3, 3), SIX, (), 1, True, 2),
]


@pytest.mark.parametrize(
    ("what", "times", "scores", "rule", "relapses", "time", "event"), CASES, ids=[case[0] for case in CASES]
)
def test_hand_worked_case(what, times, scores, rule, relapses, time, event):
    found = confirmed_progression(times, scores, rule, relapses)
    assert (found.time, found.event) == (pytest.approx(time), event)


@pytest.mark.parametrize(
    ("what", "times", "scores", "rule", "relapses", "time", "event", "baseline"),
    AT_SCAN,
    ids=[case[0] for case in AT_SCAN],
)
def test_hand_worked_case_with_the_scan_at_zero(what, times, scores, rule, relapses, time, event, baseline):
    found = confirmed_progression(times, scores, rule, relapses, scan=0.0)
    assert (found.time, found.event) == (pytest.approx(time, nan_ok=True), event)
    assert found.baseline == pytest.approx(baseline, nan_ok=True)


def test_why_there_is_no_baseline_is_told():
    assert (
        confirmed_progression((0, 1), (4, 3), QUIET, (0,), scan=0.0).note
        == "every score near the scan is soon after a relapse"
    )
    assert confirmed_progression((0.5, 1), (4, 3), QUIET, (0,), scan=0.0).note == "no score near the scan"


def test_what_was_seen_is_told():
    found = confirmed_progression((0, 1, 2), (2, 3.5, 3), SIX)
    assert (found.baseline, found.score_at_event, found.confirmed_at) == (2, 3.5, 2)
    assert confirmed_progression((0, 1), (2, 3), SIX).note == "a rise was not confirmed"
    assert confirmed_progression((0,), (2,), SIX).note == "one visit only"


def test_required_rises():
    assert [required_rise(score) for score in (0, 1, 5.5, 6, 9)] == [1.5, 1, 1, 0.5, 0.5]


def test_differences_of_ages_are_not_exact():
    ages = np.array([30.1, 31.1, 31.6])
    assert confirmed_progression(ages, (2, 3, 3), SIX).event


def test_everybody_is_in_the_table_who_has_a_score():
    visits = pd.DataFrame(
        {"participant_id": ["b", "b", "b", "a", "c"], "years": [0, 1, 2, 0, 0.0], "edss": [2, 3, 3, 1, np.nan]}
    )
    table = progression_table(visits, "edss", "years")
    assert table["participant_id"].tolist() == ["a", "b"]
    assert table["event"].tolist() == [False, True]
    with pytest.raises(AnalysisError, match="no visit"):
        confirmed_progression([0], [np.nan])


def test_a_mark_at_the_first_visit_is_history():
    visits = pd.DataFrame(
        {"participant_id": ["a"] * 3 + ["b"] * 2, "years": [0, 1, 2, 0, 3.0], "relapses": [2, 0, 1, 1, 0]}
    )
    table = first_marked(visits, "relapses", "years")
    assert table[["time", "event"]].to_numpy().tolist() == [[2, True], [3, False]]


def test_intervals_without_a_number_of_relapses_are_left_out_with_their_time():
    visits = pd.DataFrame(
        {
            "participant_id": ["a"] * 4 + ["b"] * 3 + ["c"] * 3 + ["d"],
            "years": [0, 1, 2, 4, 0, 1, 3, -0.1, 1, 1, 0.0],
            "relapses": [5, 1, np.nan, 2, 0, np.nan, 1, 3, 0, 1, 1],
        }
    )
    table = counted_relapses(visits, "relapses", "years").set_index("participant_id")
    assert table["n_relapses"].tolist() == [3, 1, 1, 0]
    assert table["followed"].tolist() == [3, 2, 1, 0]
    assert table["unknown"].tolist() == [1, 1, 0, 0]
    assert table["unknown_years"].tolist() == [1, 1, 0, 0]
    # the time to the first relapse ends where it is no longer known
    assert table[["time", "event"]].to_numpy().tolist() == [[1, True], [0, False], [1, True], [0, False]]


def test_a_relapse_rate_does_not_depend_on_counts_missing_at_random():
    generator = np.random.default_rng(1)
    visits = pd.DataFrame(
        {"participant_id": np.repeat(np.arange(300), 5).astype(str), "years": np.tile(np.arange(5.0), 300)}
    )
    visits["relapses"] = generator.poisson(0.3, 1500).astype(float)
    holes = visits.assign(relapses=visits["relapses"].mask(generator.random(1500) < 0.4))
    whole, left = (counted_relapses(table, "relapses", "years") for table in (visits, holes))
    rate = left["n_relapses"].sum() / left["followed"].sum()
    assert rate == pytest.approx(whole["n_relapses"].sum() / whole["followed"].sum(), rel=0.1)
    assert (left["followed"] + left["unknown_years"]).tolist() == whole["followed"].tolist()


def test_dated_relapses_count_within_the_follow_up():
    follow = pd.DataFrame({"participant_id": ["a", "b"], "end": [4.0, 3.0], "n_visits": [3, 2]})
    table = first_after(follow, {"a": (-1.0, 2.5, 3.0), "b": (0.0, 3.5)})
    assert table[["time", "event", "n_relapses"]].to_numpy().tolist() == [[2.5, True, 2], [3.0, False, 0]]


def test_exact_poisson_interval():
    # By its definition: at either bound 10 events or a more extreme number have a chance of 2.5 %.
    rate, low, high = poisson_rate(10, 40)
    assert rate == 0.25
    np.testing.assert_allclose([poisson.sf(9, 40 * low), poisson.cdf(10, 40 * high)], 0.025, rtol=1e-9)
    assert poisson_rate(0, 10)[:2] == (0, 0)
    # no event: the upper bound is -log(0.025) / years
    assert poisson_rate(0, 10).high == pytest.approx(-np.log(0.025) / 10)
    with pytest.raises(AnalysisError):
        poisson_rate(1, 0)


def test_times_are_from_the_scan_and_what_was_seen_is_complete():
    found = confirmed_progression((9.9, 11, 12.5), (2, 3.5, 3), SIX, scan=10.0)
    assert found == (pytest.approx(1.0), True, 2, 3.5, pytest.approx(2.5), None)
    calm = confirmed_progression((10, 11, 12), (2, 2, 2), SIX, scan=10.0)
    assert calm[:3] == (2, False, 2)
    assert calm.note is None
    assert np.isnan([calm.score_at_event, calm.confirmed_at]).all()
    before = confirmed_progression((9.9, 9.95), (2, 3), SIX, scan=10.0)
    assert (before.time, before.baseline, before.note) == (0.0, 3, "one visit only")
    roved = confirmed_progression((0, 1, 2, 3), (4, 2, 2.5, 2), ROVING)
    assert (roved.time, roved.baseline) == (3, 2.5)
    assert confirmed_progression((0, 1, 2, 3), (4, 2, 2.5, 2), SIX).baseline == 4


def test_limits_of_windows_are_included():
    assert nearest_calm(np.array([-0.25, 1.0]), 0.0, np.array([True, True]), 0.25) == 0
    assert nearest_calm(np.array([-0.2501, 1.0]), 0.0, np.array([True, True]), 0.25) is None
    assert nearest_calm(np.array([-0.1, 0.1]), 0.0, np.array([False, True]), 0.25) == 1
    assert nearest_calm(np.array([0.0]), 0.0, np.array([False]), 0.25) is None
    # a relapse on the day of the visit, a window before it, just more, and after it
    years = np.array([1.0, 1.25, 1.2499, 0.9])
    assert calm_visits(years, (1.0,), 0.25).tolist() == [False, True, False, True]
    assert calm_visits(years, (), 0.25).all()
    assert calm_visits(np.array([1.0]), (0.0, 1.0), 0.0).tolist() == [True]


def test_visits_within_rounding_are_one_with_the_mean_score():
    years, scores = ordered_visits([2.0, 1.0, 1.0 + 5e-7, np.nan, 3.0], [5, 2, 3, 4, np.nan])
    assert years.tolist() == [1.0, 2.0]
    assert scores.tolist() == [2.5, 5]
    assert len(ordered_visits([1.0, 1.0 + 2e-6], [1, 2])[0]) == 2


def test_people_are_sorted_and_keep_the_order_of_their_rows():
    visits = pd.DataFrame({"participant_id": ["b", "a", "b"], "x": [1, 2, 3], "y": [4, 5, 6]})
    found = [(person, x.tolist(), y.tolist()) for person, x, y in by_person(visits, "x", "y")]
    assert found == [("a", [2], [5]), ("b", [1, 3], [4, 6])]


def test_marks_and_counts_have_their_columns():
    visits = pd.DataFrame(
        {"participant_id": list("aabc"), "years": [1, 0, -0.5, np.nan], "mark": [np.nan, 0, 1, 1], "n": [0, 1, 0, 3.0]}
    )
    marked = first_marked(visits, "mark", "years")
    assert marked.to_dict("list") == {
        "participant_id": ["a", "b"],
        "n_visits": [1, 1],
        "time": [0, 0],
        "event": [False, False],
    }
    counted = counted_relapses(visits, "n", "years")
    assert counted.iloc[0].to_dict() == {
        "participant_id": "a",
        "n_visits": 2,
        "time": 1.0,
        "event": False,
        "n_relapses": 0.0,
        "followed": 1.0,
        "unknown": 0,
        "unknown_years": 0.0,
    }
    ends = pd.DataFrame({"participant_id": ["a", "b", "c"], "end": [2.0, -0.1, 1.0], "n_visits": [3, 1, 2]})
    first = first_after(ends, {"a": (2.0, 2.1, 1e-7), "b": (1.0,)})
    assert first.to_dict("list") == {
        "participant_id": ["a", "b", "c"],
        "n_visits": [3, 1, 2],
        "time": [2.0, 0.0, 1.0],
        "event": [True, False, False],
        "n_relapses": [1, 0, 0],
        "followed": [2.0, 0.0, 1.0],
    }


def test_everybodys_progression_uses_their_own_relapses():
    visits = pd.DataFrame(
        {"participant_id": ["a"] * 4 + ["b"] * 4, "years": [0, 1, 2, 3] * 2, "edss": [2, 3, 3, 3] * 2}
    )
    table = progression_table(visits, "edss", "years", QUIET, {"a": (0.9,)})
    assert table["time"].tolist() == [2, 1]
    assert table["n_visits"].tolist() == [4, 4]
    assert table["confirmed_at"].tolist() == [3, 2]


def test_a_poisson_interval_has_its_level():
    rate, low, high = poisson_rate(4, 2.0, level=0.8)
    assert rate == 2
    np.testing.assert_allclose([poisson.sf(3, 2 * low), poisson.cdf(4, 2 * high)], 0.1, rtol=1e-9)
    assert poisson_rate(1, 4).low == pytest.approx(-np.log(0.975) / 4)
    with pytest.raises(AnalysisError):
        poisson_rate(1, np.nan)
