"""What every normative model offers, whichever engine computes it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from bids_app.arrays import FloatArray
from bids_app.errors import ModelError, UsageError
from bids_app.regions import MEASURES, VOLUME, measure_of, unit_of

if TYPE_CHECKING:
    from bids_app.normative.card import ModelCard
    from bids_app.normative.parameters import RegionModel

Z_CRITICAL = 1.96
# Shifts of scanners have heavier tails than the normal: a t distribution of nine degrees of freedom has its 95 % bounds
# 1.15 times as far out, and then holds 96.1 % of 37 left-out sites x regions, and 93.8 % of 52 smaller sites.
SITE_TAIL = 1.15


@dataclass(frozen=True)
class Deviations:
    """Deviations of n scans in p regions from the reference.

    Parameters
    ----------
    regions : tuple of str, length p
    observed, expected : (n, p) arrays
        Volume in mm^3, thickness in mm, area in mm^2, asymmetry without dimension; `expected` is the median of the
        healthy distribution at the scan's covariates.
    z : (n, p) array
        Deviation in standard normal units.
    z_se : (n, p) array
        Standard error of `z` from the model's coefficients and the site adaptation.
    centile : (n, p) array
        100 * Phi(z).
    in_range : (n, p) bool array
        Covariates inside the range that the region's model was trained on.
    notes : tuple of str, length n
        Per scan, sentences on covariates out of range and how they were handled (empty when none).
    scans : DataFrame or None
        Identifiers of the scans (``participant_id``, ``session_id``), n rows; None where the caller knows them.
    """

    regions: tuple[str, ...]
    observed: FloatArray
    expected: FloatArray
    z: FloatArray
    z_se: FloatArray
    centile: FloatArray
    in_range: NDArray[np.bool_]
    notes: tuple[str, ...] = field(default=())
    scans: pd.DataFrame | None = None

    def to_frame(self, values: str = "z") -> pd.DataFrame:
        """One row per scan: its identifiers, then one column per region.

        Parameters
        ----------
        values : {'z', 'centile', 'expected', 'observed', 'z_se', 'in_range'}
            What the regions' columns hold, in the units above.

        Returns
        -------
        DataFrame

        Raises
        ------
        UsageError
            For other `values`.
        """
        known = ("z", "centile", "expected", "observed", "z_se", "in_range")
        if values not in known:
            raise UsageError(f"there are no values {values!r}", f"they are {', '.join(known)}")
        scans = self._scans()
        return pd.concat([scans, pd.DataFrame(getattr(self, values), scans.index, list(self.regions))], axis=1)

    def to_long(self) -> pd.DataFrame:
        """One row per scan and region: identifiers, ``region measure unit`` and every value of it.

        ``deviation`` is ``infra`` for z <= -1.96, ``supra`` for z >= 1.96, ``none`` between, missing without z.

        Returns
        -------
        DataFrame
            n * p rows, scan by scan: identifiers, then ``region measure unit observed expected z z_se centile in_range
            deviation``; ``observed`` and ``expected`` in ``unit``.
        """
        scans, n = self._scans(), len(self.regions)
        known = {"region": self.regions, "measure": map(measure_of, self.regions), "unit": map(unit_of, self.regions)}
        values = {
            name: getattr(self, name).ravel() for name in ("observed", "expected", "z", "z_se", "centile", "in_range")
        }
        long = scans.iloc[np.repeat(np.arange(len(scans)), n)]
        described = {name: np.tile(np.array(list(words), dtype=object), len(scans)) for name, words in known.items()}
        return long.assign(**described, **values, deviation=deviation_flag(values["z"]))

    def with_index(self, index: pd.Index) -> Deviations:
        """The same with another index of the scans, which `to_frame` and `to_long` give back."""
        return replace(self, scans=self._scans().set_axis(index))

    def _scans(self) -> pd.DataFrame:
        return pd.DataFrame(index=pd.RangeIndex(len(self.z))) if self.scans is None else self.scans


def tails(z: ArrayLike, threshold: float = Z_CRITICAL) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether each z is infra-normal (z <= -threshold) and supra-normal (z >= threshold); NaN is neither.

    Parameters
    ----------
    z : array
        Any shape.
    threshold : float
        Positive, in z units.

    Returns
    -------
    infra, supra : bool arrays
        The shape of `z`.
    """
    values = np.asarray(z, dtype=float)
    return values <= -threshold, values >= threshold


