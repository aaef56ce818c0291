"""Samples that were scored alike in folders of their own, taken together."""

import json

import pytest

from bids_app.bids.finding_files import findings_path, write_findings
from bids_app.clinical.analysis_file import AnalysisConfig
from bids_app.errors import InputError, UsageError
from bids_app.findings import Finding
from bids_app.run.analysis import write_analyses
from bids_app.run.samples import Pool, read_samples, with_sample
from bids_app.tables import read_json, write_json
from tests.run.test_cohort import path, write_scan


def sample(root, name, people):
    """A dataset and its results; `people` is diagnosis by label."""
    bids, out = root / name, root / f"{name}-out"
    bids.mkdir(parents=True)
    (bids / "dataset_description.json").write_text(json.dumps({"Name": "t", "BIDSVersion": "1.9.0"}))
    rows = [f"sub-{label}\t40\tF\t{dx}\t{2 + i / 2}\n" for i, (label, dx) in enumerate(people.items())]
    (bids / "participants.tsv").write_text("participant_id\tage\tsex\tdiagnosis\tedss\n" + "".join(rows))
    for label, dx in people.items():
        (bids / f"sub-{label}" / "anat").mkdir(parents=True)
        write_scan(out, label, diagnosis=dx)
    return f'[samples.{name}]\nbids_dir = "{name}"\noutput_dir = "{name}-out"\n'


def listed(root, *texts):
    file = root / "samples.toml"
    file.write_text("".join(texts))
    return file


def test_people_of_both_samples_are_in_one_cohort_with_their_sample(tmp_path):
    file = listed(tmp_path, sample(tmp_path, "trial", {"1": "MS", "2": "MS"}), sample(tmp_path, "clinic", {"7": "HC"}))
    scored = Pool.read(read_samples(file)).scored()
    assert scored.scans["participant_id"].tolist() == ["sub-1", "sub-2", "sub-7"]
    assert scored.scans["sample"].tolist() == ["trial", "trial", "clinic"]
    assert scored.zscores["Left-Thalamus"].tolist() == [-2.5] * 3
    assert scored.inclusion["sample"].tolist() == ["trial", "trial", "clinic"]
    assert scored.origin["diagnosis"].tolist() == ["MS", "MS", "HC"]


def test_labels_that_two_samples_use_get_the_name_of_their_sample(tmp_path):
    file = listed(tmp_path, sample(tmp_path, "trial", {"1": "MS"}), sample(tmp_path, "clinic", {"1": "HC", "2": "HC"}))
    write_findings([Finding("age-units", "seen").of("sub-1", None)], findings_path(tmp_path / "clinic-out", "1"))
    pool = Pool.read(read_samples(file))
    people = ["sub-trial1", "sub-clinic1", "sub-clinic2"]
    scored = pool.scored()
    for table in (scored.scans, scored.zscores, scored.volumes, scored.inclusion, pool.clinical(), pool.visits()):
        assert table["participant_id"].tolist() == people
    assert [summary["participant_id"] for summary in scored.summaries] == people
    assert pool.clinical()["diagnosis"].tolist() == ["MS", "HC", "HC"]
    assert [finding.participant_id for finding in pool.findings()] == ["sub-clinic1"]


def test_a_phenotype_table_of_other_sessions_is_a_finding_on_its_sample(tmp_path):
    file = listed(tmp_path, sample(tmp_path, "trial", {"1": "MS"}), sample(tmp_path, "clinic", {"2": "HC"}))
    (tmp_path / "clinic" / "phenotype").mkdir()
    (tmp_path / "clinic" / "phenotype" / "edss.tsv").write_text("participant_id\tsession_id\tedss\nsub-2\tses-7\t2\n")
    (found,) = Pool.read(read_samples(file)).findings()
    assert (found.kind, found.seen) == (
        "phenotype-unmatched",
        "sample clinic: phenotype/edss.tsv has the sessions ses-7; the dataset has none",
    )


