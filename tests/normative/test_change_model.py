import json

import numpy as np
import pandas as pd
import pytest

from bids_app.errors import ModelError, UsageError
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
