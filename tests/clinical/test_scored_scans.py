"""The descriptive tables of a group that was scored."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bids_app.bids.group_files import group_file
from bids_app.clinical import scored_scans
from bids_app.clinical.deviations import expected_count
from bids_app.clinical.scored_scans import ScoredScans, write_group_tables
from bids_app.errors import ModelError
from bids_app.regions import ETIV
from bids_app.tables import read_json, read_table

KEYS = pd.DataFrame({"participant_id": ["a", "a", "b", "c"], "session_id": ["1", "2", None, None]}, dtype=object)
REGIONS = ["Left-Thalamus", "Right-Thalamus"]


def scored(summaries=(), told=(), **columns):
    scans = KEYS.assign(
        age=[41.0, 40.0, np.nan, 30.0],
        sex=["male", "male", "female", None],
        etiv_mm3=[1.4e6, 1.6e6, 1.5e6, 1.3e6],
        n_infra=[0, 1, 2, 0],
        n_supra=0,
        n_total=[0, 1, 2, 0],
        n_regions=2,
        quality=None,
        flavour=["freesurfer", None, "fastsurfer", "freesurfer"],
        fs_version=["7.4.1", "7.4.1", "2.0", None],
        **columns,
    )
    z = KEYS.assign(**dict(zip(REGIONS, [[0.0, -2, -3, 1], [0.0, 0, -2, np.nan]])))
    volumes = KEYS.assign(**dict(zip(REGIONS, [[7000.0, 6900, 6000, 7100], [7000.0, 7000, 6500, 40]])))
    inclusion = KEYS.assign(status="scored", stage=None, reason=None, remedy=None)
    origin = pd.DataFrame({"scanner": list("xyxy"), "flavour": "told"})
    extended = KEYS.assign(asymmetry_Thalamus=[np.nan, np.nan, 0.5, 0.1])
    return ScoredScans(tuple(summaries), scans, z, extended, volumes.assign(stray=5.0), inclusion, origin, tuple(told))


def test_the_first_scan_is_the_youngest_and_that_without_age():
    assert scored().baseline().tolist() == [False, True, True, True]
    assert ScoredScans((), scored().scans.set_axis([7, 5, 3, 1]), *[None] * 4).baseline().index.tolist() == [7, 5, 3, 1]
    unaged = KEYS.assign(age=[np.nan, 40.0, 1.0, 1.0])
    assert ScoredScans((), unaged, *[None] * 4).baseline().tolist() == [True, False, True, True]


def test_volumes_that_were_refused_are_not_measured():
    found = scored().measured()
    assert list(found.volumes) == [*REGIONS, "stray"]
    assert found.volumes["Right-Thalamus"].isna().tolist() == [False, False, False, True]
    assert found.volumes["Left-Thalamus"].tolist() == [7000, 6900, 6000, 7100]
    assert list(found.extended) == ["asymmetry_Thalamus"]
    assert found.healthy is None
    # a volume that nobody has a z of was not scored at all
    unscored = scored()
    unscored.zscores["Right-Thalamus"] = np.nan
    assert unscored.measured().volumes["Right-Thalamus"].tolist() == [7000, 7000, 6500, 40]


def test_what_healthy_people_have_is_of_one_head_size_and_version(monkeypatch):
    asked = []

    def healthy(model, people, regions):
        asked.append(people)
        return pd.DataFrame({"Left-Thalamus": 1.0}, index=people.index)

    monkeypatch.setattr(scored_scans, "healthy_volumes", healthy)
    found = scored().measured(SimpleNamespace()).healthy
    assert found["Left-Thalamus"].isna().tolist() == [False, False, True, True]
    (people,) = asked
    assert people[ETIV].tolist() == [1.5e6, 1.5e6]
    assert people["fs_version"].tolist() == ["7.4.1", "7.4.1"]
    assert people["scanner"].tolist() == ["x", "y"]
    assert people["age"].tolist() == [41, 40]

    def unable(*_):
        raise ModelError("no", "way")

    monkeypatch.setattr(scored_scans, "healthy_volumes", unable)
    assert scored().measured(SimpleNamespace()).healthy is None


def test_expectations_of_a_model_are_taken_before_those_of_the_number():
    told = [{"counts": {"expected": {"n_infra": {"mean": 0.5, "low": 0, "high": 3}}}}, {}, {}, {}]
    for given in ({"summaries": told}, {"told": told}):
        table = scored(**given).expected()
        assert table["infra_mean"].tolist() == pytest.approx([0.5, *[expected_count(2).mean] * 3])
        assert table["infra_high"].tolist() == [3, *[expected_count(2).high] * 3]


def test_plain_tables_leave_out_what_they_cannot_tell(tmp_path):
    old = [group_file(tmp_path, *kind) for kind in (("quality", ".tsv"), ("quality", ".json"), ("zscores", ".parquet"))]
    for path in (*old, group_file(tmp_path, "surfaces", ".json")):
        path.parent.mkdir(exist_ok=True)
        path.write_text("{}")
    written = {path.stem.removeprefix("group_") for path in write_group_tables(scored(), tmp_path)}
    assert written == {
        "inclusion",
        "flow",
        "deviations",
        "zscores",
        "extended",
        "volumes",
        "cohort",
        "counts",
        "prevalence",
        "sites",
    }
    assert not any(path.exists() for path in old)
    assert not group_file(tmp_path, "surfaces", ".json").exists()
    bare = scored()
    bare.scans["fs_version"] = None
    narrow = ScoredScans(
        (), bare.scans, bare.zscores, KEYS.copy(), KEYS.assign(**{ETIV: 1.0}), bare.inclusion, bare.origin
    )
    written = {path.stem.removeprefix("group_") for path in write_group_tables(narrow, tmp_path)}
    assert "volumes" in written
    assert written.isdisjoint({"sites", "extended", "quality"})
    sited = ScoredScans((), bare.scans.assign(site="A"), *(getattr(bare, name) for name in PARTS))
    assert "sites" in {path.stem.removeprefix("group_") for path in write_group_tables(sited, tmp_path)}


PARTS = ("zscores", "extended", "volumes", "inclusion", "origin")


def test_the_volumes_have_all_that_scoring_them_needs(tmp_path):
    write_group_tables(scored(), tmp_path)
    (path,) = tmp_path.rglob("group_volumes.tsv")
    table = read_table(path)
    assert list(table) == [
        "participant_id",
        "session_id",
        "age",
        "sex",
        "fs_version",
        "flavour",
        "scanner",
        ETIV,
        *REGIONS,
        "stray",
    ]
    # versions of other programs are none of FreeSurfer's
    assert table["fs_version"].fillna("none").tolist() == ["7.4.1", "7.4.1", "none", "none"]
    assert table[ETIV].tolist() == [1.4e6, 1.6e6, 1.5e6, 1.3e6]
    told = read_json(path.with_suffix(".json"))
    assert told["stray"]["Description"] == "stray, as the source tables or FreeSurfer's statistics name it"
    assert "as the source tables" not in told["age"]["Description"]
    own = scored()
    own.volumes[ETIV] = [1.0, 2, 3, 4]
    write_group_tables(own, tmp_path)
    assert read_table(path)[ETIV].tolist() == [1, 2, 3, 4]


def test_prevalence_is_of_first_scans_by_group(tmp_path):
    write_group_tables(scored(group=["MS", "MS", "HC", "HC"]), tmp_path)
    (path,) = tmp_path.rglob("group_prevalence.tsv")
    table = read_table(path).set_index(["group", "region"])
    assert table.loc[("MS", "Left-Thalamus"), ["n", "n_infra"]].tolist() == [1, 1]
    assert table.loc[("HC", "Right-Thalamus"), ["n", "n_infra"]].tolist() == [1, 1]
    assert table.loc[("HC", "Left-Thalamus"), ["n", "n_infra"]].tolist() == [2, 1]


def test_large_groups_are_written_as_parquet_too(tmp_path, monkeypatch):
    monkeypatch.setattr(scored_scans, "PARQUET_FROM", 4)
    write_group_tables(scored(), tmp_path)
    names = {path.stem for path in tmp_path.rglob("*.parquet")}
    assert names == {f"group_{name}" for name in ("deviations", "zscores", "extended", "volumes", "inclusion")}
    monkeypatch.setattr(scored_scans, "PARQUET_FROM", 5)
    write_group_tables(scored(), tmp_path)
    assert not list(tmp_path.rglob("*.parquet"))
