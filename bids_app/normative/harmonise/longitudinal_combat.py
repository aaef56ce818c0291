"""Longitudinal ComBat: scanner effects in repeated measures (Beer et al. 2020).

Beer et al. 2020 (doi:10.1016/j.neuroimage.2020.117129), as in the R package longCombat: a mixed model
with a random intercept per person replaces ComBat's regression, so that a person's scans on several
scanners inform each other, and within-person change is kept.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from bids_app.arrays import FloatArray
from bids_app.errors import InputError
from bids_app.normative.fit.random_intercept import RandomInterceptDesign
from bids_app.normative.harmonise.combat import SiteSums, shrink


class LongitudinalCombat:
    """Harmonise features of people scanned repeatedly across scanners.

    The model of feature j of scan t of person i on scanner s is
    ``y = alpha_j + x_it beta_j + b_ij + sigma_j (gamma_sj + delta_sj e)``, b normal; the scan-weighted sum
    of gamma over scanners is zero. `fit_transform` returns
    ``alpha_j + x_it beta_j + b_ij + (y - alpha_j - x_it beta_j - b_ij - sigma_j gamma*_sj) / delta*_sj``
    with sigma from REML and empirical Bayes estimates gamma*, delta*.

    Attributes
    ----------
    scanners_ : (s,) array
    counts_ : (s,) array
        Scans per scanner.
    coefficients_ : (q, p) array
        beta, effects of the covariates.
    intercept_sd_, residual_sd_ : (p,) arrays
        Standard deviation between people, and sigma.
    gamma_star_, delta_star_ : (s, p) arrays
        Scanner's shift in units of sigma and its variance relative to sigma squared.
    """

    def fit_transform(
        self, features: ArrayLike, scanners: ArrayLike, people: ArrayLike, covariates: ArrayLike
    ) -> FloatArray:
        """Estimate and remove the scanner effects.

        Parameters
        ----------
        features : (n, p) array
            One row per scan, p >= 2.
        scanners, people : (n,) arrays
            Labels; each scanner needs two scans, and somebody must have been scanned twice.
        covariates : (n, q) array
            Fixed effects to keep (age, a dummy of sex, group, ...), without an intercept.

        Returns
        -------
        (n, p) array, in the units of the features

        Raises
        ------
        InputError
            For missing values or too few scanners, scans or features.
        AnalysisError
            When covariates and scanners cannot be told apart, or nobody was scanned twice.
        """
        values, kept = np.asarray(features, dtype=float), np.asarray(covariates, dtype=float)
        kept = kept[:, None] if kept.ndim == 1 else kept
        groups = SiteSums.of(scanners)
        _check(values, kept, groups)
        design, dummies = _design(kept, groups)
        fitted, effects = self._fit(values, design, people, groups, dummies.shape[1])
        standardised = (values - fitted + effects[groups.codes]) / self.residual_sd_
        self._shrink(standardised, groups)
        cleaned = (standardised - self.gamma_star_[groups.codes]) / np.sqrt(self.delta_star_)[groups.codes]
        return np.asarray(cleaned * self.residual_sd_ + fitted - effects[groups.codes])

    def _fit(
        self, values: FloatArray, design: FloatArray, people: ArrayLike, groups: SiteSums, n_dummies: int
    ) -> tuple[FloatArray, FloatArray]:
        """Fitted values with intercepts (n, p) and scanner effects (s, p) that average to zero over scans."""
        mixed = RandomInterceptDesign(design, people)
        fits = [mixed.fit(column) for column in values.T]
        beta = np.stack([fit.beta for fit in fits], axis=1)
        intercepts = np.stack([fit.intercepts for fit in fits], axis=1)
        raw = np.vstack([np.zeros((1, values.shape[1])), beta[len(beta) - n_dummies :]])
        self.scanners_, self.counts_ = groups.labels, groups.counts
        self.coefficients_ = beta[1 : len(beta) - n_dummies]
        self.residual_sd_ = np.sqrt([fit.sigma2 for fit in fits])
        self.intercept_sd_ = np.sqrt([fit.tau2 for fit in fits])
        return design @ beta + intercepts[mixed.codes], raw - groups.counts @ raw / groups.counts.sum()

    def _shrink(self, standardised: FloatArray, groups: SiteSums) -> None:
        gamma_hat = groups.mean(standardised)
        spread = groups.sum((standardised - gamma_hat[groups.codes]) ** 2)
        delta_hat = spread / (groups.counts[:, None] - 1)
        self.gamma_star_, self.delta_star_ = shrink(gamma_hat, delta_hat, spread, groups.counts)


def _design(kept: FloatArray, groups: SiteSums) -> tuple[FloatArray, FloatArray]:
    """Intercept, covariates, and dummies of all scanners but the first; the dummies again."""
    dummies = np.eye(len(groups.labels))[groups.codes][:, 1:]
    return np.column_stack([np.ones(len(kept)), kept, dummies]), dummies


def _check(values: FloatArray, kept: FloatArray, groups: SiteSums) -> None:
    if values.ndim != 2 or len(values) != len(kept) or len(values) != len(groups.codes):
        raise InputError("features, scanners and covariates to harmonise must have one row per scan")
    if not (np.isfinite(values).all() and np.isfinite(kept).all()):
        raise InputError("features and covariates to harmonise must be finite", "drop rows with missing values")
    if len(groups.labels) < 2 or values.shape[1] < 2:
        raise InputError("longitudinal harmonisation needs at least two scanners and two features")
    if (np.ptp(values, axis=0) == 0).any():
        raise InputError("a feature to harmonise is the same in every scan", "leave it out")
    small = groups.labels[groups.counts < 2]
    if len(small):
        raise InputError(f"scanner(s) {', '.join(map(str, small))} have one scan only", "leave them out")
