"""The scans of the group level, read from the participant level's files alone."""

import weakref

import pandas as pd
import pytest

from bids_app.bids import derivatives
from bids_app.bids.derivatives import summary_paths
from bids_app.bids.disguise import Disguise
from bids_app.bids.layout import Scan
from bids_app.bids.names import derivative_path
from bids_app.bids.phenotypes import clinical_table
from bids_app.bids.ratings import keep_ratings
from bids_app.bids.status import write_status
from bids_app.clinical import scored_scans
from bids_app.clinical.scored_scans import write_group_tables
from bids_app.errors import InputError
from bids_app.run import cohort
from bids_app.run.cohort import cohort_with_clinical, forget, group_findings, read_cohort, reading_once, scans_of
from bids_app.run.disguised import phenotype_findings_of
from bids_app.tables import write_json, write_tsv

REGIONS = ["Left-Thalamus", "Right-Thalamus"]


def write_scan(root, participant, session=None, verdict="pass", technical="pass", volumes=(6000.0, 7000.0), **other):
    """One scored scan of two regions; `other` are columns of its source tables."""
    z = [-2.5, 0.5]
    table = pd.DataFrame({"region": REGIONS, "z": z, "volume_mm3": volumes})
    for desc in ("deviations", "extended", "asymmetry", "volumes"):
        write_tsv(
            table if desc in ("deviations", "volumes") else table.iloc[:0], path(root, participant, session, desc)
        )
    content = {
        "participant_id": f"sub-{participant}",
        "session_id": None if session is None else f"ses-{session}",
        "covariates": {"age": 40.0 + float(session or 0), "sex": "female", "etiv_mm3": 1.5e6, "other": other},
        "counts": {"n_infra": 1, "n_supra": 0, "n_total": 1, "n_regions": 2},
        "quality": {"verdict": verdict, "technical": technical, "reasons": ["61 surface holes"], "metrics": {}},
        "model": {"name": "m", "version": "1"},
    }
    write_json(content, path(root, participant, session, "summary", ".json"))
    write_status(root, participant, session, status="scored", stage="done")


def path(root, participant, session, desc, extension=".tsv"):
    return derivative_path(root, participant, session, desc=desc, extension=extension)


def test_scans_keep_their_order_their_z_and_the_columns_that_split_them(tmp_path):
    write_scan(tmp_path, "10", "1", Group="MS", scanner="A")
    write_scan(tmp_path, "2", Group="HC", scanner="B")
    found = read_cohort(tmp_path)
    assert found.scans["participant_id"].tolist() == ["sub-2", "sub-10"]
    assert found.scans["group"].tolist() == ["HC", "MS"]
    assert found.scans["site"].tolist() == ["B", "A"]
    assert found.scans["model"].tolist() == ["m 1", "m 1"]
    assert found.zscores[REGIONS].to_numpy().tolist() == [[-2.5, 0.5]] * 2
    assert found.volumes["Left-Thalamus"].tolist() == [6000.0, 6000.0]
    assert found.inclusion["status"].tolist() == ["scored", "scored"]


def test_an_excluded_verdict_leaves_the_tables_and_stays_in_the_inclusion(tmp_path):
    write_scan(tmp_path, "1")
    write_scan(tmp_path, "2", verdict="fail")
    assert len(read_cohort(tmp_path).scans) == 2
    found = read_cohort(tmp_path, ["fail"])
    assert found.scans["participant_id"].tolist() == ["sub-1"]
    row = found.inclusion.set_index("participant_id").loc["sub-2"]
    assert (row["status"], row["stage"], row["reason"]) == ("excluded", "quality", "61 surface holes")


def test_a_scan_whose_last_run_failed_is_out_although_an_older_result_is_there(tmp_path):
    write_scan(tmp_path, "1")
    write_scan(tmp_path, "2")
    write_status(tmp_path, "2", status="failed", stage="score", reason="disk full")
    assert read_cohort(tmp_path).scans["participant_id"].tolist() == ["sub-1"]


