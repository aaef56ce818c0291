"""Which people's tables do not fit their scans (merged or interrupted runs), and what they are made again from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bids_app.bids.derivatives import person_summary_paths
from bids_app.bids.markers import is_person_done
from bids_app.bids.names import participant_id
from bids_app.errors import NormvolError
from bids_app.normative.harmonise.adaptation import SiteAdaptation
from bids_app.run.adaptation import ScanAdaptations
from bids_app.run.models import load_study_model, model_sha256
from bids_app.run.person import person_summaries
from bids_app.tables import read_json


@dataclass(frozen=True)
class PersonSource:
    """What a person's tables are made from: the scans' summaries, the model that scored them, their adaptation."""

    summaries: tuple[Path, ...]
    model: str
    scoring: str
    adaptation_file: Path | None = None


def outdated_people(output_dir: Path, people: Iterable[str]) -> list[str]:
    """Those (labels without prefix) whose tables and report are not marked as of the scans that are there."""
    return [person for person in people if not is_person_done(output_dir, person)]


def person_source(output_dir: Path, participant: str, model: str, work_dir: Path) -> PersonSource | str:
    """What the tables of a person can be made again from, or a sentence on why they cannot."""
    summaries = [summary for _, summary in person_summaries(output_dir, participant)]
    used = [summary["model"] for summary in summaries]
    scoring = used[0]["scoring"]
    try:
        load_study_model(model, scoring)
        fits = all(made["sha256"] == model_sha256(model) and made["scoring"] == scoring for made in used)
    except NormvolError as error:
        return f"the model {model} cannot be read ({error.reason}); give the one that scored with --model"
    if not fits:
        return f"scored with {used[0]['name']}, not with {model}; give the model that scored with --model"
    paths = tuple(person_summary_paths(output_dir, participant))
    adapted = used[0].get("adaptation")
    if not adapted:
        return PersonSource(paths, model, scoring)
    try:
        stored = SiteAdaptation.from_dict(read_json(output_dir / "adaptation.json"))
    except NormvolError as error:
        return f"the adaptation cannot be read ({error.reason})"
    adaptations = ScanAdaptations(stored, (), adapted["controls"])
    if adaptations.sha256 != adapted["sha256"]:
        return "adaptation.json is not the one that the scans were adapted with; run the participant level again"
    covariates, by = summaries[0]["covariates"], adapted["by"]
    row = {**covariates["other"], "age": covariates["age"], "sex": covariates["sex"]}
    row |= {"participant_id": participant_id(participant)} | ({by: adapted["scanner"]} if by else {})
    path = adaptations.assign(row, work_dir / "adaptation" / f"{participant_id(participant)}.json")
    return PersonSource(paths, model, scoring, path)
