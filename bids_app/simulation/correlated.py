"""Deviations of synthetic people that hang together as those of real people do."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from bids_app.arrays import FloatArray
from bids_app.clinical.deviations import REGION_CORRELATION
from bids_app.regions import region_table

# Mean correlation of left and right z in adults of the open healthy reference, sites centred: cortical
# regions, deep structures and ventricles; cerebral white matter (0.98) and cerebellar cortex (0.94)
CORTEX, DEEP, WHOLE = 0.53, 0.76, 0.96
_WHOLE = ("CerebralWhiteMatterVol", "Cerebellum-Cortex")


@lru_cache(maxsize=512)
def side_correlation(region: str) -> float:
    """Correlation between the z of `region` and of its counterpart in the other hemisphere."""
    table = region_table()
    if region not in table.index or table.loc[region, "base"] in _WHOLE:
        return WHOLE
    return CORTEX if table.loc[region, "atlas"] == "aparc" else DEEP


def correlated_z(n: int, regions: Sequence[str], rng: np.random.Generator) -> FloatArray:
    """Standard normal z of people whose regions go together.

    One factor common to all regions of a person, one to the left and right of a structure, and the rest: two
    regions correlate by `REGION_CORRELATION`, left and right of a structure by `side_correlation`.

    Parameters
    ----------
    n : int
        People.
    regions : sequence of str, length p
    rng : Generator

    Returns
    -------
    (n, p) array
    """
    bases = region_table()["base"]
    names = [str(bases.get(region, region)) for region in regions]
    structures = {name: index for index, name in enumerate(dict.fromkeys(names))}
    sides = np.array([side_correlation(region) for region in regions])
    person = rng.standard_normal((n, 1))
    structure = rng.standard_normal((n, len(structures)))[:, [structures[name] for name in names]]
    own = rng.standard_normal((n, len(regions)))
    common, shared = np.sqrt(REGION_CORRELATION), np.sqrt(sides - REGION_CORRELATION)
    return common * person + shared * structure + np.sqrt(1 - sides) * own
