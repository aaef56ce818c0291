from pathlib import Path

import pytest

from bids_app.bids.layout import Scan
from bids_app.bids.lesion_files import LesionSource, find_mask, mask_roots, read_lesion_tables, row_of, with_table
from bids_app.errors import InputError
from bids_app.findings import Finding

SCAN = Scan("01", "1")


@pytest.fixture
def anat(tmp_path):
    folder = tmp_path / "derivatives" / "lesions" / "sub-01" / "ses-1" / "anat"
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize(
    "name",
    [
        "sub-01_ses-1_label-lesion_mask.nii.gz",
        "sub-01_ses-1_space-T1w_label-lesion_mask.nii.gz",
        "sub-01_ses-1_space-orig_desc-WMLesions_dseg.nii",
        "sub-01_ses-1_label-lesion_desc-manual_mask.nii.gz",
        "sub-01_ses-1_T1w_label-lesion_roi.nii.gz",
    ],
)
def test_masks_in_the_space_of_the_t1w_image_are_found(tmp_path, anat, name):
    (anat / name).write_bytes(b"")
    assert find_mask(SCAN, mask_roots(tmp_path)).mask == anat / name


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("sub-01_ses-1_space-MNI152NLin2009cAsym_label-lesion_mask.nii.gz", ["lesion-mask-unused"]),
        ("sub-01_ses-1_FLAIR_label-lesion_roi.nii.gz", ["lesion-mask-unused"]),
        ("sub-01_ses-1_label-brain_mask.nii.gz", []),
        ("sub-01_ses-1_desc-lesionfilled_T1w.nii.gz", []),
        ("sub-01_ses-2_label-lesion_mask.nii.gz", []),
    ],
)
def test_others_are_not(tmp_path, anat, name, kinds):
    (anat / name).write_bytes(b"")
    found = find_mask(SCAN, mask_roots(tmp_path))
    assert found.mask is None
    assert [finding.kind for finding in found.findings] == kinds


def test_of_several_one_is_used_and_the_others_are_named(tmp_path, anat):
    for name in ("a", "b"):
        (anat / f"sub-01_ses-1_label-lesion_desc-{name}_mask.nii.gz").write_bytes(b"")
    found = find_mask(SCAN, mask_roots(tmp_path))
    assert found.mask.name.endswith("desc-a_mask.nii.gz")
    assert [finding.kind for finding in found.findings] == ["lesion-mask-choice"]


@pytest.mark.parametrize(
    ("text", "volume", "count"),
    [
        ("participant_id\tsession_id\tlesion_volume\tlesion_count\nsub-01\tses-1\t1234.5\t7\n", 1234.5, 7),
        ("subject,session,TLV (mL),n_lesions\n1,1,1.2345,7\n", 1234.5, 7),
        ("participant_id\tTotal Lesion Volume mm3\nsub-01\t1234.5\n", 1234.5, None),
        ("participant_id\tNumber of lesions\nsub-01\t7\n", None, 7),
        ("participant_id\tlesion_volume\nsub-01\tn/a\n", None, None),
    ],
)
def test_a_table_with_a_row_per_scan(tmp_path, text, volume, count):
    path = tmp_path / ("lesions.csv" if "," in text.splitlines()[0] else "lesions.tsv")
    path.write_text(text)
    row = row_of(read_lesion_tables(path), SCAN)
    assert row.volume_mm3 == (None if volume is None else pytest.approx(volume))
    assert row.count == count


def test_a_derivative_with_an_equals_sign_in_its_path_is_looked_into(tmp_path):
    given = [tmp_path / "site=1" / "masks", f"named={tmp_path}/x=y"]
    assert mask_roots(tmp_path / "bids", given) == [given[0], tmp_path / "x=y", tmp_path / "bids"]


def test_volumes_of_parts_are_kept(tmp_path):
    path = tmp_path / "lesions.tsv"
    path.write_text("participant_id\tlesion_volume\tlesion_volume_periventricular\nsub-01\t10\t4\n")
    assert row_of(read_lesion_tables(path), SCAN).parts == {"lesion_volume_periventricular": 4.0}


