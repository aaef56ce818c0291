"""Regional volumes, areas and thickness of one scan, from its FreeSurfer or FastSurfer stats files.

`extract_volumes` gives all of it as DataFrames; `read_volumes` is the light form beneath it, used for many
people.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from bids_app import regions
from bids_app.errors import FreeSurferError, StatsFileError
from bids_app.freesurfer import atlases, quality_measures, segmentation, subject
from bids_app.freesurfer.completeness import completeness_notes
from bids_app.freesurfer.stats import NAME, StatsFile
from bids_app.freesurfer.stats_folder import StatsFolder

COLUMNS = ("region", "volume_mm3", "area_mm2", "thickness_mm", "atlas", "source")
_NAN = math.nan


class Row(NamedTuple):
    """One region: volume in mm^3; area in mm^2 and thickness in mm of cortical regions, else NaN."""

    region: str
    volume_mm3: float
    area_mm2: float
    thickness_mm: float
    atlas: str
    source: str


@dataclass(frozen=True)
class Volumes:
    """What FreeSurfer measured in one scan.

    Parameters
    ----------
    table : DataFrame
        ``region volume_mm3 area_mm2 thickness_mm atlas source``: every aseg structure (atlas ``aseg``), the
        34 Desikan-Killiany regions per hemisphere (``aparc``), global measures and eTIV (``global``). Names
        are FreeSurfer 7's.
    etiv_mm3 : float
        Estimated total intracranial volume; NaN when FastSurfer wrote none.
    fs_version : str or None
        E.g. ``7.4.1``; None when it is not recorded.
    flavour : {'freesurfer', 'fastsurfer'}
    stream : {'cross', 'long'}
    other_atlases : dict
        ``DKT`` and ``Destrieux``, where there, to the same kind of table.
    measures : dict
        Quality measures, see `quality_measures`.
    inputs : dict
        File relative to the subject directory to its SHA-256.
    notes : tuple of str
        Sentences: what is missing, what was read tolerantly.
    not_segmented : tuple of str
        Regions that the segmentation does not have (`segmentation`): their volume is missing, not 0.
    pial : {'T2w', 'FLAIR', None}
        The image that the pial surface was refined with.
    """

    table: pd.DataFrame
    etiv_mm3: float
    fs_version: str | None
    flavour: str = subject.FREESURFER
    stream: str = "cross"
    other_atlases: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    measures: Mapping[str, float] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    not_segmented: tuple[str, ...] = ()
    pial: str | None = None

    @property
    def values(self) -> dict[str, float]:
        """Volume (mm^3) by region."""
        return dict(zip(self.table["region"], self.table["volume_mm3"]))


@dataclass
class Reading:
    """`Volumes` before any DataFrame is made."""

    rows: list[Row]
    etiv_mm3: float
    fs_version: str | None
    flavour: str
    stream: str
    other_atlases: dict[str, list[Row]]
    measures: dict[str, float]
    inputs: dict[str, str]
    notes: list[str]
    not_segmented: tuple[str, ...] = ()
    pial: str | None = None

    @property
    def values(self) -> dict[str, float]:
        """Volume (mm^3) by region."""
        return {row.region: row.volume_mm3 for row in self.rows}


def modelled_version(version: str | None, flavour: str | None) -> str | None:
    """The version that a model of FreeSurfer volumes may correct for; None for another program's volumes."""
    return version if flavour in (None, subject.FREESURFER) else None


def extract_volumes(
    subject_dir: Path | str, *, expected_subject: str | None = None, folder: StatsFolder | None = None
) -> Volumes:
    """Read the volumes of one scan. Nothing is written or touched.

    Parameters
    ----------
    subject_dir : path-like
        FreeSurfer or FastSurfer subject directory.
    expected_subject : str, optional
        E.g. ``sub-01_ses-1``; statistics that name another person are refused.
    folder : StatsFolder, optional
        Of `subject_dir`, when some of its files were read already.

    Raises
    ------
    FreeSurferError
        When ``aseg.stats`` or eTIV cannot be read (StatsFileError when the file is damaged), or the
        statistics are another person's. Anything else that is missing is in `Volumes.notes`.
    """
    reading = read_volumes(Path(subject_dir), expected_subject=expected_subject, folder=folder)
    return Volumes(
        table=_as_table(reading.rows),
        etiv_mm3=reading.etiv_mm3,
        fs_version=reading.fs_version,
        flavour=reading.flavour,
        stream=reading.stream,
        other_atlases={atlas: _as_table(rows) for atlas, rows in reading.other_atlases.items()},
        measures=reading.measures,
        inputs=dict(sorted(reading.inputs.items())),
        notes=tuple(reading.notes),
        not_segmented=reading.not_segmented,
        pial=reading.pial,
    )


def _as_table(rows: Iterable[Row]) -> pd.DataFrame:
    """Rows as a DataFrame with the columns `COLUMNS`."""
    return pd.DataFrame(list(rows), columns=list(COLUMNS))


