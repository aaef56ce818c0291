"""The command line of recon-all, what it needs (programs, licence) and what it costs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from bids_app.errors import ReconAllError, UsageError
from bids_app.freesurfer import segmentation, subject

STREAMS = ("cross", "base", "long")
_OURS = frozenset(
    {
        "-s",
        "-subjid",
        "-subject",
        "-sd",
        "-i",
        "-base",
        "-tp",
        "-long",
        "-openmp",
        "-threads",
        "-parallel",
        "-T2",
        "-FLAIR",
        "-T2pial",
        "-FLAIRpial",
        "-no-isrunning",
    }
)
_OURS_IN_ANY_CASE = {flag.lower() for flag in _OURS if len(flag) > 2}
# With these -all makes less than a whole subject, or nothing
_LESS_THAN_ALL = {
    "-dontrun": "recon-all would print its commands and run none of them; --dry-run shows what normvol would run",
    "-hemi": "one hemisphere has no volumes of the other; leave it out",
}


@dataclass(frozen=True, kw_only=True)
class ReconAllCommand:
    """One run of recon-all.

    Parameters
    ----------
    subjects_dir : Path
        Subjects directory of our own (never a user's).
    name : str
        ``cross``: the subject, e.g. ``sub-01_ses-1``; ``base``: the template, e.g. ``sub-01``; ``long``: the
        cross-sectional time point, e.g. ``sub-01_ses-1``, whose tree becomes ``sub-01_ses-1.long.sub-01``.
    stream : {'cross', 'base', 'long'}
    t1w : tuple of Path
        Images of a cross-sectional run; several are averaged by recon-all.
    t2w, flair : Path, optional
        One of them refines the pial surface; T2w wins when both are given.
    time_points : tuple of str
        Cross-sectional subjects that a base is made from; of a longitudinal time point, those of its base.
    base : str, optional
        Template of a longitudinal time point.
    threads : int
        Total number of threads; from two on, the hemispheres run in parallel.
    extra : tuple of str
        Further arguments (``--recon-args``).
    """

    subjects_dir: Path
    name: str
    stream: str = "cross"
    t1w: tuple[Path, ...] = ()
    t2w: Path | None = None
    flair: Path | None = None
    time_points: tuple[str, ...] = ()
    base: str | None = None
    threads: int = 1
    extra: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        needed = {"cross": self.t1w, "base": self.time_points, "long": self.base}
        if self.stream not in needed or not needed[self.stream]:
            raise ValueError(f"recon-all stream {self.stream!r} without its input")
        ours = sorted(word for word in self.extra if word in _OURS or word.lower() in _OURS_IN_ANY_CASE)
        if ours:
            raise UsageError(f"--recon-args must not hold {', '.join(ours)}", "normvol sets these itself")
        for word in self.extra:
            if word.lower() in _LESS_THAN_ALL:
                raise UsageError(f"--recon-args must not hold {word}", _LESS_THAN_ALL[word.lower()])
        self._refuse_words()

    def _refuse_words(self) -> None:
        """recon-all's script looks for these anywhere in its words, prints something and leaves."""
        words = [self.name, str(self.base or ""), str(self.subjects_dir), *self.extra]
        for word in words:
            if "-help" in word or "-version" in word:
                raise UsageError(f"recon-all cannot run with {word!r}", "it must not hold -help or -version: rename it")
        loose = [word for word in self.extra if any(map(str.isspace, word)) and not Path(word).exists()]
        if loose:
            raise UsageError(f"--recon-args holds {loose[0]!r}, which is one word with blanks", "write -flag value")
        if any(map(str.isspace, str(self.subjects_dir))):
            raise UsageError(
                f"recon-all's scripts break at the blank in {self.subjects_dir}",
                "name an output folder without blanks in its whole path",
            )

    @property
    def directory(self) -> Path:
        """The subject directory that recon-all will write."""
        return self.subjects_dir / (f"{self.name}.long.{self.base}" if self.stream == "long" else self.name)

    def arguments(self, *, resume: bool = False) -> list[str]:
        """Arguments after ``recon-all``.

        recon-all refuses images for a subject that exists, so `resume` leaves them out (they are in
        ``mri/orig``).
        """
        return [*self._subject(resume), "-sd", str(self.subjects_dir), "-all", *self._threads(), *self.extra]

    def _subject(self, resume: bool) -> list[str]:
        if self.stream == "base":
            return ["-base", self.name, *(word for point in self.time_points for word in ("-tp", point))]
        if self.stream == "long":
            return ["-long", self.name, str(self.base)]
        words = ["-s", self.name]
        if not resume:
            words += [word for image in self.t1w for word in ("-i", str(image))]
        for flag, image in (("-T2", self.t2w), ("-FLAIR", None if self.t2w else self.flair)):
            if image is not None:
                words += [f"{flag}pial"] if resume else [flag, str(image), f"{flag}pial"]
        return words

    def _threads(self) -> list[str]:
        # With -parallel each hemisphere's programs take the -openmp count, so half of the threads each.
        # -long with -parallel ends in an error from 7.1 to 8.1 (the batch tool gets an empty list).
        if self.threads > 1 and self.stream != "long":
            return ["-parallel", "-openmp", str(max(1, self.threads // 2))]
        return ["-openmp", str(self.threads)]

    def can_resume(self) -> bool:
        """Whether recon-all can go on in the tree: with all its images, or with what says of which scans a base is."""
        if self.stream == "base":
            return (self.directory / "base-tps").exists()
        if self.stream == "long":
            return True
        wanted = [f"orig/{number:03d}.mgz" for number in range(1, len(self.t1w) + 1)]
        wanted += ["orig/T2raw.mgz"] if self.t2w else ["orig/FLAIRraw.mgz"] if self.flair else []
        # made after the images were compared and averaged, which a run without -i does not do again
        wanted += ["rawavg.mgz", "orig.mgz"]
        return all((self.directory / "mri" / name).exists() for name in wanted)

    def record(self, environ: Mapping[str, str] | None = None) -> dict[str, Any]:
        """What decides the result, to be compared before a tree is resumed (threads do not).

        With `environ` also the version that is installed and the segmentation that it takes.
        """
        images = [*self.t1w, *(image for image in (self.t2w, self.flair) if image is not None)]
        return {
            "stream": self.stream,
            "name": self.name,
            "base": self.base,
            "time_points": list(self.time_points),
            "images": [[str(image), _size(image)] for image in images],
            "extra": list(self.extra),
            **(_program(environ, self.extra) if environ is not None else {}),
        }


def _program(environ: Mapping[str, str], extra: Iterable[str]) -> dict[str, str | None]:
    version = installed_version(environ)
    return {"version": version, "segmentation": segmentation.chosen(version, extra, environ)}


def _size(image: Path) -> int | None:
    try:
        return image.stat().st_size
    except OSError:
        return None


def find_recon_all(environ: Mapping[str, str]) -> Path:
    """The recon-all program: on PATH, else in ``$FREESURFER_HOME/bin``.

    Raises
    ------
    ReconAllError
        When there is none.
    """
    home = environ.get("FREESURFER_HOME")
    search = os.pathsep.join(part for part in (environ.get("PATH", ""), f"{home}/bin" if home else "") if part)
    found = shutil.which("recon-all", path=search)
    if found is None:
        raise ReconAllError(
            "recon-all was not found on PATH or in $FREESURFER_HOME/bin",
            "source FreeSurfer's set-up, use the "
            "image that contains FreeSurfer, or give existing output with --fs-subjects-dir",
        )
    return Path(found)


def child_environment(executable: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """What FreeSurfer's set-up script would have set, where it was not run; what is set stays.

    Parameters
    ----------
    executable : Path
        ``$FREESURFER_HOME/bin/recon-all``.
    environ : mapping
        The environment that recon-all would get.
    """
    home = environ.get("FREESURFER_HOME") or str(executable.resolve().parent.parent)
    mni = f"{home}/mni"
    paths = [str(executable.parent), f"{home}/bin", f"{mni}/bin", *environ.get("PATH", "").split(os.pathsep)]
    perl = [f"{mni}/share/perl5", *filter(None, environ.get("PERL5LIB", "").split(os.pathsep))]
    found = {
        "FREESURFER_HOME": home,
        "FREESURFER": home,
        "FSFAST_HOME": f"{home}/fsfast",
        "FS_OVERRIDE": "0",
        "FSF_OUTPUT_FORMAT": "nii.gz",
        "LOCAL_DIR": f"{home}/local",
        "MNI_DIR": mni,
        "MNI_DATAPATH": f"{mni}/data",
        "MNI_PERL5LIB": f"{mni}/share/perl5",
        **environ,
    }
    return {**found, "PATH": os.pathsep.join(dict.fromkeys(filter(None, paths))), "PERL5LIB": os.pathsep.join(perl)}


def find_license(option: Path | None, environ: Mapping[str, str]) -> Path:
    """FreeSurfer's licence file, by FreeSurfer's own rules.

    ``--fs-license-file``, then ``$FS_LICENSE``, then ``$FREESURFER_HOME/license.txt``, then
    ``$FREESURFER_HOME/.license``. A path that is given but absent is an error, as in FreeSurfer.

    Raises
    ------
    ReconAllError
    """
    given = {"--fs-license-file": str(option) if option else "", "FS_LICENSE": environ.get("FS_LICENSE", "")}
    for where, path in given.items():
        if path:
            if not os.access(path, os.R_OK) or not os.path.isfile(path):
                raise ReconAllError(f"the FreeSurfer licence {path} ({where}) cannot be read", "check the path")
            return Path(path)
    home = environ.get("FREESURFER_HOME", "")
    for name in ("license.txt", ".license"):
        if home and os.access(os.path.join(home, name), os.R_OK):
            return Path(home) / name
    raise ReconAllError(
        "recon-all needs a FreeSurfer licence (free, surfer.nmr.mgh.harvard.edu/registration.html): give "
        "--fs-license-file, set FS_LICENSE or put license.txt into $FREESURFER_HOME",
        "existing FreeSurfer output needs none",
    )


def installed_version(environ: Mapping[str, str]) -> str | None:
    """Version in the build stamp of ``$FREESURFER_HOME``, else of recon-all on PATH, e.g. ``7.4.1``; else None."""
    try:
        home = environ.get("FREESURFER_HOME") or str(find_recon_all(environ).resolve().parent.parent)
        text = (Path(home) / "build-stamp.txt").read_text(errors="replace")
    except (OSError, ReconAllError):
        return None
    return subject.version_in_stamp(text)


class Cost(NamedTuple):
    """Planning values for one run: disk and memory in GB, walltime in hours."""

    disk_gb: float
    memory_gb: float
    hours: float


# Generous values to ask a scheduler for, by major version: (memory GB, hours on one thread, hours at best)
_COSTS = {6: (8.0, 14.0, 6.0), 7: (8.0, 12.0, 5.0), 8: (24.0, 6.0, 3.0)}
_DISK_GB = {"cross": 0.5, "base": 0.5, "long": 0.4}
_STREAM_HOURS = {"cross": 1.0, "base": 1.0, "long": 0.6}
_THREADS_AT_BEST = 4


def expected_cost(
    version: str | None, stream: str = "cross", threads: int = 1, segmented_by: str | None = None
) -> Cost:
    """What to ask a scheduler for; an unknown version costs as 7.

    Parameters
    ----------
    version : str or None
        FreeSurfer version, e.g. ``7.4.1``.
    stream : {'cross', 'base', 'long'}
    threads : int
    segmented_by : {'atlas', 'synthseg'}, optional
        Of `segmentation.chosen`; SynthSeg takes the memory of 8 in any version, the atlas that of 7.
    """
    major = int(version.split(".")[0]) if version and version.split(".")[0].isdecimal() else 7
    memory, slow, fast = _COSTS[min(max(major, 6), 8)]
    if segmented_by is not None:
        memory = _COSTS[8 if segmented_by == segmentation.SYNTHSEG else 7][0]
    gained = (min(threads, _THREADS_AT_BEST) - 1) / (_THREADS_AT_BEST - 1)
    hours = (slow - (slow - fast) * gained) * _STREAM_HOURS[stream]
    return Cost(_DISK_GB[stream], memory, round(hours, 1))
