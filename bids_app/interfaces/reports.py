"""Shells around `bids_app.reports`."""

from __future__ import annotations

from pathlib import Path

from nipype.interfaces.base import BaseInterfaceInputSpec, Directory, File, TraitedSpec, traits

from bids_app.interfaces.base import LibraryInterface


class _GroupIn(BaseInterfaceInputSpec):
    output_dir = Directory(mandatory=True)
    figure_formats = traits.List(traits.Str, desc="formats of the figure files; by default those of the level")
    ready = traits.List(traits.Any, hash_files=False, desc="what must be written before")

    def formats(self) -> dict:
        """The formats as an argument, when some were asked for."""
        return {"figure_formats": self.figure_formats} if self.figure_formats else {}


class _ParticipantIn(_GroupIn):
    participant = traits.Str(mandatory=True)
    whole = traits.Bool(True, usedefault=True, desc="the person's tables are of all scans, so the person is done")


class _ReportOut(TraitedSpec):
    report = File(desc="HTML report")


class ParticipantReport(LibraryInterface):
    """One person's report, from the tables on disk."""

    input_spec = _ParticipantIn
    output_spec = _ReportOut
    libraries = ("bids_app.reports.pages.participant",)
    _always_run = True

    @classmethod
    def prepare(cls) -> None:
        """Compile the templates of the page, which takes longer than to fill them in."""
        from bids_app.reports.pages.page import environment

        for name in ("base", "macros", "participant"):
            environment().get_template(f"{name}.html.j2")

    def _call(self, folder: Path) -> dict:
        from bids_app.bids.markers import begin_person, end_person, person_cover
        from bids_app.reports.pages.participant import write_participant_report

        inputs = self.inputs
        output_dir = Path(inputs.output_dir)
        cover = person_cover(output_dir, inputs.participant)
        begin_person(output_dir, inputs.participant)
        page = write_participant_report(output_dir, inputs.participant, **inputs.formats())
        if inputs.whole:
            end_person(output_dir, inputs.participant, cover)
        return {"report": str(page)}


class GroupReport(LibraryInterface):
    """The group report, from the tables on disk."""

    input_spec = _GroupIn
    output_spec = _ReportOut
    libraries = ("bids_app.reports.pages.group",)
    _always_run = True

    def _call(self, folder: Path) -> dict:
        from bids_app.reports.pages.group import write_group_report
        from bids_app.run.cohort import forget

        forget()
        return {"report": str(write_group_report(Path(self.inputs.output_dir), **self.inputs.formats()))}
