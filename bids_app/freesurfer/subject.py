"""What a subject directory says about itself: FreeSurfer or FastSurfer, version, stream, whose it is."""

from __future__ import annotations

import os
import re
from pathlib import Path

from bids_app.freesurfer.annex import is_pointer_text
from bids_app.freesurfer.stats import StatsFile

FREESURFER, FASTSURFER = "freesurfer", "fastsurfer"
# Header key in the files of freesurfer.synthetic
SYNTHETIC = "SYNTHETIC"
ASEG = "stats/aseg.stats"
FASTSURFER_ASEG = "stats/aseg+DKT.stats"
HEMISPHERES = ("lh", "rh")

_BUILD = re.compile(r"-v?(\d+\.\d+(?:\.\d+)?(?:-beta|-alpha|-rc\d*)?)(?=-|\s|$)")
_SUBJECT = re.compile(r"^SUBJECT (\S+)", re.MULTILINE)
_PLAIN = re.compile(r"v?(\d+\.\d+(?:\.\d+)?(?:-beta|-alpha|-rc\d*)?)(?:-|\s|$)")
# Years of the CVS revisions in stats headers before FreeSurfer 7 (they do not tell the patch level)
_CVS_YEARS = {"2011": "5.1.x", "2013": "5.3.x", "2016": "6.0.x"}
_FASTSURFER_SIGNS = (
    FASTSURFER_ASEG,
    "stats/lh.aparc.DKTatlas.mapped.stats",
    "scripts/deep-seg.log",
    "scripts/recon-surf.log",
)


def flavour(subject_dir: Path) -> str:
    """``fastsurfer`` when the directory holds a file that only FastSurfer writes, else ``freesurfer``."""
    root = os.fspath(subject_dir)
    return FASTSURFER if any(os.path.lexists(f"{root}/{name}") for name in _FASTSURFER_SIGNS) else FREESURFER


def stream(subject_dir: Path) -> str:
    """``long`` for a time point of FreeSurfer's longitudinal stream, else ``cross``."""
    long = ".long." in subject_dir.name or os.path.lexists(f"{subject_dir}/scripts/long.base")
    return "long" if long else "cross"


def is_longitudinal_base(subject_dir: Path) -> bool:
    """Whether the directory is the within-person template of a longitudinal stream, not a scan."""
    if stream(subject_dir) == "long":
        return False
    return any(os.path.lexists(f"{subject_dir}/{sign}") for sign in ("base-tps", "touch/base.touch"))


def read_script(subject_dir: Path, name: str) -> str:
    """Text of ``scripts/<name>``; empty when it is absent, unreadable or not fetched."""
    try:
        with open(f"{subject_dir}/scripts/{name}", "rb", buffering=0) as stream:
            content = stream.readall()
    except OSError:
        return ""
    return "" if is_pointer_text(content) else content.decode("utf-8", errors="replace")


def done_subject(subject_dir: Path) -> str | None:
    """The subject that ``scripts/recon-all.done`` names."""
    return subject_in(read_script(subject_dir, "recon-all.done"))


def subject_in(done: str) -> str | None:
    """The subject that the text of a ``recon-all.done`` names."""
    match = _SUBJECT.search(done)
    return match[1] if match else None


def base_time_points(subject_dir: Path) -> tuple[str, ...]:
    """Sessions of the base of a longitudinal time point (``scripts/long.base-tps``, written from FreeSurfer 7 on)."""
    return tuple(read_script(subject_dir, "long.base-tps").split())


def pial_image(subject_dir: Path) -> str | None:
    """``T2w`` or ``FLAIR``: the image that recon-all refined the pial surface with, by its status log; else None.

    The step does not run in longitudinal time points, although their cross-sectional runs had it.
    """
    if "Refine Pial Surfs" not in read_script(subject_dir, "recon-all-status.log"):
        return None
    raw = (("T2w", "T2raw"), ("FLAIR", "FLAIRraw"))
    commands = read_script(subject_dir, "recon-all.cmd")
    found = (
        image
        for image, name in raw
        if f"{name}." in commands or (subject_dir / "mri" / "orig" / f"{name}.mgz").exists()
    )
    return next(found, None)


def version_in_stamp(stamp: str) -> str | None:
    """The version in a build stamp, e.g. 6.0.1 in ``freesurfer-Linux-centos6_x86_64-stable-pub-v6.0.1-f53``."""
    found = _BUILD.search(stamp)
    return found[1] if found else None


def plain_version(recorded: str) -> str | None:
    """The version that a stats header of FreeSurfer 7 and later names (``7.4.1``); None for older ones."""
    found = _PLAIN.match(recorded)
    return found[1] if found else None


def freesurfer_version(subject_dir: Path, aseg: StatsFile | None = None) -> tuple[str | None, str]:
    """The FreeSurfer version that made the statistics, and a remark when that is not certain.

    The version in the header of ``aseg.stats`` wins (FreeSurfer 7 and later), then ``build-stamp.txt``, then
    ``recon-all.done``, then the CVS year in the header (``6.0.x``: the patch level was not recorded).
    """
    recorded = aseg.header.get("cvs_version", "") if aseg else ""
    stamped = version_in_stamp(read_script(subject_dir, "build-stamp.txt"))
    plain = _PLAIN.match(recorded)
    if plain:
        other = stamped and stamped != plain[1]
        return plain[
            1
        ], f"aseg.stats was made by FreeSurfer {plain[1]}, the build stamp says {stamped}" if other else ""
    if stamped:
        return stamped, ""
    done = re.search(r"^VERSION v?(\d\S*)", read_script(subject_dir, "recon-all.done"), re.MULTILINE)
    if done:
        return done[1], ""
    year = re.search(r"\s(\d{4})/\d\d/\d\d\s", recorded)
    version = _CVS_YEARS.get(year[1]) if year else None
    return version, "" if version else "the FreeSurfer version is not recorded"


def is_wrong_person(subject_dir: Path, recorded: str, expected: str) -> bool:
    """Whether statistics that name `recorded` cannot be those of `expected`.

    For FastSurfer the name in ``recon-all.done`` is believed too: its stats files may carry a working name.
    """
    if not is_another_person(recorded, expected):
        return False
    return flavour(subject_dir) == FREESURFER or done_subject(subject_dir) != expected


def is_another_person(recorded: str, expected: str) -> bool:
    """Whether the subject name in a stats file contradicts `expected`.

    Names that are not BIDS-like (``output``, ``bert``) tell nothing, so they never contradict. ``sub-01`` and
    ``sub-01_ses-1`` agree; ``sub-01_ses-1`` and ``sub-01_ses-2``, or two participants, do not.
    """
    one, other = labels(recorded), labels(expected)
    if one and not other:
        return recorded != expected
    return any(one[key] != other[key] for key in one.keys() & other.keys())


def labels(name: str) -> dict[str, str]:
    """The BIDS labels in a FreeSurfer subject name; ``sub-01_ses-1.long.sub-01`` gives sub 01 and ses 1."""
    return dict(re.findall(r"(?:^|[_/])(sub|ses)-([A-Za-z0-9+]+)", name.partition(".long.")[0]))
