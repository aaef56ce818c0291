"""z, its standard error and the volume of a native model from its parameters, in plain arithmetic."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtr

from bids_app.errors import ModelError
from bids_app.normative.card import ModelCard
from bids_app.normative.engines import native
from bids_app.normative.engines.native import NativeModel
from bids_app.normative.fit import sinh_arcsinh
from bids_app.normative.parameters import SEXES, RegionFit, RegionModel, ScaleFit
from bids_app.regions import ETIV

CARD = ModelCard(name="m", version="1", title="t", summary="s", licence="CC0-1.0", date="2026-01-01", mode="reference")
SHAPE = (0.1, 0.9, 0.3, 0.8)
ROOT, SIGMA_ROOT = (0.5, 1e-7, 2e-7, 0.1, 1e-8, 0.2), (0.03, 1e-9, 2e-8, 0.01, 1e-9, 0.02)


def region(name, male, **changed):
    given = {
        "n": 100,
        "shift": 2.0,
        "scale": 10.0,
        "powers": (2.0,),
        "coefficients": (50.0 + 3 * male, 1e-5, -0.4),
        "rmse": 4.0 + male,
        "age_range": (5.0, 80.0),
        "etiv_range": (1.1e6, 1.9e6),
        "volume_range": (1.0, 99.0),
        "root": ROOT,
        **changed,
    }
    return RegionFit(**given)


SCALE = ScaleFit(powers=(1.0,), coefficients=(0.5, 2e-7, 0.05), root=SIGMA_ROOT)
LOG = {"coefficients": (3.5, 1e-7, -0.01), "rmse": 0.2, "etiv_power": 1.0}


def model(rootless=False):
    """A region of constant spread, a shaped one, and one on the log scale with versions and sites."""
    parts = {
        "A": {"fits": {"female": region("A", 0), "male": region("A", 1)}},
        "B": {"fits": {sex: region("B", i, sigma=SCALE, shape=SHAPE) for i, sex in enumerate(SEXES)}},
        "C": {
            "fits": {sex: region("C", i, **LOG, root=None if rootless else ROOT) for i, sex in enumerate(SEXES)},
            "transform": "log",
            "versions": {"7": (0.4, 0.2)},
            "site_sd": 0.3,
        },
    }
    return NativeModel(CARD, tuple(RegionModel(name=name, **values) for name, values in parts.items()))


def people():
    return pd.DataFrame(
        {
            "age": [20.0, 40.0, 60.0, 90.0],
            "sex": ["female", "male", "male", "female"],
            ETIV: [1.4e6, 1.6e6, 1.2e6, 1.5e6],
            "fs_version": ["7.4", "7.1", "6.0", None],
            "A": [60.0, 70.0, 55.0, 30.0],
            "B": [58.0, 66.0, 52.0, 40.0],
            "C": [30.0, 25.0, 0.5, 33.0],
        }
    )


def by_hand(name, row, adapted=False):
    """z, its standard error, and the volume at z = 0."""
    fits = {"A": region("A", row.sex == "male"), "C": region("C", 0, **LOG)}
    fit = fits.get(name) or region("B", row.sex == "male", sigma=SCALE, shape=SHAPE)
    age = min(max(row.age, 5.0), 80.0)
    x = (age + 2) / 10
    design = np.array([1.0, row.etiv, x**2])
    mean = design @ fit.coefficients
    root = np.zeros((3, 3))
    root[np.tril_indices(3)] = ROOT
    mean_variance = np.sum((root @ design) ** 2)
    sigma, log_variance = fit.rmse, 1 / (2 * fit.n)
    if fit.sigma:
        of_scale = np.array([1.0, row.etiv, x])
        sigma = np.exp(of_scale @ SCALE.coefficients)
        root[np.tril_indices(3)] = SIGMA_ROOT
        log_variance = np.sum((root @ of_scale) ** 2)
    shape = np.array([fit.shape or (0.0, 1.0, 0.0, 1.0)])
    offset, error, site = 0.0, 0.0, 0.0
    if name == "C":
        site = 0.0 if adapted else 1.15 * 0.3
        if row.version == "7":
            offset, error = 0.4, 0.0 if adapted else 0.2
    value = np.log(max(getattr(row, name), 1.0)) if name == "C" else getattr(row, name)
    residual = (value - mean) / sigma
    u = np.array([[residual - offset]])
    step = 1e-6
    z = sinh_arcsinh.to_z(u, shape)[0, 0]
    slope = (sinh_arcsinh.to_z(u + step, shape)[0, 0] - sinh_arcsinh.to_z(u - step, shape)[0, 0]) / (2 * step)
    se = slope * np.sqrt(mean_variance / sigma**2 + residual**2 * log_variance + error**2 + site**2)
    middle = mean + sigma * (sinh_arcsinh.from_z(np.zeros((1, 1)), shape)[0, 0] + offset)
    return z, se, np.exp(middle) if name == "C" else middle


def rows():
    data = people().rename(columns={ETIV: "etiv"})
    return data.assign(version=["7", "7", "6", ""]).itertuples()


def test_z_error_and_expectation_are_those_of_the_parameters():
    found = model().deviations(people())
    expected = np.array([[by_hand(name, row) for name in "ABC"] for row in rows()])
    np.testing.assert_allclose(found.z, expected[..., 0], rtol=1e-9)
    np.testing.assert_allclose(found.z_se, expected[..., 1], rtol=1e-5)
    np.testing.assert_allclose(found.expected, expected[..., 2], rtol=1e-9)
    np.testing.assert_allclose(found.centile, 100 * ndtr(found.z))
    assert found.in_range.tolist() == [[True] * 3] * 3 + [[False] * 3]
    again = model().volumes_at(people(), found.z, found.regions)
    np.testing.assert_allclose(again, people()[list("ABC")].assign(C=[30.0, 25.0, 1.0, 33.0]), rtol=1e-9)


class Nothing:
    def parameters(self, data, regions):
        shape = (len(data), len(regions))
        return np.zeros(shape), np.ones(shape), np.zeros(shape)


class Shifted:
    def parameters(self, data, regions):
        shape = (len(data), len(regions))
        return np.full(shape, 0.5), np.full(shape, 2.0), np.full(shape, 0.1)


def test_an_adapted_scan_has_neither_the_error_of_sites_nor_of_versions():
    found = model().deviations(people(), Nothing())
    expected = np.array([[by_hand(name, row, adapted=True) for name in "ABC"] for row in rows()])
    np.testing.assert_allclose(found.z, expected[..., 0], rtol=1e-9)
    np.testing.assert_allclose(found.z_se, expected[..., 1], rtol=1e-5)
    moved = model().deviations(people(), Shifted())
    np.testing.assert_allclose(moved.z, (found.z - 0.5) / 2)
    np.testing.assert_allclose(moved.z_se, np.hypot(found.z_se, 0.1) / 2)
    np.testing.assert_allclose(moved.expected, model().volumes_at(people(), np.full((4, 3), 0.5), moved.regions))


def test_the_published_scripts_divide_by_the_males_rmse():
    compat = model().with_scoring("reference-compat")
    data = people()[["age", "sex", ETIV, "A"]]
    own, found = model().deviations(data), compat.deviations(data)
    np.testing.assert_allclose(found.z[[1, 2]], own.z[[1, 2]])
    np.testing.assert_allclose(found.z[[0, 3]], own.z[[0, 3]] * 4 / 5)
    assert compat.scoring == "reference-compat"
    assert compat.card.z_notes == (native.COMPAT_NOTE,)
    assert compat.with_scoring("reference-compat").card.z_notes == (native.COMPAT_NOTE,)
    assert compat.with_scoring("own-sex").card.z_notes == ()
    with pytest.raises(ModelError, match="unknown scoring"):
        model().with_scoring("other")


def test_chunks_and_kernels_change_nothing(monkeypatch):
    whole = model().deviations(people())
    fitted = model()
    monkeypatch.setattr(native, "CHUNK_CELLS", 1)
    monkeypatch.setattr(native, "MOST_KERNELS", 2)
    np.testing.assert_array_equal(fitted.deviations(people()).z, whole.z)
    for name in "ABC":
        found = fitted.deviations(people()[["age", "sex", ETIV, "fs_version", name]])
        np.testing.assert_array_equal(found.z[:, 0], whole.z[:, "ABC".index(name)])
        assert len(fitted._kernels) <= 2
    assert fitted._kernel(("A",), True) is fitted._kernel(("A",), True)
    assert [rows.tolist() for rows, _ in fitted._kernel(("A",), True)._chunks(fitted._covariates(people()))] == [
        [0],
        [3],
        [1],
        [2],
    ]


def test_what_a_model_knows_of_itself():
    fitted = model()
    assert fitted.corrected_versions == {"7"}
    np.testing.assert_array_equal(fitted.site_sd(("C", "A")), [0.3, np.nan])
    assert fitted.needs_etiv
    assert fitted.subset(("C", "nowhere", "A")).regions == ("C", "A")
    assert fitted.parameters_of("B").name == "B"
    assert fitted.parameters_of("D") is None
    assert fitted.expected_counts(3, "female") is None
    flat = {"coefficients": (50.0, 0.0, 1.0)}
    level = ScaleFit(powers=(), coefficients=(0.1, 0.0), root=None)
    for sigma, needs in ((None, False), (level, False), (SCALE, True)):
        fits = {sex: region("A", 0, **flat, sigma=sigma) for sex in ("female", "male")}
        assert bool(NativeModel(CARD, (RegionModel(name="A", fits=fits),)).needs_etiv) is needs


def test_without_roots_there_is_no_standard_error():
    found = model(rootless=True).deviations(people())
    assert np.isnan(found.z_se[:, 2]).all()
    assert np.isfinite(found.z_se[:, :2]).all()
    assert np.isfinite(found.z).all()
