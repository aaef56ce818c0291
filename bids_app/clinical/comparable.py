"""Whether two scans of a person can be compared: what differs between them beside time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pandas as pd

from bids_app.bids.scanners import SCANNER_COLUMNS

COMPARABLE, WITH_CARE, NOT_COMPARABLE = VERDICTS = ("comparable", "with care", "not comparable")
# Relative differences of eTIV, as the limits of quality between sessions (an adult's skull keeps its size)
ETIV_CARE, ETIV_NOT = 0.05, 0.10
OTHER_FACTS = ("fs_version", "flavour", "stream", "filled", "pial", "etiv_mm3", "quality")
_FILLED = re.compile(r"fill|inpaint", re.IGNORECASE)
_RELEASE = re.compile(r"(\d+)(?:\.(\d+|x))?")


@dataclass(frozen=True)
class ScanFacts:
    """What decides whether volumes of a scan can be compared with those of another; None where it is not known.

    Parameters
    ----------
    scanner, fs_version, flavour : str or None
    stream : {'cross', 'long'} or None
    filled : bool or None
        Whether lesions were filled before recon-all, told by the names of its images.
    pial : str or None
        The image that refined the pial surface.
    etiv_mm3 : float or None
    quality : {'pass', 'warn', 'fail'} or None
    """

    scanner: str | None = None
    fs_version: str | None = None
    flavour: str | None = None
    stream: str | None = None
    filled: bool | None = None
    pial: str | None = None
    etiv_mm3: float | None = None
    quality: str | None = None


def facts_of_summary(summary: Mapping[str, Any]) -> ScanFacts:
    """The facts in a scan's ``desc-summary``."""
    tree, covariates = summary.get("freesurfer") or {}, summary.get("covariates") or {}
    images, columns = tree.get("images"), {k.lower(): v for k, v in (covariates.get("other") or {}).items()}
    scanner = next((columns[name] for name in SCANNER_COLUMNS if columns.get(name) is not None), None)
    return ScanFacts(
        None if scanner is None else str(scanner),
        tree.get("version"),
        tree.get("flavour"),
        tree.get("stream"),
        None if not images else any(_FILLED.search(str(name)) for name in images),
        tree.get("pial"),
        covariates.get("etiv_mm3"),
        (summary.get("quality") or {}).get("verdict"),
    )


def facts_of_rows(scans: pd.DataFrame, scanner: str | None) -> list[ScanFacts]:
    """The facts in the rows of a table of scans.

    Parameters
    ----------
    scans : DataFrame
        Columns of `OTHER_FACTS` that it lacks, and missing cells, are not known.
    scanner : str or None
        The column of the scanner.

    Returns
    -------
    list of ScanFacts
        One per row.
    """
    names = {"scanner": scanner, **{name: name for name in OTHER_FACTS}}
    known = {ours: theirs for ours, theirs in names.items() if theirs in scans}
    rows = scans[list(known.values())].astype(object).to_dict("records")
    return [
        ScanFacts(**{ours: None if pd.isna(row[theirs]) else row[theirs] for ours, theirs in known.items()})
        for row in rows
    ]


def compare(first: ScanFacts, second: ScanFacts) -> tuple[str, tuple[str, ...]]:
    """The verdict on two scans (one of `VERDICTS`) and its reasons; what is unknown of either speaks for nothing."""
    against = [text for text in _against(first, second) if text]
    if against:
        return NOT_COMPARABLE, tuple(against)
    care = [text for text in _with_care(first, second) if text]
    return (WITH_CARE, tuple(care)) if care else (COMPARABLE, ())


