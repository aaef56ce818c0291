"""Tests of hand, walk and mind over time on one invented cohort, and a group alone: nothing moves unnoticed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from bids_app.clinical.analyses import hazards, outcome_analyses, pictures, risk_groups, worsening_analyses
from bids_app.clinical.analysis import ANALYSES, run_analysis
from tests.clinical.test_recorded import CONFIG, ROLES, cohort
from tests.recorded import check_recorded

MODULES = {module.__name__ for module in (hazards, outcome_analyses, pictures, risk_groups, worsening_analyses)}
OURS = tuple(one for one in ANALYSES if one.run.__module__ in MODULES)


def plain(results):
    return {
        result.name: {
            "sentences": result.sentences,
            "figure": result.figure and result.figure.to_json(),
            "methods": result.methods.split(" Software: ")[0],
            "findings": [(finding.kind, finding.seen, finding.participant_id) for finding in result.findings],
            **result.table,
        }
        for result in results
    }


def trial() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The people of the other records with more tests, controls scanned twice, and visits between scans."""
    scans, z = cohort(seed=12, n_patients=30, n_controls=14)
    rng, patient = np.random.default_rng(21), (scans["dx"] != "HC").to_numpy()
    again = scans[~patient].assign(session_id="ses-2", age=lambda table: table["age"] + 2)
    later = z[~patient] + rng.normal(0, 0.3, z[~patient].shape)
    scans, z = (pd.concat(pair, ignore_index=True) for pair in ([scans, again], [z, later]))
    patient = (scans["dx"] != "HC").to_numpy()
    n, years = len(scans), scans["age"] - scans.groupby("participant_id")["age"].transform("min")
    worse = patient * years * rng.gamma(1.0, 1.0, 44)[scans.groupby("participant_id").ngroup()]
    scans = scans.assign(
        nhpt=np.round(20 + 2.5 * worse + rng.normal(size=n), 1),
        nhpt_other=np.round(22 + 2 * worse + rng.normal(size=n), 1),
        t25fw=np.round(5 + 0.6 * worse + 0.2 * rng.normal(size=n), 1),
        sdmt=np.round(52 - 2 * worse + rng.normal(size=n)),
    )
    visits = scans.loc[patient, ["participant_id", "age", "edss", "nhpt", "sdmt"]]
    return scans, z, visits.assign(age=visits["age"] + 0.5)


TRIAL = replace(
    CONFIG, roles=ROLES | {name: name for name in ("nhpt", "nhpt_other", "t25fw", "sdmt")}, risk_rule=2, bootstrap=20
)


def test_results_of_a_trial_are_as_recorded():
    scans, z, visits = trial()
    check_recorded("clinical_trial", plain(run_analysis(scans, z, TRIAL, visits=visits, analyses=OURS)))


def test_results_of_one_group_without_controls_are_as_recorded():
    scans, z, _ = trial()
    patients = (scans["dx"] == "RRMS").to_numpy()
    scans, z = scans[patients].reset_index(drop=True), z[patients].reset_index(drop=True)
    config = replace(TRIAL, control=None, roles={"edss": "edss", "relapses": "n_relapses", "progression": "worse"})
    scans = scans.assign(n_relapses=[i % 3 == 0 for i in range(len(z))], worse=[i % 7 == 0 for i in range(len(z))])
    check_recorded("clinical_alone", plain(run_analysis(scans, z, config, analyses=OURS)))
