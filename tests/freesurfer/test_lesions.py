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


def test_a_half_itself_is_no_lesion(tmp_path):
    values = np.zeros(SHAPE, dtype=np.float32)
    values[1, 1, 1], values[20, 20, 20] = 0.5, 0.500001
    assert measure_lesions(image(tmp_path / "p.nii.gz", values)).count == 1


def test_the_volume_is_that_of_the_voxels_whichever_way_they_are_turned(tmp_path):
    values = mask(((1, 3), (1, 2), (1, 2)))
    affine = np.array([[-2.0, 0, 0, 20], [0, 0, 1, -16], [0, -3, 0, 18], [0, 0, 0, 1]])
    assert measure_lesions(image(tmp_path / "m.nii.gz", values, affine)).volume_mm3 == pytest.approx(12.0)


def test_the_segmentation_with_the_cortex_goes_first_and_one_that_is_not_fetched_is_passed_over(tmp_path):
    folder = tmp_path / "mri"
    folder.mkdir()
    assert segmentation_of(tmp_path) is None
    (folder / "aseg.mgz").write_text("x")
    assert segmentation_of(tmp_path) == folder / "aseg.mgz"
    (folder / "aparc+aseg.mgz").write_text("/annex/objects/key")
    assert segmentation_of(tmp_path) == folder / "aseg.mgz"
    (folder / "aparc+aseg.mgz").write_text("x")
    assert segmentation_of(tmp_path) == folder / "aparc+aseg.mgz"


def test_a_mask_that_is_not_fetched_says_how_to_get_it(tmp_path):
    (tmp_path / "m.nii.gz").write_text("/annex/objects/key")
    with pytest.raises(InputError) as error:
        measure_lesions(tmp_path / "m.nii.gz")
    assert "datalad get" in error.value.remedy


def labelled(tmp_path, boxes, affine=LIA, shape=(20, 20, 20)):
    values = np.zeros(shape, dtype=np.int32)
    for label, box in boxes:
        values[tuple(slice(*ends) for ends in box)] = label
    path = tmp_path / "aseg.mgz"
    nib.save(nib.MGHImage(values, affine), path)
    return path


def small(*boxes, shape=(20, 20, 20)):
    values = np.zeros(shape, dtype=np.uint8)
    for box in boxes:
        values[tuple(slice(*ends) for ends in box)] = 1
    return values


def test_the_share_outside_the_labels(tmp_path):
    labels = labelled(tmp_path, [(2, ((0, 10), (0, 20), (0, 20)))])
    found = measure_lesions(image(tmp_path / "m.nii.gz", small(((9, 13), (5, 6), (5, 6)))), labels)
    assert found.outside == 0.75
    within = measure_lesions(image(tmp_path / "n.nii.gz", small(((8, 10), (5, 6), (5, 6)))), labels)
    assert within.outside == 0.0


@pytest.mark.parametrize("place", [0, 19])
def test_a_structure_at_the_edge_of_the_image_has_surroundings(tmp_path, place):
    row = (place, place + 1)
    labels = labelled(tmp_path, [(10, (row, row, row))])
    lesion = small(tuple((0, 20) for _ in range(3)))
    table = measure_lesions(image(tmp_path / "m.nii.gz", lesion), labels).table
    assert table[["region", "region_mm3", "lesion_mm3", "share", "surroundings_share"]].values.tolist() == [
        ["Left-Thalamus", 1.0, 1.0, 1.0, 1.0]
    ]


def test_surroundings_are_within_3_mm_and_without_the_structure(tmp_path):
    labels = labelled(tmp_path, [(10, ((10, 11), (10, 11), (10, 11)))])
    n_within_3 = sum(0 < x * x + y * y + z * z <= 9 for x in range(-3, 4) for y in range(-3, 4) for z in range(-3, 4))
    for step, inside in ((1, True), (2, True), (3, True), (4, False)):
        lesion = small(((10 - step, 11 - step), (10, 11), (10, 11)))
        table = measure_lesions(image(tmp_path / f"m{step}.nii.gz", lesion), labels).table
        assert (len(table) == 1) is inside
        if inside:
            assert table["surroundings_share"].iloc[0] == pytest.approx(1 / n_within_3)
            assert (table["lesion_mm3"].iloc[0], table["share"].iloc[0]) == (0.0, 0.0)


