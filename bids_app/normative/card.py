"""The model card: where a model comes from, whom it describes, what it must not be used for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from bids_app.errors import ModelError

RESEARCH_ONLY = "For research use only; not a medical device."


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What a reader must know before using a model.

    Parameters
    ----------
    name, version, title, summary : str
    licence : str
        SPDX identifier of the model file.
    date : str
        ISO date of training; ``not stated`` of a model that others made.
    engine : str
        ``normvol`` for native models, otherwise the engine's name.
    mode : str
        ``reference`` (constant Gaussian residual) or ``calibrated`` (location, scale and shape).
    scoring : str
        ``own-sex`` or ``reference-compat``.
    training : tuple of mappings
        One per source: ``source``, ``licence``, ``n``, and optionally ``url`` and ``citation``.
    n : mapping
        People by sex.
    age_range, etiv_range : mapping
        Lowest and highest training value by sex (years, mm^3).
    age_bands : mapping
        People by sex and age band of ten years, to show where data are few.
    ages : mapping
        People by sex and age in whole years; empty where it is not known.
    sites : int
    fs_versions : tuple of str
        FreeSurfer versions in the training data.
    covariates, transform, harmonisation : str
    intended_use : str
    not_for, limitations, citations, z_notes : tuple of str
        `z_notes` are sentences that every output made with the model must carry.
    adaptation_allowed : bool
        Whether a site adaptation may be applied on top.
    """

    name: str
    version: str
    title: str
    summary: str
    licence: str
    date: str
    engine: str = "normvol"
    mode: str = "reference"
    scoring: str = "own-sex"
    training: tuple[Mapping[str, Any], ...] = ()
    n: Mapping[str, int] = field(default_factory=dict)
    age_range: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    etiv_range: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    age_bands: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    ages: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    sites: int = 0
    fs_versions: tuple[str, ...] = ()
    covariates: str = "age (years), sex, EstimatedTotalIntraCranialVol (mm^3)"
    transform: str = ""
    harmonisation: str = "none"
    intended_use: str = "Research on groups and individuals with T1-weighted MRI processed by FreeSurfer."
    not_for: tuple[str, ...] = (RESEARCH_ONLY,)
    limitations: tuple[str, ...] = ()
    citations: tuple[str, ...] = ()
    z_notes: tuple[str, ...] = ()
    adaptation_allowed: bool = True

    @property
    def known_versions(self) -> tuple[str, ...]:
        """FreeSurfer major versions in the training data."""
        return tuple(sorted({version.split(".")[0] for version in self.fs_versions}))

    def n_near(self, age: float, sex: str) -> int | None:
        """People of one sex whose age in whole years lies within 5 years of `age`; None where it is not known.

        A year of age counts when its middle is within.
        """
        if not self.ages or age != age:
            return None
        near = self.ages.get(sex, {}).items()
        return sum(people for year, people in near if abs(float(year) + 0.5 - age) <= 5.0)

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file; ages that are not known are left out."""
        values = {name: _as_json(value) for name, value in asdict(self).items()}
        return values if values["ages"] else {name: value for name, value in values.items() if name != "ages"}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ModelCard:
        """Build from plain values; fields of a later format are ignored.

        Raises
        ------
        ModelError
            When a field without default is missing.
        """
        known = {f.name for f in fields(cls)}
        try:
            return cls(**{name: _frozen(name, value) for name, value in values.items() if name in known})
        except TypeError as error:
            raise ModelError(f"the model card is incomplete ({error})", "get the model file again") from error


RANGES = ("age_range", "etiv_range")


def _as_json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _as_json(item) for key, item in value.items()}
    return [_as_json(item) for item in value] if isinstance(value, list | tuple) else value


def _frozen(name: str, value: Any) -> Any:
    if name in RANGES:
        return {sex: tuple(limits) for sex, limits in value.items()}
    return tuple(value) if isinstance(value, list) else value
