"""Which scans rates of volumes are made from: those of a person that can be compared, and from when on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bids_app.clinical.analyses.change_analyses import followed_scans, harmonised
from bids_app.clinical.analyses.follow_up import clock_times
from bids_app.clinical.analyses.group_tables import first_named
from bids_app.clinical.cohort import CohortData
from bids_app.clinical.comparable import NOT_COMPARABLE, SCANNER_COLUMNS, WITH_CARE, compare, facts_of_rows, largest_set
from bids_app.clinical.composites import composite_name, composites, with_composites
from bids_app.clinical.figures import Table
from bids_app.clinical.results import AnalysisResult, make_result
from bids_app.clinical.values import numbers
from bids_app.clinical.volume_change import rate_regions
from bids_app.clinical.wording import listing, percent, plural
from bids_app.errors import AnalysisError

ALL_SCANS, REBASELINED = "all scans", "after re-baselining"
MIXED, UNKNOWN = "mixed", "not known"
# Years within which two scans are of one visit
SAME_VISIT = 0.05
TREATED = (
    "Loss in the first months of a treatment may be fluid and not tissue (pseudoatrophy), so rates are also given from "
    "{months:g} months after its start (column {column}). "
)


@dataclass(frozen=True)
class Followed:
    """Scans that rates are made from: rows with ``group years`` (`scans`), log volumes and log healthy medians (same
    index; NaN where not known), the stream, and sentences on what was left out and how."""

    scans: pd.DataFrame
    logs: pd.DataFrame
    healthy: pd.DataFrame
    stream: str
    sentences: tuple[str, ...]
    methods: str

    def pick(self, rows: pd.Series) -> Followed:
        """Some of the scans.

        Parameters
        ----------
        rows : Series of bool
            With the index of `scans`.

        Returns
        -------
        Followed
            The index is kept.
        """
        return Followed(
            self.scans[rows], self.logs[rows], self.healthy[rows], self.stream, self.sentences, self.methods
        )


def scanner_column(data: CohortData) -> str | None:
    """The column that tells the scanner: the role's, else one of the usual names."""
    column = data.config.column("scanner")
    if column in data.scans:
        return column
    return first_named(data.scans, SCANNER_COLUMNS)


def intervals(data: CohortData, scans: pd.DataFrame) -> pd.DataFrame:
    """Each scan of a person with the next, and whether both can be compared (`compare`).

    Parameters
    ----------
    data : CohortData
        Names the column of the scanner.
    scans : DataFrame
        ``participant_id group years`` and what `facts_of_rows` reads.

    Returns
    -------
    DataFrame
        ``participant_id group session_from session_to years comparable reasons``; years between the two scans.
    """
    rows, column = [], scanner_column(data)
    for person, part in scans.sort_values(["participant_id", "years"], kind="stable").groupby("participant_id"):
        facts = facts_of_rows(part, column)
        sessions = list(part["session_id"]) if "session_id" in part else [None] * len(part)
        years, group = part["years"].to_numpy(dtype=float), part["group"].iloc[0]
        for i in range(len(part) - 1):
            verdict, reasons = compare(facts[i], facts[i + 1])
            what = (verdict, "; ".join(reasons) or None)
            rows.append((person, group, sessions[i], sessions[i + 1], years[i + 1] - years[i], *what))
    columns = ["participant_id", "group", "session_from", "session_to", "years", "comparable", "reasons"]
    return pd.DataFrame(rows, columns=columns)


