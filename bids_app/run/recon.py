"""When recon-all has to run: its images, and its names in our own subjects directory."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from bids_app.bids.layout import Scan
from bids_app.bids.names import named_path, participant_id
from bids_app.errors import ReconAllError, UsageError
from bids_app.freesurfer import segmentation
from bids_app.freesurfer.annex import is_not_fetched
from bids_app.freesurfer.recon_all import RECORDS
from bids_app.freesurfer.recon_command import (
    ReconAllCommand,
    expected_cost,
    find_license,
    find_recon_all,
    installed_version,
)
from bids_app.freesurfer.subject import base_time_points
from bids_app.run.request import ReconOptions
from bids_app.tables import read_json


class ReconPlan:
    """Arguments of recon-all for the scans of a run.

    Parameters
    ----------
    options : ReconOptions
    scans : sequence of Scan
        Every scan of the people of the run, so that the sessions of a person are known.
    asked : collection of str, optional
        Names of the scans that the run is asked for: the time points of a longitudinal run.
    """

    def __init__(self, options: ReconOptions, scans: Sequence[Scan], asked: Collection[str] | None = None) -> None:
        self.options = options
        self._asked = {scan.name for scan in scans} if asked is None else asked
        self.subjects_dir = options.subjects_dir
        if options.t1w_derivative is not None:
            _t1w_derivative(options.t1w_derivative)
        self._people: dict[str, list[Scan]] = {}
        for scan in scans:
            self._people.setdefault(scan.participant, []).append(scan)

    def sessions_of(self, participant: str) -> int:
        """Number of scans of a person."""
        return len(self._people[participant])

    def may_resume(self, subject_dir: Path) -> bool:
        """Whether an unfinished tree is one that we started ourselves, so that recon-all may go on in it."""
        record = self.subjects_dir / RECORDS / f"{subject_dir.name}.json"
        return self.options.mode != "ingest" and subject_dir.parent == self.subjects_dir and record.exists()

    def commands(self, scan: Scan) -> dict[str, ReconAllCommand]:
        """Fields of `PlannedScan` that make recon-all run for `scan`: ``recon``, and ``cross`` and ``base`` before it.

        Raises
        ------
        ReconAllError
            When it cannot run: not wanted, not installed, no licence, no image.
        """
        absent = "no FreeSurfer output was found"
        if self.options.mode == "ingest":
            raise ReconAllError(absent, "run recon-all, or leave out --recon ingest")
        try:
            self._check_installation()
            if self.options.longitudinal and self.sessions_of(scan.participant) > 1:
                return self._longitudinal(scan)
            return {"recon": self._cross(scan)}
        except ReconAllError as error:
            raise ReconAllError(f"{absent} and recon-all cannot run: {error.reason}", error.remedy) from error

    def images(self, scan: Scan) -> list[str]:
        """Names of the images that recon-all gets for a scan."""
        t1w = select_t1w(scan, self.options)
        long = self.options.longitudinal and self.sessions_of(scan.participant) > 1
        # a longitudinal time point is made from the T1w images alone
        used = t1w if long else (*t1w, *scan.t2w[:1], *(() if scan.t2w else scan.flair[:1]))
        return [path.name for path in used]

    def wanted_images(self, scan: Scan) -> tuple[Path, ...]:
        """The T1w images that recon-all would get; none when there is none, or when it cannot run."""
        try:
            self._check_installation()
            return () if self.options.mode == "ingest" else select_t1w(scan, self.options)
        except ReconAllError:
            return ()

    def images_of(self, subject_dir: Path) -> list[str] | None:
        """Names of the images that a tree of ours was made from; None for trees of others, who do not say."""
        cross = subject_dir.name.partition(".long.")[0]
        record = self.subjects_dir / RECORDS / f"{cross}.json"
        if subject_dir.parent != self.subjects_dir or not record.exists():
            return None
        images = [Path(path).name for path, _ in read_json(record)["images"]]
        return images if cross == subject_dir.name else [name for name in images if not _refines(name)]

    def _check_installation(self) -> None:
        find_recon_all(os.environ)
        find_license(self.options.license_file, os.environ)

    def _common(self) -> dict[str, Any]:
        return {"subjects_dir": self.subjects_dir, "threads": self.options.threads, "extra": tuple(self.options.extra)}

    def _cross(self, scan: Scan) -> ReconAllCommand:
        images = select_t1w(scan, self.options)
        for image in images:
            if is_not_fetched(image):
                raise ReconAllError(f"the content of {image} has not been fetched (git-annex)", f"datalad get {image}")
        _refuse_mismatch(images)
        return ReconAllCommand(
            **self._common(),
            name=scan.name,
            t1w=tuple(images),
            t2w=scan.t2w[0] if scan.t2w else None,
            flair=scan.flair[0] if scan.flair else None,
        )

    def _longitudinal(self, scan: Scan) -> dict[str, ReconAllCommand]:
        """Cross-sectional run, unbiased base and longitudinal time point, named as FreeSurfer's wiki does."""
        points, base = self._time_points(scan), participant_id(scan.participant)
        return {
            "cross": self._cross(scan),
            "base": ReconAllCommand(**self._common(), name=base, stream="base", time_points=points),
            "recon": ReconAllCommand(**self._common(), name=scan.name, stream="long", base=base, time_points=points),
        }

    def _time_points(self, scan: Scan) -> tuple[str, ...]:
        return tuple(other.name for other in self._people[scan.participant] if other.name in self._asked)

    def is_outdated(self, scan: Scan, subject_dir: Path) -> bool:
        """Whether a longitudinal tree of ours was made from the base of other sessions than the person has now."""
        if not self.options.longitudinal or not self.may_resume(subject_dir) or ".long." not in subject_dir.name:
            return False
        record = read_json(self.subjects_dir / RECORDS / f"{subject_dir.name}.json")
        made_from = record.get("time_points") or list(base_time_points(subject_dir))
        return sorted(made_from) != sorted(self._time_points(scan))


