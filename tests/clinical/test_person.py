from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bids_app.clinical import person
from bids_app.clinical.person import (
    CHANGE_COLUMNS,
    centile_table,
    change_table,
    count_deviations,
    forecast_table,
    repeatability,
)
from bids_app.normative.change_model import ChangeModel, RegionChange
from bids_app.regions import extended_regions, reference_regions


class Linear:
    """Volume = 1000 + age + 10 z (+ 5 in FreeSurfer 6), the same for all regions."""

    card = None
    regions = ("Left-Thalamus", "Right-Thalamus")

    def deviations(self, data, adaptation=None):
        raise NotImplementedError

    def volumes_at(self, data, z, regions, adaptation=None):
        shift = 5.0 if "fs_version" in data and data["fs_version"].iloc[0] == "6.0" else 0.0
        return 1000 + data["age"].to_numpy()[:, None] + 10 * z + shift


def test_counts_and_their_expected_range():
    counts = count_deviations([-3.0, -1.96, 0.0, 2.5, np.nan])
    assert [counts[name] for name in ("n_regions", "n_infra", "n_supra", "n_total")] == [4, 2, 1, 3]
    assert counts["expected"]["n_infra"]["mean"] == pytest.approx(4 * 0.0249979, rel=1e-4)
    assert set(counts["expected"]) == {"n_infra", "n_supra", "n_total"}


def test_the_fan_stays_in_the_trained_range_and_carries_the_offset():
    table = centile_table(Linear(), "female", 1.4e6, ["Left-Thalamus"], age_range=(20.2, 22.0), fs_version="6.0")
    assert list(table.columns) == ["region", "age", "p025", "p05", "p25", "p50", "p75", "p95", "p975"]
    assert list(table["age"]) == [20.2, 20.5, 21.0, 21.5, 22.0]
    np.testing.assert_allclose(table["p50"], 1005 + table["age"])
    np.testing.assert_allclose(table["p95"] - table["p50"], 16.448536)


def test_the_fan_defaults_to_the_reference_regions_of_the_model():
    table = centile_table(Linear(), "male", 1.5e6, ages=[5, 30, 40], age_range=(18, 80))
    assert list(table["region"].unique()) == ["Left-Thalamus", "Right-Thalamus"]
    assert list(table["age"]) == [30, 40, 30, 40]


def sessions(*rows):
    return pd.DataFrame(rows, columns=["session_id", "age", "region", "z"])


def test_change_between_neighbours_and_from_first_to_last():
    table = change_table(
        sessions(
            ("ses-2", 42.0, "Left-Thalamus", -1.0),
            ("ses-1", 40.0, "Left-Thalamus", 0.0),
            ("ses-3", 45.0, "Left-Thalamus", -3.0),
        )
    )
    assert tuple(table.columns) == CHANGE_COLUMNS
    assert list(zip(table["session_from"], table["session_to"])) == [
        ("ses-1", "ses-2"),
        ("ses-2", "ses-3"),
        ("ses-1", "ses-3"),
    ]
    assert list(table["z_change"]) == [-1.0, -2.0, -3.0]
    assert table["annual_z_change"].tolist() == [-0.5, pytest.approx(-2 / 3), pytest.approx(-0.6)]
    assert list(table["reliable"]) == [False, False, True]


def test_the_longitudinal_stream_detects_smaller_change():
    rows = sessions(("ses-1", 40.0, "Left-Thalamus", 0.0), ("ses-2", 41.0, "Left-Thalamus", -0.8))
    cross, long = change_table(rows), change_table(rows.assign(stream="long"))
    assert not cross["reliable"].item()
    assert long["reliable"].item()
    assert long["z_change_se"].item() < cross["z_change_se"].item()


def test_an_unknown_repeatability_and_a_missing_z_leave_reliable_open():
    table = change_table(
        sessions(
            ("a", 40.0, "asymmetry_Thalamus", 0.0),
            ("b", 40.0, "asymmetry_Thalamus", 9.0),
            ("a", 40.0, "Left-Caudate", np.nan),
            ("b", 40.0, "Left-Caudate", 1.0),
        )
    )
    assert table["reliable"].isna().all()
    assert table["years"].isna().all()


def test_one_session_has_no_change():
    assert change_table(sessions(("ses-1", 40.0, "Left-Thalamus", 0.0))).empty


@settings(max_examples=15)
@given(st.floats(-5, 5), st.floats(-5, 5))
def test_swapping_the_order_of_rows_changes_nothing(first, second):
    rows = sessions(("ses-1", 40.0, "Left-Thalamus", first), ("ses-2", 41.0, "Left-Thalamus", second))
    pd.testing.assert_frame_equal(change_table(rows), change_table(rows.iloc[::-1]))


