"""Several models as one, for example of volumes, thickness and area: each scores its own regions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from bids_app.arrays import FloatArray
from bids_app.errors import ModelError
from bids_app.normative.base import Adaptation, Deviations, NormativeModel, scored_regions
from bids_app.normative.card import ModelCard
from bids_app.normative.note_findings import sentences_of
from bids_app.normative.parameters import RegionModel
from bids_app.regions import VOLUME, add_pair_measures

JOINT = "+"


@dataclass(frozen=True)
class CombinedModel(NormativeModel):
    """A `NormativeModel` whose regions are those of several models, in their order.

    Parameters
    ----------
    parts : tuple of NormativeModel
        No two have a region in common; the card is the first one's with what is to be said of the others.
    """

    parts: tuple[NormativeModel, ...]

    @cached_property
    def card(self) -> ModelCard:  # type: ignore[override]
        """The first model's card under the joint name, with everybody's notes and limitations."""
        cards = [part.card for part in self.parts]
        return replace(
            cards[0],
            name=JOINT.join(card.name for card in cards),
            version=JOINT.join(card.version for card in cards),
            title=" + ".join(card.title for card in cards),
            summary=" ".join(card.summary for card in cards),
            limitations=_once(text for card in cards for text in card.limitations),
            citations=_once(text for card in cards for text in card.citations),
            z_notes=_once(text for card in cards for text in card.z_notes),
            adaptation_allowed=all(card.adaptation_allowed for card in cards),
        )

    @cached_property
    def regions(self) -> tuple[str, ...]:
        return tuple(name for part in self.parts for name in part.regions)

    @property
    def extra_covariates(self) -> tuple[str, ...]:
        """The columns that any of the models may use."""
        return _once(name for part in self.parts for name in part.extra_covariates)

    @property
    def corrected_versions(self) -> frozenset[str]:
        """FreeSurfer major versions whose offsets one of the models takes out."""
        return frozenset().union(*(part.corrected_versions for part in self.parts))

    @property
    def needs_etiv(self) -> bool:
        """Whether eTIV is a covariate of one of the models."""
        return any(part.needs_etiv for part in self.parts)

    def uses_etiv_of(self, measures: Iterable[str]) -> bool:
        """Whether eTIV is a covariate of one of the models that score columns of these measures."""
        known = tuple(measures)
        return any(part.uses_etiv_of(known) for part in self.parts)

    def parameters_of(self, region: str) -> RegionModel | None:
        """The parameters of one region, from the model that has it."""
        return next((found for part in self.parts if (found := part.parameters_of(region)) is not None), None)

    def deviations(self, data: pd.DataFrame, adaptation: Adaptation | None = None) -> Deviations:
        data = add_pair_measures(data, self.regions)
        scored_regions(self, data)
        usable = [part for part in self.parts if not set(part.regions).isdisjoint(data.columns)]
        found = [part.deviations(data, adaptation) for part in usable]
        arrays = {
            name: np.concatenate([vars(one)[name] for one in found], axis=1)
            for name in ("observed", "expected", "z", "z_se", "centile", "in_range")
        }
        said = zip(*(one.notes for one in found))
        notes = tuple(" ".join(_once(text for note in row for text in sentences_of(note))) for row in said)
        return Deviations(tuple(name for one in found for name in one.regions), notes=notes, **arrays)

    def volumes_at(
        self, data: pd.DataFrame, z: FloatArray, regions: tuple[str, ...], adaptation: Adaptation | None = None
    ) -> FloatArray:
        out = np.full((len(data), len(regions)), np.nan)
        scores = np.broadcast_to(np.asarray(z, dtype=float), out.shape)
        for part, columns in self._columns(regions):
            own = tuple(regions[i] for i in columns)
            out[:, columns] = part.volumes_at(data, scores[:, columns], own, adaptation)
        return out

    def site_sd(self, regions: tuple[str, ...]) -> FloatArray:
        out = np.full(len(regions), np.nan)
        for part, columns in self._columns(regions):
            out[columns] = part.site_sd(tuple(regions[i] for i in columns))
        return out

    def site_scale_sd(self, regions: tuple[str, ...]) -> FloatArray:
        out = np.full(len(regions), np.nan)
        for part, columns in self._columns(regions):
            out[columns] = part.site_scale_sd(tuple(regions[i] for i in columns))
        return out

    def expected_counts(
        self, n_regions: int, sex: str, adapted: bool = True, measure: str = VOLUME
    ) -> dict[str, dict[str, float]] | None:
        """Counts of deviations in healthy people, from the model that knows them for the measure."""
        found = (part.expected_counts(n_regions, sex, adapted, measure) for part in self.parts)
        return next((counts for counts in found if counts is not None), None)

    def with_scoring(self, scoring: str) -> CombinedModel:
        """These models with another scoring, which each of them must have."""
        return replace(self, parts=tuple(part.with_scoring(scoring) for part in self.parts))

    def _columns(self, regions: tuple[str, ...]) -> Iterable[tuple[NormativeModel, list[int]]]:
        for part in self.parts:
            columns = [i for i, name in enumerate(regions) if name in set(part.regions)]
            if columns:
                yield part, columns


def combine(parts: tuple[NormativeModel, ...]) -> CombinedModel:
    """Several models as one.

    Raises
    ------
    ModelError
        When two of them model the same region.
    """
    seen: dict[str, str] = {}
    for part in parts:
        for name in part.regions:
            if name in seen:
                raise ModelError(f"{seen[name]} and {part.card.name} both model {name}", "leave one of them out")
        seen |= dict.fromkeys(part.regions, part.card.name)
    return CombinedModel(parts)


def _once(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))
