"""The page that lists the files of the group level."""

from __future__ import annotations

import pandas as pd

from bids_app.bids.group_files import group_file
from bids_app.clinical.results import make_result, not_computed, write_result
from bids_app.reports.pages.group_index import NAME, write_group_index
from bids_app.tables import write_tsv


def test_every_table_has_a_line_and_main_tables_come_first(tmp_path):
    for name in ("zscores", "long"):
        write_tsv(pd.DataFrame({"participant_id": ["sub-1"]}), group_file(tmp_path, name))
    table = pd.DataFrame({"region": ["Left-Thalamus"], "n": [3]})
    write_result(make_result("thing", "A thing", table), tmp_path)
    write_result(not_computed("other", "Another thing", "nobody has it"), tmp_path)
    write_tsv(table, tmp_path / "figures" / "group" / "group_thing.tsv")
    text = write_group_index(tmp_path).read_text()
    assert (tmp_path / NAME).read_text() == text
    assert 0 < text.index("group_long.tsv") < text.index("group_zscores.tsv") < text.index("group_thing.tsv")
    assert ">A thing<" in text
    assert "Another thing: Not computed: nobody has it" in text
    assert "figures/" not in text


def test_a_table_without_its_dictionary_is_still_listed(tmp_path):
    write_tsv(pd.DataFrame({"a": [1]}), tmp_path / "group" / "group_mine.tsv")
    assert "group_mine.tsv" in write_group_index(tmp_path).read_text()
