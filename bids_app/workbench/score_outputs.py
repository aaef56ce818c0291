"""The tables that ``normvol-model score`` writes, row by row, and what it says about them at the end."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bids_app.findings import Finding
from bids_app.normative.base import Z_CRITICAL, Deviations, NormativeModel
from bids_app.normative.harmonise.adaptation import SiteAdaptation
from bids_app.normative.note_findings import kind_of, sentences_of
from bids_app.regions import VOLUME, counted_regions, measure_of
from bids_app.workbench.score_tables import RowsDigest
from bids_app.workbench.table_pieces import tsv_writer

NAMED_AT_MOST = 5
KINDS_AT_MOST = 1000


class ScoreOutputs:
    """Writes pieces of a scored table and counts what is missing or unusual.

    Parameters
    ----------
    paths : mapping
        ``z``, ``z_se``, ``centile`` or ``counts`` to the file that it goes to (``-``: standard output).
    model : NormativeModel
    adaptation : SiteAdaptation or None
    stack : ExitStack
        Closes the files; they appear when it closes without an error.
    """

    def __init__(
        self,
        paths: Mapping[str, Path | str],
        model: NormativeModel,
        adaptation: SiteAdaptation | None,
        stack: ExitStack,
    ) -> None:
        self._writers = {name: stack.enter_context(tsv_writer(path)) for name, path in paths.items()}
        self._model, self._adaptation = model, adaptation
        self._notes = CommonNotes()
        self.digest = RowsDigest()
        self.names: tuple[str, ...] = ()
        self.n_rows = self.unscored = self._holes = 0

    def write(
        self, ids: pd.DataFrame, data: pd.DataFrame, found: Deviations, remarks: Mapping[int, list[str]] | None = None
    ) -> None:
        """Append the rows of a piece.

        Parameters
        ----------
        ids : (n, k) DataFrame
            Its identifying columns, as they are written.
        data : (n, q) DataFrame
            Its model input.
        found : Deviations
            Of its n rows.
        remarks : mapping, optional
            Position in the piece to sentences that stand before the model's notes.
        """
        self._regions, self.names = found.regions, _columns(self._model, found)
        for name in self._writers.keys() - {"counts"}:
            self._writers[name].write(_wide(ids, getattr(found, name), found.regions, self.names))
        notes = row_notes(found, data, self._adaptation)
        self.digest.add(data)
        if "counts" in self._writers:
            whole = [" ".join(filter(None, (*(remarks or {}).get(row, ()), note))) for row, note in enumerate(notes)]
            self._writers["counts"].write(_counts(ids, found, whole))
        self._notes.add(notes)
        scored = np.isfinite(found.z)
        some = scored.any(axis=1)
        self.n_rows += len(scored)
        self.unscored += int((~some).sum())
        self._holes += int((~scored[some]).sum())

    def findings(self) -> list[Finding]:
        """What the model noted about covariates that can change a number."""
        return self._notes.findings()

    def sentences(self) -> tuple[str, ...]:
        """Everything that is missing or unusual, counted."""
        card, out = self._model.card, []
        absent = [name for name in self.names if name not in self._regions]
        if absent:
            more = " ..." if len(absent) > NAMED_AT_MOST else ""
            named = ", ".join(absent[:NAMED_AT_MOST])
            out.append(f"{len(absent)} reference region(s) are not in TABLE and n/a: {named}{more}")
        if self.unscored:
            out.append(f"{self.unscored} of {self.n_rows} rows were not scored (all n/a)")
        if self._holes:
            out.append(f"{self._holes} single volumes are missing (n/a)")
        scored = f"{self.n_rows - self.unscored} rows scored in {len(self._regions)} regions"
        last = f"{scored} with {card.name} {card.version}. For research use only."
        return (*out, *self._notes.sentences(), *card.z_notes, last)


def _columns(model: NormativeModel, found: Deviations) -> tuple[str, ...]:
    """Every scored region, and the reference regions that TABLE lacks, in the model's order."""
    measures = {VOLUME, *map(measure_of, found.regions)}
    wanted = set(found.regions).union(*map(counted_regions, measures))
    return tuple(name for name in model.regions if name in wanted)


def _wide(ids: pd.DataFrame, values: Any, regions: tuple[str, ...], names: tuple[str, ...]) -> pd.DataFrame:
    scores = pd.DataFrame(values, columns=list(regions), index=ids.index).reindex(columns=list(names))
    return pd.concat([ids, scores], axis=1)


def row_notes(found: Deviations, data: pd.DataFrame, adaptation: SiteAdaptation | None) -> list[str]:
    """What the model and the adaptation note about each row.

    Parameters
    ----------
    found : Deviations
    data : DataFrame
        Model input, the same n rows.
    adaptation : SiteAdaptation or None

    Returns
    -------
    list of str, length n
        Empty texts where there is nothing to say.
    """
    notes = list(found.notes) or [""] * len(data)
    if adaptation is None:
        return notes
    return [" ".join(filter(None, pair)) for pair in zip(notes, adaptation.notes(data))]


def _counts(ids: pd.DataFrame, found: Deviations, notes: list[str]) -> pd.DataFrame:
    measures = set(map(measure_of, found.regions))
    counted = set(counted_regions(VOLUME if VOLUME in measures else measure_of(found.regions[0])))
    z = found.z[:, [name in counted for name in found.regions]]
    infra, supra = (z <= -Z_CRITICAL).sum(axis=1), (z >= Z_CRITICAL).sum(axis=1)
    return ids.assign(
        n_infra=infra,
        n_supra=supra,
        n_total=infra + supra,
        n_regions=np.isfinite(z).sum(axis=1),
        note=[note or None for note in notes],
    )


class CommonNotes:
    """The commonest kinds of note with their number of rows; digits make no difference in kind."""

    def __init__(self) -> None:
        self._kinds: Counter[str] = Counter()
        self._first: dict[str, str] = {}
        self._differ: set[str] = set()

    def add(self, notes: list[str]) -> None:
        """Take in the notes of some rows."""
        for sentence in (part for note in notes for part in sentences_of(note)):
            kind = re.sub(r"\d+(\.\d+)?", "#", sentence)
            if kind not in self._kinds and len(self._kinds) >= KINDS_AT_MOST:
                continue
            self._kinds[kind] += 1
            if self._first.setdefault(kind, sentence) != sentence:
                self._differ.add(kind)

    def sentences(self) -> list[str]:
        """One sentence per kind of harmless remark, the commonest first."""
        return [text for text, finding in self._said() if finding is None][:NAMED_AT_MOST]

    def findings(self) -> list[Finding]:
        """One finding per kind of note that can change a number."""
        return [Finding(finding, text.rstrip(".")) for text, finding in self._said() if finding is not None]

    def _said(self) -> Iterator[tuple[str, str | None]]:
        for kind, count in self._kinds.most_common():
            rows = "1 row" if count == 1 else f"{count} rows"
            example = ", for example" if kind in self._differ else ""
            yield f"{rows}{example}: {self._first[kind]}", kind_of(self._first[kind])
