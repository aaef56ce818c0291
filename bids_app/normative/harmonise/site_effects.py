"""Differences between sites and FreeSurfer versions that remain in raw data around a fitted model.

Each site's mean standardised residual is one observation; sites are nested in FreeSurfer versions.
Random effects by the method of moments (DerSimonian & Laird 1986, doi:10.1016/0197-2456(86)90046-2),
with one between-site variance per region.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bids_app.arrays import FloatArray

MIN_SITES = 3


@dataclass(frozen=True)
class SiteEffects:
    """In units of sigma, for p regions.

    Parameters
    ----------
    versions : tuple of str, length v
        Major FreeSurfer versions with at least three sites.
    offsets, errors : (v, p) arrays
        Mean of the version's sites, and its standard error.
    site_sd : (p,) array
        Standard deviation of sites around their version's mean.
    """

    versions: tuple[str, ...]
    offsets: FloatArray
    errors: FloatArray
    site_sd: FloatArray

    @property
    def shrunk(self) -> FloatArray:
        """The offsets shrunk by their evidence: ``max(0, 1 - (error / offset)^2)`` of each (James & Stein 1961).

        Returns
        -------
        (v, p) array
            In units of sigma.
        """
        doubt = self.errors / np.maximum(np.abs(self.offsets), self.errors)
        return np.asarray(self.offsets * (1 - doubt**2))


def estimate(residuals: FloatArray, sites: ArrayLike, versions: ArrayLike) -> SiteEffects:
    """Estimate the effects.

    Parameters
    ----------
    residuals : (n, p) array
        ``(y - mean) / sigma`` of the data before harmonisation.
    sites, versions : (n,) arrays of str
        Site, and FreeSurfer major version of each row ('' when unknown).

    Returns
    -------
    SiteEffects
    """
    labels, codes = np.unique(
        np.char.add(np.asarray(versions, str), np.char.add("|", np.asarray(sites, str))), return_inverse=True
    )
    counts = np.bincount(codes).astype(float)
    means = np.stack([np.bincount(codes, column) / counts for column in residuals.T], axis=1)
    within = _within_variance(residuals, means, codes)
    error = within / counts[:, None]
    version = np.array([label.split("|")[0] for label in labels])
    known = tuple(str(v) for v in np.unique(version) if v and (version == v).sum() >= MIN_SITES)
    strata = [version == v for v in known]
    rest = ~np.isin(version, known)
    variance = _between_variance(means, error, [*strata, *([rest] if rest.any() else [])])
    offsets, errors = [], []
    for members in strata:
        weight = 1 / (error[members] + variance)
        offsets.append((weight * means[members]).sum(axis=0) / weight.sum(axis=0))
        errors.append(1 / np.sqrt(weight.sum(axis=0)))
    p = residuals.shape[1]
    return SiteEffects(known, np.array(offsets).reshape(-1, p), np.array(errors).reshape(-1, p), np.sqrt(variance))


def _within_variance(residuals: FloatArray, means: FloatArray, codes: NDArray[np.intp]) -> FloatArray:
    freedom = max(1, residuals.shape[0] - means.shape[0])
    return np.array([np.sum((column - mean[codes]) ** 2) for column, mean in zip(residuals.T, means.T)]) / freedom


def _between_variance(means: FloatArray, error: FloatArray, strata: list[NDArray[np.bool_]]) -> FloatArray:
    """Between-site variance (p,), pooled over strata, not below zero."""
    weight = 1 / error
    statistic = np.zeros(means.shape[1])
    freedom, correction = 0, np.zeros(means.shape[1])
    for members in strata:
        w, m = weight[members], means[members]
        centre = (w * m).sum(axis=0) / w.sum(axis=0)
        statistic += (w * (m - centre) ** 2).sum(axis=0)
        correction += w.sum(axis=0) - (w**2).sum(axis=0) / w.sum(axis=0)
        freedom += len(m) - 1
    positive = correction > 0
    return np.where(positive, np.maximum(statistic - freedom, 0) / np.where(positive, correction, 1), 0.0)
