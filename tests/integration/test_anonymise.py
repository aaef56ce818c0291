"""``--anonymise``: no label of the data, and no date of a visit, in anything that is written."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from bids_app.bids.disguise import Disguise
from bids_app.cli import exitcodes, status
from bids_app.cli.main import main
from bids_app.freesurfer.synthetic import write_subject
from bids_app.tables import read_json, read_table

pytestmark = pytest.mark.slow
PEOPLE = ("Smith7", "042", "jane", "Q1", "nobody")
VISITS = ("20190312", "followup")


@pytest.fixture
def study(tmp_path):
    """Four people with two visits, labels and dates that tell, and one without a tree."""
    bids = tmp_path / "bids"
    bids.mkdir()
    (bids / "dataset_description.json").write_text(json.dumps({"Name": "test", "BIDSVersion": "1.9.0"}))
    rows = ["participant_id\tsex\tgroup\tsite"]
    for number, label in enumerate(PEOPLE):
        rows.append(f"sub-{label}\t{'FM'[number % 2]}\t{['patient', 'control'][number % 2]}\tA")
        own = bids / f"sub-{label}"
        for visit in VISITS:
            anat = own / f"ses-{visit}" / "anat"
            anat.mkdir(parents=True)
            (anat / f"sub-{label}_ses-{visit}_T1w.nii.gz").write_bytes(b"image")
            if label != "nobody":
                tree = bids / f"derivatives/freesurfer/sub-{label}_ses-{visit}"
                write_subject(tree, {"Left-Thalamus": 7000.0 - number}, etiv=1.5e6)
        (own / f"sub-{label}_sessions.tsv").write_text(
            f"session_id\tacq_time\tage\tedss\nses-{VISITS[0]}\t2019-03-12T10:00:00\t{30 + number}\t{number}\n"
            f"ses-{VISITS[1]}\t2021-03-12T10:00:00\t{32 + number}\t{number + 1}\n"
        )
    (bids / "participants.tsv").write_text("\n".join(rows) + "\n")
    return bids


def run(bids, output, level, *more):
    return main([str(bids), str(output), level, "--nprocs", "1", *more])


def told(output: Path) -> list[str]:
    """Names and contents of files that give somebody away."""
    bare = r"Smith7|jane|20190312|2019-03|2021-03|sub-042|ses-followup|sub-Q1|sub-nobody"
    pattern = re.compile(bare.encode())
    found = []
    for path in sorted(output.rglob("*")):
        name = path.relative_to(output).as_posix()
        content = path.read_bytes() if path.is_file() else b""
        found += [name] if pattern.search(name.encode()) or pattern.search(content) else []
    return found


@pytest.mark.parametrize("level", ["participant", "group"])
def test_nothing_that_is_written_names_a_person_a_visit_or_a_date(study, tmp_path, level, capsys):
    output, kept = tmp_path / "out", tmp_path / "map.json"
    options = ("--anonymise-map", str(kept), "--adapt-controls", 'participant_id == "sub-jane"')
    assert run(study, output, "participant", *options) == exitcodes.OMISSIONS
    if level == "group":
        assert run(study, output, "group", "--analysis", "auto", "--anonymise-map", str(kept)) == exitcodes.OMISSIONS
        scans = read_table(output / "group_scans.tsv")
        assert sorted(scans["edss"].dropna()) == [0, 1, 1, 2, 2, 3, 3, 4]
    assert told(output) == []
    assert not re.search("Smith7|sub-042|20190312", capsys.readouterr().err)
    assert kept.stat().st_mode & 0o777 == 0o600
    people = read_json(kept)["participants"]
    assert sorted(people) == sorted(f"sub-{label}" for label in PEOPLE)
    assert {path.name for path in output.glob("sub-*") if path.is_dir()} >= {people["sub-jane"], people["sub-042"]}


def test_a_second_run_with_the_map_does_nothing_and_without_it_is_refused(study, tmp_path, capsys):
    output, kept = tmp_path / "out", tmp_path / "map.json"
    assert run(study, output, "participant", "--anonymise-map", str(kept)) == exitcodes.OMISSIONS
    capsys.readouterr()
    assert run(study, output, "participant", "--anonymise-map", str(kept)) == exitcodes.OMISSIONS
    assert "0 to score, 8 up to date" in capsys.readouterr().err
    assert run(study, output, "participant", "--anonymise") == exitcodes.USAGE
    assert "another salt" in capsys.readouterr().err
    assert run(study, output, "participant") == exitcodes.USAGE
    assert "give --anonymise" in capsys.readouterr().err
    assert status.main([str(output), "--bids", str(study)]) == exitcodes.USAGE
    assert run(study, output, "participant", "--reports-only") == exitcodes.OK
    assert told(output) == []


def test_without_map_and_salt_nobody_can_tell_and_the_group_level_says_so(study, tmp_path, capsys):
    output = tmp_path / "out"
    assert run(study, output, "participant", "--anonymise") == exitcodes.OMISSIONS
    capsys.readouterr()
    assert run(study, output, "group", "--analysis", "auto", "--anonymise") == exitcodes.OMISSIONS
    assert "--anonymise-map" in capsys.readouterr().err
    assert told(output) == []
    assert set(read_table(output / "group_scans.tsv")["group"]) == {"patient", "control"}


def test_a_salt_gives_the_same_labels_in_every_folder(study, tmp_path):
    names = []
    for folder in ("a", "b"):
        assert run(study, tmp_path / folder, "participant", "--anonymise-salt", "a long secret") == exitcodes.OMISSIONS
        names.append(sorted(path.name for path in (tmp_path / folder).glob("sub-*")))
    assert names[0] == names[1]
    assert f"sub-{Disguise('a long secret').participant('jane')}" in names[0]


def test_visit_dates_are_years_since_the_first_without_anonymise_too(study, tmp_path):
    output = tmp_path / "out"
    assert run(study, output, "participant") == exitcodes.OMISSIONS
    assert run(study, output, "group", "--analysis", "auto") == exitcodes.OMISSIONS
    held = [path for path in output.rglob("*") if path.is_file() and re.search(rb"20(19|21)-03", path.read_bytes())]
    assert held == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--anonymise", "--recon", "run"), "recon-all"),
        (("--anonymise-salt", "short"), "can be guessed"),
        (("--anonymise-map", "{out}/map.json"), "shared"),
        (("--anonymise-map", "{bids}/participants.tsv"), "shared"),
    ],
)
def test_what_would_give_labels_away_is_refused(study, tmp_path, options, words, capsys):
    given = [text.format(out=tmp_path / "out", bids=study) for text in options]
    assert run(study, tmp_path / "out", "participant", *given) == exitcodes.USAGE
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
