"""The deviations of one model beside those of a second one, and on which of them they disagree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bids_app.errors import ModelError
from bids_app.normative.base import Deviations, NormativeModel, deviation_flag

DEVIATES = ("infra", "supra")


def check_shared(first: NormativeModel, second: NormativeModel) -> None:
    """Refuse a second model that scores none of the first one's regions, or is the first.

    Raises
    ------
    ModelError
    """
    shared = sorted(set(first.card.name.split("+")) & set(second.card.name.split("+")))
    if shared and first.card.version in (second.card.version, *second.card.version.split("+")):
        raise ModelError(f"the second model is the first ({', '.join(shared)})", "name another with --second-model")
    if not set(first.regions) & set(second.regions):
        raise ModelError(f"{first.card.name} and {second.card.name} have no region in common")


def opinions(first: Deviations, second: Deviations) -> pd.DataFrame:
    """Both models' z of each scan in each region that both score.

    Parameters
    ----------
    first, second : Deviations
        Of the same scans.

    Returns
    -------
    DataFrame
        ``row`` (position of the scan), ``region``, ``z``, ``z_second``, ``z_second_se``, ``deviation``,
        ``deviation_second``, ``agree`` (whether both deviations are the same; None where a z is missing).
    """
    shared = [name for name in first.regions if name in set(second.regions)]
    here = [first.regions.index(name) for name in shared]
    there = [second.regions.index(name) for name in shared]
    z, other = first.z[:, here], second.z[:, there]
    flags, others = deviation_flag(z), deviation_flag(other)
    agree = np.asarray(flags == others, dtype=object)
    agree[~(np.isfinite(z) & np.isfinite(other))] = None
    return pd.DataFrame(
        {
            "row": np.repeat(np.arange(len(z)), len(shared)),
            "region": shared * len(z),
            "z": z.ravel(),
            "z_second": other.ravel(),
            "z_second_se": second.z_se[:, there].ravel(),
            "deviation": flags.ravel(),
            "deviation_second": others.ravel(),
            "agree": agree.ravel(),
        }
    )


def agreement(table: pd.DataFrame) -> dict[str, int]:
    """In how many regions the two models say the same.

    Parameters
    ----------
    table : DataFrame
        Of `opinions`.

    Returns
    -------
    dict of str to int
        ``n_regions`` that both models scored, ``n_both`` that deviate alike in both, ``n_disagree`` of which the
        models say different things.
    """
    known = table[table["agree"].notna()]
    same, deviates = known["agree"].astype(bool), known["deviation"].isin(DEVIATES)
    return {"n_regions": len(known), "n_both": int((same & deviates).sum()), "n_disagree": int((~same).sum())}


def disagreements(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of `opinions` on which the models disagree.

    Parameters
    ----------
    table : DataFrame
        Of `opinions`.

    Returns
    -------
    DataFrame
        Same columns and index; a region that one model did not score is no disagreement.
    """
    return table[table["agree"].eq(False)]


def in_words(counts: dict[str, Any], first: str, second: str) -> str:
    """One sentence on `agreement`."""
    return (
        f"Of {counts['n_both'] + counts['n_disagree']} deviations by either model, {first} and {second} agree on "
        f"{counts['n_both']} and disagree on {counts['n_disagree']}."
    )
