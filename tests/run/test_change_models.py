import json

import pytest

from bids_app.bids.markers import CHANGE_MODEL, person_cover
from bids_app.errors import UsageError
from bids_app.normative.change_model import ChangeModel, RegionChange
from bids_app.run.change_models import folder_change_model, install_change_model

MODEL = ChangeModel(regions={"Left-Thalamus": RegionChange(0.9, 0.05)}, model="open-calibrated 1.1.0", n_people=30)


def test_the_folder_keeps_a_change_model_until_it_is_taken_away(tmp_path):
    given = str(MODEL.save(tmp_path / "given.json"))
    assert "1 regions from 30 people" in install_change_model(given, tmp_path, "open-calibrated")
    assert folder_change_model(tmp_path) == MODEL
    assert CHANGE_MODEL in install_change_model(None, tmp_path, "open-calibrated")
    install_change_model("none", tmp_path, "open-calibrated")
    assert folder_change_model(tmp_path) is None


def test_people_are_made_again_with_another_change_model(tmp_path):
    before = person_cover(tmp_path, "01")
    install_change_model(str(MODEL.save(tmp_path / "given.json")), tmp_path, "open-calibrated")
    assert person_cover(tmp_path, "01") != before


def test_a_dry_run_changes_nothing(tmp_path):
    install_change_model(str(MODEL.save(tmp_path / "given.json")), tmp_path, "open-calibrated", look_only=True)
    assert folder_change_model(tmp_path) is None


def test_z_of_another_model_are_refused_and_a_joint_model_is_not(tmp_path):
    given = str(MODEL.save(tmp_path / "given.json"))
    with pytest.raises(UsageError, match=r"was trained on z of open-calibrated 1\.1\.0, and this run scores with mine"):
        install_change_model(given, tmp_path, "mine")
    assert install_change_model(given, tmp_path, "open-calibrated+open-sums")


def test_what_is_no_change_model_is_refused(tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        install_change_model(str(tmp_path / "nothing.json"), tmp_path, "open-calibrated")
    (tmp_path / "other.json").write_text(json.dumps({"a": 1}))
    with pytest.raises(UsageError, match="is no change model"):
        install_change_model(str(tmp_path / "other.json"), tmp_path, "open-calibrated")
