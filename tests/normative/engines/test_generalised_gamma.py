"""Generalised gamma models: quantiles and deviates invert each other, levels and notes, adaptation, the file."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bids_app.errors import ModelError
from bids_app.normative.card import ModelCard
from bids_app.normative.documents import digest
from bids_app.normative.engines.generalised_gamma import GammaFit, GammaModel, Predictor, cumulative, log_age, quantile
from bids_app.normative.engines.generalised_gamma_file import load, save, with_digest
from bids_app.normative.harmonise.adaptation import SiteAdaptation
from bids_app.normative.registry import load_model

PAIR = ("Left-Caudate", "Right-Caudate")


def made(level="", **options):
    fit = GammaFit(
        columns=PAIR,
        n=1000,
        mu=Predictor(intercept=-1.2, male=0.1, powers=(-2.0, 3.0), coefficients=(2.0, 1e-5)),
        sigma=Predictor(intercept=-2.2, male=0.0, powers=(), coefficients=()),
        nu=0.7,
        **{"combine": "mean", "levels": {"FS53": 0.05, "FS6_T1": -0.05}, "mu_sd": 0.06, "sigma_sd": 0.1, **options},
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


def test_predictors_are_of_log_days_since_conception():
    days = np.log(np.array([0.0, 30.0]) * 365.245 + 280)
    np.testing.assert_allclose(log_age(np.array([0.0, 30.0])), days)
    male = np.array([0.0, 1.0])
    curve = Predictor(intercept=-1.0, male=0.1, powers=(-2.0, 3.0), coefficients=(2.0, 1e-3))
    np.testing.assert_allclose(curve.at(days, male), -1 + 0.1 * male + 2 * days**-2 + 1e-3 * days**3)
    repeated = Predictor(intercept=0.0, male=0.0, powers=(1.0, 1.0), coefficients=(1.0, 2.0))
    np.testing.assert_allclose(repeated.at(days, male), days + 2 * days * np.log(days))
    flat = Predictor(intercept=0.5, male=-0.2, powers=(), coefficients=())
    np.testing.assert_allclose(flat.at(days, male), [0.5, 0.3])


def test_z_is_that_of_the_formulas():
    data = scans(4, age=[20.0, 40.0, 40.0, 60.0], sex=["female", "male", "male", "female"], fs_version="5.3")
    data[PAIR[0]] = [3500.0, 3600.0, -9000.0, np.nan]
    found = made().deviations(data)
    x, male = log_age(data["age"].to_numpy()), (data["sex"] == "male").to_numpy(float)
    mu = np.exp(-1.2 + 0.1 * male + 2 * x**-2 + 1e-5 * x**3 + 0.05)
    theta = 1 / (np.exp(-2.2) * 0.7) ** 2
    theirs = stats.gengamma(theta, 0.7, scale=mu / theta ** (1 / 0.7))
    y = data[list(PAIR)].mean(axis=1, skipna=False).to_numpy() / 10_000
    expected = stats.norm.ppf(theirs.cdf(np.where(y > 0, y, np.nan)))
    np.testing.assert_allclose(found.z[:, 0], expected, rtol=1e-8)
    assert np.isnan(found.z[2:, 0]).all()
    np.testing.assert_allclose(found.expected[:, 0], 10_000 * theirs.median(), rtol=1e-8)
    np.testing.assert_allclose(found.centile, 100 * stats.norm.cdf(found.z))


@pytest.mark.parametrize(("nu", "sign"), [(0.7, 1), (-0.7, 1), (1e-9, 1)])
def test_far_values_keep_a_finite_deviate(nu, sign):
    mu, sigma = np.full(3, 1.0), np.full(3, 0.1)
    z = cumulative(np.array([1e-3, 1.0, 50.0]), mu, sigma, nu)
    assert np.isfinite(z).all()
    assert z[0] < -5
    assert z[2] > 5
    assert cumulative(np.array([np.nan]), mu[:1], sigma[:1], nu) != 0
    near = quantile(np.array([-1.0, 1.0]), mu[:2], sigma[:2], 1e-9)
    np.testing.assert_allclose(near, np.exp([-0.1, 0.1]))


def test_a_region_may_be_a_sum_and_ages_at_the_ends_are_in_range():
    summed = made(combine="sum")
    np.testing.assert_allclose(summed.deviations(scans()).observed, 7200.0)
    found = made().deviations(scans(4, age=[0.0, 100.0, 100.1, -0.1]))
    assert found.in_range[:, 0].tolist() == [True, True, False, False]
    assert [note.startswith("age is outside") for note in found.notes][:3] == [False, False, True]
    at_end = made().deviations(scans(1, age=100.0)).z[0, 0]
    assert found.z[2, 0] == at_end


def test_levels_that_a_region_lacks_are_those_of_the_stand_in():
    assert made().corrected_versions == {"5", "6"}
    assert made(level="FS53").corrected_versions == frozenset()
    assert not made().needs_etiv
    no_stand_in = made(levels={"FS53": 0.05})
    assert no_stand_in.corrected_versions == {"5"}
    z = [model.deviations(scans(1, fs_version="6.0")).z[0, 0] for model in (no_stand_in, made(levels={}))]
    assert z[0] == z[1] == made(level="MEAN").deviations(scans(1)).z[0, 0]
    assert "1 of 1 regions have no level FS6_T1" in no_stand_in.deviations(scans(1)).notes[0]
    assert made(level="FS53").deviations(scans(1)).z == made().deviations(scans(1, fs_version="5.3")).z
    both = made(level="MEAN").deviations(scans(1, age=120.0)).notes[0]
    assert both.startswith("age is outside")
    assert both.endswith("FreeSurfer 6 for volumes.")


def test_the_spread_of_studies_is_in_z_at_thirty_years():
    model = made()
    x, male = log_age(np.full(2, 30.0)), np.array([0.0, 1.0])
    mu, sigma = np.exp(-1.2 + 0.1 * male + 2 * x**-2 + 1e-5 * x**3), np.full(2, np.exp(-2.2))
    up = quantile(np.zeros(2), mu, sigma, 0.7) * np.exp(0.06)
    assert model.site_sd(model.regions)[0] == pytest.approx(cumulative(up, mu, sigma, 0.7).mean())
    assert model.site_scale_sd(model.regions).tolist() == [0.1]
    unknown = made(mu_sd=None, sigma_sd=None)
    assert np.isnan(unknown.site_sd(unknown.regions)).all()
    assert np.isnan(unknown.site_scale_sd(unknown.regions)).all()


def test_powers_and_coefficients_in_a_file_must_fit(tmp_path):
    path = save(made(), tmp_path / "m.json")
    document = json.loads(path.read_text())
    document["regions"]["mean_Caudate"]["mu"]["powers"] = [1.0]
    body = {key: value for key, value in document.items() if key != "digest"}
    path.write_text(json.dumps({**body, "digest": digest(body)}))
    with pytest.raises(ModelError, match="mean_Caudate has 1 powers but 2 coefficients"):
        load(path)
    assert "mu_sd" not in json.loads(save(made(mu_sd=None), path).read_text())["regions"]["mean_Caudate"]
