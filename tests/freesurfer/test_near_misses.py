"""Names that are nearly a scan's."""

import pytest

from bids_app.freesurfer.near_misses import near_misses, of_nobody, tokens


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sub-01", ("1",)),
        ("SUB-01ses-1_run-2_T1w.tar.gz", ("1", "1")),
        ("sub-01_ses-02", ("1", "2")),
        ("sub01_ses02", ("1", "2")),
        ("sub-01.zip", ("1",)),
        ("sub-01_anat", ("1",)),
        ("sub-01_fs741", ("1",)),
        ("sub-01_acq-mprage_rec-x_T1", ("1",)),
        ("subject_10", ("10",)),
        ("sub-000", ("0",)),
        ("sub-a01b002", ("a1b2",)),
        ("sub-01_anatomy", ("1", "anatomy")),
        ("bert", ("bert",)),
    ],
)
def test_labels_in_a_name_however_it_is_spelt(name, expected):
    assert tokens(name) == expected


def test_names_that_could_be_meant_and_are_not_read(tmp_path):
    for name in ("sub-01", "01", "SUB-01", "sub-1", "sub-01_T1w", "sub-01_ses-1", "sub-01.long.base", "sub-02"):
        (tmp_path / name).mkdir()
    assert near_misses([tmp_path, tmp_path / "none"], "01", None) == ["SUB-01", "sub-01_T1w", "sub-1"]
    assert near_misses([tmp_path], "03", None) == []


def test_near_misses_of_a_session(tmp_path):
    for name in ("sub-01_ses-1", "01_ses-1", "01_1", "sub-01ses-1", "sub-01_ses-01", "sub-01", "sub-01_ses-2"):
        (tmp_path / name).mkdir()
    assert near_misses([tmp_path], "01", "1") == ["sub-01_ses-01", "sub-01ses-1"]


def test_paths_whose_first_label_is_nobodys(tmp_path):
    paths = [tmp_path / name for name in ("sub-01_ses-1", "sub-2", "sub-03", "bert")]
    assert of_nobody(paths, ["1", "02"]) == paths[2:]
    assert of_nobody(paths, ["bert"]) == paths[:3]
