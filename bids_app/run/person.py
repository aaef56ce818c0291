"""One person's tables over all sessions: centile fans, change between sessions and whether they can be compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bids_app.bids.columns import columns_for
from bids_app.bids.derivatives import person_summary_paths
from bids_app.bids.markers import begin_person
from bids_app.bids.names import derivative_path, participant_id
from bids_app.bids.scan_tables import read_column
from bids_app.clinical.comparable import comparison_table, facts_of_summary
from bids_app.clinical.person import centile_table, change_table, forecast_table
from bids_app.clinical.volume_change import healthy_volumes, modelled_volumes, rate_regions, rates_table
from bids_app.errors import InputError
from bids_app.freesurfer.volumes import modelled_version
from bids_app.normative.base import NormativeModel
from bids_app.normative.change_model import ChangeModel
from bids_app.regions import ETIV, VOLUME
from bids_app.run.adaptation import StoredAdaptation
from bids_app.run.change_models import folder_change_model
from bids_app.run.scan import SURFACE_TABLES
from bids_app.tables import read_json, read_table, write_tsv

SCORED_TABLES = ("deviations", "extended")
# Tables of people with several sessions
SEVERAL = ("comparability", "change", "rates")
AGES_DRAWN = 40


def person_summaries(output_dir: Path, participant: str) -> list[tuple[Path, dict[str, Any]]]:
    """Paths and contents of the summaries of a person's scored scans, by age."""
    summaries = [(path, read_json(path)) for path in person_summary_paths(output_dir, participant)]
    return sorted(summaries, key=lambda item: (item[1]["covariates"]["age"], str(item[1]["session_id"])))


def write_person_tables(
    output_dir: Path, participant: str, model: NormativeModel, adaptation: Mapping[str, Any] | None = None
) -> list[Path]:
    """Write ``desc-centiles`` (of thickness and area apart) and ``desc-forecast``.

    For people with several sessions also ``desc-comparability``, ``desc-change`` and ``desc-rates``.

    Correlations over time are those of the folder's change model (`change_model_path`), where there is one.

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
    stored = StoredAdaptation.from_json(adaptation) if adaptation else None
    trained = folder_change_model(output_dir)
    tables: dict[str, pd.DataFrame | None] = {
        "centiles": _centiles(summaries, model, stored),
        **{f"{name}centiles": _surface_centiles(summaries, model, stored, name) for name in SURFACE_TABLES},
        "forecast": _forecast(summaries[-1], model, stored, trained),
        **dict.fromkeys(SEVERAL),
    }
    if len(summaries) > 1:
        compared = _comparison(summaries)
        verdicts = {(row[0], row[1]): row[2] for row in compared.itertuples(index=False)}
        tables["comparability"] = compared
        tables["change"] = change_table(_scored_sessions(summaries), verdicts, trained)
        tables["rates"] = _rates(summaries, model, stored, verdicts)
    written = []
    for name, table in tables.items():
        path = derivative_path(output_dir, participant, desc=name)
        if table is None:
            path.unlink(missing_ok=True)
            path.with_suffix(".json").unlink(missing_ok=True)
        else:
            written.append(write_tsv(table, path, columns_for(name)))
    return written


def _comparison(summaries: list[tuple[Path, dict[str, Any]]]) -> pd.DataFrame:
    return comparison_table(
        [summary["session_id"] for _, summary in summaries], [facts_of_summary(summary) for _, summary in summaries]
    )


def _model_rows(summaries: list[dict[str, Any]], ages: Sequence[float]) -> pd.DataFrame:
    """What the model asks of the person at some ages: one head size and the last scan's version and site throughout."""
    covariates, tree = summaries[-1]["covariates"], summaries[-1]["freesurfer"]
    row = {
        **(covariates.get("other") or {}),
        "sex": covariates["sex"],
        ETIV: float(np.median([summary["covariates"]["etiv_mm3"] for summary in summaries])),
        "fs_version": modelled_version(tree["version"], tree.get("flavour")),
    }
    given = {name: value for name, value in row.items() if value is not None}
    return pd.DataFrame([{**given, "age": age} for age in ages])


