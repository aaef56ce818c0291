"""Labels of people and visits replaced by salted hashes (``--anonymise``), the same for the same label and salt."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bids_app.bids.names import natural_key, output_path, participant_id, session_id, unpadded
from bids_app.errors import UsageError
from bids_app.tables import atomic_write, format_json, read_json, write_json

RECORD = Path("logs") / "anonymised.json"
# 48 bits: with 100,000 people two have one hash once in 60,000 datasets
DIGITS = 12
SHORTEST_SALT = 8
_TOKEN = re.compile(r"(?<![A-Za-z0-9])(sub|ses)-([A-Za-z0-9+]+)")
_HASH = re.compile(rf"x[0-9a-f]{{{DIGITS}}}")
_WORD = re.compile(r"(?<![\w+.-])[\w+]+(?![\w+-]|\.\w)")


def is_hash(label: str) -> bool:
    """Whether a label (without prefix) is one that a `Disguise` gave."""
    return _HASH.fullmatch(label) is not None


@dataclass(frozen=True)
class Disguise:
    """What a salt makes of labels, and of text that names them.

    `known` are the dataset's labels, which text may name without prefix.
    """

    salt: str
    known: frozenset[tuple[str, str]] = frozenset()

    def label(self, kind: str, label: str) -> str:
        """The hash of a label without prefix; `kind` is ``sub`` or ``ses``. A hash stays."""
        if is_hash(label):
            return label
        message = f"{kind}-{label}".encode("utf-8", "surrogatepass")
        return "x" + hmac.new(self.salt.encode(), message, hashlib.sha256).hexdigest()[:DIGITS]

    def participant(self, label: str) -> str:
        """`label` of a person."""
        return self.label("sub", label)

    def session(self, label: str | None) -> str | None:
        """`label` of a visit."""
        return None if label is None else self.label("ses", label)

    def of(self, labels: Iterable[tuple[str, str | None]]) -> Disguise:
        """The same, with these people and visits known."""
        found = {(kind, label) for pair in labels for kind, label in zip(("sub", "ses"), pair) if label}
        return Disguise(self.salt, self.known | found)

    def text(self, text: str) -> str:
        """`text` with every ``sub-<label>`` and ``ses-<label>`` hashed, and what it names of the known without prefix.

        Labels of digits alone are found in quotes only: elsewhere they may be numbers.
        """
        text = _TOKEN.sub(lambda match: f"{match[1]}-{self.label(match[1], match[2])}", text)
        if not self.known:
            return text
        bare, spelt = self._names
        text = re.sub(r"(['\"])([\w+]+)\1", lambda m: f"{m[1]}{spelt.get(unpadded(m[2]), m[2])}{m[1]}", text)
        return _WORD.sub(lambda m: bare.get(m[0], m[0]) if _stands_out(m[0]) else m[0], text)

    @cached_property
    def _names(self) -> tuple[dict[str, str], dict[str, str]]:
        """The hashes of the known labels, and of these as people vary them (``1`` for ``01``)."""
        bare = {label: self.label(kind, label) for kind, label in sorted(self.known)}
        return bare, {unpadded(label): found for label, found in bare.items()}

    def values(self, value: Any) -> Any:
        """Plain values with `text` of every string in them."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {name: self.values(item) for name, item in value.items()}
        return [self.values(item) for item in value] if isinstance(value, list | tuple) else value

    def write_map(self, path: Path) -> None:
        """Add the known labels to the file that keeps the salt and what became of each label; nobody else reads it."""
        kept = read_json(path) if path.exists() else {}
        found: dict[str, Any] = {"salt": self.salt}
        for name, kind in (("participants", "sub"), ("sessions", "ses")):
            new = {f"{kind}-{label}": f"{kind}-{self.label(kind, label)}" for its, label in self.known if its == kind}
            both = {**kept.get(name, {}), **new}
            found[name] = {label: both[label] for label in sorted(both, key=natural_key)}
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
        path.chmod(0o600)
        atomic_write(path, format_json(found))
        path.chmod(0o600)


def _stands_out(word: str) -> bool:
    """Whether a label is no number and no common word."""
    return len(word) > 3 and any(map(str.isdigit, word)) and any(map(str.isalpha, word))


def disguise_of(salt: str | None, file: Path | None) -> Disguise:
    """The disguise of the salt that was given, that the map keeps, or else of a new one that nobody knows.

    Raises
    ------
    UsageError
        When the salt is too short, or is not the map's.
    InputError
        When the map cannot be read.
    """
    kept = read_json(file) if file is not None and file.exists() else None
    if kept is not None and not (isinstance(kept, dict) and isinstance(kept.get("salt"), str)):
        raise UsageError(f"{file} is no map of --anonymise-map", "name another file")
    if salt is not None and len(salt) < SHORTEST_SALT:
        raise UsageError(
            f"the salt has fewer than {SHORTEST_SALT} signs, so that it can be guessed", "give a longer one"
        )
    if salt is not None and kept is not None and kept["salt"] != salt:
        raise UsageError(f"{file} keeps another salt than --anonymise-salt gives", "leave one of them out")
    return Disguise(salt or (kept["salt"] if kept is not None else secrets.token_hex(16)))


def is_anonymised(output_dir: Path) -> bool:
    """Whether an output folder's labels are hashes."""
    return (output_dir / RECORD).exists()


def check_disguise(output_dir: Path, disguise: Disguise | None, scored: bool) -> None:
    """Refuse to put labels of one kind beside those of another (`scored`: the folder has results).

    Raises
    ------
    UsageError
        When the folder's labels are hashed with another salt, or not, or this run's are not.
    """
    recorded = is_anonymised(output_dir)
    if disguise is None:
        if recorded:
            raise UsageError(f"the labels in {output_dir} are anonymised", "give --anonymise, or another output folder")
        return
    if recorded and read_json(output_dir / RECORD).get("salt_check") != _check_of(disguise):
        raise UsageError(
            f"the labels in {output_dir} were hashed with another salt, so everybody would be there twice",
            "give that run's --anonymise-map or --anonymise-salt, or another output folder",
        )
    if scored and not recorded:
        raise UsageError(
            f"{output_dir} holds results with labels that are not anonymised", "name another output folder"
        )


def record_disguise(output_dir: Path, disguise: Disguise) -> None:
    """Remember that labels are hashed, and by what the salt is recognised."""
    write_json({"salt_check": _check_of(disguise)}, output_path(output_dir, *RECORD.parts))


def _check_of(disguise: Disguise) -> str:
    return hmac.new(disguise.salt.encode(), b"normvol's check of the salt", hashlib.sha256).hexdigest()[:16]


def hashed_ids(participant: str, session: str | None, disguise: Disguise) -> dict[str, str | None]:
    """``participant_id`` and ``session_id`` as the outputs hold them."""
    return {
        "participant_id": participant_id(disguise.participant(participant)),
        "session_id": session_id(disguise.session(session)),
    }
