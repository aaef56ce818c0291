"""The scans of a group that were scored, whatever scored them, and the descriptive tables that are written of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from bids_app.bids.columns import columns_for
from bids_app.bids.group_files import group_file, settle
from bids_app.bids.scan_tables import KEYS, KeptTables
from bids_app.clinical.analyses import group_tables, prevalence
from bids_app.clinical.analyses.surface_counts import surface_counts
from bids_app.clinical.cohort import Measured
from bids_app.clinical.volume_change import healthy_volumes, rate_regions
from bids_app.errors import NormvolError
from bids_app.normative.base import NormativeModel
from bids_app.regions import ETIV
from bids_app.tables import PARQUET_FROM, write_parquet, write_tsv


@dataclass(frozen=True)
class ScoredScans:
    """All scored scans: summaries, one row per scan, z and volumes with one column per region, inclusion.

    `origin` holds the columns of the source tables that split the scans (scanner, diagnosis) under their own names;
    `told` what healthy people of the model show in place of each scan, as ``counts.expected`` of a summary, where
    scans have no summaries; `tables` the scans' own tables of deviations, where they were read from such.
    """

    summaries: tuple[Mapping[str, Any], ...]
    scans: pd.DataFrame
    zscores: pd.DataFrame
    extended: pd.DataFrame
    volumes: pd.DataFrame
    inclusion: pd.DataFrame
    origin: pd.DataFrame = field(default_factory=pd.DataFrame)
    told: tuple[Mapping[str, Any], ...] = ()
    tables: KeptTables | None = None

    def expected(self) -> pd.DataFrame:
        """What a healthy person shows in place of each scan (`group_tables.expected_table`).

        Returns
        -------
        DataFrame
            One row per scan, see `group_tables.expected_table`.
        """
        return group_tables.expected_table(self.scans, self.summaries or self.told)

    def measured(self, model: NormativeModel | None = None) -> Measured:
        """Volumes and further z of the scans, and what healthy people have in their place by `model`."""
        tables = (self.volumes, self.extended, self.zscores)
        volumes, extended, z = (table.drop(columns=KEYS, errors="ignore") for table in tables)
        # A volume that has no z was refused as impossible when it was scored.
        scored = pd.concat([z, extended], axis=1)
        both = [name for name in volumes if name in scored and scored[name].notna().any()]
        volumes = volumes.assign(**{name: volumes[name].where(scored[name].notna()) for name in both})
        return Measured(volumes, extended, None if model is None else self._healthy(model))

    def _healthy(self, model: NormativeModel) -> pd.DataFrame | None:
        """Median healthy volumes; None where the model cannot tell. One head size and version per person, no
        adaptation: what is asked of them is how they change."""
        scans = self.scans.reset_index(drop=True)
        person = scans["participant_id"]
        etiv = scans["etiv_mm3"].groupby(person).transform("median")
        version = scans["fs_version"].groupby(person).transform("last")
        rows = pd.concat([self.origin.reset_index(drop=True), scans[["age", "sex"]]], axis=1)
        rows = rows.assign(**{ETIV: etiv, "fs_version": version})
        known = rows["age"].notna() & rows["sex"].notna() & etiv.notna()
        try:
            return healthy_volumes(model, rows[known], rate_regions()).reindex(scans.index)
        except NormvolError:
            return None

    def baseline(self) -> pd.Series:
        """Whether each scan is its person's first (by age), for statistics that take one scan per person.

        Returns
        -------
        Series of bool
            With the index of the scans.
        """
        order = self.scans.sort_values(["age", "session_id"], kind="stable", na_position="first")
        return ~order.duplicated("participant_id").reindex(self.scans.index)


TABLES_OF_SCANS = ("deviations", "zscores", "extended", "volumes", "inclusion", "quality")


def write_group_tables(
    scored: ScoredScans, output_dir: Path, steps: Mapping[str, str] = group_tables.STEPS
) -> list[Path]:
    """Write every descriptive table of the group level; `steps` are those of the flow.

    Scans without summaries (of plain tables) have no table of quality, and tables that would say nothing
    are left out; such tables of an earlier run are removed.
    """
    first = scored.baseline().to_numpy()
    groups = scored.scans["group"][first] if "group" in scored.scans else None
    tables = {
        "inclusion": scored.inclusion,
        "flow": group_tables.flow_table(scored.inclusion, steps),
        "deviations": scored.scans,
        "zscores": scored.zscores,
        "extended": scored.extended,
        "volumes": _model_input(scored),
        "cohort": group_tables.cohort_table(scored.scans),
        "counts": group_tables.counts_table(scored.scans, scored.expected()),
        "prevalence": prevalence.prevalence_table(scored.zscores[first], groups),
        "sites": group_tables.site_table(scored.scans, scored.zscores),
        "surfaces": surface_counts(
            scored.scans, pd.concat([scored.zscores, scored.extended], axis=1), scored.summaries or scored.told
        ),
        "quality": group_tables.quality_table(scored.summaries),
    }
    settle(Path(output_dir))
    absent = () if scored.summaries else _without_content(scored)
    absent += () if len(tables["surfaces"]) else ("surfaces",)
    for name in absent:
        for suffix in (".tsv", ".json"):
            group_file(output_dir, name, suffix).unlink(missing_ok=True)
    for name in TABLES_OF_SCANS:
        path = group_file(output_dir, name, ".parquet")
        if name in absent or len(scored.scans) < PARQUET_FROM:
            path.unlink(missing_ok=True)
        else:
            write_parquet(tables[name], path)
    return [
        write_tsv(table, group_file(output_dir, name), _described(f"group_{name}", table))
        for name, table in tables.items()
        if name not in absent
    ]


def _model_input(scored: ScoredScans) -> pd.DataFrame:
    """The volumes with everything that scoring, adapting or training on them needs."""
    scans, volumes = scored.scans, scored.volumes.drop(columns=KEYS)
    own = scans["flavour"].isna() | (scans["flavour"] == "freesurfer")
    program = {"fs_version": scans["fs_version"].where(own), "flavour": scans["flavour"]}
    known = {name: values for name, values in program.items() if values.notna().any()}
    etiv = volumes[ETIV] if ETIV in volumes else scans["etiv_mm3"].rename(ETIV)
    parts = [scans[[*KEYS, "age", "sex"]].assign(**known), scored.origin.drop(columns=known, errors="ignore"), etiv]
    return pd.concat([*parts, volumes.drop(columns=ETIV, errors="ignore")], axis=1)


def _without_content(scored: ScoredScans) -> tuple[str, ...]:
    """Tables that plain tables do not give: quality, and those that they have no column for."""
    known_sites = "site" in scored.scans or scored.scans["fs_version"].notna().any()
    empty = {
        "quality": True,
        "sites": not known_sites,
        "extended": scored.extended.shape[1] == len(KEYS),
        "volumes": scored.volumes.shape[1] == len(KEYS),
    }
    return tuple(name for name, absent in empty.items() if absent)


def _described(name: str, table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """The dictionary of a group table; a structure that the region table does not know keeps FreeSurfer's name."""
    known = columns_for(name)
    if name == "group_zscores" and not set(table) <= set(known):  # of thickness or area
        known = columns_for("group_extended")
    if name != "group_volumes":
        return known
    scans = columns_for("group_deviations")
    unknown = {
        column: scans.get(column, {"Description": f"{column}, as the source tables or FreeSurfer's statistics name it"})
        for column in table.columns
        if column not in known
    }
    return {**known, **unknown}