def _forecast(
    last: tuple[Path, dict[str, Any]],
    model: NormativeModel,
    adaptation: StoredAdaptation | None,
    trained: ChangeModel | None,
) -> pd.DataFrame:
    """The conditional fan from the last visit, with the head size of that visit's z."""
    _, summary = last
    z = _scored_sessions([last]).set_index("region")["z"].reindex(list(modelled_volumes(model)))
    person = _model_rows([summary], [summary["covariates"]["age"]]).iloc[0].to_dict()
    return forecast_table(model, person, z, summary["freesurfer"]["stream"], trained, adaptation)


def _rates(
    summaries: list[tuple[Path, dict[str, Any]]],
    model: NormativeModel,
    adaptation: StoredAdaptation | None,
    verdicts: Mapping[tuple[str, str], str],
) -> pd.DataFrame:
    """Annualised change of the volumes as measured."""
    contents = [summary for _, summary in summaries]
    sessions = pd.DataFrame(
        [
            (summary["session_id"], summary["covariates"]["age"], summary["freesurfer"]["stream"])
            for summary in contents
        ],
        columns=["session_id", "age", "stream"],
    )
    measured = pd.DataFrame([_usable_volumes(path) for path, _ in summaries])
    rows = _model_rows(contents, list(sessions["age"]))
    return rates_table(sessions, measured, healthy_volumes(model, rows, rate_regions(), adaptation), verdicts)


def _usable_volumes(summary_path: Path) -> dict[str, float]:
    """The measured volumes of a scan without those that were refused a z."""
    volumes = _scan_table(summary_path, "volumes").set_index("region")["volume_mm3"]
    scored = pd.concat([_scan_table(summary_path, name) for name in SCORED_TABLES])
    refused = set(scored.loc[scored["z"].isna(), "region"])
    return {str(name): value for name, value in volumes.items() if name not in refused}


def _scan_table(summary_path: Path, name: str) -> pd.DataFrame:
    return read_table(_table_beside(summary_path, name))


def _table_beside(summary_path: Path, name: str) -> Path:
    return summary_path.with_name(summary_path.name.replace("_desc-summary_morph.json", f"_desc-{name}_morph.tsv"))


def _surface_centiles(
    summaries: list[tuple[Path, dict[str, Any]]],
    model: NormativeModel,
    adaptation: StoredAdaptation | None,
    measure: str,
) -> pd.DataFrame | None:
    found = _centiles(summaries, model, adaptation, measure)
    return found if len(found) else None


def _centiles(
    summaries: list[tuple[Path, dict[str, Any]]],
    model: NormativeModel,
    adaptation: StoredAdaptation | None,
    measure: str = VOLUME,
) -> pd.DataFrame:
    covariates = [summary["covariates"] for _, summary in summaries]
    sex, last = covariates[-1]["sex"], summaries[-1][1]
    low, high = model.card.age_range.get(sex, (18.0, 80.0))
    return centile_table(
        model,
        sex,
        float(np.median([row["etiv_mm3"] for row in covariates])),
        modelled_volumes(model, measure),
        age_range=(float(low), float(high)),
        fs_version=modelled_version(last["freesurfer"]["version"], last["freesurfer"].get("flavour")),
        site=covariates[-1]["other"].get("site"),
        ages=np.linspace(low, high, AGES_DRAWN).round(1),
        adaptation=adaptation,
    )


def _scored_sessions(summaries: list[tuple[Path, dict[str, Any]]]) -> pd.DataFrame:
    blocks = []
    for path, summary in summaries:
        for name in SCORED_TABLES:
            region, z = read_column(_table_beside(path, name), "z")
            blocks.append(
                pd.DataFrame({"region": region, "z": z}).assign(
                    session_id=summary["session_id"],
                    age=summary["covariates"]["age"],
                    stream=summary["freesurfer"]["stream"],
                )
            )
    return pd.concat(blocks, ignore_index=True)
