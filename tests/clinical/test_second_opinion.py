"""Two models on the same scans: where they agree, and where not."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from bids_app.clinical.second_opinion import agreement, check_shared, disagreements, in_words, opinions
from bids_app.errors import ModelError
from bids_app.normative.base import Deviations


def scored(regions, z):
    z = np.array(z, dtype=float)
    return Deviations(tuple(regions), z, z, z, np.full(z.shape, 0.1), z, np.isfinite(z))


FIRST = scored("abcd", [[-2.5, 0.0, 2.0, -1.96], [0.0, 0.0, np.nan, 3.0]])
SECOND = scored("dbax", [[-1.95, 2.1, -3.0, 9.0], [2.5, np.nan, 0.1, 9.0]])


def test_each_shared_region_of_each_scan_has_both_opinions():
    table = opinions(FIRST, SECOND)
    assert list(zip(table["row"], table["region"])) == [(row, name) for row in (0, 1) for name in ("a", "b", "d")]
    assert table["agree"].tolist() == [True, False, False, True, None, True]
    assert agreement(table) == {"n_regions": 5, "n_both": 2, "n_disagree": 2}


def test_disagreements_are_deviations_of_one_model_alone():
    rows = disagreements(opinions(FIRST, SECOND))
    assert rows[["row", "region", "z", "z_second"]].values.tolist() == [[0, "b", 0.0, 2.1], [0, "d", -1.96, -1.95]]


def test_opposite_deviations_are_a_disagreement():
    table = opinions(scored("a", [[-2.5]]), scored("a", [[2.5]]))
    assert agreement(table) == {"n_regions": 1, "n_both": 0, "n_disagree": 1}


def test_the_words_count_the_deviations_of_either_model():
    assert in_words(agreement(opinions(FIRST, SECOND)), "A", "B") == (
        "Of 4 deviations by either model, A and B agree on 2 and disagree on 2."
    )


def test_a_second_model_is_another_model_of_the_same_regions():
    one, other = (SimpleNamespace(card=SimpleNamespace(name=name, version="1"), regions=("a",)) for name in "AB")
    check_shared(one, other)
    with pytest.raises(ModelError, match="is the first"):
        check_shared(one, one)
    with pytest.raises(ModelError, match="no region in common"):
        check_shared(one, SimpleNamespace(card=other.card, regions=("z",)))
