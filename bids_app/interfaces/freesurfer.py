"""Shells around `bids_app.freesurfer`: run recon-all, check a subject, read its volumes, draw overlays."""

from __future__ import annotations

from pathlib import Path

from nipype.interfaces.base import BaseInterfaceInputSpec, Directory, File, TraitedSpec, isdefined, traits

from bids_app.interfaces.base import LibraryInterface


class _SubjectIn(BaseInterfaceInputSpec):
    subject_dir = Directory(mandatory=True, desc="FreeSurfer subject directory (never written)")
    expected_subject = traits.Str(desc="name that the stats files should carry")


class _CheckIn(_SubjectIn):
    trust_names = traits.Bool(False, usedefault=True, desc="do not compare the names that the tree holds")


class _SubjectOut(TraitedSpec):
    subject_dir = Directory(desc="FreeSurfer subject directory")


class CheckSubject(LibraryInterface):
    """Refuse a subject directory that is failed, running, truncated, not fetched or someone else's."""

    input_spec = _CheckIn
    output_spec = _SubjectOut
    libraries = ("bids_app.freesurfer.check",)
    _always_run = True

    def _call(self, folder: Path) -> dict:
        from bids_app.freesurfer.check import check_subject, require_usable

        expected = self.inputs.expected_subject if isdefined(self.inputs.expected_subject) else None
        trust = self.inputs.trust_names
        require_usable(check_subject(Path(self.inputs.subject_dir), expected_subject=expected, trust_names=trust))
        return {"subject_dir": self.inputs.subject_dir}


class _VolumesOut(TraitedSpec):
    volumes_file = File(desc="everything that was measured, as JSON")


class ExtractVolumes(LibraryInterface):
    """Regional volumes, eTIV and quality measures from the stats files."""

    input_spec = _SubjectIn
    output_spec = _VolumesOut
    libraries = ("bids_app.freesurfer.volumes", "bids_app.run.records")
    # The folder's content is not part of the input hash, so it is read anew each time (milliseconds).
    _always_run = True

    def _call(self, folder: Path) -> dict:
        from bids_app.freesurfer.volumes import extract_volumes
        from bids_app.run.records import save_volumes

        volumes = extract_volumes(Path(self.inputs.subject_dir))
        return {"volumes_file": str(save_volumes(volumes, folder / "volumes.json"))}


class _ReconIn(BaseInterfaceInputSpec):
    arguments = traits.Dict(mandatory=True, desc="keyword arguments of bids_app.run.recon.run_recon")
    ready = traits.Any(desc="subjects that must be finished before (longitudinal stream)")


class RunReconAll(LibraryInterface):
    """Run FreeSurfer's recon-all in our own subjects directory."""

    input_spec = _ReconIn
    output_spec = _SubjectOut
    libraries = ("bids_app.run.recon",)
    # recon-all resumes in its own tree; nipype's cache must not claim a tree that was removed.
    _always_run = True

    def _call(self, folder: Path) -> dict:
        from bids_app.run.recon import run_recon

        return {"subject_dir": str(run_recon(**self.inputs.arguments))}


class _OverlaysIn(BaseInterfaceInputSpec):
    subject_dir = Directory(mandatory=True)
    summary_file = File(exists=True, mandatory=True, desc="summary of the scored scan")
    output_dir = Directory(mandatory=True)


class _OverlaysOut(TraitedSpec):
    figures = traits.List(File(), desc="figures written")
    summary_file = File()


class DrawOverlays(LibraryInterface):
    """Contours on the person's brain and z-scores on the person's surface, where images exist."""

    input_spec = _OverlaysIn
    output_spec = _OverlaysOut
    libraries = ("bids_app.run.figures",)
    _always_run = True

    def _call(self, folder: Path) -> dict:
        from bids_app.run.figures import draw_overlays

        figures = draw_overlays(
            Path(self.inputs.output_dir), Path(self.inputs.summary_file), Path(self.inputs.subject_dir)
        )
        return {"figures": [str(path) for path in figures], "summary_file": self.inputs.summary_file}
