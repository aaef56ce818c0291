"""BIDS data dictionaries of every output table (``data/columns.json``)."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import Any

from bids_app.regions import CAUTIONS, derived_names, display_name, names
from bids_app.tables import read_json

Dictionary = dict[str, dict[str, Any]]
KEYS = ("participant_id", "session_id")
# The descriptive tables of the group level, the most wanted first, and what each is.
TITLES = {
    "long": "One row per scan and region: value, expected value, z, centile, flag, with age, sex, group and scores",
    "scans": "One row per scan with everything else: covariates, counts, quality, every clinical column",
    "deviations": "One row per scan: covariates, number of deviations, quality, model",
    "zscores": "z of the counted regions, one column per region",
    "extended": "z of all other regions, one column per region",
    "volumes": "Volumes with what scoring needs, one column per region",
    "inclusion": "Every scan that was looked at, what became of it and why",
    "findings": "What was seen that can change a number",
    "cohort": "Age, sex and number of scans, by group",
    "flow": "How many scans passed each step",
    "counts": "Deviations per person beside what healthy people have, by group",
    "prevalence": "Share of people in deviation per region and group",
    "surfaces": "Deviations of thickness and of area, each counted by itself, one row per scan and measure",
    "sites": "Mean and spread of z by scanner and FreeSurfer version",
    "quality": "Every measure of quality of every scan",
    "adaptation": "What the site adaptation estimated, by scanner and region",
}


@lru_cache(maxsize=1)
def _content() -> dict[str, Any]:
    folder = files("bids_app.data")
    content: dict[str, Any] = read_json(str(folder / "columns.json"))
    # statistics share their words with the analyses' tables
    content["common"] = {**read_json(str(folder / "result_columns.json")), **content["common"]}
    return content


def columns_for(table: str) -> Dictionary:
    """The data dictionary of an output table.

    Parameters
    ----------
    table : str
        The ``desc`` of a participant's table (``deviations``) or the stem of a group table
        (``group_zscores``).

    Returns
    -------
    dict
        Column to ``{"Description", "Units", "Levels"}``, in the order of the table. Optional columns are
        included.

    Raises
    ------
    KeyError
        When the table has no dictionary.
    """
    content = _content()
    if table in content["wide"]:
        return _wide(**content["wide"][table])
    common = content["common"]
    return {name: dict(own or common[name]) for name, own in content["tables"][table].items()}


def _wide(sets: list[str], asymmetry: bool, **words: str) -> Dictionary:
    """The keys of a scan, then one column per region."""
    described: Dictionary = {name: dict(_content()["common"][name]) for name in KEYS}
    for name in (*names(*sets), *(derived_names() if asymmetry else ())):
        described[name] = {key: text.format(region=display_name(name)) for key, text in words.items()}
        caution = next((text for base, text in CAUTIONS.items() if name.endswith(base)), None)
        if caution:
            described[name]["Description"] += f". {' '.join(caution)}"
    return described