def region_values(rows: Iterable[Row], measures: Mapping[str, float]) -> dict[str, float]:
    """Every measured value by its name in the region table: volumes (mm^3), thickness (mm) and area (mm^2).

    Parameters
    ----------
    rows : iterable of Row, or of rows of `Volumes.table`
    measures : mapping
        `Volumes.measures`, for mean thickness and white surface area of the hemispheres.
    """
    values: dict[str, float] = {}
    for row in rows:
        values[row.region] = row.volume_mm3
        if row.atlas == "aparc":
            stem = row.region.removesuffix(f"_{regions.VOLUME}")
            values[f"{stem}_{regions.THICKNESS}"], values[f"{stem}_{regions.AREA}"] = row.thickness_mm, row.area_mm2
    for hemisphere in subject.HEMISPHERES:
        for name, key in (("MeanThickness_thickness", "mean_thickness"), ("WhiteSurfArea_area", "white_area")):
            values[f"{hemisphere}_{name}"] = measures.get(f"{hemisphere}_{key}", _NAN)
    return {name: value for name, value in values.items() if value == value}


def read_volumes(
    subject_dir: Path,
    *,
    expected_subject: str | None = None,
    everything: bool = True,
    folder: StatsFolder | None = None,
) -> Reading:
    """The light form of `extract_volumes`; without `everything`, the reference and global volumes only."""
    folder = StatsFolder(subject_dir) if folder is None else folder
    folder.require()
    flavour = folder.flavour
    aseg, aseg_name = _read_aseg(folder, flavour)
    _check_person(aseg, subject_dir, expected_subject, folder.notes)
    cortical, cortex = _desikan_killiany(folder)
    globals_ = _globals((aseg_name, aseg), ("brainvol.stats", folder.find("brainvol.stats")))
    etiv = _etiv(globals_, cortex, subject_dir, flavour, folder.notes)
    version = _version(aseg, subject_dir, folder.notes)
    subcortical, not_segmented = _segmented(_aseg_rows(aseg, aseg_name, subject_dir), subject_dir, version)
    rows = subcortical + cortical + globals_
    if etiv is not None and etiv not in globals_:
        rows.append(etiv)
    others = _other_atlases(folder, aseg, aseg_name, flavour) if everything else {}
    contrast = _contrast(folder) if everything else {}
    folder.notes.extend(completeness_notes({row.region: row.volume_mm3 for row in rows}, flavour, not_segmented))
    return Reading(
        rows=rows,
        etiv_mm3=_NAN if etiv is None else etiv.volume_mm3,
        fs_version=version,
        flavour=flavour,
        stream=subject.stream(subject_dir),
        other_atlases=others,
        measures=quality_measures.measure(aseg, cortex, contrast, rows),
        inputs=folder.inputs,
        notes=folder.notes,
        not_segmented=not_segmented,
        pial=subject.pial_image(subject_dir) if everything else None,
    )


def _version(aseg: StatsFile, subject_dir: Path, notes: list[str]) -> str | None:
    version, remark = subject.freesurfer_version(subject_dir, aseg)
    if remark:
        notes.append(remark)
    if version and version.startswith("5."):
        notes.append("FreeSurfer 5 segments otherwise than 6 and later (larger putamen): do not pool them")
    if subject.SYNTHETIC in aseg.header:
        notes.append("synthetic: generated by normvol, no person was measured")
    return version


def _other_atlases(folder: StatsFolder, aseg: StatsFile, aseg_name: str, flavour: str) -> dict[str, list[Row]]:
    found = {atlas: rows for atlas in (atlases.DKT, atlases.DESTRIEUX) if (rows := _cortex(folder, atlas))}
    if flavour == subject.FASTSURFER and atlases.DKT not in found:
        found |= _voxel_dkt(aseg, aseg_name, folder.notes)
    return found


def _read_aseg(folder: StatsFolder, flavour: str) -> tuple[StatsFile, str]:
    name = "aseg.stats"
    if flavour == subject.FASTSURFER and name not in folder.present:
        name = os.path.basename(subject.FASTSURFER_ASEG)
    aseg = folder.read(name)
    if aseg.columns is None or "Volume_mm3" not in aseg.columns:
        raise StatsFileError(
            f"{folder.subject_dir}/stats/{name} has no column Volume_mm3", "run recon-all's last steps again"
        )
    return aseg, name


def _check_person(aseg: StatsFile, subject_dir: Path, expected: str | None, notes: list[str]) -> None:
    recorded = aseg.header.get("subjectname")
    if not recorded or recorded == (expected or subject_dir.name):
        return
    if expected and subject.is_wrong_person(subject_dir, recorded, expected):
        raise FreeSurferError(
            f"the statistics in {subject_dir} name {recorded}, not {expected}",
            "put the right subject's directory there or rename it",
        )
    if expected:
        notes.append(f"the statistics were computed under the name {recorded}")


def _aseg_rows(aseg: StatsFile, source: str, subject_dir: Path) -> list[Row]:
    assert aseg.columns is not None
    rows = []
    for name, volume in zip(aseg.columns[NAME], aseg.columns["Volume_mm3"]):
        if volume < 0:
            raise StatsFileError(f"{subject_dir}/stats/{source} gives {name} a negative volume ({volume:g} mm^3)")
        if not name.startswith("ctx-"):
            rows.append(Row(regions.canonical(name), volume, _NAN, _NAN, "aseg", source))
    return rows


