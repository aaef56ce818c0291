"""Volumes of one scan: every region under FreeSurfer 7's name, gaps said, nothing mapped in silence."""

from __future__ import annotations

import hashlib
import math

import pytest

from bids_app import regions
from bids_app.errors import FreeSurferError, StatsFileError
from bids_app.freesurfer.synthetic import write_subject
from bids_app.freesurfer.volumes import COLUMNS, Row, extract_volumes, modelled_version, read_volumes, region_values
from tests.freesurfer.conftest import edit


def volumes_of(found) -> dict[str, float]:
    return dict(zip(found.table["region"], found.table["volume_mm3"]))


def test_every_region_of_the_table_is_there_once_with_its_atlas_and_file(tree):
    found = extract_volumes(tree)
    assert tuple(found.table.columns) == COLUMNS
    assert set(found.table["region"]) == set(regions.names())
    assert found.table["region"].is_unique
    table = found.table.set_index("region")
    assert table.loc["Left-Thalamus"].to_dict() | {"area_mm2": 0, "thickness_mm": 0} == {
        "volume_mm3": 7000.0,
        "area_mm2": 0,
        "thickness_mm": 0,
        "atlas": "aseg",
        "source": "aseg.stats",
    }
    insula = table.loc["rh_insula_volume"]
    assert (insula["atlas"], insula["source"], insula["thickness_mm"]) == ("aparc", "rh.aparc.stats", 2.5)
    assert insula["area_mm2"] > 0
    assert math.isnan(table.loc["Left-Thalamus", "area_mm2"])
    assert table.loc[regions.ETIV, "volume_mm3"] == found.etiv_mm3 == 1.5e6


def test_inputs_carry_the_hash_of_each_file_that_was_read(tree):
    inputs = extract_volumes(tree).inputs
    assert list(inputs) == ["stats/aseg.stats", "stats/brainvol.stats", "stats/lh.aparc.stats", "stats/rh.aparc.stats"]
    assert all(hashlib.sha256((tree / name).read_bytes()).hexdigest() == value for name, value in inputs.items())


def test_older_names_become_todays(tree):
    edit(tree / "stats" / "aseg.stats", "Left-Thalamus  ", "Left-Thalamus-Proper  ")
    edit(tree / "stats" / "aseg.stats", "lhCerebralWhiteMatterVol", "lhCorticalWhiteMatterVol")
    edit(tree / "stats" / "aseg.stats", "eTIV, Estimated", "ICV, Estimated")
    found = extract_volumes(tree)
    assert volumes_of(found)["Left-Thalamus"] == 7000.0
    assert volumes_of(found)["lhCerebralWhiteMatterVol"] == 0.155 * 1.5e6
    assert found.etiv_mm3 == 1.5e6


@pytest.mark.parametrize(
    ("header", "stamp", "expected"),
    [
        ("7.4.1", "freesurfer-linux-centos8_x86_64-7.4.1-20230613-7eb8460", "7.4.1"),
        ("7.2.0-beta", "", "7.2.0-beta"),
        (
            "$Id: mri_segstats.c,v 1.121 2016/05/31 17:27:11 greve Exp $",
            "freesurfer-Linux-centos6_x86_64-stable-pub-v6.0.1-f53a55a",
            "6.0.1",
        ),
        ("$Id: mri_segstats.c,v 1.121 2016/05/31 17:27:11 greve Exp $", "", "6.0.x"),
        ("$Id: mri_segstats.c,v 1.75.2.9 2013/02/16 00:09:33 greve Exp $", "", "5.3.x"),
        ("$Id: mri_segstats.c,v 9.9 2019/02/16 00:09:33 greve Exp $", "", None),
        ("8.0.0", "freesurfer-linux-ubuntu22_x86_64-8.0.0-20250210-fake", "8.0.0"),
    ],
)
def test_the_version_comes_from_header_stamp_or_cvs_year(tree, header, stamp, expected):
    edit(tree / "stats" / "aseg.stats", "cvs_version 7.4.1", f"cvs_version {header}")
    (tree / "scripts" / "build-stamp.txt").write_text(stamp + "\n")
    (tree / "scripts" / "recon-all.done").write_text("SUBJECT sub-01\n")
    found = extract_volumes(tree)
    assert found.fs_version == expected
    assert any("not recorded" in note for note in found.notes) == (expected is None)


