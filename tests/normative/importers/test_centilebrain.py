"""CentileBrain's files (made here in the form of the published ones) become a model, or are refused with reasons."""

from __future__ import annotations

import contextlib

import numpy as np
import pandas as pd
import pytest

from bids_app.errors import ModelError
from bids_app.normative.engines.native_file import from_document, to_document
from bids_app.normative.importers import centilebrain
from bids_app.normative.importers.centilebrain import import_centilebrain
from bids_app.normative.importers.mfp import TrainingSummary
from bids_app.normative.importers.mfp_without_rows import Means
from bids_app.normative.importers.names import name_table
from bids_app.regions import ETIV, names
from tests.normative.importers.r_writer import Matrix, mfp_object, without_rows, write_rds


def write(folder, **options):
    rng = np.random.default_rng(1)
    models = {}
    for sex in ("female", "male"):
        models[sex] = [mfp_object(rng, **options) for _ in range(14)]
        write_rds(folder / f"MFPmodels_subcorticalvolume_{sex}.rds", models[sex])
    return models


def test_the_fourteen_volumes_are_read_in_their_order(tmp_path):
    models = write(tmp_path)
    model = import_centilebrain(tmp_path)
    assert model.regions[:3] == ("Left-Thalamus", "Right-Thalamus", "Left-Caudate")
    assert set(model.regions) <= set(names())
    fields = models["male"][2].fields
    rows = fields["X"].values
    data = pd.DataFrame({"age": rows[:, 2], "sex": "male", ETIV: rows[:, 1], "Left-Caudate": fields["y"]})
    found = model.deviations(data)
    np.testing.assert_allclose(found.expected[:, 0], fields["fitted.values"], rtol=1e-9)
    rmse = np.sqrt(np.mean((fields["y"] - fields["fitted.values"]) ** 2))
    np.testing.assert_allclose(found.z[:, 0], (fields["y"] - fields["fitted.values"]) / rmse, rtol=1e-6)


def test_the_model_survives_its_file(tmp_path):
    write(tmp_path)
    model = import_centilebrain(tmp_path)
    assert from_document(to_document(model), "test") == model


def test_mean_centred_models_need_offsets(tmp_path):
    write(tmp_path, mean=0.0)
    with pytest.raises(ModelError, match="mean-centred"):
        import_centilebrain(tmp_path)
    published = [row["published"] for row in name_table("centilebrain")]
    offsets = pd.concat([pd.DataFrame({"sex": sex, "region": published, "K": 5000.0}) for sex in ("female", "male")])
    offsets.to_csv(tmp_path / "offsets.csv", index=False)
    model = import_centilebrain(tmp_path, tmp_path / "offsets.csv")
    data = pd.DataFrame({"age": [40.0], "sex": ["female"], ETIV: [1.5e6], "Left-Putamen": [5000.0]})
    assert model.deviations(data).expected[0, 0] == pytest.approx(5000, abs=300)


def test_a_model_without_intracranial_volume_says_so(tmp_path):
    write(tmp_path, etiv_used=False)
    model = import_centilebrain(tmp_path)
    assert "does not use intracranial volume" in model.card.z_notes[0]
    data = pd.DataFrame({"age": [40.0, 40.0], "sex": "female", ETIV: [1.2e6, 1.8e6], "Left-Putamen": 7000.0})
    found = model.deviations(data)
    assert found.expected[0, 0] == found.expected[1, 0]
    assert found.in_range.all()


def test_other_covariates_are_refused_by_name(tmp_path):
    variables = ["ICV", "euler"]
    extra = {
        "powers": Matrix([[1, np.nan], [1, np.nan]], variables, ["power1", "power2"]),
        "scale": Matrix([[0, 1], [0, 1]], variables, ["shift", "scale"]),
    }
    write(tmp_path, extra=extra)
    with pytest.raises(ModelError, match="needs the covariate euler"):
        import_centilebrain(tmp_path)


def test_thickness_models_are_refused_with_the_reason(tmp_path):
    write_rds(tmp_path / "MFPmodels_corticalthickness_female.rds", [mfp_object(np.random.default_rng(0))])
    with pytest.raises(ModelError, match="thickness and surface area"):
        import_centilebrain(tmp_path)


def test_the_wrong_number_of_models_is_refused(tmp_path):
    write(tmp_path)
    write_rds(tmp_path / "MFPmodels_subcorticalvolume_male.rds", [mfp_object(np.random.default_rng(0))])
    with pytest.raises(ModelError, match="holds 1 models"):
        import_centilebrain(tmp_path)


