import json

import numpy as np
import pandas as pd
import pytest
from scipy import optimize

from bids_app.errors import ModelError, UsageError
from bids_app.normative import change_model
from bids_app.normative.change_model import (
    ChangeModel,
    RegionChange,
    conditional_z,
    load_change_model,
    train_change_model,
)


def test_a_conditional_z_worked_by_hand():
    """r = 0.8: from -1 to -2 is 1.2 below the expected -0.8, of a spread of sqrt(1 - 0.64) = 0.6."""
    expected, gain = conditional_z(-1.0, -2.0, 0.8)
    assert (expected, gain) == pytest.approx((-0.8, -2.0))


def test_returning_to_the_mean_is_expected_and_staying_low_is_not():
    assert conditional_z(-3.0, -2.4, 0.8)[1] == pytest.approx(0.0)
    assert conditional_z(-3.0, -3.0, 0.8)[1] == pytest.approx(-1.0)
    assert np.isnan(conditional_z(-1.0, -1.0, 1.0)[1])
    assert np.isnan(conditional_z(-1.0, -1.0, np.nan)[1])


def test_the_correlation_falls_with_time():
    model = ChangeModel(regions={"a": RegionChange(0.9, 0.1)})
    assert model.correlation(["a", "b"], 2.0)[0] == pytest.approx(0.9 * np.exp(-0.2))
    assert np.isnan(model.correlation(["a", "b"], 2.0)[1])


def drifting(n, years, rng, start=0.95, decay=0.05, p=1):
    true = np.sqrt(start) * rng.standard_normal((n, p))
    visits = [true]
    for gap in np.diff(years):
        r = np.exp(-decay * gap)
        visits.append(r * visits[-1] + np.sqrt(start * (1 - r**2)) * rng.standard_normal((n, p)))
    z = np.array(visits) + np.sqrt(1 - start) * rng.standard_normal((len(years), n, p))
    who = np.tile(np.arange(n).astype(str), len(years))
    table = pd.DataFrame(z.reshape(-1, p), columns=[f"r{i}" for i in range(p)])
    return table, who, np.repeat(years, n)


def test_the_truth_is_recovered_and_healthy_change_is_called_change_as_often_as_it_should():
    rng = np.random.default_rng(3)
    table, who, age = drifting(400, (0.0, 1.0, 3.0, 6.0), rng, p=3)
    trained = train_change_model(table, who, age)
    assert np.mean([region.start for region in trained.regions.values()]) == pytest.approx(0.95, abs=0.01)
    assert np.mean([region.decay for region in trained.regions.values()]) == pytest.approx(0.05, abs=0.01)
    assert (trained.years, trained.n_people) == ((1.0, 6.0), 400)
    for gap in (0.5, 4.0):
        new, _, _ = drifting(3000, (0.0, gap), rng, p=3)
        first, last = new[:3000].to_numpy(), new[3000:].to_numpy()
        gain = conditional_z(first, last, trained.correlation(list(table), gap))[1]
        assert np.mean(np.abs(gain) > 1.96) == pytest.approx(0.05, abs=0.015)


def test_scans_of_different_scanners_are_not_paired():
    rng = np.random.default_rng(4)
    table, who, age = drifting(60, (0.0, 1.0, 2.0), rng)
    scanner = np.repeat(["a", "a", "b"], 60)
    shifted = table + 3.0 * (scanner == "b")[:, None]
    assert train_change_model(shifted, who, age, scanner).regions["r0"].n_pairs == 60
    assert train_change_model(shifted, who, age, scanner).regions["r0"].start > 0.85


def test_one_interval_tells_no_fall_with_time():
    table, who, age = drifting(60, (0.0, 2.0), np.random.default_rng(5))
    trained = train_change_model(table, who, age)
    assert trained.regions["r0"].decay == 0.0
    assert "a fall with time is unknown" in trained.notes[0]


def test_too_few_pairs_are_refused():
    table, who, age = drifting(5, (0.0, 1.0, 2.0), np.random.default_rng(6))
    with pytest.raises(ModelError, match=r"no region has 20 pairs of scans of 10 people \(the table has 15 pairs of 5"):
        train_change_model(table, who, age)


def test_a_file_is_read_back_as_it_was(tmp_path):
    model = ChangeModel(
        regions={"a": RegionChange(0.9, 0.1, 30, 20)}, model="m 1.0", stream="long", years=(0.5, 4.0), n_people=20
    )
    path = model.save(tmp_path / "change.json")
    assert load_change_model(path) == model
    assert path.read_bytes() == model.save(tmp_path / "again.json").read_bytes()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"format": "something"}, "is no change model"),
        ([], "is no change model"),
        ({"format": "normvol change model 1", "regions": {"a": {"start": 1.2}}}, "change.json: the option regions"),
        ({"format": "normvol change model 1", "regions": {}, "decays": 1}, "unknown option decays"),
    ],
)
def test_other_files_are_refused_in_a_sentence(content, words, tmp_path):
    path = tmp_path / "change.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UsageError, match=words):
        load_change_model(path)


def test_pairs_are_of_one_person_in_the_order_of_age_and_weigh_as_one_less_than_scans():
    people = np.array(["a", "b", "a", "a", "b", "c", "a"])
    age = np.array([30.0, 50.0, 28.0, 35.0, 51.5, 20.0, np.nan])
    first, second, years, weight = change_model._pairs(people, age, None)
    assert list(zip(first, second)) == [(2, 0), (2, 3), (0, 3), (1, 4)]
    assert years.tolist() == [2.0, 7.0, 5.0, 1.5]
    assert weight.tolist() == pytest.approx([2 / 3] * 3 + [1.0])
    first, second, _, weight = change_model._pairs(people, age, [1, 1, 2, 1, 1, 1, 1])
    assert list(zip(first, second)) == [(0, 3), (1, 4)]
    assert weight.tolist() == [1.0, 1.0]


