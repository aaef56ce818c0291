"""CentileBrain (Ge et al. 2024): ``.rds`` files with a list of ``mfp`` models, one file per sex."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from bids_app.errors import ModelError
from bids_app.normative.engines.native import NativeModel
from bids_app.normative.importers.assemble import native_model
from bids_app.normative.importers.mfp import region_fit
from bids_app.normative.importers.mfp_without_rows import Means, has_rows, summary_fit
from bids_app.normative.importers.names import name_table
from bids_app.normative.importers.rfile import RObject, read_r_file
from bids_app.normative.parameters import SEXES, RegionFit
from bids_app.tables import read_table

SOURCE = "https://github.com/CentileBrain/centilebrain (folder models: MFPmodels_subcorticalvolume_<sex>.rds)"
CITATION = (
    "Ge R, et al. Normative modelling of brain morphometry across the lifespan with CentileBrain: algorithm "
    "benchmarking and model optimisation. Lancet Digit Health 2024;6:e211-21. doi:10.1016/S2589-7500(23)00250-9"
)
HARMONISED = (
    "The training volumes were harmonised with ComBat-GAM; a new scanner's offset goes into z unless a site "
    "adaptation is estimated from local controls."
)
PUBLISHED_AGES = (3.0, 90.0)  # Ge et al. 2024: 37,407 healthy people of 3 to 90 years
FROM_DEVIANCE = "The {sex} file holds no residuals: its RMSE is the square root of deviance / n."
NO_ETIV = "The model of {regions} does not use intracranial volume: its z changes with head size."


def import_centilebrain(folder: Path, offsets: Path | None = None) -> NativeModel:
    """Read ``MFPmodels_subcorticalvolume_female.rds`` and ``..._male.rds`` of a folder.

    Parameters
    ----------
    folder : Path
    offsets : Path, optional
        Table with the columns ``sex``, ``region`` (CentileBrain's name), ``K`` and optionally ``ICV`` (mm^3): the
        training means of the volume and of intracranial volume, for models that were trained on centred values.

    Raises
    ------
    ModelError
        When a file is missing or damaged, models something other than the 14 subcortical volumes, needs
        another covariate, or was trained on mean-centred values and `offsets` does not give the means.
    """
    added = _read_offsets(offsets)
    fits: dict[str, dict[str, RegionFit]] = {}
    without_etiv: set[str] = set()
    from_deviance: set[str] = set()
    for sex in SEXES:
        path = _file(folder, sex)
        for row, model in zip(name_table("centilebrain"), _models(path)):
            where = f"{path}, model {row['position']} ({row['published']})"
            fit, etiv_used = _fit(model, where, added.get((sex, row["published"]), Means()))
            if not etiv_used:
                without_etiv.add(row["region"])
            if not has_rows(model) and model.get("residuals") is None:
                from_deviance.add(sex)
            fits.setdefault(row["region"], {})[sex] = fit
    return native_model(
        fits,
        folder,
        {"source": "CentileBrain", "licence": "not stated by the authors", "url": SOURCE, "citation": CITATION},
        **_card(without_etiv, from_deviance),
    )


def _fit(model: RObject, where: str, means: Means) -> tuple[RegionFit, bool]:
    """Parameters of one model, and whether it uses intracranial volume."""
    if not has_rows(model):
        return summary_fit(model, where, PUBLISHED_AGES, means)
    fit, summary = region_fit(model, where, means.volume or 0.0)
    if abs(summary.mean) < summary.sd and means.volume is None:
        raise ModelError(
            f"{where} was trained on mean-centred volumes and does not say which mean",
            "give a table of offsets (columns sex, region, K)",
        )
    return fit, summary.etiv_used


def _file(folder: Path, sex: str) -> Path:
    path = folder / f"MFPmodels_subcorticalvolume_{sex}.rds"
    if path.is_file():
        return path
    others = sorted(p.name for p in folder.glob("MFPmodels_*.rds")) if folder.is_dir() else []
    if others and not any("subcorticalvolume" in name for name in others):
        raise ModelError(
            f"{folder} holds {', '.join(others)}: thickness and surface area models, which measure nothing that is "
            "scored here",
            "only subcortical volumes can be imported",
        )
    raise ModelError(f"{path} is missing", f"it is published at {SOURCE}")


def _models(path: Path) -> list[RObject]:
    root = read_r_file(path).get("")
    expected = len(name_table("centilebrain"))
    if root is None or root.kind != "list" or len(root.value) != expected:
        found = len(root.value) if root is not None and root.kind == "list" else 0
        raise ModelError(f"{path} holds {found} models where {expected} subcortical volumes were expected")
    models: list[RObject] = root.value
    return models


def _read_offsets(path: Path | None) -> Mapping[tuple[str, str], Means]:
    if path is None:
        return {}
    table = read_table(path)
    if not {"sex", "region", "K"} <= set(table.columns):
        raise ModelError(f"{path} is not a table of offsets (columns sex, region, K)")
    etivs = table["ICV"].tolist() if "ICV" in table else [None] * len(table)
    try:
        return {
            (str(sex), str(region)): Means(float(k), None if etiv is None or pd.isna(etiv) else float(etiv))
            for sex, region, k, etiv in zip(table["sex"], table["region"], table["K"], etivs)
        }
    except ValueError as error:
        raise ModelError(f"{path} holds something that is no number ({error})", "K and ICV are mm^3") from error


def _card(without_etiv: set[str], from_deviance: set[str]) -> dict[str, object]:
    note = (NO_ETIV.format(regions=", ".join(sorted(without_etiv))),) if without_etiv else ()
    return {
        "name": "centilebrain-subcortical",
        "version": "imported",
        "title": "CentileBrain, normative models of subcortical volume",
        "summary": "Multivariable fractional polynomials of 14 subcortical volumes per sex (ENIGMA Lifespan).",
        "licence": "not stated by the authors",
        "covariates": "age (years), sex, intracranial volume (mm^3)",
        "transform": "none (volumes in mm^3); z = (observed - predicted) / RMSE of the person's own sex",
        "harmonisation": "ComBat-GAM before training; not applied to the scans that are scored",
        "limitations": (
            HARMONISED,
            "The files name neither sites nor FreeSurfer versions.",
            f"Files without training rows hold no range of ages: {PUBLISHED_AGES[0]:g} to {PUBLISHED_AGES[1]:g} years "
            "are taken from the paper.",
            *(FROM_DEVIANCE.format(sex=sex) for sex in sorted(from_deviance)),
        ),
        "citations": (CITATION,),
        "z_notes": note,
    }
