"""Reading the participant level's outputs back."""

import numpy as np
import pandas as pd
import pytest

from bids_app.bids.derivatives import (
    LATE_SECONDS,
    not_shown,
    person_summary_paths,
    read_deviations,
    read_summaries,
    read_wide,
    summary_paths,
)
from bids_app.bids.names import derivative_path
from bids_app.errors import InputError
from bids_app.tables import write_json, write_tsv


@pytest.fixture
def output(tmp_path):
    for participant, session, regions in (("2", None, ["a", "b"]), ("10", "1", ["b", "c"]), ("10", "2", ["a"])):
        z = [float(f"{participant}{index}") for index in range(len(regions))]
        z[0] = np.nan if session == "2" else z[0]
        table = pd.DataFrame({"region": regions, "z": z, "deviation": "none"})
        write_tsv(table, derivative_path(tmp_path, participant, session, desc="deviations"))
        write_json(
            {"participant_id": f"sub-{participant}"},
            derivative_path(tmp_path, participant, session, desc="summary", extension=".json"),
        )
    (tmp_path / "sub-3" / "log").mkdir(parents=True)
    return tmp_path


def test_scored_scans_in_natural_order(output):
    keys = [key for key, _ in summary_paths(output)]
    assert keys == [("sub-2", None), ("sub-10", "ses-1"), ("sub-10", "ses-2")]
    assert len(read_summaries(output)) == 3
    assert summary_paths(output / "nothing") == []


def test_wide_table_keeps_order_and_gaps(output):
    wide = read_deviations(output)
    assert wide.columns.tolist() == ["participant_id", "session_id", "a", "b", "c"]
    np.testing.assert_array_equal(wide[["a", "b", "c"]], [[20, 21, np.nan], [np.nan, 100, 101], [np.nan] * 3])
    assert read_deviations(output, participants=["sub-10"])["session_id"].tolist() == ["ses-1", "ses-2"]
    assert read_wide(output, [], "deviations", "z").columns.tolist() == ["participant_id", "session_id"]


def test_wide_table_equals_pandas(output):
    wide = read_wide(output, [("sub-2", None)], "deviations", "z")
    path = derivative_path(output, "2", desc="deviations")
    expected = pd.read_csv(path, sep="\t").set_index("region")["z"].astype(float)
    pd.testing.assert_series_equal(wide.iloc[0, 2:].astype(float), expected, check_names=False)


@pytest.mark.parametrize("content", ["", "region\tx\na\t1\n", "region\tz\na\n", "region\tz\na\tfoo\n"])
def test_damaged_table_is_named(output, content):
    path = derivative_path(output, "2", desc="deviations")
    path.write_text(content)
    with pytest.raises(InputError, match=r"sub-2_desc-deviations_morph\.tsv"):
        read_deviations(output)


def test_equal_parts_of_summaries_are_one_in_memory(tmp_path):
    for number in (1, 2):
        summary = {
            "participant_id": f"sub-{number}",
            "covariates": {"age": 30.5 + number, "sources": {"age": "participants.tsv:age"}},
            "findings": [{"kind": "age-units", "seen": str(number)}],
            "warnings": ["the same of both"],
            "inputs": {"stats/aseg.stats": "abc"},
            "fingerprint": "def",
        }
        write_json(summary, derivative_path(tmp_path, str(number), desc="summary", extension=".json"))
    one, other = read_summaries(tmp_path)
    assert one["covariates"] == {"age": 31.5, "sources": {"age": "participants.tsv:age"}}
    assert one["covariates"]["sources"] is other["covariates"]["sources"]
    assert one["warnings"] is other["warnings"]
    assert one["findings"] == [{"kind": "age-units", "seen": "1"}]
    assert other["findings"] == [{"kind": "age-units", "seen": "2"}]
    assert "inputs" not in one
    assert "fingerprint" not in one


@pytest.mark.parametrize(
    ("summary", "words"),
    [
        ({"participant_id": "a", "schema": 2}, "newer version"),
        ({"participant_id": "a", "schema": 0}, "older version"),
        ({"participant_id": "a", "schema": "1"}, "older version"),
        ({"schema": 1}, "older version"),
        ([], "older version"),
    ],
)
def test_a_summary_of_another_version_is_named(tmp_path, summary, words):
    write_json(summary, derivative_path(tmp_path, "1", desc="summary", extension=".json"))
    with pytest.raises(InputError, match=words):
        read_summaries(tmp_path)


def test_a_summary_of_this_version_or_of_none_is_read(tmp_path):
    for label, summary in (("1", {"schema": 1}), ("2", {})):
        write_json(
            {"participant_id": label, **summary}, derivative_path(tmp_path, label, desc="summary", extension=".json")
        )
    assert [summary["participant_id"] for summary in read_summaries(tmp_path)] == ["1", "2"]


def test_only_what_was_met_early_is_shared(tmp_path, monkeypatch):
    monkeypatch.setattr("bids_app.bids.derivatives.MOST_SHARED", 1)
    for label in ("1", "2"):
        content = {"participant_id": label, "a": {"x": 1}, "b": {"y": 2}}
        write_json(content, derivative_path(tmp_path, label, desc="summary", extension=".json"))
    one, other = read_summaries(tmp_path)
    assert one["a"] is other["a"]
    assert one["b"] is not other["b"]
    assert one["b"] == {"y": 2}


def test_the_summaries_of_one_person_in_natural_order(output):
    assert [path.name for path in person_summary_paths(output, "10")] == [
        "sub-10_ses-1_desc-summary_morph.json",
        "sub-10_ses-2_desc-summary_morph.json",
    ]
    assert len(person_summary_paths(output, "2")) == 1
    assert person_summary_paths(output, "1") == []


def test_what_is_shown_late_is_waited_for_a_while(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("bids_app.bids.derivatives.time.monotonic", lambda: clock[0])
    monkeypatch.setattr("bids_app.bids.derivatives.time.sleep", lambda step: clock.__setitem__(0, clock[0] + step))
    assert not_shown([1, 2], lambda item: True) == []
    assert clock[0] == 0
    assert not_shown([1, 2, 3], lambda item: clock[0] >= item) == []
    assert clock[0] == pytest.approx(3.0)
    clock[0] = 0
    assert not_shown([1, 9], lambda item: clock[0] >= item) == [9]
    assert LATE_SECONDS <= clock[0] < LATE_SECONDS + 0.5
    assert LATE_SECONDS == 5


def test_labels_are_asked_for_with_or_without_prefix(output):
    assert read_deviations(output, participants=["2"])["participant_id"].tolist() == ["sub-2"]
    assert len(read_deviations(output, participants=["2", "sub-10"])) == 3
