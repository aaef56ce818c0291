"""What one scan's own numbers give reason to doubt, as findings."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from bids_app.errors import CovariateError
from bids_app.findings import Finding
from bids_app.freesurfer.quality import FAIL, Quality
from bids_app.freesurfer.subject import FREESURFER
from bids_app.freesurfer.volumes import Volumes
from bids_app.normative.base import NormativeModel
from bids_app.normative.note_findings import note_findings
from bids_app.normative.plausible import too_young, why_impossible
from bids_app.regions import ETIV, display_name

# Real trees repeat these measures to all digits.
SAME = 0.001


def refuse_unfit(data: pd.DataFrame, impossible: pd.DataFrame, model: NormativeModel) -> None:
    """Refuse a scan that no z can be given to.

    Parameters
    ----------
    data : DataFrame
        Model input, one row: ``age`` (years), ``sex`` and eTIV (mm^3).
    impossible : DataFrame of bool
        Its cells that cannot be (`plausible.impossible`).
    model : NormativeModel

    Raises
    ------
    CovariateError
        For an impossible eTIV, or an age more than a year below those of the model's training data.
    """
    if impossible[ETIV].iloc[0]:
        etiv = float(data[ETIV].iloc[0])
        raise CovariateError(
            f"the intracranial volume of {etiv / 1000:.0f} cm^3 is {why_impossible(ETIV, etiv)}",
            "look at the Talairach registration, or run recon-all again",
        )
    if too_young(data["age"], data["sex"], model.card.age_range)[0]:
        low = model.card.age_range[str(data["sex"].iloc[0])][0]
        raise CovariateError(
            f"the age of {float(data['age'].iloc[0]):g} years is more than a year below {low:g}, the youngest of that "
            "sex in the model's training data",
            "use a model that was trained on children of that age",
        )


def scan_findings(
    volumes: Volumes, data: pd.DataFrame, impossible: pd.DataFrame, quality: Quality, notes: Iterable[str] = ()
) -> list[Finding]:
    """Findings on a scan: values that cannot be, the program, parts that do not belong together, failed quality.

    Parameters
    ----------
    volumes : Volumes
    data : DataFrame, one row
        Model input with all values.
    impossible : DataFrame of bool, one row
        As `plausible.impossible` returns it.
    quality : Quality
    notes : iterable of str
        Of the engine (``Deviations.notes``).

    Returns
    -------
    list of Finding
    """
    found = [
        Finding(
            "value-impossible", f"{display_name(str(name))} is {why_impossible(str(name), float(data[name].iloc[0]))}"
        )
        for name in impossible.columns[impossible.iloc[0]]
    ]
    found += note_findings(notes)
    if volumes.not_segmented:
        found.append(Finding("not-segmented", f"without a label: {', '.join(volumes.not_segmented)}"))
    if volumes.flavour != FREESURFER:
        found.append(
            Finding("made-by-fastsurfer", f"{volumes.flavour} made the volumes; no offset of a version was applied")
        )
    apart = volumes.measures.get("aseg_aparc_difference", 0.0)
    if apart > SAME:
        found.append(Finding("brain-parts-apart", f"{100 * apart:.2g} % between the headers of the stats files"))
    if quality.verdict == FAIL:
        kind = "quality-failed" if quality.technical == FAIL else "quality-failed-by-outcome"
        found.append(Finding(kind, quality.reasons[0]))
    return found
