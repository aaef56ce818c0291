import pytest

from bids_app.bids.layout import Scan
from bids_app.bids.lesion_files import find_mask, mask_roots, read_lesion_tables, row_of
from bids_app.errors import InputError

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