def _against(first: ScanFacts, second: ScanFacts) -> Iterable[str]:
    yield _differ("scanner", first.scanner, second.scanner)
    yield _differ("program", first.flavour, second.flavour)
    yield _differ("FreeSurfer stream", first.stream, second.stream)
    if _release(first.fs_version)[:1] != _release(second.fs_version)[:1]:
        yield _differ("FreeSurfer version", first.fs_version, second.fs_version)
    yield _differ("lesion filling", _filling(first), _filling(second))
    if first.pial != second.pial and first.stream == second.stream:
        yield f"pial surface refined by {first.pial or 'T1w only'} and {second.pial or 'T1w only'}"
    difference = etiv_difference(first, second)
    if abs(difference) > ETIV_NOT:
        yield f"eTIV differs by {100 * difference:+.1f} %"
    if "fail" in (first.quality, second.quality):
        yield "quality failed"


def _with_care(first: ScanFacts, second: ScanFacts) -> Iterable[str]:
    if _release(first.fs_version) != _release(second.fs_version):
        yield _differ("FreeSurfer version", first.fs_version, second.fs_version)
    difference = etiv_difference(first, second)
    if abs(difference) > ETIV_CARE:
        yield f"eTIV differs by {100 * difference:+.1f} %"
    if "warn" in (first.quality, second.quality):
        yield "quality gives reason to look"


def _differ(what: str, one: str | None, other: str | None) -> str:
    return f"{what} {one} and {other}" if one and other and one != other else ""


def _filling(facts: ScanFacts) -> str | None:
    return None if facts.filled is None else "filled" if facts.filled else "not filled"


def _release(version: str | None) -> tuple[str, ...]:
    """Major and minor number of a version; empty when it is not known."""
    found = _RELEASE.search(str(version)) if version else None
    return () if found is None else (found[1], found[2] or "0")


def etiv_difference(first: ScanFacts, second: ScanFacts) -> float:
    """Difference of eTIV (second minus first) over the mean of both; 0 where one is not known."""
    if not first.etiv_mm3 or not second.etiv_mm3:
        return 0.0
    return 2 * (second.etiv_mm3 - first.etiv_mm3) / (first.etiv_mm3 + second.etiv_mm3)


def comparison_table(labels: Sequence[str], facts: Sequence[ScanFacts]) -> pd.DataFrame:
    """Each scan with the next, and the first with the last.

    Parameters
    ----------
    labels : sequence of str
        Names of n scans in order of age.
    facts : sequence of ScanFacts
        Of the same scans.

    Returns
    -------
    DataFrame
        ``session_from session_to comparable reasons etiv_difference_percent`` (later minus earlier, in percent of the
        mean of both; NaN where an eTIV is not known).
    """
    rows = []
    for i, j in visit_pairs(len(labels)):
        verdict, reasons = compare(facts[i], facts[j])
        known = facts[i].etiv_mm3 and facts[j].etiv_mm3
        difference = 100 * etiv_difference(facts[i], facts[j]) if known else None
        rows.append((labels[i], labels[j], verdict, "; ".join(reasons) or None, difference))
    columns = ["session_from", "session_to", "comparable", "reasons", "etiv_difference_percent"]
    return pd.DataFrame(rows, columns=columns).astype({"etiv_difference_percent": float})


def visit_pairs(n: int) -> list[tuple[int, int]]:
    """Positions of each visit with the next, and of the first with the last."""
    return [*pairwise(range(n)), *([(0, n - 1)] if n > 2 else [])]


def largest_set(facts: Sequence[ScanFacts], years: Sequence[float]) -> list[int]:
    """Positions of the scans that can be compared with one another and span most time (then: are most, come first).

    A scan that differs from another by what forbids comparing is in another set; sets are grown from each scan in
    turn, in order of time, so that with few scans the longest one is found.
    """
    best: tuple[float, int, list[int]] = (-1.0, 0, [])
    for start in range(len(facts)):
        kept = [start]
        for other in range(len(facts)):
            if other != start and all(compare(facts[i], facts[other])[0] != NOT_COMPARABLE for i in kept):
                kept.append(other)
        kept.sort()
        spanned = max(years[i] for i in kept) - min(years[i] for i in kept)
        if (spanned, len(kept)) > best[:2]:
            best = (spanned, len(kept), kept)
    return best[2]
