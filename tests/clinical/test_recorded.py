"""The whole of the group statistics on one invented cohort: no number and no sentence moves unnoticed."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from bids_app.clinical.analyses import (
    group_comparison,
    group_tables,
    hazards,
    outcome_analyses,
    prevalence,
    risk_groups,
    score_analyses,
)
from bids_app.clinical.analysis import ANALYSES, run_analysis
from bids_app.clinical.analysis_file import AnalysisConfig
from bids_app.clinical.deviations import count_distribution, expected_counts
from bids_app.clinical.person import centile_table, change_table, count_deviations, repeatability
from bids_app.normative.registry import load_model
from bids_app.regions import reference_regions
from tests.recorded import check_recorded, constants

REGIONS = [*reference_regions()[:6], *reference_regions()[40:44]]
ROLES = {
    "diagnosis": "dx",
    "edss": "edss",
    "pasat": "pasat",
    "relapse_dates": "relapse_years",
    "treatment": "treatment",
    "scanner": "scanner",
}
CONFIG = AnalysisConfig(roles=ROLES, control="HC", covariates=("age", "sex"), bootstrap=40, imputations=3)
# Options, the modules of the analyses that they concern, and the number of regions.
VARIANTS: dict[str, tuple[AnalysisConfig, tuple[ModuleType, ...], int]] = {
    "imputed": (
        replace(CONFIG, missing="impute", match_ratio=2, match_exact=("sex",)),
        (group_comparison, score_analyses),
        4,
    ),
    "averaged": (
        replace(CONFIG, missing="average", match_ratio=0, threshold=1.5, regions="cortical"),
        (group_comparison, score_analyses),
        10,
    ),
    "sloped": (replace(CONFIG, random_slope=True, covariates=("age",)), (score_analyses,), 2),
    "rule of the data": (
        replace(CONFIG, risk_rule="data", roving_baseline=True),
        (outcome_analyses, hazards, risk_groups),
        10,
    ),
    "two deviations": (
        replace(CONFIG, risk_rule=2, relapse_free_days=60.0, confirmation_months=3.0, covariates=()),
        (outcome_analyses, hazards, risk_groups),
        10,
    ),
}


def cohort(seed: int = 11, n_patients: int = 36, n_controls: int = 40) -> tuple[pd.DataFrame, pd.DataFrame]:
    """People with three to five visits and controls with one; disease lowers z, and low z goes with worse scores."""
    rng = np.random.default_rng(seed)
    rows, z = [], []
    for person in range(n_patients + n_controls):
        patient = person < n_patients
        severity, age = rng.normal(), rng.uniform(22, 60)
        base = rng.normal(size=len(REGIONS)) - (0.9 + 0.5 * severity) * patient
        relapses = ";".join(f"{t:.2f}" for t in np.sort(rng.uniform(0.2, 4, rng.poisson(1.2)))) if patient else None
        for visit in range(int(rng.integers(3, 6)) if patient else 1):
            z.append(base - 0.05 * visit * patient + 0.4 * rng.normal(size=len(REGIONS)))
            edss = np.clip(
                np.round(2 * (2.5 + severity + 0.35 * visit * (severity > 0) + 0.3 * rng.normal())) / 2, 0, 9
            )
            rows.append(
                {
                    "participant_id": f"sub-{person:03}",
                    "session_id": f"ses-{visit + 1}",
                    "age": round(age + visit * 1.1, 2),
                    "sex": "female" if person % 3 else "male",
                    "etiv_mm3": round(rng.normal(1.5e6, 1.2e5)),
                    "dx": ("RRMS" if person % 4 else "PPMS") if patient else "HC",
                    "edss": edss if patient and rng.random() > 0.06 else np.nan,
                    "pasat": round(rng.normal(48 - 4 * severity, 5), 1) if patient else np.nan,
                    "relapse_years": relapses or ("" if patient else None),
                    "treatment": ("A", "B")[person // 3 % 2] if patient else None,
                    "scanner": ("one", "two")[(person + visit // 2) % 2],
                }
            )
    return pd.DataFrame(rows), pd.DataFrame(np.round(z, 4), columns=REGIONS)


def plain(results):
    return {
        result.name: {
            "sentences": result.sentences,
            "figure": result.figure and result.figure.to_json(),
            **result.table,
        }
        for result in results
    }


def test_every_result_is_as_recorded():
    results = run_analysis(*cohort(), CONFIG)
    check_recorded("clinical", plain(results))
    assert [one.name for one in results if list(one.table.index) != list(range(len(one.table)))] == []


@pytest.mark.parametrize("name", VARIANTS)
def test_results_under_other_options_are_as_recorded(name):
    config, modules, n_regions = VARIANTS[name]
    analyses = tuple(one for one in ANALYSES if one.run.__module__ in {module.__name__ for module in modules})
    scans, z = cohort()
    results = run_analysis(scans, z[REGIONS[-n_regions:]], config, analyses=analyses)
    # degrees of freedom of the random slope come from numerical derivatives
    relative = 1e-3 if name == "sloped" else 1e-5
    check_recorded(f"clinical_{name.replace(' ', '_')}", plain(results), relative)


def summaries(scans: pd.DataFrame, z: pd.DataFrame) -> list[dict]:
    """What the participant level would have written, with gaps as real datasets have them."""
    out = []
    for i, scan in scans.iterrows():
        counts = count_deviations(z.loc[i].to_numpy())
        metrics = {"holes": 20.0 + 7 * np.sin(i) + 90 * (i == 8), "cnr": 2.0 + 0.1 * np.cos(i), "edited": True}
        out.append(
            {
                "participant_id": scan["participant_id"],
                "session_id": scan["session_id"],
                "covariates": {"age": scan["age"], "sex": scan["sex"], "etiv_mm3": float(scan["etiv_mm3"])},
                "counts": counts,
                "quality": {"verdict": ("pass", "warn", "fail")[i % 3], "metrics": metrics if i % 10 else {}},
                "freesurfer": {"version": ("6.0.0", "7.4.1")[i % 2] if i % 9 else None},
                "model": {"name": "open", "version": "1.0", "adaptation": {} if i % 4 else None},
            }
        )
    return out


def test_the_descriptive_tables_are_as_recorded():
    scans, z = cohort()
    written = summaries(scans, z)
    table = group_tables.scan_table(written).assign(site=scans["scanner"], group=scans["dx"])
    states = [
        {
            "participant_id": f"sub-{i}",
            "session_id": None,
            "status": ("scored", "omitted", "failed")[i % 3],
            "stage": (None, "volumes", "covariates", "model")[i % 4],
            "reason": "r",
            "remedy": "m",
        }
        for i in range(24)
    ]
    inclusion = group_tables.inclusion_table(states)
    expected = group_tables.expected_table(table, written)
    check_recorded(
        "group_tables",
        {
            "scans": table.head(30),
            "cohort": group_tables.cohort_table(table),
            "expected": expected.head(12),
            "counts": group_tables.counts_table(table, expected),
            "alone": group_tables.counts_table(table),
            "prevalence": prevalence.prevalence_table(z, scans["dx"], threshold=1.5),
            "sites": group_tables.site_table(table, z),
            "quality": group_tables.quality_table(written).iloc[::5],
            "inclusion": inclusion,
            "flow": group_tables.flow_table(inclusion),
        },
    )


def test_what_is_said_about_one_person_is_as_recorded():
    scans, z = cohort()
    long = z.assign(session_id=scans["session_id"], age=scans["age"])[scans["participant_id"] == "sub-001"]
    scored = long.melt(["session_id", "age"], var_name="region", value_name="z").assign(stream="cross", z_se=0.1)
    model = load_model("open-calibrated")
    check_recorded(
        "person",
        {
            "change": change_table(scored),
            "fan": centile_table(model, "female", 1.45e6, REGIONS[:2], age_range=(20.2, 24.0), fs_version="7.4.1"),
            "ages": centile_table(model, "male", 1.6e6, REGIONS[:2], ages=[40.0, 41.5]),
            "counts": count_deviations([-3.0, -1.96, 0.0, 2.5, np.nan]),
            "repeatability": repeatability().iloc[::17],
            "distribution": count_distribution(6, "total"),
            "expected": {
                tail: expected_counts([1, 10, 82], tail, threshold)
                for tail, threshold in (("infra", 1.96), ("supra", 1.0), ("total", 1.96))
            },
        },
    )


def test_limits_and_defaults_are_as_recorded():
    check_recorded("constants_clinical", constants("clinical"))
