import pytest

from bids_app.normative.card import ModelCard
from bids_app.normative.registry import load_model


def card(**ages):
    return ModelCard(name="m", version="1", title="m", summary="m", licence="m", date="m", ages=ages)


def test_people_within_five_years_are_counted_by_the_middle_of_their_year():
    found = card(female={"30": 1, "34": 2, "35": 4, "40": 8, "44": 16, "45": 32}, male={"40": 100})
    assert found.n_near(40.0, "female") == 4 + 8 + 16
    assert found.n_near(40.5, "female") == 4 + 8 + 16 + 32
    assert found.n_near(40.0, "male") == 100
    assert found.n_near(90.0, "male") == 0
    assert card().n_near(40.0, "male") is None
    assert found.n_near(float("nan"), "male") is None


def test_ages_that_are_not_known_are_no_key_of_the_file():
    assert "ages" not in card().to_json()
    assert card(male={"40": 1}).to_json()["ages"] == {"male": {"40": 1}}


@pytest.mark.parametrize("name", ["open-calibrated", "open-reference", "open-thickness", "open-area"])
def test_packaged_models_know_the_ages_of_their_people(name):
    own = load_model(name).card
    assert {sex: sum(years.values()) for sex, years in own.ages.items()} == own.n
    for sex, bands in own.age_bands.items():
        for band, people in bands.items():
            low, high = map(int, band.split("-"))
            assert sum(n for year, n in own.ages[sex].items() if low <= int(year) <= high) == people
