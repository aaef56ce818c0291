"""What a scan's volumes lack, in sentences."""

import math

from bids_app import regions
from bids_app.freesurfer.completeness import completeness_notes

WHOLE = dict.fromkeys(regions.names("reference", "extended"), 5.0)


def without(*names, values=WHOLE):
    return {name: value for name, value in values.items() if name not in names}


def test_whole_volumes_have_no_note():
    assert completeness_notes(WHOLE, "freesurfer") == []
    assert completeness_notes(dict.fromkeys(WHOLE, 1.0), "freesurfer") == []


def test_each_gap_is_a_sentence_of_its_own():
    values = without("lh_insula_volume", "Left-Thalamus", "CSF") | {"Left-Caudate": math.nan, "Left-Putamen": 0.0}
    assert completeness_notes(values, "freesurfer") == [
        "not in lh.aparc.stats, so unscored: lh_insula_volume",
        "not in aseg.stats, so unscored: Left-Thalamus",
        "not measured, so unscored: CSF",
        "without a value (nan), so unscored: Left-Caudate",
        "zero volume, so the segmentation is suspect: Left-Putamen",
    ]


def test_a_hemisphere_that_lacks_all_regions_is_one_sentence():
    cortex = [name for name in WHOLE if name.startswith("rh_")]
    count = sum(name.startswith("rh_") for name in regions.reference_regions())
    assert completeness_notes(without(*cortex), "freesurfer") == [
        f"no Desikan-Killiany region of rh: there are no rh.aparc.stats; all {count} stay unscored"
    ]
    assert "FastSurfer's DKT regions are others" in completeness_notes(without(*cortex), "fastsurfer")[0]


def test_what_was_not_segmented_is_said_once():
    values = WHOLE | {"Optic-Chiasm": math.nan}
    for lacking in (values, without("Optic-Chiasm")):
        assert completeness_notes(lacking, "freesurfer", ("Optic-Chiasm",)) == [
            "not segmented by SynthSeg, so without a volume and unscored: Optic-Chiasm"
        ]
