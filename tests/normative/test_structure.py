"""The sentences on a model say what its parameters are."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from bids_app.normative.parameters import RegionFit, RegionModel, ScaleFit
from bids_app.normative.structure import shares_curve, structure
from tests.normative.gaussian_model import GaussianModel

FIT = RegionFit(
    n=100,
    shift=0.0,
    scale=10.0,
    powers=(1.0, 2.0),
    coefficients=(5.0, 0.002, 1.0, -0.5),
    rmse=2.0,
    age_range=(5.0, 90.0),
    etiv_range=(1e6, 2e6),
    volume_range=(1.0, 9.0),
)
MALE = replace(FIT, coefficients=(6.0, 0.002, 1.0, -0.5))
OWN = replace(FIT, coefficients=(6.0, 0.003, 1.0, -0.5))


def said(*pairs, versions=(), logs=0):
    regions = {
        f"r{i}": RegionModel(
            name=f"r{i}", fits=dict(zip(("female", "male"), fits)), transform="log" if i < logs else "identity"
        )
        for i, fits in enumerate(pairs)
    }
    model = SimpleNamespace(regions=tuple(regions), parameters_of=regions.get, corrected_versions=frozenset(versions))
    return structure(model)


CURVE = "a fractional polynomial of age with up to 2 terms (Royston & Altman 1994; Sauerbrei & Royston 1999)."


@pytest.mark.parametrize(
    ("pairs", "options", "beginning"),
    [
        (
            [(FIT, MALE)],
            {},
            "Per region, the sexes share the curve of age and the slope of eTIV, and each has its own level; the "
            "median is a linear function of eTIV and ",
        ),
        ([(FIT, OWN)], {}, "Per sex and region, the median is a linear function of eTIV and "),
        (
            [(FIT, MALE), (FIT, OWN), (FIT, OWN)],
            {"logs": 2},
            "Per region (in 1 of 3 with a curve that the sexes share, otherwise by sex), the median of the logarithm "
            "in 2 of 3 regions is a linear function of eTIV and ",
        ),
        (
            [(replace(FIT, etiv_power=2.0), replace(OWN, etiv_power=1.0))],
            {},
            "Per sex and region, the median is a linear function of eTIV or eTIV squared and ",
        ),
        (
            [(replace(FIT, etiv_power=0.5), OWN), (replace(FIT, coefficients=(1.0, 0.0, 1.0, 1.0)),) * 2],
            {},
            "Per region (in 1 of 2 with a curve that the sexes share, otherwise by sex), the median is a linear "
            "function of eTIV^0.5 or eTIV (but in 1 regions) and ",
        ),
        (
            [(replace(FIT, coefficients=(1.0, 0.0, 1.0, 1.0)),) * 2],
            {},
            "Per region, the sexes share the curve of age, and each has its own level; the median is ",
        ),
    ],
)
def test_the_median_is_described(pairs, options, beginning):
    assert said(*pairs, **options).startswith(beginning + CURVE)


SIGMA = ScaleFit(powers=(), coefficients=(0.1, 0.0), root=None)


@pytest.mark.parametrize(
    ("changed", "end"),
    [
        ({}, "Residuals follow a Gaussian distribution; the spread is constant."),
        ({"sigma": SIGMA}, "Residuals follow a Gaussian distribution; the spread is constant."),
        (
            {"shape": (0.0, 1.0, 0.5, 0.8)},
            "Residuals follow a sinh-arcsinh distribution (Jones & Pewsey 2009); the spread is constant.",
        ),
        (
            {"sigma": replace(SIGMA, coefficients=(0.1, 0.2))},
            "Residuals follow a Gaussian distribution; the spread depends on eTIV.",
        ),
        (
            {"sigma": replace(SIGMA, powers=(1.0,), coefficients=(0.1, 0.0, 0.3))},
            "Residuals follow a Gaussian distribution; the spread depends, where the data ask for it, on age.",
        ),
        (
            {"sigma": replace(SIGMA, powers=(1.0,), coefficients=(0.1, 0.2, 0.3))},
            "Residuals follow a Gaussian distribution; the spread depends on eTIV and, where the data ask for it, "
            "on age.",
        ),
    ],
)
def test_residuals_are_described(changed, end):
    assert said((FIT, replace(MALE, **changed))).endswith(end)
    assert said((replace(FIT, **changed), MALE)).endswith(end)


def test_versions_that_are_taken_out_are_named():
    assert said((FIT, MALE), versions=("7", "6")).endswith(" Offsets of FreeSurfer 6 and 7 are taken out.")
    assert "Offsets" not in said((FIT, MALE))


@pytest.mark.parametrize(
    ("other", "shared"),
    [
        ({}, True),
        ({"powers": (1.0, 3.0)}, False),
        ({"etiv_power": 2.0}, False),
        ({"coefficients": (9.0, 0.002, 1.0, -0.5)}, True),
        ({"coefficients": (5.0, 0.002 * (1 + 1e-11), 1.0, -0.5)}, False),
        ({"coefficients": (5.0, 0.002, 1.0, -0.5 * (1 + 1e-11))}, False),
        ({"coefficients": (5.0, 0.002, 1.0, -0.5 * (1 + 1e-13))}, True),
    ],
)
def test_sexes_share_a_curve_when_all_but_the_level_is_equal(other, shared):
    assert shares_curve(RegionModel(name="r", fits={"female": FIT, "male": replace(FIT, **other)})) is shared


def test_one_sex_alone_shares_nothing_and_another_engine_is_described_by_its_card():
    assert shares_curve(RegionModel(name="r", fits={"female": FIT})) is False
    model = GaussianModel()
    model.card = replace(model.card, engine="gauss", summary="Straight lines.")
    assert structure(model) == "It is a model of the engine gauss. Straight lines."