def comparability(data: CohortData) -> list[AnalysisResult]:
    """Which scans of a person can be compared with the next, and why not."""
    scans = followed_scans(data)
    table = intervals(data, scans)
    counts = table["comparable"].value_counts()
    against, care = (int(counts.get(verdict, 0)) for verdict in (NOT_COMPARABLE, WITH_CARE))
    sentence = (
        f"Of {plural(len(table), 'interval')} between one scan and the next {against} "
        f"({percent(against / len(table))}) are between scans that cannot be compared, {care} call for care."
    )
    why = table.loc[table["comparable"] == NOT_COMPARABLE, "reasons"].str.split("; ").explode()
    kinds = why.str.replace(r" \S+ and \S+.*| differs by.*| refined by.*", "", regex=True).value_counts()
    named = [f"{name} ({count})" for name, count in kinds.items()]
    sentences = [sentence, *([f"What differs: {listing(named)}."] if named else [])]
    unknown = [name for name, known in (("scanner", scanner_column(data)), ("stream", _streams(scans))) if not known]
    if unknown:
        sentences.append(
            f"The {' and the '.join(unknown)} of the scans is not known, so they could not be compared in it."
        )
    return [
        make_result(
            "comparability",
            "Scans that can be compared",
            table,
            sentences=(*sentences, *_stream_offset(data, scans)),
            figure=Table(),
            comparable="Verdict on the two scans: comparable, with care, not comparable",
            reasons="What differs between them beside time; n/a when nothing is known to",
        )
    ]


def _streams(scans: pd.DataFrame) -> list[str]:
    return sorted(set(scans["stream"].dropna().astype(str))) if "stream" in scans else []


def _stream_offset(data: CohortData, scans: pd.DataFrame) -> tuple[str, ...]:
    """What the longitudinal stream measures differently, from visits that both streams measured."""
    if len(_streams(scans)) < 2 or data.measured is None:
        return ()
    volumes = with_composites(data.measured.volumes.loc[scans.index])
    ordered = scans.sort_values(["participant_id", "years", "stream"], kind="stable")
    first, last = ordered.index[:-1], ordered.index[1:]
    a, b = ordered.loc[first].reset_index(drop=True), ordered.loc[last].reset_index(drop=True)
    same = (a["participant_id"] == b["participant_id"]) & ((b["years"] - a["years"]).abs() < SAME_VISIT)
    same &= (a["stream"] == "cross") & (b["stream"] == "long")
    mixing = "Trees of the cross-sectional and of the longitudinal stream are mixed"
    if not same.any():
        return (f"{mixing}; no visit has both, so their offset is not known here.",)
    i, j = first[same.to_numpy()], last[same.to_numpy()]
    offset = 100 * (np.log(volumes.loc[j].to_numpy(float)) - np.log(volumes.loc[i].to_numpy(float))).mean(axis=0)
    by_name = dict(zip(volumes.columns, offset, strict=True))
    named = [f"{composite_name(n)} {by_name[n]:+.1f} %" for n in composites() if np.isfinite(by_name.get(n, np.nan))]
    usual = np.nanmedian(np.abs([by_name[name] for name in rate_regions() if name in by_name]))
    return (
        f"{mixing}; in {plural(len(i), 'visit')} measured by both the longitudinal stream gives {listing(named, 6)} "
        f"(median absolute offset of a region {usual:.1f} %).",
    )


def followed(data: CohortData) -> Followed:
    """The scans of people with two or more that can be compared, as `incomparable` asks.

    Raises
    ------
    AnalysisError
        When there are no volumes, or nobody has two such scans.
    """
    if data.measured is None or data.measured.volumes.empty:
        raise AnalysisError("there are no volumes beside the z-scores, so there is no change of volume")
    every = followed_scans(data)
    volumes = with_composites(data.measured.volumes.loc[every.index])
    wanted = [name for name in (*composites(), *rate_regions()) if name in volumes]
    if not wanted:
        raise AnalysisError("the volumes are of none of the regions whose change is given")
    values = volumes[wanted].apply(pd.to_numeric, errors="coerce").astype(float)
    scans, logs, sentences, methods = _alike(data, every, np.log(values.where(values > 0)))
    healthy = data.measured.healthy
    expected = pd.DataFrame(np.nan, scans.index, wanted) if healthy is None else np.log(healthy.loc[scans.index])
    expected = expected.reindex(columns=wanted)
    streams = _streams(scans)
    stream = UNKNOWN if not streams else streams[0] if len(streams) == 1 else MIXED
    said = {
        MIXED: "Trees of the cross-sectional and the longitudinal stream are mixed; a person's rate is of one of them.",
        UNKNOWN: "FreeSurfer's stream of the scans is not known, so standard errors of people are not given.",
    }.get(stream, f"All trees are of the {'longitudinal' if stream == 'long' else 'cross-sectional'} stream.")
    absent = [composite_name(name) for name in composites() if name not in volumes]
    lacking = (
        (f"No rate of the {listing(absent, 6)}: volumes of all its parts are not in the tables.",) if absent else ()
    )
    return Followed(scans, logs, expected, stream, (said, *sentences, *lacking), methods)


