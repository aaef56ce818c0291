"""The change model of an output folder: put there by ``--change-model``, used for every person's tables."""

from __future__ import annotations

from pathlib import Path

from bids_app.bids.markers import CHANGE_MODEL
from bids_app.errors import UsageError
from bids_app.normative.change_model import ChangeModel, load_change_model
from bids_app.normative.engines.combined import JOINT
from bids_app.tables import atomic_write

NONE = "none"


def folder_change_model(output_dir: Path) -> ChangeModel | None:
    """The change model that the folder holds, None when it holds none."""
    path = output_dir / CHANGE_MODEL
    return load_change_model(path) if path.is_file() else None


def install_change_model(given: str | None, output_dir: Path, model: str, *, look_only: bool = False) -> str | None:
    """Put the file that ``--change-model`` names into the folder, or take it away (``none``); a sentence for the log.

    A folder keeps its change model until another is given, so that jobs of one array, and later runs, agree. People
    whose tables were made with another one are made again.

    Parameters
    ----------
    model : str
        Name of the normative model that scores.
    look_only : bool
        Nothing is changed.

    Raises
    ------
    UsageError
        When the file is no change model, or was trained on z of another normative model.
    """
    path = output_dir / CHANGE_MODEL
    if given is None:
        kept = folder_change_model(output_dir)
        return None if kept is None else f"change model: {CHANGE_MODEL} of the output folder ({_said(kept)})"
    if given == NONE:
        if not look_only:
            path.unlink(missing_ok=True)
        return None
    if not Path(given).is_file():
        raise UsageError(f"--change-model {given} does not exist", "make one with normvol-model train-change")
    found = load_change_model(given)
    if found.model and not set(found.model.split()[0].split(JOINT)) <= set(model.split(JOINT)):
        raise UsageError(
            f"--change-model {given} was trained on z of {found.model}, and this run scores with {model}",
            f"run normvol-model train-change with --model {model}",
        )
    content = Path(given).read_bytes()
    if not look_only and (not path.is_file() or path.read_bytes() != content):
        atomic_write(path, content)
    return f"change model: {given} ({_said(found)})"


def _said(model: ChangeModel) -> str:
    return f"{len(model.regions)} regions from {model.n_people} people, {model.years[0]:g} to {model.years[1]:g} years"
