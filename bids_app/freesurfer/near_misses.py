"""Names in a FreeSurfer subjects directory that are nearly a scan's: said, never used."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

_PACKED = re.compile(r"\.(tar|tgz|zip|7z|rar|tar\.(gz|bz2|xz|zst))$")
_EXTRA = re.compile(
    r"[_-](?:(?:run|acq|rec|ce|desc|space|part|inv|mod|task|tpl)-[a-z0-9]+|t1w?|anat|fs\d*|freesurfer)(?![a-z0-9])"
)


def near_misses(roots: Sequence[Path], participant: str, session: str | None) -> list[str]:
    """Names in `roots` that could be meant for a scan and are not read: ``sub-01ses-1``, ``sub-01_T1w``, ``SUB-01``.

    Parameters
    ----------
    roots : sequence of Path
        Subjects directories.
    participant, session : str
        Labels without prefix.
    """
    wanted = tokens("_".join(part for part in (f"sub-{participant}", session and f"ses-{session}") if part))
    found = [name for root in roots for name in _by_tokens(_names(root)).get(wanted, ())]
    return sorted({name for name in found if name not in _read(participant, session)})


def _read(participant: str, session: str | None) -> set[str]:
    if session is None:
        return {f"sub-{participant}", participant}
    return {f"sub-{participant}_ses-{session}", f"{participant}_ses-{session}", f"{participant}_{session}"}


def _names(root: Path) -> tuple[str, ...]:
    try:
        return tuple(sorted(os.listdir(root)))
    except OSError:
        return ()


@lru_cache(maxsize=16)
def _by_tokens(names: tuple[str, ...]) -> dict[tuple[str, ...], list[str]]:
    found: dict[tuple[str, ...], list[str]] = {}
    for name in names:
        if ".long." not in name:
            found.setdefault(tokens(name), []).append(name)
    return found


def tokens(name: str) -> tuple[str, ...]:
    """The labels in a name, however it is spelt: ``SUB-01ses-1_run-2_T1w.tar.gz`` gives ``("1", "1")``."""
    text = _PACKED.sub("", name.lower())
    text = _EXTRA.sub("", text)
    text = re.sub(r"(?<=[a-z0-9])ses-", "_ses-", text)
    parts = [re.sub(r"^(sub|ses)(?=\d)", "", part) for part in re.split(r"[^a-z0-9]+", text)]
    kept = [part for part in parts if part and part not in ("sub", "ses", "subject", "session")]
    return tuple(re.sub(r"(?<!\d)0+(?=\d)", "", part) for part in kept)


def of_nobody(paths: Iterable[Path], known: Iterable[str]) -> list[Path]:
    """Those of `paths` whose first label is none of the participants `known` (labels without prefix)."""
    people = {tokens(f"sub-{label}") for label in known}
    return [path for path in paths if tokens(path.name)[:1] not in people]
