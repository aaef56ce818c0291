"""Results that are there to be looked at."""

import numpy as np
import pandas as pd
import pytest

from bids_app.clinical.analyses import pictures
from bids_app.clinical.analysis_file import AnalysisConfig
from bids_app.clinical.cohort import prepare
from bids_app.clinical.stats.linear import fit_linear
from bids_app.regions import reference_regions

REGIONS = reference_regions()[:6]
PEOPLE = 40


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(3)
    people = [f"sub-{i:02}" for i in range(PEOPLE)]
    groups = np.where(np.arange(PEOPLE) < 15, "HC", "MS")
    first = pd.DataFrame(
        {"participant_id": people, "session_id": "ses-1", "age": rng.uniform(20, 60, PEOPLE), "group": groups}
    )
    first["edss"] = np.where(first["group"] == "MS", rng.integers(0, 12, PEOPLE) / 2, np.nan)
    cohort = pd.concat([first, first.iloc[20:].assign(session_id="ses-2", age=first["age"] + 2)], ignore_index=True)
    z = pd.DataFrame(rng.normal(0, 1, (len(cohort), len(REGIONS))), columns=REGIONS)
    z.loc[cohort["group"] == "MS", REGIONS[2]] -= 2.5 + 0.4 * cohort["edss"]
    roles = {"diagnosis": "group", "edss": "edss"}
    return prepare(cohort.assign(sex="female"), z, AnalysisConfig(roles=roles, control="HC"))


def test_the_leading_region_is_that_of_the_patients_and_every_scan_is_in(data):
    by_group, by_score = pictures.courses(data)
    assert by_group.table["region"].iloc[0] == REGIONS[2]
    assert len(by_group.table) == pictures.LEADING * len(data.scans)
    assert by_group.figure.colour == "group"
    assert set(by_score.table["group"]) == {"MS"}
    one = by_score.table[by_score.table["region"] == REGIONS[2]].set_index(["participant_id", "session_id"])["value"]
    told = data.scans.set_index(["participant_id", "session_id"])["edss"]
    assert (one == told[one.index]).all()


def test_the_line_beside_the_dots_is_the_models_with_the_beta_in_the_heading(data):
    (result,) = pictures.scores_people(data)
    panel = next(part for name, part in result.table.groupby("panel") if "number of smaller" in name)
    assert panel["participant_id"].is_unique
    X = np.column_stack([np.ones(len(panel)), panel["x"] - panel["x"].mean()])
    fit = fit_linear(panel[["y"]], X)
    assert panel["fit"].to_numpy() == pytest.approx((X @ fit.beta)[:, 0])
    beta = fit.beta[1, 0] * panel["x"].std() / panel["y"].std()
    assert f"beta {beta:.2f}".replace("-", "\N{MINUS SIGN}") in panel["panel"].iloc[0]
    assert (panel["low"] < panel["fit"]).all()
    widest = panel.loc[(panel["x"] - panel["x"].mean()).abs().idxmax()]
    assert widest["high"] - widest["low"] == (panel["high"] - panel["low"]).max()


def test_first_and_last_visits_are_means_of_the_same_people(data):
    (result,) = pictures.visits(data)
    table = result.table.set_index(["group", "visit", "region"])
    again = data.scans["participant_id"].duplicated(keep=False)
    assert table.loc[("MS", "last", REGIONS[2]), "n_people"] == again.sum() / 2
    last = data.zscores.loc[again & (data.scans["session_id"] == "ses-2"), REGIONS[2]].mean()
    assert table.loc[("MS", "last", REGIONS[2]), "mean_z"] == pytest.approx(last)
    low, high = result.figure.limits
    assert low == -high


def test_calibration_counts_the_controls_first_scans_below_each_centile(data):
    (result,) = pictures.calibration(data)
    row = result.table[(result.table["region"] == REGIONS[0]) & (result.table["expected"] == 0.5)].iloc[0]
    controls = data.zscores.loc[data.scans["group"] == "HC", REGIONS[0]]
    assert row["n_people"] == 15
    assert row["observed"] == pytest.approx((controls <= 0).mean())
    assert row["low"] <= 0.5 <= row["high"]
    assert "15 people in group HC" in result.sentences[0]


def test_a_score_that_nobody_has_twice_alike_is_said(data):
    flat = prepare(data.scans.assign(edss=3.0), data.zscores, data.config)
    with pytest.raises(Exception, match="EDSS"):
        pictures.scores_people(flat)


def test_a_z_at_the_limit_is_below_it():
    people = pd.DataFrame({"participant_id": ["sub-1", "sub-2"], "age": 40.0, "sex": "female"})
    z = pd.DataFrame({REGIONS[0]: [-1.5, -1.9], REGIONS[1]: [-1.96, 1.0], REGIONS[2]: [0.0, 0.0]})
    assert pictures._leading(prepare(people, z, AnalysisConfig())) == [REGIONS[1], REGIONS[0], REGIONS[2]]


def test_scans_at_one_age_keep_their_own_score_and_the_lower_row_is_the_last():
    scans = pd.DataFrame(
        {"participant_id": ["a", "a", "b", "b", "c", "c"], "session_id": ["1", "2"] * 3, "sex": "female"}
    )
    scans = scans.assign(age=[30.0, 30, 40, 40, 50, 50], group="MS", edss=[1.0, 2, 3, 4, 5, 6])
    z = pd.DataFrame(np.arange(36.0).reshape(6, 6) / 10 - 4, columns=REGIONS)
    data = prepare(scans, z, AnalysisConfig(roles={"diagnosis": "group", "edss": "edss"}, control="HC"))
    by_score = pictures.courses(data)[1].table
    one = by_score[by_score["region"] == by_score["region"].iloc[0]].set_index(["participant_id", "session_id"])[
        "value"
    ]
    assert one.to_dict() == scans.set_index(["participant_id", "session_id"])["edss"].to_dict()
    (result,) = pictures.visits(data)
    last = result.table[result.table["visit"] == "last"].set_index("region")["mean_z"]
    assert last[REGIONS[0]] == pytest.approx(z[REGIONS[0]].iloc[[1, 3, 5]].mean())
