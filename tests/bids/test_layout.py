"""Which scans a dataset holds."""

import json
import os

import pytest

from bids_app.bids.layout import Scan, check_dataset, find_scans, only_sessions
from bids_app.errors import BIDSError, InputError, UsageError
from tests.bids.conftest import table

SESSIONS = {
    "participants.tsv": table("participant_id age", "sub-01 1", "sub-02 2", "sub-10 3", "sub-99 4"),
    "sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz": "",
    "sub-01/ses-2/anat/sub-01_ses-2_run-1_T1w.nii.gz": "",
    "sub-01/ses-2/anat/sub-01_ses-2_run-2_T1w.nii.gz": "",
    "sub-01/ses-2/anat/sub-01_ses-2_FLAIR.nii.gz": "",
    "sub-01/ses-3/func/sub-01_ses-3_task-rest_bold.nii.gz": "",
    "sub-02/anat/sub-02_T1w.nii": "",
    "sub-02/anat/sub-02_T1w.json": "{}",
    "sub-10/anat/sub-10_T2w.nii.gz": "",
    "derivatives/x/sub-77/anat/sub-77_T1w.nii.gz": "",
    "sourcedata/sub-78/anat/sub-78_T1w.nii.gz": "",
}


def names(scans):
    return [scan.name for scan in scans]


def test_every_person_is_listed_in_natural_order(make_dataset):
    scans = find_scans(make_dataset(SESSIONS))
    assert names(scans) == ["sub-01_ses-1", "sub-01_ses-2", "sub-02", "sub-10", "sub-99"]
    assert [len(scan.t1w) for scan in scans] == [1, 2, 1, 0, 0]
    assert len(scans[1].flair) == 1
    assert len(scans[3].t2w) == 1


@pytest.mark.parametrize("labels", [["01", "sub-10"], ["sub-01", "10"]])
def test_labels_with_and_without_prefix(make_dataset, labels):
    scans = find_scans(make_dataset(SESSIONS), participant_label=labels, session_label=["ses-2"])
    assert names(scans) == ["sub-01_ses-2"]
    assert len(find_scans(make_dataset(SESSIONS), participant_label=labels)) == 3


def test_a_label_that_is_spelt_otherwise_is_no_second_person(make_dataset):
    files = {"participants.tsv": table("participant_id", "1", "SUB-02", "sub-03"), "sub-02/anat/sub-02_T1w.nii": ""}
    assert names(find_scans(make_dataset({**files, "sub-01/anat/sub-01_T1w.nii": ""}))) == [
        "sub-01",
        "sub-02",
        "sub-03",
    ]


def test_unknown_labels_name_those_known(make_dataset):
    with pytest.raises(UsageError, match=r"03 are not in .*known: 01, 02, 10, 99"):
        find_scans(make_dataset(SESSIONS), participant_label=["03"])
    with pytest.raises(UsageError, match=r"session label\(s\) 7 .*known: 1, 2"):
        find_scans(make_dataset(SESSIONS), session_label=["7"])


def test_dangling_annex_link_is_an_image(make_dataset):
    root = make_dataset({"sub-01/anat/sub-01_T1w.json": "{}"})
    image = root / "sub-01/anat/sub-01_T1w.nii.gz"
    image.symlink_to("../../.git/annex/objects/gone")
    assert find_scans(root) == [Scan("01", None, (image,))]


def test_freesurfer_subjects_join_in(make_dataset):
    root = make_dataset(SESSIONS)
    scans = find_scans(
        root, fs_subjects=["fsaverage", "sub-01", "sub-01_ses-3", "sub-55", "bert", "sub-01_ses-4.long.sub-01"]
    )
    assert names(scans) == [
        "sub-01_ses-1",
        "sub-01_ses-2",
        "sub-01_ses-3",
        "sub-01_ses-4",
        "sub-02",
        "sub-10",
        "sub-99",
    ]


