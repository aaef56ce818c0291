"""Find the subject directory of a scan among one or more FreeSurfer subjects directories. Strictly read-only.

Precedence, first match wins (see docs/freesurfer.md):

1. the subjects directories in the order given;
2. with ``longitudinal``: ``sub-X_ses-Y.long.<base>``, the base ``sub-X`` before any other;
3. for a scan with a session: ``sub-X_ses-Y``, ``sub-X/ses-Y``, ``ses-Y/sub-X`` (nipoppy), then ``sub-X``, but only
when the person has one session;
   for a scan without: ``sub-X``;
4. each of these without the prefixes (``X_ses-Y``, ``X_Y``, ``X``).

Within a tier, a directory with FreeSurfer output goes before an empty one, and nothing is chosen at random:
two equal candidates are an error that names both.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from bids_app.bids.names import named_path, names_beginning, natural_key
from bids_app.errors import FreeSurferError, UsageError
from bids_app.freesurfer.near_misses import of_nobody
from bids_app.freesurfer.subject import is_longitudinal_base

_OUTPUT = ("stats", "scripts", "mri", "surf")
_TEMPLATES = ("fsaverage", "cvs_avg35", "lh.EC_average", "rh.EC_average", "V1_average")


@dataclass(frozen=True)
class Located:
    """Where a scan's FreeSurfer output is.

    Parameters
    ----------
    path : Path
        The subject directory.
    identifier : str
        Its name relative to the subjects directory, e.g. ``sub-01_ses-1`` or ``sub-01/ses-1``.
    subjects_dir : Path
    matches : tuple of Path
        All directories that would have fitted, the chosen one first.
    note : str
        What was decided between several matches; empty when there was one.
    """

    path: Path
    identifier: str
    subjects_dir: Path
    matches: tuple[Path, ...] = ()
    note: str = ""


def find_subject(
    subjects_dirs: Sequence[Path],
    participant: str,
    session: str | None,
    *,
    longitudinal: bool = False,
    only_session: bool = True,
) -> Located | None:
    """The subject directory of a scan, or None when there is none.

    Parameters
    ----------
    subjects_dirs : sequence of Path
        Subjects directories, most wanted first; absent ones are passed over.
    participant, session : str
        Labels without prefix; `session` is None for datasets without sessions.
    longitudinal : bool
        Take the time point of the longitudinal stream; without one, None.
    only_session : bool
        Whether the person has no other session, so that a directory named ``sub-X`` can only be this scan. It
        is never taken for a session when directories of the person's sessions lie beside it.

    Raises
    ------
    FreeSurferError
        When two directories fit equally well.
    """
    tiers = list(_tiers(subjects_dirs, participant, session, longitudinal, only_session))
    found = [(root, name) for tier in tiers for root, name in tier]
    if not tiers:
        return None
    root, name = best = _best(tiers[0])
    others = [other / candidate for other, candidate in found if (other, candidate) != best]
    beside = [] if longitudinal else _glob(root, f"{name}.long.*")
    return Located(root / name, name, root, (root / name, *others), _note(root / name, [*others, *beside]))


def shared_tree(roots: Sequence[Path], participant: str) -> Path | None:
    """The directory ``sub-X`` that stands for all sessions of a person, as fMRIPrep makes it; None without one."""
    paths = [root / name for root in _unique(roots) for name in (f"sub-{participant}", participant)]
    return next((path for path in paths if is_subject_directory(path) and _is_scan(path)), None)


def _is_scan(path: Path) -> bool:
    return _has_output(path) and not is_longitudinal_base(path)


def trees_of_nobody(roots: Sequence[Path], participants: Iterable[str]) -> list[str]:
    """Names of the trees with FreeSurfer output in `roots` that are none of the `participants` (labels)."""
    known = set(participants)
    strangers = {path for root in _unique(roots) for path in of_nobody(_glob(root, ""), known)}
    return sorted({path.name for path in strangers if not path.name.startswith(_TEMPLATES) and _has_output(path)})


def _tiers(
    roots: Sequence[Path], participant: str, session: str | None, longitudinal: bool, only_session: bool
) -> Iterator[list[tuple[Path, str]]]:
    for root in _unique(roots):
        if longitudinal:
            names = _long_names(root, participant, session)
        else:
            alone = only_session and not _glob(root, f"sub-{participant}_ses-*")
            names = _names(participant, session, alone)
        for tier in names:
            candidates = [(root, name) for name in tier if is_subject_directory(root / name)]
            if candidates:
                yield candidates


def _unique(roots: Sequence[Path]) -> list[Path]:
    return list(_unique_of(tuple(roots)))


@lru_cache(maxsize=8)
def _unique_of(roots: tuple[Path, ...]) -> tuple[Path, ...]:
    seen: dict[str, Path] = {}
    for root in roots:
        seen.setdefault(os.path.realpath(root), Path(root))
    return tuple(seen.values())


def _names(participant: str, session: str | None, alone: bool) -> Iterator[list[str]]:
    if session is not None:
        yield [f"sub-{participant}_ses-{session}"]
        yield [f"sub-{participant}/ses-{session}"]
        yield [f"ses-{session}/sub-{participant}"]
        if alone:
            yield [f"sub-{participant}"]
        yield [f"{participant}_ses-{session}"]
        yield [f"{participant}_{session}", f"{participant}/{session}"]
    else:
        yield [f"sub-{participant}"]
    if session is None or alone:
        yield [participant]


def _long_names(root: Path, participant: str, session: str | None) -> Iterator[list[str]]:
    stems = [f"sub-{participant}_ses-{session}", f"sub-{participant}", f"{participant}_ses-{session}"]
    for stem in stems if session is not None else [f"sub-{participant}"]:
        names = sorted(path.name for path in _glob(root, stem + ".long.*"))
        bases = [name.partition(".long.")[2] for name in names]
        for preferred in (f"sub-{participant}", f"sub-{participant}_base"):
            if preferred in bases:
                yield [f"{stem}.long.{preferred}"]
        yield [
            name for name, base in zip(names, bases) if base not in (f"sub-{participant}", f"sub-{participant}_base")
        ]


def _glob(root: Path, pattern: str) -> list[Path]:
    return [root / name for name in names_beginning(root, pattern.removesuffix("*"))]


def is_subject_directory(path: Path) -> bool:
    """Whether `path` can be a scan's directory: a folder or a broken link, none of FreeSurfer's templates."""
    return (
        (os.path.isdir(path) or os.path.islink(path))
        and not path.name.startswith(_TEMPLATES)
        and not _is_parent_of_sessions(path)
    )


def every_tree(root: Path) -> tuple[list[Path], list[str]]:
    """Every scan's directory in a subjects directory, in natural order, and the names of folders that are none.

    A folder without FreeSurfer output is a scan's (whose run never began) only when BIDS names it.
    """
    trees, strangers = [], []
    for name in sorted(os.listdir(root), key=natural_key):
        path = root / name
        if not os.path.isdir(path) or name.startswith((*_TEMPLATES, ".")):
            continue
        if _is_parent_of_sessions(path):
            inside = sorted((entry for entry in os.listdir(path) if entry.startswith("ses-")), key=natural_key)
            trees += [path / entry for entry in inside]
        elif _has_output(path) or name.startswith("sub-"):
            trees.append(path)
        else:
            strangers.append(name)
    return trees, strangers


def _is_parent_of_sessions(path: Path) -> bool:
    if _has_output(path):
        return False
    try:
        return any(entry.name.startswith("ses-") for entry in os.scandir(path))
    except OSError:
        return False


def _has_output(path: Path) -> bool:
    return any(os.path.isdir(f"{path}/{name}") for name in _OUTPUT)


def _best(tier: list[tuple[Path, str]]) -> tuple[Path, str]:
    full = [candidate for candidate in tier if _has_output(candidate[0] / candidate[1])] or tier
    if len(full) > 1:
        paths = " and ".join(str(root / name) for root, name in full)
        raise FreeSurferError(
            f"several FreeSurfer directories fit one scan equally well: {paths}",
            "move one of them away, or give --fs-subjects-dir the right one",
        )
    return full[0]


def _note(chosen: Path, others: list[Path]) -> str:
    if not others:
        return ""
    return f"{chosen} was taken; {', '.join(map(str, others))} would have fitted too"


def subject_directories(
    bids_dir: Path, fs_subjects_dir: Path | None = None, derivatives: Sequence[str | Path] = ()
) -> list[Path]:
    """The subjects directories to search, most wanted first; only those that exist.

    ``--fs-subjects-dir`` alone when given. Otherwise every ``-d [name=]path`` (itself, or its
    ``sourcedata/freesurfer``), then ``derivatives/freesurfer``,
    ``derivatives/fmriprep/sourcedata/freesurfer`` (and that of any other derivative dataset),
    ``derivatives/fastsurfer`` and ``sourcedata/freesurfer`` of the BIDS dataset.

    Raises
    ------
    UsageError
        When ``--fs-subjects-dir`` or a ``-d`` path does not exist.
    """
    if fs_subjects_dir is not None:
        return _given_subjects_dir(Path(fs_subjects_dir))
    found = [folder for given in derivatives for folder in _derivative(given)]
    base = Path(bids_dir) / "derivatives"
    found += [base / "freesurfer", base / "fmriprep" / "sourcedata" / "freesurfer"]
    found += sorted(path / "sourcedata" / "freesurfer" for path in _glob(base, ""))
    found += [base / "fastsurfer", Path(bids_dir) / "sourcedata" / "freesurfer"]
    return [path for path in _unique(found) if os.path.isdir(path)]


def _given_subjects_dir(path: Path) -> list[Path]:
    if os.path.isfile(_existing(path, "--fs-subjects-dir") / "stats" / "aseg.stats"):
        raise UsageError(f"--fs-subjects-dir {path} is the directory of one subject", "give the directory above it")
    inside = path / "sourcedata" / "freesurfer"
    return [path, inside] if os.path.isdir(inside) else [path]


def _derivative(given: str | Path) -> list[Path]:
    path = _existing(named_path(given)[1], "-d")
    inside = path / "sourcedata" / "freesurfer"
    return [inside, path] if os.path.isdir(inside) else [path]


def _existing(path: Path, option: str) -> Path:
    if not os.path.isdir(path):
        names = "; the NAME of NAME=PATH is of letters, digits and _.+-" if "=" in str(path) else ""
        raise UsageError(f"{option} {path} does not exist or is not a directory", f"check the path{names}")
    return path
