"""Files whose content git-annex (DataLad) has not fetched.

Such a file is a dangling symbolic link into ``.git/annex/objects``, or, where links are not possible, a small
text file that holds the link's target, or an unlocked pointer that starts with ``/annex/objects/``.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

_MARK = "annex/objects/"
_LONGEST_POINTER = 4096
# The address of a content is shorter, any file that recon-all writes of a brain longer
_LONGEST_ADDRESS = 1024
NAMED_AT_MOST = 8


def is_pointer_text(content: bytes) -> bool:
    """Whether the content of a file is only the address of an annexed content."""
    if len(content) > _LONGEST_POINTER or _MARK.encode() not in content:
        return False
    return content.lstrip().startswith((b"/annex/objects/", b"../", b".git/annex/objects/"))


def is_not_fetched(path: Path | str) -> bool:
    """Whether `path` exists as an annexed file whose content is not on this disk."""
    try:
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode):
            return _MARK in os.readlink(path) and not os.path.exists(path)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _LONGEST_ADDRESS:
            return False
        with open(path, "rb") as stream:
            return is_pointer_text(stream.read())
    except OSError:
        return False


def dataset_root(path: Path) -> Path:
    """The root of the DataLad or git-annex dataset that holds the file or folder `path`.

    The outermost DataLad dataset above it, else the nearest repository, else where a link inside it points.
    """
    above = [folder for folder in path.absolute().parents if os.path.lexists(folder / ".git")]
    datalad = [folder for folder in above if os.path.isdir(folder / ".datalad")]
    if datalad or above:
        return datalad[-1] if datalad else above[0]
    links = [path, *sorted(path.iterdir())] if path.is_dir() else [path]
    targets = (link.parent / os.readlink(link) for link in links if link.is_symlink())
    roots = (os.path.normpath(str(target).partition("/.git/annex/")[0]) for target in targets if _MARK in str(target))
    inside = (root for root in map(Path, roots) if path.absolute().is_relative_to(root))
    return next(inside, path.absolute().parents[1])


def fetch_command(paths: Iterable[Path]) -> str:
    """The shell commands that fetch `paths`, one per dataset, to be pasted as they are.

    More than `NAMED_AT_MOST` paths of one dataset are said with ``*`` for the names that differ.
    """
    by_root: dict[Path, list[Path]] = {}
    for path in paths:
        root = dataset_root(path)
        by_root.setdefault(root, []).append(path.absolute().relative_to(root))
    return "; ".join(f"cd {shlex.quote(str(root))} && datalad get {_named(found)}" for root, found in by_root.items())


def fetch_remedy(paths: Sequence[Path]) -> str:
    """What to do about `paths` that are not fetched, without naming where the dataset lies on this disk."""
    root = dataset_root(paths[0])
    names = _named([path.absolute().relative_to(root) for path in paths])
    return f"fetch it, in the root of the dataset: datalad get {names}  (or: git annex get {names})"


def _named(paths: Sequence[Path]) -> str:
    if len(paths) > NAMED_AT_MOST:
        patterns = dict.fromkeys(_pattern(path) for path in paths)
        return " ".join(patterns)
    return " ".join(shlex.quote(str(path)) for path in paths)


def _pattern(path: Path) -> str:
    """`path` with ``*`` for the label of every folder and file of one person."""
    return "/".join(re.sub(r"(sub|ses)-[A-Za-z0-9+]+", r"\1-*", part) for part in path.parts)
