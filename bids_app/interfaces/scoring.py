"""Shells around `bids_app.run`: the scan's deviations, the person's tables."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    Directory,
    DynamicTraitedSpec,
    File,
    TraitedSpec,
    isdefined,
    traits,
)

from bids_app.interfaces.base import LibraryInterface, given
from bids_app.tables import read_json


class _ModelIn(BaseInterfaceInputSpec):
    output_dir = Directory(mandatory=True)
    model = traits.Str(mandatory=True, desc="name or path of the normative model")
    scoring = traits.Str("own-sex", usedefault=True)
    adaptation_file = File(exists=True, desc="adaptation parameters of this scan")

    @property
    def adaptation(self) -> dict | None:
        """The adaptation parameters; None without adaptation."""
        return read_json(self.adaptation_file) if isdefined(self.adaptation_file) else None


class _ScoreIn(_ModelIn):
    volumes_file = File(exists=True, mandatory=True)
    covariates = traits.Dict(mandatory=True, desc="row of the covariate table")
    run_uuid = traits.Str(mandatory=True)
    anonymise_salt = traits.Str(desc="of hashed labels")
    second_model = traits.Str(desc="name or path of a model whose z is set beside")


class _ScoreOut(TraitedSpec):
    summary_file = File(desc="summary in the output dataset")


class ScoreScan(LibraryInterface):
    """Deviations of one scan from the reference, as tables and summary in the output dataset."""

    input_spec = _ScoreIn
    output_spec = _ScoreOut
    libraries = ("bids_app.run.models", "bids_app.run.records", "bids_app.run.scan")
    _always_run = True

    def _call(self, folder: Path) -> dict:
        from bids_app.bids.disguise import Disguise
        from bids_app.run.models import load_study_model
        from bids_app.run.records import load_volumes
        from bids_app.run.scan import scan_covariates, score_scan, write_scan

        inputs = self.inputs
        volumes = load_volumes(Path(inputs.volumes_file))
        model = load_study_model(inputs.model, inputs.scoring)
        covariates = scan_covariates(inputs.covariates, volumes)
        second = given(inputs.second_model)
        names = {"model_name": inputs.model, "second_name": second}
        result = score_scan(volumes, covariates, model, inputs.adaptation, **names)
        if isdefined(inputs.anonymise_salt):
            result = replace(result, summary=Disguise(inputs.anonymise_salt).values(result.summary))
        return {"summary_file": str(write_scan(result, Path(inputs.output_dir), inputs.run_uuid, inputs.adaptation))}


class _PersonIn(DynamicTraitedSpec, _ModelIn):
    participant = traits.Str(mandatory=True)


class _PersonOut(TraitedSpec):
    participant = traits.Str()
    tables = traits.List(File())


class PersonTables(LibraryInterface):
    """Centile fans and change between sessions of one person.

    Parameters
    ----------
    n_scans : int
        So many inputs ``summary_1``, ... there are, of the nodes that score the person's scans.
    """

    input_spec = _PersonIn
    output_spec = _PersonOut
    libraries = ("bids_app.run.models", "bids_app.run.person")
    _always_run = True

    def __init__(self, n_scans: int = 0, **inputs: Any) -> None:
        super().__init__(**inputs)
        for number in range(1, n_scans + 1):
            self.inputs.add_trait(f"summary_{number}", File(exists=True))

    def _call(self, folder: Path) -> dict:
        from bids_app.run.models import load_study_model
        from bids_app.run.person import write_person_tables

        inputs = self.inputs
        model = load_study_model(inputs.model, inputs.scoring)
        tables = write_person_tables(Path(inputs.output_dir), inputs.participant, model, inputs.adaptation)
        return {"participant": inputs.participant, "tables": [str(path) for path in tables]}