def test_files_of_lst_ai_and_samseg_in_a_folder(tmp_path):
    lst = tmp_path / "lst" / "sub-01" / "ses-1"
    lst.mkdir(parents=True)
    (lst / "lesion_stats.csv").write_text("Num_Lesions,Num_Vox,Lesion_Volume\n5,900,912.5\n")
    (lst / "annotated_lesion_stats.csv").write_text(
        "Region,Num_Lesions,Num_Vox,Lesion_Volume\nPeriventricular,2,600,600\nJuxtacortical,3,300,312.5\n"
    )
    samseg = tmp_path / "samseg" / "sub-02_ses-1"
    samseg.mkdir(parents=True)
    (samseg / "samseg.stats").write_text("# Measure Left-Thalamus, 7000.1, mm^3\n# Measure Lesions, 2500.5, mm^3\n")
    rows = read_lesion_tables(tmp_path)
    assert (rows["01", "1"].count, rows["01", "1"].volume_mm3) == (5, 912.5)
    assert rows["01", "1"].parts == {"Periventricular": 600.0, "Juxtacortical": 312.5}
    assert rows["02", "1"].volume_mm3 == 2500.5


def test_what_cannot_be_read_is_a_sentence(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_lesion_tables(tmp_path / "none.tsv")
    with pytest.raises(InputError, match="holds none of"):
        read_lesion_tables(tmp_path)
    (tmp_path / "t.tsv").write_text("participant_id\tage\nsub-01\t30\n")
    with pytest.raises(InputError, match="no column lesion_volume"):
        read_lesion_tables(tmp_path / "t.tsv")


def rows_of(tmp_path, *lines, header="participant_id\tsession_id\tlesion_volume\tlesion_count"):
    path = tmp_path / "lesions.tsv"
    path.write_text("".join(f"{line}\n" for line in (header, *("\t".join(line.split()) for line in lines))))
    return read_lesion_tables(path)


def test_a_row_without_session_is_of_the_only_scan_of_a_person(tmp_path):
    rows = rows_of(tmp_path, "sub-01 n/a 100 2", "sub-1x n/a 5 1")
    assert row_of(rows, SCAN, only=True).volume_mm3 == 100
    assert row_of(rows, Scan("01")).volume_mm3 == 100
    assert row_of(rows, Scan("1", "1")).volume_mm3 == 100
    unknown = row_of(rows, SCAN, only=False)
    assert (unknown.volume_mm3, unknown.count) == (None, None)
    assert [(found.kind, found.seen) for found in unknown.findings] == [
        ("lesion-row-unused", "lesions.tsv has a row of sub-01 without a session, who has several")
    ]


def test_a_row_of_the_session_goes_before_one_without(tmp_path):
    rows = rows_of(tmp_path, "sub-01 n/a 100 2", "sub-01 ses-01 300 4")
    for only in (True, False):
        assert row_of(rows, SCAN, only=only).volume_mm3 == 300
        assert row_of(rows, SCAN, only=only).findings == ()
    assert row_of(rows, Scan("01", "2"), only=False).volume_mm3 is None


def test_spellings_that_fit_two_rows_fit_none(tmp_path):
    rows = rows_of(tmp_path, "sub-1 ses-1 100 2", "sub-001 ses-1 300 4")
    neither = row_of(rows, SCAN)
    assert (neither.volume_mm3, neither.count) == (None, None)
    seen = "lesions.tsv has rows of sub-1_ses-1 and sub-001_ses-1, either of which may be of sub-01_ses-1"
    assert [(found.kind, found.seen) for found in neither.findings] == [("lesion-row-unused", seen)]
    assert row_of(rows, Scan("1", "1")).volume_mm3 == 100
    assert row_of(rows, Scan("2", "1")) is None
    assert row_of(rows, Scan("1", None)) is None


def test_two_rows_of_one_scan_are_refused_with_table_and_scan(tmp_path):
    with pytest.raises(InputError, match=r"lesions\.tsv has several rows of sub-01_ses-1;"):
        rows_of(tmp_path, "sub-01 ses-1 100 2", "sub-02 ses-1 1 1", "01 1 300 4")
    with pytest.raises(InputError, match=r"several rows of sub-01;"):
        rows_of(tmp_path, "sub-01 100 2", "sub-01 100 2", header="id\tlesion_volume\tlesion_count")


def test_what_mask_and_table_give_reason_to_doubt_is_kept():
    mask = LesionSource(Path("m"), findings=(Finding("lesion-mask-choice", "a"),))
    row = LesionSource(count=1, table="t", findings=(Finding("lesion-row-unused", "b"),))
    both = with_table(mask, row)
    assert (both.mask, both.count, both.table) == (Path("m"), 1, "t")
    assert [found.seen for found in both.findings] == ["a", "b"]
    assert with_table(mask, None) is mask


def test_numbers_of_lesions_are_0_or_more_and_finite(tmp_path):
    rows = rows_of(tmp_path, "sub-01 ses-1 0 0", "sub-02 ses-1 -1 -2", "sub-03 ses-1 inf few", "sub-04 ses-1 1,5 2")
    assert (rows["01", "1"].volume_mm3, rows["01", "1"].count) == (0, 0)
    assert (rows["02", "1"].volume_mm3, rows["02", "1"].count) == (None, None)
    assert (rows["03", "1"].volume_mm3, rows["03", "1"].count) == (None, None)
    assert rows["04", "1"].volume_mm3 == 1.5


def test_a_row_without_person_is_nobodys_and_columns_are_converted_one_by_one(tmp_path):
    header = "participant_id\tlesion_volume_ml\tlesion_volume_pv_cm3\tlesion_volume_jc"
    rows = rows_of(tmp_path, "sub-01 2 0.5 300", "n/a 9 9 9", "sub-02 n/a n/a 4", header=header)
    assert set(rows) == {("01", None), ("02", None)}
    assert (rows["01", None].volume_mm3, rows["01", None].table) == (2000, "lesions.tsv")
    assert rows["01", None].parts == {"lesion_volume_pv_cm3": 500, "lesion_volume_jc": 300}
    assert rows["02", None].parts == {"lesion_volume_jc": 4}


def test_masks_are_looked_for_in_the_dataset_and_its_derivatives(tmp_path):
    for name in ("derivatives/b", "derivatives/a"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "derivatives" / "file").write_text("")
    inside = {tmp_path / "derivatives" / "a", tmp_path / "derivatives" / "b"}
    assert set(mask_roots(tmp_path)[:2]) == inside
    assert mask_roots(tmp_path)[2:] == [tmp_path]
    assert mask_roots(tmp_path, [tmp_path])[0] == tmp_path
    assert len(mask_roots(tmp_path, [tmp_path])) == 3


def test_one_of_several_elsewhere_is_no_choice_and_a_fitting_one_silences_them(tmp_path, anat):
    for name in ("space-MNI_label-lesion_mask", "FLAIR_label-lesion_mask", "space-T1w_label-lesion_mask"):
        (anat / f"sub-01_ses-1_{name}.nii.gz").write_bytes(b"")
    found = find_mask(SCAN, mask_roots(tmp_path))
    assert found.mask.name == "sub-01_ses-1_space-T1w_label-lesion_mask.nii.gz"
    assert found.findings == ()
    (anat / "sub-01_ses-1_desc-lesion_label-x_mask.nii.gz").write_bytes(b"")
    seen = find_mask(SCAN, mask_roots(tmp_path)).findings[0].seen
    assert seen == (
        "sub-01_ses-1_desc-lesion_label-x_mask.nii.gz was used, not sub-01_ses-1_space-T1w_label-lesion_mask.nii.gz"
    )


def test_a_mask_of_a_person_without_sessions(tmp_path):
    folder = tmp_path / "sub-01" / "anat"
    folder.mkdir(parents=True)
    (folder / "sub-01_label-lesion_mask.nii.gz").write_bytes(b"")
    assert find_mask(Scan("01"), [tmp_path]).mask.parent == folder
    assert find_mask(Scan("01"), [tmp_path]).plain()["mask"] == str(folder / "sub-01_label-lesion_mask.nii.gz")
    assert LesionSource(count=2, parts={"a": 1.0}).plain() == {
        "count": 2,
        "volume_mm3": None,
        "parts": {"a": 1.0},
        "table": "",
        "mask": None,
    }


def test_files_of_tools_that_say_nothing_add_nothing(tmp_path):
    for name, text in (
        ("sub-01/lesion_stats.csv", "Num_Lesions,Lesion_Volume\n"),
        ("sub-02/samseg.stats", "# Measure Left-Thalamus, 7000.1, mm^3\n"),
        ("nobody/samseg.stats", "# Measure Lesions, 1, mm^3\n"),
        ("sub-03/annotated_lesion_stats.csv", "Region,Lesion_Volume\nPV,600\n,5\nJC,n/a\n"),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    rows = read_lesion_tables(tmp_path)
    assert set(rows) == {("01", None), ("02", None), ("03", None)}
    assert (rows["01", None].count, rows["02", None].volume_mm3) == (None, None)
    assert (rows["03", None].parts, rows["03", None].table) == ({"PV": 600.0}, "annotated_lesion_stats.csv")
