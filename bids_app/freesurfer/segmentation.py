"""Which labels recon-all's segmentation has: that of its atlas, or SynthSeg's, which lacks some.

FreeSurfer 8 takes SynthSeg unless told otherwise, 7.3 and later do when asked (``data/segmentations.tsv``). Labels that
were never looked for are rows of 0 in ``aseg.stats``: not volumes, but nothing measured.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from bids_app.freesurfer.subject import read_script
from bids_app.tables import read_table

ATLAS, SYNTHSEG = "atlas", "synthseg"
# The files of scripts/ that hold the options and the environment of a run
_TOLD = ("recon-all.env", "recon-all.done", "recon-all-status.log", "recon-all.cmd")
_LOG_BYTES = 20_000
# An atlas finds these in everybody, so a tree that has them all was not segmented by SynthSeg
FILLED = ("WM-hypointensities", "Left-choroid-plexus", "Right-choroid-plexus")
# So many rows of 0 tell, where none of the labels has a volume
TELLING = 3


@lru_cache(maxsize=1)
def _row() -> Mapping[str, str]:
    (row,) = read_table(str(files("bids_app.data") / "segmentations.tsv"), text=True).to_dict("records")
    return row


def lacking(segmentation: str) -> tuple[str, ...]:
    """The regions of ``aseg.stats`` that a segmentation does not have."""
    return tuple(_row()["lacks"].split(",")) if segmentation == SYNTHSEG else ()


def chosen(version: str | None, words: Iterable[str] = (), environ: Mapping[str, str] | None = None) -> str:
    """The segmentation that recon-all takes.

    Parameters
    ----------
    version : str or None
        FreeSurfer's; unknown ones count as before 8.
    words : iterable of str
        Arguments of recon-all; the last one that tells wins.
    environ : mapping, optional
        ``FS_V8_XOPTS=0`` takes the default of FreeSurfer 8 back.
    """
    row, told = _row(), None
    for word in words:
        if word in (row["chosen_by"], *row["refused_by"].split(",")):
            told = word == row["chosen_by"]
    if told is None:
        major = re.match(r"v?(\d+)", version or "")
        recent = major is not None and int(major[1]) >= int(row["default_from"])
        told = recent and (environ or {}).get(row["switch"]) != "0"
    return SYNTHSEG if told else ATLAS


def of_tree(subject_dir: Path, version: str | None) -> str:
    """The segmentation of a subject directory, from its files, the options in its logs, and its version."""
    row = _row()
    if (subject_dir / row["sign"]).exists():
        return SYNTHSEG
    text = "\n".join(read_script(subject_dir, name) for name in _TOLD)
    if re.search(r"^\s*mri_synthseg\b", text, re.MULTILINE):
        return SYNTHSEG
    text = f"{read_script(subject_dir, 'recon-all.log')[:_LOG_BYTES]}\n{text}"
    switch = re.search(rf"\b{row['switch']}[= ]+(\d+)", text)
    return chosen(version, text.split(), {row["switch"]: switch[1]} if switch else {})


def not_segmented(values: Mapping[str, float], segmentation: str) -> tuple[str, ...]:
    """The regions without a volume above 0 that the segmentation lacks.

    All of them at 0 are SynthSeg's trace, whatever is known of version and options: no atlas leaves a brain without
    choroid plexus and hypointensities.

    Parameters
    ----------
    values : mapping
        Region to volume (mm^3).
    segmentation : str
        As `chosen` returns it.
    """
    if all(values.get(name, 0.0) > 0 for name in FILLED):
        return ()
    names = lacking(SYNTHSEG)
    empty = tuple(name for name in names if not values.get(name, 0.0) > 0)
    if segmentation == SYNTHSEG:
        return empty
    return names if len(empty) == len(names) and _telling(values, names) else ()


def _telling(values: Mapping[str, float], names: Collection[str]) -> bool:
    return sum(values.get(name) == 0 for name in names) >= TELLING
