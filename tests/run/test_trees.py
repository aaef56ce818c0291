"""Each FreeSurfer tree of a run is looked at once."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from bids_app.bids.layout import Scan
from bids_app.bids.names import derivative_path
from bids_app.bids.status import write_status
from bids_app.errors import FreeSurferError, UnusableTreeError
from bids_app.freesurfer.synthetic import write_subject
from bids_app.interfaces.freesurfer import ReadScan
from bids_app.run import plan
from bids_app.run.plan import make_plan
from bids_app.run.trees import Trees
from bids_app.tables import write_json


@pytest.fixture
def counted(monkeypatch):
    """How often trees were checked and read, by name."""
    from bids_app.run import trees

    calls = []
    check, read = trees.check_subject, trees.read_volumes
    monkeypatch.setattr(
        trees, "check_subject", lambda path, **options: calls.append(("check", path.name)) or check(path, **options)
    )
    monkeypatch.setattr(
        trees, "read_volumes", lambda path, **options: calls.append(("read", path.name)) or read(path, **options)
    )
    return calls


def test_a_plan_with_controls_looks_at_each_tree_once(config, tmp_path, counted):
    make_plan(replace(config, adapt_controls="age < 45"), tmp_path / "work")
    assert len(counted) == len(set(counted))
    assert {name for what, name in counted if what == "read"} == {"sub-01", "sub-02_ses-1", "sub-02_ses-2"}


def test_a_first_plan_reads_no_volumes_without_need(config, tmp_path, counted):
    make_plan(replace(config, participant_label=("01",), dry_run=True), tmp_path / "work")
    assert counted == [("check", "sub-01")]


def test_a_link_is_followed_and_held_against_the_name_of_its_tree(tmp_path):
    tree = write_subject(tmp_path / "store" / "sub-77", {}, etiv=1.5e6)
    root = tmp_path / "subjects"
    root.mkdir()
    (root / "sub-01").symlink_to(tree)
    found = Trees().find([root], Scan("01"), only_session=True)
    assert found.path == tree
    assert found.located.identifier == "sub-01"
    assert found.check.usable


def test_facts_of_a_tree(tmp_path):
    tree = write_subject(tmp_path / "sub-01", {}, etiv=1.5e6)
    facts = Trees().facts(tree)
    assert facts.etiv_mm3 == 1.5e6
    assert facts.fs_version == "7.4.1"
    assert "stats/aseg.stats" in facts.inputs
    with pytest.raises(FreeSurferError):
        Trees().facts(tmp_path)


def test_without_a_tree_there_is_none(tmp_path):
    assert Trees().find([tmp_path], Scan("01"), only_session=True) is None


@pytest.fixture
def opened(monkeypatch):
    """How often each stats file was opened."""
    from bids_app.freesurfer import stats_folder

    paths = Counter()
    read = stats_folder.read_content
    monkeypatch.setattr(stats_folder, "read_content", lambda path: paths.update([path]) or read(path))
    return paths


def test_the_plan_of_scored_scans_opens_each_stats_file_once(config, tmp_path, opened, monkeypatch):
    for labels in (("sub-01", None), ("sub-02", "ses-1"), ("sub-02", "ses-2")):
        write_json({}, derivative_path(config.output_dir, *labels, desc="summary", extension=".json"))
    monkeypatch.setattr(plan, "check_alike", lambda *_, **__: [])
    monkeypatch.setattr(
        plan, "is_up_to_date", lambda scan, context, trees, columns: bool(trees.facts(scan.subject_dir))
    )
    make_plan(config, tmp_path / "work")
    assert len(opened) >= 9
    assert set(opened.values()) == {1}


def test_the_plan_of_a_person_with_one_new_scan_opens_no_stats_file(config, tmp_path, opened):
    found = make_plan(config, tmp_path / "work", later=True)
    assert {path.split("/")[-3] for path in opened} == {"sub-02_ses-1", "sub-02_ses-2"}  # they know each other's head
    assert [scan.expected for scan in found.scans] == ["sub-01", "sub-02_ses-1", "sub-02_ses-2"]
    opened.clear()
    write_status(config.output_dir, "01", status="omitted", stage="freesurfer")
    make_plan(config, tmp_path / "work", later=True)
    assert any("/sub-01/" in path for path in opened)  # tried before: the plan knows why, without a graph


def test_a_tree_of_somebody_else_leaves_the_scan_out_when_it_is_read(tmp_path):
    tree = write_subject(tmp_path / "sub-07", {}, etiv=1.5e6).rename(tmp_path / "sub-01")
    with pytest.raises(UnusableTreeError, match="names sub-07, not sub-01"):
        ReadScan(subject_dir=str(tree), expected="sub-01")._call(tmp_path)


def test_a_scan_is_read_with_each_stats_file_opened_once(tmp_path, opened):
    tree = write_subject(tmp_path / "sub-01", {}, etiv=1.5e6)
    for hemisphere in ("lh", "rh"):
        text = (tree / f"stats/{hemisphere}.aparc.stats").read_text()
        (tree / f"stats/{hemisphere}.aparc.DKTatlas.stats").write_text(text)
    read = ReadScan(subject_dir=str(tree), expected="sub-01")
    assert read._call(tmp_path)["subject_dir"] == str(tree)
    assert any(path.endswith("aseg.stats") for path in opened)
    assert set(opened.values()) == {1}


def _read_by_nodes(found, folder):
    """Let the read node of each planned scan run; its volumes by scan."""
    texts = {}
    for scan in found.scans:
        read = ReadScan(subject_dir=str(scan.subject_dir), expected=scan.expected)
        if scan.volumes_file is not None:
            read.inputs.measured = str(scan.volumes_file)
        folder.joinpath(scan.name).mkdir(parents=True)
        texts[scan.name] = Path(read._call(folder / scan.name)["volumes_file"]).read_text()
    return texts


@pytest.mark.parametrize("later", [True, False])
@pytest.mark.parametrize("controls", [None, "age < 35"])
@pytest.mark.parametrize("tried", [False, True])
@pytest.mark.parametrize("trusted", [False, True])
def test_a_run_opens_each_stats_file_once_whoever_reads_it(config, tmp_path, opened, later, controls, tried, trusted):
    alone = {
        path.name: _alone(path, tmp_path) for path in sorted((config.bids_dir / "derivatives/freesurfer").iterdir())
    }
    opened.clear()
    if tried:
        write_status(config.output_dir, "01", status="failed", stage="score")
    found = make_plan(replace(config, adapt_controls=controls, trust_names=trusted), tmp_path / "work", later=later)
    texts = _read_by_nodes(found, tmp_path / "nodes")
    assert sorted(texts) == ["sub-01", "sub-02_ses-1", "sub-02_ses-2"]
    assert set(opened.values()) == {1}
    assert len(opened) == 3 * len([path for path in opened if "/sub-01/" in path])
    assert texts == {name: alone[name] for name in texts}


def _alone(tree, folder):
    """What the read node writes of a tree that nobody has read before."""
    place = folder / "alone" / tree.name
    place.mkdir(parents=True)
    return Path(ReadScan(subject_dir=str(tree))._call(place)["volumes_file"]).read_text()


def test_of_scans_that_were_not_asked_for_nothing_is_kept(config, tmp_path):
    found = make_plan(replace(config, session_label=("2",), adapt_controls="age < 45"), tmp_path / "work")
    assert [scan.volumes_file is not None for scan in found.scans] == [True]
    assert len(list((tmp_path / "work").glob("volumes-*/*.json"))) == 1


def test_a_dry_run_keeps_nothing(config, tmp_path):
    assert make_plan(replace(config, dry_run=True), tmp_path / "work").scans[0].volumes_file is None
    assert not list((tmp_path / "work").glob("volumes-*"))
