"""Which people's tables do not fit their scans (merged or interrupted runs), and what they are made again from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bids_app.bids.derivatives import SUMMARY_SUFFIX, person_summary_paths
from bids_app.bids.markers import is_person_done
from bids_app.errors import NormvolError
from bids_app.run.models import load_study_model, model_sha256
from bids_app.run.scan import ADAPTATIONS
from bids_app.tables import read_json


@dataclass(frozen=True)
class PersonSource:
    """What scored a person's scans, by which their tables are made again: the model, its scoring, the adaptation."""

    model: str
    scoring: str
    adaptation_file: Path | None = None


def outdated_people(output_dir: Path, people: Iterable[str]) -> list[str]:
    """Those (labels without prefix) whose tables and report are not marked as of the scans that are there."""
    return [person for person in people if not is_person_done(output_dir, person)]


def person_source(output_dir: Path, participant: str, model: str) -> PersonSource | str:
    """What the tables of a person can be made again from, or a sentence on why they cannot."""
    paths = tuple(person_summary_paths(output_dir, participant))
    used = [read_json(path)["model"] for path in paths]
    scoring = used[0]["scoring"]
    try:
        load_study_model(model, scoring)
        fits = all(made["sha256"] == model_sha256(model) and made["scoring"] == scoring for made in used)
    except NormvolError as error:
        return f"the model {model} cannot be read ({error.reason}); give the one that scored with --model"
    if not fits:
        return f"scored with {used[0]['name']}, not with {model}; give the model that scored with --model"
    if not used[0].get("adaptation"):
        return PersonSource(model, scoring)
    path = output_dir / ADAPTATIONS / paths[0].name.replace(SUMMARY_SUFFIX, ".json")
    if not path.exists():
        return f"{path.relative_to(output_dir)} is not there; run the participant level again with --force"
    return PersonSource(model, scoring, path)
