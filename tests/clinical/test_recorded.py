"""The whole of the group statistics on one invented cohort: no number and no sentence moves unnoticed."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from bids_app.clinical.analyses import group_comparison, hazards, outcome_analyses, risk_groups, score_analyses
from bids_app.clinical.analysis import ANALYSES, run_analysis
from bids_app.clinical.analysis_file import AnalysisConfig
from bids_app.regions import reference_regions
from tests.recorded import check_recorded

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
        result.name: {"sentences": result.sentences, "figure": result.figure and sorted(result.figure), **result.table}
        for result in results
    }


def test_every_result_is_as_recorded():
    check_recorded("clinical", plain(run_analysis(*cohort(), CONFIG)))


@pytest.mark.parametrize("name", VARIANTS)
def test_results_under_other_options_are_as_recorded(name):
    config, modules, n_regions = VARIANTS[name]
    analyses = tuple(one for one in ANALYSES if one.run.__module__ in {module.__name__ for module in modules})
    scans, z = cohort()
    results = run_analysis(scans, z[REGIONS[-n_regions:]], config, analyses=analyses)
    # degrees of freedom of the random slope come from numerical derivatives
    relative = 1e-3 if name == "sloped" else 1e-5
    check_recorded(f"clinical_{name.replace(' ', '_')}", plain(results), relative)
