"""Decision curves: the table of net benefits, its gains and bounds, and what is said of them."""

import numpy as np
import pandas as pd
import pytest

from bids_app.clinical.analyses.decision import EVERYBODY, _bounds, _curves, _sentences

CUTS = np.array([0.1, 0.2, 0.3])


def test_gain_is_beyond_the_better_of_everybody_and_nobody():
    drawn = np.array([[0.3, 0.0, -0.2], [0.1, 0.2, -0.4]])
    benefits = {
        EVERYBODY: [np.array([[0.2, 0.05, -0.1]]), drawn],
        "count rule": [np.array([[0.1, 0.06, 0.02]]), drawn + 0.1],
    }
    table = _curves(benefits, CUTS)
    assert list(table["strategy"]) == ["nobody"] * 3 + [EVERYBODY] * 3 + ["count rule"] * 3
    assert table["risk_threshold"].tolist() == CUTS.tolist() * 3
    nobody, everybody, rule = (part for _, part in table.groupby("strategy", sort=False))
    assert (nobody[["net_benefit", "low", "high"]] == 0).all(axis=None)
    assert nobody[["gain", "gain_low", "gain_high"]].isna().all(axis=None)
    assert everybody["net_benefit"].tolist() == [0.2, 0.05, -0.1]
    assert everybody["gain"].isna().all()
    assert rule["gain"].to_numpy() == pytest.approx([-0.1, 0.01, 0.02])
    gains = drawn + 0.1 - np.maximum(drawn, 0)
    assert rule["gain_low"].to_numpy() == pytest.approx(np.quantile(gains, 0.025, axis=0))
    assert rule["gain_high"].to_numpy() == pytest.approx(np.quantile(gains, 0.975, axis=0))
    assert everybody["low"].to_numpy() == pytest.approx(np.quantile(drawn, 0.025, axis=0))
    assert everybody["high"].to_numpy() == pytest.approx(np.quantile(drawn, 0.975, axis=0))


def test_without_samples_there_are_no_bounds():
    assert np.isnan(_bounds(np.empty((0, 3)))).all()
    assert _bounds(np.empty((0, 3))).shape == (2, 3)


def rows(gain, low):
    return pd.DataFrame({"strategy": "count rule", "risk_threshold": CUTS, "gain": gain, "gain_low": low})


@pytest.mark.parametrize(
    ("gain", "low", "end"),
    [
        ([-0.1, 0.0, 1e-13], [-0.2, -0.1, -0.1], "at none of 3 thresholds."),
        (
            [0.1, 0.0, 0.2],
            [0.05, -0.1, 0.0],
            "at 2 of 3 thresholds (0.10 to 0.30); the bootstrap interval of the difference excludes zero at 1 of them.",
        ),
        (
            [-0.1, 0.02, -0.2],
            [-0.2, -0.1, -0.3],
            "at 1 of 3 thresholds (0.20); the bootstrap interval of the difference excludes zero at none of them.",
        ),
    ],
)
def test_thresholds_at_which_a_strategy_is_better_are_counted(gain, low, end):
    nobody = rows([np.nan] * 3, [np.nan] * 3).assign(strategy="nobody")
    (sentence,) = _sentences(pd.concat([nobody, rows(gain, low)]), 5.0)
    assert sentence == (
        "By 5 years the net benefit of acting on the count rule exceeds that of acting on everybody or nobody " + end
    )
