"""Analyses of volumes and lesions on one invented cohort: no number and no sentence moves unnoticed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from bids_app.clinical.analyses import lesion_analyses, rate_contrasts, summed_pairs, volume_rates, volume_scans
from bids_app.clinical.analysis import ANALYSES, run_analysis
from bids_app.clinical.analysis_file import AnalysisConfig
from bids_app.clinical.cohort import Measured
from bids_app.regions import ETIV
from tests.recorded import check_recorded

MODULES = {module.__name__ for module in (lesion_analyses, rate_contrasts, summed_pairs, volume_rates, volume_scans)}
OURS = tuple(one for one in ANALYSES if one.run.__module__ in MODULES)
SIDES = ("Left-Thalamus", "Right-Thalamus")
CONFIG = AnalysisConfig(
    roles={
        "diagnosis": "dx",
        "scanner": "scanner",
        "lesion_volume": "lesion_volume",
        "lesion_count": "lesion_count",
        "treatment_start": "started",
        "time": "years",
    },
    control="HC",
)
VARIANTS = {
    "left out": CONFIG,
    "included": replace(CONFIG, incomparable="include", threshold=1.0),
    "two months": replace(CONFIG, rebaseline_months=2.0, incomparable="harmonise"),
}


def cohort() -> tuple[pd.DataFrame, pd.DataFrame, Measured]:
    """Seven of each group with three visits, some on another scanner or of the other stream; people lose 0.2 to 1 %."""
    rng = np.random.default_rng(8)
    rows, logs = [], []
    for person in range(14):
        sick = person < 7
        slope = -0.003 - 0.006 * sick + 0.002 * rng.normal()
        for visit, years in enumerate((0.0, 1.0, 2.1)):
            other = (person == 3 and visit == 2) or (person == 9 and visit == 0)
            rows.append(
                {
                    "participant_id": f"sub-{person:02}",
                    "session_id": f"ses-{visit}",
                    "age": 40.0 + person + years,
                    "years": years,
                    "sex": "female" if person % 2 else "male",
                    "etiv_mm3": 1.5e6 * (1.07 if person == 5 and visit == 1 else 1.0),
                    "dx": "MS" if sick else "HC",
                    "scanner": "b" if other else "a",
                    "stream": "cross" if person == 12 else "long",
                    "fs_version": "7.4.1",
                    "lesion_volume": 500.0 * (person + 1) + 100 * visit if sick and person != 2 else np.nan,
                    "lesion_count": float(person) if sick else np.nan,
                    "WM-hypointensities": 900.0 + 50 * person,
                    "Left-Lateral-Ventricle": 7000.0 + 10 * person,
                    "Right-Lateral-Ventricle": 6500.0 - 5 * person,
                    "started": 0.5 if person in (0, 1) else np.nan,
                }
            )
            logs.append(slope * years + 0.002 * rng.normal(size=4) + 0.01 * other)
    table, logs = pd.DataFrame(rows), np.array(logs)
    names = [*SIDES, "Left-Caudate", "Right-Caudate"]
    volumes = pd.DataFrame(np.exp(logs) * [7000, 6900, 3500, 3600], columns=names)
    volumes.loc[4, "Left-Caudate"] = np.nan
    healthy = pd.DataFrame(np.exp(-0.003 * (table[["age"]].to_numpy() - 40)) * np.full(4, 7000.0), columns=names)
    sick = (table["dx"] == "MS").to_numpy()[:, None]
    z = pd.DataFrame(rng.normal(size=(len(table), 4)) - 1.3 * sick, columns=names)
    z.loc[0, "Left-Caudate"] = np.nan
    extended = pd.DataFrame({"sum_Thalamus": z[list(SIDES)].mean(axis=1) * 1.1, "sum_Caudate": np.nan})
    return table, z, Measured(volumes.assign(**{ETIV: table["etiv_mm3"]}), extended, healthy)


@pytest.mark.parametrize("name", VARIANTS)
def test_analyses_of_volumes_are_as_recorded(name):
    table, z, measured = cohort()
    results = run_analysis(table, z, VARIANTS[name], measured=measured, analyses=OURS)
    assert not any(result.sentences[0].startswith("Not computed") for result in results if result.sentences)
    found = {
        result.name: {
            "sentences": result.sentences,
            "figure": result.figure and result.figure.to_json(),
            # a few rows stand for all regions
            **result.table.head(40),
        }
        for result in results
        if result.name not in ("roles", "published_rates")
    }
    check_recorded(f"clinical_volumes_{name.replace(' ', '_')}", found)


def test_the_rate_of_a_person_is_the_slope_of_log_volume_and_of_a_group_its_mean():
    """By `np.polyfit`; equal times weight people equally, and se is that of independent people."""
    table, z, measured = cohort()
    config = replace(CONFIG, incomparable="include")
    results = {one.name: one.table for one in run_analysis(table, z, config, measured=measured, analyses=OURS)}
    own = results["volume_rates_people"].query("region == 'Left-Thalamus' and baseline == 'all scans'")
    slopes = {}
    for person, rows in table.groupby("participant_id"):
        logs = np.log(measured.volumes.loc[rows.index, "Left-Thalamus"])
        slopes[person] = np.polyfit(rows["years"], logs, 1)[0]
    expected = [100 * np.expm1(slopes[person]) for person in own["participant_id"]]
    np.testing.assert_allclose(own["rate"], expected, rtol=1e-8)
    group = results["volume_rates"].query("region == 'Left-Thalamus' and baseline == 'all scans' and group == 'MS'")
    sick = np.array([slope for person, slope in slopes.items() if person < "sub-07"])
    assert group["rate"].item() == pytest.approx(100 * np.expm1(sick.mean()))
    assert group["se"].item() == pytest.approx(100 * np.exp(sick.mean()) * sick.std(ddof=1) / np.sqrt(7))
