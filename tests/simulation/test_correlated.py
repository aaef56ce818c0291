"""Deviations that hang together."""

import numpy as np

from bids_app.clinical.deviations import REGION_CORRELATION
from bids_app.simulation.correlated import CORTEX, DEEP, WHOLE, correlated_z, side_correlation


def test_correlations_are_those_asked_for():
    regions = ("Left-Thalamus", "Right-Thalamus", "lh_insula_volume", "rh_insula_volume")
    z = correlated_z(40_000, regions, np.random.default_rng(1))
    found = np.corrcoef(z, rowvar=False)
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=0.02)
    np.testing.assert_allclose(z.std(axis=0), 1, atol=0.02)
    np.testing.assert_allclose([found[0, 1], found[2, 3]], [DEEP, CORTEX], atol=0.02)
    np.testing.assert_allclose(found[:2, 2:], REGION_CORRELATION, atol=0.02)


def test_white_matter_and_cerebellum_go_together():
    assert side_correlation("lhCerebralWhiteMatterVol") == side_correlation("Left-Cerebellum-Cortex") == WHOLE
