"""Counts of deviations beside what healthy people show."""

import pandas as pd

from bids_app.run.counts import counts_with_expectation
from tests.normative.gaussian_model import GaussianModel


class Known(GaussianModel):
    """A model that holds the counts of its healthy people."""

    def expected_counts(self, n_regions, sex, adapted=True, measure="volume"):
        return {"n_total": {"mean": n_regions, "low": 0, "high": 9}, "sex": sex, "adapted": adapted}


TABLE = pd.DataFrame({"z": [-2.0, -1.96, 0.0, 1.95, 2.5, None]})


def test_deviations_count_from_the_critical_z_on():
    counts = counts_with_expectation(TABLE, GaussianModel(), "female")
    assert (counts["n_infra"], counts["n_supra"], counts["n_total"], counts["n_regions"]) == (2, 1, 3, 5)
    assert "equally correlated" in counts["expected"]["source"]


def test_a_model_with_healthy_people_is_the_yardstick_for_its_regions_and_sex():
    expected = counts_with_expectation(TABLE, Known(), "male")["expected"]
    assert (expected["n_total"]["mean"], expected["sex"], expected["adapted"]) == (5, "male", True)
    assert expected["source"] == "held-out healthy people of the model"
    assert "does not know" in counts_with_expectation(TABLE, Known(), "male", adapted=False)["expected"]["source"]
