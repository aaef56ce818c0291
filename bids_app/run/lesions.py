"""Lesions of a scan in a run: what was found for it, measured, and what it gives reason to doubt."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from bids_app.bids.layout import Scan
from bids_app.bids.lesion_files import (
    LesionRows,
    LesionSource,
    find_mask,
    mask_roots,
    read_lesion_tables,
    row_of,
    spelling,
    with_table,
)
from bids_app.bids.names import bare, unpadded
from bids_app.bounded import names_in
from bids_app.clinical.wording import percent
from bids_app.errors import InputError
from bids_app.findings import Finding
from bids_app.freesurfer.annex import is_not_fetched
from bids_app.freesurfer.lesions import SURROUNDINGS_MM, measure_lesions, segmentation_of
from bids_app.freesurfer.subject import read_script
from bids_app.regions import display_name

# A structure whose voxels, or whose surroundings, are lesion by more than this share is doubtful without filling.
SHARE_LIMIT = 0.05
# A mask that lies mostly outside the labels is not where the brain is.
OUTSIDE_LIMIT = 0.5
# What names of images with filled lesions hold, and where recon-all keeps the names that it was given.
FILLED = ("fill", "inpaint")
COMMANDS = ("recon-all.cmd", "recon-all.done", "recon-all-status.log")


class ScanLesions(NamedTuple):
    """For a scan's summary, its table (None without a mask and labels) and its findings."""

    summary: dict[str, Any]
    table: pd.DataFrame | None
    findings: list[Finding]

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The table by its name in the scan's derivatives.

        Returns
        -------
        dict of str to DataFrame
            Empty without a mask and labels.
        """
        return {} if self.table is None else {"lesions": self.table}


class LesionPlan:
    """Finds the lesions of every scan of a run.

    Parameters
    ----------
    bids_dir : Path
    derivatives : sequence of str
        As ``-d`` gives them.
    tables : Path, optional
        As ``--lesions`` gives it.
    scans : iterable of Scan
        Every scan of the people: who has several.
    """

    def __init__(
        self,
        bids_dir: Path,
        derivatives: Sequence[str | Path] = (),
        tables: Path | None = None,
        scans: Iterable[Scan] = (),
    ) -> None:
        known = {(scan.participant, scan.session) for scan in scans}
        self._scans = Counter(person for person, _ in known)
        self._spelt = Counter(spelling(*scan) for scan in known)
        names = [] if tables is None else names_in(bids_dir)
        folders = {bare(name, "sub") for name in names if name.startswith("sub-")}
        self._people = Counter(map(unpadded, folders | {person for person, _ in known}))
        self._roots = mask_roots(bids_dir, derivatives)
        self._rows = LesionRows() if tables is None else read_lesion_tables(tables)

    def covariates(self, scan: Scan, subject_dir: Path) -> dict[str, Any]:
        """What a node must know to measure the lesions of a scan, under ``lesions``; nothing where nothing is known."""
        rivals = (
            max(self._people[unpadded(scan.participant)], self._spelt[spelling(scan.participant, scan.session)]) > 1
        )
        row = row_of(self._rows, scan, only=self._scans[scan.participant] < 2, rivals=rivals)
        source = _fetched(with_table(find_mask(scan, self._roots), row))
        known = source.mask is not None or source.count is not None or source.volume_mm3 is not None
        if not known and not source.findings:
            return {}
        stamp = "" if source.mask is None else hashlib.sha256(source.mask.read_bytes()).hexdigest()
        findings = [finding.to_json() for finding in source.findings]
        return {"lesions": {**source.plain(), "tree": str(subject_dir), "sha256": stamp, "findings": findings}}


def _fetched(source: LesionSource) -> LesionSource:
    if source.mask is None or not is_not_fetched(source.mask):
        return source
    finding = Finding("lesion-mask-unused", f"{source.mask.name}: its content is not here (git-annex)")
    return replace(source, mask=None, findings=(*source.findings, finding))


def scan_lesions(lesions: Mapping[str, Any] | None, images: Sequence[str] | None) -> ScanLesions | None:
    """Measure the lesions of a scan.

    Parameters
    ----------
    lesions : mapping, optional
        As `LesionPlan.covariates` found them.
    images : sequence of str, optional
        Names of the images that FreeSurfer was run on, where they are known.
    """
    if not lesions:
        return None
    findings = [Finding(item["kind"], item["seen"]) for item in lesions["findings"]]
    images = images or given_images(Path(lesions["tree"]))
    count, volume = lesions["count"], lesions["volume_mm3"]
    table, outside, source = None, None, lesions["table"]
    if lesions["mask"]:
        mask = Path(lesions["mask"])
        try:
            measured = measure_lesions(mask, segmentation_of(Path(lesions["tree"])))
        except InputError as error:
            findings.append(Finding("lesion-mask-unused", f"{mask.name}: {error.reason}"))
        else:
            table, outside = measured.table if np.isfinite(measured.outside) else None, measured.outside
            if outside > OUTSIDE_LIMIT:
                seen = f"{mask.name}: {percent(outside)} of the lesions lie outside the brain's labels"
                findings.append(Finding("lesion-mask-unused", seen))
                table = None
            else:
                source = f"{source} and {mask.name}" if source else mask.name
                count = measured.count if count is None else count
                volume = measured.volume_mm3 if volume is None else volume
    if table is not None:
        findings += _doubts(table, images)
    if count is None and volume is None and not findings:
        return None
    parts = dict(lesions["parts"])
    summary = {
        "count": count,
        "volume_mm3": volume,
        "parts": parts,
        "source": source or None,
        "filled": _filled(images),
    }
    return ScanLesions(summary, table, findings)


def _filled(images: Sequence[str] | None) -> bool | None:
    """Whether FreeSurfer saw images whose lesions were filled, by their names; None where they are not known."""
    return any(word in name.lower() for name in images for word in FILLED) if images else None


def given_images(subject_dir: Path) -> list[str]:
    """Names of the images that recon-all was given with ``-i``, by its scripts; none where they do not say."""
    text = "\n".join(read_script(subject_dir, name) for name in COMMANDS)
    return list(dict.fromkeys(Path(name).name for name in re.findall(r"\s-i\s+(\S+)", text)))


def _doubts(table: pd.DataFrame, images: Sequence[str] | None) -> list[Finding]:
    """Structures that lesions blur when FreeSurfer saw them unfilled."""
    if _filled(images):
        return []
    worst = table[["share", "surroundings_share"]].max(axis=1)
    named = [
        f"{display_name(str(table.loc[row, 'region']))} ({percent(float(worst[row]))})"
        for row in worst.sort_values(ascending=False, kind="stable").index
        if worst[row] > SHARE_LIMIT
    ]
    if not named:
        return []
    known = "images without filling" if images else "images that are not known to be filled"
    where = (
        f"lesions take more than {percent(SHARE_LIMIT)} of the structure or of what lies within {SURROUNDINGS_MM:g} mm"
    )
    return [Finding("lesions-unfilled", f"FreeSurfer ran on {known}; {where}: {', '.join(named)}")]
