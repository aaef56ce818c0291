"""Train a change model: how z of repeated scans of healthy people hang together over time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from bids_app.clinical.comparable import SCANNER_COLUMNS
from bids_app.errors import InputError
from bids_app.normative.change_model import train_change_model
from bids_app.normative.registry import load_model
from bids_app.regions import add_asymmetry
from bids_app.workbench.score import DEFAULT_MODEL, Say
from bids_app.workbench.table_input import TableChoice
from bids_app.workbench.train import healthy_people

STREAMS = ("cross", "long")
WHOLE_YEARS = 0.9


@dataclass(frozen=True, kw_only=True)
class TrainChangeConfig(TableChoice):
    """What ``normvol-model train-change`` was asked to do.

    Parameters
    ----------
    output : Path
    model : str
        The normative model that scores the table.
    stream : {'cross', 'long'} or None
        FreeSurfer's stream of the scans, where the table has no column ``stream``.
    """

    output: Path
    model: str = DEFAULT_MODEL
    stream: Literal["cross", "long"] | None = None


def train_change(config: TrainChangeConfig, say: Say) -> Path:
    """Score the table, estimate the correlations, write the file, and say what they are.

    Raises
    ------
    InputError, ModelError, UsageError
        When the table or the model cannot be used, or scans are not repeated.
    """
    model = load_model(config.model)
    data, _ = healthy_people(config, say, model.needs_etiv)
    if "participant_id" not in data:
        raise InputError(
            f"{config.table.name} has no column participant_id", "name it with --map participant_id=COLUMN"
        )
    data = data[data["participant_id"].notna()].reset_index(drop=True)
    repeated = data["participant_id"].map(data["participant_id"].value_counts()) >= 2
    say(f"{int(repeated.sum())} scans of {data.loc[repeated, 'participant_id'].nunique()} people scanned twice or more")
    data = data[repeated].reset_index(drop=True)
    if data.empty:
        raise InputError(f"nobody in {config.table.name} was scanned twice", "give a table with repeated scans")
    stream = config.stream or _stream(data)
    same = [name for name in ("stream", *SCANNER_COLUMNS) if name in data]
    if same:
        say(f"scans are paired within {' and '.join(same)}")
    if (np.mod(data["age"].astype(float), 1) == 0).mean() > WHOLE_YEARS:
        say("attention: ages are whole years, so intervals are known to the year only; give ages with decimals")
    found = model.deviations(add_asymmetry(data))
    trained = train_change_model(
        pd.DataFrame(found.z, columns=list(found.regions)),
        list(data["participant_id"].astype(str)),
        data["age"],
        None if not same else list(zip(*(data[name].astype(str) for name in same), strict=True)),
        model=f"{model.card.name} {model.card.version}",
        stream=stream,
    )
    for note in trained.notes:
        say(f"attention: {note}")
    left = [name for name in found.regions if name not in trained.regions]
    if left:
        say(f"{len(left)} regions left out: too few pairs ({', '.join(left[:5])}{', ...' if len(left) > 5 else ''})")
    start, decay = (np.median([getattr(one, name) for one in trained.regions.values()]) for name in ("start", "decay"))
    say(f"median correlation of two scans {start:.3f} at no time apart, {start * np.exp(-decay * 5):.3f} after 5 years")
    path = trained.save(config.output)
    say(f"wrote {path}: {len(trained.regions)} regions from {trained.n_people} people; give it to --change-model")
    return path


def _stream(data: pd.DataFrame) -> Literal["cross", "long"] | None:
    """The one stream of the table; None where it is not told.

    Raises
    ------
    InputError
        When the table holds both: one file is of one stream.
    """
    found = sorted(set(data["stream"].dropna().astype(str))) if "stream" in data else []
    if len(found) > 1:
        raise InputError(
            f"the column stream holds {' and '.join(found)}", "train one file per stream, each from rows of that stream"
        )
    known = found[0] if found else None
    if known is None:
        return None
    if known not in STREAMS:
        raise InputError(f"the column stream holds {known}", "write cross or long")
    return "long" if known == "long" else "cross"
