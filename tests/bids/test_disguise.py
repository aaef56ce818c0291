"""Labels become salted hashes, the same for the same label and salt, in text too."""

from __future__ import annotations

import pytest

from bids_app.bids.disguise import Disguise, check_disguise, disguise_of, is_hash, record_disguise
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
    path = tmp_path / "keys" / "map.json"
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