def test_statistics_of_another_version_than_the_stamp_are_noted(tree):
    edit(tree / "stats" / "aseg.stats", "cvs_version 7.4.1", "cvs_version 7.3.2")
    found = extract_volumes(tree)
    assert found.fs_version == "7.3.2"
    assert any("build stamp says 7.4.1" in note for note in found.notes)


def test_a_missing_hemisphere_region_or_value_is_said(tree):
    (tree / "stats" / "rh.aparc.stats").unlink()
    edit(tree / "stats" / "lh.aparc.stats", "bankssts ", "newregion ")
    edit(tree / "stats" / "aseg.stats", "7000.0  Left-Thalamus", "   nan  Left-Thalamus")
    edit(tree / "stats" / "aseg.stats", " Right-Caudate   ", " Other-Structure ")
    edit(tree / "stats" / "aseg.stats", "4200.0  Left-Hippocampus", "   0.0  Left-Hippocampus")
    notes = "\n".join(extract_volumes(tree).notes)
    assert "no Desikan-Killiany region of rh" in notes
    assert "not in lh.aparc.stats, so unscored: lh_bankssts_volume" in notes
    assert "without a value (nan), so unscored: Left-Thalamus" in notes
    assert "not in aseg.stats, so unscored: Right-Caudate" in notes
    assert "zero volume, so the segmentation is suspect: Left-Hippocampus" in notes


def test_a_damaged_cortex_is_left_out_and_noted_but_a_damaged_aseg_is_an_error(tree):
    path = tree / "stats" / "lh.aparc.stats"
    path.write_bytes(path.read_bytes()[:-20])
    found = extract_volumes(tree)
    assert "lh_insula_volume" not in volumes_of(found)
    assert any("left out" in note and "lh.aparc.stats" in note for note in found.notes)
    path = tree / "stats" / "aseg.stats"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(StatsFileError):
        extract_volumes(tree)


def test_the_wrong_hemisphere_in_a_file_is_left_out(tree):
    edit(tree / "stats" / "rh.aparc.stats", "hemi rh", "hemi lh")
    found = extract_volumes(tree)
    assert "rh_insula_volume" not in volumes_of(found)
    assert any("holds the hemisphere lh" in note for note in found.notes)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("1500000.000000", "0.000000", "eTIV as 0"),
        ("# Measure EstimatedTotalIntraCranialVol, eTIV", "# Measure Nothing, Nothing", "has no eTIV"),
        (" 7000.0  Left-Thal", "-7000.0  Left-Thal", "negative volume"),
        ("NVoxels Volume_mm3", "NVoxels Volume_cm3", "no column Volume_mm3"),
    ],
)
def test_what_makes_scoring_impossible_is_an_error(tree, old, new, message):
    edit(tree / "stats" / "aseg.stats", old, new)
    with pytest.raises(FreeSurferError, match=message):
        extract_volumes(tree)


def test_etiv_of_the_cortex_files_serves_when_aseg_has_none(tree):
    words = "Estimated Total Intracranial Volume"
    measure = f"# Measure EstimatedTotalIntraCranialVol, eTIV, {words}, 1500000.000000, mm^3\n"
    edit(tree / "stats" / "aseg.stats", measure, "")
    edit(tree / "stats" / "lh.aparc.stats", "# NTableCols", measure + "# NTableCols")
    found = extract_volumes(tree)
    assert found.etiv_mm3 == 1.5e6
    assert volumes_of(found)[regions.ETIV] == 1.5e6


def test_a_named_other_person_is_refused(tree):
    with pytest.raises(FreeSurferError, match="name sub-01, not sub-02"):
        extract_volumes(tree, expected_subject="sub-02")
    assert extract_volumes(tree, expected_subject="sub-01_ses-1").notes == (
        "the statistics were computed under the name sub-01",
        "synthetic: generated by normvol, no person was measured",
    )


