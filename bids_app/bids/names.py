"""Labels with and without prefix, and the names of derivative files."""

from __future__ import annotations

import hashlib
import os
import re
import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import takewhile
from pathlib import Path

from bids_app.errors import InputError, UsageError

LONGEST_LABEL = 64
# bytes in the name of a file, with room for what a temporary name adds
LONGEST_NAME = 240
# of two paths: the root and one folder, such as /home
SHARED_PARTS = 2
# A folder that changed just now may change again without a new time stamp.
_SETTLED_NS = 2_000_000_000
_LABEL = re.compile(r"[A-Za-z0-9+]+")
_NUMBERS = re.compile(r"([0-9]+)")
_NAMED = re.compile(r"(\w[\w.+-]*)=(.+)", re.ASCII)
_NO_NAME = re.compile(r"[/\\\x00-\x1f\x7f]")
_FREESURFER_NAME = re.compile(r"sub-(?P<participant>[A-Za-z0-9+]+)(?:_ses-(?P<session>[A-Za-z0-9+]+))?(?:\.long\..+)?")


def bare(label: object, prefix: str) -> str:
    """`label` without its BIDS prefix: ``bare("sub-01", "sub") == "01"``."""
    return str(label).strip().removeprefix(f"{prefix}-")


def is_label(text: str) -> bool:
    """Whether `text` can be a BIDS label here: letters, digits and ``+``, at most `LONGEST_LABEL` of them."""
    return len(text) <= LONGEST_LABEL and _LABEL.fullmatch(text) is not None


def output_path(root: Path | str, *parts: str) -> Path:
    """A path below `root` for writing: every place where a name out of a file becomes part of a path asks here.

    Raises
    ------
    InputError
        When a part cannot be one file or folder name, or a link in `root` leads out of it.
    """
    for part in parts:
        if part in ("", ".", "..") or _NO_NAME.search(part) or len(os.fsencode(part)) > LONGEST_NAME:
            raise InputError(f"{part[:80]!r} cannot be the name of a file", "rename it without / and signs of control")
    path = Path(root, *parts)
    if any(map(os.path.islink, _folders_below(root, parts))):
        _refuse_outside(path.parent, root)
    return path


def _folders_below(root: Path | str, parts: Sequence[str]) -> Iterator[str]:
    """The folders between `root` and the last of `parts`."""
    folder = os.fspath(root)
    for part in parts[:-1]:
        folder = os.path.join(folder, part)
        yield folder


def _refuse_outside(folder: Path, root: Path | str) -> None:
    place, inside = os.path.realpath(folder), os.path.realpath(root)
    if place != inside and not place.startswith(inside.rstrip(os.sep) + os.sep):
        raise InputError(
            f"{folder} leads out of {root} to {place}, where nothing is written", "remove the link, then run again"
        )


def relative_place(path: Path | str, root: Path | str) -> str | None:
    """`path` relative to `root`, to be written where others read it; None when that would tell of their machine.

    That is so when the two share no folder below the first of a path: ``../../../home/somebody/bids``.
    """
    place, base = os.path.abspath(path), os.path.abspath(root)
    shared = Path(os.path.commonpath([place, base]))
    return Path(os.path.relpath(place, base)).as_posix() if len(shared.parts) > SHARED_PARTS else None


def named_path(given: Path | str) -> tuple[str, Path]:
    """Name ("" without one) and path of ``[NAME=]PATH``; a NAME, of letters, digits and ``_.+-``, ends at the ``=``.

    A text that is the path of something, such as the folder ``a=b``, has no name.
    """
    match = _NAMED.fullmatch(str(given))
    if match is None or os.path.exists(os.path.expanduser(given)):
        return "", Path(given)
    return match[1], Path(match[2])


def file_stem(participant: str, session: str | None = None) -> str:
    """`scan_name` for the name of a file; of labels that are none (``a/../b``) only what can be part of a name."""
    safe = [label if label is None or is_label(label) else _safe(label) for label in (participant, session)]
    return scan_name(str(safe[0]), safe[1])


def _safe(label: str) -> str:
    digest = hashlib.sha256(label.encode("utf-8", "surrogatepass")).hexdigest()
    return re.sub(r"[^A-Za-z0-9+]", "", label)[:20] + "x" + digest[:8]


def unpadded(label: str) -> str:
    """`label` as people vary it: small letters, no prefix, no separators, no leading zeros."""
    text = re.sub(r"[^a-z0-9]", "", re.sub(r"^(sub|ses)[-_ ]?", "", label.strip().lower()))
    return re.sub(r"(?<!\d)0+(?=\d)", "", text)


