"""Do the statistics of one subject directory belong together: one brain, two hemispheres, one annotation, one program.

``aseg.stats`` and ``?h.aparc.stats`` repeat some measures in their headers. In 46 real trees of FreeSurfer 6.0 to 7.4.1
they are equal to all digits, and the grey matter of the rows adds up to the hemisphere's within 1 %.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping
from datetime import datetime

from bids_app.freesurfer import subject
from bids_app.freesurfer.stats import NAME, StatsFile

SHARED_MEASURES = ("eTIV", "CortexVol", "BrainSegVol")
# Relative difference from which a measure is another one: the skull of one image, and a brain that was edited since.
SAME_SKULL, SAME_BRAIN = 0.001, 0.03
_TIMES = ("%Y/%m/%d-%H:%M:%S", "%Y/%m/%d %H:%M:%S")


def contradiction(files: Mapping[str, StatsFile]) -> str | None:
    """Why the files cannot be of one brain, in a sentence; None when nothing speaks against it.

    Parameters
    ----------
    files : mapping
        Name (``stats/aseg.stats``, ``stats/lh.aparc.stats``, ...) to content.
    """
    asegs = {name: file for name, file in files.items() if _hemisphere(name) is None}
    cortex = {name: file for name, file in files.items() if _hemisphere(name) is not None}
    for name, file in cortex.items():
        problem = _own_problem(name, file)
        if problem:
            return problem
        for aseg_name, aseg in asegs.items():
            problem = _pair_problem(aseg_name, aseg, name, file)
            if problem:
                return problem
    return _twins(cortex)


def difference(aseg: StatsFile, cortex: Mapping[str, StatsFile]) -> float:
    """Largest relative difference of a measure that ``aseg.stats`` and a cortical file both hold; NaN without one."""
    apart = [abs(one - other) / one for file in cortex.values() for _, one, other in _both(aseg, file) if one]
    return max(apart, default=math.nan)


def days_older(aseg: StatsFile, cortex: Mapping[str, StatsFile]) -> float:
    """Days by which a cortical file is older than the image of ``aseg.stats``; NaN when that is not recorded."""
    image = _time(aseg.header.get("InVolFileTimeStamp", ""))
    made = [_time(file.header.get("CreationTime", "")) for file in cortex.values()]
    days = [(image - time).total_seconds() / 86400 for time in made if image and time]
    return max(0.0, *days) if days else math.nan


def _hemisphere(name: str) -> str | None:
    base = os.path.basename(name)
    return base[:2] if base[:3] in ("lh.", "rh.") else None


def _own_problem(name: str, file: StatsFile) -> str | None:
    """A cortical file that says of itself that it is another hemisphere or another annotation."""
    hemisphere, base = _hemisphere(name), os.path.basename(name)
    recorded = file.header.get("hemi", hemisphere)
    if recorded != hemisphere:
        return f"{name} holds the hemisphere {recorded}"
    annotation = os.path.basename(file.header.get("AnnotationFile", "").strip())
    if annotation and annotation != base.removesuffix(".stats") + ".annot":
        return f"{name} was made from the annotation {annotation}"
    return None


def _pair_problem(aseg_name: str, aseg: StatsFile, name: str, file: StatsFile) -> str | None:
    for measure, one, other in _both(aseg, file):
        if abs(one - other) > (SAME_SKULL if measure == "eTIV" else SAME_BRAIN) * max(abs(one), abs(other)):
            return f"{measure} is {one:.0f} mm^3 in {aseg_name} but {other:.0f} in {name}"
    hemisphere = aseg.measures.get(f"{_hemisphere(name)}CortexVol")
    grey = sum((file.columns or {}).get("GrayVol", ()))
    if hemisphere and "aparc.stats" in name and abs(grey - hemisphere.value) > SAME_BRAIN * hemisphere.value:
        return f"the cortex of {name} adds up to {grey:.0f} mm^3, but {aseg_name} gives {hemisphere.value:.0f}"
    versions = [_major(found.header.get("cvs_version", "")) for found in (aseg, file)]
    if all(versions) and versions[0] != versions[1]:
        return f"{aseg_name} was made by FreeSurfer {versions[0]} and {name} by {versions[1]}"
    return None


def _twins(cortex: Mapping[str, StatsFile]) -> str | None:
    """Two hemispheres with the same numbers: one file under both names."""
    if any(subject.SYNTHETIC in file.header for file in cortex.values()):
        return None
    columns = [{key: value for key, value in (file.columns or {}).items() if key != NAME} for file in cortex.values()]
    if len(columns) == 2 and columns[0] and columns[0] == columns[1]:
        return f"{' and '.join(cortex)} hold the same numbers"
    return None


def _both(aseg: StatsFile, file: StatsFile) -> Iterator[tuple[str, float, float]]:
    for name in SHARED_MEASURES:
        if name in aseg.measures and name in file.measures:
            yield name, aseg.measures[name].value, file.measures[name].value


def _major(version: str) -> str:
    found = subject.plain_version(version)
    return found.split(".")[0] if found else ""


def _time(stamp: str) -> datetime | None:
    text = re.sub(r"-?GMT$", "", stamp.strip())
    for form in _TIMES:
        try:
            return datetime.strptime(text, form)
        except ValueError:
            continue
    return None
