import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bids_app.clinical.stats.worsening import (
    DEFINITIONS,
    PIRA,
    RAW,
    UNDETERMINED,
    WorseningRule,
    first_of,
    required_worsening,
    share_of,
    worsening_course,
    worsening_tables,
)

YEAR = 365.25
MSPROG = Path(__file__).parents[2] / "data" / "msprog" / "courses.json"
# Below: (what, days of visits, EDSS, days of relapses, options of the rule, [(type, day, baseline, day confirmed)])
PLAIN = (0, 365, 545, 730)
CASES = [
    ("no relapse at all", PLAIN, (2, 3, 3, 3), (), {}, [(PIRA, 365, 2, 545)]),
    ("not confirmed", PLAIN, (2, 3, 2.5, 2), (), {}, []),
    ("at the last visit nothing confirms", PLAIN, (2, 2, 2, 3), (), {}, []),
    ("too small a rise", PLAIN, (2, 2.5, 2.5, 2.5), (), {}, []),
    ("from 0 a rise of 1.5 is needed", PLAIN, (0, 1, 1.5, 1.5), (), {}, [(PIRA, 545, 0, 730)]),
    ("from 6 half a point is enough", PLAIN, (6, 6.5, 6.5, 6.5), (), {}, [(PIRA, 365, 6, 545)]),
    ("from 5.5 a point is needed", PLAIN, (5.5, 6, 6, 6), (), {}, []),
    ("half a point from 5.5 as msprog", PLAIN, (5.5, 6, 6, 6), (), {"half_point_from": 5.5}, [(PIRA, 365, 5.5, 545)]),
    ("relapse 10 days after onset", PLAIN, (2, 3, 3, 3), (375,), {}, [(RAW, 365, 2, 545)]),
    (
        "relapse 10 days after onset that may not explain it",
        PLAIN,
        (2, 3, 3, 3),
        (375,),
        {"raw_after": 0.0},
        [(UNDETERMINED, 365, 2, 545)],
    ),
    ("relapse 30 days after onset", PLAIN, (2, 3, 3, 3), (395,), {}, [(RAW, 365, 2, 545)]),
    ("relapse 31 days after onset", PLAIN, (2, 3, 3, 3), (396,), {}, [(PIRA, 365, 2, 545)]),
    ("relapse on the day of onset", PLAIN, (2, 3, 3, 3), (365,), {}, [(RAW, 365, 2, 545)]),
    ("relapse 90 days before onset", PLAIN, (2, 3, 3, 3), (275,), {}, [(RAW, 365, 2, 545)]),
    ("relapse 91 days before, first seen now", PLAIN, (2, 3, 3, 3), (274,), {}, [(UNDETERMINED, 365, 2, 545)]),
    (
        "relapse 91 days before without a new baseline",
        PLAIN,
        (2, 3, 3, 3),
        (274,),
        {"rebaseline_after_relapse": False},
        [(PIRA, 365, 2, 545)],
    ),
    ("relapse before the baseline visit", (0, 180, 365, 545), (2, 2, 3, 3), (-100,), {}, [(PIRA, 365, 2, 545)]),
    ("the relapse takes EDSS from 2 to 4 for good", PLAIN, (2, 4, 4, 4), (330,), {}, [(RAW, 365, 2, 545)]),
    (
        "the same, then a real progression",
        (0, 365, 545, 730, 1095, 1275),
        (2, 4, 4, 4, 5, 5),
        (330,),
        {},
        [(RAW, 365, 2, 545), (PIRA, 1095, 4, 1275)],
    ),
    (
        "a relapse that recovers, then a progression from the level before it",
        (0, 365, 420, 600, 900, 1100),
        (2, 4, 2, 2, 3, 3),
        (360,),
        {},
        [(PIRA, 900, 2, 1100)],
    ),
    ("half a recovery is the new baseline", (0, 365, 420, 600, 900, 1100), (2, 5, 2.5, 2.5, 3, 3.5), (360,), {}, []),
    (
        "two progressions are two events",
        (0, 365, 545, 900, 1100),
        (2, 3, 3, 4, 4),
        (),
        {},
        [(PIRA, 365, 2, 545), (PIRA, 900, 3, 1100)],
    ),
    (
        "after an event the baseline is the confirming score",
        (0, 365, 545, 900, 1100),
        (2, 3, 3.5, 4, 4),
        (),
        {},
        [(PIRA, 365, 2, 545)],
    ),
    ("roving baseline after an improvement", (0, 200, 400, 700, 900), (4, 3, 3, 4, 4), (), {}, [(PIRA, 700, 3, 900)]),
    ("fixed baseline hides it", (0, 200, 400, 700, 900), (4, 3, 3, 4, 4), (), {"roving": False}, []),
    ("an improvement that is not confirmed moves nothing", (0, 200, 400, 700, 900), (4, 3, 4, 4, 4.5), (), {}, []),
    ("confirmed after 161 days", (0, 365, 526), (2, 3, 3), (), {}, [(PIRA, 365, 2, 526)]),
    ("not after 160 days", (0, 365, 525), (2, 3, 3), (), {}, []),
    ("a visit between that falls back stops it", (0, 365, 450, 545), (2, 3, 2, 3), (), {}, []),
    (
        "a score 20 days after a relapse confirms nothing",
        (0, 365, 545, 730),
        (2, 3, 3, 3),
        (525,),
        {},
        [(PIRA, 365, 2, 730)],
    ),
    (
        "a relapse before confirmation matters to Cagol",
        PLAIN,
        (2, 3, 3, 3),
        (450,),
        DEFINITIONS["cagol2022"],
        [(UNDETERMINED, 365, 2, 545)],
    ),
    ("and to Müller 2023", PLAIN, (2, 3, 3, 3), (470,), DEFINITIONS["mueller2023"], [(UNDETERMINED, 365, 2, 545)]),
    (
        "a relapse since the baseline matters to Kappos",
        (0, 200, 300, 500, 700),
        (2, 2, 2, 3, 3),
        (100,),
        {**DEFINITIONS["kappos2020"], "rebaseline_after_relapse": False},
        [(UNDETERMINED, 500, 2, 700)],
    ),
    (
        "not when the baseline moves after relapses",
        (0, 200, 300, 500, 700),
        (2, 2, 2, 3, 3),
        (100,),
        DEFINITIONS["kappos2020"],
        [(PIRA, 500, 2, 700)],
    ),
    (
        "a relapse since the visit before matters to Müller 2025",
        (0, 200, 500, 700),
        (2, 2, 3, 3),
        (250,),
        {**DEFINITIONS["mueller2025"], "rebaseline_after_relapse": False},
        [(UNDETERMINED, 500, 2, 700)],
    ),
    ("sustained to the end", (0, 365, 545, 730, 900), (2, 3, 3, 2, 2), (), {"sustained": True}, []),
    ("soon after a relapse there is no baseline", (0, 60, 365, 545), (4, 2, 3, 3), (-10,), {}, [(PIRA, 365, 2, 545)]),
    ("a relapse on the day of the scan", (0, 365, 545, 730), (4, 2, 3, 3), (0,), {}, [(PIRA, 545, 2, 730)]),
    ("and one that leaves no calm visit", (0, 365, 545), (4, 4, 5), (0, 350, 540), {}, []),
    ("nothing begins at the scan", (-60, 0, 365, 545), (2, 3, 3, 3), (), {}, []),
    ("relapses that are not known", PLAIN, (2, 3, 3, 3), None, {}, [(UNDETERMINED, 365, 2, 545)]),
]


