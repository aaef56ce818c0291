"""Results that belong together: one model, one scoring, one adaptation in an output folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bids_app.bids.derivatives import SUMMARY_SUFFIX
from bids_app.bids.names import output_path
from bids_app.errors import InputError, UsageError
from bids_app.findings import Finding
from bids_app.run.request import ModelChoice
from bids_app.tables import read_json, write_json

RECORD = Path("logs") / "scoring.json"
BEFORE = "before"


def asked_for(choice: ModelChoice, sha256: str, second_sha256: str | None = None) -> dict[str, Any]:
    """How a run is asked to score, as plain values."""
    return {
        "model_sha256": sha256,
        "scoring": choice.scoring,
        "adapt_controls": choice.controls,
        "adapt_by": choice.by,
        "second_sha256": second_sha256,
    }


def scored_as(summary: Mapping[str, Any]) -> dict[str, Any]:
    """How a scan was scored, in the same terms."""
    model = summary.get("model") or {}
    adaptation = model.get("adaptation") or {}
    return {
        "model_sha256": model.get("sha256"),
        "scoring": model.get("scoring"),
        "adapt_controls": adaptation.get("controls"),
        "adapt_by": adaptation.get("by"),
        "second_sha256": (summary.get("second_model") or {}).get("sha256"),
    }


def with_before(output_dir: Path, asked: Mapping[str, Any], *, force: bool) -> dict[str, Any]:
    """What a run is to `record`: `asked`, and under ``before`` how the results that it replaces were made.

    A forced run that is given again, as after a kill, keeps what the first one said.
    """
    recorded = _recorded(output_dir)
    if recorded is None:
        return dict(asked)
    last = {name: recorded.get(name) for name in asked}
    before = (recorded.get(BEFORE) if force else None) if last == asked else last
    return {**asked, BEFORE: before} if isinstance(before, Mapping) else dict(asked)


def check_alike(output_dir: Path, asked: Mapping[str, Any], *, force: bool) -> list[Finding]:
    """Look at what a run replaces, as `with_before` says it; a finding where `force` lets it.

    Raises
    ------
    UsageError
        When something would be replaced and `force` is not given.
    """
    before = asked.get(BEFORE)
    if before is None:
        return []
    said = "; ".join(
        f"{title}: {_said(name, before.get(name))} before, {_said(name, asked[name])} now"
        for name, title in _TITLES.items()
        if before.get(name) != asked[name]
    )
    if not force:
        raise UsageError(
            f"the results in {output_dir} were made with other options ({said})",
            "give the same options, name another output folder, or use --force to score anew",
        )
    return [Finding("run-differs", said)]


_TITLES = {
    "model_sha256": "model",
    "scoring": "scoring",
    "adapt_controls": "--adapt-controls",
    "adapt_by": "--adapt-by",
    "second_sha256": "--second-model",
}


def _said(name: str, value: Any) -> str:
    if value is None:
        return "none"
    return f"content {str(value)[:12]}" if name.endswith("_sha256") else str(value)


def _recorded(output_dir: Path) -> Mapping[str, Any] | None:
    """How the folder's results were asked for, or how the first one was scored; None when it has no result."""
    patterns = (f"sub-*/anat/*{SUMMARY_SUFFIX}", f"sub-*/ses-*/anat/*{SUMMARY_SUFFIX}")
    first = next((path for pattern in patterns for path in output_dir.glob(pattern)), None)
    if first is None:
        return None
    path = output_dir / RECORD
    content = read_json(path) if path.exists() else scored_as(read_json(first))
    return content if isinstance(content, Mapping) else None


def record(output_dir: Path, asked: Mapping[str, Any]) -> None:
    """Remember how this folder's results are made; equal jobs write equal bytes."""
    write_json(dict(asked), output_path(output_dir, *RECORD.parts))


def refuse_mixed(summaries: Sequence[Mapping[str, Any]], *, samples: bool = False) -> None:
    """Raise unless all scans were scored alike.

    Parameters
    ----------
    samples : bool
        The scans are of several samples, each adapted (or not) to controls of its own: which controls is not compared.

    Raises
    ------
    InputError
        Naming both ways, how many scans each has, and how to make them alike.
    """
    ways = Counter(_in_words(summary, samples) for summary in summaries)
    if len(ways) < 2:
        return
    listed = "; ".join(f"{count} scans with {way}" for way, count in ways.most_common())
    raise InputError(
        f"the scans were not all scored alike, so they cannot be pooled: {listed}",
        "run the participant level for everybody with the same --model, --scoring and --adapt-controls, and --force",
    )


def _in_words(summary: Mapping[str, Any], samples: bool) -> str:
    model = summary.get("model") or {}
    adaptation = model.get("adaptation")
    name = " ".join(str(model[key]) for key in ("name", "version") if model.get(key))
    adapted = "without adaptation"
    if adaptation and samples:
        adapted = "adapted to controls"
    elif adaptation:
        by = f" by {adaptation['by']}" if adaptation.get("by") else ""
        controls, digest = adaptation.get("controls") or "controls", str(adaptation.get("sha256") or "")[:8]
        adapted = f"adapted to {controls}{by} (controls {digest})"
    return f"model {name} ({str(model.get('sha256'))[:8]}), scoring {model.get('scoring')}, {adapted}"
