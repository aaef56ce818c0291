"""What a model is made of, in sentences that are read off its parameters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from bids_app.normative.base import NormativeModel
from bids_app.normative.parameters import RegionFit, RegionModel

_POWERS = {1.0: "eTIV", 2.0: "eTIV squared"}


def structure(model: NormativeModel) -> str:
    """The sentences on sexes, age, eTIV, spread, shape and FreeSurfer versions of a model, for a methods section."""
    regions = [found for name in model.regions if (found := model.parameters_of(name)) is not None]
    if not regions:
        return f"It is a model of the engine {model.card.engine}. {model.card.summary}".strip()
    fits = [fit for region in regions for fit in region.fits.values()]
    return " ".join([_median(regions, fits), _residuals(fits), *_offsets(model)])


def shares_curve(region: RegionModel) -> bool:
    """Whether the sexes of a region differ in their level only."""
    first, *others = region.fits.values()
    return bool(others) and all(
        first.powers == fit.powers
        and first.etiv_power == fit.etiv_power
        and np.allclose(first.coefficients[1:], fit.coefficients[1:], rtol=1e-12, atol=0)
        for fit in others
    )


def _median(regions: Sequence[RegionModel], fits: Sequence[RegionFit]) -> str:
    shared = sum(map(shares_curve, regions))
    terms = max(len(fit.powers) for fit in fits)
    age = f"a fractional polynomial of age with up to {terms} terms (Royston & Altman 1994; Sauerbrei & Royston 1999)"
    powers = Counter(fit.etiv_power for fit in fits if fit.coefficients[1])
    etiv = " or ".join(f"{_POWERS.get(power, f'eTIV^{power:g}')}" for power in sorted(powers))
    without = sum(not any(fit.coefficients[1] for fit in region.fits.values()) for region in regions)
    etiv = f"a linear function of {etiv}{f' (but in {without} regions)' if without else ''} and " if powers else ""
    if shared == len(regions):
        slope = " and the slope of eTIV" if powers else ""
        who = f"Per region, the sexes share the curve of age{slope}, and each has its own level;"
    elif shared:
        who = f"Per region (in {shared} of {len(regions)} with a curve that the sexes share, otherwise by sex),"
    else:
        who = "Per sex and region,"
    logs = sum(region.transform == "log" for region in regions)
    log = f" of the logarithm in {logs} of {len(regions)} regions" if logs else ""
    return f"{who} the median{log} is {etiv}{age}."


def _residuals(fits: Sequence[RegionFit]) -> str:
    shaped = sum(fit.shape is not None for fit in fits)
    aged = sum(fit.sigma is not None and bool(fit.sigma.powers) for fit in fits)
    sized = any(fit.sigma is not None and fit.sigma.coefficients[1] for fit in fits)
    on = f"{' on eTIV' * sized}{' and' * (sized and bool(aged))}{', where the data ask for it, on age' * bool(aged)}"
    spread = f"the spread depends{on}" if on else "the spread is constant"
    shape = "a sinh-arcsinh distribution (Jones & Pewsey 2009)" if shaped else "a Gaussian distribution"
    return f"Residuals follow {shape}; {spread}."


def _offsets(model: NormativeModel) -> list[str]:
    versions = sorted(model.corrected_versions)
    return [f"Offsets of FreeSurfer {' and '.join(versions)} are taken out."] if versions else []
