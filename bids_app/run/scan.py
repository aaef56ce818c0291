"""Score one scan: volumes and covariates in, tables and summary out; and write them under their BIDS names."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bids_app import __version__, regions
from bids_app.bids.columns import columns_for
from bids_app.bids.covariate_columns import GROUP_COLUMNS, SITE_COLUMNS
from bids_app.bids.derivatives import SCHEMA
from bids_app.bids.finding_files import findings_of, findings_path, write_findings
from bids_app.bids.markers import begin_scan
from bids_app.bids.names import bare, derivative_path, output_path, scan_name
from bids_app.bids.status import write_status
from bids_app.clinical.second_opinion import agreement, opinions
from bids_app.errors import CovariateError, InputError
from bids_app.freesurfer.quality import Quality, assess_quality, quality_metrics
from bids_app.freesurfer.quality_reference import asked_bounds, reference_range
from bids_app.freesurfer.subject import FREESURFER
from bids_app.freesurfer.volumes import Row, Volumes, modelled_version, region_values
from bids_app.normative.base import Deviations, NormativeModel
from bids_app.normative.harmonise.adaptation import unadapted_warning
from bids_app.normative.plausible import without_impossible
from bids_app.run.adaptation import StoredAdaptation
from bids_app.run.counts import counts_with_expectation
from bids_app.run.fingerprint import fingerprint
from bids_app.run.lesions import scan_lesions
from bids_app.run.models import load_study_model, model_sha256
from bids_app.run.scan_findings import refuse_unfit, scan_findings
from bids_app.tables import format_json, write_json, write_tsv

EXPECTED_TABLES = ("volumes", "deviations", "extended", "asymmetry")
SURFACE_TABLES = (regions.THICKNESS, regions.AREA)
# The adaptation parameters of each scan, of which a person's tables can be made again
ADAPTATIONS = Path("logs") / "adaptation"
ATLAS_TABLES = ("DKT", "Destrieux")
SECOND = "second"


@dataclass(frozen=True)
class ScanResult:
    """One scored scan: tables by name (`EXPECTED_TABLES`, `SURFACE_TABLES`, `ATLAS_TABLES`, `SECOND`); its summary."""

    tables: Mapping[str, pd.DataFrame]
    summary: Mapping[str, Any]


def scan_covariates(row: Mapping[str, Any], volumes: Volumes) -> dict[str, Any]:
    """The covariate row with eTIV (mm^3), program and version of the scan added.

    A model knows the versions of FreeSurfer that it was trained on; FastSurfer's version of FreeSurfer is none of them.
    """
    etiv = float(volumes.etiv_mm3 or "nan")
    version = modelled_version(volumes.fs_version, volumes.flavour)
    given = {"etiv_mm3": etiv if np.isfinite(etiv) else None, "fs_version": version, "flavour": volumes.flavour}
    return {**row, **given}


def model_input(covariates: Mapping[str, Any], measured: Volumes) -> pd.DataFrame:
    """One row as the models want it: covariates and one column per region and measure, with asymmetry indices.

    Parameters
    ----------
    covariates : mapping
        As `scan_covariates` returns them.
    measured : Volumes

    Returns
    -------
    DataFrame

    Raises
    ------
    CovariateError
        When the scan has no eTIV.
    """
    if covariates.get("etiv_mm3") is None:
        raise CovariateError(
            "the scan has no estimated total intracranial volume in aseg.stats", "run FreeSurfer's full recon-all"
        )
    volumes = pd.DataFrame([_values(measured)]).astype(float)
    row = {name: value for name, value in covariates.items() if name not in volumes and value is not None}
    data = pd.concat([pd.DataFrame([row]), volumes], axis=1)
    return regions.add_asymmetry(data.assign(**{regions.ETIV: float(covariates["etiv_mm3"])}))


def _values(volumes: Volumes) -> dict[str, float]:
    rows = (Row(*row) for row in volumes.table[list(Row._fields)].itertuples(index=False))
    return region_values(rows, volumes.measures)


def score_scan(
    volumes: Volumes,
    covariates: Mapping[str, Any],
    model: NormativeModel,
    adaptation: Mapping[str, Any] | None = None,
    *,
    model_name: str,
    second_name: str | None = None,
) -> ScanResult:
    """Score a scan in every region that the model knows.

    Parameters
    ----------
    volumes : Volumes
    covariates : mapping
        As `scan_covariates` returns them.
    adaptation : mapping, optional
        The scan's stored adaptation parameters (`study.adaptation`).
    model_name, second_name : str
        Where the model was loaded from, and one whose z is set beside (their content is hashed into the summary).

    Raises
    ------
    CovariateError
        When no z can be given: intracranial volume that cannot be, or an age far below the model's youngest.
    """
    measured = model_input(covariates, volumes)
    data, impossible = without_impossible(measured)
    refuse_unfit(measured, impossible, model)
    stored = StoredAdaptation.from_json(adaptation) if adaptation else None
    deviations = model.deviations(data, adaptation=stored)
    tables: dict[str, pd.DataFrame] = {"volumes": volumes.table, **_deviation_tables(deviations)}
    tables.update({name: table for name, table in volumes.other_atlases.items() if len(table)})
    quality = _quality(volumes, covariates, model, deviations)
    second = None if second_name is None else load_study_model(second_name)
    sex, columns = str(covariates["sex"]), used_columns(model, second)
    of_adaptation = stored.notes if stored else ()
    seen = scan_findings(volumes, measured, impossible, quality, (*deviations.notes, *of_adaptation))
    lesions = scan_lesions(covariates.get("lesions"), covariates.get("fs_images"))
    if lesions is not None:
        seen += lesions.findings
        tables |= lesions.tables
    how = model_sha256(model_name), model.card.scoring, adaptation, columns
    summary = {
        **{key: covariates.get(key) for key in ("participant_id", "session_id")},
        "covariates": _covariate_summary(covariates, columns),
        "counts": counts_with_expectation(tables["deviations"], model, sex, adapted=stored is not None),
        **_surface_counts(tables, model, sex, stored is not None),
        "quality": _quality_summary(quality, volumes),
        **({} if lesions is None else {"lesions": lesions.summary}),
        "model": _model_summary(model, model_name, adaptation) | _reference(model, covariates),
        **_second_summary(tables, deviations, data, second, second_name, adaptation),
        "freesurfer": _tree_summary(volumes, covariates),
        "inputs": dict(volumes.inputs),
        "unscored": _unscored(model, deviations, volumes),
        "findings": [*(covariates.get("findings") or ()), *(finding.to_json() for finding in seen)],
        "warnings": _warnings(model, volumes, deviations, stored),
        **_maker(),
        "fingerprint": fingerprint(volumes.inputs, covariates, *how, second_name and model_sha256(second_name)),
    }
    return ScanResult(tables, summary)


def _warnings(
    model: NormativeModel, volumes: Volumes, deviations: Deviations, stored: StoredAdaptation | None
) -> list[str]:
    adapted = stored.notes if stored else (unadapted_warning(model),)
    return [*model.card.z_notes, *volumes.notes, *filter(None, deviations.notes), *adapted]


def _reference(model: NormativeModel, covariates: Mapping[str, Any]) -> dict[str, Any]:
    """How many reference people are of about that age and of that sex."""
    return {"n_reference_5y": model.card.n_near(float(covariates["age"]), str(covariates["sex"]))}


def _maker() -> dict[str, Any]:
    return {"software": {"normvol": __version__}, "schema": SCHEMA}


def used_columns(model: NormativeModel, second: NormativeModel | None) -> tuple[str, ...]:
    """What either model uses beside age, sex, eTIV and FreeSurfer version."""
    return (*model.extra_covariates, *(second.extra_covariates if second else ()))


def _second_summary(
    tables: dict[str, pd.DataFrame],
    first: Deviations,
    data: pd.DataFrame,
    second: NormativeModel | None,
    name: str | None,
    adaptation: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """What the second model is and how far it agrees; its table joins `tables`."""
    if second is None or name is None:
        return {}
    stored = (adaptation or {}).get("second")
    found = second.deviations(data, adaptation=StoredAdaptation.from_json(stored) if stored else None)
    tables[SECOND] = opinions(first, found).drop(columns="row")
    return {
        "second_model": {
            "name": second.card.name,
            "version": second.card.version,
            "sha256": model_sha256(name),
            "adapted": bool(stored),
            "notes": [note for note in found.notes if note],
            **agreement(tables[SECOND]),
        }
    }


def _surface_counts(
    tables: Mapping[str, pd.DataFrame], model: NormativeModel, sex: str, adapted: bool
) -> dict[str, Any]:
    """The counts over the cortical regions of thickness and of area, where the model has them."""
    found = {}
    for name in SURFACE_TABLES:
        if name in tables:
            counted = tables[name][tables[name]["region"].isin(regions.counted_regions(name))]
            found[name] = counts_with_expectation(counted, model, sex, adapted, name)
    return {"surface_counts": found} if found else {}


def _quality(volumes: Volumes, covariates: Mapping[str, Any], model: NormativeModel, deviations: Deviations) -> Quality:
    return assess_quality(
        volumes,
        z=pd.Series(deviations.z[0], index=deviations.regions),
        ranges=_etiv_range(model, str(covariates["sex"])),
        other_sessions_etiv=covariates.get("other_sessions_etiv") or (),
        asked=asked_bounds(covariates.get("quality_limits") or (), volumes.fs_version, quality_metrics()),
    )


def _tree_summary(volumes: Volumes, covariates: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "version": volumes.fs_version,
        "flavour": volumes.flavour,
        "stream": volumes.stream,
        "subject": covariates.get("fs_subject"),
        "images": covariates.get("fs_images"),
        "pial": volumes.pial,
    }


def _deviation_tables(deviations: Deviations) -> dict[str, pd.DataFrame]:
    columns = ["region", "volume_mm3", "expected_mm3", "z", "z_se", "centile", "deviation", "in_range"]
    long = deviations.to_long().rename(columns={"observed": "volume_mm3", "expected": "expected_mm3"})
    table = long[columns].reset_index(drop=True)
    reference, asymmetry = set(regions.reference_regions()), set(regions.asymmetry_names())
    is_reference, is_asymmetry = table["region"].isin(reference), table["region"].isin(asymmetry)
    measure = table["region"].map(regions.measure_of)
    index = {"volume_mm3": "asymmetry_index", "expected_mm3": "expected_index"}
    surface = {"volume_mm3": "value", "expected_mm3": "expected"}
    rest = ~is_reference & ~is_asymmetry & (measure == regions.VOLUME)
    tables = {
        "deviations": table[is_reference].reset_index(drop=True),
        "extended": table[rest].reset_index(drop=True),
        "asymmetry": table[is_asymmetry].rename(columns=index).reset_index(drop=True),
    }
    for name in SURFACE_TABLES:
        if (measure == name).any():
            tables[name] = table[measure == name].rename(columns=surface).reset_index(drop=True)
    return tables


def kept_columns(covariates: Mapping[str, Any], columns: Sequence[str] = ()) -> dict[str, Any]:
    """The columns of the tables that results use: group, site or scanner, and `columns` of the model.

    Nothing else is kept beside a result: a clinical score that is corrected later would be out of date there.
    """
    used = {*GROUP_COLUMNS, *SITE_COLUMNS}
    return {name: value for name, value in covariates.items() if name.lower() in used or name in columns}


def _covariate_summary(covariates: Mapping[str, Any], columns: Sequence[str]) -> dict[str, Any]:
    note = covariates.get("note")
    return {
        "age": covariates["age"],
        "sex": covariates["sex"],
        "etiv_mm3": covariates["etiv_mm3"],
        "sources": {"age": covariates.get("age_source"), "sex": covariates.get("sex_source"), "etiv_mm3": "aseg.stats"},
        "notes": [note] if note else [],
        "other": kept_columns(covariates, columns),
    }


def _etiv_range(model: NormativeModel, sex: str) -> dict[str, tuple[float, float]]:
    limits = model.card.etiv_range.get(sex)
    return {} if limits is None else {regions.ETIV: (float(limits[0]), float(limits[1]))}


def _quality_summary(quality: Quality, volumes: Volumes) -> dict[str, Any]:
    metrics = {name: _json_number(value) for name, value in quality.metrics.items()}
    own = volumes.flavour == FREESURFER
    ranges = {name: reference_range(name, volumes.fs_version) for name in metrics if own}
    return {
        "verdict": quality.verdict,
        "technical": quality.technical,
        "reasons": list(quality.reasons),
        "metrics": metrics,
        "reference": {name: found._asdict() for name, found in ranges.items() if found is not None},
    }


def _json_number(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _model_summary(model: NormativeModel, name: str, adaptation: Mapping[str, Any] | None) -> dict[str, Any]:
    said = ("controls", "by", "sha256", "scanner", "n_controls", "left_out")
    summary = {key: adaptation.get(key) for key in said} if adaptation else None
    return {
        "name": model.card.name,
        "version": model.card.version,
        "sha256": model_sha256(name),
        "scoring": model.card.scoring,
        "adaptation": summary,
    }


def _unscored(model: NormativeModel, deviations: Deviations, volumes: Volumes) -> list[dict[str, str]]:
    scored = {name for name, z in zip(deviations.regions, deviations.z[0]) if np.isfinite(z)}
    measured = {*volumes.table["region"], *_values(volumes)}
    absent = _without_segmentation(volumes)
    unscored = [
        {"region": name, "reason": _why_unscored(name, measured, absent)}
        for name in model.regions
        if name not in scored
    ]
    wanted = regions.names("reference", "extended")
    unscored += [
        {"region": name, "reason": "the model does not know this region"}
        for name in wanted
        if name in measured and name not in model.regions
    ]
    return unscored


def _without_segmentation(volumes: Volumes) -> frozenset[str]:
    """Regions that were not segmented, and the asymmetries of these."""
    absent = set(volumes.not_segmented)
    pairs = {pair.name for pair in regions.pairs() if absent.intersection((pair.left, pair.right))}
    return frozenset(absent | pairs)


def _why_unscored(name: str, measured: Collection[str], absent: Collection[str]) -> str:
    if name in absent:
        return "not segmented: SynthSeg, which FreeSurfer 8 uses by default, has no such label"
    if name not in measured and not name.startswith(regions.ASYMMETRY_PREFIX):
        return "the model knows it, but this scan's statistics do not hold it"
    return "no z-score could be computed from the values measured"


def write_scan(
    result: ScanResult, output_dir: Path, run_uuid: str, adaptation: Mapping[str, Any] | None = None
) -> Path:
    """Write a scan's tables, dictionaries, summary and status into the derivative dataset; return the summary's path.

    The summary comes last, and an old one goes first: a scan with a summary has all its tables.
    """
    participant, session = _labels(result.summary)
    begin_scan(output_dir, participant, session)
    path = derivative_path(output_dir, participant, session, desc="summary", extension=".json")
    if path.exists() and path.read_bytes() != format_json(result.summary).encode():
        path.unlink(missing_ok=True)
    for name, table in result.tables.items():
        columns = columns_for("volumes" if name in ATLAS_TABLES else name)
        write_tsv(table, _table_path(output_dir, participant, session, name), columns)
    for name in {*ATLAS_TABLES, *SURFACE_TABLES, "lesions", SECOND} - set(result.tables):
        _remove(_table_path(output_dir, participant, session, name))
    kept = output_path(output_dir, *ADAPTATIONS.parts, f"{scan_name(participant, session)}.json")
    if adaptation is None:
        kept.unlink(missing_ok=True)
    else:
        write_json(adaptation, kept)
    write_json(result.summary, path)
    write_findings(findings_of(result.summary), findings_path(output_dir, participant, session))
    write_status(
        output_dir, participant, session, status="scored", stage="done", reason="", remedy="", run_uuid=run_uuid
    )
    return path


def _table_path(output_dir: Path, participant: str, session: str | None, name: str) -> Path:
    if name in ATLAS_TABLES:
        return derivative_path(output_dir, participant, session, desc="volumes", seg=name)
    return derivative_path(output_dir, participant, session, desc=name)


def _remove(table: Path) -> None:
    for path in (table, table.with_suffix(".json")):
        path.unlink(missing_ok=True)


def _labels(summary: Mapping[str, Any]) -> tuple[str, str | None]:
    if "participant_id" not in summary:
        raise InputError("a summary without participant_id cannot be written", "run the participant level again")
    session = summary.get("session_id")
    return bare(summary["participant_id"], "sub"), bare(session, "ses") if session else None