def test_a_dataset_that_names_nobody_has_the_people_of_the_subjects_folder(make_dataset):
    root = make_dataset({"dataset_description.json": {"Name": "x", "BIDSVersion": "1.9.0"}})
    assert names(find_scans(root, fs_subjects=["sub-55"])) == ["sub-55"]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"dataset_description.json": ""}, "cannot read .*dataset_description.json"),
        ({"dataset_description.json": {"Name": "x"}}, "lacks BIDSVersion"),
        ({}, "neither"),
    ],
)
def test_a_folder_that_is_not_bids_is_named(make_dataset, files, words):
    with pytest.raises(InputError, match=words):
        find_scans(make_dataset(files))


def test_missing_description_is_refused_unless_validation_is_off(tmp_path):
    (tmp_path / "sub-01/anat").mkdir(parents=True)
    with pytest.raises(BIDSError, match="no dataset_description"):
        find_scans(tmp_path)
    assert names(find_scans(tmp_path, validate=False)) == ["sub-01"]
    with pytest.raises(BIDSError, match="does not exist"):
        find_scans(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("path", "located"),
    [
        ("sub-01/anat/sub-01_T1w.nii.gz", (("01", None), "T1w")),
        ("sub-01/ses-a/anat/sub-01_ses-a_acq-x_run-1_FLAIR.nii", (("01", "a"), "FLAIR")),
        ("sub-01/ses-a/anat/sub-01_T1w.nii.gz", None),
        ("sub-01/ses-a/anat/sub-02_ses-a_T1w.nii.gz", None),
        ("sub-01/func/sub-01_T1w.nii.gz", None),
        ("sub-01/anat/sub-01_T1w_old.nii.gz", None),
        ("sub-01/anat/sub-01_T1w.json", None),
    ],
)
def test_place_and_name_must_agree(make_dataset, path, located):
    scans = find_scans(make_dataset({path: ""}))
    found = [
        ((scan.participant, scan.session), suffix)
        for scan in scans
        for suffix in ("T1w", "T2w", "FLAIR")
        if getattr(scan, suffix.lower())
    ]
    assert found == ([located] if located else [])


def test_names_that_the_bids_validator_refuses_are_images_all_the_same(make_dataset):
    root = make_dataset({"sub-01/anat/sub-01_run-1_acq-mprage_T1w.nii.gz": "", "sub-01/anat/sub-01_acq-x_T1w.nii": ""})
    assert len(find_scans(root)[0].t1w) == 2
    (root / "dataset_description.json").unlink()
    assert len(find_scans(root, validate=False)[0].t1w) == 2


def test_a_damaged_description_is_passed_over_when_validation_is_off(make_dataset):
    root = make_dataset({"dataset_description.json": "{", "sub-01/anat/sub-01_T1w.nii.gz": ""})
    assert len(find_scans(root, validate=False)[0].t1w) == 1


def filtered(root, filters, **options):
    path = root.parent / "filter.json"
    path.write_text(json.dumps(filters))
    return find_scans(root, filter_file=path, **options)


def test_filter_file_selects_images_and_keeps_people(make_dataset):
    root = make_dataset(SESSIONS)
    scans = filtered(root, {"t1w": {"run": 1}})
    assert [len(scan.t1w) for scan in scans] == [0, 1, 0, 0, 0]
    scans = filtered(root, {"t1w": {"session": "ses-2", "run": "*"}, "bold": {"task": "rest"}})
    assert {scan.name: len(scan.t1w) for scan in scans}["sub-01_ses-2"] == 2


def test_filter_on_session_none(make_dataset):
    scans = filtered(make_dataset(SESSIONS), {"t1w": {"session": None}})
    assert {scan.name for scan in scans if scan.t1w} == {"sub-02"}


@pytest.mark.parametrize("filters", [{"t1w": {"bogus": "1"}}, [1], {"t1w": 3}])
def test_unusable_filter_is_refused(make_dataset, filters):
    with pytest.raises(UsageError):
        filtered(make_dataset(SESSIONS), filters)


