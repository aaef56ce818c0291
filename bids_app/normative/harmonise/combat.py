"""ComBat: removal of additive and multiplicative site effects by empirical Bayes.

Johnson et al. 2007 (doi:10.1093/biostatistics/kxj037) for the estimator, Fortin et al. 2018
(doi:10.1016/j.neuroimage.2017.11.024) for its use on imaging measures. Equal to the R package
neuroCombat, its parametric empirical Bayes with and without ``mean.only``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bids_app.arrays import FloatArray
from bids_app.errors import InputError, UsageError

CONVERGENCE = 1e-4
MAX_ITERATIONS = 1000
CHUNK = 1024


@dataclass(frozen=True)
class SiteSums:
    """Rows sorted by site, so that a sum by site is one pass (`numpy.add.reduceat`)."""

    labels: np.ndarray
    codes: np.ndarray
    order: np.ndarray
    starts: np.ndarray
    counts: FloatArray

    @classmethod
    def of(cls, sites: ArrayLike) -> SiteSums:
        """Number the sites and sort the rows by them.

        Parameters
        ----------
        sites : (n,) array-like
            Label of each row's site.

        Returns
        -------
        SiteSums
        """
        labels, codes, counts = np.unique(np.asarray(sites), return_inverse=True, return_counts=True)
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        return cls(labels, codes, np.argsort(codes, kind="stable"), starts, counts.astype(float))

    def sum(self, values: FloatArray) -> FloatArray:
        """Sum of `values` (n, p) by site, (s, p).

        Parameters
        ----------
        values : (n, p) array

        Returns
        -------
        (s, p) array
            In the order of `labels`.
        """
        return np.add.reduceat(values[self.order], self.starts, axis=0)

    def mean(self, values: FloatArray) -> FloatArray:
        """Mean of `values` (n, p) by site, (s, p).

        Parameters
        ----------
        values : (n, p) array

        Returns
        -------
        (s, p) array
        """
        return self.sum(values) / self.counts[:, None]

    def means_in_order(self, values: FloatArray) -> FloatArray:
        """`mean` of values whose rows are already in `order`.

        Parameters
        ----------
        values : (n, p) array

        Returns
        -------
        (s, p) array
        """
        return np.asarray(np.add.reduceat(values, self.starts, axis=0) / self.counts[:, None])

    def slices(self) -> Iterator[slice]:
        """Rows of each site, for values in `order`."""
        for start, count in zip(self.starts, self.counts):
            yield slice(int(start), int(start + count))


class Combat:
    """Harmonise features across sites, keeping the effects of given covariates.

    The model of feature j of person i at site s is
    ``y = alpha_j + x_i beta_j + sigma_j (gamma_sj + delta_sj e)``; `transform` returns
    ``alpha_j + x_i beta_j + (y - alpha_j - x_i beta_j - sigma_j gamma*_sj) / delta*_sj`` with the
    empirical Bayes estimates gamma*, delta*.

    Parameters
    ----------
    mean_only : bool
        Remove the additive effect only. As in neuroCombat, its shrinkage takes every site as one
        observation, so that most of a region's own offset stays; see ``docs/harmonisation.md``.

    Attributes
    ----------
    sites_ : (s,) array
        Sites that the harmonisation knows.
    counts_ : (s,) array
        People per site.
    coefficients_ : (q, p) array
        beta, effects of the preserved covariates.
    grand_mean_, pooled_sd_ : (p,) arrays
        alpha and sigma, in the units of the features.
    gamma_hat_, gamma_star_ : (s, p) arrays
        Additive site effects in units of sigma, before and after shrinkage.
    delta_hat_, delta_star_ : (s, p) arrays
        Site variances relative to sigma squared, before and after shrinkage.
    """

    def __init__(self, mean_only: bool = False) -> None:
        self.mean_only = mean_only

    def fit(self, features: ArrayLike, sites: ArrayLike, covariates: ArrayLike | None = None) -> Combat:
        """Estimate the site effects.

        Parameters
        ----------
        features : (n, p) array
            Measures to harmonise, any unit, p >= 2.
        sites : (n,) array
            Site or scanner of each row; every site needs two rows (one with `mean_only`).
        covariates : (n, q) array, optional
            Columns whose effects are preserved, coded by the caller and without an intercept: age and a
            dummy of sex, or any basis of age when its effect is not linear.

        Returns
        -------
        Combat
            Itself.

        Raises
        ------
        InputError
            For missing values, a site with too few rows, or covariates that the sites determine.
        """
        values, design = _checked(features, sites, covariates)
        groups = SiteSums.of(sites)
        self._check_sites(groups, values.shape[1])
        self.sites_, self.counts_ = groups.labels, groups.counts
        self._estimate(values[groups.order], design[groups.order], groups)
        return self

    def transform(self, features: ArrayLike, sites: ArrayLike, covariates: ArrayLike | None = None) -> FloatArray:
        """Harmonise people at sites that `fit` has seen.

        Parameters
        ----------
        features, sites, covariates
            As for `fit`, of other people or the same.

        Returns
        -------
        (n, p) array
            In the units of the features.

        Raises
        ------
        UsageError
            Before `fit`.
        InputError
            For a site that `fit` has not seen (its effect is unknown), or covariates of another width.
        """
        if not hasattr(self, "gamma_star_"):
            raise UsageError("this harmonisation has not been fitted", "call fit first")
        values, design = _checked(features, sites, covariates)
        if design.shape[1] != len(self.coefficients_) or values.shape[1] != len(self.grand_mean_):
            raise InputError("features and covariates to harmonise must have the columns that the fit had")
        codes = self._codes(np.asarray(sites))
        shift, scale = self.pooled_sd_ * self.gamma_star_, np.sqrt(self.delta_star_)
        out = np.empty_like(values)
        # Chunks keep the intermediate arrays in the processor's cache.
        for rows in (slice(start, start + CHUNK) for start in range(0, len(values), CHUNK)):
            kept = self.grand_mean_ + design[rows] @ self.coefficients_
            out[rows] = kept + (values[rows] - kept - shift[codes[rows]]) / scale[codes[rows]]
        return out

    def fit_transform(self, features: ArrayLike, sites: ArrayLike, covariates: ArrayLike | None = None) -> FloatArray:
        """`fit`, then `transform` of the same rows.

        Parameters
        ----------
        features : (n, p) array
        sites : (n,) array
        covariates : (n, k) array, optional

        Returns
        -------
        (n, p) array

        Raises
        ------
        InputError
            As `fit`.
        """
        return self.fit(features, sites, covariates).transform(features, sites, covariates)

    def _check_sites(self, groups: SiteSums, n_features: int) -> None:
        if len(groups.labels) < 2:
            raise InputError("harmonisation needs at least two sites", "with one site leave it out")
        if n_features < 2:
            raise InputError("empirical Bayes shrinks over features and needs at least two of them")
        small = groups.labels[groups.counts < 2]
        if len(small) and not self.mean_only:
            raise InputError(
                f"site(s) {', '.join(map(str, small))} have one person only",
                "a site's variance needs two: leave these sites out or harmonise the mean only",
            )

    def _estimate(self, values: FloatArray, design: FloatArray, groups: SiteSums) -> None:
        """Coefficients and site effects; `values` and `design` are in the groups' order and are overwritten."""
        value_means, design_means = groups.means_in_order(values), groups.means_in_order(design)
        # Centring within sites takes the site dummies out of the regression (Frisch-Waugh).
        for site, rows in enumerate(groups.slices()):
            values[rows] -= value_means[site]
            design[rows] -= design_means[site]
        self.coefficients_ = _least_squares(design, values)
        within = np.empty_like(value_means)
        for site, rows in enumerate(groups.slices()):
            residual = values[rows] - design[rows] @ self.coefficients_
            within[site] = np.einsum("ij,ij->j", residual, residual)
        self.pooled_sd_ = np.sqrt(within.sum(axis=0) / len(values))
        if not (self.pooled_sd_ > 0).all():
            raise InputError("a feature to harmonise does not vary within sites", "leave it out")
        offset = value_means - design_means @ self.coefficients_
        self.grand_mean_ = groups.counts @ offset / groups.counts.sum()
        self.gamma_hat_ = (offset - self.grand_mean_) / self.pooled_sd_
        self._shrink(within / self.pooled_sd_**2, groups.counts)

    def _shrink(self, spread: FloatArray, counts: FloatArray) -> None:
        self.delta_hat_ = np.ones_like(self.gamma_hat_)
        self.delta_star_ = np.ones_like(self.gamma_hat_)
        if self.mean_only:
            prior_mean, prior_variance = _moments(self.gamma_hat_)
            self.gamma_star_ = _posterior_mean(self.gamma_hat_, prior_mean, 1.0, 1.0, prior_variance)
            return
        self.delta_hat_ = spread / (counts[:, None] - 1)
        self.gamma_star_, self.delta_star_ = shrink(self.gamma_hat_, self.delta_hat_, spread, counts)

    def _codes(self, sites: np.ndarray) -> np.ndarray:
        known = {site: code for code, site in enumerate(self.sites_.tolist())}
        labels, inverse = np.unique(sites, return_inverse=True)
        unseen = [str(site) for site in labels.tolist() if site not in known]
        if unseen:
            raise InputError(
                f"site(s) {', '.join(unseen)} were not in the data that the harmonisation was fitted on",
                "fit it on data with these sites, or use site adaptation",
            )
        return np.array([known[site] for site in labels.tolist()], dtype=int)[inverse]


