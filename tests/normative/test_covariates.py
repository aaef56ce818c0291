"""Covariates are read, judged at the ends of their ranges, and what is wrong with them is said."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bids_app.errors import CovariateError
from bids_app.normative import covariates
from bids_app.normative.card import ModelCard
from bids_app.normative.covariates import inside_ranges, major_version, major_versions, read_basics, read_covariates
from bids_app.regions import ETIV

CARD = ModelCard(
    name="m",
    version="1",
    title="t",
    summary="s",
    licence="CC0-1.0",
    date="2026-01-01",
    age_range={"female": (20.0, 60.0), "male": (30.0, 70.0)},
    etiv_range={"female": (1.2e6, 1.6e6), "male": (1.3e6, 1.8e6)},
    fs_versions=("6.0", "7.4"),
)


def people(n=1, **columns):
    return pd.DataFrame({"age": 40.0, "sex": "female", ETIV: 1.5e6, "fs_version": "6.0.1", **columns}, index=range(n))


def notes(data, card=CARD, corrected=("6", "7"), **options):
    read = read_covariates(data, card, corrected, **options)
    return read.notes(np.ones(len(data), dtype=bool))


@pytest.mark.parametrize(
    ("version", "major"),
    [
        ("7.4.1", "7"),
        ("freesurfer-linux-7.4.1", "7"),
        ("v6.0", "6"),
        ("V6", "6"),
        ("dev", ""),
        ("", ""),
        (None, ""),
        (np.nan, ""),
        (7, "7"),
        (5.3, "5"),
        ("vdev-20", "20"),
    ],
)
def test_the_major_version_is_the_first_number(version, major):
    assert major_version(version) == major


def test_versions_of_a_table():
    assert major_versions(people(3).assign(fs_version=["6.0", None, "7.4.1"])) == ["6", "", "7"]
    assert major_versions(people(2).drop(columns="fs_version")) == ["", ""]


@pytest.mark.parametrize(
    ("column", "value"),
    [("age", np.nan), ("age", "x"), ("sex", "F"), ("sex", None), (ETIV, 0.0), (ETIV, -1.0), (ETIV, np.inf)],
)
def test_each_covariate_that_cannot_be_read_makes_a_scan_unusable(column, value):
    data = people(2)
    data[column] = data[column].astype(object)
    data.loc[1, column] = value
    read = read_basics(data, CARD)
    assert read.usable.tolist() == [True, False]
    assert read_basics(data, CARD, etiv=False).usable.tolist() == [True, column == ETIV]
    said = notes(data)
    assert said[0] == ""
    assert said[1].startswith("not scored: age, sex or intracranial volume is missing or unreadable.")


def test_without_etiv_its_column_may_be_absent():
    bare = people().drop(columns=ETIV)
    read = read_covariates(bare, CARD, uses_etiv=False)
    assert (read.usable.tolist(), read.etiv.tolist(), read.uses_etiv) == ([True], [0.0], False)
    assert notes(bare.assign(age=np.nan), uses_etiv=False)[0].startswith("not scored: age or sex is missing")
    with pytest.raises(CovariateError, match=rf"no column {ETIV}, which m needs"):
        read_basics(bare, CARD)
    with pytest.raises(CovariateError, match="no column age, sex, which m needs"):
        read_basics(people().drop(columns=["age", "sex"]), CARD)


def test_ranges_hold_their_ends_by_sex():
    sex = np.array(["female", "female", "male", "male", "x"], dtype=object)
    ranges = {"female": (1.0, 2.0), "male": (3.0, 4.0)}
    assert inside_ranges(np.array([1.0, 2.0, 3.0, 4.0, 9.0]), sex, ranges).all()
    found = inside_ranges(np.array([0.9, 2.1, 2.9, 4.1, 9.0]), sex, ranges)
    assert found.tolist() == [False, False, False, False, True]


def test_ages_and_heads_outside_the_range_are_said():
    data = people(6, age=[20.0, 60.0, 19.9, 60.1, 30.0, 70.04], sex=["female"] * 4 + ["male"] * 2)
    said = notes(data)
    assert [bool(text) for text in said] == [False, False, True, True, False, True]
    assert said[2] == (
        "age 19.9 is outside the 20 to 60 years of the model's female training data; scored as if at 20."
    )
    assert said[3].endswith("scored as if at 60.")
    assert said[5].startswith("age 70.0 is outside the 30 to 70 years of the model's male")
    heads = people(4, **{ETIV: [1.2e6, 1.6e6, 1.19e6, 1.61e6]})
    said = notes(heads)
    assert [bool(text) for text in said] == [False, False, True, True]
    assert said[2].startswith("intracranial volume 1190 cm^3 is outside the 1200 to 1600 cm^3 of the model's female")
    unusable = people(1, age=19.0, **{ETIV: np.nan})
    assert "outside" not in notes(unusable)[0]
    assert notes(people(1, age=99.0, **{ETIV: 9e6}), replace(CARD, age_range={}, etiv_range={})) == ("",)


def test_sparse_bands_of_age_are_said_up_to_their_last_day():
    few = covariates.FEW_PEOPLE
    card = replace(CARD, age_bands={"female": {"20-29": few - 1, "30-39": few}, "male": {"40-49": 3}})
    data = people(6, age=[20.0, 29.99, 30.0, 40.0, 45.0, np.nan], sex=["female"] * 4 + ["male", "female"])
    said = notes(data, card)
    assert [("people of" in text) for text in said] == [True, True, False, False, True, False]
    assert said[0] == f"only {few - 1} female people of 20-29 years are in the model's training data; " + (
        "the expected volumes are uncertain."
    )
    assert said[4].startswith("only 3 male people of 40-49 years")


@pytest.mark.parametrize(
    ("version", "corrected", "note"),
    [
        ("6.0", ("6", "7"), ""),
        (None, ("6", "7"), "FreeSurfer version not given; no version offset was applied."),
        (None, (), ""),
        ("5.3", ("6", "7"), "FreeSurfer 5 is not among the versions that the model was trained on (6, 7); no version"),
        ("5.3", (), "FreeSurfer 5 is not among the versions that the model was trained on (6, 7); its offset is unk"),
    ],
)
def test_versions_that_the_model_does_not_know_are_said(version, corrected, note):
    data = people(fs_version=version)
    found = notes(data, corrected=corrected)[0]
    assert found.startswith(note)
    assert bool(found) == bool(note)
    read = read_covariates(data, CARD, corrected)
    assert read.version.tolist() == [version[0] if version and version[0] in corrected else ""]
    assert notes(data, replace(CARD, fs_versions=()), corrected) == ("",)


def test_a_scan_out_of_range_in_some_regions_only_has_a_reason_too():
    data = people(3, age=[40.0, 15.0, np.nan])
    said = read_covariates(data, CARD, ("6",)).notes(np.zeros(3, dtype=bool))
    assert said[0] == "some regions were trained on a narrower range of covariates"
    assert said[1].startswith("age 15.0 is outside")
    assert said[2].startswith("not scored")
    assert "narrower" not in said[1] + said[2]


@pytest.mark.parametrize(
    ("uses_etiv", "inside"), [(True, [True, True, False, False]), (False, [True, True, False, True])]
)
def test_a_scan_is_inside_where_age_and_head_are(uses_etiv, inside):
    data = people(4, age=[20.0, 60.0, 60.1, 40.0], **{ETIV: [1.2e6, 1.6e6, 1.5e6, 1.7e6]})
    fits = SimpleNamespace(
        age_range=np.array([[20.0, 60.0], [0.0, 90.0]]), etiv_range=np.array([[1.2e6, 1.6e6], [1e6, 2e6]])
    )
    found = read_covariates(data, CARD, uses_etiv=uses_etiv)
    found = replace(found, etiv=data[ETIV].to_numpy())
    assert found.inside(np.arange(4), fits).tolist() == [[one, True] for one in inside]


@pytest.mark.parametrize(
    ("volume", "known"), [(0.5, True), (0.0, False), (-1.0, False), (np.inf, False), (np.nan, False)]
)
def test_any_head_size_above_0_is_a_number(volume, known):
    data = pd.DataFrame({"age": [40.0], "sex": ["female"], ETIV: [volume]})
    assert read_basics(data, SimpleNamespace()).usable.tolist() == [known]