def _segmented(rows: list[Row], subject_dir: Path, version: str | None) -> tuple[list[Row], tuple[str, ...]]:
    """The rows with those missing that the segmentation does not have, and their names."""
    values = {row.region: row.volume_mm3 for row in rows}
    if not segmentation.not_segmented(values, segmentation.SYNTHSEG):
        return rows, ()
    absent = segmentation.not_segmented(values, segmentation.of_tree(subject_dir, version))
    return [row._replace(volume_mm3=_NAN) if row.region in absent else row for row in rows], absent


def _desikan_killiany(folder: StatsFolder) -> tuple[list[Row], dict[str, StatsFile]]:
    rows: list[Row] = []
    files: dict[str, StatsFile] = {}
    for hemisphere in subject.HEMISPHERES:
        name = f"{hemisphere}.aparc.stats"
        found = folder.find(name)
        if found is not None and _is_hemisphere(found, hemisphere, name, folder.notes):
            files[hemisphere] = found
            rows += _cortical_rows(found, hemisphere, "aparc", name, folder.notes)
    return rows, files


def _cortex(folder: StatsFolder, atlas: str) -> list[Row]:
    rows: list[Row] = []
    for hemisphere in subject.HEMISPHERES:
        for stem in atlases.STEMS[atlas]:
            name = f"{hemisphere}.{stem}.stats"
            found = folder.find(name)
            if found is not None and _is_hemisphere(found, hemisphere, name, folder.notes):
                rows += _cortical_rows(found, hemisphere, atlas, name, folder.notes)
                break
    return rows


def _is_hemisphere(found: StatsFile, hemisphere: str, name: str, notes: list[str]) -> bool:
    recorded = found.header.get("hemi", hemisphere)
    if recorded != hemisphere:
        notes.append(f"left out: {name} holds the hemisphere {recorded}")
    return recorded == hemisphere


def _cortical_rows(found: StatsFile, hemisphere: str, atlas: str, source: str, notes: list[str]) -> list[Row]:
    columns = found.columns
    if columns is None or not {"GrayVol", "SurfArea", "ThickAvg"} <= columns.keys():
        notes.append(f"left out: {source} lacks the columns GrayVol, SurfArea or ThickAvg")
        return []
    values = zip(columns[NAME], columns["GrayVol"], columns["SurfArea"], columns["ThickAvg"])
    return [
        Row(atlases.region_name(hemisphere, name), volume, area, thickness, atlas, source)
        for name, volume, area, thickness in values
    ]


def _voxel_dkt(aseg: StatsFile, source: str, notes: list[str]) -> dict[str, list[Row]]:
    assert aseg.columns is not None
    rows = [
        Row(atlases.region_name(name[4:6], name[7:]), volume, _NAN, _NAN, atlases.DKT, source)
        for name, volume in zip(aseg.columns[NAME], aseg.columns["Volume_mm3"])
        if name.startswith(("ctx-lh-", "ctx-rh-"))
    ]
    if rows:
        notes.append("the DKT volumes are FastSurfer's voxel counts, without surfaces")
    return {atlases.DKT: rows} if rows else {}


def _contrast(folder: StatsFolder) -> dict[str, StatsFile]:
    found = {hemisphere: folder.find(f"{hemisphere}.w-g.pct.stats") for hemisphere in subject.HEMISPHERES}
    return {hemisphere: file for hemisphere, file in found.items() if file is not None}


def _globals(*files: tuple[str, StatsFile | None]) -> list[Row]:
    rows: dict[str, Row] = {}
    for source, found in files:
        for measure in found.measures.values() if found else ():
            if measure.unit == "mm^3":
                name = regions.canonical(measure.name)
                rows.setdefault(name, Row(name, measure.value, _NAN, _NAN, "global", source))
    return list(rows.values())


def _etiv(
    globals_: list[Row], cortex: Mapping[str, StatsFile], subject_dir: Path, flavour: str, notes: list[str]
) -> Row | None:
    """The row of eTIV, else that of a cortical file; None when FastSurfer wrote none."""
    found = [row for row in globals_ if row.region == regions.ETIV] + [
        Row(regions.ETIV, measure.value, _NAN, _NAN, "global", f"{hemisphere}.aparc.stats")
        for hemisphere, file in cortex.items()
        for measure in file.measures.values()
        if regions.canonical(measure.name) == regions.ETIV
    ]
    if found and found[0].volume_mm3 > 0:
        return found[0]
    if flavour == subject.FASTSURFER and not found:
        notes.append("FastSurfer wrote no eTIV (segmentation without Talairach registration): nothing can be scored")
        return None
    what = f"gives eTIV as {found[0].volume_mm3:g} mm^3" if found else "has no eTIV (EstimatedTotalIntraCranialVol)"
    raise FreeSurferError(f"{subject_dir}/stats/aseg.stats {what}", "run recon-all's segmentation statistics again")