def test_fastsurfer_gives_dkt_apart_and_no_desikan_killiany(fastsurfer):
    found = extract_volumes(fastsurfer)
    assert found.flavour == "fastsurfer"
    assert not [name for name in volumes_of(found) if name.startswith(("lh_", "rh_"))]
    assert set(found.other_atlases) == {"DKT"}
    assert len(found.other_atlases["DKT"]) == 62
    assert sum("never mapped" in note for note in found.notes) == 2


def test_fastsurfer_without_etiv_is_read_but_cannot_be_scored(fastsurfer):
    stats = fastsurfer / "stats"
    lines = (stats / "aseg+DKT.stats").read_text().splitlines(keepends=True)
    kept = [line.replace("NRows 45", "NRows 46") for line in lines if not line.startswith(("# Measure", "# subject"))]
    (stats / "aseg+DKT.stats").write_text("".join(kept) + " 46 1002  10  1875.0  ctx-lh-caudalanteriorcingulate\n")
    for name in ("aseg.stats", "lh.aparc.DKTatlas.mapped.stats", "rh.aparc.DKTatlas.mapped.stats", "brainvol.stats"):
        (stats / name).unlink()
    found = extract_volumes(fastsurfer)
    assert math.isnan(found.etiv_mm3)
    assert any("no eTIV" in note for note in found.notes)
    assert found.other_atlases["DKT"]["region"].tolist() == ["lh_caudalanteriorcingulate_volume"]
    assert any("voxel counts" in note for note in found.notes)


def test_destrieux_names_with_an_ampersand_become_freesurfer_7s(tree):
    text = (tree / "stats" / "lh.aparc.stats").read_text()
    (tree / "stats" / "lh.aparc.a2009s.stats").write_text(text.replace("bankssts", "G&S_subcentral"))
    found = extract_volumes(tree).other_atlases["Destrieux"]
    assert "lh_G_and_S_subcentral_volume" in set(found["region"])


def test_quality_measures_come_along(tree):
    measures = extract_volumes(tree).measures
    assert measures["surface_holes"] == 20
    assert measures["lh_euler"] == measures["euler"] == -18
    assert measures["rh_mean_thickness"] == 2.5
    assert 0.7 < measures["brainsegvol_to_etiv"] < 0.9


def test_a_longitudinal_time_point_has_no_surface_holes(tmp_path):
    found = extract_volumes(write_subject(tmp_path / "sub-01_ses-1.long.sub-01", {}, etiv=1.5e6))
    assert found.stream == "long"
    assert "surface_holes" not in found.measures


def test_contrast_is_weighted_by_area_without_the_medial_wall(tree):
    (tree / "stats" / "lh.w-g.pct.stats").write_text(
        "# Title x\n# NRows 3\n# ColHeaders Index Area_mm2 StructName Mean SNR\n"
        "1 5000 unknown 0.0 nan\n2 100 bankssts 20.0 3.0\n3 300 insula 40.0 5.0\n"
    )
    measures = extract_volumes(tree).measures
    assert measures["lh_grey_white_contrast"] == 35.0
    assert measures["lh_contrast_snr"] == 4.5


@pytest.mark.parametrize(("etiv", "accepted"), [("0.500000", True), ("1.000000", True), ("-1.000000", False)])
def test_any_etiv_above_0_is_read(tree, etiv, accepted):
    edit(tree / "stats" / "aseg.stats", "Volume, 1500000.000000", f"Volume, {etiv}")
    if accepted:
        assert extract_volumes(tree).etiv_mm3 == float(etiv)
    else:
        with pytest.raises(FreeSurferError, match="gives eTIV as -1 mm"):
            extract_volumes(tree)


def test_a_fastsurfer_etiv_of_0_is_an_error_and_not_an_absent_one(fastsurfer):
    edit(fastsurfer / "stats" / "aseg.stats", "Volume, 1500000.000000", "Volume, 0.000000")
    with pytest.raises(FreeSurferError, match="gives eTIV as 0"):
        extract_volumes(fastsurfer)


def test_etiv_of_freesurfer_is_never_absent_in_silence(tree):
    edit(tree / "stats" / "aseg.stats", "EstimatedTotalIntraCranialVol, eTIV", "Nothing, Nothing")
    with pytest.raises(FreeSurferError, match="has no eTIV"):
        extract_volumes(tree)


