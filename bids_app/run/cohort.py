"""The group level: tables over all scored scans, made from the participant level's files alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bids_app.bids.columns import columns_for
from bids_app.bids.derivatives import read_summaries, read_wide
from bids_app.bids.status import read_statuses
from bids_app.clinical.analyses import group_tables
from bids_app.errors import InputError
from bids_app.regions import reference_regions
from bids_app.tables import write_tsv

GROUP_COLUMNS = ("group", "diagnosis", "dx", "dx_group", "cohort", "status", "patient", "arm")
KEYS = ["participant_id", "session_id"]


@dataclass(frozen=True)
class Cohort:
    """All scored scans: summaries, one row per scan, z and volumes with one column per region, inclusion."""

    summaries: tuple[Mapping[str, Any], ...]
    scans: pd.DataFrame
    zscores: pd.DataFrame
    extended: pd.DataFrame
    volumes: pd.DataFrame
    inclusion: pd.DataFrame

    def baseline(self) -> pd.Series:
        """Whether each scan is its person's first (by age), for statistics that take one scan per person."""
        order = self.scans.sort_values(["age", "session_id"], kind="stable", na_position="first")
        return ~order.duplicated("participant_id").reindex(self.scans.index)


def read_cohort(output_dir: Path, exclude_quality: Iterable[str] = ()) -> Cohort:
    """Collect what the participant level wrote.

    Scans whose last run left them out or failed, and scans with an excluded quality verdict, are not in
    the tables but stay in `inclusion` with their reason.

    Raises
    ------
    InputError
        When nothing was scored.
    """
    inclusion = group_tables.inclusion_table(read_statuses(output_dir).to_dict("records"))
    excluded = set(exclude_quality)
    kept, kept_out = [], []
    omitted = {_key(row) for row in inclusion[inclusion["status"] != "scored"].to_dict("records")}
    for summary in read_summaries(output_dir):
        if summary["quality"]["verdict"] in excluded:
            kept_out.append(summary)
        elif _key(summary) not in omitted:
            kept.append(summary)
    if not kept:
        raise InputError(f"no scored scan in {output_dir}", "run the participant level first")
    keys = [_key(summary) for summary in kept]
    scans = _with_groups(group_tables.scan_table(kept), kept)
    zscores = read_wide(output_dir, keys, "deviations", "z")
    ordered = [name for name in reference_regions() if name in zscores]
    return Cohort(
        tuple(kept),
        scans,
        zscores[[*KEYS, *ordered]],
        read_wide(output_dir, keys, "extended", "z").merge(read_wide(output_dir, keys, "asymmetry", "z"), on=KEYS),
        read_wide(output_dir, keys, "volumes", "volume_mm3"),
        _mark_excluded(inclusion, kept_out),
    )


def write_group_tables(cohort: Cohort, output_dir: Path, steps: Mapping[str, str] = group_tables.STEPS) -> list[Path]:
    """Write every descriptive table of the group level; `steps` are those of the flow.

    A cohort without summaries (from plain tables) has no table of quality, and tables that would say nothing
    are left out; such tables of an earlier run are removed.
    """
    first = cohort.baseline().to_numpy()
    groups = cohort.scans["group"][first] if "group" in cohort.scans else None
    tables = {
        "inclusion": cohort.inclusion,
        "flow": group_tables.flow_table(cohort.inclusion, steps),
        "deviations": cohort.scans,
        "zscores": cohort.zscores,
        "extended": cohort.extended,
        "volumes": cohort.volumes,
        "cohort": group_tables.cohort_table(cohort.scans),
        "counts": group_tables.counts_table(cohort.scans),
        "prevalence": group_tables.prevalence_table(cohort.zscores[first], groups),
        "sites": group_tables.site_table(cohort.scans, cohort.zscores),
        "quality": group_tables.quality_table(cohort.summaries),
    }
    absent = () if cohort.summaries else _without_content(cohort)
    for name in absent:
        for suffix in (".tsv", ".json"):
            (output_dir / f"group_{name}{suffix}").unlink(missing_ok=True)
    return [
        write_tsv(table, output_dir / f"group_{name}.tsv", _described(f"group_{name}", table))
        for name, table in tables.items()
        if name not in absent
    ]


def _without_content(cohort: Cohort) -> tuple[str, ...]:
    """Tables that plain tables do not give: quality, and those that they have no column for."""
    known_sites = "site" in cohort.scans or cohort.scans["fs_version"].notna().any()
    empty = {
        "quality": True,
        "sites": not known_sites,
        "extended": cohort.extended.shape[1] == len(KEYS),
        "volumes": cohort.volumes.shape[1] == len(KEYS),
    }
    return tuple(name for name, absent in empty.items() if absent)


def _described(name: str, table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """The dictionary of a group table; a structure that the region table does not know keeps FreeSurfer's name."""
    known = columns_for(name)
    unknown = (
        {
            column: {"Description": f"{column}, as FreeSurfer's statistics name it"}
            for column in table.columns
            if column not in known
        }
        if name == "group_volumes"
        else {}
    )
    return {**known, **unknown}


def _key(row: Mapping[str, Any]) -> tuple[str, str | None]:
    session = row.get("session_id")
    return str(row["participant_id"]), session if isinstance(session, str) else None


def _with_groups(scans: pd.DataFrame, summaries: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Add ``group`` and ``site`` from the covariates that the scans carry, where there are such columns."""
    others = [summary["covariates"].get("other", {}) for summary in summaries]
    added = {}
    for name, candidates in (("group", GROUP_COLUMNS), ("site", group_tables.SITE_COLUMNS)):
        column = _first_column(others, candidates)
        if column is not None:
            added[name] = [None if other.get(column) is None else str(other[column]) for other in others]
    return scans.assign(**added)


def _first_column(others: Sequence[Mapping[str, Any]], candidates: Iterable[str]) -> str | None:
    present = {name.lower(): name for other in others for name in other}
    return next((present[name] for name in candidates if name in present), None)


def _mark_excluded(inclusion: pd.DataFrame, excluded: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Say of scans excluded by their quality that and why they are out."""
    inclusion = inclusion.copy()
    reasons = {_key(summary): "; ".join(summary["quality"]["reasons"]) for summary in excluded}
    for index, row in inclusion.iterrows():
        if _key(row) in reasons:
            inclusion.loc[index, ["status", "stage", "reason", "remedy"]] = [
                "excluded",
                "quality",
                reasons[_key(row)],
                "leave out --exclude-quality to include it",
            ]
    return inclusion