def _alike(
    data: CohortData, scans: pd.DataFrame, logs: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame, tuple[str, ...], str]:
    """The scans that rates are made from, their log volumes, sentences on both, and a passage for the methods."""
    column, harmonise = scanner_column(data), data.config.incomparable == "harmonise"
    kept, sentences = _comparable_scans(data, scans, None if harmonise else column)
    methods = ""
    if harmonise:
        moved, how = harmonised(data, scans.loc[kept], logs.loc[kept], column)
        said = tuple(text.replace("z was", "Log volume was") for text in how.sentences())
        if how.done:
            logs, methods, sentences = moved, how.method.replace("z was", "Log volume was"), (*sentences, *said)
        elif how.method:  # as measured, scanners must not be mixed
            kept, left = _comparable_scans(data, scans, column)
            methods, sentences = f"{said[0]} ", (*said, *left)
    return scans.loc[kept], logs.loc[kept], sentences, methods


def _comparable_scans(data: CohortData, scans: pd.DataFrame, column: str | None) -> tuple[pd.Index, tuple[str, ...]]:
    """Index of the scans that rates are made from, and a sentence on the others; `column` tells the scanner."""
    if data.config.incomparable == "include":
        said = "Scans that cannot be compared are included, as incomparable asks."
        return scans.index, (said,) if (intervals(data, scans)["comparable"] == NOT_COMPARABLE).any() else ()
    kept: list[int] = []
    for _, part in scans.sort_values("years", kind="stable").groupby("participant_id", sort=False):
        facts = facts_of_rows(part, column)
        kept += [part.index[i] for i in largest_set(facts, list(part["years"]))]
    left = scans[~scans.index.isin(kept)]
    if left.empty:
        return scans.index, ()
    people = left["participant_id"].nunique()
    return scans.index[scans.index.isin(kept)], (
        f"{plural(len(left), 'scan')} of {plural(people, 'person', 'people')} left out of rates: they cannot be "
        "compared with the person's others (group_comparability.tsv; incomparable in the analysis file includes them).",
    )


def baselines(data: CohortData) -> tuple[dict[str, Followed], tuple[str, ...], str]:
    """The scans of each baseline, sentences on re-baselining, and a passage for the methods."""
    every = followed(data)
    column = data.config.column("treatment_start")
    if column is None:
        return {ALL_SCANS: every}, (), ""
    try:
        start, months = clock_times(data, column), data.config.rebaseline_months
    except AnalysisError as error:
        return {ALL_SCANS: every}, (f"No rates after re-baselining: {str(error).rstrip('.')}.",), ""
    clock = numbers(every.scans[data.clock(data.scans)])
    begun = every.scans["participant_id"].astype(str).map(start)
    late = begun.isna() | (clock >= begun + months / 12 - 1e-6)
    treated = every.scans.loc[begun.notna(), "participant_id"].nunique()
    sentence = (
        f"Of {plural(treated, 'person', 'people')} with a start of treatment "
        f"{plural(int((~late).sum()), 'scan is', 'scans are')} before "
        f"{months:g} months of it and left out after re-baselining."
    )
    methods = TREATED.format(months=months, column=column)
    return {ALL_SCANS: every, REBASELINED: every.pick(late)}, (sentence,), methods
