"""Models of linear terms: files are checked, scans that cannot be scored are said to be."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.interpolate import BSpline

from bids_app.errors import CovariateError, ModelError
from bids_app.normative.base import NormativeModel
from bids_app.normative.card import ModelCard
from bids_app.normative.documents import has_format
from bids_app.normative.engines import terms as terms_model
from bids_app.normative.engines.terms import TermsFit, TermsModel
from bids_app.regions import ETIV

CARD = ModelCard(
    name="t",
    version="1",
    title="t",
    summary="t",
    licence="CC0-1.0",
    date="2026-01-01",
    age_range={"female": (20.0, 60.0), "male": (20.0, 60.0)},
)


@pytest.fixture
def model():
    fit = TermsFit(terms=((), ("age",), ("age", "sex_male")), coefficients=(7000.0, -10.0, 1.0), noise=250_000.0)
    return TermsModel(card=CARD, fits={"Left-Thalamus": fit}, centre={"age": 40.0})


def people(**columns) -> pd.DataFrame:
    return pd.DataFrame({"age": [50.0, 50.0], "sex": ["female", "male"], "Left-Thalamus": [6900.0, 6410.0], **columns})


def test_it_offers_what_every_model_offers(model):
    assert isinstance(model, NormativeModel)


def test_z_is_the_residual_over_its_sd(model):
    found = model.deviations(people())
    np.testing.assert_allclose(found.z[:, 0], [0.0, -1.0])
    np.testing.assert_allclose(found.expected[:, 0], [6900.0, 6910.0])
    np.testing.assert_allclose(found.centile[0, 0], 50.0)


def test_scans_without_covariates_are_not_scored_and_say_so(model):
    found = model.deviations(people(age=[np.nan, 50.0], sex=["female", "?"]))
    assert np.isnan(found.z).all()
    assert all("not scored" in note for note in found.notes)


def test_ages_outside_the_training_are_flagged(model):
    found = model.deviations(people(age=[19.0, 50.0]))
    assert found.in_range[:, 0].tolist() == [False, True]
    assert "outside the training data" in found.notes[0]


def test_a_missing_column_is_named(model):
    with pytest.raises(CovariateError, match="no column age"):
        model.deviations(people().drop(columns="age"))
    etiv = replace(model, fits={"Left-Thalamus": TermsFit(terms=(("etiv",),), coefficients=(1.0,), noise=1.0)})
    with pytest.raises(CovariateError, match=ETIV):
        etiv.deviations(people())
    with pytest.raises(ModelError, match="none of the 1 regions"):
        model.deviations(people().drop(columns="Left-Thalamus"))


def test_an_adaptation_moves_z_and_the_expected_volume(model):
    class Shift:
        def parameters(self, data, regions):
            shape = (len(data), len(regions))
            return np.full(shape, 0.5), np.full(shape, 2.0), np.full(shape, 0.1)

    found = model.deviations(people(), Shift())
    np.testing.assert_allclose(found.z[:, 0], [-0.25, -0.75])
    np.testing.assert_allclose(found.expected[:, 0], [7150.0, 7160.0])
    np.testing.assert_allclose(model.volumes_at(people(), found.z, found.regions, Shift()), found.observed)


def test_the_file_gives_the_model_back(model, tmp_path):
    path = terms_model.save(model, tmp_path / "t.json")
    assert terms_model.load(path) == replace(terms_model.with_digest(model))
    assert has_format(path, terms_model.FORMAT)


def break_terms(document):
    document["regions"]["Left-Thalamus"]["terms"][1] = ["__import__"]


def break_width(document):
    document["regions"]["Left-Thalamus"]["coefficients"].append(1.0)


def break_noise(document):
    document["regions"]["Left-Thalamus"]["noise"] = -1.0


def break_card(document):
    del document["card"]["licence"]


@pytest.mark.parametrize("damage", [break_terms, break_width, break_noise, break_card])
def test_content_that_does_not_fit_is_refused(model, tmp_path, damage):
    document = json.loads(terms_model.save(model, tmp_path / "t.json").read_text())
    damage(document)
    body = {key: value for key, value in document.items() if key != "digest"}
    with pytest.raises(ModelError):
        terms_model.from_document({**body, "digest": terms_model.digest(body)}, "test")


def test_a_changed_file_is_refused(model, tmp_path):
    path = terms_model.save(model, tmp_path / "t.json")
    path.write_text(path.read_text().replace("7000.0", "7100.0"))
    with pytest.raises(ModelError, match="digest"):
        terms_model.load(path)
    path.write_text(path.read_text()[:300])
    with pytest.raises(ModelError, match="truncated"):
        terms_model.load(path)


KNOTS = (0.0,) * 4 + (40.0,) + (80.0,) * 4
TERMS = ((), ("age",), ("site=a",), ("site=b",), ("spline1",), ("etiv", "age"))
ROOT = tuple(np.random.default_rng(0).normal(0, 0.1, 21))


def of_sites(**changed):
    fit = TermsFit(terms=TERMS, coefficients=(7.0, 0.01, 1.0, -2.0, 3.0, 1e-7), noise=0.25, root=ROOT, **changed)
    plain = TermsFit(terms=((),), coefficients=(8.0,), noise=4.0)
    return TermsModel(card=CARD, fits={"A": fit, "B": plain}, centre={"age": 40.0, "etiv": 1.4e6}, knots=KNOTS)


def scans(**changed):
    columns = {"age": [20.0, 50.0, 60.0], "sex": ["female", "male", "male"], ETIV: [1.5e6, 1.3e6, 1.4e6]}
    return pd.DataFrame({**columns, "site": ["a", "b", "z"], "A": [9.0, 5.0, 7.5], "B": [9.0, 7.0, 8.0], **changed})


def design(data):
    """Rows of the design by hand; a site that is not known is half of each."""
    age = data["age"] - 40
    spline = BSpline(np.array(KNOTS), np.eye(5)[1], 3)(np.clip(data["age"], 0, 80))
    sites = [np.where(data["site"].isin(["a", "b"]), data["site"] == name, 0.5) for name in "ab"]
    return np.column_stack([np.ones(3), age, *sites, spline, (data[ETIV] - 1.4e6) * age])


@pytest.mark.parametrize("warp", [None, (0.2, 0.8)])
@pytest.mark.parametrize("response", ["identity", "log10"])
def test_z_its_error_and_the_volume_are_those_of_the_design(warp, response):
    model, data = of_sites(warp=warp, response=response), scans()
    found = model.deviations(data)
    x, root = design(data), np.zeros((6, 6))
    root[np.tril_indices(6)] = ROOT
    variance = ((x @ root.T) ** 2).sum(axis=1)
    y = np.log10(data["A"]) if response == "log10" else data["A"]
    y = y if warp is None else np.sinh(0.8 * np.arcsinh(y) + 0.2 * 0.8)
    mean = x @ np.array([7.0, 0.01, 1.0, -2.0, 3.0, 1e-7])
    np.testing.assert_allclose(found.z[:, 0], (y - mean) / np.sqrt(0.25 + variance))
    between = np.array([0.0, 0.0, 2.25])
    np.testing.assert_allclose(found.z_se[:, 0], np.sqrt((variance + between) / (0.25 + variance)))
    np.testing.assert_allclose(found.z[:, 1], (data["B"] - 8) / 2)
    np.testing.assert_array_equal(found.z_se[:, 1], 0.0)
    np.testing.assert_allclose(model.volumes_at(data, found.z, found.regions), data[["A", "B"]])
    assert (model.sites, model.extra_covariates, model.needs_etiv) == (("a", "b"), ("site",), True)
    assert ["site unknown" in note for note in found.notes] == [False, False, True]


def test_ages_beyond_the_knots_are_taken_at_their_end():
    model = of_sites()
    z = model.deviations(scans(age=[-5.0, 95.0, 80.0])).z[:, 0]
    data = scans(age=[-5.0, 95.0, 80.0])
    x, root = design(data), np.zeros((6, 6))
    root[np.tril_indices(6)] = ROOT
    mean = x @ np.array([7.0, 0.01, 1.0, -2.0, 3.0, 1e-7])
    expected = (data["A"] - mean) / np.sqrt(0.25 + ((x @ root.T) ** 2).sum(axis=1))
    usable = np.isfinite(z)
    assert usable.tolist()[1:] == [True, True]
    np.testing.assert_allclose(z[usable], expected[usable])


def test_a_volume_of_nothing_has_no_logarithm():
    fit = TermsFit(terms=((),), coefficients=(3.0,), noise=1.0, response="log10")
    model = TermsModel(card=CARD, fits={"A": fit})
    with np.errstate(all="raise"):
        found = model.deviations(pd.DataFrame({"age": 30.0, "sex": "male", "A": [0.0, -1.0, 100.0]}))
    np.testing.assert_array_equal(found.z[:, 0], [np.nan, np.nan, -1.0])
    assert (model.sites, model.extra_covariates, model.needs_etiv) == ((), (), False)
    assert found.notes == ("",) * 3


def test_the_range_of_etiv_counts_where_it_is_a_covariate():
    card = replace(CARD, etiv_range={"female": (1.45e6, 2e6), "male": (1.35e6, 2e6)})
    model = replace(of_sites(), card=card)
    assert model.deviations(scans()).in_range.tolist() == [[True] * 2, [False] * 2, [True] * 2]
    plain = replace(model, fits={"B": model.fits["B"]})
    assert plain.deviations(scans()).in_range.all()
    assert "outside the training data" in model.deviations(scans()).notes[1]


def refused(model, tmp_path, change):
    document = json.loads(terms_model.save(model, tmp_path / "t.json").read_text())
    change(document["regions"]["A"])
    body = {key: value for key, value in document.items() if key != "digest"}
    with pytest.raises(ModelError, match=r"terms, coefficients and variance|is not a valid model of terms"):
        terms_model.from_document({**body, "digest": terms_model.digest(body)}, "test")


@pytest.mark.parametrize(
    "change",
    [
        lambda fit: fit["root"].append(1.0),
        lambda fit: fit.update(response="log2"),
        lambda fit: fit.update(noise=0.0),
        lambda fit: fit.update(noise="nan"),
        lambda fit: fit["coefficients"].__setitem__(0, "inf"),
        lambda fit: fit["terms"].append(["age"]),
        lambda fit: fit["terms"].__setitem__(1, ["weight"]),
        lambda fit: fit.update(warp=[1.0]),
    ],
)
def test_each_part_that_does_not_fit_is_refused(tmp_path, change):
    refused(of_sites(), tmp_path, change)


def test_all_parts_survive_the_file_and_another_version_or_form_does_not(tmp_path):
    model = of_sites(warp=(0.2, 0.8), response="log10")
    path = terms_model.save(model, tmp_path / "t.json")
    assert terms_model.load(path) == terms_model.with_digest(model)
    document = json.loads(path.read_text())
    assert "warp" not in document["regions"]["B"]
    assert "root" not in document["regions"]["B"]
    major = terms_model.FORMAT_VERSION.split(".")[0]
    for version, fine in ((f"{major}.9", True), ("9.0", False), (None, False)):
        body = {**document, "format_version": version}
        body.pop("digest")
        whole = {**body, "digest": terms_model.digest(body)}
        if fine:
            assert terms_model.from_document(whole, "t").fits == model.fits
        else:
            with pytest.raises(ModelError, match="has format version"):
                terms_model.from_document(whole, "t")
    for other in ([1], {**document, "format": "other"}):
        path.write_text(json.dumps(other))
        with pytest.raises(ModelError, match="not a model of the form"):
            terms_model.load(path)
