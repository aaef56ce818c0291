"""What changes a fingerprint, and what does not."""

import pytest

from bids_app.run.fingerprint import fingerprint

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
        {"model_sha256": "n"},
        {"scoring": "reference-compat"},
        {"adaptation": {"shift": [0.1]}},
    ],
)
def test_all_that_decides_a_result_changes_it(change):
    assert fingerprint(**{**BASE, **change}) != fingerprint(**BASE)


def test_it_changes_with_the_software(monkeypatch):
    before = fingerprint(**BASE)
    monkeypatch.setattr("bids_app.run.fingerprint.OUTPUT_REVISION", 99)
    assert fingerprint(**BASE) != before
