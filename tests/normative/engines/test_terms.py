"""Models of linear terms: files are checked, scans that cannot be scored are said to be."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

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
