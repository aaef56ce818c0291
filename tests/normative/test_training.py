"""Training from a table."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

from bids_app.errors import ModelError, UsageError
from bids_app.normative import resampling, training
from bids_app.normative.engines import native_file as model_file
from bids_app.normative.training import train
from bids_app.normative.training_data import prepare
from bids_app.regions import ETIV, add_asymmetry, reference_regions
from tests.normative.simulated import THALAMUS, VENTRICLE, people, thalamus_mean, thalamus_sd

BOTH = (THALAMUS, VENTRICLE)


@pytest.fixture(autouse=True)
def few_refits(monkeypatch):
    """Standard errors have their own tests (test_resampling); here refits would only take time."""
    monkeypatch.setattr(resampling, "N_REFITS", 6)


def scanners(n_sites=12, per_site=80, spread=0.6, seed=0):
    """People on several scanners with known shifts in SD, six of FreeSurfer 6 and six of 7."""
    table = people(n_sites * per_site, seed)
    shifts = np.random.default_rng(seed).normal(0, spread, n_sites)
    site = np.repeat(np.arange(n_sites), per_site)
    version = np.where(site < n_sites // 2, "6.0.1", "7.4.1")
    shift = shifts[site] + np.where(site < n_sites // 2, -0.4, 0.4)
    table[THALAMUS] += shift * thalamus_sd(table)
    return table.assign(site=[f"s{s}" for s in site], fs_version=version, source="simulated", licence="CC0"), shift


@pytest.fixture(scope="module")
def calibrated():
    return train(people(6000, seed=1), name="simulated", regions=BOTH)


def test_known_deviations_are_flagged_at_the_expected_rate(calibrated):
    test = people(6000, seed=50)
    z = calibrated.model.deviations(test).z
    assert abs((z < -1.96).mean() - 0.025) < 0.004
    assert abs((z > 1.96).mean() - 0.025) < 0.004
    ill = test.assign(
        **{
            THALAMUS: calibrated.model.volumes_at(test, calibrated.model.deviations(test).z[:, [0]] - 2.0, (THALAMUS,))[
                :, 0
            ]
        }
    )
    share = (calibrated.model.deviations(ill).z[:, 0] < -1.96).mean()
    assert share == pytest.approx(0.516, abs=0.02)  # Phi(2 - 1.96)


def test_deviation_of_minus_two_sd_of_the_truth(calibrated):
    table = people(4000, seed=60)
    from tests.normative.simulated import skewed

    table[THALAMUS] = thalamus_mean(table) + thalamus_sd(table) * skewed(np.full(4000, -2.0))
    z = calibrated.model.deviations(table).z[:, 0]
    assert abs(z.mean() + 2) < 0.08
    assert z.std() < 0.15


def test_the_same_table_gives_the_same_bytes():
    table, _ = scanners(6, 40)
    texts = {model_file.to_text(train(table, name="x", harmonise="location", regions=BOTH).model) for _ in range(2)}
    assert len(texts) == 1


@pytest.mark.parametrize("harmonise", ["location", "full"])
def test_a_known_site_shift_is_removed(harmonise):
    table, shift = scanners()
    plain = train(table, name="x", regions=BOTH, reference_counts=False).model
    clean = train(table, name="x", regions=BOTH, harmonise=harmonise, reference_counts=False).model
    away = people(3000, seed=70)
    wide, narrow = plain.deviations(away).z[:, 0].std(), clean.deviations(away).z[:, 0].std()
    assert wide < 0.9
    assert narrow == pytest.approx(1.0, abs=0.07)
    assert clean.site_sd((THALAMUS,))[0] == pytest.approx(np.std(shift - np.sign(shift) * 0, ddof=1), abs=0.35)


def test_freesurfer_versions_are_told_apart():
    table, _ = scanners(n_sites=24, per_site=60, spread=0.2, seed=3)
    model = train(table, name="x", regions=BOTH, harmonise="location", reference_counts=False).model
    versions = model.region_models[0].versions
    assert versions["7"][0] - versions["6"][0] == pytest.approx(0.8, abs=0.3)
    assert 0.02 < versions["7"][1] < 0.15
    new, _ = scanners(n_sites=24, per_site=60, spread=0.2, seed=4)
    six = new[new["fs_version"] == "6.0.1"]
    assert (
        abs(model.deviations(six).z[:, 0].mean())
        < 0.2
        < -model.deviations(six.drop(columns="fs_version")).z[:, 0].mean()
    )


def test_reference_mode_has_a_constant_rmse_with_divisor_n():
    table = people(500, seed=5)
    model = train(table, name="x", mode="reference", regions=(THALAMUS,)).model
    found = model.deviations(table)
    for sex in ("female", "male"):
        rows = (table["sex"] == sex).to_numpy()
        assert np.mean(found.z[rows, 0] ** 2) == pytest.approx(1.0, rel=1e-9)


def test_left_out_rows_have_a_reason():
    table = people(300, seed=6).assign(participant_id=[f"p{i}" for i in range(300)])
    table = table.astype({"sex": object})
    table.loc[0, "age"] = np.nan
    table.loc[1, "sex"] = "unknown"
    table.loc[2, ETIV] = -1
    table.loc[3, THALAMUS] = np.nan
    table.loc[4, "participant_id"] = "p5"
    table.loc[4, "age"] = table.loc[5, "age"] + 1
    model, report = train(table, name="x", regions=BOTH)
    assert (report.n_rows, report.n_used) == (300, 295)
    reasons = report.dropped.set_index("row")["reason"]
    assert list(reasons.index) == [0, 1, 2, 3, 4]
    for row, word in enumerate(("age", "sex", "intracranial", "volume", "same person")):
        assert word in reasons[row]
    assert sum(model.card.n.values()) == 295
    assert "295 of 300 rows were used." in report.sentences()


def test_small_sites_are_left_out_of_harmonised_training():
    table, _ = scanners(4, 60)
    table.loc[0, "site"] = "alone"
    report = train(table, name="x", regions=BOTH, harmonise="full", reference_counts=False).report
    assert list(report.dropped["reason"]) == ["fewer than 2 people at the site"]


def test_rows_without_a_site_are_left_out_and_said():
    table, _ = scanners(4, 60)
    table.loc[:4, "site"] = np.nan
    report = train(table, name="x", regions=BOTH, harmonise="location", reference_counts=False).report
    assert list(report.dropped["reason"]) == ["site is missing"] * 5


def test_a_column_of_sites_without_any_site_is_no_column_of_sites():
    table = people(300, seed=6)
    plain, report = train(table, name="x", regions=BOTH, reference_counts=False)
    empty, empty_report = train(table.assign(site=np.nan), name="x", regions=BOTH, reference_counts=False)
    assert empty_report.n_used == report.n_used == 300
    np.testing.assert_array_equal(plain.deviations(table).z, empty.deviations(table).z)


def test_a_region_that_is_often_missing_is_left_out():
    table = people(300, seed=7)
    table.loc[:30, VENTRICLE] = np.nan
    model, report = train(table, name="x", regions=BOTH)
    assert model.regions == (THALAMUS,)
    assert "5 %" in report.left_out_regions[VENTRICLE]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"mode": "magic"}, UsageError, "unknown mode"),
        ({"harmonise": "magic"}, UsageError, "unknown harmonisation"),
        ({"regions": ("Left-Nothing",)}, ModelError, "Left-Nothing"),
        ({"min_per_sex": 500}, ModelError, "at least 500"),
    ],
)
def test_impossible_requests_are_refused_in_words(change, error, message):
    with pytest.raises(error, match=message):
        train(people(200), **{"name": "x", "regions": BOTH, **change})


def test_a_table_without_known_regions_is_refused():
    with pytest.raises(ModelError, match="FreeSurfer name"):
        train(people(100)[["age", "sex", ETIV]].assign(thalamus=1.0), name="x")


def test_asymmetry_is_added_to_a_table_of_many_blocks_in_one_piece():
    table = pd.DataFrame({"age": [30.0]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in (*reference_regions(), *(f"x{i}" for i in range(50))):
            table[name] = 1000.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = add_asymmetry(add_asymmetry(table))
    assert found.columns.is_unique
    assert (found.filter(like="asymmetry_") == 0).all(axis=None)


def test_asymmetry_indices_are_modelled_when_both_sides_are_there():
    table = people(300, seed=8)
    table["Right-Thalamus"] = table[THALAMUS] * np.random.default_rng(0).normal(1.0, 0.02, 300)
    model = train(table, name="x").model
    assert "asymmetry_Thalamus" in model.regions


def test_the_order_of_rows_does_not_matter():
    table, _ = scanners(6, 40)
    first = train(table, name="x", regions=BOTH, reference_counts=False).model
    second = train(table.sample(frac=1, random_state=1), name="x", regions=BOTH, reference_counts=False).model
    np.testing.assert_allclose(first.deviations(table).z, second.deviations(table).z, atol=1e-5)


def test_progress_and_card():
    table, _ = scanners(4, 60)
    told = []
    model = train(
        table,
        name="mine",
        regions=BOTH,
        harmonise="location",
        progress=told.append,
        card={"title": "My model", "date": "2026-01-01"},
    ).model
    assert any("Fitting 2 regions" in sentence for sentence in told)
    assert model.card.title == "My model"
    assert model.card.sites == 4
    assert model.card.fs_versions == ("6.0.1", "7.4.1")
    assert model.card.training == ({"source": "simulated", "licence": "CC0", "n": 240},)
    assert model.digest
    assert model.counts is not None


def bare(n=40, **columns):
    return prepare(people(n, seed=1).assign(**columns), (THALAMUS,), logarithms=True, min_per_site=1, min_per_sex=1)


def test_ages_are_counted_by_year_and_decade():
    ages = np.array([9.9, 10.0, 19.99, 20.0, 20.5])
    assert training._ages(ages) == {"9": 1, "10": 1, "19": 1, "20": 2}
    assert training._age_bands(ages) == {"0-9": 1, "10-19": 2, "20-29": 2}


@pytest.mark.parametrize(("sites", "spread"), [(["a"], False), (["a", "b"], True)])
def test_the_spread_of_sites_is_known_from_two_sites_on(sites, spread):
    data = bare(site=np.resize(sites, 40), fs_version="7.4")
    fitted = training.fitting.harmonise_and_fit(data, "reference", "none")
    (region,) = training.region_models(data, fitted, "reference")
    assert (region.site_sd is not None) is spread
    assert (region.versions, region.transform, region.name) == ({}, "identity", THALAMUS)
    assert training.make_card(data, "m", "reference", "none", {}).sites == len(sites)


def test_the_card_holds_facts_and_what_is_given_wins():
    data = bare(source=["x", "y"] * 20, licence="CC0", fs_version=["7.4", None] * 20)
    card = training.make_card(data, "m", "reference", "none", {"licence": "own"})
    assert (card.n, card.sites, card.fs_versions, card.licence) == ({"female": 15, "male": 25}, 0, ("7.4",), "own")
    assert card.training == tuple({"source": source, "licence": "CC0", "n": 20} for source in "xy")
    assert (card.version, card.title, card.transform) == ("1.0.0", "m", "none")
    for sex in ("female", "male"):
        rows = data.table[data.table["sex"] == sex]
        assert card.age_range[sex][0] <= rows["age"].min() < card.age_range[sex][0] + 0.1
        assert card.etiv_range[sex][1] - 1000 < rows[ETIV].max() <= card.etiv_range[sex][1]
    assert training._without_etiv("eTIV and regions, age, sex and eTIV") == "regions, age and sex"


def test_the_tails_of_fewer_people_than_a_shape_needs_are_said(monkeypatch):
    data = bare(site="a")
    fitted = training.fitting.harmonise_and_fit(data, "calibrated", "none")
    for least, mode, said in ((40, "calibrated", False), (41, "calibrated", True), (41, "reference", False)):
        monkeypatch.setattr(training, "MIN_FOR_SHAPE", least)
        made = training._trained(data, fitted, None, "m", mode, "none", {"limitations": ["l"]})
        assert bool(made.report.warnings) is said
        assert list(made.model.card.limitations) == ["l", *made.report.warnings]
        assert made.model.digest


def test_new_sites_are_scored_from_ten_sites_on(monkeypatch):
    data = bare(site=np.resize(list("abcdefghi"), 40))
    assert training.new_site_z(data, "reference", "none", 1.0) is None
    data = bare(120, site=np.resize(list("abcdefghij"), 120))
    seen = []
    real = training.fitting.harmonise_and_fit
    monkeypatch.setattr(
        training.fitting, "harmonise_and_fit", lambda rest, *given: seen.append(set(rest.site)) or real(rest, *given)
    )
    z = training.new_site_z(data, "reference", "none", 1.0)
    assert [len(sites) for sites in seen] == [9] * 10
    assert np.isfinite(z).all()
