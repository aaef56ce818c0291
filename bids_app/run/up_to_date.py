"""Whether a scan's outputs are all there and were made from the same inputs in the same way."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from bids_app.bids.derivatives import SCHEMA
from bids_app.bids.markers import is_person_done, is_scan_done
from bids_app.bids.names import derivative_parts, derivative_path, participant_id
from bids_app.errors import NormvolError
from bids_app.freesurfer.volumes import modelled_version
from bids_app.run.fingerprint import fingerprint
from bids_app.run.planned import PlannedScan, RunContext
from bids_app.run.scan import EXPECTED_TABLES, kept_columns
from bids_app.run.trees import TreeFacts, Trees, is_scored
from bids_app.tables import read_json

# Kinds of findings on scored scans that a plan makes, and not the scoring
PLANNED_KINDS = frozenset(
    (
        "age-one-for-all",
        "age-contradicts-dates",
        "age-units",
        "age-limit",
        "session-label-matched",
        "tree-choice",
        "tree-name-trusted",
        "streams-mixed",
        "scanner-disagrees",
    )
)


def is_up_to_date(scan: PlannedScan, context: RunContext, trees: Trees, columns: Sequence[str] = ()) -> bool:
    """Whether the scan's outputs are all there and were made from the same inputs in the same way.

    `columns` are what the model uses beside age, sex and eTIV.
    """
    if scan.subject_dir is None:
        return False
    try:
        recorded = _recorded(scan, context)
        return recorded is not None and _fits(recorded, scan, context, trees.facts(scan.subject_dir), columns)
    except NormvolError:
        return False


def settled_facts(scan: PlannedScan, context: RunContext, columns: Sequence[str] = ()) -> TreeFacts | None:
    """What is recorded of the scan's statistics, when it and its person are up to date if those are unchanged.

    It is for a person's only scan.
    """
    try:
        recorded = _recorded(scan, context)
        if recorded is None or recorded.get("schema") != SCHEMA:
            return None
        tree = recorded["freesurfer"]
        version = modelled_version(tree["version"], tree["flavour"])
        facts = TreeFacts(recorded["covariates"]["etiv_mm3"], version, recorded["inputs"])
        fits = _fits(recorded, scan, context, facts, columns)
    except (NormvolError, KeyError):
        return None
    return facts if fits and is_person_done(context.output_dir, scan.participant, {}) else None


def _recorded(scan: PlannedScan, context: RunContext) -> dict[str, Any] | None:
    """The summary of a scan whose outputs are all there."""
    if not is_scored(context.output_dir, scan.participant, scan.session):
        return None
    labels = (context.output_dir, scan.participant, scan.session)
    expected = [derivative_parts(*labels[1:], desc) for desc in EXPECTED_TABLES]
    expected.append((f"{participant_id(scan.participant)}.html",))
    if not all(os.path.exists(os.path.join(context.output_dir, *parts)) for parts in expected):
        return None
    if not is_scan_done(*labels):
        return None
    summary: dict[str, Any] = read_json(derivative_path(*labels, desc="summary", extension=".json"))
    return summary


def _fits(
    recorded: Mapping[str, Any], scan: PlannedScan, context: RunContext, facts: TreeFacts, columns: Sequence[str]
) -> bool:
    if (recorded.get("fingerprint"), recorded.get("schema")) != (_fingerprint(scan, context, facts, columns), SCHEMA):
        return False
    before, now = (
        [finding for finding in findings if finding["kind"] in PLANNED_KINDS]
        for findings in (recorded.get("findings", ()), scan.covariates.get("findings", ()))
    )
    return bool(before == now and recorded["covariates"].get("other") == kept_columns(scan.covariates, columns))


def _fingerprint(scan: PlannedScan, context: RunContext, facts: TreeFacts, columns: Sequence[str]) -> str:
    """The fingerprint that the scan's outputs would carry if they were made now."""
    covariates = {**scan.covariates, "etiv_mm3": facts.etiv_mm3, "fs_version": facts.fs_version}
    adaptation = read_json(scan.adaptation_file) if scan.adaptation_file else None
    how = context.model_sha256, context.scoring, adaptation, columns, context.second_sha256
    return fingerprint(facts.inputs, covariates, *how)
