"""The model file: round trip, refusal of what is wrong, and a z-score by hand."""

from __future__ import annotations

import hashlib
import json
import math

import numpy as np
import pandas as pd
import pytest

from bids_app.errors import ModelError
from bids_app.normative import registry
from bids_app.normative.engines import native_file as model_file
from bids_app.regions import ETIV, extended_regions, reference_regions

NAMES = ("open-reference", "open-calibrated")


def path_of(name, repository):
    return repository / "bids_app" / "data" / "models" / f"{name}.json"


@pytest.fixture
def document(repository):
    return json.loads(path_of("open-reference", repository).read_text())


def write(document, folder, sign=True):
    body = {key: value for key, value in document.items() if key != "digest"}
    if sign:
        body["digest"] = model_file.digest(body)
    path = folder / "model.json"
    path.write_text(json.dumps(body))
    return path


@pytest.mark.parametrize("name", NAMES)
def test_round_trip_gives_the_same_bytes(name, repository, tmp_path):
    path = path_of(name, repository)
    model = model_file.load(path)
    assert model_file.save(model, tmp_path / "copy.json").read_bytes() == path.read_bytes()
    assert model_file.load(tmp_path / "copy.json") == model
    assert model.digest == json.loads(path.read_text())["digest"]


def test_a_packaged_model_is_not_held_against_the_schema_again(monkeypatch):
    monkeypatch.setattr(model_file, "_check_schema", None)
    assert registry.load_model("open-reference").card.name == "open-reference"


def test_the_digest_is_of_utf_8_text_with_sorted_keys():
    text = '{"a":[1.5,null],"title":"M\u00fcnchen"}'
    assert model_file.digest({"title": "M\u00fcnchen", "a": [1.5, None]}) == hashlib.sha256(text.encode()).hexdigest()


def test_packaged_models_are_small_and_complete(repository):
    assert path_of("open-reference", repository).stat().st_size < 100_000
    assert path_of("open-calibrated", repository).stat().st_size < 320_000
    assert registry.load_model("open-reference").regions == reference_regions()
    regions = registry.load_model("open-calibrated").regions
    assert set(regions) >= set(reference_regions() + extended_regions())
    assert sum(name.startswith("asymmetry_") for name in regions) == 48


def by_hand(document, region, sex, age, etiv, volume, version=None):
    """z from nothing but the JSON and `math`, as docs/method.md writes it."""
    model = document["regions"][region]
    fit = model[sex]
    x = (age + fit["shift"]) / fit["scale"]

    def terms(powers):
        values = [math.log(x) if p == 0 else x**p for p in powers]
        for i in range(1, len(powers)):
            if powers[i] == powers[i - 1]:
                values[i] = values[i - 1] * math.log(x)
        return values

    design = [1.0, etiv ** fit["etiv_power"], *terms(fit["powers"])]
    mean = sum(b * v for b, v in zip(fit["coefficients"], design))
    y = math.log(max(volume, 1.0)) if model["transform"] == "log" else volume
    if "sigma" not in fit:
        return (y - mean) / fit["rmse"]
    scale = [1.0, etiv, *terms(fit["sigma"]["powers"])]
    sigma = math.exp(sum(g * v for g, v in zip(fit["sigma"]["coefficients"], scale)))
    u = (y - mean) / sigma - model["versions"].get(version, [0.0])[0]
    xi, width, epsilon, delta = fit["shape"]
    return math.sinh(delta * math.asinh((u - xi) / width) - epsilon)


@pytest.mark.parametrize("name", NAMES)
def test_a_z_score_can_be_recomputed_by_hand(name, repository):
    document = json.loads(path_of(name, repository).read_text())
    model = registry.load_model(name)
    rng = np.random.default_rng(0)
    for sex, age, version in (("female", 8.25, None), ("male", 44.0, "7.4.1"), ("female", 71.5, "6.0.0")):
        etiv = float(rng.uniform(1.3e6, 1.7e6))
        volumes = {r: float(rng.uniform(*model.parameters_of(r).fits[sex].volume_range)) for r in model.regions}
        table = pd.DataFrame([{"age": age, "sex": sex, ETIV: etiv, "fs_version": version, **volumes}])
        z = dict(zip(model.regions, model.deviations(table).z[0]))
        for region in model.regions:
            ours = by_hand(document, region, sex, age, etiv, volumes[region], version and version[0])
            assert z[region] == pytest.approx(ours, rel=1e-9, abs=1e-9), region


def test_an_absent_file(tmp_path):
    with pytest.raises(ModelError, match="not readable"):
        model_file.load(tmp_path / "none.json")


