"""The exact gradient is that of PCNtoolkit's own likelihood, and finds a better maximum than its differences."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from bids_app.normative.engines.pcntoolkit_gradient import objective


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    mean, variance = rng.normal(size=(200, 6)), 0.3 * rng.normal(size=(200, 4))
    return mean, variance, mean @ rng.normal(size=6) * 0.3 + rng.normal(size=200), 0.3 * rng.normal(size=7)


def test_the_gradient_is_the_slope_of_the_objective(problem):
    mean, variance, y, hyp = problem
    _, gradient = objective(hyp, mean, variance, y, 0.1)
    slope = approx_fprime(hyp, lambda at: objective(at, mean, variance, y, 0.1)[0], 1e-7)
    np.testing.assert_allclose(gradient, slope, rtol=1e-4, atol=1e-3)


@pytest.mark.slow
def test_the_objective_is_pcntoolkits(problem):
    package = pytest.importorskip("pcntoolkit")
    mean, variance, y, hyp = problem
    blr = package.BLR(name="t", heteroskedastic=True, warp_name="WarpSinhArcsinh", warp_reparam=True)
    theirs = blr.penalized_loglik(hyp, mean, y, variance, 0.1, "l2")
    assert objective(hyp, mean, variance, y, 0.1)[0] == pytest.approx(theirs, rel=1e-10)