def test_pybids_index_is_reused_and_belongs_to_its_dataset(make_dataset, tmp_path):
    root, other = make_dataset(SESSIONS), make_dataset(SESSIONS, "other")
    database = tmp_path / "index"
    plain = find_scans(root)
    assert find_scans(root, database_dir=database) == plain
    assert find_scans(root, database_dir=database) == plain
    with pytest.raises(UsageError, match="another dataset"):
        find_scans(other, database_dir=database)


def test_a_kept_index_serves_until_a_folder_changes(make_dataset, tmp_path, monkeypatch):
    root, kept = make_dataset(SESSIONS), tmp_path / "work"
    plain = find_scans(root)
    assert find_scans(root, kept_dir=kept) == plain
    (first,) = kept.iterdir()
    monkeypatch.setattr("bids.layout.BIDSLayoutIndexer.__call__", None)
    assert find_scans(root, kept_dir=kept) == plain
    monkeypatch.undo()
    (root / "sub-02/anat/sub-02_FLAIR.nii.gz").touch()
    assert len(find_scans(root, kept_dir=kept)[2].flair) == 1
    assert [path for path in kept.iterdir() if path != first] == list(kept.iterdir())


def test_a_kept_index_never_holds_only_some_people(make_dataset, tmp_path):
    root = make_dataset(SESSIONS)
    find_scans(root, participant_label=["02"], kept_dir=tmp_path / "work")
    assert find_scans(root, kept_dir=tmp_path / "work") == find_scans(root)


def test_only_the_people_asked_for_are_indexed(make_dataset, monkeypatch):
    from bids.layout import BIDSLayoutIndexer

    seen = []
    index = BIDSLayoutIndexer._index_file
    monkeypatch.setattr(
        BIDSLayoutIndexer, "_index_file", lambda self, path, *rest: seen.append(path.name) or index(self, path, *rest)
    )
    find_scans(make_dataset(SESSIONS), participant_label=["02"])
    assert seen == ["sub-02_T1w.nii"]


def test_people_without_images_need_no_index(make_dataset, monkeypatch):
    monkeypatch.setattr("bids.layout.BIDSLayout.__init__", None)
    scans = find_scans(make_dataset(SESSIONS), images=False)
    assert names(scans) == ["sub-01_ses-1", "sub-01_ses-2", "sub-02", "sub-10", "sub-99"]


def test_unreadable_folder_is_named(make_dataset):
    root = make_dataset(SESSIONS)
    (root / "sub-02/anat").chmod(0)
    if os.access(root / "sub-02/anat", os.R_OK):
        pytest.skip("this user reads everything")
    with pytest.raises(BIDSError, match="cannot be read"):
        find_scans(root)


def every_image_is_found(root):
    images = [path for suffix in ("T1w", "T2w", "FLAIR") for path in root.glob(f"sub-*/**/anat/sub-*_{suffix}.nii*")]
    found = [path for scan in find_scans(root) for path in (*scan.t1w, *scan.t2w, *scan.flair)]
    return sorted(found) == sorted(images)


@pytest.mark.parametrize("name", ["bids_examples/ds114", "bids_examples/synthetic", "formats/bids_mini"])
def test_every_image_of_real_datasets_is_found(shared, name):
    assert every_image_is_found(shared / "data" / name)


@pytest.mark.slow
def test_every_image_of_every_dataset_is_found(shared):
    roots = [path for path in sorted((shared / "data/bids_examples").iterdir()) if path.is_dir()]
    for root in [*roots, shared / "data/ds004604"]:
        assert every_image_is_found(root), root.name


@pytest.mark.parametrize(
    ("name", "n_scans", "n_t1w"),
    [
        ("bids_examples/7t_trt", 22, 22),
        ("bids_examples/ds000117", 17, 16),
        ("bids_examples/ds006", 28, 28),
        ("bids_examples/ds051", 13, 27),
        ("bids_examples/pheno004", 3, 2),
        ("bids_examples/synthetic", 10, 10),
        ("ds004604", 50, 50),
        ("formats/bids_mini", 3, 3),
    ],
)
def test_real_datasets(shared, name, n_scans, n_t1w):
    scans = find_scans(shared / "data" / name)
    assert len(scans) == n_scans
    assert sum(len(scan.t1w) for scan in scans) == n_t1w


