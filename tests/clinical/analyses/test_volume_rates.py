from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from bids_app.clinical.analyses.rate_contrasts import contrasts
from bids_app.clinical.analyses.volume_rates import rates
from bids_app.clinical.analysis_file import AnalysisConfig
from bids_app.clinical.cohort import Measured, prepare

CONFIG = AnalysisConfig(roles={"diagnosis": "dx"}, control="HC")
SLOPES = {"HC": [-0.002, -0.003, -0.004], "MS": [-0.010, -0.012, -0.014]}


def data(config=CONFIG, healthy=True, **columns):
    """Six people scanned at 0 and 2 years whose left thalamus changes by `SLOPES` (log volume a year)."""
    rows, logs = [], []
    for group, slopes in SLOPES.items():
        for number, slope in enumerate(slopes):
            for years in (0.0, 2.0):
                rows.append((f"sub-{group}{number}", f"ses-{years:g}", 40.0 + years, group))
                logs.append(np.log(7000.0) + slope * years)
    table = pd.DataFrame(rows, columns=["participant_id", "session_id", "age", "dx"]).assign(
        sex="female", etiv_mm3=1.5e6, stream="long", **columns
    )
    volumes = pd.DataFrame({"Left-Thalamus": np.exp(logs)})
    expected = pd.DataFrame({"Left-Thalamus": 7000 * np.exp(-0.003 * (table["age"] - 40))}) if healthy else None
    z = pd.DataFrame({"Left-Thalamus": np.zeros(len(table))})
    return prepare(table, z, config, measured=Measured(volumes, pd.DataFrame(index=table.index), expected))


def row(table, **values):
    for name, value in values.items():
        table = table[table[name] == value]
    assert len(table) == 1
    return table.iloc[0]


def test_mean_rates_and_the_healthy_expectation_worked_by_hand():
    """Equal designs: the mean slope is the plain mean, -0.012 and -0.003; people differ with SD 0.002 and 0.001."""
    group, people, published = rates(data())
    found = row(group.table, group="MS", region="Left-Thalamus")
    assert found["rate"] == pytest.approx(100 * (np.exp(-0.012) - 1))
    assert found["se"] == pytest.approx(100 * np.exp(-0.012) * 0.002 / np.sqrt(3))
    assert found["sd"] == pytest.approx(100 * np.exp(-0.012) * 0.002)
    assert found["healthy_rate"] == pytest.approx(100 * (np.exp(-0.003) - 1))
    assert (found["stream"], found["kind"], found["baseline"]) == ("long", "region", "all scans")
    one = row(people.table, participant_id="sub-MS2", region="Left-Thalamus")
    assert one["rate"] == pytest.approx(100 * (np.exp(-0.014) - 1))
    assert one["se"] == pytest.approx(100 * np.exp(-0.014) * 0.0117 / np.sqrt(2))
    assert one["healthy_rate"] == pytest.approx(100 * (np.exp(-0.003) - 1))
    assert set(published.table["group"]) == {"healthy", "multiple sclerosis"}


def test_every_column_is_described_and_no_verdict_is_drawn():
    for result in (*rates(data()), *contrasts(data())):
        assert set(result.table.columns) <= set(result.columns)
    assert "no cut-off is drawn" in " ".join(rates(data())[0].sentences)


def test_a_model_that_is_not_at_hand_leaves_the_expectation_open():
    group, people, _ = rates(data(healthy=False))
    assert group.table["healthy_rate"].isna().all()
    assert people.table["healthy_rate"].isna().all()
    assert set(contrasts(data(healthy=False))[0].table["measure"]) == {"rate"}


def test_the_contrast_with_controls_and_the_people_per_arm_worked_by_hand():
    table = contrasts(data())[0].table
    found = row(table, region="Left-Thalamus", measure="rate")
    patients, controls = 100 * (np.exp(-0.012) - 1), 100 * (np.exp(-0.003) - 1)
    assert found["difference"] == pytest.approx(patients - controls)
    se = np.hypot(100 * np.exp(-0.012) * 0.002, 100 * np.exp(-0.003) * 0.001) / np.sqrt(3)
    assert found["se"] == pytest.approx(se)
    sd = 100 * np.exp(-0.012) * 0.002
    n = 2 * (1.959964 + 0.841621) ** 2 * sd**2 / (0.3 * (patients - controls)) ** 2
    assert found["n_per_arm_30"] == np.ceil(n)
    beyond = row(table, region="Left-Thalamus", measure="beyond expectation")
    assert beyond["rate_group"] == pytest.approx(100 * (np.exp(-0.009) - 1))
    assert beyond["rate_control"] == pytest.approx(0.0, abs=1e-9)


def test_rates_are_given_with_and_without_rebaselining():
    config = AnalysisConfig(roles={"diagnosis": "dx", "treatment_start": "start"}, control="HC")
    table = rates(data(config, start=[np.nan] * 6 + [1.0] + [np.nan] * 5))[0].table
    counted = table.set_index(["group", "baseline"])["n_people"]
    assert counted["MS", "all scans"] == 3
    assert counted["MS", "after re-baselining"] == 2
    assert counted["HC", "after re-baselining"] == 3


def test_composites_without_a_standard_error_are_named_with_the_reason():
    made = data()
    volumes = made.measured.volumes
    more = volumes.assign(**{"Right-Thalamus": volumes["Left-Thalamus"], "BrainSegVolNotVent": 1e6})
    people = rates(replace(made, measured=replace(made.measured, volumes=more)))[1]
    assert [text.partition(":")[0] for text in people.sentences] == [
        "No standard error of a person's rate of whole brain without ventricles"
    ]
    assert row(people.table, participant_id="sub-MS2", region="thalamus")["se"] > 0
    assert rates(made)[1].sentences == ()


def test_the_caution_about_few_people_counts_the_smallest_group(monkeypatch):
    monkeypatch.setattr("bids_app.clinical.wording.FEW", 3)
    monkeypatch.setitem(SLOPES, "MS", [-0.010, -0.012])
    group, *_ = rates(data())
    assert any("rest on 2 people" in text for text in group.sentences)
