import re
from pathlib import Path

import pytest

from bids_app.reports.loading import Person, load_person
from bids_app.reports.pages import glance
from bids_app.tables import read_json, write_json
from tests.reports import dataset


@pytest.fixture
def root(tmp_path: Path) -> Path:
    dataset.write_root(tmp_path)
    dataset.write_person(tmp_path, "01", ("1", "2"), burden=1.3)
    return tmp_path


def change(root: Path, session: str, **counts: object) -> Person:
    path = root / f"sub-01/ses-{session}/anat/sub-01_ses-{session}_desc-summary_morph.json"
    content = read_json(path)
    content["counts"].update(counts)
    write_json(content, path)
    return load_person(root, "01")


def plain(text: object) -> str:
    return re.sub(r"<[^>]+>", "", str(text))


EXPECTED = {"n_infra": {"mean": 3.0, "low": 0, "high": 8}, "n_supra": {"mean": 2.0, "low": 1, "high": 6}}


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (9, "9 smaller regions: more than healthy people show, 0 to 8"),
        (8, "8 smaller regions: within what healthy people show, 0 to 8"),
        (1, "1 smaller region: within what healthy people show, 0 to 8"),
    ],
)
def test_the_count_is_compared_with_what_healthy_people_show(root: Path, count: int, words: str) -> None:
    person = change(root, "2", n_infra=count, expected=EXPECTED)
    assert plain(glance.verdict(person.scans[-1])[0]).startswith(words)


def test_fewer_than_healthy_people_show_is_said_too(root: Path) -> None:
    person = change(root, "2", n_supra=0, expected=EXPECTED)
    assert plain(glance.verdict(person.scans[-1])[1]).startswith(
        "0 larger regions: fewer than healthy people show, 1 to 6"
    )


def test_a_scanner_that_the_model_does_not_know_is_named(root: Path) -> None:
    source = {"source": "people of sites that the model does not know"}
    person = change(root, "2", n_infra=2, expected={**EXPECTED, **source})
    assert "healthy people on an unknown scanner show" in plain(glance.verdict(person.scans[-1])[0])


def test_without_an_expectation_the_count_stands_alone(root: Path) -> None:
    person = change(root, "2", n_infra=4, expected={})
    said = plain(glance.verdict(person.scans[-1])[0])
    assert said.startswith("4 smaller regions")
    assert "healthy" not in said


def test_the_trend_tells_both_counts_then_and_now(root: Path) -> None:
    change(root, "1", n_infra=2, n_supra=5)
    trend = glance.trend(change(root, "2", n_infra=7, n_supra=1))
    assert plain(trend.sentences[0]) == "Since ses-1: 2 then, 7 now (smaller); 5 then, 1 now (larger)."
    assert trend.drawing.count("<circle") == 4


def test_one_scan_has_no_trend(root: Path) -> None:
    dataset.write_person(root, "02", (None,))
    assert glance.trend(load_person(root, "02")) is None


def test_scans_with_the_same_verdict_and_reasons_are_said_once(root: Path) -> None:
    person = load_person(root, "01")
    shown = glance.qualities(person)
    assert ", ".join(names for _, names in shown).split(", ") == [scan.label for scan in person.scans]
