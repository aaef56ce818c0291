"""The Brainlife App: config.json as the platform writes it in, datasets of its types and product.json out."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bids_app import __version__
from bids_app.freesurfer.synthetic import write_subject

TASK, DATA = "0123456789abcdef01234567", "89abcdef0123456789abcdef"
BIN = Path(sys.executable).parent


@pytest.fixture
def app(repository):
    spec = importlib.util.spec_from_file_location("brainlife_app", repository / "platforms" / "brainlife" / "app.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture
def task(repository, tmp_path):
    """The App's folder as Brainlife clones it, beside a staged FreeSurfer output, with the recorded config.json."""
    folder = tmp_path / "app"
    shutil.copytree(repository / "platforms" / "brainlife", folder)
    write_subject(tmp_path / TASK / DATA / "output", {"Left-Thalamus": 5000.0}, etiv=1.5e6)
    shutil.copy(folder / "config.json.sample", folder / "config.json")
    return folder


def change(task, meta=None, **options):
    config = json.loads((task / "config.json").read_text())
    for key, value in (meta or {}).items():
        config["_inputs"][0]["meta"][key] = value
    config |= options
    (task / "config.json").write_text(json.dumps({key: value for key, value in config.items() if value is not None}))


def launch(task, path=None):
    """Run ``main`` in its folder; exit code, product.json, the messages in it."""
    path = os.pathsep.join([*([str(path)] if path else []), str(BIN), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(["./main"], cwd=task, env=environment, capture_output=True, text=True, check=False)
    product = json.loads((task / "product.json").read_text())
    said = {item["type"]: item["msg"] for item in product["brainlife"] if "msg" in item}
    return done, product, said


def test_main_names_the_image_of_this_version(repository):
    main = repository / "platforms" / "brainlife" / "main"
    assert os.access(main, os.X_OK)
    assert f"docker://normvol/normvol:{__version__}\n" in main.read_text()


def test_the_recorded_form_gives_the_scan_with_what_its_metadata_says(app, task, monkeypatch):
    monkeypatch.chdir(task)
    (scan,) = app.read_scans(json.loads((task / "config.json").read_text()))
    assert (scan.name, scan.age, scan.sex) == ("sub-9002_ses-2", "61", "F")
    assert str(scan.anat) == "sub-9002/ses-2/anat"


@pytest.mark.parametrize(
    ("meta", "options", "name", "age", "sex"),
    [
        ({"session": None}, {}, "sub-9002", "61", "F"),
        ({"subject": "sub-HCP_100", "session": "ses-0 1"}, {}, "sub-HCP100_ses-01", "61", "F"),
        ({}, {"age": 40, "sex": "male"}, "sub-9002_ses-2", "40", "male"),
        ({"age": None, "PatientAge": "045Y", "sex": "", "PatientSex": "M"}, {}, "sub-9002_ses-2", "045Y", "M"),
        ({"age": None, "sex": None}, {}, "sub-9002_ses-2", "n/a", "n/a"),
        (
            {"age": "n/a", "PatientAge": [40], "sex": {"code": 1}, "gender": "female"},
            {},
            "sub-9002_ses-2",
            "40",
            "female",
        ),
        ({"age": "61 ", "sex": 1}, {"age": "nan", "sex": None}, "sub-9002_ses-2", "61", "1"),
    ],
)
def test_labels_age_and_sex_come_from_options_or_metadata(app, task, monkeypatch, meta, options, name, age, sex):
    monkeypatch.chdir(task)
    change(task, meta, **options)
    (scan,) = app.read_scans(json.loads((task / "config.json").read_text()))
    assert (scan.name, scan.age, scan.sex) == (name, age, sex)


@pytest.mark.parametrize(
    ("meta", "options", "words"),
    [
        ({}, {"freesurfer": None}, "names no FreeSurfer output"),
        ({}, {"freesurfer": "../nowhere/output"}, "there is no folder ../nowhere/output"),
        ({"subject": "-"}, {}, 'says no "subject"'),
        ({}, {"_inputs": []}, "describes 0 of 1 inputs"),
        ({}, {"freesurfer": ""}, "names no FreeSurfer output"),
        ({}, {"freesurfer": []}, "names no FreeSurfer output"),
        ({}, {"freesurfer": 5}, "not in the form that Brainlife writes.*5"),
        ({}, {"freesurfer": [[]]}, "not in the form that Brainlife writes"),
        ({}, {"_inputs": {"a": 1}}, "not in the form that Brainlife writes"),
        ({}, {"_inputs": [{"id": "freesurfer", "meta": "x"}]}, '"meta" is "x"'),
        ({}, {"_inputs": [{"id": "freesurfer", "keys": "x"}]}, '"keys" is "x"'),
    ],
)
def test_what_cannot_be_run_is_a_sentence(app, task, monkeypatch, meta, options, words):
    monkeypatch.chdir(task)
    change(task, meta, **options)
    with pytest.raises(app.Unusable, match=words):
        app.read_scans(json.loads((task / "config.json").read_text()))


@pytest.mark.parametrize("content", [b"{", b"[1]", b"null", b"\xff"])
def test_a_config_that_is_no_json_ends_with_a_message(task, content):
    (task / "config.json").write_bytes(content)
    done, product, said = launch(task)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert said["error"] in done.stderr
    assert product["brainlife"][0]["type"] == "error"


def test_singularity_is_given_the_image_and_the_folder_of_the_inputs(task):
    fake = task.parent / "bin"
    fake.mkdir()
    (fake / "singularity").write_text(
        '#!/bin/bash\nprintf "%s\\n" "$@" > words; echo "{\\"brainlife\\": []}" > product.json\n'
    )
    (fake / "singularity").chmod(0o755)
    done, *_ = launch(task, path=fake)
    assert done.returncode == 0
    words = (task / "words").read_text().splitlines()
    assert words[:4] == ["exec", "-e", "-B", str(task.parent)]
    assert words[-2:] == ["python3", "./app.py"]


@pytest.mark.slow
def test_a_cross_sectional_output_becomes_tables_report_and_product(task):
    staged = task.parent / TASK / DATA / "output"
    before = sorted((path, path.stat().st_mtime_ns) for path in staged.rglob("*"))
    done, product, said = launch(task)
    assert done.returncode == 0, done.stderr
    with (task / "parc-stats" / "parc-stats" / "deviations.csv").open() as stream:
        rows = {row["structureID"]: row for row in csv.DictReader(stream)}
    assert len(rows) == 82
    assert rows["Left-Thalamus"]["volume_mm3"] == "5000"
    assert rows["Left-Thalamus"]["deviation"] == "infra"
    assert {row["subjectID"] for row in rows.values()} == {"9002"}
    assert [path.name for path in (task / "report" / "html").iterdir()] == ["sub-9002.html"]
    assert (task / "derivatives" / "output" / "dataset_description.json").exists()
    assert "of 82" in said["success"]
    (figure,) = [item for item in product["brainlife"] if item["type"] == "plotly"]
    assert "Left-Thalamus" in figure["data"][0]["y"]
    assert product["normvol"]["sub-9002_ses-2"]["n_regions"] == 82
    assert (task / "product.json").stat().st_size < 8_000
    assert sorted((path, path.stat().st_mtime_ns) for path in staged.rglob("*")) == before


@pytest.mark.slow
def test_a_scan_without_age_fails_and_says_where_to_write_it(task):
    change(task, {"age": None})
    done, product, said = launch(task)
    assert done.returncode == 1
    assert "no age" in said["error"]
    assert 'set "age" in the metadata of the data object or as an option of the App' in said["error"]
    assert not (task / "report").exists()
    assert product["normvol"] == {}


@pytest.mark.slow
def test_a_failed_tree_fails_with_its_reason(task):
    (task.parent / TASK / DATA / "output" / "scripts" / "recon-all.error").write_text("")
    done, _, said = launch(task)
    assert done.returncode == 1
    assert "recon-all" in said["error"]
    assert not (task / "parc-stats").exists()
