"""Brain Reference (Korbmacher et al. 2025) and its asymmetry variant: one ``.Rdata`` file per region and sex."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from bids_app import regions as region_names
from bids_app.errors import ModelError
from bids_app.normative.engines.native import NativeModel
from bids_app.normative.importers.assemble import native_model
from bids_app.normative.importers.mfp import TrainingSummary, region_fit
from bids_app.normative.importers.names import region_of
from bids_app.normative.importers.rfile import RObject, read_r_file
from bids_app.normative.parameters import RegionFit
from bids_app.tables import read_table

SOURCE = "https://osf.io/6r8dy/ (models), https://github.com/MaxKorbmacher/NormativeModels (code, output_rmse.csv)"
ASYMMETRY_SOURCE = "https://github.com/MaxKorbmacher/AsymmetryNorm"
CITATION = (
    "Korbmacher M, et al. Normative Modelling of Brain Volume for Diagnostic and Prognostic Stratification in "
    "Multiple Sclerosis. medRxiv 2025. doi:10.1101/2025.09.14.25335702"
)
COMBAT_LIMITATION = (
    "The training volumes and eTIV were harmonised with ComBat (mean only); a new scanner's offset goes into z "
    "unless a site adaptation is estimated from local controls."
)
_FILE_NAME = re.compile(r".+_(female|male)\.[Rr][Dd]ata")
_MEAN_IN_SD = 3.0
_RMSE_AGREEMENT = 1e-6


def import_brain_reference(folder: Path, rmse_table: Path | None = None, asymmetry: bool = False) -> NativeModel:
    """Read a folder of Brain Reference ``<region>_<sex>.Rdata`` files.

    Parameters
    ----------
    folder : Path
        The files as published; the name table is ``data/importers/brain_reference.tsv``.
    rmse_table : Path, optional
        The published ``output_rmse.csv`` (default: the one in `folder`, if any). It is checked against the
        residuals in the files; without it the RMSE comes from the residuals.
    asymmetry : bool
        The files are the asymmetry variant, whose responses are left minus right volumes in mm^3.

    Returns
    -------
    NativeModel
        In reference mode, coefficients only.

    Raises
    ------
    ModelError
        When files are missing, damaged, of unknown regions, or do not belong together.
    """
    fits: dict[str, dict[str, RegionFit]] = {}
    rmse: dict[str, float] = {}
    for path in _model_files(folder):
        name, _, sex = path.stem.rpartition("_")
        fit, summary = region_fit(_mfp_object(path, sex), str(path))
        region = _region(name, path, asymmetry)
        _check_response(summary, path, asymmetry)
        fits.setdefault(region, {})[sex] = fit
        rmse[path.name] = fit.rmse
    _check_rmse(rmse, folder, rmse_table)
    order = {name: i for i, name in enumerate(_all_regions(asymmetry))}
    fits = {region: fits[region] for region in sorted(fits, key=order.__getitem__)}
    return native_model(fits, folder, **(_asymmetry_card() if asymmetry else _volume_card()))


def _model_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise ModelError(f"{folder} is not a folder of .Rdata files", f"they are published at {SOURCE}")
    found = sorted(path for path in folder.iterdir() if _FILE_NAME.fullmatch(path.name))
    if not found:
        raise ModelError(f"{folder} holds no <region>_<sex>.Rdata file", f"they are published at {SOURCE}")
    return found


def _mfp_object(path: Path, sex: str) -> RObject:
    objects = read_r_file(path)
    expected = f"mfp.{sex}.model"
    if list(objects) != [expected]:
        raise ModelError(f"{path} holds {', '.join(objects) or 'nothing'} where {expected} was expected")
    return objects[expected]


def _region(name: str, path: Path, asymmetry: bool) -> str:
    region = region_of("brain_reference", name)
    if region is None:
        raise ModelError(f"{path}: {name} is not a region of Brain Reference", "take the file out of the folder")
    if not asymmetry:
        return region
    left = {pair.left: region_names.difference_name(pair) for pair in region_names.pairs()}
    if region not in left:
        raise ModelError(f"{path}: the asymmetry variant names its files by the left hemisphere, {name} is not left")
    return left[region]


def _check_response(summary: TrainingSummary, path: Path, asymmetry: bool) -> None:
    """A volume lies many SD above zero, a difference between hemispheres does not."""
    if (abs(summary.mean) > _MEAN_IN_SD * summary.sd) == asymmetry:
        kind = "a volume, not a difference between hemispheres; import it as brain-reference"
        other = "a difference between hemispheres, not a volume; import it as brain-reference-asymmetry"
        raise ModelError(f"{path} models {kind if asymmetry else other}")


def _check_rmse(rmse: dict[str, float], folder: Path, table: Path | None) -> None:
    """The published table must be that of these files."""
    table = table or next((p for p in (folder / "output_rmse.csv", folder / "rmse.csv") if p.is_file()), None)
    if table is None:
        return
    published = read_table(table)
    if not {"model_file", "RMSE"} <= set(published.columns):
        raise ModelError(f"{table} is not the published RMSE table (columns model_file, model_name, RMSE)")
    listed = dict(zip(published["model_file"], published["RMSE"]))
    for name, value in rmse.items():
        if abs(listed.get(name, 0.0) / value - 1) > _RMSE_AGREEMENT:
            raise ModelError(
                f"{table} lists {listed.get(name, 'nothing')} for {name}, whose residuals give {value:.6g}: "
                "table and models do not belong together"
            )


def _all_regions(asymmetry: bool) -> list[str]:
    if asymmetry:
        return [region_names.difference_name(pair) for pair in region_names.pairs()]
    return list(region_names.reference_regions())


def _volume_card() -> dict[str, Any]:
    return {
        "name": "brain-reference",
        "version": "imported",
        "title": "Brain Reference, normative models of brain volume",
        "summary": "Multivariable fractional polynomials of regional volume per sex, published with the source study.",
        "licence": "not stated by the authors",
        "source": {
            "source": "Brain Reference",
            "licence": "not stated by the authors",
            "url": SOURCE,
            "citation": CITATION,
        },
        "transform": "none (volumes in mm^3); z = (observed - predicted) / RMSE of the person's own sex",
        "harmonisation": "ComBat, mean only, before training; not applied to the scans that are scored",
        "limitations": (COMBAT_LIMITATION, "The files name neither sites nor FreeSurfer versions."),
        "citations": (CITATION,),
    }


def _asymmetry_card() -> dict[str, Any]:
    return {
        **_volume_card(),
        "name": "brain-reference-asymmetry",
        "title": "Asymmetry Norm, normative models of left minus right volumes",
        "summary": "Multivariable fractional polynomials of left minus right volume (mm^3) per sex.",
        "source": {
            "source": "Asymmetry Norm",
            "licence": "not stated by the authors",
            "url": ASYMMETRY_SOURCE,
            "citation": CITATION,
        },
        "transform": "left minus right volume (mm^3); z = (observed - predicted) / RMSE of the person's own sex",
    }
