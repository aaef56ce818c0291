"""Load the run's normative model once per process."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from bids_app.clinical.second_opinion import check_shared
from bids_app.normative.base import NormativeModel
from bids_app.normative.registry import load_model, packaged_files, split_name


@lru_cache(maxsize=2)
def load_study_model(name_or_path: str, scoring: str = "own-sex") -> NormativeModel:
    """The model, in the scoring mode asked for.

    Raises
    ------
    ModelError
        When the model is unknown or damaged, or has no such scoring mode.
    """
    model = load_model(name_or_path)
    return model if scoring == "own-sex" else model.with_scoring(scoring)


def load_second_model(name_or_path: str | None, first: NormativeModel) -> NormativeModel | None:
    """The model that is set beside the first; None when none is asked for.

    Raises
    ------
    ModelError
        When it is unknown or damaged, is the first model, or has no region in common with it.
    """
    if name_or_path is None:
        return None
    second = load_study_model(name_or_path)
    check_shared(first, second)
    return second


@lru_cache(maxsize=8)
def model_sha256(name_or_path: str) -> str:
    """SHA-256 of the model's file, of all files of a model folder in order of their names, or of the joined models'."""
    parts = split_name(name_or_path)
    if len(parts) > 1:
        return hashlib.sha256("".join(map(model_sha256, parts)).encode()).hexdigest()
    path = packaged_files().get(name_or_path, Path(name_or_path))
    contents = sorted(item for item in path.rglob("*") if item.is_file()) if path.is_dir() else [path]
    digest = hashlib.sha256()
    for item in contents:
        digest.update(item.relative_to(path).as_posix().encode() if path.is_dir() else b"")
        digest.update(item.read_bytes())
    return digest.hexdigest()
