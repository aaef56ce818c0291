import pandas as pd
import pytest

from bids_app.clinical.figures import Forest
from bids_app.clinical.results import (
    AnalysisResult,
    failed,
    make_result,
    map_limits,
    not_computed,
    read_result,
    replace_results,
    write_result,
    written_results,
)
from bids_app.errors import InputError
from bids_app.tables import read_json, write_tsv


@pytest.fixture
def result():
    table = pd.DataFrame({"region": ["Left-Thalamus"], "beta": [-0.2], "p": [0.01]})
    return make_result(
        "edss",
        "EDSS",
        table,
        sentences=("A sentence.",),
        methods="Fitted.",
        figure=Forest(label="region", estimate="beta", low="p", high="p", where={"region": "Left-Thalamus"}),
    )


def test_a_result_survives_the_way_to_disk_and_back(result, tmp_path):
    path = write_result(result, tmp_path)
    back = read_result(path)
    assert path.name == "group_edss.tsv"
    assert (back.name, back.title, back.sentences, back.methods, back.figure) == (
        result.name,
        result.title,
        result.sentences,
        result.methods,
        result.figure,
    )
    pd.testing.assert_frame_equal(back.table, result.table)
    assert back.columns == result.columns


def test_the_sidecar_describes_every_column_and_keeps_ours_beside(result, tmp_path):
    sidecar = read_json(write_result(result, tmp_path).with_suffix(".json"))
    assert set(sidecar) == {"region", "beta", "p", "Title", "Sentences", "Methods", "Figure"}


def test_writing_twice_gives_the_same_bytes(result, tmp_path):
    first = write_result(result, tmp_path / "a").read_bytes()
    assert write_result(result, tmp_path / "b").read_bytes() == first


def test_an_undescribed_column_is_refused(tmp_path):
    with pytest.raises(ValueError, match="beta"):
        write_result(AnalysisResult("x", "X", pd.DataFrame({"beta": [1.0]}), {}), tmp_path)


def test_a_region_column_is_described_in_plain_words():
    made = make_result("z", "Z", pd.DataFrame({"Left-Thalamus": [1.0]}), unit="mm^3")
    assert made.columns["Left-Thalamus"] == {"Description": "Left thalamus", "Units": "mm^3"}


def test_an_analysis_that_cannot_be_computed_says_why():
    made = not_computed("edss", "EDSS", "no column has the role edss.")
    assert made.sentences == ("Not computed: no column has the role edss.",)
    assert made.table["reason"].item() == "no column has the role edss."


def test_a_foreign_table_is_refused_with_its_name(tmp_path):
    path = write_tsv(pd.DataFrame({"a": [1]}), tmp_path / "group" / "group_x.tsv", {"a": {"Description": "a"}})
    with pytest.raises(InputError, match=r"group_x\.json"):
        read_result(path)


def test_results_in_a_folder_are_told_from_other_and_damaged_files(tmp_path):
    path = write_result(not_computed("edss", "EDSS", "no column has the role edss."), tmp_path)
    write_tsv(pd.DataFrame({"a": [1]}), tmp_path / "group" / "group_x.tsv", {"a": {"Description": "a"}})
    (tmp_path / "group" / "group_cut.json").write_text('{"Sentences": [')
    (tmp_path / "group" / "group_list.json").write_text("[]")
    assert list(written_results(tmp_path)) == [path.with_suffix(".json")]


@pytest.mark.parametrize(
    ("values", "diverging", "limits"),
    [
        ([-0.32, 0.1], True, [-0.5, 0.5]),
        ([0.17, 0.02], False, [0.0, 0.2]),
        ([0.2], False, [0.0, 0.2]),
        ([7.0], True, [-10.0, 10.0]),
        ([0.0], True, None),
        ([float("nan")], True, None),
    ],
)
def test_maps_of_one_figure_share_round_limits(values, diverging, limits):
    assert map_limits(pd.Series(values), diverging) == pytest.approx(limits)


def test_a_failed_analysis_keeps_its_traceback_on_disk(tmp_path):
    try:
        raise KeyError("oops")
    except KeyError as error:
        result = failed("broken", "Broken", error)
    path = write_result(result, tmp_path)
    assert 'raise KeyError("oops")' in read_result(path).failure
    assert read_result(write_result(not_computed("other", "Other", "no values."), tmp_path)).failure == ""


def test_a_large_result_is_written_as_parquet_too(result, tmp_path, monkeypatch):
    monkeypatch.setattr("bids_app.tables.PARQUET_FROM", 1)
    (path,) = replace_results(tmp_path, [result], "")
    pd.testing.assert_frame_equal(pd.read_parquet(path.with_suffix(".parquet")), result.table)
    monkeypatch.setattr("bids_app.tables.PARQUET_FROM", 2)
    write_result(result, tmp_path)
    assert not list(tmp_path.rglob("*.parquet"))
    monkeypatch.setattr("bids_app.tables.PARQUET_FROM", 1)
    write_result(result, tmp_path)
    replace_results(tmp_path, [], "")
    assert not list(tmp_path.rglob("group_*"))
