"""Give a model to others: JSON with its schema, a table of coefficients for R, and centiles for everybody.

The JSON file needs nothing: ``model_file.save`` writes it and ``data/model.schema.json`` describes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bids_app.errors import UsageError
from bids_app.normative.base import NormativeModel
from bids_app.normative.engines import native_file as model_file
from bids_app.normative.engines.native import NativeModel
from bids_app.normative.parameters import SEXES, RegionFit
from bids_app.regions import ETIV
from bids_app.tables import atomic_write, read_json, write_json, write_tsv

CENTILES = (1.0, 2.5, 5.0, 25.0, 50.0, 75.0, 95.0, 97.5, 99.0)
AGE_STEP = 1.0
EXACT = "%.17g"


def coefficient_table(model: NativeModel) -> pd.DataFrame:
    """One row per region and sex, every parameter a column.

    The predicted mean (on the modelled scale, see ``transform``) at age in years and eTIV in mm^3 is
    ``intercept + b_etiv * eTIV^etiv_power + b_age1 * f1 + b_age2 * f2 + b_age3 * f3`` with
    ``x = (age + shift) / scale`` and ``f = x^power`` (``log(x)`` for power 0); a power that equals the one before it
    has that one's f times ``log(x)``.
    The SD is ``rmse``, or ``exp(s0 + s_etiv * eTIV + s1 * g1 + s2 * g2)`` with powers ``s_power1``, ``s_power2``;
    ``z = sinh(delta * asinh((u - xi) / lambda) - epsilon)`` for the standardised residual u.

    Parameters
    ----------
    model : NativeModel

    Returns
    -------
    DataFrame

    Raises
    ------
    UsageError
        For a model of another engine, whose coefficients have another meaning.
    """
    if not isinstance(model, NativeModel):
        raise UsageError(
            f"{model.card.name} is a model of {model.card.engine}",
            "only native models have a table of coefficients, export its centiles instead",
        )
    return pd.DataFrame(
        [
            {"region": region.name, "sex": sex, "transform": region.transform, **_parameters(region.fits[sex])}
            for region in model.region_models
            for sex in SEXES
        ]
    )


def _parameters(fit: RegionFit) -> dict[str, Any]:
    powers = [*fit.powers, *[np.nan] * 3][:3]
    terms = [*fit.coefficients, *[np.nan] * 3][:5]
    sigma_powers, sigma_terms = [np.nan] * 2, [np.nan] * 4
    if fit.sigma is not None:
        sigma_powers = [*fit.sigma.powers, np.nan, np.nan][:2]
        sigma_terms = [*fit.sigma.coefficients, np.nan, np.nan][:4]
    shape = fit.shape or (np.nan,) * 4
    return {
        "n": fit.n,
        "shift": fit.shift,
        "scale": fit.scale,
        **dict(zip(("power1", "power2", "power3"), powers)),
        "etiv_power": fit.etiv_power,
        **dict(zip(("intercept", "b_etiv", "b_age1", "b_age2", "b_age3"), terms)),
        "rmse": fit.rmse,
        "s_power1": sigma_powers[0],
        "s_power2": sigma_powers[1],
        **dict(zip(("s0", "s_etiv", "s1", "s2"), sigma_terms)),
        **dict(zip(("xi", "lambda", "epsilon", "delta"), shape)),
        "age_min": fit.age_range[0],
        "age_max": fit.age_range[1],
        "etiv_min": fit.etiv_range[0],
        "etiv_max": fit.etiv_range[1],
    }


def centile_table(
    model: NormativeModel,
    etiv: float | None = None,
    ages: Sequence[float] | None = None,
    centiles: Sequence[float] = CENTILES,
    regions: tuple[str, ...] | None = None,
) -> pd.DataFrame:
    """Volumes (mm^3) on each centile, for any engine.

    Parameters
    ----------
    model : NormativeModel
    etiv : float, optional
        Intracranial volume in mm^3 (default: the middle of the card's range of each sex).
    ages : sequence of float, optional
        Years; default: every year of the card's range of each sex.
    centiles : sequence of float
        In percent, between 0 and 100.
    regions : tuple of str, optional

    Returns
    -------
    DataFrame
        ``region``, ``sex``, ``age``, ``etiv_mm3``, and one column per centile (``p2.5``).
    """
    if not all(0 < centile < 100 for centile in centiles):
        raise UsageError("centiles are percentages above 0 and below 100")
    names = regions or model.regions
    grid = _grid(model, etiv, ages)
    volumes = _volumes(model, grid, names, centiles)
    parts = [
        grid[["sex", "age"]].assign(
            region=name,
            etiv_mm3=grid[ETIV],
            **{f"p{centile:g}": volumes[:, j, k] for k, centile in enumerate(centiles)},
        )
        for j, name in enumerate(names)
    ]
    table = pd.concat(parts, ignore_index=True)
    return table[["region", "sex", "age", "etiv_mm3", *(f"p{centile:g}" for centile in centiles)]]


def _grid(model: NormativeModel, etiv: float | None, ages: Sequence[float] | None) -> pd.DataFrame:
    parts = []
    for sex in SEXES:
        if ages is None and sex not in model.card.age_range:
            raise UsageError(f"the card of {model.card.name} has no age range", "say for which ages (--ages)")
        if etiv is None and model.needs_etiv and sex not in model.card.etiv_range:
            raise UsageError(f"the card of {model.card.name} has no range of intracranial volume", "give one (--etiv)")
        low, high = model.card.age_range.get(sex, (0.0, 0.0))
        years = np.arange(np.ceil(low), high + 1e-9, AGE_STEP) if ages is None else np.asarray(ages, dtype=float)
        volume = float(np.mean(model.card.etiv_range.get(sex, np.nan))) if etiv is None else etiv
        parts.append(pd.DataFrame({"age": years, "sex": sex, ETIV: volume}))
    return pd.concat(parts, ignore_index=True)


def _volumes(
    model: NormativeModel, grid: pd.DataFrame, regions: tuple[str, ...], centiles: Sequence[float]
) -> np.ndarray:
    from scipy.special import ndtri

    shape = (len(grid), len(regions))
    return np.stack(
        [model.volumes_at(grid, np.full(shape, ndtri(centile / 100)), regions) for centile in centiles], axis=2
    )


@lru_cache(maxsize=1)
def column_dictionary() -> dict[str, Any]:
    """BIDS data dictionary of the exported tables."""
    return dict(read_json(str(files("bids_app.data") / "export_columns.json")))


def export(model: NormativeModel, path: Path, kind: str, **options: Any) -> Path:
    """Write `model` as ``json`` (with ``<name>.schema.json`` beside it), ``coefficients`` (CSV) or ``centiles`` (TSV).

    Raises
    ------
    UsageError
        For another kind, or a kind that the model's engine does not have.
    """
    if kind == "centiles":
        table = centile_table(model, **options)
        return write_tsv(table, path, {**column_dictionary(), **_centile_columns(table)})
    if kind not in ("json", "coefficients") or not isinstance(model, NativeModel):
        raise UsageError(
            f"cannot export {model.card.name} ({model.card.engine}) as {kind}",
            "kinds are json and coefficients (native models only) and centiles",
        )
    if kind == "json":
        write_json(model_file.schema(), path.with_suffix(".schema.json"))
        return model_file.save(model, path)
    text = coefficient_table(model).to_csv(index=False, na_rep="NA", float_format=EXACT, lineterminator="\n")
    return atomic_write(path, text)


def _centile_columns(table: pd.DataFrame) -> dict[str, Any]:
    return {
        name: {"Description": f"What {name[1:]} % of healthy people are below, in mm^3, of thickness mm, of area mm^2."}
        for name in table.columns
        if name.startswith("p")
    }