def test_a_truncated_file(repository, tmp_path):
    text = path_of("open-reference", repository).read_text()
    (tmp_path / "cut.json").write_text(text[: len(text) // 2])
    with pytest.raises(ModelError, match="truncated"):
        model_file.load(tmp_path / "cut.json")


@pytest.mark.parametrize("number", ["1" + "0" * 30, "-" + "9" * 4000])
def test_whole_numbers_that_no_float_holds(number, document, tmp_path):
    document["regions"]["Left-Thalamus"]["female"]["rmse"] = 123456789
    text = json.dumps(document).replace("123456789", number)
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(ModelError, match="too large a number"):
        model_file.load(tmp_path / "model.json")


def test_a_tampered_file(document, tmp_path):
    document["regions"]["Left-Thalamus"]["female"]["rmse"] *= 1.1
    (tmp_path / "model.json").write_text(json.dumps(document))
    with pytest.raises(ModelError, match="does not match its digest"):
        model_file.load(tmp_path / "model.json")


@pytest.mark.parametrize("content", ["[]", "{}", '{"format": "else"}', "3", '"text"'])
def test_json_of_another_kind(content, tmp_path):
    (tmp_path / "model.json").write_text(content)
    with pytest.raises(ModelError, match="not a normvol model file"):
        model_file.load(tmp_path / "model.json")


@pytest.mark.parametrize("version", ["", ".0", "2.", "0.9", "\u00b2", "2.0.1", "-1", None])
def test_a_format_version_that_is_none(version, document, tmp_path):
    (tmp_path / "model.json").write_text(json.dumps({**document, "format_version": version}))
    with pytest.raises(ModelError, match="no valid format version"):
        model_file.load(tmp_path / "model.json")


def test_binary_content(tmp_path):
    (tmp_path / "model.json").write_bytes(b"\x80\x04\x95pickle\xff")
    with pytest.raises(ModelError, match="not readable"):
        model_file.load(tmp_path / "model.json")


def test_a_newer_major_version_is_refused(document, tmp_path):
    with pytest.raises(ModelError, match="update normvol"):
        model_file.load(write({**document, "format_version": "3.0"}, tmp_path))


@pytest.mark.parametrize("version", ["", "x", "1.2.3", "-1.0", "0.9", None, 1.0])
def test_an_invalid_version_is_refused(document, version, tmp_path):
    with pytest.raises(ModelError, match="version"):
        model_file.load(write({**document, "format_version": version}, tmp_path))


def test_an_older_major_version_is_read(document, tmp_path):
    assert len(model_file.load(write({**document, "format_version": "1.0"}, tmp_path)).regions) == 82


def test_unknown_fields_of_a_newer_minor_version_are_ignored(document, tmp_path):
    document["regions"]["Left-Thalamus"]["female"]["later"] = {"a": 1}
    document["card"]["later"] = "text"
    with pytest.raises(ModelError, match="later"):
        model_file.load(write(document, tmp_path))
    newer = model_file.load(write({**document, "format_version": "2.7", "extra": []}, tmp_path))
    assert len(newer.regions) == 82


def change_fit(document, **values):
    document["regions"]["Left-Thalamus"]["female"].update(values)
    return document


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"powers": [1.5]}, "1.5"),
        ({"powers": [1.0, 2.0, 3.0, 3.0]}, "too long"),
        ({"coefficients": [1.0, 2.0]}, "coefficients"),
        ({"root": [1.0]}, "root"),
        ({"rmse": -1.0}, "rmse"),
        ({"rmse": "wide"}, "rmse"),
        ({"age_range": [80.0, 6.0]}, "ends before"),
        ({"shift": -100.0}, "not positive"),
        ({"shape": [0.0, 0.0, 0.0, 1.0]}, "shape"),
    ],
)
def test_wrong_content_with_a_valid_digest(document, values, message, tmp_path):
    with pytest.raises(ModelError, match=message):
        model_file.load(write(change_fit(document, **values), tmp_path))


def test_a_missing_part_is_named(document, tmp_path):
    del document["regions"]["Left-Thalamus"]["male"]
    with pytest.raises(ModelError, match=r"Left-Thalamus.*'male' is a required property"):
        model_file.load(write(document, tmp_path))


def test_infinite_numbers_are_refused(document, tmp_path):
    text = json.dumps(change_fit(document, coefficients=[1e400, 1.0, 1.0, 1.0]))
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(ModelError):
        model_file.load(tmp_path / "model.json")


def test_no_individual_is_in_a_packaged_model(repository):
    text = path_of("open-calibrated", repository).read_text()
    assert "sub-" not in text
    assert "participant" not in text
