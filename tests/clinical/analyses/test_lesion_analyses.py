import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bids_app.clinical.analyses.lesion_analyses import lesions
from bids_app.clinical.analysis_file import AnalysisConfig
from bids_app.clinical.cohort import prepare
from bids_app.errors import AnalysisError

VOLUMES = [120.0, 4000.0, 900.0, np.nan, 15000.0, 60.0]
Z = [[0.0, 0.0], [-2.5, 0.0], [-2.1, 0.1], [-3.0, -3.0], [-2.2, -2.4], [0.3, 0.2]]


def data(volumes=VOLUMES, **columns):
    """Six people with MS, two controls without lesions; sub-4 has a lesion volume at the second scan only."""
    people = [f"sub-{i}" for i in range(1, 9)]
    first = pd.DataFrame({"participant_id": people, "age": 40.0, "group": ["MS"] * 6 + ["HC"] * 2, **columns})
    first["lesions"] = [*volumes, np.nan, np.nan]
    first["WM-hypointensities"] = np.arange(8) * 100.0
    later = first.iloc[[3]].assign(age=42.0, lesions=7000.0)
    z = pd.DataFrame([*Z, [0, 0], [0, 0], Z[3]], columns=["Left-Thalamus", "Right-Thalamus"], dtype=float)
    roles = {"diagnosis": "group", "lesion_volume": "lesions"}
    return prepare(pd.concat([first, later], ignore_index=True), z, AnalysisConfig(roles=roles, control="HC"))


def test_each_group_has_its_mean_with_a_t_interval_at_the_first_scan_with_a_value():
    result = lesions(data())[0]
    row = result.table.set_index(["measure", "group"]).loc[("lesion volume", "MS")]
    values = np.array([120, 4000, 900, 7000, 15000, 60.0])
    low, high = stats.t.interval(0.95, 5, values.mean(), stats.sem(values))
    assert row["n_people"] == 6
    np.testing.assert_allclose(row[["mean", "low", "high"]].to_numpy(float), [values.mean(), low, high])
    np.testing.assert_allclose(row[["q25", "median", "q75"]].to_numpy(float), np.quantile(values, [0.25, 0.5, 0.75]))
    assert ("lesion volume", "HC") not in result.table.set_index(["measure", "group"]).index
    assert set(result.table.loc[result.table["measure"] == "white-matter hypointensities", "group"]) == {"MS", "HC"}
    assert result.sentences[0].startswith("Lesion volume, group MS: median 2450 mm^3")


def test_the_association_is_that_of_the_first_scans_with_both():
    said = lesions(data())[0].sentences[1]
    known = [0, 1, 2, 4, 5]
    counts = (np.array(Z) <= -1.96).sum(axis=1)[known]
    r = np.corrcoef(np.log1p(np.array(VOLUMES)[known]), counts)[0, 1]
    assert said.startswith("log(1 + lesion volume) and the number of infra-normal deviations")
    assert f"correlation {r:.2f} (5 people with a disease" in said


def test_no_association_is_said_of_three_people_or_of_one_volume():
    for volumes in ([1.0, 2.0, 3.0] + [np.nan] * 3, [5.0] * 6):
        assert not any("correlation" in sentence for sentence in lesions(data(volumes))[0].sentences)


def test_a_cohort_without_lesions_says_so():
    few = data([np.nan] * 6)
    scans = few.scans.drop(columns="WM-hypointensities").assign(lesions=np.nan)
    with pytest.raises(AnalysisError, match="nobody has a lesion volume"):
        lesions(prepare(scans, few.zscores, few.config))
