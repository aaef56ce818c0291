import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_app.clinical.analyses.prevalence import exact_interval, prevalence_table
from bids_app.clinical.results import describe


@given(st.integers(0, 40), st.integers(0, 40))
def test_the_exact_interval_has_the_right_tails(k, extra):
    from scipy.stats import binom

    n = k + extra
    low, high = (float(bound) for bound in exact_interval(k, n))
    assert 0 <= low <= high <= 1
    if k > 0:
        assert binom.sf(k - 1, n, low) == pytest.approx(0.025, rel=1e-6)
    if k < n:
        assert binom.cdf(k, n, high) == pytest.approx(0.025, rel=1e-6)


def test_prevalence_counts_both_tails_per_group_and_skips_missing():
    z = pd.DataFrame(
        {
            "participant_id": list("abcd"),
            "session_id": None,
            "Left-Thalamus": [-2.0, 0.0, -1.96, np.nan],
            "Left-Caudate": [2.0, 2.0, 0.0, 0.0],
        }
    )
    table = prevalence_table(z, ["MS", "MS", "HC", "HC"]).set_index(["region", "group"])
    assert table.loc[("Left-Thalamus", "MS"), "share_infra"] == 0.5
    assert table.loc[("Left-Thalamus", "HC"), ["n", "n_infra"]].tolist() == [1, 1]
    assert table.loc[("Left-Caudate", "MS"), "share_supra"] == 1.0
    assert set(prevalence_table(z)["group"]) == {"all"}
    assert describe(table.reset_index())


def test_a_region_never_scored_has_no_share():
    table = prevalence_table(pd.DataFrame({"Left-Thalamus": [np.nan]}))
    assert np.isnan(table["share_infra"].item())
    assert (table["low_infra"].item(), table["high_infra"].item()) == (0.0, 1.0)
