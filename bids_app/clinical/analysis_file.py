"""Which column plays which role in the clinical statistics, and how they are done (``--analysis``).

The file is TOML with the tables ``[roles]``, ``[options]`` and ``[worsening]``; every key is optional. ``auto``
proposes one from the columns that the cohort has, and the proposal is written down so that it can be edited.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import Field, PositiveFloat

from bids_app.clinical.values import labels, looks_dated, numbers
from bids_app.clinical.worsening_options import WorseningOptions
from bids_app.errors import UsageError
from bids_app.normative.base import Z_CRITICAL
from bids_app.settings import Label, from_plain, refuse_unknown, to_toml
from bids_app.tables import read_toml

AUTO = "auto"
TABLES = ("roles", "worsening")
SCORES = {
    "edss": "EDSS",
    "pasat": "PASAT",
    "fss": "FSS",
    "sdmt": "SDMT",
    "nhpt": "9-hole peg test",
    "t25fw": "timed 25-foot walk",
    "disease_duration": "disease duration",
    "lesion_volume": "log(1 + lesion volume)",
    "lesion_count": "log(1 + number of lesions)",
}
# Roles whose values are many small and few very large: every model takes log(1 + value).
LOGGED = ("lesion_volume", "lesion_count")
ROLES = {
    "diagnosis": "column that tells people with a disease from controls",
    "edss": "Expanded Disability Status Scale",
    "pasat": "Paced Auditory Serial Addition Test (cognition)",
    "fss": "Fatigue Severity Scale",
    "sdmt": "Symbol Digit Modalities Test (cognition)",
    "nhpt": "9-hole peg test, seconds",
    "nhpt_other": "9-hole peg test of the other hand, seconds",
    "t25fw": "timed 25-foot walk, seconds",
    "disease_duration": "years since onset",
    "lesion_volume": "volume of the lesions at the scan, mm^3",
    "lesion_count": "number of lesions at the scan",
    "time": "years since the first visit (default: from the dates of the visits, else differences of age)",
    "visit_date": "date of the visit (default: acq_time of sessions.tsv or scans.tsv)",
    "relapse_dates": "dates of relapses, or years since the first visit, separated by ; or ,",
    "relapses": "number of relapses since the previous visit",
    "progression": "1 where disability has progressed (used instead of the EDSS rule)",
    "treatment": "treatment, a covariate",
    "scanner": "scanner, for longitudinal harmonisation",
    "treatment_start": "date of the start of treatment, or years since the first visit",
}
CONTROL_LEVELS = (
    "hc",
    "control",
    "controls",
    "healthy",
    "healthy control",
    "healthy controls",
    "ctrl",
    "con",
    "nc",
    "hv",
    "healthy volunteer",
    "normal",
    "cn",
    "no",
    "none",
    "0",
)
MOST_LEVELS = 20
# Names of columns after lower case and `_` for everything that is not a letter or digit; first match wins.
PATTERNS = {
    "diagnosis": r"(clinical_)?diagnosis|dx|dx_group|diagnostic_group|diagnosis_group|group|case_control|patient|ms|"
    r"is_patient|disease|cohort|arm|status",
    "edss": r"edss(_(total|score|step))?|expanded_disability_status_scale",
    "pasat": r"pasat(_?3s?)?(_(total|score|correct|z))?",
    "fss": r"fss(_(total|score|mean))?|fatigue_severity_scale",
    "sdmt": r"(oral_)?sdmt(_(total|score|correct|z))?",
    "nhpt": r"(nhpt|9_?hpt|nine_hole_peg(_test)?|9_hole_peg(_test)?)"
    r"(_(dominant|dom|mean|avg|average|time|s|sec|right))*",
    "nhpt_other": r"(nhpt|9_?hpt|nine_hole_peg(_test)?|9_hole_peg(_test)?)_(other|non_?dominant|nondom|ndom|left)"
    r"(_(mean|time|s|sec))*",
    "t25fw": r"(t25_?fwt?|25_?fwt?|timed_25_?(foot|ft)_walk(_test)?)(_(mean|avg|average|time|s|sec))*",
    "lesion_volume": r"(total_|t2_|flair_|wm_)*lesions?_?(volume|vol|load)(_(total|mm3|mm_3))*|tlv|lesion_volume_total",
    "lesion_count": r"(n|no|num|number|count)(_of)?_(t2_|wm_)*lesions?|(total_|t2_|wm_)*lesions?_?(count|number|num|n)",
    "disease_duration": r"(disease|ms|illness)_duration(_(years|yrs|y))?|duration_of_(disease|illness)(_years)?|"
    r"duration_(disease|illness|years)|years_since_(onset|diagnosis|first_symptoms?)|time_since_(onset|diagnosis)",
    "time": r"years_from_first|(time|years|yrs)_(since|from)_(baseline|first_visit|first_scan|inclusion)|"
    r"follow_?up_(time|years)|time_years|years_in_study",
    "visit_date": r"visit_date|date_of_(visit|exam(ination)?|assessment|scan|mri)|"
    r"(exam(ination)?|assessment|session|scan|mri)_date|[a-z0-9_]+_visit_date",
    "relapse_dates": r"dates?_(of_)?relapses?(_onset)?|relapses?_((onset_)?(dates?|times?|years)|onset|start)",
    "relapses": r"(n|no|num|number)(_of)?_relapses?|relapses?(_(count|number|n|since_last(_visit)?))?",
    "progression": r"cdp|confirmed_(disability_)?progression|disability_progression|progression(_event)?|progressed",
    "treatment": r"treatment(_(group|type))?|dmt|therapy|dmd|medication|drug",
    "scanner": r"scanner(_?id)?|scanner_(name|model)|mri_scanner|device_serial_number",
    "treatment_start": r"(treatment|dmt|therapy|dmd)_(start|onset|begin)(_date)?|start_(of_)?(treatment|dmt|therapy)|"
    r"date_of_(treatment|dmt|therapy)_start|years_(from|to)_treatment",
}


@dataclass(frozen=True, kw_only=True)
class AnalysisConfig:
    """Roles of columns and options of the clinical statistics.

    Parameters
    ----------
    roles : mapping
        Role (see `ROLES`) to column.
    control : str or None
        Level of the diagnosis column that the others are compared with.
    groups : tuple of str
        Levels that are compared with the controls; empty: every other level.
    pool_groups : bool
        Take several groups of people with a disease as one in scores, risk and survival; otherwise models have a term
        for the group, and tests are within groups.
    covariates : tuple of str
        Columns that associations are adjusted for.
    regions : str or tuple of str
        Regions whose deviations are counted: ``all``, ``cortical``, ``subcortical`` or names.
    threshold : float
        Absolute z from which a deviation counts.
    match_ratio : int
        Controls per person; 0: no matching.
    match_covariates, match_exact : tuple of str
        Columns of the propensity score, and columns in which matched people must agree.
    missing : str
        ``complete`` (leave out), ``impute`` (multiple imputation, Rubin's rules) or ``average`` (mean of the
        imputed values, as in the source study).
    imputations, seed : int
    random_slope : bool
        Longitudinal models also get a random slope of time per person.
    baseline_days : float
        The baseline of progression is the EDSS nearest the first scan, at most so many days before or after it.
    confirmation_months : float
        How long a rise of EDSS must last to be confirmed.
    confirmation_tolerance_days : float
        How many days earlier than that the confirming visit may be.
    roving_baseline : bool
        A confirmed lower EDSS becomes the new baseline of progression.
    relapse_free_days : float
        EDSS this soon after a relapse neither starts nor confirms progression (needs relapse dates); 0: all counts.
    incomparable : str
        What rates of volumes do with scans of a person that cannot be compared (scanner, FreeSurfer version or stream,
        filling, eTIV, quality): ``leave out``, ``include``, or ``harmonise`` (over scanners, by longitudinal ComBat;
        those that differ in something else are left out).
    rebaseline_months : float
        Rates of volumes are also given from so many months after the start of treatment (needs treatment_start).
    risk_rule : str or int
        ``reference`` (97.5th centile of healthy people), ``data`` (chosen on the cohort) or a number of
        infra-normal deviations.
    bootstrap : int
        Bootstrap samples for intervals of risk groups.
    worsening : WorseningOptions
        The table ``[worsening]``.
    """

    roles: Mapping[str, str] = field(default_factory=dict)
    control: Label | None = None
    groups: tuple[Label, ...] = ()
    pool_groups: bool = False
    covariates: tuple[Label, ...] = ()
    regions: str | tuple[Label, ...] = "all"
    threshold: PositiveFloat = Z_CRITICAL
    match_ratio: Annotated[int, Field(ge=0)] = 1
    match_covariates: tuple[Label, ...] = ("age", "sex", "etiv_mm3")
    match_exact: tuple[Label, ...] = ()
    missing: Literal["complete", "impute", "average"] = "complete"
    imputations: Annotated[int, Field(ge=2)] = 5
    seed: int = 1
    random_slope: bool = False
    baseline_days: Annotated[float, Field(ge=0)] = 90.0
    confirmation_months: PositiveFloat = 6.0
    confirmation_tolerance_days: Annotated[float, Field(ge=0)] = 30.0
    roving_baseline: bool = False
    relapse_free_days: Annotated[float, Field(ge=0)] = 0.0
    incomparable: Literal["leave out", "include", "harmonise"] = "leave out"
    rebaseline_months: Annotated[float, Field(ge=0)] = 6.0
    risk_rule: Literal["reference", "data"] | Annotated[int, Field(ge=1)] = "reference"
    bootstrap: Annotated[int, Field(ge=0)] = 1000
    worsening: WorseningOptions = field(default_factory=WorseningOptions)

    def column(self, role: str) -> str | None:
        """Column of `role`, None when it has none."""
        return self.roles.get(role)

    def scores(self) -> dict[str, str]:
        """Column to shown name of the clinical scores that have a column."""
        return {self.model_column(role): shown for role, shown in SCORES.items() if role in self.roles}

    def model_column(self, role: str) -> str:
        """The column that models take for a role that has one: that of its logarithm where `LOGGED`."""
        return f"log1p_{self.roles[role]}" if role in LOGGED else self.roles[role]

    def to_toml(self) -> str:
        """This configuration as TOML; roles without a column are comments that say what they are for."""
        roles = to_toml({"roles": {key: self.roles[key] for key in ROLES if key in self.roles}})
        unused = "".join(f'# {key} = "column"  # {what}\n' for key, what in ROLES.items() if key not in self.roles)
        options = {key: value for key, value in vars(self).items() if key not in TABLES}
        rest = to_toml({"options": options, "worsening": vars(self.worsening)})
        return f"{roles}{unused}\n{rest}"


def read_analysis(path: Path | str) -> AnalysisConfig:
    """Read an analysis file.

    Raises
    ------
    UsageError
        When it is not TOML or has unknown keys or impossible values; the message names the file.
    """
    return from_mapping(read_toml(Path(path)), str(path))


def from_mapping(content: Mapping[str, Any], source: str = "the analysis file") -> AnalysisConfig:
    """Build a configuration from the tables ``roles`` and ``options``; `source` names the file in messages."""
    refuse_unknown(content, ("roles", "options", "worsening"), f"{source}: ", "table")
    roles, options, worsening = (content.get(name, {}) for name in ("roles", "options", "worsening"))
    refuse_unknown(roles, ROLES, f"{source}: ", "role")
    wrong = sorted(key for key, value in roles.items() if not isinstance(value, str))
    if wrong:
        raise UsageError(f"{source}: the role {wrong[0]} must be the name of a column in quotes")
    refuse_unknown(options, [item.name for item in fields(AnalysisConfig) if item.name not in TABLES], f"{source}: ")
    own = from_plain(WorseningOptions, worsening, source, "option of [worsening]")
    return replace(from_plain(AnalysisConfig, options, source), roles=dict(roles), worsening=own)


def propose(cohort: pd.DataFrame) -> tuple[AnalysisConfig, str]:
    """A configuration from the names and values of the columns of `cohort`, and its text to write down.

    Parameters
    ----------
    cohort : DataFrame

    Returns
    -------
    AnalysisConfig
    str
        TOML with remarks on what was chosen.
    """
    roles: dict[str, str] = {}
    remarks: list[str] = []
    for role, pattern in PATTERNS.items():
        found = [
            name for name in _by_preference(cohort, pattern) if _fits(role, cohort[name]) and name not in roles.values()
        ]
        if found:
            roles[role] = found[0]
        if len(found) > 1:
            remarks.append(f"{role}: {found[0]} was taken; {', '.join(found[1:])} would fit too")
    control = control_level(cohort[roles["diagnosis"]]) if "diagnosis" in roles else None
    config = AnalysisConfig(roles=roles, control=control)
    head = ["Proposed by normvol from the columns of the cohort; edit it and give it to --analysis.", *remarks]
    return config, "".join(f"# {line}\n" for line in head) + config.to_toml()


def _by_preference(cohort: pd.DataFrame, pattern: str) -> list[str]:
    """Columns whose whole name matches, in the order of the pattern's alternatives."""
    names = {str(name): re.sub(r"[^a-z0-9]+", "_", str(name).lower()).strip("_") for name in cohort.columns}
    found = []
    for alternative in _alternatives(pattern):
        found += [name for name, plain in names.items() if re.fullmatch(alternative, plain) and name not in found]
    return found


