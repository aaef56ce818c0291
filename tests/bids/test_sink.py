"""The output dataset as a whole."""

import hashlib
import json
import os

import pytest

from bids_app.bids.sink import check_output_dir, check_result_folder, write_dataset_files
from bids_app.errors import UsageError

CARD = {
    "name": "tiny",
    "version": "2.0",
    "engine": "normvol",
    "mode": "calibrated",
    "n": {"female": 60, "male": 40},
    "age_range": {"female": [6, 80], "male": [8, 90.5]},
    "sites": 3,
    "harmonisation": "ComBat, mean only",
    "training": [{"source": "X", "n": 100}],
    "citations": ["A paper. doi:1"],
    "limitations": [],
}


def hashes(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_dataset_files_are_the_same_from_run_to_run(make_dataset, tmp_path):
    bids, output = make_dataset({"participants.tsv": ""}), tmp_path / "out"
    arguments = {"bids_dir": bids, "model": "tiny", "model_card": CARD, "subject_directories": [bids / "fs"]}
    write_dataset_files(output, **arguments)
    first = hashes(output)
    write_dataset_files(output, **arguments)
    assert hashes(output) == first
    assert set(first) == {"dataset_description.json", ".bidsignore", "README.md", "CITATION.md", "model_tiny.json"}


def test_description_names_software_and_sources(make_dataset, tmp_path):
    bids = make_dataset({"dataset_description.json": {"Name": "Y", "DatasetDOI": "doi:10.1/2"}})
    write_dataset_files(
        tmp_path / "out",
        bids_dir=bids,
        model="tiny",
        model_card=CARD,
        subject_directories=[bids / "derivatives/fs", tmp_path / "out/sourcedata/freesurfer"],
    )
    content = json.loads((tmp_path / "out/dataset_description.json").read_text())
    assert content["DatasetType"] == "derivative"
    assert content["GeneratedBy"][0]["Name"] == "normvol"
    assert content["SourceDatasets"] == [{"URL": "../bids", "DOI": "doi:10.1/2"}, {"URL": "../bids/derivatives/fs"}]


def test_citation_tells_the_model_and_its_method(make_dataset, tmp_path):
    made = {"structure": "Residuals follow a sinh-arcsinh distribution (Jones & Pewsey 2009)."}
    write_dataset_files(tmp_path / "out", bids_dir=make_dataset({}), model="tiny", model_card=CARD, **made)
    text = (tmp_path / "out/CITATION.md").read_text()
    for words in (
        "tiny 2.0",
        "100 scans of healthy people (60.0 % female)",
        "aged 6 to 90.5 years",
        "3 sites",
        "sinh-arcsinh",
        "Biometrika 2009;96:761-780",
        "Fortin",
        "A paper. doi:1",
        "own sex",
    ):
        assert words in text
    assert "$" not in text


def test_reference_compat_is_labelled(tmp_path):
    write_dataset_files(
        tmp_path / "out",
        bids_dir=tmp_path,
        model="x",
        scoring="reference-compat",
        model_card={**CARD, "mode": "reference"},
    )
    text = (tmp_path / "out/CITATION.md").read_text()
    assert "too small by about 12 %" in text
    assert "sinh-arcsinh" not in text


def test_without_card_only_the_name_is_given(tmp_path):
    write_dataset_files(tmp_path / "out", bids_dir=tmp_path, model="/a/b/mine.json")
    assert "the normative model mine" in (tmp_path / "out/CITATION.md").read_text()


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"dataset_description.json": {"Name": "x", "BIDSVersion": "1"}}, "already holds another dataset"),
        ({"dataset_description.json": {"GeneratedBy": [{"Name": "fMRIPrep"}]}}, "made by fMRIPrep"),
    ],
)
def test_another_dataset_is_not_written_to(make_dataset, files, words):
    bids, other = make_dataset({}), make_dataset(files, "other")
    with pytest.raises(UsageError, match=words):
        check_output_dir(bids, other)


def test_freesurfer_subjects_are_not_written_to(make_dataset, tmp_path):
    bids = make_dataset({})
    (tmp_path / "fs/sub-01/stats").mkdir(parents=True)
    (tmp_path / "fs/sub-01/stats/aseg.stats").touch()
    with pytest.raises(UsageError, match="FreeSurfer subjects"):
        check_output_dir(bids, tmp_path / "fs")


def test_output_is_not_the_input(make_dataset, tmp_path):
    bids = make_dataset({})
    link = tmp_path / "link"
    link.symlink_to(bids)
    with pytest.raises(UsageError, match="is the BIDS folder"):
        check_output_dir(bids, link)


