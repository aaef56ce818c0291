"""The clinical columns of a BIDS dataset beside what was scored."""

import json

import pytest

from bids_app.bids.finding_files import GROUP_FILE, collect_findings
from bids_app.clinical.results import not_computed, write_result
from bids_app.findings import Finding
from bids_app.run.analysis import write_analyses
from bids_app.run.cohort import cohort_with_clinical, read_cohort
from tests.run.test_cohort import write_scan


@pytest.fixture
def study(tmp_path):
    """A dataset with clinical columns, and two scored scans of it."""
    bids, out = tmp_path / "bids", tmp_path / "out"
    bids.mkdir()
    (bids / "dataset_description.json").write_text(json.dumps({"Name": "t", "BIDSVersion": "1.9.0"}))
    (bids / "participants.tsv").write_text(
        "participant_id\tage\tsex\tdiagnosis\tedss\nsub-1\t99\tM\tMS\t2.5\nsub-2\t99\tM\tHC\tn/a\n"
    )
    for label in ("1", "2"):
        (bids / f"sub-{label}" / "anat").mkdir(parents=True)
        write_scan(out, label, diagnosis="MS" if label == "1" else "HC")
    return bids, out


def test_covariates_stay_as_they_were_scored_and_clinical_columns_follow(study):
    bids, out = study
    table = cohort_with_clinical(read_cohort(out), bids)
    assert table["age"].tolist() == [40.0, 40.0]
    assert table["sex"].tolist() == ["female", "female"]
    assert table["diagnosis"].tolist() == ["MS", "HC"]
    assert float(table["edss"].iloc[0]) == 2.5


def test_results_of_an_earlier_analysis_are_replaced_and_the_request_is_written(study, tmp_path):
    bids, out = study
    write_analyses(out, bids, "auto")
    assert 'diagnosis = "diagnosis"' in (out / "analysis.toml").read_text()
    write_result(not_computed("stale", "Stale", "of an earlier version"), out)
    (tmp_path / "mine.toml").write_text("[options]\nseed = 7\n")
    written = write_analyses(out, bids, str(tmp_path / "mine.toml"))
    assert not (out / "group" / "group_stale.tsv").exists()
    assert all(path.exists() for path in written)
    assert "seed = 7" in (out / "analysis.toml").read_text()
    assert "\ndiagnosis" not in (out / "analysis.toml").read_text()


def test_what_the_analyses_found_stands_with_the_findings_of_the_group(study):
    bids, out = study
    table = bids / "participants.tsv"
    table.write_text(table.read_text().replace("2.5", "-999").replace("n/a", "3"))
    for _ in range(2):  # once, however often
        collect_findings(out, [Finding("site-small", "one person at a site")])
        write_analyses(out, bids, "auto")
    rows = (out / GROUP_FILE).read_text().splitlines()[1:]
    assert [row.split("\t")[0] for row in rows] == ["values-unusable", "site-small"]