def events(days, scores, relapses, options, measure="edss"):
    attacks = None if relapses is None else [day / YEAR for day in relapses]
    rule = WorseningRule(**options)
    course = worsening_course(np.array(days) / YEAR, scores, attacks, rule, measure, scan=0.0)
    return [
        (event.event_type, round(event.time * YEAR), event.baseline, round(event.confirmed_at * YEAR))
        for event in course.events
    ]


@pytest.mark.parametrize(
    ("what", "days", "scores", "relapses", "options", "expected"), CASES, ids=[case[0] for case in CASES]
)
def test_hand_worked_case(what, days, scores, relapses, options, expected):
    assert events(days, scores, relapses, options) == expected


# (what, measure, scores, options, [(type, day, baseline, day confirmed)])
TESTS = [
    ("20 % slower with the pegs", "nhpt", (20, 24, 24, 24), {}, [(PIRA, 365, 20, 545)]),
    ("19 % are not enough", "nhpt", (20, 23.8, 23.8, 23.8), {}, []),
    ("30 % when asked for", "t25fw", (5, 6.4, 6.4, 6.4), {"share": 0.3}, []),
    ("20 % slower over 25 feet", "t25fw", (5, 6, 6, 6), {}, [(PIRA, 365, 5, 545)]),
    ("4 points less on the SDMT", "sdmt", (50, 46, 46, 46), {}, [(PIRA, 365, 50, 545)]),
    ("4 points more are none", "sdmt", (50, 54, 54, 54), {}, []),
    ("an SDMT that improves is the new baseline", "sdmt", (50, 56, 56, 51), {}, []),
    ("8 points when asked for", "sdmt", (50, 44, 44, 44), {"sdmt_points": 8.0}, []),
]