def _alternatives(pattern: str) -> list[str]:
    """The alternatives of a pattern at its top level."""
    parts, depth, current = [], 0, ""
    for character in pattern:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "|" and depth == 0:
            parts.append(current)
            current = ""
        else:
            current += character
    return [*parts, current]


def grouping_column(cohort: pd.DataFrame) -> str | None:
    """The column that is named like a diagnosis and has levels, none of which is known to mean healthy.

    Parameters
    ----------
    cohort : DataFrame

    Returns
    -------
    str or None
    """
    for name in _by_preference(cohort, PATTERNS["diagnosis"]):
        if _has_levels(cohort[name]) and control_level(cohort[name]) is None:
            return name
    return None


def _has_levels(values: pd.Series) -> bool:
    return bool(2 <= values.nunique() <= MOST_LEVELS)


def _fits(role: str, values: pd.Series) -> bool:
    """Whether the values of a column can play a role."""
    known = values.dropna()
    if role == "diagnosis":
        return _has_levels(known) and control_level(known) is not None
    if role in ("treatment", "scanner", "relapse_dates"):
        return bool(known.nunique() >= (1 if role == "relapse_dates" else 2))
    if role == "visit_date":
        return looks_dated(known)
    if role == "treatment_start" and looks_dated(known):
        return True
    found = numbers(known)
    return bool(len(known) and found.notna().mean() > 0.9 and found.nunique() > 1)


