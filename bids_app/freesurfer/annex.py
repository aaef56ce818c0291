"""Files whose content git-annex (DataLad) has not fetched.

Such a file is a dangling symbolic link into ``.git/annex/objects``, or, where links are not possible, a small
text file that holds the link's target, or an unlocked pointer that starts with ``/annex/objects/``.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable
from pathlib import Path

_MARK = "annex/objects/"
_LONGEST_POINTER = 4096


def is_pointer_text(content: bytes) -> bool:
    """Whether the content of a file is only the address of an annexed content."""
    if len(content) > _LONGEST_POINTER or _MARK.encode() not in content:
        return False
    return content.lstrip().startswith((b"/annex/objects/", b"../", b".git/annex/objects/"))


def is_not_fetched(path: Path | str) -> bool:
    """Whether `path` exists as an annexed file whose content is not on this disk."""
    try:
        if os.path.islink(path):
            return _MARK in os.readlink(path) and not os.path.exists(path)
        if not os.path.isfile(path) or os.path.getsize(path) > _LONGEST_POINTER:
            return False
        with open(path, "rb") as stream:
            return is_pointer_text(stream.read())
    except OSError:
        return False


def fetch_command(folder: Path, relative: Iterable[str]) -> str:
    """The shell command that fetches the files `relative` to `folder`."""
    paths = " ".join(shlex.quote(str(folder / name)) for name in relative)
    return f"datalad get {paths}  (or, inside the dataset: git annex get {paths})"