def test_technical_failures_are_out_by_default_and_failures_by_outcome_stay(tmp_path):
    write_scan(tmp_path, "1")
    write_scan(tmp_path, "2", verdict="fail", technical="fail")
    write_scan(tmp_path, "3", verdict="fail", technical="warn")
    assert read_cohort(tmp_path).scans["participant_id"].tolist() == ["sub-1", "sub-3"]
    assert len(read_cohort(tmp_path, include_quality=["fail"]).scans) == 3
    assert read_cohort(tmp_path, ["fail"]).scans["participant_id"].tolist() == ["sub-1"]


def test_one_brain_under_two_names_is_a_finding(tmp_path, monkeypatch):
    monkeypatch.setattr("bids_app.run.cohort.ENOUGH_REGIONS", 2)
    write_scan(tmp_path, "1")
    write_scan(tmp_path, "2", session="1")
    write_scan(tmp_path, "3", volumes=(6000.0, 7000.1))
    (finding,) = group_findings(read_cohort(tmp_path))
    assert (finding.kind, finding.seen) == ("brains-alike", "sub-1 and sub-2_ses-1: every volume is the same")


def test_nobody_scored_is_said(tmp_path):
    with pytest.raises(InputError, match="no scored scan"):
        read_cohort(tmp_path)


def test_the_first_scan_of_a_person_is_the_youngest(tmp_path):
    for session in ("2", "1"):
        write_scan(tmp_path, "1", session)
    found = read_cohort(tmp_path)
    assert found.scans["session_id"][found.baseline()].tolist() == ["ses-1"]


def rate(root, *lines):
    table = root / "ratings.tsv"
    table.write_text("participant_id\tsession_id\trating\treason\n" + "".join(f"{line}\n" for line in lines))
    keep_ratings(root, [table])


def test_a_readers_rating_beats_the_automatic_verdict_both_ways(tmp_path):
    write_scan(tmp_path, "1")
    write_scan(tmp_path, "2", verdict="fail", technical="fail")
    before = read_cohort(tmp_path).zscores
    rate(tmp_path, "sub-1\tn/a\texclude\tmotion", "sub-2\tn/a\tkeep\tn/a")
    found = read_cohort(tmp_path, ["fail"], ["warn"])
    assert found.scans["participant_id"].tolist() == ["sub-2"]
    assert found.scans["quality"].tolist() == ["pass"]
    assert found.zscores[REGIONS].iloc[0].tolist() == before[REGIONS].iloc[0].tolist()


def test_a_readers_exclusion_stays_out_whatever_is_included(tmp_path):
    write_scan(tmp_path, "1")
    write_scan(tmp_path, "2")
    rate(tmp_path, "sub-2\tn/a\texclude\tmotion")
    found = read_cohort(tmp_path, (), ["fail", "warn"])
    assert found.scans["participant_id"].tolist() == ["sub-1"]
    row = found.inclusion.set_index("participant_id").loc["sub-2"]
    assert (row["status"], row["stage"]) == ("excluded", "rating")
    assert row["reason"] == "exclude by a reader's rating: motion"
    assert "rate the scan again" in row["remedy"]


def test_a_doubtful_scan_counts_as_a_warning_and_is_named_in_the_inclusion(tmp_path):
    write_scan(tmp_path, "1")
    write_scan(tmp_path, "2")
    rate(tmp_path, "sub-2\tn/a\tdoubtful\tn/a")
    row = read_cohort(tmp_path).inclusion.set_index("participant_id").loc["sub-2"]
    assert (row["status"], row["stage"], row["reason"]) == ("scored", "rating", "doubtful by a reader's rating")
    assert read_cohort(tmp_path, ["warn"]).scans["participant_id"].tolist() == ["sub-1"]


def test_the_cohort_is_read_once_inside_and_anew_outside(tmp_path):
    write_scan(tmp_path, "1")
    with reading_once():
        first = read_cohort(tmp_path)
        assert read_cohort(tmp_path, [], []) is first
        assert read_cohort(tmp_path, ["warn"]) is not first
    assert read_cohort(tmp_path) is not first


