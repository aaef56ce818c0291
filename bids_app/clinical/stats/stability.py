"""How stable the deviation state is over a person's scans: share of visits, transitions, entropy."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from bids_app.arrays import FloatArray
from bids_app.normative.base import Z_CRITICAL, tails
from bids_app.regions import display_name

COUNTS = ("n_visits", "n_deviating", "n_worsening", "n_recovery", "n_stable_deviating", "n_stable_normal")


def states(zscores: pd.DataFrame, threshold: float = Z_CRITICAL) -> FloatArray:
    """1 where z <= -threshold, 0 where above, NaN where unknown; shape of `zscores`.

    Parameters
    ----------
    zscores : (n rows, r columns) DataFrame
    threshold : float
        In z units.

    Returns
    -------
    (n, r) array
    """
    z = zscores.to_numpy(dtype=float)
    return np.where(np.isnan(z), np.nan, tails(z, threshold)[0].astype(float))


def entropy_bits(share: ArrayLike) -> FloatArray:
    """Shannon entropy of a state that is taken in a `share` of visits: 0 (always or never) to 1 (half of them).

    Parameters
    ----------
    share : array
        0 to 1, any shape; NaN stays NaN.

    Returns
    -------
    array
        In bits, the shape of `share`.
    """
    p = np.asarray(share, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = [np.where(q > 0, -q * np.log2(q), 0.0) for q in (p, 1 - p)]
    return np.where(np.isnan(p), np.nan, terms[0] + terms[1])


def stability_table(
    zscores: pd.DataFrame, people: pd.Series, years: ArrayLike, threshold: float = Z_CRITICAL
) -> pd.DataFrame:
    """Deviation state of each person and region over their scans.

    Parameters
    ----------
    zscores : DataFrame
        One row per scan, one column per region.
    people : Series
        ``participant_id`` of each row.
    years : (n,) array
        Orders a person's scans. A scan without a value of the region is passed over.
    threshold : float
        Of a deviation, in z.

    Returns
    -------
    DataFrame
        ``participant_id region structure n_visits n_deviating share_deviating n_worsening n_recovery
        n_stable_deviating n_stable_normal entropy`` for everybody with two known values; transitions are between
        one scan and the next.
    """
    time = np.asarray(years, dtype=float)
    labels, codes = np.unique(people.to_numpy().astype(str), return_inverse=True)
    order = np.lexsort((time, codes))
    state, person = states(zscores, threshold)[order], codes[order]
    before = _previous(state, person)
    kinds = {
        "n_visits": np.isfinite(state),
        "n_deviating": state == 1,
        "n_worsening": (before == 0) & (state == 1),
        "n_recovery": (before == 1) & (state == 0),
        "n_stable_deviating": (before == 1) & (state == 1),
        "n_stable_normal": (before == 0) & (state == 0),
    }
    counts = {name: _count(flags, person, len(labels)) for name, flags in kinds.items()}
    rows, columns = np.nonzero(counts["n_visits"] >= 2)
    regions = np.array([str(name) for name in zscores.columns])
    table = pd.DataFrame({name: values[rows, columns] for name, values in counts.items()})
    table.insert(0, "participant_id", labels[rows])
    table.insert(1, "region", regions[columns])
    return _with_shares(table)


def _previous(state: FloatArray, person: np.ndarray) -> FloatArray:
    """The last known state of the same person before each row (NaN where there is none)."""
    before = np.full_like(state, np.nan)
    for row in range(1, len(state)):
        if person[row] == person[row - 1]:
            known = np.isfinite(state[row - 1])
            before[row] = np.where(known, state[row - 1], before[row - 1])
    return before


def _count(flags: np.ndarray, person: np.ndarray, n_people: int) -> np.ndarray:
    out = np.zeros((n_people, flags.shape[1]), dtype=int)
    np.add.at(out, person, flags.astype(int))
    return out


def _with_shares(table: pd.DataFrame) -> pd.DataFrame:
    shown = {region: display_name(region) for region in table["region"].unique()}
    table.insert(2, "structure", table["region"].map(shown))
    share = table["n_deviating"] / table["n_visits"]
    table.insert(table.columns.get_loc("n_deviating") + 1, "share_deviating", share)
    return table.assign(entropy=entropy_bits(share))


def region_stability(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of `stability_table` summed per region.

    Parameters
    ----------
    table : DataFrame

    Returns
    -------
    DataFrame
        ``region structure n_people n_visits n_deviating share_deviating n_worsening n_recovery n_stable_deviating
        n_stable_normal n_ever share_recovered share_persistent entropy``: `share_recovered` of the
        transitions from a deviation, `share_persistent` of the people who ever deviated did so at every scan;
        `entropy` is the mean over people.
    """
    grouped = table.groupby("region", sort=False)
    out = grouped[list(COUNTS)].sum()
    out.insert(0, "structure", grouped["structure"].first())
    out.insert(1, "n_people", grouped.size())
    out.insert(out.columns.get_loc("n_deviating") + 1, "share_deviating", out["n_deviating"] / out["n_visits"])
    ever, always = table["n_deviating"] > 0, table["n_deviating"] == table["n_visits"]
    out["n_ever"] = ever.groupby(table["region"]).sum()
    from_deviation = out["n_recovery"] + out["n_stable_deviating"]
    out["share_recovered"] = out["n_recovery"] / from_deviation.where(from_deviation > 0)
    out["share_persistent"] = always.groupby(table["region"]).sum() / out["n_ever"].where(out["n_ever"] > 0)
    out["entropy"] = grouped["entropy"].mean()
    return out.reset_index()
