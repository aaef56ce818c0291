"""The hash of everything that decides a scan's outputs: unchanged means nothing to do."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from bids_app import __version__

# Raise this when the same inputs give other outputs, so that old ones are made anew.
OUTPUT_REVISION = 3


# Of a scan's adaptation, what moves z; who the controls were is said elsewhere
_ADAPTING = ("regions", "shift", "scale", "shift_se")
_LESIONS = ("count", "volume_mm3", "parts", "sha256")
_DECIDING = ("age", "sex", "etiv_mm3", "fs_version")


def fingerprint(
    inputs: Mapping[str, str],
    covariates: Mapping[str, Any],
    model_sha256: str,
    scoring: str,
    adaptation: Mapping[str, Any] | None,
    columns: Iterable[str] = (),
    second_sha256: str | None = None,
) -> str:
    """SHA-256 over what decides a scan's measures and z, and nothing else.

    That is: hashes of the stats files, age, sex, eTIV and FreeSurfer version, the other `columns` that the model uses,
    the models' content and scoring, the adaptation's numbers, what is known of the scan's lesions, limits of quality
    that were asked for, and the software. What else the tables say of a person (a score, a group) changes none of it.
    """
    content = {
        "inputs": dict(inputs),
        "covariates": {name: str(covariates.get(name)) for name in (*_DECIDING, *columns)},
        "model": model_sha256,
        "scoring": scoring,
        "adaptation": None if adaptation is None else {name: adaptation[name] for name in _ADAPTING},
        "software": [__version__, OUTPUT_REVISION],
    }
    if covariates.get("lesions"):
        content["lesions"] = {name: covariates["lesions"][name] for name in _LESIONS}
    if covariates.get("quality_limits"):
        content["quality_limits"] = list(covariates["quality_limits"])
    if second_sha256 is not None:
        second = (adaptation or {}).get("second")
        content["second"] = [second_sha256, second and {name: second[name] for name in _ADAPTING}]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
