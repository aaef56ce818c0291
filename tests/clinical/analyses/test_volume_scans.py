import numpy as np
import pandas as pd
import pytest

from bids_app.clinical.analyses.volume_rates import rates
from bids_app.clinical.analyses.volume_scans import ALL_SCANS, REBASELINED, baselines, comparability, followed
from bids_app.clinical.analysis_file import AnalysisConfig
from bids_app.clinical.cohort import Measured, prepare
from bids_app.errors import AnalysisError


def cohort(**columns):
    """Three people with three scans a year apart; `columns` are those of the nine scans."""
    table = pd.DataFrame(
        {
            "participant_id": np.repeat(["sub-1", "sub-2", "sub-3"], 3),
            "session_id": np.tile(["ses-1", "ses-2", "ses-3"], 3),
            "age": np.repeat([40.0, 50.0, 60.0], 3) + np.tile([0.0, 1.0, 2.0], 3),
            "sex": "female",
            "etiv_mm3": 1.5e6,
            **columns,
        }
    )
    volumes = pd.DataFrame({"Left-Thalamus": 7000.0, "Right-Thalamus": 6900.0}, index=table.index)
    return table, pd.DataFrame({"Left-Thalamus": np.zeros(9)}), Measured(volumes, pd.DataFrame(index=table.index))


def data(config=None, **columns):
    table, z, measured = cohort(**columns)
    return prepare(table, z, config or AnalysisConfig(), measured=measured)


SCANNER = ["a", "a", "b", "a", "a", "a", "a", "b", "b"]


def test_scans_of_another_scanner_are_left_out_and_said():
    found = followed(data(AnalysisConfig(roles={"scanner": "mri"}), mri=SCANNER))
    assert list(found.scans.index) == [0, 1, 3, 4, 5, 7, 8]
    assert "2 scans of 2 people left out of rates" in found.sentences[1]


def test_they_stay_when_the_analysis_file_includes_them():
    found = followed(data(AnalysisConfig(roles={"scanner": "mri"}, incomparable="include"), mri=SCANNER))
    assert len(found.scans) == 9
    assert "are included" in found.sentences[1]


def followed_people(offset=0.05, change=lambda person: person % 4, times=(0, 1, 2, 3), seed=0):
    """24 people lose 1 % a year over scans at `times`; from visit `change` on (0: never) scanner b adds `offset`."""
    rng = np.random.default_rng(seed)
    person, visit = np.repeat(np.arange(24), 4), np.tile(np.arange(4), 24)
    years = np.array(times)[visit]
    switch = np.array([change(number) for number in person])
    scanner = np.where((switch > 0) & (visit >= switch), "b", "a")
    table = pd.DataFrame(
        {
            "participant_id": [f"sub-{number:02}" for number in person],
            "session_id": [f"ses-{number}" for number in visit],
            "age": 30.0 + person + years,
            "sex": np.where(person % 2, "female", "male"),
            "etiv_mm3": 1.5e6,
            "scanner": scanner,
        }
    )
    logs = np.log(7000) + 0.05 * rng.normal(size=24)[person] - 0.01 * years + 0.002 * rng.normal(size=96)
    logs += offset * (scanner == "b")
    volumes = pd.DataFrame({name: np.exp(logs) for name in ("Left-Thalamus", "Right-Thalamus")})
    return table, volumes


def rate_with(how, table, volumes, **roles):
    z = pd.DataFrame({"Left-Thalamus": np.zeros(len(table))})
    config = AnalysisConfig(roles=roles, incomparable=how)
    found = rates(prepare(table, z, config, measured=Measured(volumes, pd.DataFrame(index=table.index))))[0]
    return found.table.set_index("region").loc["thalamus"], found


@pytest.mark.parametrize("roles", [{}, {"scanner": "scanner"}])
def test_scanners_that_can_be_told_from_time_are_harmonised(roles):
    table, volumes = followed_people()
    mixed, _ = rate_with("include", table, volumes, **roles)
    alike, found = rate_with("harmonise", table, volumes, **roles)
    truth = 100 * np.expm1(-0.01)
    assert abs(mixed["rate"] - truth) > 0.4
    assert alike["low"] < truth < alike["high"]
    assert alike["rate"] == pytest.approx(truth, abs=0.15)
    assert alike["n_scans"] == 96
    assert any(text.startswith("Log volume was harmonised over scanners first") for text in found.sentences)
    assert "Log volume was harmonised over scanners (column scanner) by longitudinal ComBat" in found.methods


def test_scanners_that_cannot_be_told_from_time_are_left_out_and_that_is_said():
    table, volumes = followed_people(change=lambda person: 2, times=(0, 0.3, 3, 3.3))
    alike, found = rate_with("harmonise", table, volumes)
    left, _ = rate_with("leave out", table, volumes)
    assert alike["n_scans"] == left["n_scans"] == 48
    assert alike["rate"] == left["rate"]
    assert alike["low"] < 100 * np.expm1(-0.01) < alike["high"]
    assert "so a change of scanner cannot be told from change over time" in " ".join(found.sentences)
    assert "48 scans of 24 people left out of rates" in " ".join(found.sentences)
    assert "Log volume was not harmonised over scanners: people changed scanner" in found.methods


