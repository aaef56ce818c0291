from pathlib import Path

import pandas as pd
import pytest

from bids_app.bids.disguise import Disguise
from bids_app.bids.ratings import (
    FILE,
    Rating,
    keep_ratings,
    key_of,
    rated,
    rating_of,
    read_ratings,
    scan_keys,
    scan_named,
    stored_ratings,
    unknown,
)
from bids_app.errors import NormvolError
from bids_app.tables import read_json, read_table

HEADER = "participant_id\tsession_id\trating\treason\n"


def file(tmp_path: Path, *lines: str, name: str = "ratings.tsv", header: str = HEADER) -> Path:
    path = tmp_path / name
    path.write_text(header + "".join(f"{line}\n" for line in lines))
    return path


def test_labels_may_have_their_prefix_or_not(tmp_path):
    path = file(tmp_path, "sub-01\tses-1\tkeep\tn/a", "02\t1\texclude\tmotion", "03\tn/a\tDoubtful\t")
    assert read_ratings(path) == {
        ("sub-01", "ses-1"): Rating("keep", ""),
        ("sub-02", "ses-1"): Rating("exclude", "motion"),
        ("sub-03", None): Rating("doubtful", ""),
    }


def test_the_session_may_be_left_out_of_the_header(tmp_path):
    path = file(tmp_path, "sub-01\tkeep", header="participant_id\trating\n")
    assert read_ratings(path) == {("sub-01", None): Rating("keep", "")}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("sub-01\tn/a\tgood\tn/a", "'good' is no rating"),
        ("sub-01\tn/a\texclude\tn/a", "excluded without a reason"),
        ("n/a\tn/a\tkeep\tn/a", "participant_id is missing"),
    ],
)
def test_what_is_no_rating_is_refused_with_its_line(tmp_path, line, said):
    with pytest.raises(NormvolError, match=said) as error:
        read_ratings(file(tmp_path, "sub-09\tn/a\tkeep\tn/a", line))
    assert "line 3" in str(error.value)


def test_two_words_on_one_scan_are_refused(tmp_path):
    with pytest.raises(NormvolError, match="rates sub-01_ses-1 twice"):
        read_ratings(file(tmp_path, "sub-01\tses-1\tkeep\tn/a", "sub-01\tses-1\tdoubtful\tn/a"))


def test_a_file_without_ratings_column_is_refused(tmp_path):
    with pytest.raises(NormvolError, match="has no column rating"):
        read_ratings(file(tmp_path, "sub-01\tkeep", header="participant_id\tqc\n"))


def test_later_files_replace_what_earlier_ones_said_of_a_scan_and_leave_the_rest(tmp_path):
    first = file(tmp_path, "sub-01\tn/a\tkeep\tn/a", "sub-02\tn/a\texclude\tmotion")
    assert keep_ratings(tmp_path, [first]) == ("sub-01", "sub-02")
    second = file(tmp_path, "sub-02\tn/a\tdoubtful\tn/a", name="second.tsv")
    assert keep_ratings(tmp_path, [second]) == ("sub-02",)
    assert stored_ratings(tmp_path) == {("sub-01", None): Rating("keep", ""), ("sub-02", None): Rating("doubtful", "")}
    assert read_json((tmp_path / FILE).with_suffix(".json")).keys() >= {"rating", "reason"}
    assert list(read_table(tmp_path / FILE).columns) == ["participant_id", "session_id", "rating", "reason"]


def test_a_rating_can_be_taken_back(tmp_path):
    keep_ratings(tmp_path, [file(tmp_path, "sub-01\tn/a\tkeep\tn/a")])
    assert keep_ratings(tmp_path, [file(tmp_path, "sub-01\tn/a\tn/a\tn/a")]) == ("sub-01",)
    assert stored_ratings(tmp_path) == {}


def test_nothing_is_written_without_ratings(tmp_path):
    assert keep_ratings(tmp_path, []) == ()
    assert not (tmp_path / FILE).exists()


