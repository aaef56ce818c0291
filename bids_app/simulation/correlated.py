"""Deviations of synthetic people that hang together as those of real people do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bids_app.clinical.deviations import REGION_CORRELATION
from bids_app.regions import region_table

# Correlation of left and right beyond what all regions share
PAIR_CORRELATION = 0.4


def correlated_z(n: int, regions: Sequence[str], rng: np.random.Generator,
                 correlation: float = REGION_CORRELATION,
                 pair_correlation: float = PAIR_CORRELATION) -> NDArray[np.float64]:
    """Standard normal z, shape (n, len(regions)), for n people.

    One factor common to all regions of a person, one to the left and right of a structure, and the rest:
    two regions correlate by `correlation`, left and right of a structure by `correlation + pair_correlation`.
    """
    bases = region_table()["base"]
    names = [str(bases.get(region, region)) for region in regions]
    structures = {name: index for index, name in enumerate(dict.fromkeys(names))}
    own = rng.standard_normal((n, len(regions)))
    person = rng.standard_normal((n, 1))
    structure = rng.standard_normal((n, len(structures)))[:, [structures[name] for name in names]]
    rest = 1.0 - correlation - pair_correlation
    return np.sqrt(correlation) * person + np.sqrt(pair_correlation) * structure + np.sqrt(rest) * own
