"""Shells around `bids_app.run`: covariates, deviations, sink, the person's tables."""

from __future__ import annotations

from pathlib import Path

from nipype.interfaces.base import BaseInterfaceInputSpec, Directory, File, TraitedSpec, isdefined, traits

from bids_app.interfaces.base import LibraryInterface
from bids_app.tables import read_json, write_json


class _CovariatesIn(BaseInterfaceInputSpec):
    covariates = traits.Dict(mandatory=True, desc="row of the covariate table")
    volumes_file = File(exists=True, mandatory=True)


class _CovariatesOut(TraitedSpec):
    covariates_file = File(desc="age, sex, eTIV and every other column, as JSON")


class CollectCovariates(LibraryInterface):
    """Age and sex from the BIDS tables, eTIV and FreeSurfer version from the subject."""

    input_spec = _CovariatesIn
    output_spec = _CovariatesOut
    libraries = ("bids_app.run.records", "bids_app.run.scan")

    def _call(self, folder: Path) -> dict:
        from bids_app.run.records import load_volumes
        from bids_app.run.scan import scan_covariates

        content = scan_covariates(self.inputs.covariates, load_volumes(Path(self.inputs.volumes_file)))
        return {"covariates_file": str(write_json(content, folder / "covariates.json"))}


class _ScoreIn(BaseInterfaceInputSpec):
    volumes_file = File(exists=True, mandatory=True)
    covariates_file = File(exists=True, mandatory=True)
    model = traits.Str(mandatory=True, desc="name or path of the normative model")
    scoring = traits.Str("own-sex", usedefault=True)
    model_sha256 = traits.Str(desc="changes when the model's content does")
    adaptation_file = File(exists=True, desc="this scan's adaptation parameters")


class _ScoreOut(TraitedSpec):
    result_dir = Directory(desc="tables and summary of the scan")


class ScoreScan(LibraryInterface):
    """Deviations of one scan from the reference."""

    input_spec = _ScoreIn
    output_spec = _ScoreOut
    libraries = ("bids_app.run.models", "bids_app.run.records", "bids_app.run.scan")

    def _call(self, folder: Path) -> dict:
        from bids_app.run.models import load_study_model
        from bids_app.run.records import load_volumes
        from bids_app.run.scan import save_result, score_scan

        adaptation = read_json(self.inputs.adaptation_file) if isdefined(self.inputs.adaptation_file) else None
        result = score_scan(
            load_volumes(Path(self.inputs.volumes_file)),
            read_json(self.inputs.covariates_file),
            load_study_model(self.inputs.model, self.inputs.scoring),
            adaptation,
            model_name=self.inputs.model,
        )
        return {"result_dir": str(save_result(result, folder / "result"))}


class _SinkIn(BaseInterfaceInputSpec):
    result_dir = Directory(exists=True, mandatory=True)
    output_dir = Directory(mandatory=True)
    run_uuid = traits.Str(mandatory=True)


class _SummaryOut(TraitedSpec):
    summary_file = File(desc="summary in the output dataset")


class SinkScan(LibraryInterface):
    """Write a scan's tables and summary under their BIDS names."""

    input_spec = _SinkIn
    output_spec = _SummaryOut
    libraries = ("bids_app.run.scan",)
    _always_run = True

    def _call(self, folder: Path) -> dict:
        from bids_app.run.scan import load_result, write_scan

        result = load_result(Path(self.inputs.result_dir))
        return {"summary_file": str(write_scan(result, Path(self.inputs.output_dir), self.inputs.run_uuid))}


class _PersonIn(BaseInterfaceInputSpec):
    summary_files = traits.List(File(exists=True), mandatory=True, desc="summaries of the person's sessions")
    participant = traits.Str(mandatory=True)
    output_dir = Directory(mandatory=True)
    model = traits.Str(mandatory=True)
    scoring = traits.Str("own-sex", usedefault=True)
    adaptation_file = File(exists=True, desc="adaptation parameters of the person's scanner")


class _PersonOut(TraitedSpec):
    participant = traits.Str()
    tables = traits.List(File())


class PersonTables(LibraryInterface):
    """Centile fans and change between sessions of one person."""

    input_spec = _PersonIn
    output_spec = _PersonOut
    libraries = ("bids_app.run.models", "bids_app.run.person")
    _always_run = True

    def _call(self, folder: Path) -> dict:
        from bids_app.run.models import load_study_model
        from bids_app.run.person import write_person_tables

        adaptation = read_json(self.inputs.adaptation_file) if isdefined(self.inputs.adaptation_file) else None
        model = load_study_model(self.inputs.model, self.inputs.scoring)
        tables = write_person_tables(Path(self.inputs.output_dir), self.inputs.participant, model, adaptation)
        return {"participant": self.inputs.participant, "tables": [str(path) for path in tables]}
