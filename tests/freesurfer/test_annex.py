"""Files that git-annex holds: the dataset that they belong to."""

from bids_app.freesurfer.annex import dataset_root


def test_the_outermost_datalad_dataset_is_the_root(tmp_path):
    path = tmp_path
    for name, inside in (("repository", ".git"), ("a", ".datalad"), ("b", ".datalad"), ("c", ".datalad")):
        path = path / name
        (path / ".git").mkdir(parents=True)
        (path / inside).mkdir(exist_ok=True)
    assert dataset_root(path / "sub-01" / "anat.nii.gz") == tmp_path / "repository" / "a"


def test_without_datalad_the_nearest_repository_is_the_root(tmp_path):
    for folder in ("outer", "outer/inner"):
        (tmp_path / folder / ".git").mkdir(parents=True)
    assert dataset_root(tmp_path / "outer/inner/sub-01") == tmp_path / "outer/inner"