def test_every_modelled_region_has_a_row_with_its_source_in_both_streams():
    table = repeatability()
    assert not table.duplicated(["region", "stream"]).any()
    assert set(table["region"]) == set(reference_regions()) | set(extended_regions())
    assert table["source"].notna().all()
    assert set(table["basis"]) == {"measured", "published", "none"}
    known = table["basis"] != "none"
    assert (table[["sem_percent", "sem_z", "df"]].notna().all(axis=1) == known).all()
    assert table.loc[known, "sem_z"].between(0.05, 1.0).all()
    assert table.loc[known, "source"].str.contains(r"scans of \d+ people").all()
    cortical = table["region"].str.contains("_volume") & known
    assert table.loc[cortical, "sem_z"].nunique() > 30


@pytest.mark.parametrize("estimated", [False, True])
def test_of_unchanged_people_3_to_7_percent_of_changes_are_called_reliable(estimated, monkeypatch):
    """With the error that of the table, and with a table that is itself estimated from its degrees of freedom."""
    known = repeatability().query("stream == 'long' and basis == 'measured'")
    rng, called, said = np.random.default_rng(3), 0, 0
    for _ in range(120):
        if estimated:
            drawn = known["sem_z"] * np.sqrt(rng.chisquare(known["df"]) / known["df"])
            monkeypatch.setattr(person, "_repeatability", lambda drawn=drawn: known.assign(sem_z=drawn))
        scans = [
            pd.DataFrame(
                {
                    "session_id": session,
                    "age": age,
                    "region": known["region"].to_numpy(),
                    "z": 0.4 + known["sem_z"].to_numpy() * rng.standard_normal(len(known)),
                    "stream": "long",
                }
            )
            for session, age in (("a", 40.0), ("b", 41.0))
        ]
        found = change_table(pd.concat(scans))["reliable"]
        called, said = called + int(found.astype(bool).sum()), said + len(found)
    assert 0.03 <= called / said <= 0.07


def test_without_a_published_error_and_between_streams_no_change_is_called_reliable():
    rows = sessions(("a", 40.0, "Left-Putamen", 0.0), ("b", 41.0, "Left-Putamen", -9.0))
    assert change_table(rows)["reliable"].isna().all()
    assert change_table(rows.assign(stream="long"))["reliable"].all()
    assert change_table(rows.assign(stream=["cross", "long"]))["reliable"].isna().all()


def test_the_conditional_z_beside_the_change_worked_by_hand():
    """r = 0.9 exp(-0.1 * 2) = 0.736858: from -1 to -2 the expected z is -0.736858, the spread sqrt(1 - r^2) = 0.676046,
    and the conditional z -1.263142 / 0.676046 = -1.868426."""
    trained = ChangeModel(regions={"Left-Thalamus": RegionChange(0.9, 0.1)}, stream="cross")
    rows = sessions(("ses-1", 40.0, "Left-Thalamus", -1.0), ("ses-2", 42.0, "Left-Thalamus", -2.0))
    found = change_table(rows, None, trained).iloc[0]
    assert found["z_expected"] == pytest.approx(-0.736858, abs=1e-6)
    assert found["z_gain"] == pytest.approx(-1.868426, abs=1e-5)
    assert found["z_gain_basis"] == "trained"


def test_without_a_change_model_the_correlation_is_that_of_measurement_error():
    rows = sessions(("ses-1", 40.0, "Left-Thalamus", -1.0), ("ses-2", 42.0, "Left-Thalamus", -2.0))
    found = change_table(rows.assign(stream="long")).iloc[0]
    r = 1 - 0.161**2
    assert found["z_gain"] == pytest.approx((-2 + r) / np.sqrt(1 - r**2))
    assert found["z_gain_basis"] == "repeatability"
    # the cross-sectional thalamus repeats too badly: a correlation so low would take a z that stays for a change
    assert np.isnan(change_table(rows).iloc[0]["z_gain"])


def test_a_change_model_of_the_other_stream_is_not_used():
    trained = ChangeModel(regions={"Left-Thalamus": RegionChange(0.9, 0.1)}, stream="cross")
    rows = sessions(("ses-1", 40.0, "Left-Thalamus", -1.0), ("ses-2", 42.0, "Left-Thalamus", -2.0))
    assert change_table(rows.assign(stream="long"), None, trained).iloc[0]["z_gain_basis"] == "repeatability"


def test_nothing_is_reliable_between_sessions_that_cannot_be_compared():
    rows = sessions(("ses-1", 40.0, "Left-Thalamus", 0.0), ("ses-2", 42.0, "Left-Thalamus", -9.0)).assign(stream="long")
    assert change_table(rows, {("ses-1", "ses-2"): "with care"})["reliable"].all()
    found = change_table(rows, {("ses-1", "ses-2"): "not comparable"}).iloc[0]
    assert found["reliable"] is None
    assert np.isnan(found["z_gain"])
    assert found["z_change"] == -9.0


class Aged(Linear):
    """`Linear` with an age range."""

    card = SimpleNamespace(age_range={"female": (20.0, 43.0)})


