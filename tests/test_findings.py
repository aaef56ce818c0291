"""Findings: one type, one table of kinds, one page."""

import re
from pathlib import Path

import pytest

from bids_app.findings import LINES_AT_MOST, Finding, kinds, summary_lines

ROOT = Path(__file__).parent.parent


def used_kinds():
    texts = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "bids_app").rglob("*.py"))]
    return {kind for text in texts for kind in re.findall(r"""["']([a-z]+(?:-[a-z0-9]+)+)["']""", text)}


def test_every_kind_of_the_table_is_found_somewhere():
    assert set(kinds()) - used_kinds() == set()


@pytest.mark.parametrize("kind", kinds().values(), ids=lambda kind: kind.kind)
def test_every_kind_is_explained(kind):
    assert re.fullmatch(r"[a-z]+(-[a-z0-9]+)+", kind.kind)
    for text in (kind.title, kind.meaning, kind.effect, kind.remedy):
        assert len(text) > 10
        assert not text.endswith(".")


def test_the_page_is_made_from_the_table():
    from scripts.list_findings import page

    assert (ROOT / "docs/findings.md").read_text(encoding="utf-8") == page()


def test_an_unknown_kind_is_a_bug():
    with pytest.raises(KeyError):
        Finding("no-such-kind", "x")


def test_effect_and_remedy_are_those_of_the_kind_unless_given():
    plain, own = Finding("age-limit", "89+"), Finding("age-limit", "89+", effect="e", remedy="r")
    assert (plain.effect, plain.remedy) == (kinds()["age-limit"].effect, kinds()["age-limit"].remedy)
    assert (own.effect, own.remedy) == ("e", "r")
    assert own.of("sub-01", "ses-1").scan == "sub-01_ses-1"
    assert plain.scan == "dataset"
    assert Finding("age-limit", "two\nlines\there").seen == "two lines here"


def test_the_end_of_a_command_has_few_lines():
    found = [Finding("age-limit", "89+").of(f"sub-{number}") for number in range(200)]
    found += [Finding(kind, "x").of("sub-1", "ses-2") for kind in kinds()]
    lines = summary_lines([*found, *found], "out/group_findings.tsv")
    assert len(lines) <= LINES_AT_MOST
    assert lines[0] == f"{200 + len(kinds())} findings that can change a number:"
    assert lines[1].endswith("201 scans (sub-0, sub-1, sub-2 and 198 more)")
    assert lines[-1].endswith("group_findings.tsv")
    assert summary_lines([], "f") == []
    assert len(summary_lines([Finding("trees-of-nobody", "sub-9")], "f")) == 3
