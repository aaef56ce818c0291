import numpy as np
import pandas as pd

from bids_app.clinical.composites import composite_name, composites, published, published_rates, with_composites
from bids_app.regions import names


def test_composites_are_sums_of_known_regions():
    assert list(composites()) == ["whole-brain", "cortical-grey", "deep-grey", "white-matter", "thalamus", "ventricles"]
    assert {part for parts in composites().values() for part in parts} <= set(names("reference", "extended"))


def test_a_sum_is_missing_where_a_part_is_and_absent_where_a_part_is_no_column():
    volumes = pd.DataFrame({"Left-Thalamus": [7000.0, np.nan], "Right-Thalamus": [6900.0, 6800.0]})
    table = with_composites(volumes)
    assert list(table.columns) == ["thalamus", "Left-Thalamus", "Right-Thalamus"]
    assert table["thalamus"][0] == 13900.0
    assert np.isnan(table["thalamus"][1])
    assert composite_name("thalamus") == "thalamus (both sides)"
    assert composite_name("Left-Thalamus") == "left thalamus"


def test_published_rates_carry_their_source():
    table = published_rates()
    assert published("thalamus", "multiple sclerosis") == -0.71
    assert published("thalamus", "healthy") == -0.28
    assert published("whole-brain", "healthy") == -0.27
    assert np.isnan(published("ventricles", "healthy"))
    assert table["source"].str.contains("doi:").all()
    assert table.loc[table["method"].str.contains("-0.4"), "method"].str.contains("SIENA's").all()
