"""Surfaces that failed stand out in several regions at once."""

import numpy as np
import pandas as pd
import pytest

from bids_app.normative import surfaces
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


def test_failures_are_those_of_the_residuals_by_hand():
    rng = np.random.default_rng(2)
    table = people(300, seed=3)
    table["site"] = rng.choice(["A", "B"], 300)
    male = (table["sex"] == "male").to_numpy(float)
    age = table["age"].to_numpy()
    shared = 0.004 * (age - 40) ** 2 + 0.5 * np.log(age) + 0.4 * male + 0.9 * (table["site"] == "B")
    table[list(REGIONS)] = table[list(REGIONS)].add(shared, axis=0) + rng.standard_t(2, (300, len(REGIONS))) * 0.2
    table.loc[0, "age"] = np.nan
    table.loc[1, REGIONS[3]] = np.nan
    known = table.index[2:]
    x = np.column_stack([np.ones(298), age[2:], age[2:] ** 2, np.log(age[2:] + 1), male[2:]])
    values = table.loc[known, list(REGIONS)].to_numpy()
    residual = values - x @ np.linalg.lstsq(x, values, rcond=None)[0]
    for site in "AB":
        rows = (table.loc[known, "site"] == site).to_numpy()
        residual[rows] -= np.median(residual[rows], axis=0)
    sd = surfaces.MAD_TO_SD * np.median(np.abs(residual), axis=0)
    for limit in (2.0, 2.5, 3.0, surfaces.FAILED_Z):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(surfaces, "FAILED_Z", limit)
            found = surface_failures(table)
        expected = (np.abs(residual) > limit * sd).sum(axis=1) >= surfaces.FAILED_REGIONS
        assert found[2:].tolist() == expected.tolist()
        assert not found[:2].any()
    assert surface_failures(table.drop(columns="site")).shape == (300,)


def test_four_people_are_too_few_to_judge(monkeypatch):
    monkeypatch.setattr(surfaces, "FAILED_Z", -1.0)
    table = people(5)
    assert surface_failures(table).all()
    assert not surface_failures(table[:4]).any()
    assert not surface_failures(people(50)[["age", "sex"]]).any()


def test_a_distance_of_exactly_the_limit_is_not_beyond():
    at = np.array([[6.0, 6.0, 6.0]])
    assert with_surface_notes(("x",), at) == ("x",)
    assert with_surface_notes(("",), at + 0.1)[0].startswith("thickness is beyond 6 SD in 3 regions")