def test_a_volume_of_0_is_read_and_a_volume_below_is_refused(tree):
    edit(tree / "stats" / "aseg.stats", " 7000.0  Left-Thal", "    0.0  Left-Thal")
    assert volumes_of(extract_volumes(tree))["Left-Thalamus"] == 0.0


def test_cortical_rows_of_an_aseg_are_no_structures(tree):
    text = (tree / "stats" / "aseg.stats").read_text()
    (tree / "stats" / "aseg.stats").write_text(
        text.replace("NRows 45", "NRows 46") + " 46 1002  10  1875.0  ctx-lh-caudalanteriorcingulate\n"
    )
    found = volumes_of(extract_volumes(tree))
    assert "ctx-lh-caudalanteriorcingulate" not in found
    assert extract_volumes(tree).other_atlases == {}


def test_fastsurfer_with_cortical_files_takes_no_voxel_counts(fastsurfer):
    path = fastsurfer / "stats" / "aseg.stats"
    path.unlink()
    text = (fastsurfer / "stats" / "aseg+DKT.stats").read_text()
    (fastsurfer / "stats" / "aseg+DKT.stats").write_text(
        text.replace("NRows 45", "NRows 46") + " 46 1002  10  1875.0  ctx-lh-caudalanteriorcingulate\n"
    )
    found = extract_volumes(fastsurfer)
    assert len(found.other_atlases["DKT"]) == 62
    assert set(found.table.loc[found.table["atlas"] == "aseg", "source"]) == {"aseg+DKT.stats"}
    assert not any("voxel counts" in note for note in found.notes)


def test_fastsurfer_without_any_cortex_has_no_other_atlas(fastsurfer):
    for hemisphere in ("lh", "rh"):
        (fastsurfer / "stats" / f"{hemisphere}.aparc.DKTatlas.mapped.stats").unlink()
    found = extract_volumes(fastsurfer)
    assert found.other_atlases == {}
    assert not any("voxel counts" in note for note in found.notes)


def test_voxel_counts_of_the_dkt_atlas_are_named_by_hemisphere(fastsurfer):
    stats = fastsurfer / "stats"
    for hemisphere in ("lh", "rh"):
        (stats / f"{hemisphere}.aparc.DKTatlas.mapped.stats").unlink()
    (stats / "aseg.stats").unlink()
    text = (stats / "aseg+DKT.stats").read_text().replace("NRows 45", "NRows 47")
    (stats / "aseg+DKT.stats").write_text(text + " 46 1002 10 75.0 ctx-lh-cuneus\n 47 2002 10 85.0 ctx-rh-cuneus\n")
    table = extract_volumes(fastsurfer).other_atlases["DKT"]
    assert dict(zip(table["region"], table["volume_mm3"])) == {"lh_cuneus_volume": 75.0, "rh_cuneus_volume": 85.0}


def test_a_cortex_without_its_columns_is_left_out_and_noted(tree):
    edit(tree / "stats" / "rh.aparc.stats", "GrayVol ThickAvg", "Grey ThickAvg")
    found = extract_volumes(tree)
    assert "rh_insula_volume" not in volumes_of(found)
    assert "lh_insula_volume" in volumes_of(found)
    assert any("rh.aparc.stats lacks the columns" in note for note in found.notes)


def test_a_cortex_without_a_table_is_left_out_and_noted(tree):
    (tree / "stats" / "lh.aparc.stats").write_text("# hemi lh\n# Measure Cortex, WhiteSurfArea, words, 9.0, mm^2\n")
    found = extract_volumes(tree)
    assert any("lh.aparc.stats lacks the columns" in note for note in found.notes)


def test_the_first_file_of_an_atlas_that_is_usable_is_taken(tree):
    stats = tree / "stats"
    text = (stats / "lh.aparc.stats").read_text()
    (stats / "lh.aparc.DKTatlas.stats").write_text(text.replace("# hemi lh", "# hemi rh"))
    (stats / "lh.aparc.DKTatlas40.stats").write_text(text)
    found = extract_volumes(tree).other_atlases["DKT"]
    assert set(found["source"]) == {"lh.aparc.DKTatlas40.stats"}
    (stats / "lh.aparc.DKTatlas.stats").write_text(text)
    assert set(extract_volumes(tree).other_atlases["DKT"]["source"]) == {"lh.aparc.DKTatlas.stats"}


