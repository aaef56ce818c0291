"""Splits for cross-validation: stratified folds and one site left out at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bids_app.errors import UsageError


def stratified_folds(*strata: ArrayLike, n_folds: int = 5, seed: int = 0) -> NDArray[np.int64]:
    """Fold of each row, balanced within every combination of `strata` (site and sex).

    Rows are shuffled within their stratum and dealt to the folds in turn, the deal going on from one
    stratum to the next, so that folds differ by one row at most overall and within each stratum.

    Parameters
    ----------
    *strata : (n,) arrays
        Labels, for example sites and sexes.
    n_folds : int
    seed : int
        The same seed gives the same folds.

    Returns
    -------
    (n,) int array, values 0 to n_folds - 1

    Raises
    ------
    UsageError
        For fewer than two folds or fewer rows than folds.
    """
    codes = _stratum_codes(strata)
    if n_folds < 2 or len(codes) < n_folds:
        raise UsageError(f"cross-validation of {len(codes)} people in {n_folds} folds is impossible")
    order = np.lexsort((np.random.default_rng(seed).random(len(codes)), codes))
    folds = np.empty(len(codes), dtype=np.int64)
    folds[order] = np.arange(len(codes)) % n_folds
    return folds


def site_folds(sites: ArrayLike) -> NDArray[np.int64]:
    """Fold of each row when every site is a fold of its own (leave one site out), in the order of labels.

    Parameters
    ----------
    sites : (n,) array

    Returns
    -------
    (n,) int array
    """
    return np.unique(np.asarray(sites).astype(str), return_inverse=True)[1]


def leave_one_site_out(sites: ArrayLike, min_people: int = 1) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Yield each site of at least `min_people` rows, in the order of labels, with the mask of its rows.

    Parameters
    ----------
    sites : (n,) array
    min_people : int

    Yields
    ------
    site : str
    mask : (n,) bool array
    """
    labels = np.asarray(sites).astype(str)
    for site, count in zip(*np.unique(labels, return_counts=True)):
        if count >= min_people:
            yield str(site), labels == site


def _stratum_codes(strata: tuple[ArrayLike, ...]) -> NDArray[np.int64]:
    codes = np.zeros(len(np.asarray(strata[0])), dtype=np.int64)
    for labels in strata:
        _, inverse = np.unique(np.asarray(labels).astype(str), return_inverse=True)
        codes = codes * (inverse.max(initial=0) + 1) + inverse
    return codes