def test_the_analyses_take_the_sample_as_a_term_and_say_so_in_the_file(tmp_path):
    both = {"1": "MS", "2": "HC"}
    file = listed(tmp_path, sample(tmp_path, "trial", both), sample(tmp_path, "clinic", {"3": "MS", "4": "HC"}))
    out = tmp_path / "pooled"
    out.mkdir()
    write_analyses(out, tmp_path / "trial", "auto", pool=file)
    text = (out / "analysis.toml").read_text()
    assert 'covariates = [\n    "sample",\n]' in text
    assert 'match_exact = [\n    "sample",\n]' in text


@pytest.mark.parametrize(
    ("clinic", "exact", "matched_for"),
    [({"3": "MS", "4": "HC"}, ("sample",), ()), ({"4": "HC"}, ("sample",), ()), ({"3": "MS"}, (), ("sample",))],
)
def test_people_are_matched_within_their_sample_where_each_with_patients_has_controls(
    tmp_path, clinic, exact, matched_for
):
    file = listed(tmp_path, sample(tmp_path, "trial", {"1": "MS", "2": "HC"}), sample(tmp_path, "clinic", clinic))
    config = AnalysisConfig(roles={"diagnosis": "diagnosis"}, control="hc", match_covariates=())
    found = with_sample(config, Pool.read(read_samples(file)).clinical())
    assert (found.covariates, found.match_exact, found.match_covariates) == (("sample",), exact, matched_for)


def test_samples_that_were_scored_otherwise_are_refused(tmp_path):
    file = listed(tmp_path, sample(tmp_path, "trial", {"1": "MS"}), sample(tmp_path, "clinic", {"2": "HC"}))
    changed = path(tmp_path / "clinic-out", "2", None, "summary", ".json")
    write_json({**read_json(changed), "model": {"name": "m", "version": "2"}}, changed)
    with pytest.raises(InputError, match=r"cannot be pooled: 1 scans with model m 1.*1 scans with model m 2"):
        Pool.read(read_samples(file))


def test_each_sample_may_be_adapted_to_its_own_controls(tmp_path):
    file = listed(tmp_path, sample(tmp_path, "trial", {"1": "MS"}), sample(tmp_path, "clinic", {"2": "HC"}))
    for name, label in (("trial", "1"), ("clinic", "2")):
        summary = path(tmp_path / f"{name}-out", label, None, "summary", ".json")
        adaptation = {"controls": f"at == '{name}'", "sha256": name}
        write_json({**read_json(summary), "model": {"name": "m", "adaptation": adaptation}}, summary)
    assert len(Pool.read(read_samples(file)).scored().scans) == 2
    write_json({**read_json(summary), "model": {"name": "m"}}, summary)
    with pytest.raises(InputError, match=r"adapted to controls; 1 scans with .* without adaptation"):
        Pool.read(read_samples(file))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "fewer than two samples"),
        ('[samples.a]\nbids_dir = "x"\noutput_dir = "y"\n', "fewer than two samples"),
        ('[samples.a]\nbids_dir = "x"\n[samples.b]\nbids_dir = "x"\n', r"\[samples.a\]: output_dir lacking"),
        ('[samples."a b"]\n[samples.b]\n', "only letters and digits"),
        ("[samples]\na = 1\nb = 2\n", "bids_dir and output_dir are needed"),
        ('[sample.a]\nbids_dir = "x"\n', "unknown table sample"),
        ('[samples.a]\nbids_dir = "x"\noutput_dir = "y"\n[samples.b]\n', "x does not exist"),
        ('[samples.a]\nbids_dir = 3\noutput_dir = "y"\n[samples.b]\n', "bids_dir"),
    ],
)
def test_a_file_that_names_no_samples_is_refused(tmp_path, text, words):
    with pytest.raises(UsageError, match=words):
        read_samples(listed(tmp_path, text))
