"""Whether the statistics of a subject are those that were read before, by their bytes alone: nothing is parsed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from bids_app.errors import StatsFileError
from bids_app.freesurfer import atlases, subject
from bids_app.freesurfer.check import HEADER_BYTES, NAMED
from bids_app.freesurfer.stats import StatsFile
from bids_app.freesurfer.stats_folder import StatsFolder
from bids_app.freesurfer.volumes import modelled_version

# All that `volumes.read_volumes` may read
_STEMS = ("w-g.pct", *(stem for stems in atlases.STEMS.values() for stem in stems))
_READ = frozenset(
    {"aseg.stats", "aseg+DKT.stats", "brainvol.stats"}
    | {f"{hemisphere}.{stem}.stats" for hemisphere in subject.HEMISPHERES for stem in _STEMS}
)
_VERSION = re.compile(rb"^# cvs_version (.*)$", re.MULTILINE)


def is_unchanged(stats: StatsFolder, inputs: Mapping[str, str], fs_version: str | None, expected: str) -> bool:
    """Whether a tree still is what was read as `inputs`, with nothing in it that a check would have to look into.

    Parameters
    ----------
    stats : StatsFolder
    inputs : mapping
        File relative to the subject directory to its SHA-256, of a tree that was complete.
    fs_version : str or None
        `volumes.modelled_version` of then.
    expected : str
        The name that every file must give, where it gives one.
    """
    if {f"stats/{name}" for name in stats.present & _READ} != inputs.keys():
        return False
    try:
        contents = {name: stats.content(name) for name in stats.present if name.endswith(".stats")}
    except StatsFileError:
        return False
    named = (NAMED.search(content[:HEADER_BYTES]) for content in contents.values())
    names = {match[1].decode(errors="replace") for match in named if match}
    if not names | {subject.done_subject(stats.subject_dir) or expected} <= {expected}:
        return False
    if any(hashlib.sha256(contents[name.removeprefix("stats/")]).hexdigest() != inputs[name] for name in inputs):
        return False
    found = _VERSION.search(contents.get("aseg.stats", b"")[:HEADER_BYTES])
    header = {"cvs_version": found[1].decode(errors="replace").rstrip()} if found else {}
    version, _ = subject.freesurfer_version(stats.subject_dir, StatsFile(header, {}, None))
    return modelled_version(version, stats.flavour) == fs_version
