"""Cross-validation of a training recipe, by fold or by site."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from bids_app.errors import ModelError, NormvolError
from bids_app.normative.base import NormativeModel
from bids_app.normative.evaluation import HeldOut, held_out
from bids_app.normative.harmonise.training_sites import Harmoniser
from bids_app.normative.training_data import TrainingData, TrainingReport, prepare
from bids_app.regions import ETIV


def cross_validate(
    train: Callable[[pd.DataFrame], NormativeModel],
    data: pd.DataFrame,
    folds: ArrayLike,
    adjust: Callable[[pd.DataFrame, pd.DataFrame], pd.DataFrame] | None = None,
    progress: Callable[[str], None] | None = None,
) -> HeldOut:
    """Train on all folds but one and score the one left out, for every fold.

    Parameters
    ----------
    train : callable
        Takes a model input table, returns a fitted model; its regions may differ from fold to fold.
    data : DataFrame
        Model input.
    folds : (n,) array
        Fold of each row (``folds.stratified_folds`` or ``folds.site_folds``).
    adjust : callable, optional
        Takes the training and the test rows, returns the test rows as they are to be scored
        (`harmonise_as_trained` where the sites are known to the training).
    progress : callable, optional
        Called with a sentence as each fold is done.

    Returns
    -------
    HeldOut
        Rows as in `data`; NaN where a fold's model lacks a region.
    """
    codes = np.asarray(folds)
    parts: list[tuple[NDArray[np.bool_], HeldOut]] = []
    labels = np.unique(codes)
    for done, fold in enumerate(labels, start=1):
        test = codes == fold
        try:
            model = train(data[~test])
        except NormvolError as error:
            raise ModelError(f"training without fold {fold} ({test.sum()} people) failed: {error}") from error
        rows = data[test] if adjust is None else adjust(data[~test], data[test])
        parts.append((test, held_out(model, rows, data[~test])))
        if progress is not None:
            progress(f"cross-validation: fold {done} of {len(labels)} done")
    return _assemble(parts, len(data))


def harmonise_as_trained(
    train: pd.DataFrame, test: pd.DataFrame, *, kind: str, regions: tuple[str, ...], logarithms: bool
) -> pd.DataFrame:
    """`test` with the site effects removed that ComBat finds in `train`; rows at other sites stay raw.

    Parameters
    ----------
    train, test : DataFrame
        Model input with ``site``; eTIV may be absent where no region needs it.
    kind : {'mean_only', 'full'}
    regions : tuple of str
    logarithms : bool
        Whether regions of the log scale are harmonised on it, as in mode ``calibrated``.

    Returns
    -------
    DataFrame
        ``fs_version`` is left out: its effect is removed with the site's.
    """
    knows_etiv = ETIV in train and bool(train[ETIV].notna().any())
    training = prepare(train, regions, logarithms=logarithms, min_per_site=2, min_per_sex=1, uses_etiv=knows_etiv)
    test = test if knows_etiv else test.drop(columns=ETIV, errors="ignore")
    harmoniser = Harmoniser(kind).fit(training)
    complete = np.isfinite(test[[*regions, "age", *([ETIV] if knows_etiv else [])]].to_numpy(dtype=float)).all(axis=1)
    rows = TrainingData(
        test[complete].reset_index(drop=True),
        training.regions,
        training.log,
        TrainingReport(len(test), int(complete.sum()), pd.DataFrame()),
    )
    etiv, values = harmoniser.transform(rows)
    values[:, training.log] = np.exp(values[:, training.log])
    out = test.drop(columns="fs_version", errors="ignore").copy()
    out.loc[complete, list(training.regions)] = values
    if knows_etiv:
        out.loc[complete, ETIV] = etiv
    return out


def _assemble(parts: list[tuple[NDArray[np.bool_], HeldOut]], n_rows: int) -> HeldOut:
    regions = tuple(dict.fromkeys(region for _, part in parts for region in part.regions))
    column = {region: i for i, region in enumerate(regions)}
    arrays = {
        name: np.full((n_rows, len(regions)), np.nan)
        for name in ("observed", "expected", "z", "log_density", "baseline")
    }
    for mask, part in parts:
        place = np.ix_(mask, np.array([column[region] for region in part.regions]))
        for name, array in arrays.items():
            array[place] = getattr(part, name)
    return HeldOut(regions, **arrays)
