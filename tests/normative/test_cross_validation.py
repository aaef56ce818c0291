"""Cross-validation of a recipe, and harmonisation inside it."""

import numpy as np
import pandas as pd
import pytest

from bids_app.errors import InputError, ModelError
from bids_app.normative.cross_validation import cross_validate, harmonise_as_trained
from bids_app.normative.evaluation import held_out
from bids_app.regions import ETIV
from tests.normative.gaussian_model import REGIONS, GaussianModel


@pytest.fixture
def people():
    rng = np.random.default_rng(5)
    n = 400
    table = pd.DataFrame(
        {
            "age": rng.uniform(20, 80, n),
            "sex": rng.choice(["female", "male"], n),
            "site": rng.choice(["a", "b"], n),
            ETIV: rng.normal(1.5e6, 1e5, n),
        }
    )
    volumes = 1000 - (table["age"].to_numpy()[:, None] - 50) + 10 * rng.normal(size=(n, 4))
    return table.assign(**dict(zip(REGIONS, volumes.T)))


def test_nobody_is_scored_with_a_model_that_saw_them(people):
    folds = np.arange(400) % 4
    seen, progress = [], []

    def train(table):
        seen.append(set(table.index))
        return GaussianModel(slope=len(seen))

    found = cross_validate(train, people, folds, progress=progress.append)
    for fold in range(4):
        assert seen[fold] == set(people.index[folds != fold])
        expected = held_out(GaussianModel(slope=fold + 1), people[folds == fold])
        np.testing.assert_array_equal(found.z[folds == fold], expected.z)
    assert len(progress) == 4


def test_a_failing_fold_is_named(people):
    def train(table):
        raise InputError("too few women")

    with pytest.raises(ModelError, match="without fold 0 \\(200 people\\) failed: too few women"):
        cross_validate(train, people, np.arange(400) % 2)


def test_test_people_lose_their_sites_effect_and_those_of_unknown_sites_stay_raw(people):
    people.loc[people["site"] == "b", list(REGIONS)] += 25
    train, test = people.iloc[:300], people.iloc[300:].copy()
    test.loc[test.index[:5], "site"] = "new"
    test.loc[test.index[7], REGIONS[0]] = np.nan
    out = harmonise_as_trained(train, test, kind="full", regions=REGIONS, logarithms=True)
    np.testing.assert_array_equal(out.iloc[:5][list(REGIONS)], test.iloc[:5][list(REGIONS)])
    assert np.isnan(out.iloc[7][REGIONS[0]])
    residual = out[list(REGIONS)].sub(1000 - (out["age"] - 50), axis=0).iloc[8:]
    gap = residual[out["site"].iloc[8:] == "a"].mean() - residual[out["site"].iloc[8:] == "b"].mean()
    assert gap.abs().max() < 8
    assert "fs_version" not in out
