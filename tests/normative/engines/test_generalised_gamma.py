"""Generalised gamma models: quantiles and deviates invert each other, levels and notes, adaptation, the file."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bids_app.errors import ModelError
from bids_app.normative.card import ModelCard
from bids_app.normative.engines.generalised_gamma import GammaFit, GammaModel, Predictor, cumulative, quantile
from bids_app.normative.engines.generalised_gamma_file import load, save, with_digest
from bids_app.normative.harmonise.adaptation import SiteAdaptation
from bids_app.normative.registry import load_model

PAIR = ("Left-Caudate", "Right-Caudate")


def made(level="", **options):
    fit = GammaFit(
        columns=PAIR,
        combine="mean",
        n=1000,
        mu=Predictor(intercept=-1.2, male=0.1, powers=(-2.0, 3.0), coefficients=(2.0, 1e-5)),
        sigma=Predictor(intercept=-2.2, male=0.0, powers=(), coefficients=()),
        nu=0.7,
        **{"levels": {"FS53": 0.05, "FS6_T1": -0.05}, "mu_sd": 0.06, "sigma_sd": 0.1, **options},
    )
    card = ModelCard(
        name="made",
        version="1",
        title="Made",
        summary="For tests.",
        licence="CC0",
        date="2026-01-01",
        age_range={"female": (0.0, 100.0), "male": (0.0, 100.0)},
        harmonisation="full",
    )
    return with_digest(GammaModel(card=card, fits={"mean_Caudate": fit}, level=level))


def scans(n=3, **columns):
    rows = {"age": 40.0, "sex": "female", "fs_version": "6.0", PAIR[0]: 3500.0, PAIR[1]: 3700.0, **columns}
    return pd.DataFrame(rows, index=range(n))


@pytest.mark.parametrize("nu", [-2.5, -0.3, 1e-9, 0.4, 3.0])
def test_deviates_and_quantiles_invert_each_other(nu):
    mu, sigma = np.full(41, 2.0), np.full(41, 0.15)
    z = np.linspace(-6, 6, 41)
    y = quantile(z, mu, sigma, nu)
    assert (np.diff(y) > 0).all()
    np.testing.assert_allclose(cumulative(y, mu, sigma, nu), z, atol=1e-9)


def test_the_distribution_is_the_generalised_gamma():
    sigma, nu, mu = 0.2, 1.7, 3.0
    theta = 1 / (sigma * nu) ** 2
    theirs = stats.gengamma(theta, nu, scale=mu / theta ** (1 / nu))
    y = np.array([1.5, 2.5, 3.0, 4.2])
    z = cumulative(y, np.full(4, mu), np.full(4, sigma), nu)
    np.testing.assert_allclose(stats.norm.cdf(z), theirs.cdf(y), rtol=1e-10)


def test_left_and_right_are_averaged_by_us():
    found = made().deviations(scans())
    assert found.regions == ("mean_Caudate",)
    np.testing.assert_allclose(found.observed, 3600.0)
    np.testing.assert_allclose(made().volumes_at(scans(), found.z, found.regions), 3600.0)
    with pytest.raises(ModelError, match="none of the 1 regions"):
        made().deviations(scans().drop(columns=PAIR[1]))


def test_the_level_follows_the_version_and_a_stand_in_is_told():
    model = made()
    z = {version: model.deviations(scans(fs_version=version)) for version in ("5.3.0", "6.0.1", "7.4.1")}
    assert z["5.3.0"].z[0, 0] < z["6.0.1"].z[0, 0] == z["7.4.1"].z[0, 0]
    assert z["6.0.1"].notes[0] == ""
    assert "no level FS7_T1" in z["7.4.1"].notes[0]
    assert "-0.18" in z["7.4.1"].notes[0]
    assert "not given" in model.deviations(scans().drop(columns="fs_version")).notes[0]
    mean = made(level="MEAN").deviations(scans())
    assert mean.z[0, 0] < z["6.0.1"].z[0, 0]
    assert "unweighted mean" in mean.notes[0]


def test_missing_covariates_give_no_z_and_say_so():
    found = made().deviations(scans(2, age=[np.nan, 130.0]))
    assert np.isnan(found.z[0, 0])
    assert "missing" in found.notes[0]
    assert np.isfinite(found.z[1, 0])
    assert not found.in_range[1, 0]


def test_ten_controls_place_a_scanner_with_the_studies_spread_as_prior():
    model, rng = made(), np.random.default_rng(3)
    spread = model.site_sd(model.regions)[0]
    assert spread == pytest.approx(0.06 / 0.11, rel=0.15)
    data = scans(40, participant_id=[f"p{i}" for i in range(40)], site="new")
    shifted = model.volumes_at(data, rng.normal(0.8, 1.0, (40, 1)), model.regions)[:, 0]
    data = data.assign(**dict.fromkeys(PAIR, shifted))
    adaptation = SiteAdaptation.fit(model, data.iloc[:20], by="site")
    found = model.deviations(data.iloc[20:], adaptation)
    raw = model.deviations(data.iloc[20:])
    assert abs(found.z.mean()) < 0.4 < raw.z.mean()
    assert np.isfinite(found.z_se).all()
    assert np.isnan(raw.z_se).all()
    assert float(adaptation.scale_df[0]) == pytest.approx(50.0)
    again = SiteAdaptation.from_dict(json.loads(json.dumps(adaptation.to_dict())))
    np.testing.assert_allclose(model.deviations(data.iloc[20:], again).z, found.z, atol=1e-9)


def test_the_file_gives_the_same_model_and_notices_changes(tmp_path):
    path = save(made(), tmp_path / "m.json")
    assert load(path) == load_model(path) == made()
    path.write_text(path.read_text().replace("0.7", "0.8"))
    with pytest.raises(ModelError, match="does not match its digest"):
        load(path)
    document = json.loads(path.read_text())
    document["regions"]["mean_Caudate"]["nu"] = "x"
    path.write_text(json.dumps(document))
    with pytest.raises(ModelError, match="regions/mean_Caudate/nu"):
        load(path)


def test_every_table_can_describe_what_is_made_from_pairs():
    from bids_app.bids.columns import columns_for
    from bids_app.clinical.results import describe

    assert columns_for("group_extended")["mean_Caudate"]["Description"] == "z of the caudate, mean of left and right"
    assert "left minus right" in columns_for("group_extended")["difference_Caudate"]["Description"]
    assert describe(pd.DataFrame(columns=["TotalCerebralVol"]), "mm^3")["TotalCerebralVol"]["Units"] == "mm^3"
