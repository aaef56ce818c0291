from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from benchmarks.simulated_cohort import NULL, PUBLISHED, PUBLISHED_LONGITUDINAL, STRUCTURES, larger, simulate_cohort
from bids_app.clinical.analyses.associations import (
    ALL_VISITS,
    FIRST,
    FIRST_VISIT,
    STUDY,
    count_associations,
    region_associations,
)
from bids_app.clinical.deviations import count_table

LEFT = [f"Left-{name}" for name in STRUCTURES]


@pytest.fixture(scope="module")
def large():
    """7,240 people: what the statistics estimate, with little noise."""
    table, z = simulate_cohort(5, larger(PUBLISHED, 20))
    return table.assign(n_infra=count_table(z)["n_infra"]), z


def test_sizes_are_the_published_ones():
    table, z = simulate_cohort(1)
    patients = table[table["diagnosis"] == "MS"]
    assert (patients["participant_id"].nunique(), len(patients)) == (362, 953)
    assert patients["years_from_first"].between(0, 12).all()
    assert not table.duplicated(["participant_id", "session_id"]).any()
    assert z.shape == (1953, 82)
    assert set(patients["edss"] * 2 % 1) == {0.0}


def test_the_same_seed_gives_the_same_cohort():
    for first, second in zip(simulate_cohort(7), simulate_cohort(7), strict=True):
        pd.testing.assert_frame_equal(first, second)
    assert not simulate_cohort(7)[1].equals(simulate_cohort(8)[1])


def test_numbers_of_deviations_are_the_published_ones(large):
    table, z = large
    first = ~table["participant_id"].duplicated()
    means = table[first].groupby("diagnosis")["n_infra"].mean()
    assert means["MS"] / means["HC"] == pytest.approx(PUBLISHED.rate_ratio, rel=0.05)
    patients = first & (table["diagnosis"] == "MS")
    shares = (z.loc[patients, LEFT] <= -1.96).mean()
    np.testing.assert_allclose(shares, PUBLISHED.shares, atol=0.015)


@pytest.mark.parametrize("model", [FIRST_VISIT, ALL_VISITS], ids=["first", "all"])
def test_associations_are_the_published_ones(large, model):
    table, z = large
    patients = table["diagnosis"] == "MS"
    tables = (
        count_associations(table[patients], ["edss"], model),
        region_associations(table[patients], z.loc[patients, LEFT], ["edss"], model),
    )
    # the published longitudinal associations are those of a model that leaves time out
    effect = STUDY if model.longitudinal else FIRST
    found = [beta for rows in tables for beta in rows.loc[rows["effect"] == effect, "beta"]]
    longitudinal = [PUBLISHED_LONGITUDINAL[name] for name in ("n_infra", *STRUCTURES)]
    wanted = longitudinal if model.longitudinal else [PUBLISHED.beta_count, *PUBLISHED.betas]
    np.testing.assert_allclose(found, wanted, atol=0.03)


def test_the_null_cohort_has_no_effect():
    table, z = simulate_cohort(2, larger(replace(NULL, n_controls=362), 10))
    table = table.assign(n_infra=count_table(z)["n_infra"])
    patients = table["diagnosis"] == "MS"
    first = ~table["participant_id"].duplicated()
    assert table[first & patients]["n_infra"].mean() == pytest.approx(table[~patients]["n_infra"].mean(), rel=0.06)
    np.testing.assert_allclose(z[first & patients].mean(), z[~patients].mean(), atol=0.1)
    assert abs(count_associations(table[patients], ["edss"])["beta"].item()) < 0.05
