"""Groups against controls: what changes when scans that failed quality are left out."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from bids_app.clinical.analyses.group_comparison import SENSITIVITY, comparison_set, counts
from bids_app.clinical.analysis_file import AnalysisConfig
from bids_app.clinical.cohort import prepare
from bids_app.regions import reference_regions

CONFIG = AnalysisConfig(roles={"diagnosis": "dx"}, control="HC", match_ratio=0)


def cohort(n=40, failing=5):
    """Half with a disease, some of whom have extreme z that failed quality."""
    rng, regions = np.random.default_rng(3), list(reference_regions())
    z = rng.normal(size=(n, len(regions)))
    z[:failing, :30] = -6.0
    scans = pd.DataFrame(
        {
            "participant_id": [f"sub-{i}" for i in range(n)],
            "age": rng.uniform(20, 60, n),
            "sex": ["female", "male"] * (n // 2),
            "etiv_mm3": 1.5e6,
            "dx": ["MS"] * (n // 2) + ["HC"] * (n // 2),
            "quality": ["fail"] * failing + ["pass"] * (n - failing),
        }
    )
    return scans, pd.DataFrame(z, columns=regions)


def compared(failing):
    data = prepare(*cohort(failing=failing), CONFIG)
    return next(result for result in counts(data) if result.name == "case_control")


def test_failed_scans_stay_in_and_a_row_says_what_they_make():
    result = compared(failing=5)
    table = result.table.set_index(["tail", "method"])
    every, without = (table.loc[("infra", method)] for method in ("maximum likelihood", SENSITIVITY))
    assert (every["n_group"], without["n_group"]) == (20, 15)
    assert every["irr"] > 2 > without["irr"]
    (sentence,) = [text for text in result.sentences if text.startswith("Without the 5 scans")]
    assert f"{without['irr']:.2f}" in sentence


def test_without_failed_scans_there_is_no_such_row():
    result = compared(failing=0)
    assert SENSITIVITY not in set(result.table["method"])
    assert not any("failed quality" in text for text in result.sentences)


@pytest.mark.parametrize(("n", "adjusted"), [(20, True), (19, False)])
def test_without_enough_controls_five_people_for_each_number_estimated_are_enough_to_adjust(n, adjusted):
    scans, z = cohort(40, failing=0)
    kept = [*range(12), *range(20, 20 + n - 12)]
    config = replace(CONFIG, match_ratio=2, match_covariates=("age", "sex"))
    found = comparison_set(prepare(scans.iloc[kept], z.iloc[kept], config), "MS", "HC")
    assert bool(found.covariates) == adjusted
    assert any(("is adjusted for" if adjusted else "not adjusted for anything") in note for note in found.notes)