def shrink(
    gamma_hat: FloatArray, delta_hat: FloatArray, spread: FloatArray, counts: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Parametric empirical Bayes estimates of additive and multiplicative site effects.

    Parameters
    ----------
    gamma_hat, delta_hat : (s, p) arrays
        Mean and variance (divisor n - 1) of the standardised data at each site.
    spread : (s, p) array
        Sum of squares around `gamma_hat`.
    counts : (s,) array
        Rows per site.

    Returns
    -------
    gamma_star, delta_star : (s, p) arrays
    """
    sites = zip(gamma_hat, delta_hat, spread, counts, *_moments(gamma_hat))
    pairs = [_iterate(*site) for site in sites]
    return np.stack([gamma for gamma, _ in pairs]), np.stack([delta for _, delta in pairs])


def _moments(gamma_hat: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Prior mean and variance of the additive effects of each site, over features; (s, 1) each."""
    return gamma_hat.mean(axis=1, keepdims=True), gamma_hat.var(axis=1, ddof=1, keepdims=True)


def _iterate(
    gamma_hat: FloatArray,
    delta_hat: FloatArray,
    spread: FloatArray,
    count: float,
    prior_mean: FloatArray,
    prior_variance: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Alternate the posterior means of one site's shift and variance (neuroCombat's ``it.sol``)."""
    mean, variance = delta_hat.mean(), delta_hat.var(ddof=1)
    shape = (2 * variance + mean**2) / variance
    rate = (mean * variance + mean**3) / variance
    gamma, delta = gamma_hat, delta_hat
    for _ in range(MAX_ITERATIONS):
        new_gamma = _posterior_mean(gamma_hat, prior_mean, count, delta, prior_variance)
        squares = spread + count * (gamma_hat - new_gamma) ** 2
        new_delta = (squares / 2 + rate) / (count / 2 + shape - 1)
        # The signed divisor is neuroCombat's own; the last digits of its result depend on it.
        change = max(np.max(np.abs(new_gamma - gamma) / gamma), np.max(np.abs(new_delta - delta) / delta))
        gamma, delta = new_gamma, new_delta
        if change <= CONVERGENCE:
            break
    return gamma, delta


def _posterior_mean(
    estimate: FloatArray, prior_mean: FloatArray, count: float, variance: FloatArray | float, prior_variance: FloatArray
) -> FloatArray:
    weight = count * prior_variance
    return (weight * estimate + variance * prior_mean) / (weight + variance)


def _least_squares(design: FloatArray, values: FloatArray) -> FloatArray:
    if design.shape[1] == 0:
        return np.zeros((0, values.shape[1]))
    scale = np.sqrt(np.mean(design**2, axis=0))
    # QR (not normal equations) keeps 1e-12 relative accuracy for correlated bases of age.
    if not (scale > 0).all():
        raise InputError("a covariate to preserve is constant within every site", "leave it out")
    orthogonal, triangle = np.linalg.qr(design / scale)
    diagonal = np.abs(np.diag(triangle))
    if diagonal.min() < 1e-10 * diagonal.max():
        raise InputError("the covariates to preserve depend on each other or on the sites", "leave one out")
    return np.asarray(np.linalg.solve(triangle, orthogonal.T @ values) / scale[:, None])


def _checked(features: ArrayLike, sites: ArrayLike, covariates: ArrayLike | None) -> tuple[FloatArray, FloatArray]:
    values = np.asarray(features, dtype=float)
    n_rows = len(values)
    design = np.zeros((n_rows, 0)) if covariates is None else np.asarray(covariates, dtype=float)
    design = design[:, None] if design.ndim == 1 else design
    if values.ndim != 2 or len(design) != n_rows or len(np.asarray(sites)) != n_rows:
        raise InputError("features, sites and covariates to harmonise must have one row per scan")
    if not (np.isfinite(values).all() and np.isfinite(design).all()):
        raise InputError("features and covariates to harmonise must be finite", "drop rows with missing values")
    return values, design