def deviation_flag(z: ArrayLike, threshold: float = Z_CRITICAL) -> NDArray[np.object_]:
    """``infra`` (z <= -threshold), ``supra`` (z >= threshold), ``none``; None where z is NaN.

    Parameters
    ----------
    z : array of any shape
    threshold : float
        In standard normal units.

    Returns
    -------
    array of object
        Of the shape of `z`.
    """
    z = np.asarray(z, dtype=float)
    infra, supra = tails(z, threshold)
    flag = np.where(infra, "infra", np.where(supra, "supra", "none")).astype(object)
    flag[np.isnan(z)] = None
    return flag


class Adaptation(Protocol):
    """What adapts z to a scanner: all that engines and reports ask of it."""

    def parameters(self, data: pd.DataFrame, regions: tuple[str, ...]) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Shift, scale and standard error of the shift, each (n, p), in z: ``z' = (z - shift) / scale``.

        Parameters
        ----------
        data : DataFrame
            n scans.
        regions : tuple of str
            p regions.

        Returns
        -------
        shift, scale, se : (n, p) arrays
        """


class NormativeModel(ABC):
    """A fitted model of healthy volumes: what every engine offers, and all that callers use.

    `data` is a table with one row per scan and the columns ``age`` (years), ``sex`` (``female`` or
    ``male``), ``EstimatedTotalIntraCranialVol`` (mm^3), optionally ``fs_version`` and ``site``, and one
    column per region (mm^3).
    """

    card: ModelCard

    @property
    @abstractmethod
    def regions(self) -> tuple[str, ...]:
        """Names of the modelled regions."""

    @abstractmethod
    def deviations(self, data: pd.DataFrame, adaptation: Adaptation | None = None) -> Deviations:
        """Score the scans of `data` in the model's regions that are columns of `data`.

        Parameters
        ----------
        data : DataFrame
            n scans: ``age sex`` and what else the model uses, and volumes in the unit of each region.
        adaptation : Adaptation, optional

        Returns
        -------
        Deviations
            (n, p) arrays, regions in the model's order; NaN where a covariate or the volume is missing.

        Raises
        ------
        CovariateError
            When a column that the model needs is missing.
        ModelError
            When no region is there, or the site of a scan is unknown and the engine refuses such.
        """

    @abstractmethod
    def volumes_at(
        self, data: pd.DataFrame, z: FloatArray, regions: tuple[str, ...], adaptation: Adaptation | None = None
    ) -> FloatArray:
        """Volumes (n, len(regions)) that would score `z` (n, len(regions)) at the covariates of `data`.

        Parameters
        ----------
        data : DataFrame
            The covariates of n scans; volumes are not needed.
        z : array
            Broadcast to (n, p).
        regions : tuple of str
        adaptation : Adaptation, optional

        Returns
        -------
        (n, p) array
            In the unit of each region.
        """

    def parameters_of(self, region: str) -> RegionModel | None:
        """The parameters of one region; None for an engine that has no such form, or an unknown region."""
        return None

    @property
    def extra_covariates(self) -> tuple[str, ...]:
        """Columns beside age, sex, eTIV and FreeSurfer version that may decide a z, such as the site."""
        return ()

    @property
    def corrected_versions(self) -> frozenset[str]:
        """FreeSurfer major versions whose offsets the model takes out."""
        return frozenset()

    def site_sd(self, regions: tuple[str, ...]) -> FloatArray:
        """Spread of scanners in z: standard deviation between the training sites.

        Parameters
        ----------
        regions : tuple of str, length p

        Returns
        -------
        (p,) array
            NaN where it is not known, as for engines that hold no sites.
        """
        return np.full(len(regions), np.nan)

    def site_scale_sd(self, regions: tuple[str, ...]) -> FloatArray:
        """Spread of scanners in scale: standard deviation of the logarithm of the scale of z between sites.

        Parameters
        ----------
        regions : tuple of str, length p

        Returns
        -------
        (p,) array
            NaN where it is not known, as for engines that hold no sites.
        """
        return np.full(len(regions), np.nan)

    @property
    def needs_etiv(self) -> bool:
        """Whether eTIV is a covariate."""
        return True

    def uses_etiv_of(self, measures: Iterable[str]) -> bool:
        """Whether eTIV is a covariate of what scores columns of these measures (``volume``, ``area``)."""
        return self.needs_etiv and not set(map(measure_of, self.regions)).isdisjoint(measures)

    def expected_counts(
        self, n_regions: int, sex: str, adapted: bool = True, measure: str = VOLUME
    ) -> dict[str, dict[str, float]] | None:
        """Deviations that healthy people have in `n_regions` of a measure; None when the model was not told."""
        return None

    def with_scoring(self, scoring: str) -> NormativeModel:
        """This model with another scoring.

        Raises
        ------
        ModelError
            When the engine has one way of scoring only.
        """
        raise ModelError(f"{self.card.name} has one way of scoring only", "leave --scoring out")


def scored_regions(model: NormativeModel, data: pd.DataFrame) -> tuple[str, ...]:
    """The model's regions that are columns of `data`.

    Parameters
    ----------
    model : NormativeModel
    data : DataFrame

    Returns
    -------
    tuple of str
        In the model's order.

    Raises
    ------
    ModelError
        When there is none.
    """
    regions = tuple(name for name in model.regions if name in data.columns)
    if not regions:
        raise ModelError(
            f"the table has none of the {len(model.regions)} regions of {model.card.name}",
            f"its columns must carry FreeSurfer's names, for example {model.regions[0]}{_of_surfaces(data)}",
        )
    return regions


def _of_surfaces(data: pd.DataFrame) -> str:
    """Which packaged models are of measures that `data` has instead."""
    measures = {measure_of(str(name)) for name in data.columns} - {VOLUME}
    return "".join(f"; --model open-{measure} is of {measure}" for measure in MEASURES if measure in measures)


def adapt(
    z: FloatArray, se: FloatArray, adaptation: Adaptation | None, data: pd.DataFrame, regions: tuple[str, ...]
) -> tuple[FloatArray, FloatArray]:
    """Deviations and standard errors (n, p) after site adaptation: ``z' = (z - shift) / scale``.

    Parameters
    ----------
    z, se : (n, p) arrays
    adaptation : Adaptation or None
    data : DataFrame
    regions : tuple of str

    Returns
    -------
    z, se : (n, p) arrays
        As they were without an adaptation.
    """
    if adaptation is None:
        return z, se
    shift, scale, shift_se = adaptation.parameters(data, regions)
    return (z - shift) / scale, np.hypot(se, shift_se) / scale


def unadapt(z: FloatArray, adaptation: Adaptation | None, data: pd.DataFrame, regions: tuple[str, ...]) -> FloatArray:
    """The model's own z (n, p) that `adapt` turns into `z`; `z` is broadcast over the rows of `data`.

    Parameters
    ----------
    z : array
    adaptation : Adaptation or None
    data : DataFrame
    regions : tuple of str

    Returns
    -------
    (n, p) array
    """
    raw: FloatArray = np.broadcast_to(np.asarray(z, dtype=float), (len(data), len(regions)))
    if adaptation is None:
        return raw
    shift, scale, _ = adaptation.parameters(data, regions)
    return np.asarray(raw * scale + shift, dtype=float)
