"""Deviation counts of one scan beside what healthy people show."""

from __future__ import annotations

from typing import Any

import pandas as pd

from bids_app.clinical.person import count_deviations
from bids_app.normative.base import NormativeModel
from bids_app.regions import VOLUME


def counts_with_expectation(
    deviations: pd.DataFrame, model: NormativeModel, sex: str, adapted: bool = True, measure: str = VOLUME
) -> dict[str, Any]:
    """The ``counts`` of a summary; the expectation is the model's own healthy people where the model holds it.

    Models without a reference distribution of counts (other engines, imported models) get the
    distribution of equally correlated normal regions; ``expected.source`` says which.

    Parameters
    ----------
    deviations : DataFrame
        Of one scan: ``z``, one row per region of `measure`.
    model : NormativeModel
    sex : {'female', 'male'}
    adapted : bool
        False: the yardstick is healthy people at sites that the model does not know.
    measure : str

    Returns
    -------
    dict
        As `count_deviations`, with ``expected``.
    """
    counts = count_deviations(deviations["z"])
    expected = model.expected_counts(counts["n_regions"], sex, adapted, measure)
    if expected is None:
        counts["expected"]["source"] = "equally correlated standard normal regions"
    else:
        where = "" if adapted else ", at sites that the model does not know"
        counts["expected"] = {**expected, "source": f"held-out healthy people of the model{where}"}
    return counts
