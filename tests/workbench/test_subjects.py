"""``normvol-model table``: a FreeSurfer folder as one table."""

from __future__ import annotations

import pytest

from bids_app.cli import exitcodes
from bids_app.cli.model import main
from bids_app.freesurfer.bulk import ID_COLUMNS
from bids_app.freesurfer.synthetic import write_subject
from bids_app.freesurfer.volumes import extract_volumes
from bids_app.regions import ETIV, measured_names
from bids_app.tables import read_json, read_table


@pytest.fixture
def folder(tmp_path):
    for number, name in enumerate(("sub-2_ses-1", "sub-10", "bert", "sub-03/ses-1")):
        write_subject(tmp_path / "fs" / name, {"Left-Thalamus": 7000.0 + number}, etiv=1.5e6)
    (tmp_path / "fs" / "fsaverage" / "stats").mkdir(parents=True)
    (tmp_path / "fs" / "logs").mkdir()
    return tmp_path / "fs"


def table_of(folder, *options):
    code = main(["table", str(folder), "-o", str(folder.parent / "v.tsv"), "--nprocs", "1", *options])
    return code, read_table(folder.parent / "v.tsv", text=["participant_id", "session_id"])


def test_every_subject_is_a_row_with_identifiers_and_every_measure(folder, capsys):
    code, table = table_of(folder)
    assert code == exitcodes.OK
    assert list(table.columns) == [*ID_COLUMNS, *measured_names()]
    assert table["participant_id"].tolist() == ["bert", "sub-2", "sub-03", "sub-10"]
    assert table["session_id"].fillna("").tolist() == ["", "ses-1", "ses-1", ""]
    assert table["subject"].tolist() == ["bert", "sub-2_ses-1", "sub-03/ses-1", "sub-10"]
    assert table["Left-Thalamus"].tolist() == [7002.0, 7000.0, 7003.0, 7001.0]
    assert (table[ETIV] == 1.5e6).all()
    volumes = extract_volumes(folder / "bert").table.set_index("region")
    assert table.loc[0, "lh_insula_thickness"] == volumes.loc["lh_insula_volume", "thickness_mm"]
    described = read_json(folder.parent / "v.json")
    assert set(described) == set(table.columns)
    assert described["lh_insula_thickness"]["Units"] == "mm"
    said = capsys.readouterr().err
    assert "passed over: logs" in said
    assert "4 of 4 subjects read" in said


def test_a_failed_tree_is_named_keeps_its_row_and_gives_exit_code_4(folder, capsys):
    (folder / "bert" / "stats" / "rh.aparc.stats").unlink()
    (folder / "sub-99").mkdir()
    code, table = table_of(folder)
    assert code == exitcodes.OMISSIONS
    said = capsys.readouterr().err
    assert "not read: bert" in said
    assert "not read: sub-99" in said
    assert "3 of 5 subjects read" in said
    problems = table.set_index("subject")["problem"].dropna()
    assert set(problems.index) == {"bert", "sub-99"}
    assert table.set_index("subject").loc["bert", list(measured_names())].isna().all()


def test_the_stream_is_chosen_and_the_other_said(folder, capsys):
    write_subject(folder / "sub-2_ses-1.long.sub-2", {"Left-Thalamus": 7100.0}, etiv=1.5e6)
    base = write_subject(folder / "sub-2", {"Left-Thalamus": 7200.0}, etiv=1.5e6)
    (base / "base-tps").touch()
    _, table = table_of(folder)
    said = capsys.readouterr().err
    assert "1 base(s)" in said
    assert "1 longitudinal time point(s)" in said
    assert 7100.0 not in set(table["Left-Thalamus"])
    _, table = table_of(folder, "--longitudinal")
    assert table[["participant_id", "session_id", "stream"]].to_numpy().tolist() == [["sub-2", "ses-1", "long"]]


def test_several_versions_and_failed_quality_are_said(folder, capsys):
    write_subject(folder / "sub-11", {"Left-Thalamus": 7000.0}, etiv=3.5e6, fs_version="6.0.0")
    code, table = table_of(folder)
    said = capsys.readouterr().err
    assert code == exitcodes.OK
    assert "several programs or versions" in said
    assert "scans that failed quality: sub-11" in said
    assert table.set_index("subject").loc["sub-11", "quality"] == "fail"


@pytest.mark.parametrize(
    ("place", "output", "code", "words"),
    [
        ("nowhere", "v.tsv", exitcodes.USAGE, "does not exist"),
        ("fs/bert", "v.tsv", exitcodes.USAGE, "directory of one subject"),
        ("fs/logs", "v.tsv", exitcodes.INPUT, "no FreeSurfer subject"),
        ("fs", "v.xlsx", exitcodes.USAGE, r"not named \.tsv"),
    ],
)
def test_what_is_no_subjects_directory_is_refused_in_words(folder, capsys, place, output, code, words):
    assert main(["table", str(folder.parent / place), "-o", str(folder.parent / output)]) == code
    assert words.replace("\\", "") in capsys.readouterr().err


def test_the_table_goes_straight_to_score(folder, tmp_path):
    _, table = table_of(folder)
    table.assign(age=40, sex="F").to_csv(tmp_path / "t.tsv", sep="\t", index=False)
    assert main(["score", str(tmp_path / "t.tsv"), "-o", str(tmp_path / "z.tsv")]) == exitcodes.OK
    assert read_table(tmp_path / "z.tsv")["Left-Thalamus"].notna().all()
