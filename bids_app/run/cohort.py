"""The group level: all scored scans, read from the participant level's files alone."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from bids_app.bids.covariate_columns import GROUP_COLUMNS, SITE_COLUMNS
from bids_app.bids.derivatives import not_shown, read_summaries
from bids_app.bids.disguise import is_anonymised
from bids_app.bids.layout import Scan
from bids_app.bids.names import bare, derivative_path
from bids_app.bids.ratings import Key, Rating, key_of, rated, rating_of, scan_keys, scan_named, stored_ratings
from bids_app.bids.scan_tables import KEYS, KeptTables, ScanKey, read_wide
from bids_app.bids.status import read_statuses
from bids_app.clinical.analyses import group_tables
from bids_app.clinical.scored_scans import ScoredScans
from bids_app.errors import InputError
from bids_app.findings import Finding
from bids_app.regions import counted_among, reference_regions
from bids_app.run.alike import refuse_mixed
from bids_app.run.disguised import clinical_of
from bids_app.run.scan import SURFACE_TABLES

# Fewer equal volumes may be chance.
ENOUGH_REGIONS = 10
LOST = ("its status says scored, and its summary is not there", "run the participant level again")
QUALITY_REMEDY = "correct the segmentation, or include it with --include-quality"
RATED_REMEDY = "correct the segmentation and rate the scan again"
# What the group level that is under way has read; the worker processes of its graph are forked with it in memory.
_UNDER_WAY: list[dict[Any, Any]] = []
T = TypeVar("T")


@contextmanager
def reading_once() -> Iterator[None]:
    """Inside, `read_cohort` and `read_clinical` return what they returned for the same arguments before.

    Garbage is not looked for, also by processes that are forked inside: all that is read stays, and going through it
    time and again is a tenth of the run.
    """
    _UNDER_WAY.append({})
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        _UNDER_WAY.pop()


def forget() -> None:
    """Let go of what was read in this process, where nobody will ask again: its memory is free for other things."""
    for kept in _UNDER_WAY:
        kept.clear()


def _once(key: tuple[Any, ...], read: Callable[[], T]) -> T:
    if not _UNDER_WAY:
        return read()
    if key not in _UNDER_WAY[-1]:
        _UNDER_WAY[-1][key] = read()
    found: T = _UNDER_WAY[-1][key]
    return found


def read_clinical(
    bids_dir: Path, participants_file: Path | None = None, scans: Iterable[Scan] | None = None, salt: str | None = None
) -> pd.DataFrame:
    """The `clinical_table` of some scans, or of every visit, under labels hashed with `salt`.

    Parameters
    ----------
    bids_dir, participants_file
        As for `clinical_table`.
    scans : iterable of Scan, optional
    salt : str, optional

    Returns
    -------
    DataFrame
        One object for all callers inside `reading_once`, so do not change it.
    """
    wanted = None if scans is None else tuple(scans)
    return _once(
        (Path(bids_dir), participants_file, wanted, salt),
        lambda: clinical_of(bids_dir, wanted, participants_file, salt),
    )


def every_visit_of(
    output_dir: Path, bids_dir: Path, participants_file: Path | None, salt: str | None
) -> pd.DataFrame | None:
    """`read_clinical` of every visit; None where the labels in `output_dir` are hashed with a salt nobody knows.

    Parameters
    ----------
    output_dir, bids_dir : Path
    participants_file : Path or None
        In place of the dataset's own.
    salt : str or None
        Of the hashes; None where labels are plain or nobody knows it.

    Returns
    -------
    DataFrame or None
        One row per visit, with or without a scan.
    """
    lost = salt is None and is_anonymised(output_dir)
    return None if lost else read_clinical(bids_dir, participants_file, salt=salt)


def read_cohort(
    output_dir: Path, exclude_quality: Iterable[str] = (), include_quality: Iterable[str] = ()
) -> ScoredScans:
    """Collect what the participant level wrote.

    Scans whose last run left them out or failed, and scans whose quality keeps them out, are not in the tables but
    stay in `inclusion` with their reason. A reader's rating takes the place of the automatic verdict.

    By default these are the scans that fail by measures which are made of
    neither z nor regional volumes (`Quality.technical`): leaving them out selects on no outcome.

    Parameters
    ----------
    exclude_quality : iterable of {'warn', 'fail'}
        Verdicts that are left out, whatever made them.
    include_quality : iterable of {'warn', 'fail'}
        Verdicts that stay in, whatever made them.

    Raises
    ------
    InputError
        When nothing was scored.
    """
    key = (Path(output_dir), frozenset(exclude_quality), frozenset(include_quality))
    return _once(key, lambda: _read_cohort(*key))


def _read_cohort(output_dir: Path, excluded: frozenset[str], included: frozenset[str]) -> ScoredScans:
    inclusion = group_tables.inclusion_table(read_statuses(output_dir))
    kept, kept_out = [], []
    omitted = set(scan_keys(inclusion[inclusion["status"] != "scored"]))
    ratings = stored_ratings(output_dir)
    summaries, inclusion = _with_those_shown_late(output_dir, inclusion)
    for unrated in summaries:
        rating = rating_of(ratings, key_of(unrated))
        summary = rated(unrated, rating)
        verdict, technical = (summary["quality"].get(name) for name in ("verdict", "technical"))
        if verdict in excluded or (technical == "fail" and (rating or "fail" not in included)):
            kept_out.append(summary)
        elif key_of(summary) not in omitted:
            kept.append(summary)
    if not kept:
        raise InputError(f"no scored scan in {output_dir}", "run the participant level first")
    refuse_mixed(kept)
    keys = [key_of(summary) for summary in kept]
    tables = KeptTables()
    zscores, others = read_wide(output_dir, keys, "deviations", "z", kept=tables), _uncounted(output_dir, keys, tables)
    ordered = [name for name in reference_regions() if name in zscores]
    if not ordered and (ordered := counted_among(others)):
        zscores, others, kept = others, others.drop(columns=ordered), [_of_surfaces(dict(summary)) for summary in kept]
    return ScoredScans(
        tuple(kept),
        _with_groups(group_tables.scan_table(kept), kept),
        zscores[[*KEYS, *ordered]],
        others,
        read_wide(output_dir, keys, "volumes", "volume_mm3"),
        _mark_excluded(inclusion, kept_out, ratings),
        _origin(kept),
        tables=tables,
    )


def cohort_with_clinical(
    cohort: ScoredScans,
    bids_dir: Path,
    participants_file: Path | None = None,
    visits: pd.DataFrame | None = None,
    salt: str | None = None,
) -> pd.DataFrame:
    """Covariates and counts of the scored scans, then every other column of the BIDS tables.

    Parameters
    ----------
    cohort : ScoredScans
    bids_dir : Path
    participants_file : Path, optional
        As for `clinical_table`.
    visits : DataFrame, optional
        The `clinical_table` of every visit, taken as it is where each visit is a scan and each scan a visit.
    salt : str, optional
        Of hashed labels.

    Returns
    -------
    DataFrame
        One row per scan of `cohort`, in its order; ``group`` and ``site`` are those of the BIDS tables.
    """
    keys = scan_keys(cohort.scans)
    if visits is not None and scan_keys(visits) == keys:
        clinical = visits
    else:
        clinical = read_clinical(bids_dir, participants_file, scans_of(cohort), salt)
    scored = cohort.scans.drop(columns=[name for name in ("group", "site") if name in clinical], errors="ignore")
    added = [name for name in clinical.columns if name not in scored.columns]
    return pd.concat([scored.reset_index(drop=True), clinical[added].reset_index(drop=True)], axis=1)


def scans_of(scored: ScoredScans) -> list[Scan]:
    """The scored scans by their labels, in order."""
    keys = scan_keys(scored.scans)
    return [Scan(bare(who, "sub"), None if session is None else bare(session, "ses")) for who, session in keys]


def _of_surfaces(summary: dict[str, Any]) -> dict[str, Any]:
    """Counts of thickness, or of area, take the place of those of volumes, which the model does not have."""
    counts = next(iter((summary.get("surface_counts") or {}).values()), summary.get("counts"))
    return {**summary, "counts": counts}


def _uncounted(output_dir: Path, keys: Sequence[ScanKey], tables: KeptTables) -> pd.DataFrame:
    """z beyond the reference set: further volumes, asymmetry, and thickness and area where they were scored."""
    read = [
        read_wide(output_dir, keys, desc, "z", desc in SURFACE_TABLES, tables).drop(columns=KEYS if number else [])
        for number, desc in enumerate(("extended", "asymmetry", *SURFACE_TABLES))
    ]
    return pd.concat(read, axis=1)


def _with_groups(scans: pd.DataFrame, summaries: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Add ``group`` and ``site`` from the covariates that the scans carry, where there are such columns."""
    others = [summary["covariates"].get("other", {}) for summary in summaries]
    added = {}
    for name, candidates in (("group", GROUP_COLUMNS), ("site", SITE_COLUMNS)):
        column = _first_column(others, candidates)
        if column is not None:
            added[name] = [None if other.get(column) is None else str(other[column]) for other in others]
    return scans.assign(**added)


