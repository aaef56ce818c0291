"""NOMIS (Potvin et al. 2022): linear models of FreeSurfer 6 measures, one pickle per region.

In NOMIS' folder ``bin``: ``models/<file>/Models/<name>.sav`` (a pickled linear regression), ``<name>.csv`` (its
predictors, as the header line), ``<name>_mse.csv`` and ``models/<file>/CNR_regions/<name>.csv``; ``meanage.csv``,
``meanetiv.csv`` and ``meansurfaceholes.csv`` hold what is taken off before powers and products are formed.
Scanner and image-quality predictors are not known to this software; they must be given as constants of the dataset.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bids_app.errors import ModelError
from bids_app.normative.card import ModelCard
from bids_app.normative.documents import NO_DATE
from bids_app.normative.engines.terms import Term, TermsFit, TermsModel, with_digest
from bids_app.normative.importers.names import name_table
from bids_app.normative.importers.restricted_pickle import Inert, number, read_pickle
from bids_app.normative.limits import read_limited

SOURCE = "https://github.com/medicslaboratory/NOMIS (folder bin)"
CITATION = (
    "Potvin O, Dieumegarde L, Duchesne S. NOMIS: Quantifying morphometric deviations from normality over the "
    "lifetime of the adult human brain. See the NOMIS repository for the current reference."
)
MAX_TABLE_BYTES = 10**6
MEAN = "mean"
MANUFACTURERS = ("siemens", "philips", "ge")
_POWER = re.compile(r"(age|etiv|surfaceholes|cnr)([23])")


def import_nomis(folder: Path, assume: Mapping[str, str] | None = None) -> TermsModel:
    """Convert the volumes of a NOMIS folder.

    Parameters
    ----------
    folder : Path
        NOMIS' ``bin`` (it has ``meanage.csv``).
    assume : mapping, optional
        What all scans of the dataset share: ``manufacturer`` (siemens, philips, ge), ``mfs`` (1.5 or 3 tesla),
        ``voxel`` (mm^3), ``surfaceholes`` (a number, or ``mean``), ``cnr`` (``mean``: the training mean).

    Raises
    ------
    ModelError
        When a file is missing or damaged, or a model needs a predictor that is neither age, sex nor eTIV and is
        not among `assume`; the message names the predictors.
    """
    centre = {name: _number(folder / f"mean{name}.csv") for name in ("age", "etiv")}
    constants = _constants(folder, assume or {})
    fits: dict[str, TermsFit] = {}
    needed: set[str] = set()
    for row in name_table("nomis"):
        path, response = _model_file(folder, row)
        if path is None:
            continue
        fit, lacking = _fit(path, response, constants)
        needed |= lacking
        if fit is not None:
            fits[row["region"]] = fit
    if needed:
        raise ModelError(
            f"the NOMIS models in {folder} need {', '.join(sorted(needed))}, which FreeSurfer's volumes do not give",
            "say what all your scans share with --assume (manufacturer=, mfs=, voxel=, surfaceholes=, cnr=mean)",
        )
    if not fits:
        raise ModelError(f"{folder} holds no NOMIS model of a volume", f"they are published at {SOURCE}")
    return with_digest(TermsModel(card=_card(folder, assume or {}), fits=fits, centre=centre))


def _model_file(folder: Path, row: Mapping[str, str]) -> tuple[Path | None, str]:
    """The model of a region and the scale of its response; ventricles are on log10."""
    models = folder / "models" / row["file"] / "Models"
    for name, response in ((f"{row['published']}log10", "log10"), (row["published"], row["response"])):
        if (models / f"{name}.sav").is_file():
            return models / f"{name}.sav", response
    return None, ""


def _fit(path: Path, response: str, constants: Mapping[str, float]) -> tuple[TermsFit | None, set[str]]:
    predictors = _header(path.with_suffix(".csv"))
    values = _coefficients(read_pickle(path), path)
    if len(values) != len(predictors) + 1:
        raise ModelError(f"{path} has {len(values) - 1} slopes for {len(predictors)} predictors", "fetch it again")
    lacking = {part for name in predictors for part in _parts(name) if part not in _VARIABLES and part not in constants}
    if lacking:
        return None, lacking
    sums: dict[Term, float] = {(): values[0]}
    for name, value in zip(predictors, values[1:]):
        parts = _parts(name)
        term = tuple(sorted(_VARIABLES[part] for part in parts if part in _VARIABLES))
        factor = float(np.prod([constants[part] for part in parts if part not in _VARIABLES]))
        sums[term] = sums.get(term, 0.0) + value * factor
    noise = _number(path.with_name(path.stem + "_mse.csv"))
    return TermsFit(terms=tuple(sums), coefficients=tuple(sums.values()), noise=noise, response=response), set()


_VARIABLES = {"age": "age", "etiv": "etiv", "sex_m": "sex_male"}


def _parts(predictor: str) -> list[str]:
    """``age_x_sex_m`` is age times sex_m, ``age2`` is age times age."""
    parts: list[str] = []
    for part in predictor.split("_x_"):
        power = _POWER.fullmatch(part)
        parts += [power[1]] * int(power[2]) if power else [part]
    return parts


def _coefficients(model: Any, path: Path) -> list[float]:
    """Intercept and slopes of a linear regression of scikit-learn."""
    slopes = model.get("coef_") if isinstance(model, Inert) else None
    if not isinstance(slopes, np.ndarray):
        raise ModelError(f"{path} is not a linear regression whose coefficients can be read")
    try:
        return [number(model.get("intercept_")), *(float(value) for value in slopes.ravel())]
    except ValueError as error:
        raise ModelError(f"{path} has no intercept ({error})") from error


def _constants(folder: Path, assume: Mapping[str, str]) -> dict[str, float]:
    """Values of the predictors that are constants of the dataset, centred as NOMIS does."""
    unknown = set(assume) - {"manufacturer", "mfs", "voxel", "surfaceholes", "cnr"}
    if unknown:
        raise ModelError(
            f"cannot assume {', '.join(sorted(unknown))}", "known are manufacturer, mfs, voxel, surfaceholes, cnr"
        )
    out: dict[str, float] = {}
    try:
        if "manufacturer" in assume:
            maker = assume["manufacturer"].lower()
            if maker not in MANUFACTURERS:
                raise ValueError(f"manufacturer must be one of {', '.join(MANUFACTURERS)}")
            out.update(manufacturer_philips=float(maker == "philips"), manufacturer_ge=float(maker == "ge"))
        if "mfs" in assume:
            out["mfs_15"] = {1.5: 1.0, 3.0: 0.0}[float(assume["mfs"])]
        if "voxel" in assume:
            out["voxel"] = float(assume["voxel"])
        if "cnr" in assume:
            out["cnr"] = {MEAN: 0.0}[assume["cnr"]]
        if "surfaceholes" in assume:
            holes = assume["surfaceholes"]
            out["surfaceholes"] = (
                0.0 if holes == MEAN else (math.log(float(holes)) - _number(folder / "meansurfaceholes.csv"))
            )
    except (ValueError, KeyError) as error:
        raise ModelError(f"a value of --assume is not possible ({error})") from error
    return out


def _number(path: Path) -> float:
    text = read_limited(path, MAX_TABLE_BYTES).decode("utf-8", "replace").strip()
    try:
        value = float(text)
    except ValueError as error:
        raise ModelError(f"{path} holds no number", f"it is part of NOMIS ({SOURCE})") from error
    if not np.isfinite(value):
        raise ModelError(f"{path} holds no finite number", f"it is part of NOMIS ({SOURCE})")
    return value


def _header(path: Path) -> list[str]:
    lines = read_limited(path, MAX_TABLE_BYTES).decode("utf-8", "replace").splitlines()
    return [name.strip() for name in lines[0].split(",")] if lines else []


def _card(folder: Path, assume: Mapping[str, str]) -> ModelCard:
    stated = ", ".join(f"{name} = {value}" for name, value in sorted(assume.items()))
    note = (f"NOMIS adjusts for scanner and image quality; here these were taken as constant ({stated}).",)
    return ModelCard(
        name="nomis",
        version="imported",
        title="NOMIS, normative morphometry for FreeSurfer 6",
        summary="Linear models on polynomials of age and intracranial volume, sex, scanner and image quality.",
        licence="see the NOMIS repository",
        date=NO_DATE,
        engine="terms",
        mode="reference",
        training=({"source": "NOMIS", "licence": "see the NOMIS repository", "url": SOURCE, "citation": CITATION},),
        fs_versions=("6.0",),
        covariates="age (years), sex, EstimatedTotalIntraCranialVol (mm^3)" + (f"; {stated}" if stated else ""),
        transform="log10 of ventricles, otherwise volume (mm^3); z = (observed - predicted) / sqrt(MSE)",
        limitations=("For adults, and for FreeSurfer 6.0 only; the files do not state the range of ages.",),
        citations=(CITATION,),
        z_notes=note if assume else (),
    )
