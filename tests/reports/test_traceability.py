import re
from pathlib import Path

import pytest

from bids_app.reports.pages.participant import write_participant_report
from bids_app.tables import read_table, write_tsv
from tests.reports import dataset
from tests.reports.traced import Files, agrees, read_report

STATIC = {"1.96"}


@pytest.mark.parametrize(("name", "least"), [("sub-01", 3000), ("sub-02", 800), ("group", 900)])
def test_every_value_stands_in_its_file(derivatives: Path, name: str, least: int) -> None:
    files, shown = Files(derivatives), read_report(derivatives / f"{name}.html").values
    wrong = [(value, files.value(value)) for value in shown if not agrees(value.text, files.value(value), value.scale)]
    assert wrong == []
    assert len(shown) >= least


@pytest.mark.parametrize("name", ["sub-01", "sub-02", "group"])
def test_no_number_is_shown_without_its_file(derivatives: Path, name: str) -> None:
    loose = read_report(derivatives / f"{name}.html").loose
    decimals = [number for text in loose for number in re.findall(r"\d+\.\d+", text)]
    assert set(decimals) <= STATIC


def test_a_changed_table_changes_the_report(tmp_path: Path) -> None:
    dataset.write_root(tmp_path)
    dataset.write_person(tmp_path, "05", (None,))
    before = write_participant_report(tmp_path, "05").read_text()
    path = tmp_path / "sub-05/anat/sub-05_desc-deviations_morph.tsv"
    table = read_table(path)
    table.loc[0, "z"] = -4.567
    write_tsv(table, path)
    after = write_participant_report(tmp_path, "sub-05").read_text()
    assert "−4.57" in after
    assert "−4.57" not in before


def test_rounding_is_the_only_difference_that_agrees() -> None:
    assert agrees("−2.31", -2.3149)
    assert not agrees("−2.31", -2.32)
    assert agrees("12 345", 12345.4)
    assert not agrees("12 345", 12346.4)
    assert agrees("< 0.1", 0.05)
    assert not agrees("< 0.1", 0.2)
    assert agrees("25.0", 0.25, scale=100)
    assert agrees("–", None)