def test_a_rating_takes_the_place_of_the_verdict_and_touches_nothing_else():
    summary = {
        "quality": {"verdict": "fail", "technical": "fail", "reasons": ["holes"], "metrics": {"euler": -9}},
        "z": 1,
    }
    found = rated(summary, Rating("keep", "fine by eye"))
    assert found["quality"] == {
        "verdict": "pass",
        "technical": "pass",
        "reasons": ["keep by a reader's rating: fine by eye"],
        "metrics": {"euler": -9},
    }
    assert found["z"] == 1
    assert rated(summary, None) == summary


def test_a_row_without_session_is_about_every_scan_that_has_no_row_of_its_own():
    ratings = {("sub-01", None): Rating("keep", ""), ("sub-01", "ses-2"): Rating("doubtful", "")}
    assert rating_of(ratings, ("sub-01", "ses-1")).rating == "keep"
    assert rating_of(ratings, ("sub-01", "ses-2")).rating == "doubtful"
    assert rating_of(ratings, ("sub-02", None)) is None


def test_ratings_of_no_scan_are_named():
    rated_scans = [("sub-01", None), ("sub-01", "ses-9"), ("sub-07", None)]
    assert unknown(rated_scans, [("sub-01", "ses-1")]) == ["sub-01_ses-9", "sub-07"]


def test_ratings_are_kept_under_hashed_labels(tmp_path):
    disguise = Disguise("a long salt")
    keep_ratings(tmp_path, [file(tmp_path, "sub-01\tses-1\texclude\tas sub-02", "sub-02\tn/a\tn/a\tn/a")], disguise)
    person, visit = disguise.participant("01"), disguise.session("1")
    assert stored_ratings(tmp_path) == {
        (f"sub-{person}", f"ses-{visit}"): Rating("exclude", f"as sub-{disguise.participant('02')}")
    }


def test_nothing_changes_where_the_same_is_said_again(tmp_path):
    path = file(tmp_path, "sub-10\tn/a\tkeep\tn/a", "sub-9\tses-2\tkeep\tn/a", "sub-9\tses-1\tkeep\tn/a")
    assert keep_ratings(tmp_path, [path]) == ("sub-10", "sub-9")
    assert keep_ratings(tmp_path, [path]) == ()
    assert (tmp_path / FILE).read_text().splitlines()[1:] == [
        "sub-9\tses-1\tkeep\tn/a",
        "sub-9\tses-2\tkeep\tn/a",
        "sub-10\tn/a\tkeep\tn/a",
    ]


def test_blanks_in_a_reason_are_one(tmp_path):
    found = read_ratings(file(tmp_path, "sub-01\t\tEXCLUDE\tmuch   motion "))
    assert found == {("sub-01", None): Rating("exclude", "much motion")}
    assert found["sub-01", None].words == "exclude by a reader's rating: much motion"
    assert Rating("keep", "").words == "keep by a reader's rating"
    assert (Rating("keep", "").verdict, Rating("doubtful", "").verdict) == ("pass", "warn")


def test_the_same_word_twice_is_one(tmp_path):
    assert len(read_ratings(file(tmp_path, "sub-01\t1\tkeep\tn/a", "01\tses-1\tkeep\tn/a"))) == 1


def test_keys_of_rows():
    assert key_of({"participant_id": "sub-01", "session_id": float("nan")}) == ("sub-01", None)
    assert key_of({"participant_id": "sub-01"}) == ("sub-01", None)
    assert key_of({"participant_id": "sub-01", "session_id": "ses-1"}) == ("sub-01", "ses-1")
    table = pd.DataFrame({"participant_id": ["a", "b"], "session_id": ["x", None]}, dtype=object)
    assert scan_keys(table) == [("a", "x"), ("b", None)]
    assert scan_named(("sub-01", None)) == "sub-01"
    assert scan_named(("sub-01", "ses-1")) == "sub-01_ses-1"
