"""Site adaptation in a run: estimated once from the local controls, stored per scan for the nodes of the graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bids_app.bids.covariates import read_covariates
from bids_app.bids.layout import Scan
from bids_app.bids.names import scan_name
from bids_app.errors import FreeSurferError, InputError, UsageError
from bids_app.freesurfer.check import check_subject
from bids_app.freesurfer.locate import find_subject
from bids_app.freesurfer.volumes import extract_volumes
from bids_app.normative.base import FloatArray, NormativeModel
from bids_app.normative.harmonise.adaptation import REPORT_COLUMNS, SiteAdaptation
from bids_app.regions import ETIV, add_asymmetry
from bids_app.run.config import RunConfig
from bids_app.tables import write_json, write_tsv

if TYPE_CHECKING:
    from bids_app.run.plan import PlannedScan


@dataclass(frozen=True)
class StoredAdaptation:
    """One scan's shift, scale and standard error per region (each of length p), as an adaptation of the model."""

    regions: tuple[str, ...]
    shift: FloatArray
    scale: FloatArray
    shift_se: FloatArray
    notes: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> StoredAdaptation:
        """Build from what `ScanAdaptations.assign` wrote."""
        shift, scale, shift_se = (
            np.array([np.nan if value is None else value for value in content[name]], dtype=float)
            for name in ("shift", "scale", "shift_se")
        )
        return cls(tuple(content["regions"]), shift, scale, shift_se, tuple(content["notes"]))

    def parameters(self, data: pd.DataFrame, regions: tuple[str, ...]) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Shift, scale and standard error for every row of `data`, each (n, len(regions))."""
        index = {name: position for position, name in enumerate(self.regions)}
        known = np.array([index.get(name, -1) for name in regions])
        rows = []
        for values, missing in ((self.shift, 0.0), (self.scale, 1.0), (self.shift_se, np.nan)):
            row = np.where(known >= 0, values[known], missing)
            rows.append(np.tile(row, (len(data), 1)))
        return rows[0], rows[1], rows[2]


@dataclass(frozen=True)
class ScanAdaptations:
    """The fitted adaptation and where each scan's share of it goes."""

    adaptation: SiteAdaptation
    notes: tuple[str, ...]

    def assign(self, scan: PlannedScan, work_dir: Path) -> PlannedScan:
        """`scan` with a file of its own adaptation parameters (the person left out of the controls)."""
        row = pd.DataFrame([scan.covariates])
        regions = self.adaptation.regions
        shift, scale, shift_se = (values[0] for values in self.adaptation.parameters(row, regions))
        count = int(self.adaptation.n_controls(row)[0])
        by = self.adaptation.by
        content = {
            "scanner": "all" if by is None else str(scan.covariates.get(by)),
            "n_controls": count,
            "left_out": any(
                scan.covariates["participant_id"] in level.people for level in self.adaptation.levels.values()
            ),
            "regions": list(regions),
            "shift": _numbers(shift),
            "scale": _numbers(scale),
            "shift_se": _numbers(shift_se),
            "notes": [note for note in self.adaptation.notes(row) if note],
        }
        path = work_dir / "adaptation" / f"{scan_name(scan.participant, scan.session)}.json"
        return replace(scan, adaptation_file=write_json(content, path))

    def write(self, output_dir: Path) -> None:
        """Write ``adaptation.json`` and ``group_adaptation.tsv``."""
        write_json(self.adaptation.to_dict(), output_dir / "adaptation.json")
        write_tsv(self.adaptation.report(), output_dir / "group_adaptation.tsv", REPORT_COLUMNS)


def estimate_adaptation(
    config: RunConfig, model: NormativeModel, scans: Sequence[Scan], roots: Sequence[Path]
) -> ScanAdaptations:
    """Estimate each scanner's shift from the scans that ``--adapt-controls`` selects.

    Every control of the dataset is used, whichever participants this run was asked for, so that runs of
    single participants (job arrays) all get the same adaptation.

    Raises
    ------
    UsageError
        When the query or the column is impossible.
    InputError
        When the query selects nobody who can be used.
    """
    covariates = read_covariates(config.bids_dir, scans, participants_file=config.participants_file)
    chosen = _query(covariates, str(config.adapt_controls))
    if config.adapt_by is not None and config.adapt_by not in covariates:
        raise UsageError(
            f"--adapt-by {config.adapt_by}: there is no such column",
            f"columns: {', '.join(map(str, covariates.columns))}",
        )
    sessions = Counter(scan.participant for scan in scans)
    rows, left_out = [], []
    for position in map(int, np.flatnonzero(chosen)):
        alone = sessions[scans[position].participant] == 1
        row = _control(scans[position], covariates.iloc[position], roots, only_session=alone)
        rows.append(row) if row is not None else left_out.append(scans[position].name)
    if not rows:
        raise InputError(
            f"none of the {int(chosen.sum())} scans that --adapt-controls selects has age, sex and a "
            "complete FreeSurfer subject",
            "change the query or leave it out",
        )
    controls = add_asymmetry(pd.DataFrame(rows))
    adaptation = SiteAdaptation.fit(model, controls, by=config.adapt_by)
    notes = [f"site adaptation from {controls['participant_id'].nunique()} local controls ({config.adapt_controls})"]
    if left_out:
        notes.append(f"controls that could not be used for the adaptation: {', '.join(left_out)}")
    return ScanAdaptations(adaptation, tuple(notes))


def _query(covariates: pd.DataFrame, query: str) -> np.ndarray:
    try:
        selected = covariates.query(query, engine="python").index
    except Exception as error:
        reason = shorten(" ".join(str(error).split()), 120)
        raise UsageError(
            f"--adapt-controls {query!r} cannot be evaluated ({reason})",
            f"write for example 'group == \"control\"'; columns: {', '.join(map(str, covariates.columns))}",
        ) from error
    if not len(selected):
        raise InputError(f"--adapt-controls {query!r} selects nobody", "check the words in participants.tsv")
    return np.asarray(covariates.index.isin(selected) & covariates["problem"].isna())


def _control(scan: Scan, covariates: pd.Series, roots: Sequence[Path], only_session: bool) -> dict[str, Any] | None:
    """Model input of one control, or None when there is no complete subject with an eTIV."""
    try:
        found = find_subject(roots, scan.participant, scan.session, only_session=only_session)
        if found is None or not check_subject(found.path, expected_subject=scan.name).usable:
            return None
        volumes = extract_volumes(found.path)
    except FreeSurferError:
        return None
    if not np.isfinite(volumes.etiv_mm3):
        return None
    return {
        **covariates.to_dict(),
        **dict(zip(volumes.table["region"], volumes.table["volume_mm3"])),
        "fs_version": volumes.fs_version,
        ETIV: float(volumes.etiv_mm3),
    }


def _numbers(values: FloatArray) -> list[float | None]:
    return [float(f"{value:.12g}") if np.isfinite(value) else None for value in values]