@pytest.mark.parametrize(("what", "measure", "scores", "options", "expected"), TESTS, ids=[case[0] for case in TESTS])
def test_hand_worked_case_of_another_test(what, measure, scores, options, expected):
    assert events(PLAIN, scores, (), options, measure) == expected


def test_an_event_says_how_far_the_relapses_are():
    course = worsening_course(np.array(PLAIN) / YEAR, (2, 3, 3, 3), np.array([300, 400]) / YEAR)
    assert (course.events[0].days_since_relapse, course.events[0].days_to_relapse) == pytest.approx((65, 35))
    assert course.followed == pytest.approx(730 / YEAR)


def test_without_a_baseline_nothing_is_known():
    assert np.isnan(worsening_course([0.5, 1.0], [2, 3], scan=0.0).followed)
    assert np.isnan(worsening_course([0, 1.0], [2, 3], relapses=[0, 0.99], scan=0.0).followed)
    assert worsening_course([0, 1.0], [2, 3], relapses=[0], scan=0.0).followed == 1.0


@pytest.mark.parametrize(
    ("key", "moved", "kinds"),
    [
        ("events", False, (PIRA, RAW)),
        # msprog leaves out what a relapse explains and moves the baseline; what is left is PIRA in both
        ("events_new_baseline_after_relapse", True, (PIRA,)),
    ],
)
def test_agrees_with_msprog(key, moved, kinds):
    content = json.loads(MSPROG.read_text())
    rule = WorseningRule(half_point_from=5.5, rebaseline_after_relapse=moved)
    different, seen = set(), 0
    for name, person in content["courses"].items():
        days, scores = zip(*person["visits"], strict=True)
        relapses = [day / YEAR for day in person["relapses"]]
        ours = [
            [e.event_type, round(e.time * YEAR), e.baseline, e.score_at_event, round(e.confirmed_at * YEAR)]
            for e in worsening_course(np.array(days) / YEAR, scores, relapses, rule).events
            if e.event_type in kinds
        ]
        theirs = [[kind, day, *rest] for day, kind, *rest in content[key].get(name, []) if kind in kinds]
        seen += len(theirs)
        if ours != theirs:
            different.add(name)
    assert seen >= 40
    assert not different


def test_thresholds():
    assert [required_worsening("edss", score) for score in (0, 1, 5.5, 6)] == [1.5, 1, 1, 0.5]
    assert required_worsening("nhpt", 25) == 5
    assert required_worsening("sdmt", 25) == 4


