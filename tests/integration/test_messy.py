"""Real trees, tables and habits: one trouble each, and what the command says about it before anything is scored."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bids_app.bids.finding_files import read_findings_file
from bids_app.cli import exitcodes
from bids_app.cli.main import main
from bids_app.freesurfer.synthetic import write_subject

PEOPLE = "participant_id\tage\tsex\nsub-01\t30\tF\nsub-02\t41\tM\n"
TWO_VISITS = ("01", "02")


class Dataset:
    """A BIDS dataset of two people with FreeSurfer trees, in which something can be made wrong."""

    def __init__(self, folder: Path, sessions: tuple[str, ...] = (), trees: bool = True) -> None:
        self.root = folder / "bids"
        self.output = folder / "out"
        self.trees = self.root / "derivatives" / "freesurfer"
        self.write("dataset_description.json", json.dumps({"Name": "messy", "BIDSVersion": "1.9.0"}))
        self.write("participants.tsv", PEOPLE)
        for label in ("01", "02"):
            for session in sessions or (None,):
                name = f"sub-{label}_ses-{session}" if session else f"sub-{label}"
                self.write(f"{name.replace('_', '/')}/anat/{name}_T1w.nii.gz", "image")
                if trees:
                    self.tree(name)

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def tree(self, name: str, folder: str = "derivatives/freesurfer") -> Path:
        return write_subject(self.root / folder / name, {"Left-Thalamus": 7000.0}, etiv=1.5e6)


@pytest.fixture
def said(capsys) -> Callable[..., str]:
    """What ``normvol --dry-run`` says."""

    def run(dataset: Dataset, *options: str, code: int = exitcodes.OK) -> str:
        arguments = [str(dataset.root), str(dataset.output), "participant", "--recon", "ingest", *options]
        assert main([*arguments, "--dry-run"]) == code
        captured = capsys.readouterr()
        return captured.out + captured.err

    return run


# --- age at each visit ---------------------------------------------------------------------------------------------


def test_one_age_for_two_visits_leaves_the_later_ones_out(tmp_path, said):
    text = said(Dataset(tmp_path, TWO_VISITS))
    assert "would omit    sub-01_ses-02  no age: the age at ses-02 is not known: participants.tsv:age gives one" in text
    assert "2 to score, 0 up to date, 2 to leave out" in text


def test_one_age_scores_them_at_the_age_of_the_first_with_a_finding(tmp_path, said):
    text = said(Dataset(tmp_path, TWO_VISITS), "--one-age")
    assert "4 to score" in text
    assert "finding       sub-02_ses-02  participants.tsv:age gives one age (41) for 2 sessions" in text
    assert "its z are too low" in text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("sub-01/sub-01_sessions.tsv", "session_id\tage\nses-01\t30\nses-02\t33\n"),
        ("sub-01/sub-01_sessions.tsv", "session_id\tacq_time\nses-01\t2010-01-01\nses-02\t2013-01-01T10:00:00\n"),
        ("sub-01/sub-01_sessions.tsv", "session_id\tMRI date\nses-01\t01.01.2010\nses-02\t01.01.2013\n"),
        ("phenotype/visits.tsv", "participant_id\tsession_id\tAge at MRI\nsub-01\tses-01\t30\nsub-01\tses-02\t33\n"),
        ("participants.tsv", "participant_id\tage_ses-01\tage_ses-02\tsex\nsub-01\t30\t33\tF\nsub-02\t41\t44\tM\n"),
        ("participants.tsv", "participant_id\tsession\tage\tsex\nsub-01\t01\t30\tF\nsub-01\t02\t33\tF\n"),
    ],
)
def test_the_age_at_a_visit_is_found_wherever_it_is(tmp_path, said, name, text):
    dataset = Dataset(tmp_path, TWO_VISITS)
    dataset.write(name, text)
    assert "would score   sub-01_ses-02" in said(dataset)


# --- tables --------------------------------------------------------------------------------------------------------


def test_a_column_of_months_is_refused_as_a_whole(tmp_path, said):
    dataset = Dataset(tmp_path)
    rows = "".join(f"sub-{number:02d}\t{60 * number}\tF\n" for number in range(1, 9))
    dataset.write("participants.tsv", "participant_id\tage\tsex\n" + rows)
    text = said(dataset)
    assert "column age holds ages up to 480, which cannot be years" in text
    assert "0 to score" in text


def test_months_in_the_words_of_the_sidecar_are_converted_with_a_finding(tmp_path, said):
    dataset = Dataset(tmp_path)
    dataset.write("participants.tsv", PEOPLE.replace("\t30\t", "\t360\t").replace("\t41\t", "\t492\t"))
    dataset.write("participants.json", json.dumps({"age": {"Description": "Age in months"}}))
    text = said(dataset)
    assert "age '360' (months) was read as 30 years" in text
    assert "2 to score" in text


def test_a_lower_limit_is_a_finding(tmp_path, said):
    dataset = Dataset(tmp_path)
    dataset.write("participants.tsv", PEOPLE.replace("41", "89+"))
    assert "finding       sub-02  participants.tsv: age '89+' is a lower limit and was read as 89" in said(dataset)


@pytest.mark.parametrize("mark", [";", ",", " "])
def test_other_separators_are_read_and_named(tmp_path, said, mark):
    dataset = Dataset(tmp_path)
    dataset.write("participants.tsv", PEOPLE.replace("\t", mark))
    text = said(dataset)
    assert "2 to score" in text
    assert "finding       dataset  participants.tsv has " in text


def test_a_spreadsheet_is_read(tmp_path, said):
    pandas, _ = pytest.importorskip("pandas"), pytest.importorskip("openpyxl")
    sheet = tmp_path / "people.xlsx"
    pandas.DataFrame({"Patient ID": ["01", "02"], "age": [30, 41.5], "sex": ["F", "M"]}).to_excel(sheet, index=False)
    text = said(Dataset(tmp_path), "--participants-file", str(sheet))
    assert "2 to score" in text
    assert "people.xlsx is a spreadsheet, its first sheet was read" in text


def test_session_labels_match_across_padding(tmp_path, said):
    dataset = Dataset(tmp_path, ("01", "02"))
    for label in ("01", "02"):
        dataset.write(f"sub-{label}/sub-{label}_sessions.tsv", "session_id\tage\nses-1\t30\nses-2\t33\n")
    text = said(dataset)
    assert "4 to score" in text
    assert "finding       sub-01_ses-02  sub-01_sessions.tsv writes session 2 for ses-02" in text


@pytest.mark.parametrize("spelt", ["1", "SUB-01", "sub01", "Sub_1"])
def test_ids_that_are_spelt_otherwise_get_a_hint(tmp_path, said, spelt):
    dataset = Dataset(tmp_path)
    dataset.write("participants.tsv", PEOPLE.replace("sub-01", spelt))
    assert f"no row for sub-01 (it has '{spelt}'; write it as the folder)" in said(dataset)


def test_a_first_column_that_names_nobody_says_what_to_rename(tmp_path, said):
    dataset = Dataset(tmp_path)
    dataset.write("participants.tsv", PEOPLE.replace("participant_id", "code"))
    text = said(dataset, code=exitcodes.INPUT)
    assert "has no column participant_id" in text
    assert "is it code?" in text


def test_a_cell_that_is_no_age_is_shown(tmp_path, said):
    dataset = Dataset(tmp_path)
    dataset.write("participants.tsv", PEOPLE.replace("41", "forty"))
    assert "age 'forty' cannot be read as an age (column age)" in said(dataset)


# --- trees ---------------------------------------------------------------------------------------------------------


def test_two_places_with_the_same_subject_say_which_was_taken(tmp_path, said):
    dataset = Dataset(tmp_path)
    dataset.tree("sub-01", "derivatives/fmriprep/sourcedata/freesurfer")
    text = said(dataset)
    assert "derivatives/freesurfer/sub-01 was taken; " in text
    assert "fmriprep/sourcedata/freesurfer/sub-01 would have fitted too" in text


def test_cross_and_long_trees_beside_each_other_say_which_was_taken(tmp_path, said):
    dataset = Dataset(tmp_path)
    dataset.tree("sub-01.long.sub-01_base")
    text = said(dataset)
    assert "freesurfer/sub-01 was taken; " in text
    assert "sub-01.long.sub-01_base would have fitted too" in text


def test_one_tree_for_several_sessions_is_named(tmp_path, said):
    dataset = Dataset(tmp_path, TWO_VISITS, trees=False)
    dataset.tree("sub-01")
    text = said(dataset, "--one-age")
    assert (
        "would omit    sub-01_ses-01  no FreeSurfer output was found; there is one tree sub-01 for 2 sessions" in text
    )


@pytest.mark.parametrize("name", ["SUB-01", "sub-01_run-1", "sub-01_acq-mprage_T1w", "sub-01_T1w", "sub_01", "sub-1"])
def test_near_misses_are_named(tmp_path, said, name):
    dataset = Dataset(tmp_path, trees=False)
    dataset.tree(name)
    assert f"would omit    sub-01  no FreeSurfer output was found; there is {name}" in said(dataset)


def test_near_misses_of_sessions_and_packed_trees_are_named(tmp_path, said):
    dataset = Dataset(tmp_path, TWO_VISITS, trees=False)
    dataset.tree("sub-01ses-01")
    dataset.write("derivatives/freesurfer/sub-02_ses-01.tar.gz", "packed")
    text = said(dataset)
    assert "there is sub-01ses-01" in text
    assert "there is sub-02_ses-01.tar.gz" in text


def test_longitudinal_with_only_cross_trees_says_so(tmp_path, said):
    text = said(Dataset(tmp_path), "--longitudinal")
    assert "there is only the cross-sectional tree sub-01" in text
    assert "0 to score" in text


def test_only_long_trees_without_longitudinal_say_so(tmp_path, said):
    dataset = Dataset(tmp_path, ("01",), trees=False)
    dataset.tree("sub-01_ses-01.long.sub-01")
    (dataset.tree("sub-01") / "base-tps").write_text("sub-01_ses-01\n")
    text = said(dataset)
    assert "there is only the longitudinal tree sub-01_ses-01.long.sub-01" in text


def test_trees_of_nobody_are_listed_once(tmp_path, said):
    dataset = Dataset(tmp_path)
    for name in ("sub-77", "sub-78_ses-1", "bert", "fsaverage"):
        dataset.tree(name)
    text = said(dataset)
    assert "finding       dataset  3 in freesurfer: bert, sub-77, sub-78_ses-1" in text
    assert text.count("sub-77") == 1


def rename(tree: Path, old: str, new: str) -> None:
    for path in (*tree.glob("stats/*.stats"), tree / "scripts" / "recon-all.done"):
        if path.exists():
            path.write_text(path.read_text().replace(old, new))


def test_a_tree_that_names_another_person_is_left_out_unless_names_are_trusted(tmp_path, said):
    dataset = Dataset(tmp_path)
    rename(dataset.trees / "sub-01", "sub-01", "sub-02")
    text = said(dataset)
    assert "would omit    sub-01  sub-01/stats/aseg.stats names sub-02, not sub-01" in text
    trusted = said(dataset, "--trust-names")
    assert "2 to score" in trusted
    assert "finding       sub-01  " in trusted
    assert "if it is another person's, every z of the scan is wrong" in trusted


def test_a_done_file_that_names_another_person_is_seen(tmp_path, said):
    dataset = Dataset(tmp_path)
    done = dataset.trees / "sub-01" / "scripts" / "recon-all.done"
    done.write_text("------------------------------\nSUBJECT sub-02\n")
    assert "would omit    sub-01  sub-01/scripts/recon-all.done names sub-02, not sub-01" in said(dataset)


def test_another_atlas_of_another_person_is_seen(tmp_path, said):
    dataset = Dataset(tmp_path)
    stats = dataset.trees / "sub-01" / "stats"
    (stats / "lh.aparc.a2009s.stats").write_text("# Title x\n# subjectname sub-02\n# hemi lh\n")
    assert "would omit    sub-01  sub-01/stats/lh.aparc.a2009s.stats names sub-02, not sub-01" in said(dataset)


def test_the_command_that_fetches_content_can_be_pasted(tmp_path, said, capsys):
    dataset = Dataset(tmp_path)
    (dataset.root / ".git").mkdir()
    for label in ("01", "02"):
        stats = dataset.trees / f"sub-{label}" / "stats" / "aseg.stats"
        stats.unlink()
        stats.symlink_to("../../../../.git/annex/objects/x/y/gone")
    text = said(dataset)
    assert "has not been fetched" in text
    code = main([str(dataset.root), str(dataset.output), "participant", "--recon", "ingest"])
    assert code == exitcodes.OMISSIONS
    status = json.loads((dataset.output / "logs/status/sub-02.json").read_text())
    paths = "derivatives/freesurfer/sub-02/stats derivatives/freesurfer/sub-02/scripts"
    assert status["remedy"].startswith(f"fetch it, in the root of the dataset: datalad get {paths}")
    assert f"to fetch all that is missing: cd {dataset.root} && datalad get derivatives" in capsys.readouterr().err


# --- runs ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """Two people, scored; the second with a finding."""
    dataset = Dataset(tmp_path_factory.mktemp("scored"))
    dataset.write("participants.tsv", PEOPLE.replace("41", "75+"))
    assert main([str(dataset.root), str(dataset.output), "participant", "--recon", "ingest", "--nprocs", "1"]) == 0
    return dataset


def test_findings_are_everywhere_they_belong(scored):
    finding = scored.output / "logs" / "findings" / "sub-02.tsv"
    assert "age-limit\tsub-02\tn/a\tparticipants.tsv: age '75+' is a lower limit" in finding.read_text()
    assert not (scored.output / "logs" / "findings" / "sub-01.tsv").exists()
    assert "age-limit" in (scored.output / "group_findings.tsv").read_text()
    summary = json.loads((scored.output / "sub-02/anat/sub-02_desc-summary_morph.json").read_text())
    assert [item["kind"] for item in summary["findings"]] == ["age-limit"]
    assert set(summary["findings"][0]) == {"kind", "seen", "effect", "remedy"}
    assert "is a lower limit" in (scored.output / "sub-02.html").read_text()
    (log,) = (scored.output / "logs").glob("run-*.log")
    assert "1 finding that can change a number:" in log.read_text()
    assert main([str(scored.root), str(scored.output), "group"]) == exitcodes.OK
    page = (scored.output / "group.html").read_text()
    assert page.index("is only a lower limit") < page.index("Who is in</h2>")


@pytest.mark.slow
def test_the_group_level_tells_of_phenotype_tables_that_fit_no_scan(scored, tmp_path):
    root, out = (shutil.copytree(folder, tmp_path / folder.name) for folder in (scored.root, scored.output))
    (root / "phenotype").mkdir()
    (root / "phenotype" / "edss.tsv").write_text("participant_id\tsession_id\tedss\nsub-01\tses-7\t2\n")
    assert main([str(root), str(out), "group"]) == 0
    found = [finding.kind for finding in read_findings_file(out / "group_findings.tsv")]
    assert found == ["brains-alike", "phenotype-unmatched", "age-limit"]


def test_a_run_with_other_options_needs_force(scored, said):
    other = ("--adapt-controls", "age < 40")
    text = said(scored, *other, code=exitcodes.USAGE)
    assert "were made with other options (--adapt-controls: none before, age < 40 now)" in text
    forced = said(scored, *other, "--force")
    assert "finding       dataset  --adapt-controls: none before, age < 40 now" in forced


def test_other_columns_and_other_people_re_score_nobody(scored, said):
    people = scored.root / "participants.tsv"
    before = people.read_text()
    people.write_text("participant_id\tage\tsex\tedss\nsub-01\t30\tF\t2\nsub-02\t75+\tM\t2.5\nsub-03\t5\tF\tx\n")
    text = said(scored)
    people.write_text(before)
    assert "0 to score, 2 up to date, 1 to leave out" in text


def test_another_group_is_written_down(scored, said):
    people = scored.root / "participants.tsv"
    before = people.read_text()
    people.write_text("participant_id\tage\tsex\tgroup\nsub-01\t30\tF\tms\nsub-02\t75+\tM\tn/a\n")
    text = said(scored)
    people.write_text(before)
    assert "would score   sub-01" in text
    assert "1 to score, 1 up to date" in text


def test_a_new_finding_re_scores_its_scan(scored, said):
    tree = scored.tree("sub-01", "derivatives/fastsurfer")
    text = said(scored)
    assert "would score   sub-01" in text
    assert "up to date    sub-02" in text
    for path in sorted(tree.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    tree.rmdir()


def test_scans_that_were_scored_otherwise_are_not_pooled(scored, capsys):
    path = scored.output / "sub-01/anat/sub-01_desc-summary_morph.json"
    before = path.read_text()
    summary = json.loads(before)
    summary["model"]["adaptation"] = {"controls": "age > 18", "by": None, "sha256": "1234567890"}
    path.write_text(json.dumps(summary))
    code = main([str(scored.root), str(scored.output), "group"])
    path.write_text(before)
    text = capsys.readouterr().err
    assert code == exitcodes.INPUT
    assert "1 scans with model open-calibrated" in text
    assert "adapted to age > 18 (controls 12345678)" in text
    assert "without adaptation" in text


def bytes_of(output: Path) -> dict[str, bytes]:
    files = [path for path in output.rglob("*") if path.is_file() and "log" not in path.relative_to(output).parts[:2]]
    return {
        path.relative_to(output).as_posix(): path.read_bytes()
        for path in files
        if "run-" not in path.name and "logs/status" not in path.as_posix() and "/log/" not in path.as_posix()
    }


def test_jobs_of_one_person_and_a_whole_run_give_the_same_bytes(tmp_path):
    dataset = Dataset(tmp_path, TWO_VISITS)
    dataset.write("participants.tsv", "participant_id\tage\tsex\tsite\nsub-01\t30\tF\t2\nsub-02\t41\tM\t2.5\n")
    for label in ("01", "02"):
        dataset.write(f"sub-{label}/sub-{label}_sessions.tsv", "session_id\tage\nses-1\t30\nses-2\t33\n")
    arguments = [str(dataset.root), str(dataset.output), "participant", "--recon", "ingest", "--nprocs", "1"]
    for label in ("01", "02"):
        assert main([*arguments, "--participant-label", label, "--session-label", "02"]) == 0
        assert main([*arguments, "--participant-label", label]) == 0
    before = {name: content for name, content in bytes_of(dataset.output).items() if name.startswith("sub-")}
    assert main(arguments) == 0
    (log,) = [path for path in (dataset.output / "logs").glob("run-*.log") if "4 up to date" in path.read_text()]
    assert "0 to score" in log.read_text()
    after = bytes_of(dataset.output)
    assert {name: after[name] for name in before} == before
    whole = [argument if argument != str(dataset.output) else str(tmp_path / "whole") for argument in arguments]
    assert main(whole) == 0
    again = bytes_of(tmp_path / "whole")
    assert {name: again[name] for name in before} == before
