"""The share of people in deviation per region, with exact intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from bids_app.bids.columns import KEYS
from bids_app.clinical.analyses.group_tables import ALL, split
from bids_app.clinical.deviations import TAILS
from bids_app.normative.base import Z_CRITICAL, tails


def exact_interval(events: ArrayLike, trials: ArrayLike, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Clopper-Pearson interval of a share (Clopper & Pearson 1934); (0, 1) where there are no trials.

    Parameters
    ----------
    events, trials : arrays of int
    level : float

    Returns
    -------
    low, high : arrays
        Shares, 0 to 1.
    """
    from scipy.special import betaincinv

    k, n = np.asarray(events, dtype=float), np.asarray(trials, dtype=float)
    tail = (1 - level) / 2
    with np.errstate(invalid="ignore"):
        low = np.where(k > 0, betaincinv(np.maximum(k, 1), n - k + 1, tail), 0.0)
        high = np.where(k < n, betaincinv(k + 1, np.maximum(n - k, 1), 1 - tail), 1.0)
    return low, high


def prevalence_table(
    zscores: pd.DataFrame, groups: ArrayLike | None = None, threshold: float = Z_CRITICAL
) -> pd.DataFrame:
    """``group_prevalence``: share of people in deviation per region and group, with exact 95 % intervals.

    Parameters
    ----------
    zscores : DataFrame
        One row per person (one scan each), one column per region; the keys may be there too.
    groups : array, optional
        Group of each row; everybody is the group ``all`` when it is absent or has one level.
    threshold : float
        Of a deviation, in z.

    Returns
    -------
    DataFrame
        ``region group n n_infra share_infra low_infra high_infra n_supra share_supra low_supra high_supra``.
        The intervals take rows as independent.
    """
    z = zscores.drop(columns=list(KEYS), errors="ignore")
    blocks = [_prevalence(part, name, threshold) for name, part in split(z, groups) or [(ALL, z)]]
    return pd.concat(blocks, ignore_index=True)


def _prevalence(z: pd.DataFrame, group: str, threshold: float) -> pd.DataFrame:
    values = z.to_numpy(dtype=float)
    n = (~np.isnan(values)).sum(axis=0)
    table = pd.DataFrame({"region": z.columns, "group": group, "n": n})
    for tail, events in zip(TAILS, tails(values, threshold)):
        k = events.sum(axis=0)
        low, high = exact_interval(k, n)
        share = np.divide(k, n, out=np.full(len(n), np.nan), where=n > 0)
        table = table.assign(**{f"n_{tail}": k, f"share_{tail}": share, f"low_{tail}": low, f"high_{tail}": high})
    return table
