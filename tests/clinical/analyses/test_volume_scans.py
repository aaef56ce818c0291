import numpy as np
import pandas as pd
import pytest

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
