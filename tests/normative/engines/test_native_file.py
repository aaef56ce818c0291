"""The model file: round trip, refusal of what is wrong, and a z-score by hand."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from bids_app.errors import ModelError
from bids_app.normative import registry
from bids_app.normative.engines import native_file as model_file
from bids_app.normative.parameters import RegionFit, ScaleFit
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


PLAIN = RegionFit(
    n=9,
    shift=0.0,
    scale=10.0,
    powers=(1.0,),
    coefficients=(5.0, 0.1, 2.0),
    rmse=2.0,
    age_range=(1.0, 9.0),
    etiv_range=(1.0, 9.0),
    volume_range=(1.0, 9.0),
    root=(1.0,) * 6,
    sigma=ScaleFit(powers=(), coefficients=(0.5, 0.1), root=(1.0, 0.0, 0.0)),
)


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({}, None),
        ({"root": None}, None),
        ({"sigma": None}, None),
        ({"age_range": (9.0, 9.0), "etiv_range": (9.0, 9.0), "volume_range": (9.0, 9.0)}, None),
        ({"powers": ()}, "mean has 0 powers but 3 coefficients"),
        ({"coefficients": (1.0, 2.0)}, "mean has 1 powers but 2 coefficients"),
        ({"root": (1.0,) * 5}, "the root of mean must have 6 numbers"),
        ({"age_range": (9.1, 9.0)}, "a range ends before it starts"),
        ({"etiv_range": (9.1, 9.0)}, "a range ends before it starts"),
        ({"volume_range": (9.1, 9.0)}, "a range ends before it starts"),
        ({"shift": -1.0}, "the shifted age is not positive at the youngest trained age"),
        ({"shift": -0.99}, None),
        ({"coefficients": (1.0, 2.0, np.inf)}, "a coefficient is not finite"),
        ({"rmse": np.nan}, "a coefficient is not finite"),
        (
            {"sigma": ScaleFit(powers=(1.0,), coefficients=(0.5, 0.1), root=None)},
            "sigma has 1 powers but 2 coefficients",
        ),
        ({"sigma": ScaleFit(powers=(), coefficients=(0.5, 0.1), root=(1.0,))}, "the root of sigma must have 3 numbers"),
    ],
)
def test_each_part_of_a_fit_must_agree_with_the_others(changed, problem):
    assert model_file._problem(replace(PLAIN, **changed)) == problem


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        ("2.0", None),
        ("2.9999", None),
        ("1", None),
        ("1.0", None),
        ("3.0", "reads up to 2.x"),
        ("0.1", "no valid format version"),
        ("2.", "no valid format version"),
        ("2.0.0", "no valid format version"),
        ("two", "no valid format version"),
        ("", "no valid format version"),
    ],
)
def test_versions_of_the_format(version, reason):
    document = {"format": model_file.FORMAT, "format_version": version}
    with pytest.raises(ModelError, match=reason) if reason else contextlib.nullcontext():
        model_file._check_version(document, "m")
    for other in ([], {"format": "x"}):
        with pytest.raises(ModelError, match="is not a normvol model file"):
            model_file._check_version(other, "m")


def test_later_minor_versions_may_have_unknown_fields():
    rules = {"type": "object", "additionalProperties": False, "items": [{"additionalProperties": False, "a": 1}]}
    assert model_file._open(rules) == {"type": "object", "items": [{"a": 1}]}
    assert model_file._open({"additionalProperties": True}) == {"additionalProperties": True}
    assert model_file._open({"other": False}) == {"other": False}
    assert [model_file._numbers(text) for text in ("2", "2.1", "2.0")] == [(2, 0), (2, 1), (2, 0)]


def test_the_frame_is_indented_and_what_is_deep_stands_on_one_line():
    deep = {"a": {"b": {"c": {"d": [1, 2]}, "e": []}}, "t": ["x", "y"], "n": [1, 2], "m": [{"k": 1}], "o": {}}
    assert model_file._render(deep, 0) == (
        '{\n  "a": {\n    "b": {\n      "c": {"d": [1, 2]},\n      "e": []\n    }\n  },\n'
        '  "t": [\n    "x",\n    "y"\n  ],\n  "n": [1, 2],\n  "m": [\n    {"k": 1}\n  ],\n  "o": {}\n}'
    )
