"""Files that git-annex holds: the dataset that they belong to."""

import pytest

from bids_app.freesurfer.annex import dataset_root, fetch_command, fetch_remedy, is_not_fetched, is_pointer_text


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


@pytest.mark.parametrize(
    ("content", "is_one"),
    [
        (b"/annex/objects/SHA256E-s3--a", True),
        (b"\n../.git/annex/objects/a", True),
        (b".git/annex/objects/a", True),
        (b"/annex/objects/" + 4081 * b"a", True),
        (b"/annex/objects/" + 4082 * b"a", False),
        (b"# see /annex/objects/a", False),
        (b"../elsewhere", False),
        (b"", False),
    ],
)
def test_a_pointer_begins_with_the_address_and_is_short(content, is_one):
    assert is_pointer_text(content) is is_one


def test_only_an_annexed_file_without_content_is_not_fetched(tmp_path):
    target = tmp_path / ".git" / "annex" / "objects" / "key"
    link = tmp_path / "link"
    link.symlink_to(target)
    assert is_not_fetched(link)
    target.parent.mkdir(parents=True)
    target.write_text("content")
    assert not is_not_fetched(link)
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    assert not is_not_fetched(tmp_path / "broken")
    assert not is_not_fetched(tmp_path / "absent")
    assert not is_not_fetched(tmp_path)


@pytest.mark.parametrize(("length", "expected"), [(1024, True), (1025, False)])
def test_an_address_is_short(tmp_path, length, expected):
    path = tmp_path / "aseg.stats"
    path.write_bytes(b"/annex/objects/".ljust(length, b"a"))
    assert is_not_fetched(path) is expected


def test_a_file_that_may_not_be_read_is_not_called_unfetched(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_text("/annex/objects/a")

    def refused(*_args):
        raise PermissionError

    monkeypatch.setattr("builtins.open", refused)
    assert is_not_fetched(path) is False


def test_without_repository_a_link_inside_tells_the_root(tmp_path):
    folder = tmp_path / "data" / "sub-01" / "stats"
    folder.mkdir(parents=True)
    (folder / "0").write_text("no link")
    (folder / "1").symlink_to("/elsewhere/file")
    (folder / "2").symlink_to("/elsewhere/.git/annex/objects/key")
    assert dataset_root(folder) == tmp_path / "data"  # two above: links lead elsewhere
    (folder / "3").symlink_to("../../.git/annex/objects/key")
    assert dataset_root(folder) == tmp_path / "data"
    (folder / "3").unlink()
    (folder / "3").symlink_to("../../../.git/annex/objects/key")
    assert dataset_root(folder) == tmp_path
    assert dataset_root(folder / "3") == tmp_path
    assert dataset_root(folder / "0") == tmp_path / "data" / "sub-01"


def test_what_fetches_is_one_command_per_dataset_to_be_pasted(tmp_path):
    for name in ("a b", "c"):
        (tmp_path / name / ".git").mkdir(parents=True)
    paths = [tmp_path / "a b" / "x", tmp_path / "c" / "y z", tmp_path / "a b" / "w"]
    assert fetch_command(paths) == f"cd '{tmp_path}/a b' && datalad get x w; cd {tmp_path}/c && datalad get 'y z'"


def test_many_files_are_named_by_pattern(tmp_path):
    (tmp_path / ".git").mkdir()
    paths = [tmp_path / f"sub-{n:02d}" / "ses-1" / f"sub-{n:02d}_ses-1_T1w.nii.gz" for n in range(9)]
    assert fetch_command(paths).endswith(" && datalad get sub-*/ses-*/sub-*_ses-*_T1w.nii.gz")
    names = " ".join(str(path.relative_to(tmp_path)) for path in paths[:8])
    assert fetch_command(paths[:8]).endswith(f" && datalad get {names}")
    assert fetch_remedy(paths[:1]) == (
        "fetch it, in the root of the dataset: datalad get sub-00/ses-1/sub-00_ses-1_T1w.nii.gz  "
        "(or: git annex get sub-00/ses-1/sub-00_ses-1_T1w.nii.gz)"
    )
