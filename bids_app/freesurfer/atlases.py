"""Which stats files hold which atlas, and how their region names are spelt today."""

from __future__ import annotations

DK, DKT, DESTRIEUX = "Desikan-Killiany", "DKT", "Destrieux"

# File stems by preference; FreeSurfer 5.3 wrote DKTatlas40, FastSurfer writes the mapped file
STEMS: dict[str, tuple[str, ...]] = {
    DK: ("aparc",),
    DKT: ("aparc.DKTatlas", "aparc.DKTatlas.mapped", "aparc.DKTatlas40"),
    DESTRIEUX: ("aparc.a2009s",),
}

LAST_DK_REGION = "insula"


def modern_name(structure: str) -> str:
    """A Destrieux name as FreeSurfer 7 spells it: ``G&S_subcentral`` is ``G_and_S_subcentral``."""
    return structure.replace("&", "_and_")


def region_name(hemisphere: str, structure: str) -> str:
    """FreeSurfer's table name of a cortical volume, e.g. ``lh_bankssts_volume``."""
    return f"{hemisphere}_{modern_name(structure)}_volume"
