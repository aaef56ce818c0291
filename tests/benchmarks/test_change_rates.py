import numpy as np

from benchmarks.change_rates import EXCESS, cohort, recovered
from bids_app.normative.registry import load_model


def test_the_true_excess_of_patients_is_recovered():
    regions = (*EXCESS, "Left-Caudate")
    table = cohort(load_model("open-calibrated"), regions, {"patient": 300, "control": 300}, np.random.default_rng(11))
    found = recovered(table, regions).set_index("region")
    assert (np.abs(found["difference"] - found["truth"]) < 3 * found["se"]).all()
    assert found["se"].max() < 0.12
    assert np.isfinite(found.loc["Left-Thalamus", "n_per_arm_50"])
    assert np.isnan(found.loc["Left-Caudate", "n_per_arm_50"])