def participant_id(participant: str) -> str:
    """``sub-<label>``, as tables hold it."""
    return f"sub-{participant}"


def session_id(session: str | None) -> str | None:
    """``ses-<label>`` as tables hold it; None without sessions."""
    return None if session is None else f"ses-{session}"


def scan_name(participant: str, session: str | None = None) -> str:
    """``sub-X`` or ``sub-X_ses-Y``."""
    return "_".join(part for part in (participant_id(participant), session_id(session)) if part)


def natural_key(label: str | None) -> tuple[tuple[int, int, str, str], ...]:
    """Sorting key that puts ``2`` before ``10`` and None first; numbers may have any number of digits."""
    return tuple(_part_key(part) for part in _NUMBERS.split(label or "") if part)


def _part_key(part: str) -> tuple[int, int, str, str]:
    if not (part.isdecimal() and part.isascii()):
        return (1, 0, "", part)
    digits = part.lstrip("0")
    return (0, len(digits), digits, part)


def split_freesurfer_name(name: str) -> tuple[str, str | None] | None:
    """Participant and session of a FreeSurfer subject's name (``sub-X[_ses-Y][.long.*]``), else None."""
    match = _FREESURFER_NAME.fullmatch(name)
    return (match["participant"], match["session"]) if match else None


def derivative_path(
    output_dir: Path | str,
    participant: str,
    session: str | None = None,
    *,
    desc: str,
    suffix: str = "morph",
    extension: str = ".tsv",
    seg: str | None = None,
    folder: str = "anat",
) -> Path:
    """Path of one derivative file.

    Parameters
    ----------
    output_dir : path-like
    participant, session : str
        Labels, with or without prefix; `session` None for a file of the person.
    desc, seg : str
        Entity values: ``derivative_path("out", "01", "1", desc="volumes", seg="DKT")`` is
        ``out/sub-01/ses-1/anat/sub-01_ses-1_seg-DKT_desc-volumes_morph.tsv``.
    folder : str
        Folder below the participant or session; ``""`` for none.

    Raises
    ------
    UsageError
        When a label holds anything but letters, digits and ``+``.
    InputError
        When a link leads out of `output_dir`.
    """
    return output_path(output_dir, *derivative_parts(participant, session, desc, suffix + extension, seg, folder))


def derivative_parts(
    participant: str,
    session: str | None,
    desc: str,
    ending: str = "morph.tsv",
    seg: str | None = None,
    folder: str = "anat",
) -> tuple[str, ...]:
    """The folders below the output folder, and the name, of `derivative_path`: enough for reading.

    Raises
    ------
    UsageError
        When a label holds anything but letters, digits and ``+``.
    """
    participant = bare(participant, "sub")
    session = None if session is None else bare(session, "ses")
    _check_labels(participant, session, seg, desc)
    entities = [scan_name(participant, session), seg and f"seg-{seg}", f"desc-{desc}", ending]
    folders = (participant_id(participant), session_id(session), folder)
    return (*(part for part in folders if part), "_".join(part for part in entities if part))


def _check_labels(*labels: str | None) -> None:
    for label in labels:
        if label is not None and not is_label(label):
            raise UsageError(f"'{label[:80]}' is not a BIDS label", "use letters and digits only")


def names_beginning(folder: Path | str, prefix: str) -> list[str]:
    """Names in a folder that begin with `prefix`, sorted; none where there is no folder.

    A folder of thousands is asked once per person, and listed anew only when it has changed.
    """
    try:
        changed = os.stat(folder).st_mtime_ns
        settled = abs(time.time_ns() - changed) > _SETTLED_NS
        if not settled:
            return sorted(name for name in os.listdir(folder) if name.startswith(prefix))
        names = _listing(os.fspath(folder), changed)
    except OSError:
        return []
    rest = (names[place] for place in range(bisect_left(names, prefix), len(names)))
    return list(takewhile(lambda name: name.startswith(prefix), rest))


@lru_cache(maxsize=8)
def _listing(folder: str, changed: int) -> tuple[str, ...]:
    return tuple(sorted(os.listdir(folder)))


def listed(items: Iterable[str], limit: int = 20) -> str:
    """`items` in a sentence: the first `limit`, and how many there are in all."""
    every = list(items)
    shown = ", ".join(every[:limit])
    return shown if len(every) <= limit else f"{shown}, ... ({len(every)} in all)"