def test_only_measures_in_cubic_millimetres_are_volumes_and_aseg_goes_before_brainvol(tree):
    edit(tree / "stats" / "brainvol.stats", "# Measure BrainSeg, BrainSegVol", "# Measure BrainSeg, OtherVol")
    table = extract_volumes(tree).table
    rows = table[table["atlas"] == "global"].set_index("region")
    assert not [name for name in rows.index if "Holes" in name or "to-eTIV" in name]
    assert rows.loc["MaskVol", "source"] == "aseg.stats"
    assert rows.loc["OtherVol", "source"] == "brainvol.stats"


def test_freesurfer_5_is_noted_as_another_segmentation(tree):
    edit(tree / "stats" / "aseg.stats", "# cvs_version 7.4.1", "# cvs_version 5.3.0")
    (tree / "scripts" / "build-stamp.txt").unlink()
    found = extract_volumes(tree)
    assert found.fs_version == "5.3.0"
    assert any("FreeSurfer 5 segments otherwise" in note for note in found.notes)
    edit(tree / "stats" / "aseg.stats", "# cvs_version 5.3.0", "# cvs_version 6.0.0")
    assert not any("FreeSurfer 5" in note for note in extract_volumes(tree).notes)


def test_what_is_read_for_many_is_the_reference_only(tree):
    text = (tree / "stats" / "lh.aparc.stats").read_text()
    (tree / "stats" / "lh.aparc.a2009s.stats").write_text(text)
    (tree / "stats" / "lh.w-g.pct.stats").write_text("# Title x\n# ColHeaders Area_mm2 StructName Mean SNR\n1 a 2 3\n")
    (tree / "scripts" / "recon-all-status.log").write_text("#@# Refine Pial Surfs\n")
    (tree / "scripts" / "recon-all.cmd").write_text("mri_convert T2raw.mgz\n")
    few, every = read_volumes(tree, everything=False), read_volumes(tree)
    assert (few.other_atlases, few.pial) == ({}, None)
    assert (list(every.other_atlases), every.pial) == (["Destrieux"], "T2w")
    assert "lh_contrast_snr" in every.measures
    assert "lh_contrast_snr" not in few.measures
    assert few.values == {row.region: row.volume_mm3 for row in every.rows}


def test_a_model_corrects_for_versions_of_freesurfer_only():
    assert modelled_version("7.4.1", "freesurfer") == "7.4.1"
    assert modelled_version("7.4.1", None) == "7.4.1"
    assert modelled_version("2.0.0", "fastsurfer") is None


def test_values_that_are_missing_are_in_no_list_of_values():
    nan = math.nan
    rows = [
        Row("lh_insula_volume", 7000.0, 2500.0, nan, "aparc", "a"),
        Row("CSF", nan, nan, nan, "aseg", "a"),
        Row("CC_Central", 5.0, 1.0, 1.0, "aseg", "a"),
    ]
    assert region_values(rows, {"lh_mean_thickness": 2.5, "rh_white_area": 9.0}) == {
        "lh_insula_volume": 7000.0,
        "lh_insula_area": 2500.0,
        "CC_Central": 5.0,
        "lh_MeanThickness_thickness": 2.5,
        "rh_WhiteSurfArea_area": 9.0,
    }


def test_a_name_that_nobody_expects_is_no_remark(tree):
    edit(tree / "stats" / "aseg.stats", "# subjectname sub-01", "# subjectname sub-01_ses-9")
    assert not any("under the name" in note for note in extract_volumes(tree).notes)
    assert any("under the name" in note for note in extract_volumes(tree, expected_subject="sub-01").notes)
    edit(tree / "stats" / "aseg.stats", "# subjectname sub-01_ses-9\n", "")
    assert not any("under the name" in note for note in extract_volumes(tree, expected_subject="sub-01").notes)
