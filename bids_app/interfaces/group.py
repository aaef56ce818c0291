"""Shells around the group level of `bids_app.run`."""

from __future__ import annotations

from pathlib import Path

from nipype.interfaces.base import BaseInterfaceInputSpec, Directory, File, TraitedSpec, isdefined, traits

from bids_app.interfaces.base import LibraryInterface, given


class _TablesIn(BaseInterfaceInputSpec):
    output_dir = Directory(mandatory=True)
    exclude_quality = traits.List(traits.Str(), desc="quality verdicts to leave out")
    model = traits.Str("", usedefault=True, desc="name or path of the normative model")
    include_quality = traits.List(traits.Str(), desc="quality verdicts to keep")
    pool = File(exists=True, desc="TOML that names the samples to take together")
    bids_dir = Directory(mandatory=True)
    analysis = traits.Str(desc="TOML file, or auto")
    participants_file = File(exists=True)
    anonymise_salt = traits.Str(desc="of the labels in the output folder, where they are hashed")


class _TablesOut(TraitedSpec):
    tables = traits.List(File())


class GroupTables(LibraryInterface):
    """The descriptive tables over all scored scans."""

    input_spec = _TablesIn
    output_spec = _TablesOut
    libraries = ("bids_app.run.samples",)
    _always_run = True

    def _call(self, folder: Path) -> dict:
        from bids_app.bids.finding_files import collect_findings
        from bids_app.clinical.scored_scans import write_group_tables
        from bids_app.run.citation import write_citation
        from bids_app.run.cohort import group_findings, read_cohort, scans_of
        from bids_app.run.disguised import phenotype_findings_of
        from bids_app.run.samples import Pool, read_samples
        from bids_app.run.tidy import write_tidy_tables

        output_dir = Path(self.inputs.output_dir)
        quality = (self.inputs.exclude_quality, self.inputs.include_quality)
        pool = Pool.read(read_samples(Path(self.inputs.pool)), *quality) if isdefined(self.inputs.pool) else None
        scans = read_cohort(output_dir, *quality) if pool is None else pool.scored()
        tables = write_group_tables(scans, output_dir)
        bids_dir, salt = Path(self.inputs.bids_dir), given(self.inputs.anonymise_salt)
        people = Path(self.inputs.participants_file) if isdefined(self.inputs.participants_file) else None
        tables += write_tidy_tables(
            *(output_dir, bids_dir, quality),
            participants_file=people,
            analysis=given(self.inputs.analysis),
            pool=pool,
            salt=salt,
        )
        write_citation(output_dir, scans.summaries, self.inputs.model)
        of_tables = phenotype_findings_of(bids_dir, scans_of(scans), people, salt) if pool is None else []
        collect_findings(output_dir, [*group_findings(scans), *of_tables], None if pool is None else pool.findings())
        return {"tables": [str(path) for path in tables]}


class _AnalysisIn(_TablesIn):
    ready = traits.List(traits.Any, hash_files=False, desc="what must be written before")


class ClinicalAnalysis(LibraryInterface):
    """The clinical statistics of the cohort."""

    input_spec = _AnalysisIn
    output_spec = _TablesOut
    libraries = ("bids_app.run.analysis",)
    _always_run = True

    def _call(self, folder: Path) -> dict:
        from bids_app.run.analysis import write_analyses

        inputs = self.inputs
        participants = Path(inputs.participants_file) if isdefined(inputs.participants_file) else None
        tables = write_analyses(
            Path(inputs.output_dir),
            Path(inputs.bids_dir),
            inputs.analysis,
            exclude_quality=inputs.exclude_quality,
            include_quality=inputs.include_quality,
            participants_file=participants,
            model=inputs.model,
            pool=Path(inputs.pool) if isdefined(inputs.pool) else None,
            salt=given(inputs.anonymise_salt),
        )
        return {"tables": [str(path) for path in tables]}
