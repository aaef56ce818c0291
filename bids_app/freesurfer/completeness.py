"""What a scan's volumes lack, in sentences: nothing is dropped in silence."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache

from bids_app import regions
from bids_app.freesurfer import subject


@lru_cache(maxsize=8)
def _wanted(set_: str, prefix: str) -> tuple[str, ...]:
    cortical = ("lh_", "rh_")
    return tuple(
        name for name in regions.names(set_) if (name.startswith(prefix) if prefix else not name.startswith(cortical))
    )


def completeness_notes(values: Mapping[str, float], flavour: str, not_segmented: Collection[str] = ()) -> list[str]:
    """One sentence for each kind of gap in `values` (region to mm^3) of a flavour; `not_segmented` is one."""
    notes = [note for hemisphere in subject.HEMISPHERES if (note := _cortex(values, hemisphere, flavour))]
    if not_segmented:
        notes.append(f"not segmented by SynthSeg, so without a volume and unscored: {', '.join(not_segmented)}")
    values = {name: value for name, value in values.items() if name not in not_segmented}
    for set_, words in (("reference", "not in aseg.stats, so unscored"), ("extended", "not measured, so unscored")):
        lacking = [name for name in _wanted(set_, "") if name not in values and name not in not_segmented]
        if lacking:
            notes.append(f"{words}: {', '.join(lacking)}")
    unknown = [name for name, value in values.items() if value != value]
    if unknown:
        notes.append(f"without a value (nan), so unscored: {', '.join(unknown)}")
    zero = [name for name in regions.reference_regions() if values.get(name) == 0]
    if zero:
        notes.append(f"zero volume, so the segmentation is suspect: {', '.join(zero)}")
    return notes


def _cortex(values: Mapping[str, float], hemisphere: str, flavour: str) -> str:
    wanted = _wanted("reference", f"{hemisphere}_")
    lacking = [name for name in wanted if name not in values]
    if len(lacking) == len(wanted):
        dkt = "FastSurfer's DKT regions are others, and never mapped to them"
        why = dkt if flavour == subject.FASTSURFER else f"there are no {hemisphere}.aparc.stats"
        return f"no Desikan-Killiany region of {hemisphere}: {why}; all {len(wanted)} stay unscored"
    return f"not in {hemisphere}.aparc.stats, so unscored: {', '.join(lacking)}" if lacking else ""
