"""The cohort as every analysis gets it, checked once: scans, z-scores, roles (`scored_scans`: what was scored)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from bids_app.bids.columns import KEYS
from bids_app.clinical.analysis_file import LOGGED, AnalysisConfig
from bids_app.clinical.cohort_findings import (
    as_findings,
    contradicting,
    mixing_streams,
    of_groups,
    same_everywhere,
    unit_doubt,
    with_z,
)
from bids_app.clinical.deviations import ExpectedCount, count_table, expected_counts, first_scans
from bids_app.clinical.typed import YEARS_FROM_FIRST, typed
from bids_app.clinical.values import labels, level_key, numbers, spelling_notes, spellings
from bids_app.clinical.wording import listing, plural
from bids_app.errors import AnalysisError
from bids_app.findings import Finding
from bids_app.normative.base import Z_CRITICAL
from bids_app.regions import counted_among
from bids_app.tables import typed_cells

COUNTS = ("n_infra", "n_supra", "n_total", "n_regions")
T = TypeVar("T")


@dataclass(frozen=True)
class Measured:
    """What the scans of a cohort measure beside z of the reference regions; same rows in every table.

    Parameters
    ----------
    volumes : DataFrame
        mm^3, one column per region.
    extended : DataFrame
        z beyond the reference regions, as far as they were scored.
    healthy : DataFrame or None
        Median volumes of healthy people of the age and sex of each scan and the head size of its person.
    """

    volumes: pd.DataFrame
    extended: pd.DataFrame
    healthy: pd.DataFrame | None = None

    def pick(self, rows: np.ndarray) -> Measured:
        """Some of the rows, numbered anew from 0.

        Parameters
        ----------
        rows : (n,) array of bool

        Returns
        -------
        Measured
        """
        tables = (self.volumes, self.extended, self.healthy)
        kept = [
            None if table is None else table.reset_index(drop=True)[rows].reset_index(drop=True) for table in tables
        ]
        return Measured(*kept)


@dataclass(frozen=True)
class CohortData:
    """What the analyses of one cohort share.

    Parameters
    ----------
    scans : DataFrame
        One row per scan, index 0..n-1: ``participant_id session_id age sex etiv_mm3``, the counts under the
        configuration's regions and threshold, ``group`` (level of the diagnosis as text, the same at all scans of a
        person) and every other column.
    zscores : DataFrame
        Same rows, one column per reference region.
    config : AnalysisConfig
        Only roles whose column exists.
    visits : DataFrame
        One row per clinical visit, with or without a scan; `scans` when there is no such table.
    absent : mapping-like tuple of (role, column)
        Roles of the configuration whose column is not in the cohort.
    findings : tuple of Finding
        Values that cannot be used, regions without z, people who contradict themselves or are in no group.
    healthy : DataFrame or None
        What a healthy person shows in place of each scan, by the model (`group_tables.expected_table`).
    measured : Measured or None
        Volumes and further z of the same scans, where they are at hand.
    """

    scans: pd.DataFrame
    zscores: pd.DataFrame
    config: AnalysisConfig
    visits: pd.DataFrame
    absent: tuple[tuple[str, str], ...] = ()
    findings: tuple[Finding, ...] = ()
    healthy: pd.DataFrame | None = None
    measured: Measured | None = None
    _known: dict[Callable[[CohortData], Any], Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def once(self, make: Callable[[CohortData], T]) -> T:
        """What `make` works out of the cohort, which several analyses ask for."""
        if make not in self._known:
            self._known[make] = make(self)
        found: T = self._known[make]
        return found

    @property
    def notes(self) -> tuple[str, ...]:
        """`findings` as sentences."""
        return tuple(f"{finding.seen}." for finding in self.findings)

    def expected(self, tail: str, counts: pd.DataFrame | None = None) -> pd.DataFrame:
        """``mean low high`` of a healthy person's number of deviations in place of each scan.

        Parameters
        ----------
        tail : str
        counts : DataFrame, optional
            ``n_regions`` of another set of regions (rows of `scans`); default: the regions that are counted.

        Returns
        -------
        DataFrame
        """
        usual = self.config.regions == "all" and self.config.threshold == Z_CRITICAL
        if counts is None and usual and self.healthy is not None:
            own = self.healthy[[f"{tail}_{bound}" for bound in ExpectedCount._fields]]
            return own.set_axis(ExpectedCount._fields, axis=1)
        rows = self.scans if counts is None else counts
        return expected_counts(rows["n_regions"], tail, self.config.threshold).set_axis(rows.index)

    @cached_property
    def first(self) -> np.ndarray:
        """Whether each scan is its person's first, by age (bool, one per scan).

        Returns
        -------
        (n,) bool array
            One per scan; True once per person.
        """
        return first_scans(self.scans)

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """The groups that are compared with the controls."""
        if "group" not in self.scans:
            return ()
        found = sorted(set(self.scans["group"].dropna()) - {self.config.control})
        return tuple(name for name in found if not self.config.groups or name in self.config.groups)

    @cached_property
    def patients(self) -> np.ndarray:
        """Scans of people with a disease: all but the controls (bool, one per scan).

        Returns
        -------
        (n,) bool array
            All True where the cohort has no group or no control level.
        """
        if "group" not in self.scans or self.config.control is None:
            return np.ones(len(self.scans), dtype=bool)
        return self.scans["group"].isin(self.groups).to_numpy()

    @property
    def counting(self) -> str:
        """The sentence that says what counts as a deviation, for methods."""
        regions = self.config.regions
        if isinstance(regions, str):
            named = "all reference regions" if regions == "all" else f"the {regions} regions"
        else:
            named = f"the {plural(len(regions), 'region')} of the analysis file"
        return f"Deviations are counted with |z| >= {self.config.threshold:g} over {named}."

    @property
    def counting_note(self) -> tuple[str, ...]:
        """`counting` as a sentence for the reader where it is not the usual one."""
        usual = self.config.regions == "all" and self.config.threshold == Z_CRITICAL
        return () if usual else (self.counting,)

    def clock(self, table: pd.DataFrame) -> str:
        """The column of `table` that tells time: the role time, else years since the first visit, else age.

        Parameters
        ----------
        table : DataFrame
            Scans with ``age`` and, possibly, a column of time.

        Returns
        -------
        str
            The name of a column of `table`, in years.
        """
        for name in (self.config.column("time"), YEARS_FROM_FIRST):
            if name in table and numbers(table[name]).notna().any():
                return str(name)
        return "age"

    @property
    def strata(self) -> tuple[str, ...]:
        """``group`` where people with a disease are in several groups that are not pooled."""
        return ("group",) if len(self.groups) > 1 and not self.config.pool_groups else ()

    @property
    def strata_note(self) -> tuple[str, ...]:
        """A sentence on how several groups of people with a disease enter; none for one group."""
        if len(self.groups) < 2:
            return ()
        named = listing(list(self.groups))
        if self.strata:
            return (f"Groups {named} are in one model with a term for the group.",)
        return (f"Groups {named} are pooled, as pool_groups asks; differences between them are part of the result.",)

    def scores(self) -> dict[str, str]:
        """Column of each clinical score that the scans have, and how it is called."""
        return {column: shown for column, shown in self.config.scores().items() if column in self.scans}

    def covariates(self) -> tuple[str, ...]:
        """Columns that associations are adjusted for: those of the options, the treatment and several groups."""
        treatment, diagnosis = self.config.column("treatment"), self.config.column("diagnosis")
        logged = {
            self.config.column(role): self.config.model_column(role) for role in LOGGED if role in self.config.roles
        }
        named = tuple(logged.get(name, name) for name in self.config.covariates)
        extra = (treatment,) if treatment and treatment not in named else ()
        strata = self.strata if diagnosis not in named else ()
        return (*named, *extra, *strata)

    def control(self) -> str:
        """The control level of the diagnosis.

        Raises
        ------
        AnalysisError
            When none is named or nobody has it.
        """
        column, level = self.config.column("diagnosis"), self.config.control
        if level is None:
            raise AnalysisError(f"the analysis file names no control level of {column}", "set control in [options]")
        if not (self.scans["group"] == level).any():
            found = ", ".join(sorted(set(self.scans["group"].dropna())))
            raise AnalysisError(f"nobody has {column} {level}", f"the levels are {found}")
        return level


def prepare(
    cohort: pd.DataFrame,
    zscores: pd.DataFrame,
    config: AnalysisConfig,
    visits: pd.DataFrame | None = None,
    expected: pd.DataFrame | None = None,
    measured: Measured | None = None,
) -> CohortData:
    """Check and complete the tables of a cohort.

    Parameters
    ----------
    cohort : DataFrame
        One row per scan: ``participant_id age`` and, where known, ``session_id sex etiv_mm3`` and clinical columns.
    zscores : DataFrame
        Same rows in the same order; columns that are not reference regions are ignored.
    config : AnalysisConfig
    visits, expected, measured : optional
        As for `run_analysis`.

    Returns
    -------
    CohortData

    Raises
    ------
    AnalysisError
        When the tables have different rows or no reference region.
    """
    if len(cohort) != len(zscores):
        raise AnalysisError(f"the cohort has {len(cohort)} scans but the z-scores {len(zscores)}")
    cohort, visits = _with_text_ids(cohort), None if visits is None else _with_text_ids(visits)
    regions = counted_among(zscores)
    if not regions or "participant_id" not in cohort or "age" not in cohort:
        raise AnalysisError("the cohort needs participant_id, age and z-scores of reference regions")
    z = zscores[regions].astype(float).reset_index(drop=True)
    scans = cohort.drop(columns=list(COUNTS), errors="ignore").reset_index(drop=True)
    seen = scans if visits is None else visits.reset_index(drop=True)
    absent = tuple((role, name) for role, name in config.roles.items() if name not in scans and name not in seen)
    roles = {role: name for role, name in config.roles.items() if (role, name) not in absent}
    scans, seen, kept, joined = _one_spelling(scans, seen, replace(config, roles=roles))
    scans, seen, unread = typed(scans, seen, roles)
    some = z.notna().any(axis=1).to_numpy()
    healthy = None if expected is None else expected.reset_index(drop=True)[some].reset_index(drop=True)
    measured = None if measured is None else measured.pick(some)
    scans, z, unscored = with_z(scans, z)
    scans = pd.concat([scans, count_table(z, config.regions, config.threshold)], axis=1)
    scans, contradictions, grouped = _persons(scans, kept)
    sentences = {
        "levels-joined": joined,
        "values-unusable": unread,
        "lesion-unit": unit_doubt(scans, roles.get("lesion_volume")),
        "z-missing": unscored,
        "z-constant": same_everywhere(z),
        "people-contradict": contradictions,
        "streams-mixed": mixing_streams(scans),
        "group-unknown": grouped,
    }
    return CohortData(scans, z, kept, seen, absent, as_findings(sentences), healthy, measured)


def _with_text_ids(table: pd.DataFrame) -> pd.DataFrame:
    """`table` with its ids as columns of text, whether they were numbers, categories or the index; 1.0 is ``1``."""
    named = [name for name in KEYS if name in table.index.names and name not in table]
    table = table.reset_index(level=named) if named else table
    ids = [name for name in KEYS if name in table]
    if "participant_id" in ids and (lost := int(table["participant_id"].isna().sum())):
        raise AnalysisError(
            f"{plural(lost, 'row')} of the cohort {'has' if lost == 1 else 'have'} no participant_id", "fill it in"
        )
    return table.assign(**typed_cells(table[ids].astype(object), ids))


def _persons(scans: pd.DataFrame, config: AnalysisConfig) -> tuple[pd.DataFrame, list[str], list[str]]:
    """`scans` with one group and sex per person, who contradicts themself, and who is in no group."""
    contradictions = contradicting(scans)
    grouped: list[str] = []
    column = config.column("diagnosis")
    if column in scans:
        level = labels(scans[column])
        scans["group"] = _of_person(level, scans)
        changing, grouped = of_groups(scans, level, config)
        contradictions += changing
    else:
        scans = scans.drop(columns="group", errors="ignore")
    if "sex" in scans:
        scans["sex"] = _of_person(scans["sex"], scans)
    return scans, contradictions, grouped


def _one_spelling(
    scans: pd.DataFrame, visits: pd.DataFrame, config: AnalysisConfig
) -> tuple[pd.DataFrame, pd.DataFrame, AnalysisConfig, list[str]]:
    """Both tables and the configuration with levels that differ in case or blanks as one, and which these are."""
    named = [config.column(role) for role in ("diagnosis", "treatment", "scanner")]
    columns = dict.fromkeys([*filter(None, named), *config.covariates, *config.match_covariates, *config.match_exact])
    notes: list[str] = []
    for name in columns:
        spelled = spellings(table[name] for table in (scans, visits) if name in table)
        if any(cell != chosen for cell, chosen in spelled.items()):
            scans, visits = (
                table.assign(**{name: table[name].replace(spelled)}) if name in table else table
                for table in (scans, visits)
            )
            notes += spelling_notes(name, spelled)
        if name == config.column("diagnosis"):
            chosen = {level_key(level): level for level in spelled.values()}
            control = chosen.get(level_key(config.control), config.control) if config.control is not None else None
            groups = tuple(chosen.get(level_key(level), level) for level in config.groups)
            config = replace(config, control=control, groups=groups)
    return scans, visits, config, notes


def _of_person(level: pd.Series, scans: pd.DataFrame) -> pd.Series:
    """The level at each person's first scan that has one: a person stays in one group."""
    order = np.argsort(scans["age"].to_numpy(dtype=float), kind="stable")
    known = level.iloc[order].dropna()
    first = known.groupby(scans["participant_id"].loc[known.index].to_numpy()).first()
    return scans["participant_id"].map(first).astype(object)
