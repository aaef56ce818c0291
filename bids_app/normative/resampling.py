"""What the choices of a fit add to its standard errors: powers, shape and scale, from refits of simulated people.

The covariance of the coefficients holds them at the chosen powers and shape. Here volumes are drawn from the fit at the
people's own age, sex and eTIV, and fitted with every choice anew (parametric bootstrap; Efron & Tibshirani 1993,
doi:10.1007/978-1-4899-4541-9). The curves of the refits, projected on the design of the fit, give the roots of mean and
log sigma; a factor per region brings the standard error of z, over ages and z, to the spread of the refits' z, in which
the shape is too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bids_app.arrays import FloatArray
from bids_app.normative.fit import fractional_polynomials as fp
from bids_app.normative.fit import sinh_arcsinh
from bids_app.normative.parameters import SEXES, RegionFit, ScaleFit, Stack, flat, lower_root, stack
from bids_app.normative.prediction import moments

Fits = Mapping[str, Sequence[RegionFit]]
Refit = Callable[[FloatArray, NDArray[np.object_], FloatArray, FloatArray], Fits]

N_REFITS = 25
# From here on the choices add less than a fifth (docs/method.md), and refits are slow.
ENOUGH_PEOPLE = 2000
N_AGES = 15
Z = (-2.0, -1.0, 0.0, 1.0, 2.0)
FACTORS = (0.7, 3.0)


def with_choices(
    fits: Fits, refit: Refit, age: FloatArray, sex: NDArray[np.object_], etiv: FloatArray
) -> dict[str, list[RegionFit]]:
    """The fits with the precision that refits of simulated people show.

    Parameters
    ----------
    fits : mapping of sex to fits of p regions
    refit : callable
        Makes such fits of ``age, sex, etiv, values``; values (n, p) on the modelled scale.
    age, sex, etiv : (n,) arrays

    Returns
    -------
    dict of str to list of RegionFit
    """
    order = np.lexsort((etiv, age, sex))
    age, sex, etiv = age[order], sex[order], etiv[order]
    rng = np.random.default_rng(len(age))
    refits = []
    for _ in range(N_REFITS):
        values = rng.standard_normal((len(age), len(fits[SEXES[0]])))
        for name in SEXES:
            rows, own = sex == name, stack(fits[name])
            m = moments(own, age[rows], etiv[rows], uncertainty=False)
            values[rows] = m.mean + m.sigma * sinh_arcsinh.from_z(values[rows], own.shape)
        refits.append(refit(age, sex, etiv, values))
    return {name: _of_sex(list(fits[name]), [one[name] for one in refits], etiv[sex == name]) for name in SEXES}


def _of_sex(fits: list[RegionFit], refits: Sequence[Sequence[RegionFit]], etiv: FloatArray) -> list[RegionFit]:
    """The fits of one sex with new roots."""
    low, high = fits[0].age_range
    sizes = etiv.mean() + etiv.std() * np.array([-1.0, 0.0, 1.0])
    ages, etivs = (grid.ravel() for grid in np.meshgrid(np.linspace(low, high, N_AGES), sizes))
    stacks = [
        stack([replace(again, age_range=fit.age_range) for again, fit in zip(one, fits, strict=True)]) for one in refits
    ]
    curves = [moments(one, ages, etivs, uncertainty=False) for one in stacks]
    means, logs = (np.array([getattr(c, name) for c in curves]) for name in ("mean", "sigma"))
    np.log(logs, out=logs)
    new = []
    for i, fit in enumerate(fits):
        x = (ages + fit.shift) / fit.scale
        root = _root(x, etivs**fit.etiv_power, fit.powers, means[:, :, i])
        sigma = fit.sigma
        if sigma is not None:
            sigma = replace(sigma, root=_root(x, etivs, sigma.powers, logs[:, :, i]))
        new.append(replace(fit, root=root, sigma=sigma))
    factors = _factors(stack(new), stacks, ages, etivs)
    return [_scaled(fit, factor) for fit, factor in zip(new, factors, strict=True)]


def _root(x: FloatArray, etiv: FloatArray, powers: tuple[float, ...], curves: FloatArray) -> tuple[float, ...]:
    """Root of the covariance of the refits' `curves` (refit, point) within the design of the fit."""
    design = np.column_stack([np.ones_like(x), etiv, fp.basis(x, np.array(powers))])
    norms = np.linalg.norm(design, axis=0)
    norms[norms == 0] = 1  # no eTIV is known: its column has no share in the root
    coefficients = np.linalg.lstsq(design / norms, (curves - curves.mean(axis=0)).T, rcond=None)[0].T / norms
    return flat(lower_root(coefficients / np.sqrt(len(curves) - 1)), design.shape[1])


def _factors(fits: Stack, refits: Sequence[Stack], ages: FloatArray, etiv: FloatArray) -> FloatArray:
    """Spread of the refits' z over the standard error that the new roots give, per region."""
    m = moments(fits, ages, etiv)
    spread, said = np.zeros(len(fits.rmse)), np.zeros(len(fits.rmse))
    others = [moments(one, ages, etiv, uncertainty=False) for one in refits]
    for target in Z:
        u = sinh_arcsinh.from_z(np.full((1, len(fits.rmse)), target), fits.shape)
        y = m.mean + m.sigma * u
        z = [sinh_arcsinh.to_z((y - c.mean) / c.sigma, one.shape) for c, one in zip(others, refits, strict=True)]
        spread += np.var(z, axis=0, ddof=1).sum(axis=0)
        if m.mean_variance is not None and m.log_sigma_variance is not None:
            variance = m.mean_variance / m.sigma**2 + u**2 * m.log_sigma_variance
            slope = sinh_arcsinh.slope(u, np.full_like(u, target), fits.shape)
            said += (slope**2 * variance).sum(axis=0)
    return np.clip(np.sqrt(spread / said), *FACTORS)


def _scaled(fit: RegionFit, factor: float) -> RegionFit:
    def times(root: tuple[float, ...] | None) -> tuple[float, ...] | None:
        return None if root is None else tuple(float(f"{value * factor:.7e}") for value in root)

    sigma: ScaleFit | None = fit.sigma
    return replace(fit, root=times(fit.root), sigma=None if sigma is None else replace(sigma, root=times(sigma.root)))
