"""What changes a fingerprint, and what does not."""

import pytest

from bids_app.run.fingerprint import fingerprint

ADAPTATION = {"regions": ["a"], "shift": [0.1], "scale": [1.0], "shift_se": [0.2], "notes": ["n"], "n_controls": 3}
BASE = {
    "inputs": {"stats/aseg.stats": "a", "stats/lh.aparc.stats": "b"},
    "covariates": {"age": 40.0, "sex": "female", "site": "A"},
    "model_sha256": "m",
    "scoring": "own-sex",
    "adaptation": None,
}


def test_it_is_the_same_in_any_order_and_in_every_run():
    turned = {**BASE, "inputs": dict(reversed(BASE["inputs"].items()))}
    assert fingerprint(**BASE) == fingerprint(**turned)
    assert len(fingerprint(**BASE)) == 64


@pytest.mark.parametrize(
    "change",
    [
        {"inputs": {**BASE["inputs"], "stats/aseg.stats": "c"}},
        {"inputs": {"stats/aseg.stats": "a"}},
        {"covariates": {**BASE["covariates"], "age": 40.5}},
        {"covariates": {**BASE["covariates"], "sex": "male"}},
        {"covariates": {**BASE["covariates"], "etiv_mm3": 1.4e6}},
        {"covariates": {**BASE["covariates"], "fs_version": "6.0.0"}},
        {"columns": ["site"]},
        {"model_sha256": "n"},
        {"scoring": "reference-compat"},
        {"adaptation": ADAPTATION},
    ],
)
def test_all_that_decides_a_result_changes_it(change):
    assert fingerprint(**{**BASE, **change}) != fingerprint(**BASE)


@pytest.mark.parametrize(
    "name", ["site", "edss", "note", "age_source", "fs_subject", "other_sessions_etiv", "findings"]
)
def test_what_decides_no_z_does_not_change_it(name):
    changed = {**BASE, "covariates": {**BASE["covariates"], name: "other"}}
    assert fingerprint(**changed) == fingerprint(**BASE)


def test_words_about_the_controls_do_not_change_it():
    one, other = ({**BASE, "adaptation": {**ADAPTATION, **more}} for more in ({}, {"notes": [], "n_controls": 4}))
    assert fingerprint(**one) == fingerprint(**other)
    moved = {**BASE, "adaptation": {**ADAPTATION, "shift": [0.2]}}
    assert fingerprint(**moved) != fingerprint(**one)


def test_it_changes_with_the_software(monkeypatch):
    before = fingerprint(**BASE)
    monkeypatch.setattr("bids_app.run.fingerprint.OUTPUT_REVISION", 99)
    assert fingerprint(**BASE) != before
