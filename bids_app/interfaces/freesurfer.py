"""Shells around `bids_app.freesurfer`: run recon-all, read a subject, draw its pictures."""

from __future__ import annotations

import shlex
from pathlib import Path

from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    CommandLine,
    CommandLineInputSpec,
    Directory,
    File,
    TraitedSpec,
    isdefined,
    traits,
)

from bids_app.errors import NormvolError, UnusableTreeError
from bids_app.freesurfer.recon_command import ReconAllCommand
from bids_app.interfaces.base import LibraryInterface, hand_over


class _ReconIn(CommandLineInputSpec):
    subjects_dir = Directory(mandatory=True, desc="subjects directory of our own")
    name = traits.Str(mandatory=True, desc="subject, base, or cross-sectional time point")
    stream = traits.Enum("cross", "base", "long", usedefault=True)
    t1w = traits.List(File(), desc="T1w images of a cross-sectional run")
    t2w = File(desc="T2w image that refines the pial surface")
    flair = File(desc="FLAIR image that refines the pial surface")
    time_points = traits.List(traits.Str(), desc="cross-sectional subjects of a base")
    base = traits.Str(desc="base of a longitudinal time point")
    threads = traits.Range(low=1, value=1, usedefault=True, desc="threads in all")
    extra = traits.List(traits.Str(), desc="further arguments (--recon-args)")
    license_file = File(desc="FreeSurfer licence (default: FreeSurfer's own rules)")
    ready = traits.Any(desc="subjects that must be finished before (longitudinal stream)")


class _SubjectOut(TraitedSpec):
    subject_dir = Directory(desc="FreeSurfer subject directory")


class ReconAll(CommandLine):
    """FreeSurfer's recon-all in our own subjects directory: locked, recorded, resumed (`freesurfer.recon_all`)."""

    _cmd = "recon-all"
    input_spec = _ReconIn
    output_spec = _SubjectOut
    libraries = ("bids_app.freesurfer.recon_all",)
    # recon-all resumes in its own tree; nipype's cache must not claim a tree that was removed.
    _always_run = True

    @property
    def command(self) -> ReconAllCommand:
        """What the library runs."""
        given = {name: value for name, value in self.inputs.get_traitsfree().items() if isdefined(value)}
        images = {name: Path(given[name]) for name in ("t2w", "flair") if name in given}
        return ReconAllCommand(
            subjects_dir=Path(given["subjects_dir"]),
            name=given["name"],
            stream=given["stream"],
            t1w=tuple(Path(path) for path in given.get("t1w", ())),
            time_points=tuple(given.get("time_points", ())),
            base=given.get("base"),
            threads=given["threads"],
            extra=tuple(given.get("extra", ())),
            **images,
        )

    @property
    def cmdline(self) -> str:
        """The command line of a run from the start."""
        return shlex.join([self._cmd, *self.command.arguments()])

    def _run_interface(self, runtime, correct_return_codes=(0,)):
        from bids_app.freesurfer.recon_all import run_recon_all

        license_file = Path(self.inputs.license_file) if isdefined(self.inputs.license_file) else None
        try:
            run_recon_all(self.command, license_file=license_file)
        except NormvolError as error:
            raise hand_over(error)  # noqa: B904 (the same error)
        runtime.returncode = 0
        return runtime

    def _list_outputs(self) -> dict:
        return {"subject_dir": str(self.command.directory)}


class _ReadIn(BaseInterfaceInputSpec):
    subject_dir = Directory(mandatory=True, desc="FreeSurfer subject directory (never written)")
    trust_names = traits.Bool(False, usedefault=True, desc="do not compare the names that the tree holds")
    expected = traits.Str(desc="whose tree it must be, of one that was there before the run")
    measured = traits.Str(desc="file with everything that was measured, of a tree that the plan has read")


class _ReadOut(TraitedSpec):
    subject_dir = Directory(desc="the same directory, found complete")
    volumes_file = File(desc="everything that was measured, as JSON")


class ReadScan(LibraryInterface):
    """Volumes, eTIV and quality measures of a subject that is complete; any other one is refused."""

    input_spec = _ReadIn
    output_spec = _ReadOut
    libraries = ("bids_app.freesurfer.check", "bids_app.freesurfer.volumes", "bids_app.run.records")
    # The folder's content is not part of the input hash, so it is read anew each time (milliseconds).
    _always_run = True

    def _call(self, folder: Path) -> dict:
        from bids_app.freesurfer.check import check_subject, require_usable
        from bids_app.freesurfer.stats_folder import StatsFolder
        from bids_app.freesurfer.volumes import read_volumes
        from bids_app.run.records import save_volumes

        subject_dir = Path(self.inputs.subject_dir)
        # A kept work folder may lack it when the node runs again
        if isdefined(self.inputs.measured) and Path(self.inputs.measured).exists():
            return {"subject_dir": str(subject_dir), "volumes_file": self.inputs.measured}
        stats = StatsFolder(subject_dir)
        given = isdefined(self.inputs.expected)
        expected = self.inputs.expected if given else None
        check = check_subject(subject_dir, expected_subject=expected, trust_names=self.inputs.trust_names, stats=stats)
        if given and not check.usable:
            raise UnusableTreeError(check.message, check.remedy)
        require_usable(check)
        volumes_file = save_volumes(read_volumes(subject_dir, folder=stats), folder / "volumes.json")
        return {"subject_dir": str(subject_dir), "volumes_file": str(volumes_file)}


class _DrawIn(BaseInterfaceInputSpec):
    subject_dir = Directory(mandatory=True)
    summary_file = File(exists=True, mandatory=True, desc="summary of the scored scan")
    output_dir = Directory(mandatory=True)


class _DrawOut(TraitedSpec):
    figures = traits.List(File(), desc="figures written")
    summary_file = File()


class DrawScan(LibraryInterface):
    """Contours on the person's brain and z-scores on the person's surface, where images exist."""

    input_spec = _DrawIn
    output_spec = _DrawOut
    libraries = ("bids_app.run.figures",)
    _always_run = True

    def _call(self, folder: Path) -> dict:
        from bids_app.run.figures import draw_overlays

        figures = draw_overlays(
            Path(self.inputs.output_dir), Path(self.inputs.summary_file), Path(self.inputs.subject_dir)
        )
        return {"figures": [str(path) for path in figures], "summary_file": self.inputs.summary_file}
