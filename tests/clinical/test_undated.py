"""Dates become years since a person's first visit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bids_app.clinical.undated import undated


@pytest.fixture
def visits():
    return pd.DataFrame(
        {
            "participant_id": ["sub-1", "sub-1", "sub-2"],
            "visit_date": ["2019-03-12", "2021-03-12", np.nan],
            "years_from_first": [0.0, 2.0, 0.0],
            "edss": [1.0, 2.0, 3.0],
            "relapses": ["2019-09-12; 12.03.2020", np.nan, "2018-01-01"],
            "site": ["A", "A", "B"],
            "birth": pd.to_datetime(["1980-03-12", "1980-03-12", "1990-01-01"]),
        }
    )


def test_dates_are_years_since_the_first_visit_and_the_rest_stays(visits):
    found = undated(visits)
    assert "visit_date" not in found
    assert list(found["relapses"])[:1] == ["0.50; 1.00"]
    assert list(found["birth"])[:2] == ["-39.00", "-39.00"]
    assert found["relapses"].isna().tolist() == [False, True, True]
    pd.testing.assert_frame_equal(found[["edss", "site"]], visits[["edss", "site"]])


def test_a_first_visit_without_scan_is_the_first(visits):
    visits["years_from_first"] = [1.0, 3.0, 0.0]
    assert undated(visits)["relapses"].iloc[0] == "1.50; 2.00"


def test_without_dates_nothing_changes(visits):
    plain = visits[["participant_id", "edss", "site"]]
    pd.testing.assert_frame_equal(undated(plain), plain)