def _refines(image: str) -> bool:
    """Whether an image, by its BIDS name, serves the pial surface of a cross-sectional run only."""
    return image.partition(".")[0].endswith(("_T2w", "_FLAIR"))


def _refuse_mismatch(images: Sequence[Path]) -> None:
    """recon-all refuses T1w images of different dimensions or voxels, and only after it has begun."""
    shapes = {image: shape for image in images if (shape := _geometry(image)) is not None}
    if len(set(shapes.values())) > 1:
        words = ", ".join(f"{image.name}: {shape}" for image, shape in shapes.items())
        raise ReconAllError(
            f"the T1w images of one session differ in dimensions or voxel size ({words})",
            "choose one with --t1w-select first or last, or with --bids-filter-file",
        )


def _geometry(image: Path) -> str | None:
    """Dimensions and voxel size of an image; None when its header cannot be read (recon-all will say why)."""
    import nibabel as nib
    from nibabel.filebasedimages import ImageFileError

    try:
        header: Any = nib.load(image).header
    except (ImageFileError, OSError):
        return None
    dimensions, zooms = header.get_data_shape()[:3], header.get_zooms()[:3]
    return f"{'x'.join(map(str, dimensions))} at {'x'.join(f'{zoom:.3g}' for zoom in zooms)} mm"


def recon_memory_gb(extra: Sequence[str] = ()) -> float:
    """Memory to reserve for one recon-all of the installed version with some further arguments (GB)."""
    version = installed_version(os.environ)
    return expected_cost(version, segmented_by=segmentation.chosen(version, extra, os.environ)).memory_gb


def select_t1w(scan: Scan, options: ReconOptions) -> tuple[Path, ...]:
    """The T1w images of a scan that go into recon-all.

    Raises
    ------
    ReconAllError
        When there is none.
    """
    images = scan.t1w if options.t1w_derivative is None else derivative_t1w(scan, options.t1w_derivative)
    if not images:
        where = f" in {options.t1w_derivative}" if options.t1w_derivative else ""
        raise ReconAllError(f"{scan.name} has no T1w image{where}", "check the dataset")
    return {"first": images[:1], "last": images[-1:]}.get(options.t1w_select, images)


def derivative_t1w(scan: Scan, option: str) -> tuple[Path, ...]:
    """T1w images of a derivative dataset, ``NAME=PATH[:DESC]`` (for example lesion-filled ones).

    Raises
    ------
    UsageError
        When the option is not of this form or the folder does not exist.
    """
    path, desc = _t1w_derivative(option)
    folder = path / participant_id(scan.participant)
    folder = folder / f"ses-{scan.session}" if scan.session else folder
    pattern = f"{scan.name}_*desc-{desc or '*'}_*T1w.nii*"
    found = {*folder.glob(f"anat/{pattern}"), *folder.glob(f"anat/{pattern.replace('_*T1w', '_T1w')}")}
    return tuple(sorted(found))


def _t1w_derivative(option: str) -> tuple[Path, str]:
    name, place = named_path(option)
    whole, colon, word = str(place).rpartition(":")
    path, desc = (place, "") if place.is_dir() or not colon else (Path(whole), word)
    if not name or not path.is_dir():
        raise UsageError(
            f"--t1w-derivative {option}: write NAME=PATH or NAME=PATH:DESC with an existing folder",
            "NAME is of letters, digits and _.+-",
        )
    return path, desc
