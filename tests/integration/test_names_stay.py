"""No name out of a file leads out of the output folder, and nothing but the output folder is written."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys

import pytest

from bids_app.bids.status import read_statuses
from bids_app.cli import exitcodes
from bids_app.cli.main import main
from bids_app.errors import ModelError
from bids_app.normative.documents import digest
from bids_app.normative.registry import load_model

EVIL = [
    "x/../../../../bids/dataset_description",
    "..",
    "\u00b2",
    "1" * 300,
    "a\\b",
    "a\x1b[2Jb",
    "x/../../y",
    "9" * 5000,
    "a\0b",
]


def run(bids, output, *more):
    return main([str(bids), str(output), "participant", "--nprocs", "1", "--recon", "ingest", *more])


def digests(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path: (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest()) for path in files}


def test_people_with_impossible_labels_are_left_out_and_the_others_go_on(bids, tmp_path, capsys):
    table = bids / "participants.tsv"
    table.write_text(table.read_text() + "".join(f"sub-{label}\t40\tF\n" for label in EVIL))
    os.makedirs(os.fsencode(bids) + b"/sub-\xe9/anat")
    before = digests(bids)
    assert run(bids, tmp_path / "out") == exitcodes.OMISSIONS
    assert digests(bids) == before
    statuses = read_statuses(tmp_path / "out")
    assert sorted(statuses.loc[statuses["status"] == "scored", "participant_id"]) == ["sub-01", "sub-02"]
    left_out = statuses[statuses["status"] == "omitted"]
    assert sorted(left_out["participant_id"]) == sorted(f"sub-{label}" for label in [*EVIL, "\\udce9"])
    assert left_out["reason"].str.contains("is no BIDS label").all()
    assert "\x1b" not in capsys.readouterr().err
    outside = [path for path in tmp_path.rglob("*") if path.is_file() and path.parents[-3].name not in ("bids", "out")]
    assert {path.relative_to(tmp_path).parts[0] for path in outside} <= {"bids", "out"}


def test_a_dataset_whose_path_is_no_text_is_a_sentence(bids, tmp_path, capsys):
    place = os.fsencode(tmp_path) + b"/da\xe9ta"
    os.rename(bids, place)
    assert run(os.fsdecode(place), tmp_path / "out") == exitcodes.USAGE
    assert "is not in UTF-8" in capsys.readouterr().err


def test_a_work_folder_that_others_can_write_is_refused(bids, tmp_path, capsys):
    (tmp_path / "work").mkdir()
    (tmp_path / "work").chmod(0o777)
    assert run(bids, tmp_path / "out", "-w", str(tmp_path / "work")) == exitcodes.USAGE
    assert "can be written by others" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_model_named_out_of_the_folder_is_refused(bids, tmp_path, capsys):
    model = _model_file()
    model["card"]["name"] = "x/../../y"
    model["digest"] = digest({key: value for key, value in model.items() if key != "digest"})
    path = tmp_path / "model.json"
    path.write_text(json.dumps(model))
    assert run(bids, tmp_path / "out", "--model", str(path)) == exitcodes.INPUT
    assert "cannot be the name of a file" in capsys.readouterr().err
    assert not (tmp_path / "y.json").exists()


def _model_file():
    from importlib.resources import files

    return json.loads((files("bids_app.data") / "models" / "open-calibrated.json").read_text("utf-8"))


@pytest.mark.parametrize("place", ["sub-01", "logs", "logs/done", "sub-01/figures"])
def test_a_link_in_the_output_folder_that_leads_out_is_refused(bids, tmp_path, place, capsys):
    (tmp_path / "precious").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "out" / place).symlink_to(tmp_path / "precious")
    refused = exitcodes.FAILED if place.startswith("sub-01/") else exitcodes.INPUT  # that person fails
    assert run(bids, tmp_path / "out") == refused
    assert "leads out of" in capsys.readouterr().err
    assert not [path for path in (tmp_path / "precious").rglob("*") if path.is_file()]


@pytest.mark.parametrize("place", ["logs", "figures"])
def test_a_link_that_leads_out_is_refused_by_the_group_level(bids, tmp_path, place, capsys):
    assert run(bids, tmp_path / "out") == exitcodes.OK
    if (tmp_path / "out" / place).exists():
        (tmp_path / "out" / place).rename(tmp_path / "elsewhere")
    (tmp_path / "precious").mkdir()
    (tmp_path / "out" / place).symlink_to(tmp_path / "precious")
    assert main([str(bids), str(tmp_path / "out"), "group"]) == exitcodes.INPUT
    assert "leads out of" in capsys.readouterr().err
    assert not [path for path in (tmp_path / "precious").rglob("*") if path.is_file()]


WATCHED = """
import os, sys
from bids_app.cli.main import main

def watch(event, arguments):
    if event == "open":
        path, mode, flags = arguments
        writing = (isinstance(mode, str) and set(mode) & set("wax+")) or (flags or 0) & (os.O_WRONLY | os.O_RDWR)
        names = [path] if writing else []
    elif event in ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.truncate", "os.chmod"):
        names = arguments[:2]
    else:
        return
    for name in names:
        place = os.path.realpath(os.fsdecode(name)) if isinstance(name, (str, bytes, os.PathLike)) else ""
        if place.startswith(tuple(sys.argv[1].split(":"))):
            with open(os.environ["SEEN"], "a") as stream:
                stream.write(f"{event} {place}\\n")

sys.addaudithook(watch)
sys.exit(max(main([*sys.argv[2:4], "participant", "--nprocs", "2", "--model", sys.argv[4]]),
             main([*sys.argv[2:4], "group", "--analysis", "auto", "--model", sys.argv[4]])))
"""


@pytest.mark.slow
def test_raw_data_trees_and_models_are_never_opened_for_writing(bids, tmp_path):
    (tmp_path / "models").mkdir()
    model = tmp_path / "models" / "mine.json"
    model.write_text(json.dumps(_model_file()))
    seen = tmp_path / "seen"
    watched = f"{os.path.realpath(bids)}{os.sep}:{os.path.realpath(model.parent)}{os.sep}"
    command = [sys.executable, "-c", WATCHED, watched, str(bids), str(tmp_path / "out"), str(model)]
    done = subprocess.run(command, env={**os.environ, "SEEN": str(seen)}, capture_output=True, text=True, check=False)
    assert done.returncode == exitcodes.OK, done.stderr
    assert not seen.exists(), seen.read_text()


def test_a_model_is_still_loaded_by_its_path(tmp_path):
    path = tmp_path / "model.json"
    path.write_text(json.dumps(_model_file()))
    assert load_model(str(path)).card.name == "open-calibrated"
    with pytest.raises(ModelError):
        load_model(str(tmp_path / "absent.json"))
