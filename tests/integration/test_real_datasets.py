"""The main job on real people: ds004604, single FreeSurfer subjects of many versions, bids_mini."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from bids_app.bids.status import read_statuses
from bids_app.cli import exitcodes
from bids_app.cli.main import main
from bids_app.regions import reference_regions
from bids_app.tables import read_json, read_table

pytestmark = [pytest.mark.slow, pytest.mark.shared]

# BIDS label -> subject directory below shared/data/freesurfer, FreeSurfer version it must report, age, sex
SINGLES = {
    "bert": ("bert_fs7.2.0-beta/bert", "7", 30, "M"),
    "spynoza": ("spynoza_sub-0020_fs6.0.0/sub-0020", "6.0", 25, "F"),
    "brainload": ("brainload_subject1_fs6.0/subject1", "6.0", 40, "M"),
    "nfmrix": ("nfmrix_sub-01_fs6.0.1/sub-01", "6.0", 33, "F"),
    "dasb": ("nimh-dasb_sub-01_fs7.4.1/sub-01", "7.4.1", 28, "F"),
    "fabian": ("fphammerle_fs6.0_fs7.0.0/fabian", "", 30, "M"),
    "soichi": ("fphammerle_fs6.0_fs7.0.0/soichi", "", 30, "M"),
}


def write_bids(folder: Path, people: dict[str, tuple[float, str]]) -> Path:
    folder.mkdir()
    (folder / "dataset_description.json").write_text(json.dumps({"Name": "test", "BIDSVersion": "1.9.0"}))
    rows = "".join(f"sub-{label}\t{age}\t{sex}\n" for label, (age, sex) in people.items())
    (folder / "participants.tsv").write_text("participant_id\tage\tsex\n" + rows)
    for label in people:
        (folder / f"sub-{label}" / "anat").mkdir(parents=True)
    return folder


@pytest.fixture(scope="module")
def ds004604(shared, tmp_path_factory):
    """Exit code and output folder of the participant level on ds004604, then of the group level."""
    data, output = shared / "data" / "ds004604", tmp_path_factory.mktemp("ds004604") / "out"
    subjects = str(data / "derivatives" / "freesurfer")
    code = main([str(data), str(output), "participant", "--fs-subjects-dir", subjects])
    return code, main([str(data), str(output), "group"]), output


def test_40_people_are_scored_and_10_named_with_their_reason(ds004604):
    code, _, output = ds004604
    assert code == exitcodes.OMISSIONS
    statuses = read_statuses(output)
    assert (statuses["status"] == "scored").sum() == 40
    omitted = statuses[statuses["status"] == "omitted"]
    assert len(omitted) == 10
    assert omitted["reason"].notna().all()
    assert omitted["remedy"].notna().all()


def test_every_scored_person_has_all_82_regions(ds004604):
    output = ds004604[2]
    tables = sorted(output.glob("sub-*/anat/*_desc-deviations_morph.tsv"))
    assert len(tables) == 40
    for path in tables:
        table = read_table(path)
        assert list(table["region"]) == list(reference_regions())
        assert table["z"].notna().all()


def test_counts_agree_between_tables(ds004604):
    output = ds004604[2]
    group = read_table(output / "group_deviations.tsv").set_index("participant_id")
    for path in sorted(output.glob("sub-*/anat/*_desc-deviations_morph.tsv")):
        person = path.name.split("_")[0]
        table = read_table(path)
        assert group.loc[person, "n_infra"] == (table["deviation"] == "infra").sum()
        assert group.loc[person, "n_supra"] == (table["z"] >= 1.96).sum()


def test_group_lists_who_is_not_in(ds004604):
    _, code, output = ds004604
    assert code == exitcodes.OMISSIONS
    assert len(read_table(output / "group_zscores.tsv")) == 40
    inclusion = read_table(output / "group_inclusion.tsv")
    assert list(inclusion.loc[inclusion["status"] != "scored", "participant_id"]) == [
        f"sub-{number:03d}" for number in range(41, 51)
    ]
    assert "sub-041" in (output / "group.html").read_text()


def test_second_run_has_nothing_to_do_and_changes_no_byte(ds004604, shared, capsys):
    output = ds004604[2]
    data = shared / "data" / "ds004604"
    before = {path: path.read_bytes() for path in output.rglob("*.tsv")}
    times = {path: path.stat().st_mtime_ns for path in output.glob("sub-*/anat/*")}
    code = main([str(data), str(output), "participant", "--fs-subjects-dir", str(data / "derivatives/freesurfer")])
    assert code == exitcodes.OMISSIONS
    assert "0 to score, 40 up to date" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert {path: path.read_bytes() for path in before} == before


def test_scoring_again_gives_the_same_bytes(ds004604, shared, tmp_path):
    output = ds004604[2]
    data = shared / "data" / "ds004604"
    main(
        [
            str(data),
            str(tmp_path / "again"),
            "participant",
            "--participant-label",
            "001",
            "017",
            "--fs-subjects-dir",
            str(data / "derivatives" / "freesurfer"),
        ]
    )
    again = sorted((tmp_path / "again").glob("sub-*/anat/*.tsv"))
    assert again
    for path in again:
        assert path.read_bytes() == (output / path.relative_to(tmp_path / "again")).read_bytes()


@pytest.fixture(scope="module")
def singles(shared, tmp_path_factory):
    """Single real subjects of five FreeSurfer versions, laid out as one BIDS dataset."""
    folder = tmp_path_factory.mktemp("singles")
    subjects = folder / "subjects"
    subjects.mkdir()
    for label, (place, *_rest) in SINGLES.items():
        (subjects / f"sub-{label}").symlink_to(shared / "data" / "freesurfer" / place)
    bids = write_bids(folder / "bids", {label: (age, sex) for label, (_, _, age, sex) in SINGLES.items()})
    code = main([str(bids), str(folder / "out"), "participant", "--fs-subjects-dir", str(subjects)])
    return code, folder / "out"


def test_every_freesurfer_version_is_scored(singles):
    code, output = singles
    statuses = read_statuses(output).set_index("participant_id")
    # fabian's public directory has no aseg.stats
    assert set(statuses.index[statuses["status"] != "scored"]) == {"sub-fabian"}, statuses["reason"].to_string()
    assert "aseg.stats" in statuses.loc["sub-fabian", "reason"]
    assert code == exitcodes.OMISSIONS


@pytest.mark.parametrize("label", [label for label in SINGLES if label != "fabian"])
def test_the_version_is_the_one_that_made_it(singles, label):
    summary = read_json(singles[1] / f"sub-{label}" / "anat" / f"sub-{label}_desc-summary_morph.json")
    assert (summary["freesurfer"]["version"] or "").startswith(SINGLES[label][1])
    assert summary["counts"]["n_regions"] == 82


def test_bids_mini_says_what_is_missing(shared, tmp_path):
    """Images but no FreeSurfer output: nobody can be scored, everybody is named."""
    code = main(
        [str(shared / "data" / "formats" / "bids_mini"), str(tmp_path / "out"), "participant", "--recon", "ingest"]
    )
    statuses = read_statuses(tmp_path / "out")
    assert code == exitcodes.OMISSIONS
    assert sorted(zip(statuses["participant_id"], statuses["session_id"].fillna("-"), strict=True)) == [
        ("sub-01", "ses-01"),
        ("sub-01", "ses-02"),
        ("sub-02", "-"),
    ]
    assert statuses["reason"].str.contains("no FreeSurfer output").all()


def test_longitudinal_stream_of_real_format(shared, tmp_path):
    data = shared / "data" / "formats" / "longitudinal"
    people = read_table(data / "participants_long.tsv")
    bids = tmp_path / "bids"
    write_bids(bids, {})
    for row in people.to_dict("records"):
        (bids / row["participant_id"] / row["session_id"] / "anat").mkdir(parents=True)
    code = main(
        [
            str(bids),
            str(tmp_path / "out"),
            "participant",
            "--fs-subjects-dir",
            str(data),
            "--longitudinal",
            "--participants-file",
            str(data / "participants_long.tsv"),
        ]
    )
    assert code == exitcodes.OK
    change = read_table(tmp_path / "out" / "sub-L01" / "anat" / "sub-L01_desc-change_morph.tsv")
    assert set(change["session_from"]) == {"ses-01", "ses-02"}
    summary = read_json(tmp_path / "out/sub-L01/ses-01/anat/sub-L01_ses-01_desc-summary_morph.json")
    assert summary["freesurfer"]["stream"] == "long"
    assert isinstance(pd.to_numeric(change["z_change"]).mean(), float)
