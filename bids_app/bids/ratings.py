"""What a reader says of each scan (keep, doubtful, exclude): read from ``--qc-file``, kept in ``logs/ratings.tsv``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from bids_app.bids.age_sex import is_missing
from bids_app.bids.columns import columns_for
from bids_app.bids.disguise import Disguise
from bids_app.bids.names import natural_key, output_path, participant_id, session_id
from bids_app.bids.source_tables import Row, plain, read_sheet
from bids_app.errors import InputError
from bids_app.tables import write_tsv

FILE = Path("logs") / "ratings.tsv"
# The verdict of quality that each rating stands for
VERDICTS = {"keep": "pass", "doubtful": "warn", "exclude": "fail"}
COLUMNS = ("participant_id", "session_id", "rating", "reason")
Key = tuple[str, str | None]


class Rating(NamedTuple):
    """A reader's word on one scan."""

    rating: str
    reason: str

    @property
    def verdict(self) -> str:
        """The verdict of quality in the place of the automatic one."""
        return VERDICTS[self.rating]

    @property
    def words(self) -> str:
        """The rating and its reason."""
        return f"{self.rating} by a reader's rating" + (f": {self.reason}" if self.reason else "")


def read_ratings(path: Path) -> dict[Key, Rating | None]:
    """The ratings of a file by participant and session (with prefix); None takes an earlier rating back.

    Raises
    ------
    BIDSError, InputError
        When the file cannot be read, lacks a column, rates a scan twice or not as `VERDICTS` says, or excludes
        without a reason.
    """
    header, rows = read_sheet(path)
    names = {plain(name): name for name in header}
    for needed in ("participant_id", "rating"):
        if needed not in names:
            raise InputError(
                f"{path} has no column {needed}", f"a file of ratings has the columns {', '.join(COLUMNS)}"
            )
    found: dict[Key, Rating | None] = {}
    for number, row in enumerate(rows, start=2):
        key, rating = _rating(
            {column: row.get(names.get(column, ""), "") for column in COLUMNS}, f"{path}, line {number}"
        )
        if found.setdefault(key, rating) != rating:
            raise InputError(f"{path} rates {scan_named(key)} twice", "leave one of the lines")
    return found


def _rating(row: Row, where: str) -> tuple[Key, Rating | None]:
    who, session, rating, reason = ("" if is_missing(row[name]) else row[name].strip() for name in COLUMNS)
    if not who:
        raise InputError(f"{where}: participant_id is missing", "name the person")
    key = participant_id(who.removeprefix("sub-")), session_id(session.removeprefix("ses-") or None)
    if not rating:
        return key, None
    if rating.lower() not in VERDICTS:
        raise InputError(f"{where}: {rating!r} is no rating", f"write {', '.join(VERDICTS)}, or n/a to take it back")
    if rating.lower() == "exclude" and not reason:
        raise InputError(f"{where}: {scan_named(key)} is excluded without a reason", "say why in the column reason")
    return key, Rating(rating.lower(), " ".join(reason.split()))


def scan_named(key: Key) -> str:
    """``sub-X`` or ``sub-X_ses-Y``."""
    return "_".join(part for part in key if part)


def stored_ratings(output_dir: Path | str) -> dict[Key, Rating]:
    """The ratings that the output dataset keeps."""
    path = Path(output_dir) / FILE
    return {key: rating for key, rating in read_ratings(path).items() if rating} if path.exists() else {}


def keep_ratings(output_dir: Path | str, files: Iterable[Path], disguise: Disguise | None = None) -> tuple[str, ...]:
    """Add the ratings of `files` to those of the dataset; a later word on a scan replaces an earlier one.

    With a `disguise` they are kept under hashed labels.

    Returns
    -------
    tuple of str
        Participants whose ratings changed.
    """
    before = stored_ratings(output_dir)
    after: dict[Key, Rating | None] = dict(before)
    for path in files:
        after.update(_hashed(read_ratings(path), disguise) if disguise else read_ratings(path))
    kept = {key: rating for key, rating in after.items() if rating}
    if kept == before:
        return ()
    order = sorted(kept, key=lambda key: (natural_key(key[0]), natural_key(key[1])))
    rows = [(*key, *kept[key]) for key in order]
    table = pd.DataFrame(rows, columns=list(COLUMNS), dtype=object).replace("", None)
    write_tsv(table, output_path(output_dir, *Path(FILE).parts), columns_for("ratings"))
    return tuple(sorted({key[0] for key in {*before, *kept} if before.get(key) != kept.get(key)}))


def _hashed(ratings: Mapping[Key, Rating | None], disguise: Disguise) -> dict[Key, Rating | None]:
    return {
        (disguise.text(who), session and disguise.text(session)): rating
        and Rating(rating.rating, disguise.text(rating.reason))
        for (who, session), rating in ratings.items()
    }


def key_of(row: Mapping[str, Any]) -> Key:
    """The scan that a summary or a table's row is about."""
    session = row.get("session_id")
    return str(row["participant_id"]), session if isinstance(session, str) else None


def scan_keys(table: pd.DataFrame) -> list[Key]:
    """`key_of` every row of a table.

    Parameters
    ----------
    table : DataFrame
        ``participant_id session_id``, one row per scan.

    Returns
    -------
    list of (str, str or None)
        In the order of the rows; None where ``session_id`` is no text.
    """
    sessions = table["session_id"].tolist()
    return [
        (str(who), session if isinstance(session, str) else None)
        for who, session in zip(table["participant_id"].tolist(), sessions, strict=True)
    ]


def rating_of(ratings: Mapping[Key, Rating], key: Key) -> Rating | None:
    """The rating of a scan; a row without session is about every scan of the person that has no row of its own."""
    return ratings.get(key) or ratings.get((key[0], None))


def unknown(ratings: Iterable[Key], scans: Iterable[Key]) -> list[str]:
    """Names of rated scans that are none of `scans`."""
    known = set(scans)
    people = {key[0] for key in known}
    return [scan_named(key) for key in ratings if key not in known and (key[1] is not None or key[0] not in people)]


def rated(summary: Mapping[str, Any], rating: Rating | None) -> dict[str, Any]:
    """`summary` with the reader's verdict in the place of the automatic one; no measure and no z changes."""
    if rating is None:
        return dict(summary)
    quality = {**summary["quality"], "verdict": rating.verdict, "technical": rating.verdict}
    return {**summary, "quality": {**quality, "reasons": [rating.words]}}
