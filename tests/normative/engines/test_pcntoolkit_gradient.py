"""The exact gradient is that of PCNtoolkit's own likelihood, and finds a better maximum than its differences."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import optimize
from scipy.optimize import approx_fprime
from scipy.stats import multivariate_normal

from bids_app.errors import ModelError
from bids_app.normative.engines import pcntoolkit_gradient
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


@pytest.mark.parametrize("penalty", [0.0, 0.1, 2.0])
def test_the_objective_is_the_marginal_likelihood_of_the_warped_values(problem, penalty):
    mean, variance, y, hyp = problem
    tail, alpha = np.exp(hyp[-2]), np.exp(hyp[-1])
    angle = tail * (np.arcsinh(y) + hyp[-3])
    noise = tail**2 * np.exp(-variance @ hyp[:-3])
    likelihood = multivariate_normal(np.zeros(y.size), mean @ mean.T / alpha + np.diag(noise)).logpdf(np.sinh(angle))
    slope = np.log(tail * np.cosh(angle) / np.sqrt(1 + y**2)).sum()
    expected = -likelihood - slope + penalty * np.linalg.norm(hyp)
    assert objective(hyp, mean, variance, y, penalty)[0] == pytest.approx(expected, rel=1e-9)


def test_what_has_no_likelihood_is_impossible(problem):
    _, variance, y, hyp = problem
    hyp[-1] = -800.0
    value, gradient = objective(hyp, np.zeros((200, 6)), variance, y, 0.1)
    assert (value, gradient.tolist()) == (1e12, [0.0] * 7)
    value, gradient = objective(np.zeros(7), np.ones((200, 1)), variance, y, 0.1)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


class Regression:
    """What `fit` asks of PCNtoolkit's BLR."""

    l_bfgs_b_l, l_bfgs_b_norm, is_fitted, hyp = 0.1, "l2", False, "old"

    def __init__(self, mean, variance):
        self.designs = mean, variance

    def Phi_Phi_var(self, x, codes):
        assert (x, codes) == ("x", "codes")
        return self.designs

    def init_hyp(self):
        return [9.0] * 6 + [-1.5]

    def penalized_loglik(self, hyp, mean, y, variance, penalty, norm):
        assert self.hyp is None
        assert norm == "l2"
        self.hyp = hyp
        return objective(hyp, mean, variance, y, penalty)[0]

    def parse_hyps(self, hyp, mean, variance):
        assert (mean, variance) == self.designs
        return None, "beta", hyp[:-3]


def given(value):
    return SimpleNamespace(to_numpy=lambda: value)


def test_a_fit_ends_where_the_slope_is_nothing_and_within_bounds(problem, monkeypatch):
    mean, variance, y, _ = problem
    seen = {}

    def minimize(function, start, **options):
        seen.update(options, function=function, start=start)
        return optimize.minimize(function, start, **options)

    monkeypatch.setattr(pcntoolkit_gradient, "optimize", SimpleNamespace(minimize=minimize))
    blr = Regression(mean, variance)
    maps = {"sex": {"F": 0}}
    pcntoolkit_gradient.fit(blr, given("x"), given("codes"), maps, given(list(y)))
    assert seen["start"].tolist() == [0.0] * 6 + [-1.5]
    assert seen["bounds"] == [(-8.0, 8.0)] * 4 + [(-1.5, 1.5)] * 2 + [(-8.0, 8.0)]
    assert seen["options"] == {"maxiter": 400, "maxfun": 800, "ftol": 1e-8}
    assert (seen["method"], seen["jac"], seen["function"]) == ("L-BFGS-B", True, objective)
    assert (seen["args"][0] is mean, seen["args"][1] is variance, seen["args"][3]) == (True, True, 0.1)
    _, gradient = objective(blr.hyp, mean, variance, y, 0.1)
    assert np.abs(gradient).max() < 0.05
    assert blr.nlZ < objective(seen["start"], mean, variance, y, 0.1)[0]
    assert (blr.D, blr.var_D, blr.beta, blr.is_fitted) == (6, 4, "beta", True)
    assert blr.gamma.tolist() == blr.hyp[:-3].tolist()
    assert blr.be_maps == maps
    assert blr.be_maps["sex"] is not maps["sex"]


@pytest.mark.parametrize(("value", "refused"), [(1e12, True), (9e11, False)])
def test_an_impossible_end_is_refused(problem, monkeypatch, value, refused):
    mean, variance, y, hyp = problem
    end = SimpleNamespace(minimize=lambda *_, **__: SimpleNamespace(fun=value, x=hyp))
    monkeypatch.setattr(pcntoolkit_gradient, "optimize", end)
    with pytest.raises(ModelError, match="no finite maximum") if refused else contextlib.nullcontext():
        pcntoolkit_gradient.fit(Regression(mean, variance), given("x"), given("codes"), {}, given(y))
