from pathlib import Path

import pandas as pd
import pytest

from bids_app.bids.group_files import group_file
from bids_app.regions import reference_regions
from bids_app.reports.figures.analyses import MOST_PARTS, Analysis, leading, read_analyses
from bids_app.reports.loading import load_group
from bids_app.tables import write_json, write_tsv


def _write(root: Path, name: str, table: pd.DataFrame, figure: dict | None) -> None:
    write_tsv(table, group_file(root, name))
    write_json({"Title": name, "Sentences": [], "Methods": "", "Figure": figure}, group_file(root, name, ".json"))


def _read(root: Path) -> dict[str, Analysis]:
    return {analysis.name: analysis for analysis in read_analyses(load_group(root))}


@pytest.fixture
def regional() -> pd.DataFrame:
    names = list(reference_regions()) * 2
    return pd.DataFrame({"region": names, "score": ["EDSS"] * 82 + ["FSS"] * 82, "beta": [-0.2] * 82 + [0.4] * 82})


def test_analyses_come_in_the_readers_order(tmp_path: Path) -> None:
    for name in ("roles", "zebra", "survival", "burden"):
        _write(tmp_path, name, pd.DataFrame({"a": [1]}), None)
    assert list(_read(tmp_path)) == ["burden", "survival", "zebra", "roles"]


def test_a_facet_gives_one_drawing_each_with_its_own_ids(tmp_path: Path, regional: pd.DataFrame) -> None:
    _write(tmp_path, "scores", regional, {"kind": "map", "value": "beta", "facet": "score"})
    first, second = _read(tmp_path)["scores"].drawings
    assert (first.title, second.title) == ("EDSS", "FSS")
    assert 'id="map-scores-0-title"' in first.inline
    assert 'id="map-scores-1-title"' in second.inline
    assert "<use" in first.inline
    assert "<use" not in first.file


def test_where_limits_the_rows_that_are_drawn(tmp_path: Path, regional: pd.DataFrame) -> None:
    figure = {"kind": "map", "value": "beta", "facet": "score", "where": {"score": "FSS"}}
    _write(tmp_path, "scores", regional, figure)
    assert [drawing.title for drawing in _read(tmp_path)["scores"].drawings] == ["FSS"]


def test_a_figure_may_draw_another_table(tmp_path: Path, regional: pd.DataFrame) -> None:
    _write(tmp_path, "scores", regional, None)
    _write(
        tmp_path,
        "other",
        pd.DataFrame({"n": [3]}),
        {"kind": "map", "value": "beta", "table": "scores", "where": {"score": "EDSS"}},
    )
    assert len(_read(tmp_path)["other"].drawings) == 1


def test_the_number_of_drawings_is_limited(tmp_path: Path) -> None:
    table = pd.DataFrame({"x": "a", "b": 1.0, "low": 0.5, "high": 2.0, "part": range(30)})
    _write(
        tmp_path,
        "many",
        table,
        {"kind": "forest", "label": "x", "estimate": "b", "low": "low", "high": "high", "facet": "part"},
    )
    assert len(_read(tmp_path)["many"].drawings) == MOST_PARTS


def test_regions_that_the_atlas_does_not_hold_give_no_map_and_no_error(tmp_path: Path) -> None:
    _write(
        tmp_path,
        "asymmetry",
        pd.DataFrame({"region": ["asymmetry_Thalamus"], "beta": [0.1]}),
        {"kind": "map", "value": "beta"},
    )
    analysis = _read(tmp_path)["asymmetry"]
    assert analysis.drawings == []
    assert analysis.problem is None


@pytest.mark.parametrize("figure", [{"kind": "no such kind"}, {"kind": "map"}, {"kind": "km", "time": "beta"}])
def test_a_figure_that_makes_no_sense_is_a_sentence(tmp_path: Path, regional: pd.DataFrame, figure: dict) -> None:
    _write(tmp_path, "scores", regional, figure)
    assert "could not be drawn from group/group_scores.tsv" in str(_read(tmp_path)["scores"].problem)


def test_an_empty_table_draws_nothing(tmp_path: Path, regional: pd.DataFrame) -> None:
    _write(tmp_path, "scores", regional.iloc[:0], {"kind": "map", "value": "beta"})
    assert _read(tmp_path)["scores"].drawings == []


@pytest.mark.parametrize(
    ("sentences", "place"),
    [
        (["Group HC (25) has 1.", "Group MS (59) has 3."], 1),
        (["In group HC none.", "In total all.", "Of the people of group MS many."], 2),
        (["Group MS+ (5) has 3.", "Group MS (59) has 2."], 0),
        (["Group HC, unlike group MS, has none.", "Group MS (59) has 3."], 0),
        (["Of 25 people in group HC 2 %.", "Adjusted for age."], 0),
        (["Others: 12 of 45.", "Risk group: 7 of 14."], 1),
        (["Group HCX has 3.", "Group MS has 2."], 0),
        ([], 0),
    ],
)
def test_the_patients_sentence_is_shown_first(sentences: list[str], place: int) -> None:
    assert leading(sentences, {"HC", "Others"}, {"MS", "MS+", "Risk group"}) == place


def test_the_groups_are_those_of_the_tables(tmp_path: Path) -> None:
    write_tsv(pd.DataFrame({"group": ["all", "c(", "MS"]}), group_file(tmp_path, "cohort"))
    _write(tmp_path, "case_control", pd.DataFrame({"group": ["MS"], "control_group": ["c("]}), None)
    _write(tmp_path, "change", pd.DataFrame({"group": ["c(", "MS"]}), None)
    told = {"Title": "t", "Sentences": ["In group c( none.", "In group MS one."], "Methods": "", "Figure": None}
    write_json(told, group_file(tmp_path, "change", ".json"))
    analysis = _read(tmp_path)["change"]
    assert analysis.lead == 1
    assert analysis.others == [(0, "In group c( none.")]
