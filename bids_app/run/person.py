"""One person's tables over all sessions: the centile fan of the report and the change between sessions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bids_app.bids.columns import columns_for
from bids_app.bids.derivatives import person_summary_paths
from bids_app.bids.markers import begin_person
from bids_app.bids.names import derivative_path, participant_id
from bids_app.clinical.person import centile_table, change_table
from bids_app.errors import InputError
from bids_app.freesurfer.volumes import modelled_version
from bids_app.normative.base import NormativeModel
from bids_app.regions import ASYMMETRY_PREFIX, VOLUME, measure_of
from bids_app.run.adaptation import StoredAdaptation
from bids_app.tables import read_json, read_table, write_tsv

SCORED_TABLES = ("deviations", "extended")
AGES_DRAWN = 40


def person_summaries(output_dir: Path, participant: str) -> list[tuple[Path, dict[str, Any]]]:
    """Paths and contents of the summaries of a person's scored scans, by age."""
    summaries = [(path, read_json(path)) for path in person_summary_paths(output_dir, participant)]
    return sorted(summaries, key=lambda item: (item[1]["covariates"]["age"], str(item[1]["session_id"])))


def write_person_tables(
    output_dir: Path, participant: str, model: NormativeModel, adaptation: Mapping[str, Any] | None = None
) -> list[Path]:
    """Write ``desc-centiles`` and, for people with several sessions, ``desc-change``.

    Raises
    ------
    InputError
        When the person has no scored scan.
    """
    summaries = person_summaries(output_dir, participant)
    if not summaries:
        raise InputError(
            f"{participant_id(participant)} has no scored scan in {output_dir}", "run the participant level"
        )
    begin_person(output_dir, participant)
    centiles = _centiles([summary for _, summary in summaries], model, adaptation)
    path = derivative_path(output_dir, participant, desc="centiles")
    written = [write_tsv(centiles, path, columns_for("centiles"))]
    change_path = derivative_path(output_dir, participant, desc="change")
    if len(summaries) > 1:
        change = change_table(_scored_sessions(summaries))
        written.append(write_tsv(change, change_path, columns_for("change")))
    else:
        change_path.unlink(missing_ok=True)
        change_path.with_suffix(".json").unlink(missing_ok=True)
    return written


def _centiles(
    summaries: list[dict[str, Any]], model: NormativeModel, adaptation: Mapping[str, Any] | None
) -> pd.DataFrame:
    covariates = [summary["covariates"] for summary in summaries]
    sex, last = covariates[-1]["sex"], summaries[-1]
    low, high = model.card.age_range.get(sex, (18.0, 80.0))
    return centile_table(
        model,
        sex,
        float(np.median([row["etiv_mm3"] for row in covariates])),
        _drawn_regions(model),
        age_range=(float(low), float(high)),
        fs_version=modelled_version(last["freesurfer"]["version"], last["freesurfer"].get("flavour")),
        site=covariates[-1]["other"].get("site"),
        ages=np.linspace(low, high, AGES_DRAWN).round(1),
        adaptation=StoredAdaptation.from_json(adaptation) if adaptation else None,
    )


def _drawn_regions(model: NormativeModel) -> tuple[str, ...]:
    drawn = (name for name in model.regions if not name.startswith(ASYMMETRY_PREFIX))
    return tuple(name for name in drawn if measure_of(name) == VOLUME)


def _scored_sessions(summaries: list[tuple[Path, dict[str, Any]]]) -> pd.DataFrame:
    blocks = []
    for path, summary in summaries:
        for name in SCORED_TABLES:
            table = read_table(path.with_name(path.name.replace("_desc-summary_morph.json", f"_desc-{name}_morph.tsv")))
            blocks.append(
                table[["region", "z"]].assign(
                    session_id=summary["session_id"],
                    age=summary["covariates"]["age"],
                    stream=summary["freesurfer"]["stream"],
                )
            )
    return pd.concat(blocks, ignore_index=True)