def test_what_combat_cannot_fit_is_left_out_as_well():
    """A scanner with one scan, and volumes that never differ."""
    table, volumes = followed_people(change=lambda person: 3 if person == 0 else 0)
    alike, found = rate_with("harmonise", table, volumes)
    assert alike["n_scans"] == 95
    assert any(text.startswith("Log volume was not harmonised over scanners") for text in found.sentences)
    found = followed(data(AnalysisConfig(incomparable="harmonise"), scanner=SCANNER))
    assert list(found.scans.index) == [0, 1, 3, 4, 5, 7, 8]
    assert any("not harmonised" in text for text in found.sentences)


def test_a_region_that_never_differs_does_not_spoil_the_others():
    table, volumes = followed_people()
    alone, _ = rate_with("harmonise", table, volumes)
    other, found = rate_with("harmonise", table, volumes.assign(**{"Left-Caudate": 3500.0}))
    assert other["rate"] == pytest.approx(alone["rate"], abs=0.02)
    assert found.table.set_index("region").loc["Left-Caudate", "rate"] == pytest.approx(0, abs=1e-9)


def test_what_differs_in_more_than_the_scanner_is_left_out_of_what_is_harmonised():
    table, volumes = followed_people()
    table["stream"] = ["long"] * 3 + ["cross"] + ["long"] * 92
    alike, found = rate_with("harmonise", table, volumes)
    assert alike["n_scans"] == 95
    assert any(text.startswith("1 scan of 1 person left out of rates") for text in found.sentences)


def test_where_nobody_changed_scanner_harmonising_changes_nothing():
    table, volumes = followed_people(change=lambda person: 0)
    alike, found = rate_with("harmonise", table, volumes)
    assert alike["rate"] == rate_with("include", table, volumes)[0]["rate"]
    assert not any("harmonised" in text for text in found.sentences)


def test_a_scanner_column_is_found_without_a_role():
    assert len(followed(data(scanner=SCANNER)).scans) == 7


def test_the_share_of_intervals_is_said_with_its_reasons():
    result = comparability(data(scanner=SCANNER, stream="long"))[0]
    assert len(result.table) == 6
    assert (result.table["comparable"] == "not comparable").sum() == 2
    assert result.sentences[0].startswith(
        "Of 6 intervals between one scan and the next 2 (33 %) are between scans that"
    )
    assert result.sentences[0].endswith("cannot be compared, 0 call for care.")
    assert result.sentences[1] == "What differs: scanner (2)."
    alike = comparability(data(scanner=["a"] * 9, stream="long"))[0]
    assert alike.sentences == (
        "Of 6 intervals between one scan and the next 0 (0.0 %) are between scans that cannot be compared, "
        "0 call for care.",
    )


def test_mixed_streams_are_said_with_the_offset_where_a_visit_has_both():
    table, z, measured = cohort(stream="cross")
    table = pd.concat([table, table.iloc[:3].assign(stream="long", session_id=["l1", "l2", "l3"])], ignore_index=True)
    z = pd.concat([z, z.iloc[:3]], ignore_index=True)
    volumes = pd.concat([measured.volumes, measured.volumes.iloc[:3] * np.exp(-0.02)], ignore_index=True)
    mixed = prepare(table, z, AnalysisConfig(), measured=Measured(volumes, pd.DataFrame(index=table.index)))
    said = comparability(mixed)[0].sentences[-1]
    assert "in 3 visits measured by both the longitudinal stream gives thalamus (both sides) -2.0 %" in said
    assert "median absolute offset of a region 2.0 %" in said
    # a second scan of one visit in the same stream tells nothing of the streams
    again = (table.iloc[[3]].assign(session_id="again"), z.iloc[[3]], volumes.iloc[[3]] * 1.2)
    table, z, volumes = (pd.concat(pair, ignore_index=True) for pair in zip((table, z, volumes), again, strict=True))
    mixed = prepare(table, z, AnalysisConfig(), measured=Measured(volumes, pd.DataFrame(index=table.index)))
    assert comparability(mixed)[0].sentences[-1] == said
    assert followed(mixed).stream in ("cross", "mixed")
    alone = comparability(data(stream=["cross", "long", "long"] * 3))[0].sentences[-1]
    assert "no visit has both" in alone


def test_scans_before_the_treatment_has_worked_are_left_out_after_rebaselining():
    config = AnalysisConfig(roles={"treatment_start": "start"}, rebaseline_months=6)
    start = [None, None, None, 0.25, None, None, None, None, None]
    parts, sentences, passage = baselines(data(config, start=start))
    assert list(parts[ALL_SCANS].scans.index) == list(range(9))
    assert list(parts[REBASELINED].scans.index) == [0, 1, 2, 4, 5, 6, 7, 8]
    assert sentences == (
        "Of 1 person with a start of treatment 1 scan is before 6 months of it and left out after re-baselining.",
    )
    assert "pseudoatrophy" in passage


def test_a_date_of_treatment_is_placed_by_the_dates_of_the_visits():
    config = AnalysisConfig(roles={"treatment_start": "start", "visit_date": "when"}, rebaseline_months=6)
    when = ["2020-01-01", "2021-01-01", "2022-01-01"] * 3
    parts, _, _ = baselines(data(config, when=when, start=["2020-08-01"] * 3 + [None] * 6))
    assert list(parts[REBASELINED].scans.index) == [2, 3, 4, 5, 6, 7, 8]


def test_without_volumes_there_is_no_rate():
    table, z, _ = cohort()
    with pytest.raises(AnalysisError, match="there are no volumes beside the z-scores"):
        followed(prepare(table, z, AnalysisConfig()))
