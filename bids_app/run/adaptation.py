"""Site adaptation in a run: estimated once from the local controls, stored per scan for the nodes of the graph."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bids_app.arrays import FloatArray
from bids_app.bids.covariates import Covariates, covariate_table
from bids_app.bids.disguise import Disguise
from bids_app.bids.group_files import group_file, settle
from bids_app.bids.layout import Scan
from bids_app.bids.names import output_path
from bids_app.errors import FreeSurferError, InputError, UsageError
from bids_app.freesurfer.volumes import region_values
from bids_app.normative.base import NormativeModel
from bids_app.normative.harmonise.adaptation import REPORT_COLUMNS, SiteAdaptation
from bids_app.normative.plausible import too_young, without_impossible
from bids_app.regions import ETIV, add_asymmetry
from bids_app.run.trees import Trees
from bids_app.selection import select_rows
from bids_app.tables import write_json, write_tsv


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
        """What the adapted deviation ``(z - shift) / scale`` is made with, the same for every row.

        Parameters
        ----------
        data : DataFrame
            n rows; only their number counts.
        regions : tuple of str, length p

        Returns
        -------
        shift, scale, se : (n, p) arrays
            In z; 0, 1 and NaN where the region is not known.
        """
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
    controls: str = ""
    second: SiteAdaptation | None = None

    @cached_property
    def sha256(self) -> str:
        """Tells results of one set of controls from those of another; the last digit of a sum does not count."""
        people = {key: [level.people, level.n_scans] for key, level in self.adaptation.levels.items()}
        who = [self.adaptation.model_name, self.adaptation.by, people]
        return hashlib.sha256(json.dumps(who, sort_keys=True).encode()).hexdigest()

    def assign(self, covariates: Mapping[str, Any], path: Path, disguise: Disguise | None = None) -> Path:
        """Write the parameters of one scan (a row of covariates; the person left out of the controls) to `path`."""
        row = pd.DataFrame([covariates])
        count = int(self.adaptation.n_controls(row)[0])
        by = self.adaptation.by
        content = {
            "controls": self.controls,
            "by": by,
            "sha256": self.sha256,
            "scanner": "all" if by is None else str(covariates.get(by)),
            "n_controls": count,
            "left_out": any(covariates["participant_id"] in level.people for level in self.adaptation.levels.values()),
            **_parameters(self.adaptation, row),
        }
        if self.second is not None:
            content["second"] = _parameters(self.second, row)
        return write_json(disguise.values(content) if disguise else content, path)

    def write(self, output_dir: Path, disguise: Disguise | None = None) -> None:
        """Write ``adaptation.json`` and ``group/group_adaptation.tsv``."""
        settle(output_dir)
        content = self.adaptation.to_dict()
        shared = disguise.values(content) if disguise else content
        write_json(shared, output_path(output_dir, "adaptation.json"))
        write_tsv(self.adaptation.report(), group_file(output_dir, "adaptation"), REPORT_COLUMNS)


def _parameters(adaptation: SiteAdaptation, row: pd.DataFrame) -> dict[str, Any]:
    """What `StoredAdaptation` is read from, of a table of one row."""
    shift, scale, shift_se = (values[0] for values in adaptation.parameters(row, adaptation.regions))
    return {
        "regions": list(adaptation.regions),
        "shift": _numbers(shift),
        "scale": _numbers(scale),
        "shift_se": _numbers(shift_se),
        "notes": [note for note in adaptation.notes(row) if note],
    }


def estimate_adaptation(
    model: NormativeModel,
    covariates: Sequence[Covariates],
    scans: Sequence[Scan],
    trees: Trees,
    roots: Sequence[Path],
    *,
    controls: str,
    by: str | None = None,
    second: NormativeModel | None = None,
) -> ScanAdaptations:
    """Estimate each scanner's shift from the scans that ``--adapt-controls`` selects.

    Every control of the dataset is used, whichever participants this run was asked for, so that runs of
    single participants (job arrays) all get the same adaptation.

    Parameters
    ----------
    model : NormativeModel
    covariates : sequence of Covariates
        Of all `scans` of the dataset.
    scans : sequence of Scan
    trees : Trees
        The run's subject directories, in `roots`.
    controls : str
        Condition that selects the controls (`select_rows`).
    by : str, optional
        Column that says which scanner.
    second : NormativeModel, optional
        Adapted to the same controls, where its card allows it.

    Raises
    ------
    UsageError
        When the condition or the column is impossible.
    InputError
        When the condition selects nobody who can be used.
    """
    table = covariate_table(covariates)
    chosen = _chosen(table, controls)
    if by is not None and by not in table:
        raise UsageError(f"--adapt-by {by}: there is no such column", f"columns: {', '.join(map(str, table.columns))}")
    used, left_out = _usable([i for i, is_one in enumerate(chosen) if is_one], covariates, scans, trees, roots, model)
    if not len(used):
        raise InputError(
            f"none of the {int(chosen.sum())} scans that --adapt-controls selects has age, sex and a "
            "complete FreeSurfer subject",
            "change the query or leave it out",
        )
    notes = [f"site adaptation from {used['participant_id'].nunique()} local controls ({controls})"]
    if left_out:
        notes.append(f"controls that could not be used for the adaptation: {', '.join(left_out)}")
    adapts = second is not None and second.card.adaptation_allowed
    other = SiteAdaptation.fit(second, used, by=by) if second is not None and adapts else None
    return ScanAdaptations(SiteAdaptation.fit(model, used, by=by), tuple(notes), controls, other)


def _usable(
    positions: Sequence[int],
    covariates: Sequence[Covariates],
    scans: Sequence[Scan],
    trees: Trees,
    roots: Sequence[Path],
    model: NormativeModel,
) -> tuple[pd.DataFrame, list[str]]:
    """Model input of the controls at `positions` that can be used, and the names of the others."""
    sessions = Counter(scan.participant for scan in scans)
    rows, left_out = [], []
    for position in positions:
        scan = scans[position]
        measured = _measured(scan, trees, roots, only_session=sessions[scan.participant] == 1)
        if measured is None:
            left_out.append(scan.name)
        else:
            rows.append({**covariates[position].row(), **measured})
    if not rows:
        return pd.DataFrame(), left_out
    used = add_asymmetry(without_impossible(pd.DataFrame(rows))[0])
    fit = used[ETIV].notna() & ~too_young(used["age"], used["sex"], model.card.age_range)
    left_out += [str(name) for name in used.loc[~fit, "participant_id"]]
    return used[fit].reset_index(drop=True), left_out


def _chosen(covariates: pd.DataFrame, condition: str) -> np.ndarray:
    try:
        selected = select_rows(covariates, condition)
    except UsageError as error:
        raise UsageError(
            f"--adapt-controls {condition!r} cannot be evaluated ({error.reason})",
            f"write for example 'group == \"control\"'; columns: {', '.join(map(str, covariates.columns))}",
        ) from error
    if not selected.any():
        raise InputError(f"--adapt-controls {condition!r} selects nobody", "check the words in participants.tsv")
    return selected & covariates["problem"].isna().to_numpy()


def _measured(scan: Scan, trees: Trees, roots: Sequence[Path], only_session: bool) -> dict[str, Any] | None:
    """Volumes (mm^3), version and eTIV of one control, or None when there is no complete subject with an eTIV."""
    try:
        tree = trees.find(roots, scan, only_session=only_session, inside=True)
        if tree is None or not tree.check.usable:
            return None
        facts, reading = trees.measure(tree.path, scan)
    except FreeSurferError:
        return None
    if facts.etiv_mm3 is None:
        return None
    return {**region_values(reading.rows, reading.measures), "fs_version": facts.fs_version, ETIV: facts.etiv_mm3}


def _numbers(values: FloatArray) -> list[float | None]:
    return [float(f"{value:.12g}") if np.isfinite(value) else None for value in values]
