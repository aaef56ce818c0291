"""Labels become salted hashes, the same for the same label and salt, in text too."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from bids_app.bids.disguise import (
    Disguise,
    check_disguise,
    disguise_of,
    hashed_ids,
    is_anonymised,
    is_hash,
    record_disguise,
)
from bids_app.errors import UsageError
from bids_app.tables import read_json

SALT = "a long secret"


def test_hashes_depend_on_label_kind_and_salt_and_stay():
    disguise = Disguise(SALT)
    found = disguise.participant("01")
    assert is_hash(found)
    assert disguise.participant(found) == found
    others = {disguise.session("01"), disguise.participant("1"), Disguise("another one").participant("01")}
    assert found not in others
    assert len(others) == 3


def test_text_names_nobody():
    disguise = Disguise(SALT).of([("Smith7", "2019a"), ("01", None)])
    person, visit = disguise.participant("Smith7"), disguise.session("2019a")
    said = disguise.text("sub-Smith7_ses-2019a.long.sub-Smith7: Smith7 and '01' at age 01, of ses-2019a, sub-99")
    assert said == (
        f"sub-{person}_ses-{visit}.long.sub-{person}: {person} and '{disguise.participant('01')}' at age 01, of "
        f"ses-{visit}, sub-{disguise.participant('99')}"
    )
    assert disguise.text(said) == said
    assert disguise.text("it has '1'; write 01") == f"it has '{disguise.participant('01')}'; write 01"


def test_the_map_is_added_to_and_private(tmp_path):
    path = tmp_path / "my" / "keys" / "map.json"
    Disguise(SALT).of([("01", "1")]).write_map(path)
    disguise_of(None, path).of([("02", None)]).write_map(path)
    kept = read_json(path)
    assert kept["salt"] == SALT
    assert list(kept["participants"]) == ["sub-01", "sub-02"]
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(UsageError, match="another salt"):
        disguise_of("some other salt", path)


def test_without_salt_each_run_has_its_own():
    assert disguise_of(None, None) != disguise_of(None, None)


def test_folders_of_two_salts_are_not_mixed(tmp_path):
    check_disguise(tmp_path, Disguise(SALT), scored=False)
    record_disguise(tmp_path, Disguise(SALT))
    check_disguise(tmp_path, Disguise(SALT), scored=True)
    for other in (Disguise("some other salt"), None):
        with pytest.raises(UsageError):
            check_disguise(tmp_path, other, scored=True)
    with pytest.raises(UsageError, match="not anonymised"):
        check_disguise(tmp_path / "raw", Disguise(SALT), scored=True)


def test_labels_that_are_no_numbers_and_no_common_words_are_found_without_prefix():
    disguise = Disguise(SALT).of([("abc", None), ("ab1", None), ("abc1", None), ("1234", None), ("abcd", "a1b2")])
    said = disguise.text("abc ab1 abc1 1234 abcd a1b2 xabc1 abc1.nii abc1-x abc1.")
    person, visit = disguise.participant("abc1"), disguise.session("a1b2")
    assert said == f"abc ab1 {person} 1234 abcd {visit} xabc1 abc1.nii abc1-x {person}."


def test_without_known_labels_only_what_has_a_prefix_is_hashed():
    disguise = Disguise(SALT)
    assert disguise.text("abc1 'abc1' sub-abc1") == f"abc1 'abc1' sub-{disguise.participant('abc1')}"
    assert disguise.of([("abc1", None)]).known == {("sub", "abc1")}
    assert disguise.of([("a", "b"), ("a", None)]).known == {("sub", "a"), ("ses", "b")}
    assert disguise.session(None) is None


def test_plain_values_are_hashed_wherever_they_stand():
    disguise = Disguise(SALT)
    hidden = f"sub-{disguise.participant('01')}"
    assert disguise.values({"a": ["sub-01", 1, None], "b": ("sub-01",), "c": {"d": "sub-01"}}) == {
        "a": [hidden, 1, None],
        "b": [hidden],
        "c": {"d": hidden},
    }
    assert disguise.values(2.5) == 2.5


def test_what_is_a_hash():
    assert is_hash("x0123456789ab")
    for label in ("x0123456789a", "x0123456789abc", "y0123456789ab", "x0123456789AB"):
        assert not is_hash(label)


def test_the_hash_is_twelve_digits_of_hmac_sha256():
    whole = hmac.new(SALT.encode(), b"sub-01", hashlib.sha256).hexdigest()
    assert Disguise(SALT).participant("01") == f"x{whole[:12]}"


@pytest.mark.parametrize(("salt", "refused"), [("1234567", True), ("12345678", False)])
def test_a_short_salt_can_be_guessed(salt, refused):
    if refused:
        with pytest.raises(UsageError, match="fewer than 8 signs"):
            disguise_of(salt, None)
    else:
        assert disguise_of(salt, None).salt == salt


def test_a_map_that_is_none_is_refused_and_one_with_the_same_salt_is_not(tmp_path):
    path = tmp_path / "map.json"
    assert len(disguise_of(None, path).salt) == 32
    for content in ("[]", '{"salt": 1}', "{}"):
        path.write_text(content)
        with pytest.raises(UsageError, match="no map"):
            disguise_of(None, path)
    path.unlink()
    Disguise(SALT).write_map(path)
    assert disguise_of(SALT, path).salt == disguise_of(None, path).salt == SALT


def test_the_map_has_each_label_under_its_kind_in_natural_order(tmp_path):
    disguise = Disguise(SALT).of([("10", "1"), ("9", None)])
    disguise.write_map(tmp_path / "map.json")
    kept = read_json(tmp_path / "map.json")
    assert kept["participants"] == {f"sub-{label}": f"sub-{disguise.participant(label)}" for label in ("9", "10")}
    assert list(kept["participants"]) == ["sub-9", "sub-10"]
    assert kept["sessions"] == {"ses-1": f"ses-{disguise.session('1')}"}


def test_a_new_folder_takes_any_labels(tmp_path):
    check_disguise(tmp_path, None, scored=True)
    check_disguise(tmp_path, None, scored=False)
    assert not is_anonymised(tmp_path)
    record_disguise(tmp_path, Disguise(SALT))
    assert is_anonymised(tmp_path)
    assert len(read_json(tmp_path / "logs" / "anonymised.json")["salt_check"]) == 16
    check_disguise(tmp_path, Disguise(SALT), scored=False)
    with pytest.raises(UsageError, match="another salt"):
        check_disguise(tmp_path, Disguise("some other salt"), scored=False)


def test_hashed_ids_have_their_prefix():
    disguise = Disguise(SALT)
    assert hashed_ids("01", "1", disguise) == {
        "participant_id": f"sub-{disguise.participant('01')}",
        "session_id": f"ses-{disguise.session('1')}",
    }
    assert hashed_ids("01", None, disguise)["session_id"] is None
