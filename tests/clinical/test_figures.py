"""Figures of results: one class per kind, the way to the file and back, and what is refused."""

from __future__ import annotations

import pytest

from bids_app.clinical.figures import KINDS, BrainMap, Forest, Table, figure_from_json
from bids_app.errors import InputError

FOREST = Forest(label="score", estimate="beta", low="low", high="high", null="expected", where={"tail": "infra"})


def test_a_figure_is_told_with_its_kind_and_what_differs_from_the_defaults():
    assert FOREST.to_json() == {
        "kind": "forest",
        "where": {"tail": "infra"},
        "label": "score",
        "estimate": "beta",
        "low": "low",
        "high": "high",
        "null": "expected",
    }
    assert Table().to_json() == {"kind": "table"}


@pytest.mark.parametrize("figure", [FOREST, Table(), BrainMap(value="z", limits=(-2.0, 2.0), facet="group")])
def test_what_was_told_is_read_back(figure):
    content = figure.to_json()
    if "limits" in content:
        content["limits"] = list(content["limits"])  # as JSON has it
    assert figure_from_json(content) == figure


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "kind None"),
        ({"kind": "pie"}, "'pie'"),
        ({"kind": "map"}, "value"),
        ({"kind": "forest", "label": "a", "estimate": "b", "low": "c", "high": "d", "colour": "red"}, "colour"),
    ],
)
def test_a_figure_of_an_unknown_form_is_refused_in_words(content, words):
    with pytest.raises(InputError, match=words):
        figure_from_json(content)


def test_every_kind_is_listed_under_its_own_name():
    assert {name: kind.kind for name, kind in KINDS.items()} == {name: name for name in KINDS}
    assert {"forest", "km", "love", "trajectory", "map", "courses", "scatter", "calibration", "shift"} <= set(KINDS)
