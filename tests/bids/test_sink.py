"""The output dataset as a whole."""

import hashlib
import json

import pytest

from bids_app.bids.sink import check_output_dir, write_dataset_files
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
