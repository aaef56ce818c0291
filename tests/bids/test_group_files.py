"""Where the tables of the group level lie."""

from __future__ import annotations

from pathlib import Path

import pytest

from bids_app.bids.columns import TITLES
from bids_app.bids.group_files import KINDS, TOP, group_file, group_files, settle, table_name, written_results
from bids_app.bids.sink import IGNORED
from bids_app.errors import InputError
from bids_app.tables import write_json


def lay(folder: Path, *names: str, text: str = "a\n1\n") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text(text)


def test_at_most_twenty_files_lie_beside_the_report():
    html = ("group.html", "group_index.html")
    wide = ("long.parquet", "scans.parquet", "deviations.parquet", "zscores.parquet", "volumes.parquet")
    without_long = [f"{name}.{kind}" for name in TOP for kind in ("tsv", "json") if (name, kind) != ("long", "tsv")]
    assert len([*html, *wide, *without_long]) <= 20
    assert set(TOP) <= set(TITLES)


def test_the_most_wanted_lie_at_the_top_and_all_others_in_the_folder(tmp_path):
    assert group_file(tmp_path, "long", ".parquet") == tmp_path / "group_long.parquet"
    assert group_file(tmp_path, "hazards") == tmp_path / "group" / "group_hazards.tsv"
    assert {"group", "group_*"} <= set(IGNORED)


def test_what_an_older_version_wrote_moves_and_replaces_what_is_there(tmp_path):
    lay(tmp_path, "group_long.tsv", "group_counts.tsv", "group_counts.json", "group_extended.parquet", "group_edss.tsv")
    write_json({"Title": "EDSS", "Sentences": []}, tmp_path / "group_edss.json")
    lay(tmp_path / "group", "group_counts.tsv", text="older\n")
    settle(tmp_path)
    settle(tmp_path)
    assert [path.name for path in sorted(tmp_path.glob("group_*"))] == ["group_long.tsv"]
    assert {table_name(path) for path in group_files(tmp_path)} == {"long", "counts", "extended", "edss"}
    assert (tmp_path / "group" / "group_counts.tsv").read_text() == "a\n1\n"
    assert list(written_results(tmp_path)) == [tmp_path / "group" / "group_edss.json"]


def test_files_of_others_stay_where_they_are(tmp_path):
    lay(tmp_path, "group_mine.tsv", "group_photo.png", "groups.tsv", "group_cut.tsv")
    (tmp_path / "group_cut.json").write_text("{")
    settle(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "group_mine.tsv",
        "group_photo.png",
        "groups.tsv",
        "group_cut.tsv",
        "group_cut.json",
    }
    assert [path.name for path in group_files(tmp_path, ".tsv")] == ["group_cut.tsv", "group_mine.tsv"]
    assert all(path.suffix in KINDS for path in group_files(tmp_path))


def test_a_folder_that_leads_out_of_the_output_is_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "group").symlink_to(tmp_path / "elsewhere")
    lay(tmp_path / "out", "group_counts.tsv")
    with pytest.raises(InputError, match="leads out of"):
        settle(tmp_path / "out")
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_file_with_the_folders_name_is_a_sentence(tmp_path):
    lay(tmp_path, "group", "group_counts.tsv")
    with pytest.raises(InputError, match="is a file, not the folder"):
        settle(tmp_path)


def test_results_are_those_with_sentences_in_either_place_by_name(tmp_path):
    write_json({"Sentences": ["a"]}, tmp_path / "group" / "group_b.json")
    write_json({"Sentences": []}, tmp_path / "group_a.json")
    write_json({"other": 1}, tmp_path / "group_c.json")
    lay(tmp_path, "group_d.json", text="[1]")
    lay(tmp_path, "group_e.json", text="damaged {")
    lay(tmp_path, "group_f.json", text='["Sentences"]')
    assert list(written_results(tmp_path)) == [tmp_path / "group_a.json", tmp_path / "group" / "group_b.json"]
    assert written_results(tmp_path / "none") == {}


def test_files_of_the_kinds_asked_for_by_name(tmp_path):
    lay(tmp_path, "group_b.tsv", "group_a.json", "group_c.txt", "other_a.tsv")
    lay(tmp_path / "group", "group_a.tsv", "group_a.parquet")
    assert [path.name for path in group_files(tmp_path)] == [
        "group_a.json",
        "group_a.parquet",
        "group_a.tsv",
        "group_b.tsv",
    ]
    assert group_files(tmp_path, ".tsv") == [tmp_path / "group" / "group_a.tsv", tmp_path / "group_b.tsv"]
    assert table_name(tmp_path / "group_counts.tsv") == "counts"