def test_surroundings_are_in_mm_and_not_in_voxels(tmp_path):
    affine = np.diag([1.5, 1.0, 1.0, 1.0])
    labels = labelled(tmp_path, [(10, ((10, 11), (10, 11), (10, 11)))], affine)
    for step, inside in ((2, True), (3, False)):
        lesion = small(((10 + step, 11 + step), (10, 11), (10, 11)))
        table = measure_lesions(image(tmp_path / f"m{step}.nii.gz", lesion, affine), labels).table
        assert (len(table) == 1) is inside
    assert measure_lesions(image(tmp_path / "own.nii.gz", small(((10, 11), (10, 11), (10, 11))), affine), labels).table[
        "lesion_mm3"
    ].tolist() == [1.5]


def test_a_region_whose_border_lesions_do_not_blur_has_no_surroundings(tmp_path):
    labels = labelled(tmp_path, [(16, ((5, 7), (5, 7), (5, 7))), (17, ((12, 14), (5, 7), (5, 7)))])
    lesion = small(((5, 6), (5, 6), (5, 6)), ((12, 13), (5, 6), (5, 6)))
    table = measure_lesions(image(tmp_path / "m.nii.gz", lesion), labels).table.set_index("region")
    assert list(table.index) == ["Brain-Stem", "Left-Hippocampus"]
    assert table["share"].tolist() == [0.125, 0.125]
    assert np.isnan(table.loc["Brain-Stem", "surroundings_share"])
    assert table.loc["Left-Hippocampus", "surroundings_share"] == 0.0


def test_a_structure_that_fills_the_image_has_no_surroundings(tmp_path):
    labels = labelled(tmp_path, [(10, ((0, 4), (0, 4), (0, 4)))], shape=(4, 4, 4))
    lesion = small(((0, 1), (0, 1), (0, 1)), shape=(4, 4, 4))
    row = measure_lesions(image(tmp_path / "m.nii.gz", lesion), labels).table.iloc[0]
    assert row["share"] == 1 / 64
    assert np.isnan(row["surroundings_share"])


def test_lesion_at_the_edge_of_a_coarse_mask_reaches_all_its_fine_voxels(tmp_path):
    """A mask of 4 mm voxels turned against labels of 1 mm: each of its voxels covers 64."""
    coarse = np.array([[0, 4.0, 0, 1.5], [4.0, 0, 0, 1.5], [0, 0, 4.0, 1.5], [0, 0, 0, 1]])
    labels = labelled(tmp_path, [(16, ((0, 20), (0, 20), (0, 20)))], np.eye(4))
    for box in (((0, 1), (0, 1), (0, 1)), ((4, 5), (4, 5), (4, 5)), ((0, 5), (2, 3), (1, 2))):
        lesion = small(box, shape=(5, 5, 5))
        found = measure_lesions(image(tmp_path / "m.nii.gz", lesion, coarse), labels)
        assert found.table["lesion_mm3"].sum() == pytest.approx(64 * lesion.sum())
        assert found.outside == 0.0


def test_labels_that_are_stored_as_numbers_with_a_fraction_are_rounded_and_negative_ones_are_none(tmp_path):
    values = np.full((6, 6, 6), -1.0, dtype=np.float32)
    values[1:3, 1:3, 1:3] = 9.99999
    nib.save(nib.MGHImage(values, LIA), tmp_path / "aseg.mgz")
    lesion = small(((1, 2), (1, 2), (1, 3)), shape=(6, 6, 6))
    found = measure_lesions(image(tmp_path / "m.nii.gz", lesion), tmp_path / "aseg.mgz")
    assert (found.table["region"].tolist(), found.outside) == (["Left-Thalamus"], 0.0)
    elsewhere = measure_lesions(image(tmp_path / "n.nii.gz", small(((4, 5), (4, 5), (4, 5)), shape=(6, 6, 6))))
    assert elsewhere.count == 1


def test_two_volumes_are_not_one_and_a_flat_image_is_none(tmp_path):
    image(tmp_path / "two.nii.gz", np.zeros((4, 4, 4, 2), dtype=np.uint8))
    image(tmp_path / "flat.nii.gz", np.zeros((4, 4), dtype=np.uint8))
    for name in ("two.nii.gz", "flat.nii.gz"):
        with pytest.raises(InputError, match="not one volume"):
            measure_lesions(tmp_path / name)
    five = image(tmp_path / "five.nii.gz", np.ones((4, 4, 4, 1, 1), dtype=np.uint8))
    assert measure_lesions(five).count == 1