def test_other_sessions_of_the_subjects_folder_join_and_strangers_do_not(make_dataset):
    root = make_dataset(SESSIONS)
    trees = ["sub-01_ses-9", "sub-02", "sub-02.long.b", "sub-88_ses-1", "bert", "sub-01_ses-2.long.sub-01"]
    found = names(find_scans(root, fs_subjects=trees))
    assert found == ["sub-01_ses-1", "sub-01_ses-2", "sub-01_ses-9", "sub-02", "sub-10", "sub-99"]


def test_without_looking_for_images_folders_tell_people_and_sessions(make_dataset):
    scans = find_scans(make_dataset(SESSIONS), images=False)
    assert names(scans) == ["sub-01_ses-1", "sub-01_ses-2", "sub-02", "sub-10", "sub-99"]
    assert {len(scan.t1w) for scan in scans} == {0}


def test_sessions_without_prefix_and_all_of_them(make_dataset):
    root = make_dataset(SESSIONS)
    scans = find_scans(root, images=False)
    assert only_sessions(scans, [], root) == scans
    assert names(only_sessions(scans, ["1", "ses-2"], root)) == ["sub-01_ses-1", "sub-01_ses-2"]
    with pytest.raises(UsageError, match=r"did you mean|known: 1, 2"):
        only_sessions(scans, ["3"], root)


def test_a_label_that_is_nearly_one_is_asked_back(make_dataset):
    root = make_dataset({"participants.tsv": table("participant_id", "sub-control01", "sub-x")})
    with pytest.raises(UsageError, match=r"did you mean control01\?.*known: control01, x"):
        find_scans(root, participant_label=["contrl01"])
    with pytest.raises(UsageError, match="known: none"):
        find_scans(root, session_label=["1"])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "lacks Name and BIDSVersion"),
        ({"Name": "x"}, "lacks BIDSVersion"),
        ({"BIDSVersion": "1"}, "lacks Name"),
        ("[]", "lacks Name and BIDSVersion"),
    ],
)
def test_what_a_description_lacks_is_named(make_dataset, content, words):
    with pytest.raises(BIDSError, match=words) as error:
        check_dataset(make_dataset({"dataset_description.json": content}))
    assert error.value.remedy == "add it, or use --skip-bids-validation to go on without it"


def test_an_empty_dataset_has_nobody(make_dataset):
    with pytest.raises(BIDSError, match="neither sub-"):
        find_scans(make_dataset({"participants.tsv": "participant_id\n"}))
    (scan,) = find_scans(make_dataset({}, "other"), fs_subjects=["sub-05_ses-1"])
    assert (scan.name, scan.t1w) == ("sub-05_ses-1", ())


def test_a_folder_that_may_not_be_read_drops_nobody_silently(make_dataset, monkeypatch):
    root = make_dataset(SESSIONS)
    for missing in (os.R_OK, os.X_OK):
        monkeypatch.setattr("bids_app.bids.layout.os.access", lambda path, mode, missing=missing: not mode & missing)
        with pytest.raises(BIDSError, match=r"anat cannot be read \(Permission denied\)"):
            find_scans(root)


def test_a_listing_that_is_refused_is_a_sentence(make_dataset, monkeypatch):
    root = make_dataset(SESSIONS)

    def refused(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("bids_app.bids.layout.os.scandir", refused)
    with pytest.raises(BIDSError, match="cannot be read"):
        find_scans(root)


def test_a_file_is_no_folder_of_a_person(make_dataset):
    root = make_dataset({"sub-01/anat/sub-01_T1w.nii": "", "sub-02": "a file"})
    assert names(find_scans(root)) == ["sub-01"]


def test_images_are_in_order_and_other_places_are_none(make_dataset):
    root = make_dataset({f"sub-01/anat/sub-01_run-{n}_T1w.nii": "" for n in (2, 1, 3)})
    (scan,) = find_scans(root)
    assert [path.name[7:12] for path in scan.t1w] == ["run-1", "run-2", "run-3"]
    assert scan.t2w == scan.flair == ()