def test_a_file_is_no_output_folder(make_dataset, tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(UsageError, match="is a file"):
        check_output_dir(make_dataset({}), tmp_path / "out")


def test_fit_folders(make_dataset, tmp_path):
    bids, output = make_dataset({}), tmp_path / "out"
    assert check_output_dir(bids, output) == ()
    assert check_output_dir(bids, bids / "derivatives/normvol") == ()
    assert "derivatives/" in check_output_dir(bids, bids / "out")[0]
    write_dataset_files(output, bids_dir=bids, model="m")
    assert check_output_dir(bids, output) == ()


def test_reports_need_an_output(make_dataset, tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        check_output_dir(make_dataset({}), tmp_path / "out", reports_only=True)


def test_several_jobs_may_write_at_once(make_dataset, tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    bids, output = make_dataset({}), tmp_path / "out"

    def write(_):
        write_dataset_files(output, bids_dir=bids, model="tiny", model_card=CARD)
        return json.loads((output / "dataset_description.json").read_text())

    with ThreadPoolExecutor(8) as pool:
        written = list(pool.map(write, range(40)))
    assert all(content == written[0] for content in written)
    assert not list(output.glob(".*tmp"))


def test_a_folder_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("bids_app.bids.sink.os.access", lambda path, mode: str(path) != str(tmp_path))
    for check in (lambda path: check_output_dir(tmp_path / "bids", path), check_result_folder):
        with pytest.raises(UsageError, match=f"{tmp_path} is read-only for this user"):
            check(tmp_path / "a" / "b")
        with pytest.raises(UsageError, match="cannot be written"):
            check(tmp_path)


@pytest.mark.parametrize("missing", [os.W_OK, os.X_OK])
def test_both_rights_are_needed_for_writing(tmp_path, monkeypatch, missing):
    monkeypatch.setattr("bids_app.bids.sink.os.access", lambda path, mode: not mode & missing)
    with pytest.raises(UsageError, match="cannot be written"):
        check_output_dir(tmp_path / "bids", tmp_path / "out")


def test_results_of_plain_tables_go_to_a_folder_of_their_own(make_dataset, tmp_path):
    check_result_folder(tmp_path / "new")
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is a file"):
        check_result_folder(tmp_path / "file")
    with pytest.raises(UsageError, match="is a BIDS dataset"):
        check_result_folder(make_dataset({}))
    (tmp_path / "fs" / "sub-01" / "stats").mkdir(parents=True)
    check_result_folder(tmp_path / "fs")
    (tmp_path / "fs" / "sub-01" / "stats" / "aseg.stats").write_text("")
    with pytest.raises(UsageError, match="holds FreeSurfer subjects"):
        check_result_folder(tmp_path / "fs")


@pytest.mark.parametrize("sign", ["sub-01/stats/aseg.stats", "sub-01/scripts/recon-all.log", "fsaverage"])
def test_each_sign_of_a_subjects_folder(tmp_path, sign):
    (tmp_path / "out" / sign).parent.mkdir(parents=True)
    (tmp_path / "out" / sign).write_text("")
    with pytest.raises(UsageError, match="holds FreeSurfer subjects"):
        check_output_dir(tmp_path / "bids", tmp_path / "out")


@pytest.mark.parametrize(
    ("description", "words"),
    [
        ({"GeneratedBy": [{"Name": "fmriprep"}, {"Name": "x"}]}, "made by fmriprep"),
        ({"GeneratedBy": None}, "raw data or of unknown origin"),
        ({"GeneratedBy": ["normvol"]}, "raw data or of unknown origin"),
        ([], "raw data or of unknown origin"),
    ],
)
def test_another_datasets_maker_is_named(tmp_path, description, words):
    (tmp_path / "dataset_description.json").write_text(json.dumps(description))
    with pytest.raises(UsageError, match=words):
        check_output_dir(tmp_path / "bids", tmp_path)


def test_our_own_folder_is_fit_whatever_else_made_it(tmp_path):
    (tmp_path / "dataset_description.json").write_text('{"GeneratedBy": [{"Name": "x"}, {"Name": "normvol"}]}')
    (tmp_path / "fsaverage").mkdir()
    assert check_output_dir(tmp_path / "bids", tmp_path) == ()
    assert check_output_dir(tmp_path / "bids", tmp_path, reports_only=True) == ()


def test_a_place_inside_the_dataset_is_warned_of_unless_it_is_a_derivative(make_dataset):
    bids = make_dataset({})
    assert check_output_dir(bids, bids / "derivatives" / "normvol") == ()
    (said,) = check_output_dir(bids, bids / "results" / "derivatives")
    assert "not in its derivatives/ folder" in said


def test_labels_and_sources_of_a_model(make_dataset, tmp_path):
    bids = make_dataset({"dataset_description.json": {"Name": "raw", "BIDSVersion": "1", "DatasetDOI": "10.1/x"}})
    output = tmp_path / "out"
    write_dataset_files(
        output, bids_dir=bids, model="/a/b/tiny.json", subject_directories=[bids / "fs", output / "freesurfer"]
    )
    found = json.loads((output / "dataset_description.json").read_text())
    assert found["Name"].endswith("(raw)")
    assert found["GeneratedBy"][0]["Description"] == "normative model tiny"
    assert found["SourceDatasets"] == [{"URL": "../bids", "DOI": "10.1/x"}, {"URL": "../bids/fs"}]
    assert not (output / "model_tiny.json").exists()
    write_dataset_files(output, bids_dir=bids / "none", model="x", model_card={"name": "tiny", "version": ""})
    found = json.loads((output / "dataset_description.json").read_text())
    assert found["GeneratedBy"][0]["Description"] == "normative model tiny"
    assert found["Name"].endswith("(none)")
    assert (output / "model_tiny.json").exists()
    (bids / "dataset_description.json").write_text("[]")
    write_dataset_files(output, bids_dir=bids, model="x", model_card={"name": "tiny", "version": "3"})
    found = json.loads((output / "dataset_description.json").read_text())
    assert found["GeneratedBy"][0]["Description"] == "normative model tiny 3"
    assert found["Name"].endswith("(bids)")
