from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bids_app.bids.group_files import group_file, group_files
from bids_app.clinical.results import not_computed, write_result
from bids_app.errors import InputError
from bids_app.reports.pages.group import write_group_report
from bids_app.tables import read_json, read_table, write_json, write_tsv
from tests.reports import dataset
from tests.reports.traced import Reader

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    dataset.write_root(tmp_path)
    dataset.write_group(tmp_path, 12)
    return tmp_path


def test_the_left_out_are_named_with_reason_and_remedy(derivatives: Path) -> None:
    page = (derivatives / "group.html").read_text()
    for words in ("sub-902", "age is missing in participants.tsv", "add the age and run again"):
        assert words in page


def test_scans_left_out_for_the_same_reason_stand_together(root: Path) -> None:
    table = read_table(root / "group_inclusion.tsv")
    last = table.iloc[[-1]]
    write_tsv(pd.concat([table, last.assign(participant_id="sub-904")]), root / "group_inclusion.tsv")
    page = write_group_report(root, figure_formats=("svg",)).read_text()
    row = page[page.index("sub-903") :]
    assert row.index("sub-904") < row.index("restore the file")
    assert page.count("restore the file") == 1


def test_people_are_linked_to_the_reports_that_exist(root: Path) -> None:
    (root / "sub-901.html").write_text("a report")
    page = write_group_report(root, figure_formats=("svg",)).read_text()
    assert '<a href="sub-901.html">' in page
    assert '<a href="sub-902.html">' not in page


def test_every_table_is_linked(derivatives: Path) -> None:
    page = (derivatives / "group.html").read_text()
    for path in group_files(derivatives, ".tsv"):
        assert f'href="{path.relative_to(derivatives).as_posix()}"' in page


def test_every_kind_of_figure_is_drawn_and_written(derivatives: Path) -> None:
    names = {path.name for path in (derivatives / "figures").iterdir()}
    assert {
        f"group_{name}.svg" for name in ("associations", "zdifference", "survival", "matching", "trajectories")
    } <= names
    assert {"group_counts_infra.svg", "group_heatmap.png", "group_prevalence_patient_infra.svg"} <= names
    assert "could not be drawn" not in (derivatives / "group.html").read_text()


def test_a_figure_that_cannot_be_drawn_is_said_and_does_not_stop_the_report(root: Path) -> None:
    content = read_json(root / "group" / "group_survival.json")
    content["Figure"]["time"] = "no_such_column"
    write_json(content, root / "group" / "group_survival.json")
    page = write_group_report(root, figure_formats=("svg",)).read_text()
    assert "could not be drawn from group/group_survival.tsv" in page
    assert "EDSS over time" in page


def test_analyses_that_were_not_computed_stand_together_with_their_reasons(root: Path) -> None:
    for name in ("relapse", "progression"):
        write_result(not_computed(name, f"Time to {name}", f"no column of {name}."), root)
    page = write_group_report(root, figure_formats=("svg",)).read_text()
    listed = page[page.index('<article class="analysis" id="not-computed">') :]
    assert page.count("<h3>Not computed</h3>") == 1
    for name in ("relapse", "progression"):
        assert f'data-column="reason">no column of {name}.<' in listed
        assert f"<h3>Time to {name}</h3>" not in page
    Reader().feed(page)


def test_drawings_of_an_earlier_report_are_removed(root: Path) -> None:
    write_group_report(root, figure_formats=("svg",))
    figure = root / "figures" / "group_associations.svg"
    other = root / "figures" / "brain.svg"
    other.write_text("not ours")
    assert figure.exists()
    for suffix in (".tsv", ".json"):
        group_file(root, "associations", suffix).unlink()
    write_group_report(root, figure_formats=("svg",))
    assert not figure.exists()
    assert other.exists()


def test_a_click_is_promised_only_where_there_are_reports(root: Path) -> None:
    assert "opens the person's report" not in write_group_report(root, figure_formats=("svg",)).read_text()
    (root / "sub-901.html").write_text("a report")
    assert "opens the person's report" in write_group_report(root, figure_formats=("svg",)).read_text()


def test_the_shift_of_every_scanner_is_mapped(root: Path) -> None:
    page = write_group_report(root, figure_formats=("svg",)).read_text()
    assert (root / "figures" / "group_adaptation_north.svg").exists()
    assert "<strong>south.a:</strong>" in page
    assert 'data-key="levels.south.a.n_scans">9<' in page


