"""CITATION.md of a whole run: what made the volumes, which model, how adapted, and which statistics were computed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bids_app.bids.citation import MethodsFacts, methods_text
from bids_app.bids.names import output_path
from bids_app.clinical.results import AnalysisResult, computed_methods
from bids_app.errors import NormvolError
from bids_app.normative.base import NormativeModel
from bids_app.normative.structure import structure
from bids_app.run.models import load_study_model, model_sha256
from bids_app.tables import atomic_write


def write_citation(
    output_dir: Path, summaries: Sequence[Mapping[str, Any]], model: str, results: Iterable[AnalysisResult] = ()
) -> Path | None:
    """Write CITATION.md from the summaries of the scans; None, and nothing, where their model cannot be had.

    Parameters
    ----------
    summaries : sequence of mapping
        ``desc-summary`` of every scan that is in.
    model : str
        Name or path of the model that the command names; the scans' own model is taken where it is another one.
    results : iterable of AnalysisResult
        Of the clinical statistics.
    """
    found = _model_of(summaries[0]["model"], model)
    if found is None:
        return None
    facts = run_facts(summaries, found, computed_methods(results))
    return atomic_write(output_path(output_dir, "CITATION.md"), methods_text(facts))


def run_facts(
    summaries: Sequence[Mapping[str, Any]], model: NormativeModel, statistics: tuple[str, ...] = ()
) -> MethodsFacts:
    """What was run, read off the summaries."""
    programs = Counter(
        (str(summary["freesurfer"].get("flavour") or "freesurfer"), str(summary["freesurfer"].get("version") or ""))
        for summary in summaries
    )
    adaptations = [summary["model"]["adaptation"] for summary in summaries if summary["model"].get("adaptation")]
    return MethodsFacts(
        model=model.card.name,
        card=model.card.to_json(),
        structure=structure(model),
        regions=model.regions,
        scoring=str(summaries[0]["model"].get("scoring") or model.card.scoring),
        programs=dict(programs),
        controls={str(item["scanner"]): int(item["n_controls"]) for item in reversed(adaptations)},
        statistics=statistics,
        pial=Counter(image for summary in summaries if (image := summary["freesurfer"].get("pial"))),
    )


def _model_of(used: Mapping[str, Any], named: str) -> NormativeModel | None:
    """The model that the scans were scored with: the one that the command names, or a packaged one of that name."""
    for name in (named, str(used.get("name"))):
        try:
            if used.get("sha256") == model_sha256(name):
                return load_study_model(name, str(used.get("scoring") or "own-sex"))
        except (NormvolError, OSError):
            continue
    return None
