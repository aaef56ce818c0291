"""Surfaces that failed stand out in several regions at once."""

import numpy as np
import pandas as pd
import pytest

from bids_app.normative.surfaces import surface_failures, thickness_of, with_surface_notes
from bids_app.regions import counted_regions

REGIONS = counted_regions("thickness")[:10]


def people(n=200, seed=1):
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(rng.normal(2.5, 0.1, (n, len(REGIONS))), columns=list(REGIONS))
    return table.assign(age=rng.uniform(20, 60, n), sex=np.where(rng.random(n) < 0.5, "male", "female"), site="A")


@pytest.mark.parametrize(("regions", "failed"), [(2, False), (3, True)])
def test_three_regions_beyond_six_sd_are_a_failure(regions, failed):
    table = people()
    table.loc[7, list(REGIONS[:regions])] = 1.5
    assert surface_failures(table)[7] == failed
    assert surface_failures(table).sum() == failed


def test_a_site_of_thin_scans_has_not_failed():
    table = people()
    table.loc[:30, list(REGIONS)] -= 0.9
    table.loc[:30, "site"] = "B"
    assert not surface_failures(table).any()


def test_people_without_thickness_are_not_judged():
    table = people()
    table.loc[3, REGIONS[0]] = np.nan
    assert not surface_failures(table)[3]
    assert not surface_failures(table[["age", "sex"]]).any()


def test_the_note_counts_regions_far_from_what_is_expected():
    distance = np.array([[7.0, -7.0, 8.0, 0.0], [7.0, 7.0, 0.0, 5.9]])
    notes = with_surface_notes(("Before.", ""), distance)
    assert notes == ("Before. thickness is beyond 6 SD in 3 regions: the surfaces have probably failed.", "")


def test_thickness_is_told_from_area_and_volume():
    assert thickness_of((REGIONS[0], "lh_insula_area", "Left-Thalamus")) == (REGIONS[0],)
