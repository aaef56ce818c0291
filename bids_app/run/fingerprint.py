"""The hash of everything that decides a scan's outputs: unchanged means nothing to do."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from bids_app import __version__

# Raise this when the same inputs give other outputs, so that old ones are made anew.
OUTPUT_REVISION = 1


def fingerprint(
    inputs: Mapping[str, str],
    covariates: Mapping[str, Any],
    model_sha256: str,
    scoring: str,
    adaptation: Mapping[str, Any] | None,
) -> str:
    """SHA-256 over input hashes, covariates, model, scoring mode, adaptation and software version."""
    content = {
        "inputs": dict(inputs),
        "covariates": {name: str(value) for name, value in covariates.items()},
        "model": model_sha256,
        "scoring": scoring,
        "adaptation": adaptation,
        "software": [__version__, OUTPUT_REVISION],
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
