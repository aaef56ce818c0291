"""From imported fits of single regions to a model with its card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bids_app.errors import ModelError
from bids_app.normative.card import ModelCard
from bids_app.normative.documents import NO_DATE
from bids_app.normative.engines.native import NativeModel
from bids_app.normative.engines.native_file import with_digest
from bids_app.normative.parameters import SEXES, RegionFit, RegionModel

Fits = Mapping[str, Mapping[str, RegionFit]]


def native_model(fits: Fits, folder: Path, source: Mapping[str, Any], **card: Any) -> NativeModel:
    """A native model in reference mode from fits by region and sex.

    Parameters
    ----------
    fits : mapping of region to mapping of sex to RegionFit
    folder : Path
        Where the files were, for error messages and the date.
    source : mapping
        ``source``, ``licence``, ``url``, ``citation`` of the training data; ``n`` is filled in.
    **card
        Further fields of the `ModelCard`; people and ranges are filled in from `fits`.

    Raises
    ------
    ModelError
        When a region lacks one sex, or there is no region at all.
    """
    lacking = sorted(f"{region} ({sex})" for region, by_sex in fits.items() for sex in SEXES if sex not in by_sex)
    if lacking or not fits:
        what = f"the model of {', '.join(lacking[:5])} is missing" if lacking else "there is no model file"
        raise ModelError(f"{what} in {folder}", "fetch the complete set of files")
    people = _people(fits)
    training = ({**source, "n": sum(people["n"].values())},)
    return with_digest(
        NativeModel(
            ModelCard(date=NO_DATE, mode="reference", training=training, **people, **card),
            tuple(RegionModel(name=region, fits=by_sex) for region, by_sex in fits.items()),
        )
    )


def _people(fits: Fits) -> dict[str, Any]:
    by_sex = {sex: [by[sex] for by in fits.values()] for sex in SEXES}
    return {
        "n": {sex: max(fit.n for fit in some) for sex, some in by_sex.items()},
        "age_range": {sex: _union(fit.age_range for fit in some) for sex, some in by_sex.items()},
        "etiv_range": {sex: _union(fit.etiv_range for fit in some) for sex, some in by_sex.items()},
    }


def _union(ranges: Any) -> tuple[float, float]:
    lows, highs = zip(*ranges)
    return min(lows), max(highs)