def test_what_was_read_can_be_let_go_and_is_read_anew(tmp_path):
    write_scan(tmp_path, "1")
    with reading_once():
        first = weakref.ref(read_cohort(tmp_path))
        assert first() is read_cohort(tmp_path)
        forget()
        assert first() is None
        assert read_cohort(tmp_path).scans["participant_id"].tolist() == ["sub-1"]


def test_wide_tables_of_many_scans_are_also_parquet(tmp_path, monkeypatch):
    for label in ("1", "2"):
        write_scan(tmp_path / "in", label, volumes=(6000.0, 7000.0 + int(label)))
    scans = read_cohort(tmp_path / "in")
    out = tmp_path / "out"
    monkeypatch.setattr(scored_scans, "PARQUET_FROM", 2)
    write_group_tables(scans, out)
    names = sorted(path.stem.removeprefix("group_") for path in out.rglob("*.parquet"))
    assert names == sorted(scored_scans.TABLES_OF_SCANS)
    read = pd.read_parquet(out / "group_zscores.parquet")
    pd.testing.assert_frame_equal(read, scans.zscores, check_dtype=False)
    monkeypatch.setattr(scored_scans, "PARQUET_FROM", 3)
    write_group_tables(scans, out)
    assert not list(out.rglob("*.parquet"))


def test_visits_are_taken_for_scans_where_they_are_the_same(tmp_path, monkeypatch):
    write_scan(tmp_path, "1")
    write_scan(tmp_path, "2")
    bids = tmp_path / "bids"
    bids.mkdir()
    people = "participant_id\tage\tsex\tedss\nsub-1\t40\tF\t2\nsub-2\t41\tM\t3\n"
    (bids / "participants.tsv").write_text(people)
    found, visits = read_cohort(tmp_path), clinical_table(bids)
    expected = cohort_with_clinical(found, bids)
    monkeypatch.setattr(cohort, "clinical_of", None)
    pd.testing.assert_frame_equal(cohort_with_clinical(found, bids, visits=visits), expected)
    monkeypatch.undo()
    (bids / "participants.tsv").write_text(people + "sub-3\t50\tM\t4\n")
    pd.testing.assert_frame_equal(cohort_with_clinical(found, bids, visits=clinical_table(bids)), expected)


def test_a_scored_scan_without_summary_is_waited_for_and_then_named(tmp_path, monkeypatch):
    write_scan(tmp_path, "1")
    write_scan(tmp_path, "2")
    monkeypatch.setattr(derivatives, "LATE_SECONDS", 0.05)
    summary = summary_paths(tmp_path)[1][1]
    hidden = summary.rename(tmp_path / "hidden")
    monkeypatch.setattr(derivatives.time, "sleep", lambda seconds: hidden.rename(summary))
    assert len(read_cohort(tmp_path).scans) == 2
    monkeypatch.undo()
    monkeypatch.setattr(derivatives, "LATE_SECONDS", 0.05)
    summary.unlink()
    inclusion = read_cohort(tmp_path).inclusion
    assert list(inclusion["status"]) == ["scored", "failed"]
    assert inclusion["reason"].iloc[1] == "its status says scored, and its summary is not there"


def test_a_phenotype_table_of_other_sessions_is_a_finding_that_names_nobody(tmp_path):
    write_scan(tmp_path / "out", "01", "1")
    (tmp_path / "phenotype").mkdir()
    (tmp_path / "phenotype" / "edss.tsv").write_text("participant_id\tsession_id\tedss\nsub-01\tses-7\t2\n")
    scans = scans_of(read_cohort(tmp_path / "out"))
    assert scans == [Scan("01", "1")]
    (plain,) = phenotype_findings_of(tmp_path, scans, None, None)
    assert plain.seen.endswith("has the sessions ses-7; the dataset has ses-1")
    (hashed,) = phenotype_findings_of(tmp_path, scans, None, "a long salt")
    assert "ses-7" not in hashed.seen
    hidden = [Scan(Disguise("a long salt").participant("01"), "x")]
    assert phenotype_findings_of(tmp_path, hidden, None, None) == []
    assert phenotype_findings_of(tmp_path, hidden, None, "a long salt")[0].seen.endswith("has none")