@pytest.mark.parametrize("lost", ["X", "y", "powers", "scale", "coefficients", "fitted.values"])
def test_a_model_that_lacks_a_part_is_refused(tmp_path, lost):
    models = write(tmp_path)
    for model in models["female"]:
        del model.fields[lost]
        model.fields.pop("fit", None)
    write_rds(tmp_path / "MFPmodels_subcorticalvolume_female.rds", models["female"])
    with pytest.raises(ModelError):
        import_centilebrain(tmp_path)


def test_other_files_do_not_hide_that_one_sex_is_missing(tmp_path):
    write(tmp_path)
    (tmp_path / "MFPmodels_subcorticalvolume_male.rds").unlink()
    write_rds(tmp_path / "MFPmodels_corticalthickness_female.rds", [mfp_object(np.random.default_rng(0))])
    with pytest.raises(ModelError, match=r"volume_male\.rds is missing"):
        import_centilebrain(tmp_path)
    with pytest.raises(ModelError, match=r"volume_female\.rds is missing"):
        import_centilebrain(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"volume_female\.rds is missing"):
        import_centilebrain(tmp_path / "empty")


def test_a_file_that_holds_no_list_is_refused(tmp_path):
    write(tmp_path)
    write_rds(tmp_path / "MFPmodels_subcorticalvolume_female.rds", np.arange(14.0))
    with pytest.raises(ModelError, match="holds 0 models where 14"):
        import_centilebrain(tmp_path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("sex,region\nmale,Lthal\n", "not a table of offsets"),
        ("sex,region,K\nmale,Lthal,much\n", "no number"),
        ("sex,region,K,ICV\nmale,Lthal,1,much\n", "no number"),
    ],
)
def test_a_table_that_holds_no_offsets_is_refused(tmp_path, text, reason):
    (tmp_path / "offsets.csv").write_text(text)
    with pytest.raises(ModelError, match=reason):
        import_centilebrain(tmp_path, tmp_path / "offsets.csv")


def test_offsets_may_lack_the_mean_of_intracranial_volume(tmp_path):
    (tmp_path / "k.csv").write_text("sex,region,K\nmale,a,1\n")
    (tmp_path / "both.csv").write_text("sex,region,K,ICV\nmale,a,1,\nfemale,b,2,1500000\n")
    assert centilebrain._read_offsets(None) == {}
    assert centilebrain._read_offsets(tmp_path / "k.csv") == {("male", "a"): Means(1.0, None)}
    assert centilebrain._read_offsets(tmp_path / "both.csv") == {
        ("male", "a"): Means(1.0, None),
        ("female", "b"): Means(2.0, 1.5e6),
    }


@pytest.mark.parametrize(
    ("mean", "given", "refused"),
    [(0.9, None, True), (-0.9, None, True), (1.0, None, False), (-1.0, None, False), (0.9, 0.0, False)],
)
def test_volumes_whose_mean_is_less_than_one_sd_were_centred(monkeypatch, mean, given, refused):
    summary = TrainingSummary(mean=mean, sd=1.0, etiv_used=False)
    monkeypatch.setattr(centilebrain, "has_rows", lambda _: True)
    monkeypatch.setattr(centilebrain, "region_fit", lambda _, where, offset: (offset, summary))
    with pytest.raises(ModelError, match="mean-centred") if refused else contextlib.nullcontext():
        assert centilebrain._fit(None, "m", Means(given)) == (0.0, False)


def test_the_card_says_what_the_files_do_not_hold(tmp_path):
    models = write(tmp_path)
    card = import_centilebrain(tmp_path).card
    assert not any("holds no residuals" in text for text in card.limitations)
    assert (card.n, card.training[0]["n"], card.z_notes) == ({"female": 60, "male": 60}, 120, ())
    bare = [without_rows(model) for model in models["male"]]
    write_rds(tmp_path / "MFPmodels_subcorticalvolume_male.rds", bare)
    card = import_centilebrain(tmp_path).card
    assert [text for text in card.limitations if "residuals" in text] == [
        "The male file holds no residuals: its RMSE is the square root of deviance / n."
    ]
    assert card.age_range["male"] == (3.0, 90.0)
    for old, new in zip(models["male"], bare, strict=True):
        new.fields["residuals"] = old.fields["residuals"]
    write_rds(tmp_path / "MFPmodels_subcorticalvolume_male.rds", bare)
    assert not any("holds no residuals" in text for text in import_centilebrain(tmp_path).card.limitations)