def test_a_table_of_many_rows_is_linked_instead_of_shown(root: Path) -> None:
    table = read_table(root / "group" / "group_associations.tsv")
    write_tsv(table.loc[table.index.repeat(20)], root / "group" / "group_associations.tsv")
    page = write_group_report(root, figure_formats=("svg",)).read_text()
    assert "too many rows to show here" in page
    assert len(page) < 1_500_000


def test_text_from_files_is_escaped(root: Path) -> None:
    table = read_table(root / "group_deviations.tsv")
    table["group"] = np.where(table["group"] == "patient", HOSTILE, table["group"])
    write_tsv(table, root / "group_deviations.tsv")
    prevalence = read_table(root / "group" / "group_prevalence.tsv").replace("patient", HOSTILE)
    write_tsv(prevalence, root / "group" / "group_prevalence.tsv")
    content = read_json(root / "group" / "group_survival.json")
    content["Title"] = content["Sentences"][0] = content["Methods"] = HOSTILE
    write_json(content, root / "group" / "group_survival.json")
    survival = read_table(root / "group" / "group_survival.tsv").replace("5 or more", HOSTILE)
    write_tsv(survival, root / "group" / "group_survival.tsv")
    page = write_group_report(root, figure_formats=("svg",)).read_text()
    assert HOSTILE not in page
    assert "&lt;img src=x" in page
    for path in (root / "figures").glob("*.svg"):
        assert "<img" not in path.read_text()


def test_the_report_needs_no_other_table_than_the_scans(tmp_path: Path) -> None:
    dataset.write_group(tmp_path, 6)
    for path in group_files(tmp_path):
        if path.name != "group_deviations.tsv":
            path.unlink()
    assert "Number of deviations" in write_group_report(tmp_path, figure_formats=("svg",)).read_text()


def test_one_group_and_one_person_are_enough(tmp_path: Path) -> None:
    dataset.write_group(tmp_path, 1)
    assert write_group_report(tmp_path, figure_formats=("svg",)).stat().st_size > 10_000


def test_scans_without_sessions_and_without_group_are_shown(root: Path) -> None:
    for name in ("deviations", "zscores"):
        table = read_table(root / f"group_{name}.tsv").assign(session_id=np.nan).drop(columns="group", errors="ignore")
        write_tsv(table, root / f"group_{name}.tsv")
    page = write_group_report(root, figure_formats=("svg",)).read_text()
    assert "all scans" in page
    assert "nan" not in page


def test_an_empty_dataset_is_an_error_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="run the group level first"):
        write_group_report(tmp_path, figure_formats=("svg",))


def test_two_runs_write_the_same_bytes(root: Path) -> None:
    first = write_group_report(root, figure_formats=("svg",)).read_bytes()
    assert write_group_report(root, figure_formats=("svg",)).read_bytes() == first


def test_a_strip_of_very_many_scans_shows_their_spread_and_the_furthest_outliers(root: Path) -> None:
    n = 5_000
    values = np.linspace(0, 10, n)
    values[:400] = np.linspace(20, 60, 400)
    table = pd.DataFrame({"participant_id": [f"sub-{i}" for i in range(n)], "session_id": None, "metric": "euler"})
    table = table.assign(value=values, low=-1.0, high=11.0, outlier=values > 11, verdict="pass")
    write_tsv(table, root / "group" / "group_quality.tsv")
    page = write_group_report(root, figure_formats=()).read_text()
    strip = page[page.index("Drawn are 2000 scans") - 200_000 : page.index("Drawn are 2000 scans")]
    assert strip.count("h0") == 2_000
    assert "sub-399: " in strip
    assert "sub-100: " in strip
    assert "sub-99: " not in strip


def test_of_very_many_left_out_for_one_reason_some_are_named(root: Path) -> None:
    table = read_table(root / "group_inclusion.tsv")
    many = table.iloc[[-1] * 1_000].assign(participant_id=[f"sub-x{i}" for i in range(1_000)])
    write_tsv(pd.concat([table, many]), root / "group_inclusion.tsv")
    page = write_group_report(root, figure_formats=()).read_text()
    assert "sub-x298" in page
    assert "sub-x299" not in page
    assert "and 701 more" in page