def control_level(values: pd.Series) -> str | None:
    """The level of a diagnosis column that means healthy, None when no level says so.

    Parameters
    ----------
    values : Series

    Returns
    -------
    str or None
        As it is spelt in the column.
    """
    levels = {re.sub(r"[\s_-]+", " ", level.strip().lower()): level for level in labels(values).dropna().unique()}
    return next((levels[name] for name in CONTROL_LEVELS if name in levels), None)


def load_analysis(spec: str, cohort: pd.DataFrame, visits: pd.DataFrame | None = None) -> tuple[AnalysisConfig, str]:
    """The configuration that ``--analysis`` asks for, and its text to write into the output dataset.

    Parameters
    ----------
    spec : str
        ``auto`` or the path of a TOML file.
    cohort : DataFrame
        The columns of which ``auto`` chooses.
    visits : DataFrame, optional
        Clinical visits; of columns without any value in `cohort` these values count.

    Returns
    -------
    config : AnalysisConfig
    text : str
        TOML.
    """
    if spec == AUTO:
        known = {} if visits is None else {name for name in visits if visits[name].notna().any()}
        empty = [name for name in known if name not in cohort or cohort[name].isna().all()]
        if visits is None or not empty:
            return propose(cohort)
        kept = cohort.drop(columns=empty, errors="ignore").reset_index(drop=True)
        return propose(pd.concat([kept, visits[[n for n in visits if n in empty]].reset_index(drop=True)], axis=1))
    config = read_analysis(spec)
    return config, config.to_toml()