def test_tables_hold_every_event_of_everybody():
    visits = pd.DataFrame(
        {
            "participant_id": ["b"] * 4 + ["a"] * 4,
            "years": [day / YEAR for day in PLAIN] * 2,
            "edss": [2, 3, 3, 3, 2, 2, 2, 2],
            "walk": [5, 5, 5, 5, 5, 7, 7, np.nan],
        }
    )
    found, courses = worsening_tables(visits, {"edss": "edss", "t25fw": "walk"}, "years", relapses={"b": (1.0,)})
    assert found[["participant_id", "measure", "event_type"]].to_numpy().tolist() == [
        ["b", "edss", RAW],
        ["a", "t25fw", PIRA],
    ]
    assert len(courses) == 4
    first = first_of(found, courses).set_index("participant_id")
    assert first["event"].tolist() == [True, True]
    only = first_of(found[found["measure"] == "edss"], courses[courses["measure"] == "edss"])
    assert only.set_index("participant_id").loc["a", ["time", "event"]].tolist() == [pytest.approx(730 / YEAR), False]


def test_the_interval_of_a_share_knows_that_people_differ():
    def made(kinds):
        return pd.DataFrame({"participant_id": [p for p, _ in kinds], "event_type": [kind for _, kind in kinds]})

    single = share_of(made([(f"p{i}", PIRA if i < 14 else RAW) for i in range(20)]))
    assert (single.share, single.n_events, single.n_people) == (0.7, 20, 20)
    # 14 of 20: Clopper and Pearson's interval
    assert (single.low, single.high) == (pytest.approx(0.457, abs=0.003), pytest.approx(0.881, abs=0.003))
    # the same events, five of each person, who have all or none
    alike = share_of(made([(f"p{i // 5}", PIRA if i < 10 else RAW) for i in range(20)]))
    assert alike.high - alike.low > single.high - single.low
    everything = share_of(made([("p", PIRA)] * 30))
    assert (everything.share, everything.high) == (1.0, 1.0)
    assert everything.low == pytest.approx(0.025)
    assert np.isnan(share_of(made([])).share)


@given(st.lists(st.tuples(st.integers(1, 3000), st.sampled_from([0, 1, 2, 3, 4.5, 6, 6.5])), max_size=12), st.data())
def test_events_are_in_order_and_confirmed(visits, data):
    days, scores = zip((0, 2.0), *visits, strict=True)
    relapses = data.draw(st.lists(st.integers(-200, 3000), max_size=4))
    found = worsening_course(np.array(days) / YEAR, scores, np.array(relapses) / YEAR).events
    for event in found:
        assert event.score_at_event > event.baseline
        assert event.confirmed_at - event.time >= 160.9 / YEAR
    times = [event.time for event in found]
    assert times == sorted(times)


def test_an_event_is_told_whole():
    (event,) = worsening_course(np.array(PLAIN) / YEAR + 5, (2, 3, 3.5, 3), [5.1], scan=5.0).events
    assert event.event_type == UNDETERMINED
    assert event.note == "first seen at the visit after a relapse, too late to be told from it"
    assert (event.baseline, event.baseline_at, event.score_at_event) == (2, 0, 3)
    assert (event.time * YEAR, event.confirmed_at * YEAR) == pytest.approx((365, 545))
    assert event.days_since_relapse == pytest.approx(365 - 0.1 * YEAR)
    assert np.isnan(event.days_to_relapse)
    (event,) = worsening_course(np.array(PLAIN) / YEAR, (50, 46, 45, 44), None, measure="sdmt").events
    assert (event.baseline, event.score_at_event, event.note) == (50, 46, "relapses are not known")
    assert np.isnan([event.days_since_relapse, event.days_to_relapse]).all()
    (event,) = worsening_course(np.array(PLAIN) / YEAR, (2, 3, 3, 3), np.array([365, 365.5]) / YEAR).events
    assert (event.days_since_relapse, event.days_to_relapse) == pytest.approx((0, 0.5), abs=1e-9)


