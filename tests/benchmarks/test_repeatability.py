import numpy as np
import pandas as pd
import pytest

from benchmarks.repeatability import gains, summary

VISITS = 6
REGIONS = ["Left-Thalamus", "Right-Thalamus", "lh_insula_volume"]


def scans(error: float, people: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    true = np.sqrt(1 - error**2) * rng.standard_normal((people, 1, len(REGIONS)))
    z = true + error * rng.standard_normal((people, VISITS, len(REGIONS)))
    names = [[f"sub-{i:04d}" for i in range(people)], [f"ses-{i + 1}" for i in range(VISITS)]]
    index = pd.MultiIndex.from_product(names, names=["participant_id", "session_id"])
    return pd.DataFrame(z.reshape(-1, len(REGIONS)), index, REGIONS)


@pytest.mark.parametrize(("given", "share", "spread"), [(0.2, 5.0, 1.0), (0.1, 32.7, 2.0)])
def test_gains_of_people_who_only_err_are_standard_normal_where_the_error_is_right(given, share, spread):
    z = scans(0.2)
    errors = dict.fromkeys(z.index.unique(level=0), pd.Series(given, REGIONS))
    found = summary(gains(z, errors))
    assert list(found.index) == ["Thalamus", "cortex", "next scan", "three or more scans later", "all"]
    assert list(found["n"]) == [1800, 900, 900, 1080, 2700]
    assert found.loc["all", "sd_z_gain"] == pytest.approx(spread, rel=0.1)
    assert found.loc["all", ["z_gain", "difference"]].to_numpy(float) == pytest.approx(share, abs=2.5)


def test_each_person_is_judged_by_their_own_entry_and_a_region_without_error_has_no_gain():
    z = scans(0.2, people=2).query("session_id <= 'ses-2'")
    errors = {
        "sub-0000": pd.Series({"Left-Thalamus": 0.1, "Right-Thalamus": 0.1}),
        "sub-0001": pd.Series({"Left-Thalamus": 0.3}),
    }
    found = gains(z, errors).set_index(["participant_id", "region"])
    assert list(found.index) == [
        ("sub-0000", "Left-Thalamus"),
        ("sub-0000", "Right-Thalamus"),
        ("sub-0001", "Left-Thalamus"),
    ]
    first, second = z.loc["sub-0001", "Left-Thalamus"]
    r = 1 - 0.3**2
    expected = (second - r * first) / np.sqrt(1 - r**2)
    assert found.loc[("sub-0001", "Left-Thalamus"), "z_gain"] == pytest.approx(expected)
