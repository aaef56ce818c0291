"""The cohort as every analysis gets it: scans, z-scores and roles, checked once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from bids_app.clinical.analysis_config import SCORES, AnalysisConfig, labels
from bids_app.clinical.deviations import count_table
from bids_app.errors import AnalysisError
from bids_app.regions import reference_regions

NUMERIC_ROLES = (*SCORES, "time", "relapses", "progression")
COUNTS = ("n_infra", "n_supra", "n_total", "n_regions")


@dataclass(frozen=True)
class CohortData:
    """What the analyses of one cohort share.

    Parameters
    ----------
    scans : DataFrame
        One row per scan, index 0..n-1: ``participant_id session_id age sex etiv_mm3``, the counts under the
        configuration's regions and threshold, ``group`` (level of the diagnosis as text) and every other column.
    zscores : DataFrame
        Same rows, one column per reference region.
    config : AnalysisConfig
        Only roles whose column exists.
    visits : DataFrame
        One row per clinical visit, with or without a scan; `scans` when there is no such table.
    absent : mapping-like tuple of (role, column)
        Roles of the configuration whose column is not in the cohort.
    """

    scans: pd.DataFrame
    zscores: pd.DataFrame
    config: AnalysisConfig
    visits: pd.DataFrame
    absent: tuple[tuple[str, str], ...] = ()

    @cached_property
    def first(self) -> np.ndarray:
        """Whether each scan is its person's first, by age (bool, one per scan)."""
        order = np.argsort(self.scans["age"].to_numpy(dtype=float), kind="stable")
        later = self.scans["participant_id"].iloc[order].duplicated().to_numpy()
        mask = np.zeros(len(order), dtype=bool)
        mask[order[~later]] = True
        return mask

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """The groups that are compared with the controls."""
        if "group" not in self.scans:
            return ()
        found = sorted(set(self.scans["group"].dropna()) - {self.config.control})
        return tuple(name for name in found if not self.config.groups or name in self.config.groups)

    @cached_property
    def patients(self) -> np.ndarray:
        """Scans of people with a disease: all but the controls (bool, one per scan)."""
        if "group" not in self.scans or self.config.control is None:
            return np.ones(len(self.scans), dtype=bool)
        return self.scans["group"].isin(self.groups).to_numpy()

    def covariates(self) -> tuple[str, ...]:
        """Columns that associations are adjusted for: those of the options and the treatment."""
        treatment = self.config.column("treatment")
        extra = (treatment,) if treatment and treatment not in self.config.covariates else ()
        return (*self.config.covariates, *extra)

    def control(self) -> str:
        """The control level of the diagnosis.

        Raises
        ------
        AnalysisError
            When none is named or nobody has it.
        """
        column, level = self.config.column("diagnosis"), self.config.control
        if level is None:
            raise AnalysisError(f"the analysis file names no control level of {column}; set control in [options]")
        if not (self.scans["group"] == level).any():
            found = ", ".join(sorted(set(self.scans["group"].dropna())))
            raise AnalysisError(f"nobody has {column} {level}; the levels are {found}")
        return level


def prepare(
    cohort: pd.DataFrame,
    zscores: pd.DataFrame,
    config: AnalysisConfig,
    visits: pd.DataFrame | None = None,
) -> CohortData:
    """Check and complete the tables of a cohort.

    Parameters
    ----------
    cohort : DataFrame
        One row per scan: ``participant_id age`` and, where known, ``session_id sex etiv_mm3`` and clinical columns.
    zscores : DataFrame
        Same rows in the same order; columns that are not reference regions are ignored.
    config : AnalysisConfig
    visits : DataFrame, optional
        Clinical visits, with or without a scan.

    Raises
    ------
    AnalysisError
        When the tables do not have the same rows or hold no reference region.
    """
    if len(cohort) != len(zscores):
        raise AnalysisError(f"the cohort has {len(cohort)} scans but the z-scores {len(zscores)}")
    regions = [name for name in reference_regions() if name in zscores.columns]
    if not regions or "participant_id" not in cohort or "age" not in cohort:
        raise AnalysisError("the cohort needs participant_id, age and z-scores of reference regions")
    z = zscores[regions].astype(float).reset_index(drop=True)
    scans = cohort.drop(columns=list(COUNTS), errors="ignore").reset_index(drop=True)
    scans = pd.concat([scans, count_table(z, config.regions, config.threshold)], axis=1)
    absent = tuple((role, name) for role, name in config.roles.items()
                   if name not in scans and (visits is None or name not in visits))  # fmt: skip
    roles = {role: name for role, name in config.roles.items() if (role, name) not in absent}
    kept = replace(config, roles=roles)
    for role in NUMERIC_ROLES:
        if roles.get(role) in scans:
            scans[roles[role]] = pd.to_numeric(scans[roles[role]], errors="coerce").astype(float)
    if roles.get("diagnosis") in scans:
        scans["group"] = labels(scans[roles["diagnosis"]])
    else:
        scans = scans.drop(columns="group", errors="ignore")
    seen = scans if visits is None else visits.reset_index(drop=True)
    return CohortData(scans, z, kept, seen, absent)