WINDOWS = [
    ("on the first day of Müller's window", 455, DEFINITIONS["mueller2023"], UNDETERMINED),
    ("a day before it", 454, DEFINITIONS["mueller2023"], PIRA),
    ("on its last day", 575, DEFINITIONS["mueller2023"], UNDETERMINED),
    ("a day after it", 576, DEFINITIONS["mueller2023"], PIRA),
    ("only after confirmation", 560, {"after_confirmation": 20.0}, UNDETERMINED),
    ("only before confirmation", 530, {"before_confirmation": 20.0, "unstable_days": 0.0}, UNDETERMINED),
    ("on the day of confirmation", 545, {"until_confirmation": True, "unstable_days": 0.0}, UNDETERMINED),
    ("a day after confirmation", 546, {"until_confirmation": True}, PIRA),
    ("on the day of the baseline", 0, {"free_from": "baseline", "unstable_days": 0.0}, PIRA),
    ("a week before the onset that does not count for RAW", 358, {"raw_before": 6.0}, UNDETERMINED),
]


@pytest.mark.parametrize(("what", "day", "options", "kind"), WINDOWS, ids=[case[0] for case in WINDOWS])
def test_the_bounds_of_windows_are_included(what, day, options, kind):
    found = events((0, 365, 545, 800), (2, 3, 3, 3), (day,), {"rebaseline_after_relapse": False, **options})
    assert [event[0] for event in found] == [kind]


def test_the_first_of_several_tests_and_the_last_visit_of_any():
    found = pd.DataFrame({"participant_id": ["b", "b"], "time": [2.0, 1.0]})
    courses = pd.DataFrame(
        {"participant_id": ["b", "a", "a"], "measure": "x", "n_visits": [3, 2, 5], "followed": [4.0, 6.0, 5.0]}
    )
    assert first_of(found, courses).to_dict("list") == {
        "participant_id": ["a", "b"],
        "n_visits": [5, 3],
        "time": [6.0, 1.0],
        "event": [False, True],
    }


def test_the_share_of_unlike_people_worked_by_hand():
    """Events 3 of 4, 1 of 1 and 0 of 2: share 4/7, variance of the ratio by Korn and Graubard."""
    kinds = [("a", PIRA)] * 3 + [("a", RAW), ("b", PIRA), ("c", RAW), ("c", UNDETERMINED)]
    found = share_of(pd.DataFrame(kinds, columns=["participant_id", "event_type"]), level=0.9)
    hits, sizes, share = np.array([3, 1, 0]), np.array([4, 1, 2]), 4 / 7
    variance = 3 / 2 * ((hits - share * sizes) ** 2).sum() / 49
    ratio = (stats.t.ppf(0.95, 6) / stats.t.ppf(0.95, 2)) ** 2
    n = min(7, share * (1 - share) / variance * ratio)
    assert found.share == pytest.approx(share)
    assert found.low == pytest.approx(stats.beta.ppf(0.05, share * n, n - share * n + 1))
    assert found.high == pytest.approx(stats.beta.ppf(0.95, share * n + 1, n - share * n))
    assert (found.n_events, found.n_people) == (7, 3)
    # people of one event each; nobody with PIRA; one person with both
    single = share_of(pd.DataFrame([("a", PIRA), ("b", RAW)], columns=["participant_id", "event_type"]))
    assert (single.low, single.high) == pytest.approx((stats.beta.ppf(0.025, 1, 2), stats.beta.ppf(0.975, 2, 1)))
    none = share_of(pd.DataFrame([("a", RAW)] * 3 + [("b", RAW)], columns=["participant_id", "event_type"]))
    assert (none.share, none.low, none.high) == (0, 0, pytest.approx(stats.beta.ppf(0.975, 1, 2)))
    lone = share_of(pd.DataFrame([("a", RAW), ("a", PIRA)], columns=["participant_id", "event_type"]))
    assert (lone.low, lone.high) == pytest.approx((stats.beta.ppf(0.025, 0.5, 1.5), stats.beta.ppf(0.975, 1.5, 0.5)))
    even = [("a", PIRA), ("a", RAW), ("b", PIRA), ("b", RAW)]
    equal = share_of(pd.DataFrame(even, columns=["participant_id", "event_type"]))
    assert (equal.low, equal.high) == pytest.approx((stats.beta.ppf(0.025, 1, 2), stats.beta.ppf(0.975, 2, 1)))
