"""The tables of the group level: who was scored, how many deviations, how often per region.

Everything here is made from the summaries and deviation tables of the participant level. The columns
are those of ``docs/architecture.md`` and ``docs/reports.md``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from bids_app.bids.columns import KEYS
from bids_app.clinical.comparable import facts_of_summary
from bids_app.clinical.deviations import TAILS, expected_counts, first_scans

SCAN_COLUMNS = (
    *KEYS,
    "age",
    "sex",
    "etiv_mm3",
    "n_infra",
    "n_supra",
    "n_total",
    "n_regions",
    "quality",
    "flavour",
    "fs_version",
    "stream",
    "pial",
    "filled",
    "model",
    "scoring",
    "adaptation",
)
# Where any scan has them: its lesions (`run.lesions`), under names that play the roles of an analysis
LESIONS = {"lesion_volume_mm3": "volume_mm3", "lesion_count": "count"}
PROGRAM = {"flavour": "flavour", "fs_version": "version", "stream": "stream", "pial": "pial"}
# Without the run's identifier: the same cohort gives the same bytes
INCLUSION_COLUMNS = (*KEYS, "status", "stage", "reason", "remedy")
# The step at which a scan of a stage is lost; a stage that is not listed is lost while it is scored.
STEPS = {
    "found": "Scans found",
    "complete": "FreeSurfer output complete",
    "covariates": "Age, sex and eTIV known",
    "scored": "Scored",
    "kept": "In the statistics, by their quality",
}
# A plain table has no FreeSurfer folders to check.
TABLE_STEPS = {"found": "Rows in the table", "covariates": STEPS["covariates"], "scored": STEPS["scored"]}
STEP_OF_STAGE = {
    "layout": "found",
    "freesurfer": "complete",
    "recon": "complete",
    "recon-all": "complete",
    "read": "complete",
    "check": "complete",
    "volumes": "complete",
    "complete": "complete",
    "covariates": "covariates",
    "fastsurfer": "complete",
    "quality": "kept",
    "rating": "kept",
}
ALL = "all"


def inclusion_table(statuses: pd.DataFrame | Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """``group_inclusion``: one row per scan that was looked at.

    Parameters
    ----------
    statuses : DataFrame, or iterable of mappings
        The content of ``logs/status/*.json``.

    Returns
    -------
    DataFrame
        `INCLUSION_COLUMNS`, sorted by person and session.
    """
    given = statuses if isinstance(statuses, pd.DataFrame) else pd.DataFrame(list(statuses))
    table = given.infer_objects().reindex(columns=list(INCLUSION_COLUMNS))
    return table.sort_values(list(KEYS), na_position="first", ignore_index=True)


def first_named(table: pd.DataFrame, candidates: Iterable[str]) -> str | None:
    """The column of `table` that has the first of some names (in small letters) that is there.

    Parameters
    ----------
    table : DataFrame
    candidates : iterable of str
        Best first.

    Returns
    -------
    str or None
        As the table spells it.
    """
    present = {str(name).lower(): str(name) for name in table.columns}
    return next((present[name] for name in candidates if name in present), None)


def scan_table(summaries: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """``group_deviations``: one row per scored scan, from the content of its ``desc-summary``.

    Parameters
    ----------
    summaries : iterable of mapping

    Returns
    -------
    DataFrame
        Columns: `SCAN_COLUMNS`, and `LESIONS` where any scan has them; age in years, eTIV in mm^3.
    """
    rows: list[dict[str, Any]] = []
    for summary in summaries:
        covariates, model = summary.get("covariates", {}), summary.get("model", {})
        name = " ".join(str(model[key]) for key in ("name", "version") if model.get(key))
        rows.append(
            {
                **{key: summary.get(key) for key in KEYS},
                **{key: covariates.get(key) for key in ("age", "sex", "etiv_mm3")},
                **{key: summary.get("counts", {}).get(key) for key in ("n_infra", "n_supra", "n_total", "n_regions")},
                "quality": summary.get("quality", {}).get("verdict"),
                **{key: summary.get("freesurfer", {}).get(name) for key, name in PROGRAM.items()},
                "filled": facts_of_summary(summary).filled,
                "model": name or None,
                "scoring": model.get("scoring"),
                "adaptation": _adaptation(model.get("adaptation")),
                **{key: (summary.get("lesions") or {}).get(name) for key, name in LESIONS.items()},
            }
        )
    table = pd.DataFrame(rows, columns=[*SCAN_COLUMNS, *LESIONS])
    return table.drop(columns=[name for name in LESIONS if table[name].isna().all()])


def _adaptation(content: Mapping[str, Any] | None) -> str:
    """Who a scan was adapted to, in a few words."""
    if not content:
        return "none"
    by = f" by {content['by']}" if content.get("by") else ""
    return f"{content.get('controls') or 'local controls'}{by}"


def flow_table(inclusion: pd.DataFrame, steps: Mapping[str, str] = STEPS) -> pd.DataFrame:
    """``group_flow``: how many people and scans reach each of `steps`, from `inclusion_table`.

    Parameters
    ----------
    inclusion : DataFrame
        ``participant_id status stage``.
    steps : mapping of str to str
        Title of each step, in order.

    Returns
    -------
    DataFrame
        ``step title n_participants n_scans n_left_out``.
    """
    order = list(steps)
    step_of = inclusion["stage"].astype(object).str.lower().map(STEP_OF_STAGE)
    lost_at = step_of.where(step_of.isin(order), "scored").map(order.index)
    lost_at = lost_at.where(inclusion["status"] != "scored", len(order))
    rows, before = [], len(inclusion)
    for position, (step, title) in enumerate(steps.items()):
        reached = inclusion[(lost_at > position).to_numpy() if position else slice(None)]
        rows.append((step, title, reached["participant_id"].nunique(), len(reached), before - len(reached)))
        before = len(reached)
    return pd.DataFrame(rows, columns=["step", "title", "n_participants", "n_scans", "n_left_out"])


def split(table: pd.DataFrame, groups: ArrayLike | None) -> list[tuple[str, pd.DataFrame]]:
    """The rows of each level of `groups`; none when there are fewer than two levels.

    Parameters
    ----------
    table : (n, p) DataFrame
    groups : (n,) array-like or None
        Rows without a group are in no part.

    Returns
    -------
    list of (str, DataFrame)
        Level and rows, sorted by level.
    """
    labels = pd.Series(np.asarray(groups), dtype=object) if groups is not None else pd.Series(dtype=object)
    if labels.nunique() < 2:
        return []
    return [(str(name), table.iloc[rows.index]) for name, rows in labels.groupby(labels, sort=True)]


def _groups(scans: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Everybody first, then each level of the column ``group`` when there is more than one."""
    return [(ALL, scans), *split(scans, scans.get("group"))]


def _people(scans: pd.DataFrame) -> pd.DataFrame:
    """The first scan of each person of `scans`."""
    return scans[first_scans(scans.assign(age=pd.to_numeric(scans["age"])))]


def cohort_table(scans: pd.DataFrame) -> pd.DataFrame:
    """``group_cohort``: people and scans, and sex, age and head size of the people at their first scan, per group.

    Parameters
    ----------
    scans : DataFrame
        As `scan_table`, optionally with the column ``group``; a person is in the group of the first scan.

    Returns
    -------
    DataFrame
        One row per group; ages in years, eTIV in cm^3.
    """
    if "group" in scans:
        group = _people(scans).set_index("participant_id")["group"]
        scans = scans.assign(group=scans["participant_id"].map(group))
    rows = []
    for name, part in _groups(scans):
        people = _people(part)
        age, etiv = pd.to_numeric(people["age"]), pd.to_numeric(people["etiv_mm3"]) / 1000
        rows.append(
            {
                "group": name,
                "n_participants": len(people),
                "n_scans": len(part),
                "n_female": int((people["sex"] == "female").sum()),
                "age_mean": age.mean(),
                "age_sd": age.std(),
                "age_min": age.min(),
                "age_max": age.max(),
                "etiv_mean_ml": etiv.mean(),
                "etiv_sd_ml": etiv.std(),
                **{f"{key}_median": pd.to_numeric(people[key]).median() for key in LESIONS if key in people},
            }
        )
    return pd.DataFrame(rows)


def expected_table(scans: pd.DataFrame, summaries: Sequence[Mapping[str, Any]] = ()) -> pd.DataFrame:
    """What a healthy person shows in place of each scan: ``infra_mean infra_low infra_high supra_... total_...``.

    Parameters
    ----------
    scans : DataFrame
        With ``n_regions``.
    summaries : sequence of mappings
        Those of the scans, whose expectation (of the model's own healthy people) is taken where they have one.

    Returns
    -------
    DataFrame
        Numbers of regions, index as `scans`.
    """
    told = [summary.get("counts", {}).get("expected", {}) for summary in summaries] or [{}] * len(scans)
    blocks = []
    for tail in TAILS:
        block = expected_counts(scans["n_regions"].fillna(0), tail).set_axis(scans.index)
        for bound in block:
            own = [expected.get(f"n_{tail}", {}).get(bound, np.nan) for expected in told]
            block[bound] = np.where(np.isnan(np.array(own, dtype=float)), block[bound], own)
        blocks.append(block.add_prefix(f"{tail}_"))
    return pd.concat(blocks, axis=1)


def counts_table(scans: pd.DataFrame, expected: pd.DataFrame | None = None) -> pd.DataFrame:
    """``group_counts``: distribution of the number of deviations per group and tail, and what is expected.

    Parameters
    ----------
    scans : DataFrame
        As `scan_table`.
    expected : DataFrame, optional
        `expected_table` of the scans. The expected mean of a group is the mean over its scans, the bounds of its range
        are their medians.

    Returns
    -------
    DataFrame
        One row per group and tail.
    """
    expected = expected_table(scans) if expected is None else expected
    rows = []
    for name, part in _groups(scans):
        healthy = expected.loc[part.index]
        for tail in TAILS:
            counts = part[f"n_{tail}"].astype(float)
            rows.append(
                {
                    "group": name,
                    "tail": tail,
                    "n_scans": len(part),
                    "mean": counts.mean(),
                    "sd": counts.std(),
                    "median": counts.median(),
                    "q25": counts.quantile(0.25),
                    "q75": counts.quantile(0.75),
                    "max": counts.max(),
                    "expected_mean": healthy[f"{tail}_mean"].mean(),
                    "expected_low": healthy[f"{tail}_low"].median(),
                    "expected_high": healthy[f"{tail}_high"].median(),
                }
            )
    return pd.DataFrame(rows)


def site_table(scans: pd.DataFrame, zscores: pd.DataFrame) -> pd.DataFrame:
    """``group_sites``: mean and spread of z per site and FreeSurfer version.

    Parameters
    ----------
    scans : DataFrame
        As `scan_table`, with the column ``site`` when it is known.
    zscores : DataFrame
        Same rows, one column per region.

    Returns
    -------
    DataFrame
        ``site fs_version n_scans mean_z sd_z mean_abs_shift mean_n_infra``; `mean_abs_shift` is the mean
        over regions of the absolute mean z, the size of a site's offset.
    """
    z = zscores.drop(columns=list(KEYS), errors="ignore").to_numpy(dtype=float)
    site = scans["site"] if "site" in scans else pd.Series(ALL, index=scans.index)
    keys = pd.DataFrame(
        {"site": site.fillna("n/a").to_numpy(), "fs_version": scans["fs_version"].fillna("n/a").to_numpy()}
    )
    rows = []
    for (name, version), part in keys.groupby(["site", "fs_version"], sort=True):
        values = np.ma.masked_invalid(z[part.index])
        rows.append(
            {
                "site": name,
                "fs_version": version,
                "n_scans": len(part),
                "mean_z": float(np.ma.filled(values.mean(), np.nan)),
                "sd_z": float(np.ma.filled(values.std(axis=0, ddof=1).mean(), np.nan)) if len(part) > 1 else np.nan,
                "mean_abs_shift": float(np.ma.filled(abs(values.mean(axis=0)).mean(), np.nan)),
                "mean_n_infra": float(scans["n_infra"].to_numpy(dtype=float)[part.index].mean()),
            }
        )
    return pd.DataFrame(
        rows, columns=["site", "fs_version", "n_scans", "mean_z", "sd_z", "mean_abs_shift", "mean_n_infra"]
    )


def quality_table(summaries: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """``group_quality``: one row per scan and numeric quality measure.

    A value is an outlier beyond 3 robust standard deviations (1.4826 median absolute deviations) of the
    cohort's median; `low` and `high` are these bounds. Fewer than 10 scans give no bounds.

    Parameters
    ----------
    summaries : iterable of mapping

    Returns
    -------
    DataFrame
        ``participant_id session_id metric value low high outlier verdict``.
    """
    cells: dict[str, list[Any]] = {name: [] for name in (*KEYS, "metric", "value", "verdict")}
    for summary in summaries:
        quality = summary.get("quality", {})
        values = {
            metric: float(value)
            for metric, value in quality.get("metrics", {}).items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }
        same = (summary["participant_id"], summary.get("session_id"), quality.get("verdict"))
        for name, value in zip((*KEYS, "verdict"), same, strict=True):
            cells[name] += [value] * len(values)
        cells["metric"] += values
        cells["value"] += values.values()
    table = pd.DataFrame(cells)
    if table.empty:
        return table.assign(low=[], high=[], outlier=[])[
            [*KEYS, "metric", "value", "low", "high", "outlier", "verdict"]
        ]
    by = table.groupby("metric")["value"]
    centre = by.transform("median")
    spread = 1.4826 * (table["value"] - centre).abs().groupby(table["metric"]).transform("median")
    spread = spread.where((spread > 0) & (by.transform("size") >= 10))
    table["low"], table["high"] = centre - 3 * spread, centre + 3 * spread
    table["outlier"] = (table["value"] < table["low"]) | (table["value"] > table["high"])
    return table[[*KEYS, "metric", "value", "low", "high", "outlier", "verdict"]]