def test_the_fan_ahead_starts_at_measurement_error_and_widens_towards_all_people():
    """z = -2 and r = 0.9 exp(-0.1 t): the middle is 1000 + age + 10 (-2 r), the outer lines 19.6 sqrt(1 - r^2) away."""
    trained = ChangeModel(regions={"Left-Thalamus": RegionChange(0.9, 0.1)})
    table = forecast_table(Aged(), {"age": 40.0, "sex": "female"}, pd.Series({"Left-Thalamus": -2.0}), "long", trained)
    assert list(table["age"]) == [40.0, 40.5, 41.0, 41.5, 42.0, 42.5, 43.0]
    r = 0.9 * np.exp(-0.1 * (table["age"] - 40))
    np.testing.assert_allclose(table["p50"], 1000 + table["age"] - 20 * r)
    np.testing.assert_allclose(table["p975"] - table["p50"], 19.59964 * np.sqrt(1 - r**2), rtol=1e-6)
    assert set(table["basis"]) == {"trained"}


def test_there_is_no_fan_ahead_of_a_region_of_unknown_correlation_or_at_the_last_age_of_the_model():
    z = pd.Series({"Left-Thalamus": np.nan, "Right-Thalamus": 0.0})
    trained = ChangeModel(regions={"Left-Thalamus": RegionChange(0.9)})
    assert forecast_table(Aged(), {"age": 40.0, "sex": "female"}, z, "long", trained).empty
    trained = ChangeModel(regions={"Right-Thalamus": RegionChange(0.9)})
    assert forecast_table(Aged(), {"age": 43.0, "sex": "female"}, z, "long", trained).empty


def test_ages_of_a_grid_are_half_yearly_between_its_ends():
    assert person._age_grid(20.0, 21.0).tolist() == [20, 20.5, 21]
    assert person._age_grid(20.1, 20.9).tolist() == [20.1, 20.5, 20.9]
    assert person._age_grid(20.1, 20.2).tolist() == [20.1, 20.2]


def test_ages_at_the_ends_are_drawn_and_those_beyond_are_not():
    table = centile_table(Linear(), "male", 1.5e6, ["Left-Thalamus"], ages=[17.9, 18, 80, 80.1], age_range=(18, 80))
    assert table["age"].tolist() == [18, 80]
    empty = centile_table(Linear(), "male", 1.5e6, ["Left-Thalamus"], ages=[5], age_range=(18, 80))
    assert empty.empty
    assert list(empty) == list(table)
    assert centile_table(Linear(), "male", 1.5e6, [], age_range=(18, 80)).empty


def test_reliable_change_worked_by_hand():
    """Limit: t(0.975, df) sqrt(2) sem of the table."""
    known = repeatability().set_index(["region", "stream"]).loc[("Left-Thalamus", "long")]
    se = known["sem_z"] * np.sqrt(2)
    limit = stats.t.ppf(0.975, known["df"]) * se
    for change, reliable in ((limit * 1.0001, True), (limit * 0.9999, False), (-limit * 1.0001, True)):
        rows = sessions(("a", 40.0, "Left-Thalamus", 0.5), ("b", 42.0, "Left-Thalamus", 0.5 + change))
        found = change_table(rows.assign(stream="long")).iloc[0]
        assert bool(found["reliable"]) is reliable
        assert found["z_change_se"] == pytest.approx(se)
        assert found["annual_z_change"] == pytest.approx(change / 2)
        assert (found["z_from"], found["z_to"]) == (0.5, 0.5 + change)
        assert found["comparable"] is None


def test_regions_keep_their_order_and_those_of_one_session_are_left_out():
    rows = sessions(
        ("a", 40.0, "Right-Thalamus", 0.0),
        ("a", 40.0, "Left-Thalamus", 0.0),
        ("a", 40.0, "Left-Caudate", 0.0),
        ("b", 41.0, "Left-Thalamus", 1.0),
        ("b", 41.0, "Right-Thalamus", 1.0),
    )
    assert change_table(rows)["region"].tolist() == ["Right-Thalamus", "Left-Thalamus"]


def test_correlations_of_error_are_of_regions_that_repeat_well():
    table = repeatability()
    for stream in ("cross", "long"):
        known = person.error_correlations(stream)
        rows = table[(table["stream"] == stream) & (table["sem_z"] <= 0.5)]
        assert set(known.regions) == set(rows["region"])
        first = rows.iloc[0]
        assert known.correlation([first["region"]], 3.0)[0] == pytest.approx(1 - first["sem_z"] ** 2)
        assert (known.basis, known.stream) == ("repeatability", stream)


def test_the_fan_ahead_ends_after_five_years():
    trained = ChangeModel(regions={"Left-Thalamus": RegionChange(0.9, 0.1)})
    z = pd.Series({"Left-Thalamus": -2.0})
    table = forecast_table(Aged(), {"age": 30.0, "sex": "female"}, z, "long", trained)
    assert table["age"].tolist() == [30 + step / 2 for step in range(11)]
    late = forecast_table(Aged(), {"age": 42.5, "sex": "female"}, z, "long", trained)
    assert late["age"].tolist() == [42.5, 43.0]
    assert len(forecast_table(Aged(), {"age": 90.0, "sex": "male"}, z, "long", trained)) == 11
