"""What a cohort's own tables hold that can change a result, in sentences and as findings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pandas as pd

from bids_app.bids.disguise import is_hash
from bids_app.bids.names import natural_key
from bids_app.clinical.analysis_file import AnalysisConfig
from bids_app.clinical.wording import listing, plural
from bids_app.errors import AnalysisError
from bids_app.findings import Finding
from bids_app.regions import display_name

# Years by which the age of a later session may be lower (rounded ages).
AGE_TOLERANCE = 0.5
# Scans of which a measured region has more than one value.
SEVERAL = 5
# A group of whom nobody has a lesion volume of so many mm^3 is one measured in mL.
FEWEST_MM3 = 200


def as_findings(sentences: Mapping[str, Iterable[str]]) -> tuple[Finding, ...]:
    """The sentences of each kind as findings."""
    return tuple(Finding(kind, note.rstrip(".")) for kind, notes in sentences.items() for note in notes)


def with_z(scans: pd.DataFrame, z: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """The scans with any z, as no deviation is known of the others, and sentences on what has no z.

    Parameters
    ----------
    scans : (n, k) DataFrame
    z : (n, p) DataFrame
        z of the reference regions, same rows.

    Returns
    -------
    scans, z : DataFrame
        The rows with at least one z, numbered anew from 0.
    notes : list of str

    Raises
    ------
    AnalysisError
        When no scan has a z.
    """
    without = z.isna().all(axis=1).to_numpy()
    if without.all():
        raise AnalysisError("no scan has a z-score of a reference region")
    empty = [display_name(str(name)) for name in z if z[name].isna().all()]
    notes = [f"{plural(int(without.sum()), 'scan')} without any z-score left out."] if without.any() else []
    if empty:
        notes.append(f"No scan has a z-score of the {listing(empty)}; every result is that of the other regions.")
    return scans[~without].reset_index(drop=True), z[~without].reset_index(drop=True), notes


def same_everywhere(z: pd.DataFrame) -> list[str]:
    """A sentence on regions that have one z in all of several scans, which no measurement gives.

    Parameters
    ----------
    z : (n, p) DataFrame
        One column per region.

    Returns
    -------
    list of str
        One sentence or none; none with fewer than `SEVERAL` scans.
    """
    if len(z) < SEVERAL:
        return []
    same = [name for name in z if z[name].notna().sum() >= SEVERAL and z[name].nunique() == 1]
    if not same:
        return []
    named = listing([f"{display_name(str(name))} ({z[name].dropna().iloc[0]:g})" for name in same])
    return [f"The z-score is the same in every scan in the {named}."]


def mixing_streams(scans: pd.DataFrame) -> list[str]:
    """People with scans of both FreeSurfer streams, by name.

    Parameters
    ----------
    scans : DataFrame
        ``participant_id`` and, where it is known, ``stream`` (cross or long).

    Returns
    -------
    list of str
        One sentence or none.
    """
    if "stream" not in scans:
        return []
    who = _with_several(scans["stream"], scans["participant_id"])
    return [f"Scans of {listing(who)} are of both FreeSurfer streams, cross and long."] if who else []


def unit_doubt(scans: pd.DataFrame, column: str | None) -> list[str]:
    """A caution where volumes of lesions look like millilitres: log(1 + value) is made for cubic millimetres.

    Parameters
    ----------
    scans : DataFrame
    column : str or None
        Of the lesion volume, taken as mm^3.

    Returns
    -------
    list of str
        One sentence where the largest value is above 0 and below `FEWEST_MM3`.
    """
    if column not in scans or not 0 < scans[column].max() < FEWEST_MM3:
        return []
    return [f"All values of {column} (role lesion_volume) are below {FEWEST_MM3}; they are taken as mm^3, not as mL."]


def contradicting(scans: pd.DataFrame) -> list[str]:
    """People whose sex, or the order of whose ages, differs between their scans, by name.

    Parameters
    ----------
    scans : DataFrame
        ``participant_id age`` (years) and, where they are known, ``sex session_id``.

    Returns
    -------
    list of str
        A sentence per contradiction; ages may fall by up to `AGE_TOLERANCE` years.
    """
    notes, people = [], scans["participant_id"]
    if "sex" in scans:
        who = _with_several(scans["sex"], people)
        if who:
            notes.append(f"The sex of {listing(who)} differs between scans; that of the first scan counts.")
    hashed = (
        "session_id" in scans and scans["session_id"].dropna().astype(str).str.removeprefix("ses-").map(is_hash).any()
    )
    if "session_id" in scans and scans["session_id"].notna().any() and not hashed:
        known = scans.dropna(subset=["session_id", "age"])
        ranks = {label: rank for rank, label in enumerate(sorted(known["session_id"].unique(), key=natural_key))}
        order = known.assign(_rank=known["session_id"].map(ranks)).sort_values(["participant_id", "_rank"])
        falls = order["age"].astype(float).groupby(order["participant_id"]).diff() < -AGE_TOLERANCE
        who = list(dict.fromkeys(order.loc[falls, "participant_id"]))
        if who:
            notes.append(
                f"The age of {listing(who)} falls from one session to the next; age decides which scan is the first."
            )
    return notes


def of_groups(scans: pd.DataFrame, level: pd.Series, config: AnalysisConfig) -> tuple[list[str], list[str]]:
    """Whose diagnosis changes; who is in no group, controls by a code, levels of the configuration that nobody has.

    Parameters
    ----------
    scans : DataFrame
        ``participant_id group``; group NaN for who is in none.
    level : Series
        The diagnosis of each scan, before that of the first counts for all; index as `scans`.
    config : AnalysisConfig

    Returns
    -------
    changing : list of str
        One sentence or none.
    notes : list of str
    """
    column, people, notes = config.column("diagnosis"), scans["participant_id"], []
    without = people[scans["group"].isna()].nunique()
    if without:
        notes.append(
            f"{plural(without, 'person', 'people')} without {column} {'is' if without == 1 else 'are'} in no "
            "group and left out of the analyses of groups, scores and outcomes."
        )
    who = _with_several(level, people)
    counted = plural(len(who), "person", "people")
    changing = [f"{column} changes between the scans of {counted} ({listing(who)}); the first counts."] if who else []
    if config.control is not None and config.control.isdecimal():
        notes.append(f"The people with {column} {config.control}, a code, are taken for the controls.")
    levels = sorted(set(scans["group"].dropna()))
    wanted = [name for name in (config.control, *config.groups) if name is not None and name not in levels]
    if wanted:
        notes.append(f"Nobody who was scanned has {column} {listing(wanted)}; the levels are {listing(levels, 20)}.")
    if config.control is not None and config.control not in levels and len(levels) > 1 and not config.groups:
        notes.append("So nobody is a control, and everybody counts as having a disease; check control in [options].")
    return changing, notes


def _with_several(values: pd.Series, people: pd.Series) -> list[str]:
    """The people of whom `values` (same rows) holds more than one."""
    number = values.groupby(people).nunique()
    return list(number.index[number > 1])
