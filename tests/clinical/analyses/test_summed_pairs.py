import numpy as np
import pandas as pd
import pytest

from bids_app.clinical.analyses.summed_pairs import summed_pairs
from bids_app.clinical.analysis_file import AnalysisConfig
from bids_app.clinical.cohort import Measured, prepare

Z = pd.DataFrame({"Left-Thalamus": [-2.5, -1.0, -2.0, 0.0], "Right-Thalamus": [-2.2, -2.1, 0.0, 0.0]})


def data(extended):
    table = pd.DataFrame({"participant_id": list("abcd"), "age": 40.0})
    return prepare(table, Z, AnalysisConfig(), measured=Measured(pd.DataFrame(index=Z.index), extended))


def test_shares_by_side_either_both_and_the_sum_counted_by_hand():
    result = summed_pairs(data(pd.DataFrame({"sum_Thalamus": [-2.4, -1.7, -1.1, 0.0]})))[0]
    shares = result.table.set_index("way")["share_infra"]
    assert list(shares) == [0.5, 0.5, 0.75, 0.25, 0.25]
    assert list(shares.index) == ["left", "right", "either side", "both sides", "left and right together"]
    healthy = result.table.set_index("way")["healthy"]
    assert healthy["either side"] > 1.4 * healthy["left and right together"]
    assert set(result.table.columns) <= set(result.columns)


def test_without_sums_the_sides_are_given_and_the_model_that_has_them_is_named():
    result = summed_pairs(data(pd.DataFrame(index=Z.index)))[0]
    assert "left and right together" not in set(result.table["way"])
    assert "open-calibrated+open-sums" in result.sentences[-1]


def test_a_person_without_one_side_is_not_counted():
    missing = Z.assign(**{"Right-Thalamus": [np.nan, -2.1, 0.0, 0.0]})
    table = pd.DataFrame({"participant_id": list("abcd"), "age": 40.0})
    found = summed_pairs(prepare(table, missing, AnalysisConfig()))[0].table
    assert set(found["n"]) == {3}
    assert found.set_index("way")["share_infra"]["either side"] == pytest.approx(2 / 3)