def neighbours(half, years, weight, start, decay):
    def loss(error, fall):
        variance = 1 - (1 - error) * np.exp(-fall * years)
        return (weight * (np.log(variance) + half / variance)).sum()

    best = loss(1 - start, decay)
    return best, [
        loss(1 - start + a, decay + b) for a in (-0.01, 0, 0.01) for b in (-0.01, 0, 0.01) if (a, b) != (0, 0)
    ]


def test_the_fit_is_where_the_likelihood_is_largest_and_begins_at_two_places(monkeypatch):
    rng = np.random.default_rng(8)
    years, weight = rng.uniform(0.2, 6, 400), rng.uniform(0.4, 1, 400)
    half = (1 - 0.8 * np.exp(-0.1 * years)) * rng.chisquare(1, 400)
    seen = []

    real = optimize.minimize
    monkeypatch.setattr(optimize, "minimize", lambda f, start, **o: seen.append((start, o)) or real(f, start, **o))
    start, decay = change_model._fit(half, years, weight)
    best, others = neighbours(half, years, weight, start, decay)
    assert min(others) > best
    mean = (weight * half).sum() / weight.sum()
    assert [at for at, _ in seen] == [pytest.approx((mean, 1e-3)), pytest.approx((mean / 2, mean / 2 / years.mean()))]
    assert all(o == {"method": "L-BFGS-B", "bounds": [(1e-4, 0.95), (0.0, 5.0)]} for _, o in seen)


@pytest.mark.parametrize(("half", "expected"), [([0.2, 0.4], 1 - 0.3), ([0.0, 0.0], 1 - 1e-3), ([9.0, 9.0], 1 - 0.95)])
def test_one_interval_gives_the_mean_change_within_limits(half, expected):
    found = change_model._fit(np.array(half), np.array([1.0, 1.49]), np.array([1.0, 1.0]))
    assert found == (pytest.approx(expected), 0.0)


def test_half_a_year_between_intervals_is_enough_for_a_fall_with_time():
    rng = np.random.default_rng(9)
    years = np.tile([1.0, 1.5], 100)
    half = np.where(years > 1.2, 0.4, 0.1) * rng.chisquare(1, 200)
    assert change_model._fit(half, years, np.ones(200))[1] > 0
    table, who, age = drifting(20, (0.0, 1.0, 2.5), rng)
    trained = train_change_model(table, who, age)
    assert (trained.notes, trained.years, trained.n_people) == ((), (1.0, 2.5), 20)
    table, who, age = drifting(20, (0.0, 1.0), rng)
    age = age + np.where(age > 0, np.repeat([0.0, 0.4996], 10).tolist() * 2, 0)
    trained = train_change_model(table, who, age, model="m 1", stream="long")
    assert trained.notes == ("all intervals are 1.2 years; a fall with time is unknown",)
    assert (trained.years, trained.model, trained.stream, trained.basis) == ((1.0, 1.5), "m 1", "long", "trained")


@pytest.mark.parametrize(
    ("people", "visits", "lost", "enough"), [(20, 2, 0, True), (20, 2, 1, False), (9, 3, 0, False), (10, 3, 0, True)]
)
def test_twenty_pairs_of_ten_people_are_enough(people, visits, lost, enough):
    table, who, age = drifting(people, tuple(range(visits)), np.random.default_rng(6))
    table.loc[: lost - 1, "r0"] = np.nan
    table["r1"] = np.random.default_rng(7).standard_normal(len(table))
    if enough or lost:
        found = train_change_model(table, who, age).regions
        assert ("r0" in found) is enough
        assert (found["r1"].n_pairs, found["r1"].n_people) == (people * visits * (visits - 1) // 2, people)
        assert all(value == round(value, 6) for value in (found["r1"].start, found["r1"].decay))
    else:
        with pytest.raises(ModelError, match="no region has 20 pairs"):
            train_change_model(table, who, age)


@pytest.mark.parametrize(
    ("mine", "theirs", "fits"),
    [(None, "long", True), ("long", None, True), ("long", "long", True), ("long", "cross", False), (None, None, True)],
)
def test_a_model_fits_its_own_stream_as_far_as_both_are_known(mine, theirs, fits):
    assert ChangeModel(regions={}, stream=mine).fits(theirs) is fits


def test_the_correlation_broadcasts_over_times():
    model = ChangeModel(regions={"a": RegionChange(0.9, 0.1), "b": RegionChange(0.8)})
    found = model.correlation(["b", "a"], np.array([[0.0], [1.0]]))
    np.testing.assert_allclose(found, [[0.8, 0.9], [0.8, 0.9 * np.exp(-0.1)]])
    assert model.basis == "trained"
    assert (model.years, model.n_people, model.regions["b"].n_pairs) == ((0.0, 0.0), 0, 0)


def test_a_correlation_that_is_none_has_no_gain():
    gain = conditional_z([0.5] * 4, [1.0] * 4, [-1.0, 1.0, 1.5, 0.0])[1]
    np.testing.assert_array_equal(gain, [np.nan, np.nan, np.nan, 1.0])
