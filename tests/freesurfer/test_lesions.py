import nibabel as nib
import numpy as np
import pytest

from bids_app.errors import InputError
from bids_app.freesurfer.lesions import measure_lesions, segmentation_of

SHAPE = (40, 36, 32)
# FreeSurfer's orientation (LIA) with the centre of the image near the scanner's
LIA = np.array([[-1, 0, 0, 20], [0, 0, 1, -16], [0, -1, 0, 18], [0, 0, 0, 1.0]])


def image(path, values, affine=LIA):
    nib.save(nib.Nifti1Image(values, affine), path)
    return path


@pytest.fixture
def labels(tmp_path):
    """White matter (2) around a left thalamus (10) of 10 x 10 x 10 voxels and a left cortex label (1024)."""
    values = np.zeros(SHAPE, dtype=np.int32)
    values[5:35, 5:30, 5:28] = 2
    values[15:25, 10:20, 10:20] = 10
    values[5, 5:30, 5:28] = 1024
    folder = tmp_path / "sub-01" / "mri"
    folder.mkdir(parents=True)
    nib.save(nib.MGHImage(values, LIA), folder / "aparc+aseg.mgz")
    return segmentation_of(tmp_path / "sub-01")


def mask(*boxes):
    values = np.zeros(SHAPE, dtype=np.uint8)
    for box in boxes:
        values[tuple(slice(*ends) for ends in box)] = 1
    return values


def test_lesions_are_counted_by_connection_over_corners(tmp_path):
    values = mask(((1, 3), (1, 3), (1, 3)), ((3, 4), (3, 4), (3, 4)), ((20, 21), (20, 21), (20, 21)))
    found = measure_lesions(image(tmp_path / "m.nii.gz", values))
    assert (found.count, found.volume_mm3) == (2, 10.0)
    assert found.table.empty
    assert np.isnan(found.outside)


def test_no_lesion_is_a_count_of_zero(tmp_path, labels):
    found = measure_lesions(image(tmp_path / "m.nii.gz", mask()), labels)
    assert (found.count, found.volume_mm3, len(found.table)) == (0, 0.0, 0)


def test_shares_of_a_region_and_of_its_surroundings(tmp_path, labels):
    # 2 x 10 x 10 voxels inside the thalamus and a slab of 3 voxels that touches it
    values = mask(((15, 17), (10, 20), (10, 20)), ((12, 15), (10, 20), (10, 20)))
    table = measure_lesions(image(tmp_path / "m.nii.gz", values), labels).table.set_index("region")
    row = table.loc["Left-Thalamus"]
    assert (row["region_mm3"], row["lesion_mm3"], row["share"]) == (1000.0, 200.0, 0.2)
    # the slab takes one of six faces of the shell, a little less for the shell's round edges
    assert 0.10 < row["surroundings_share"] < 1 / 6


def test_a_mask_on_another_grid_is_looked_up_by_its_affine(tmp_path, labels):
    values = mask(((15, 17), (10, 20), (10, 20)))
    own = measure_lesions(image(tmp_path / "own.nii.gz", values), labels)
    turned = nib.as_closest_canonical(nib.Nifti1Image(values, LIA))
    nib.save(turned, tmp_path / "ras.nii.gz")
    other = measure_lesions(tmp_path / "ras.nii.gz", labels)
    assert other.table.equals(own.table)
    # twice as fine: eight voxels for each
    fine = np.kron(values, np.ones((2, 2, 2), dtype=np.uint8))
    affine = LIA @ np.diag([0.5, 0.5, 0.5, 1])
    affine[:3, 3] = (LIA @ np.array([-0.25, -0.25, -0.25, 1]))[:3]
    finer = measure_lesions(image(tmp_path / "fine.nii.gz", fine, affine), labels)
    assert finer.volume_mm3 == pytest.approx(own.volume_mm3)
    assert finer.table["share"].to_numpy() == pytest.approx(own.table["share"].to_numpy())


def test_labels_and_probabilities_are_lesions_from_a_half_on(tmp_path):
    values = np.zeros(SHAPE, dtype=np.float32)
    values[1, 1, 1], values[10, 10, 10], values[20, 20, 20] = 0.4, 0.6, 3
    assert measure_lesions(image(tmp_path / "p.nii.gz", values)).count == 2


def test_a_mask_elsewhere_is_told(tmp_path, labels):
    found = measure_lesions(image(tmp_path / "m.nii.gz", mask(((0, 3), (0, 3), (0, 3)))), labels)
    assert found.outside == 1.0


def test_what_is_no_image_is_a_sentence(tmp_path):
    (tmp_path / "m.nii.gz").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"m\.nii\.gz cannot be read"):
        measure_lesions(tmp_path / "m.nii.gz")
    image(tmp_path / "series.nii.gz", np.zeros((4, 4, 4, 3), dtype=np.uint8))
    with pytest.raises(InputError, match="not one volume"):
        measure_lesions(tmp_path / "series.nii.gz")
    assert measure_lesions(image(tmp_path / "one.nii.gz", np.ones((4, 4, 4, 1), dtype=np.uint8))).count == 1
