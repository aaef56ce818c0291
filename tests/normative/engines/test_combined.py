"""Several models as one: each region is scored by the model that has it, as if it were alone."""

import numpy as np
import pandas as pd
import pytest

from bids_app.errors import ModelError
from bids_app.normative.engines.combined import combine
from bids_app.normative.harmonise.adaptation import SiteAdaptation
from bids_app.normative.registry import load_model
from bids_app.regions import ETIV

NAMES = "open-calibrated+open-thickness+open-area"
MEASURED = {
    "Left-Thalamus": 7500.0,
    "lh_insula_volume": 7200.0,
    "lh_insula_thickness": 3.0,
    "rh_insula_thickness": 2.9,
    "lh_insula_area": 2400.0,
}


@pytest.fixture(scope="module")
def people():
    rng = np.random.default_rng(3)
    table = pd.DataFrame({"age": [25.0, 40.0, 60.0, 95.0], "sex": ["female", "male"] * 2, ETIV: 1.5e6})
    return table.assign(**{name: value * rng.normal(1, 0.05, 4) for name, value in MEASURED.items()})


@pytest.fixture(scope="module")
def model():
    return load_model(NAMES)


def test_every_region_gets_the_z_of_its_own_model(model, people):
    found = model.deviations(people)
    assert set(found.regions) == set(MEASURED)
    for name in NAMES.split("+"):
        alone = load_model(name).deviations(people)
        columns = [found.regions.index(region) for region in alone.regions]
        for what in ("z", "z_se", "expected", "centile", "in_range"):
            np.testing.assert_array_equal(getattr(found, what)[:, columns], getattr(alone, what))


def test_what_several_models_note_is_said_once(model, people):
    notes = model.deviations(people).notes
    assert notes[3].count("is outside the") == 1
    assert not any("outside" in note for note in notes[:3])


def test_values_at_z_are_those_of_the_models(model, people):
    found = model.deviations(people)
    np.testing.assert_allclose(model.volumes_at(people, found.z, found.regions), found.observed, rtol=1e-9)


def test_an_adaptation_covers_all_measures(model, people):
    adaptation = SiteAdaptation.fit(model, people.assign(participant_id=list("abcd")))
    adapted = model.deviations(people, adaptation)
    assert (adapted.z != model.deviations(people).z).all()
    assert model.site_sd(("lh_insula_thickness",))[0] > model.site_sd(("lh_insula_area",))[0]


def test_each_measure_has_its_own_expected_counts(model):
    counts = [model.expected_counts(n, "male", measure=what) for n, what in ((82, "volume"), (68, "thickness"))]
    assert counts[0] == load_model("open-calibrated").expected_counts(82, "male")
    assert counts[1] == load_model("open-thickness").expected_counts(68, "male", measure="thickness")


def test_a_table_of_one_measure_needs_no_other(model, people):
    found = model.deviations(people[["age", "sex", "lh_insula_thickness"]])
    assert found.regions == ("lh_insula_thickness",)


def test_the_card_names_all_and_is_for_research_only(model):
    assert model.card.name == NAMES
    assert any("research use only" in text for text in model.card.not_for)
    assert len(set(model.card.limitations)) == len(model.card.limitations)


def test_two_models_of_the_same_region_are_refused():
    with pytest.raises(ModelError, match="open-calibrated and open-reference both model Left-Cerebellum-Cortex"):
        load_model("open-calibrated+open-reference")


def test_parameters_are_those_of_the_part():
    part = load_model("open-area")
    assert combine((part,)).parameters_of("lh_insula_area") == part.parameters_of("lh_insula_area")
    assert combine((part,)).parameters_of("Left-Thalamus") is None
