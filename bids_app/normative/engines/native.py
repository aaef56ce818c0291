"""The native normative model: scoring of volumes and the inverse."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr

from bids_app.arrays import FloatArray
from bids_app.errors import ModelError
from bids_app.normative.base import SITE_TAIL, Adaptation, Deviations, NormativeModel, adapt, scored_regions, unadapt
from bids_app.normative.card import ModelCard
from bids_app.normative.covariates import Covariates, read_covariates
from bids_app.normative.fit import sinh_arcsinh
from bids_app.normative.parameters import LOG_FLOOR_MM3, SEXES, RegionModel, Stack, stack
from bids_app.normative.prediction import Moments, moments
from bids_app.normative.reference_counts import ReferenceCounts
from bids_app.normative.surfaces import thickness_of, with_surface_notes
from bids_app.regions import VOLUME, add_pair_measures, measure_of

OWN_SEX = "own-sex"
REFERENCE_COMPAT = "reference-compat"
COMPAT_NOTE = (
    "Scored in reference-compat mode: every z, also of women, is divided by the male residual "
    "standard deviation, as the published scripts do. Women's z are too small by the male/female "
    "ratio."
)
CHUNK_CELLS = 1_000_000
MOST_KERNELS = 8


@dataclass(frozen=True)
class NativeModel(NormativeModel):
    """A fitted model of healthy volumes (see ``docs/method.md`` for the equations).

    Parameters
    ----------
    card : ModelCard
    region_models : tuple of RegionModel
    counts : ReferenceCounts, optional
        How many deviations healthy people have.
    digest : str
        SHA-256 of the model file's content, empty for a model that was not saved.
    """

    card: ModelCard
    region_models: tuple[RegionModel, ...]
    counts: ReferenceCounts | None = None
    digest: str = field(default="", compare=False)

    @cached_property
    def regions(self) -> tuple[str, ...]:
        return tuple(region.name for region in self.region_models)

    @property
    def scoring(self) -> str:
        """``own-sex`` or ``reference-compat``."""
        return self.card.scoring

    @cached_property
    def corrected_versions(self) -> frozenset[str]:
        """FreeSurfer major versions whose offsets are known."""
        return frozenset(version for region in self.region_models for version in region.versions)

    @cached_property
    def needs_etiv(self) -> bool:
        """Whether eTIV has an effect in any region."""
        fits = (fit for region in self.region_models for fit in region.fits.values())
        return any(fit.coefficients[1] != 0 or (fit.sigma and fit.sigma.coefficients[1] != 0) for fit in fits)

    def parameters_of(self, region: str) -> RegionModel | None:
        return next((model for model in self.region_models if model.name == region), None)

    def with_scoring(self, scoring: str) -> NativeModel:
        """This model with ``own-sex`` or ``reference-compat`` scoring.

        Raises
        ------
        ModelError
            For an unknown scoring, or ``reference-compat`` of a calibrated model.
        """
        if scoring not in (OWN_SEX, REFERENCE_COMPAT):
            raise ModelError(f"unknown scoring {scoring!r}", f"use {OWN_SEX} or {REFERENCE_COMPAT}")
        if scoring == REFERENCE_COMPAT and self.card.mode != "reference":
            raise ModelError(
                f"scoring {REFERENCE_COMPAT} reproduces the published scripts and needs a model in reference mode",
                f"{self.card.name} is {self.card.mode}",
            )
        notes = tuple(note for note in self.card.z_notes if note != COMPAT_NOTE)
        if scoring == REFERENCE_COMPAT:
            notes += (COMPAT_NOTE,)
        return replace(self, card=replace(self.card, scoring=scoring, z_notes=notes))

    def subset(self, regions: tuple[str, ...]) -> NativeModel:
        """The model of some of its regions."""
        index = {region.name: region for region in self.region_models}
        return replace(self, region_models=tuple(index[name] for name in regions if name in index))

    def deviations(self, data: pd.DataFrame, adaptation: Adaptation | None = None) -> Deviations:
        data = add_pair_measures(data, self.regions)
        regions = scored_regions(self, data)
        observed = data[list(regions)].to_numpy(dtype=float)
        covariates = self._covariates(data)
        kernel = self._kernel(regions, adapted=adaptation is not None)
        z, se, expected, in_range = kernel.score(covariates, observed)
        if adaptation is not None:
            z, se = adapt(z, se, adaptation, data, regions)
            expected = kernel.volumes(covariates, unadapt(np.zeros(1), adaptation, data, regions))
        notes = covariates.notes(np.atleast_1d(in_range.all(axis=1)))
        if thick := thickness_of(regions):
            low, high = (self.volumes_at(data, np.full((len(data), len(thick)), u), thick, adaptation) for u in (-1, 1))
            columns = [regions.index(name) for name in thick]
            notes = with_surface_notes(notes, 2 * (observed - expected)[:, columns] / (high - low))
        return Deviations(regions, observed, expected, z, se, 100 * ndtr(z), in_range, notes)

    @cached_property
    def _kernels(self) -> dict[tuple[tuple[str, ...], bool], _Kernel]:
        """The last few that were needed: scans are scored one by one, nearly all in the same regions."""
        return {}

    def _kernel(self, regions: tuple[str, ...], adapted: bool) -> _Kernel:
        if (regions, adapted) not in self._kernels:
            if len(self._kernels) >= MOST_KERNELS:
                self._kernels.clear()
            self._kernels[regions, adapted] = _Kernel(self, regions, adapted)
        return self._kernels[regions, adapted]

    def _covariates(self, data: pd.DataFrame) -> Covariates:
        return read_covariates(data, self.card, self.corrected_versions, self.needs_etiv)

    def volumes_at(
        self, data: pd.DataFrame, z: FloatArray, regions: tuple[str, ...], adaptation: Adaptation | None = None
    ) -> FloatArray:
        raw = unadapt(z, adaptation, data, regions)
        return self._kernel(regions, adapted=False).volumes(self._covariates(data), raw)

    def expected_counts(
        self, n_regions: int, sex: str, adapted: bool = True, measure: str = VOLUME
    ) -> dict[str, dict[str, float]] | None:
        """Counts of deviations in healthy people, see `ReferenceCounts.expected`; None when unknown."""
        if self.counts is None or measure != measure_of(self.regions[0]):
            return None
        return self.counts.expected(n_regions, sex, adapted)

    def site_sd(self, regions: tuple[str, ...]) -> FloatArray:
        """Standard deviation between training sites, around the mean of their FreeSurfer version."""
        index = {region.name: region.site_sd for region in self.region_models}
        return np.array([np.nan if (sd := index[name]) is None else sd for name in regions])


class _Kernel:
    """Arrays of some regions of a model, and the arithmetic on them."""

    def __init__(self, model: NativeModel, regions: tuple[str, ...], adapted: bool) -> None:
        index = {region.name: region for region in model.region_models}
        self.chosen = [index[name] for name in regions]
        self.stacks = {sex: stack([region.fits[sex] for region in self.chosen]) for sex in SEXES}
        self.log = np.array([region.transform == "log" for region in self.chosen])
        self.compat = model.scoring == REFERENCE_COMPAT
        self.adapted = adapted
        site_sd = [region.site_sd or 0.0 for region in self.chosen]
        self.site_variance = np.zeros(len(regions)) if adapted else np.square(SITE_TAIL * np.array(site_sd))

    def score(
        self, covariates: Covariates, observed: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray, NDArray[np.bool_]]:
        """z, its standard error, expected volume and in-range flags, each (n, p)."""
        z, se, expected = (np.full(observed.shape, np.nan) for _ in range(3))
        in_range = np.zeros(observed.shape, dtype=bool)
        for rows, fits in self._chunks(covariates):
            m = self._moments(fits, covariates, rows)
            offset, offset_variance = self._offsets(covariates.version[rows])
            residual = (self._modelled(observed[rows]) - m.mean) / m.sigma
            u = residual - offset
            z[rows] = zs = sinh_arcsinh.to_z(u, fits.shape)
            expected[rows] = self._volume(m, sinh_arcsinh.from_z(np.zeros((1, len(self.chosen))), fits.shape) + offset)
            if m.mean_variance is not None and m.log_sigma_variance is not None:
                variance = m.mean_variance + residual**2 * m.log_sigma_variance
                variance += offset_variance + self.site_variance
                se[rows] = sinh_arcsinh.slope(u, zs, fits.shape) * np.sqrt(variance)
            in_range[rows] = covariates.inside(rows, fits)
        return z, se, expected, in_range

    def volumes(self, covariates: Covariates, z: FloatArray) -> FloatArray:
        """Volumes (n, p) at `z`."""
        out = np.full(z.shape, np.nan)
        for rows, fits in self._chunks(covariates):
            m = self._moments(fits, covariates, rows, uncertainty=False)
            offset, _ = self._offsets(covariates.version[rows])
            out[rows] = self._volume(m, sinh_arcsinh.from_z(z[rows], fits.shape) + offset)
        return out

    def _chunks(self, covariates: Covariates) -> Iterator[tuple[NDArray[np.intp], Stack]]:
        size = max(1, CHUNK_CELLS // max(1, len(self.chosen)))
        for sex in SEXES:
            rows = np.flatnonzero(covariates.usable & (covariates.sex == sex))
            for start in range(0, rows.size, size):
                yield rows[start : start + size], self.stacks[sex]

    def _moments(
        self, fits: Stack, covariates: Covariates, rows: NDArray[np.intp], uncertainty: bool = True
    ) -> Moments:
        """Mean and sigma; variances relative to sigma squared."""
        m = moments(fits, covariates.age[rows], covariates.etiv[rows], uncertainty)
        if self.compat:
            m.sigma[:] = self.stacks["male"].rmse
        if m.mean_variance is not None:
            np.divide(m.mean_variance, m.sigma**2, out=m.mean_variance)
        return m

    def _modelled(self, volumes: FloatArray) -> FloatArray:
        if not self.log.any():
            return volumes
        out = volumes.copy()
        out[:, self.log] = np.log(np.maximum(out[:, self.log], LOG_FLOOR_MM3))
        return out

    def _volume(self, m: Moments, u: FloatArray) -> FloatArray:
        value = m.mean + m.sigma * u
        value[:, self.log] = np.exp(value[:, self.log])
        return value

    def _offsets(self, versions: NDArray[np.object_]) -> tuple[FloatArray, FloatArray]:
        """Offset and its variance (n, p), zero for versions that a region does not know."""
        known = [version for version in np.unique(versions.astype(str)) if version]
        offset = np.zeros((versions.size, len(self.chosen)))
        variance = np.zeros_like(offset)
        for version in known:
            pairs = np.array([region.versions.get(version, (0.0, 0.0)) for region in self.chosen])
            rows = versions == version
            offset[rows] = pairs[:, 0]
            variance[rows] = 0.0 if self.adapted else pairs[:, 1] ** 2
        return offset, variance