def _origin(summaries: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The columns of the source tables that split the scans, under their own names."""
    others = [summary["covariates"].get("other", {}) for summary in summaries]
    names = (_first_column(others, candidates) for candidates in (SITE_COLUMNS, GROUP_COLUMNS))
    return pd.DataFrame({name: [other.get(name) for other in others] for name in names if name is not None})


def _first_column(others: Sequence[Mapping[str, Any]], candidates: Iterable[str]) -> str | None:
    present = {name.lower(): name for other in others for name in other}
    return next((present[name] for name in candidates if name in present), None)


def _with_those_shown_late(output_dir: Path, inclusion: pd.DataFrame) -> tuple[list[dict[str, Any]], pd.DataFrame]:
    """The summaries, and `inclusion` that says of whom there is none although the status calls the scan scored."""
    scored = inclusion[inclusion["status"] == "scored"]
    keys = scan_keys(scored)
    summaries = read_summaries(output_dir)
    absent = set(keys).difference(map(key_of, summaries))
    paths = [derivative_path(output_dir, *key, desc="summary", extension=".json") for key in absent]
    if len(not_shown(paths, Path.exists)) < len(paths):
        summaries = read_summaries(output_dir)
        absent = set(keys).difference(map(key_of, summaries))
    lost = [row for row, key in zip(scored.index, keys, strict=True) if key in absent]
    inclusion = inclusion.copy()
    inclusion.loc[lost, ["status", "stage", "reason", "remedy"]] = ["failed", "run", *LOST]
    return summaries, inclusion


def _mark_excluded(
    inclusion: pd.DataFrame, excluded: Sequence[Mapping[str, Any]], ratings: Mapping[Key, Rating]
) -> pd.DataFrame:
    """Say of scans excluded by their quality that and why they are out."""
    if not excluded and not ratings:
        return inclusion
    inclusion = inclusion.copy()
    reasons = {key_of(summary): "; ".join(summary["quality"]["reasons"]) for summary in excluded}
    for index, key, status in zip(inclusion.index, scan_keys(inclusion), inclusion["status"].tolist(), strict=True):
        given = rating_of(ratings, key)
        if key in reasons:
            inclusion.loc[index, ["status", "stage", "reason", "remedy"]] = [
                "excluded",
                "rating" if given else "quality",
                reasons[key],
                RATED_REMEDY if given else QUALITY_REMEDY,
            ]
        elif given and status == "scored":
            inclusion.loc[index, ["stage", "reason"]] = ["rating", given.words]
    return inclusion


def group_findings(scored: ScoredScans) -> list[Finding]:
    """What only the scans together show: one brain under two names."""
    regions = [name for name in reference_regions() if name in scored.volumes]
    volumes = scored.volumes[regions].round(1)
    known = volumes.notna().sum(axis=1) >= ENOUGH_REGIONS
    names = pd.Series(list(map(scan_named, scan_keys(scored.volumes))), index=volumes.index)
    same = pd.util.hash_pandas_object(volumes[known], index=False)
    same = same[same.duplicated(keep=False)]
    found = [list(scans) for _, scans in names[same.index].groupby(same, sort=False)]
    return [Finding("brains-alike", f"{' and '.join(scans)}: every volume is the same") for scans in found]
