import numpy as np
import pandas as pd
import pytest

from bids_app.clinical.stats.stability import entropy_bits, region_stability, stability_table

LOW, HIGH = -2.5, 0.0


def table_of(*people):
    z = [value for person in people for value in person]
    labels = [f"sub-{index}" for index, person in enumerate(people) for _ in person]
    years = [visit for person in people for visit in range(len(person))]
    return stability_table(pd.DataFrame({"Left-Thalamus": z}), pd.Series(labels), years)


def test_entropy_in_bits():
    np.testing.assert_allclose(entropy_bits([0, 1, 0.5, 0.25]), [0, 0, 1, 0.811278124459])
    assert np.isnan(entropy_bits(np.nan))


def test_transitions_worked_by_hand():
    row = table_of([HIGH, LOW, LOW, HIGH, HIGH]).iloc[0]
    assert row[
        ["n_visits", "n_deviating", "n_worsening", "n_recovery", "n_stable_deviating", "n_stable_normal"]
    ].tolist() == [5, 2, 1, 1, 1, 1]
    assert row["share_deviating"] == pytest.approx(0.4)
    assert row["entropy"] == pytest.approx(float(entropy_bits(0.4)))


def test_the_order_is_that_of_time():
    z = pd.DataFrame({"Left-Thalamus": [LOW, HIGH, LOW]})
    table = stability_table(z, pd.Series(["a"] * 3), [2, 0, 1])
    assert table[["n_worsening", "n_recovery"]].to_numpy().tolist() == [[1, 0]]


def test_a_missing_visit_is_passed_over():
    row = table_of([HIGH, np.nan, LOW]).iloc[0]
    assert (row["n_visits"], row["n_worsening"]) == (2, 1)


def test_one_visit_has_no_stability():
    assert table_of([LOW], [LOW, LOW])["participant_id"].tolist() == ["sub-1"]


def test_people_are_not_mixed():
    table = table_of([HIGH, HIGH], [LOW, LOW])
    assert table[["n_worsening", "n_recovery"]].to_numpy().sum() == 0


def test_the_threshold_itself_is_a_deviation():
    assert table_of([-1.96, -1.9599]).iloc[0]["n_deviating"] == 1


def test_regions_sum_their_people():
    table = table_of([LOW, HIGH, LOW], [LOW, LOW], [HIGH, HIGH])
    row = region_stability(table).iloc[0]
    assert row[["n_people", "n_visits", "n_deviating", "n_worsening", "n_recovery", "n_ever"]].tolist() == [
        3,
        7,
        4,
        1,
        1,
        2,
    ]
    assert row["share_recovered"] == pytest.approx(1 / 2)
    assert row["share_persistent"] == pytest.approx(1 / 2)
    assert row["entropy"] == pytest.approx(float(entropy_bits(2 / 3)) / 3)
