from pathlib import Path

import pandas as pd
import pytest

from bids_app.clinical.figures import Forest
from bids_app.clinical.results import make_result, write_result
from bids_app.reports.loading import load_group
from bids_app.reports.pages import group_glance
from bids_app.reports.pages.group import write_group_report
from bids_app.tables import read_table, write_tsv
from tests.reports import dataset

SHARES = ["group", "region", "share_infra"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    dataset.write_root(tmp_path)
    dataset.write_group(tmp_path, 12)
    return tmp_path


def write_comparison(root: Path, low: float) -> None:
    rows = [
        ("infra", "maximum likelihood", 2.5, 1.9, 3.1),
        ("infra", "robust", 2.5, low, 4.6),
        ("infra", "theta = 1", 2.4, 1.7, 3.3),
        ("supra", "robust", 1.1, 0.7, 1.8),
    ]
    table = pd.DataFrame(rows, columns=["tail", "method", "irr", "low", "high"]).assign(
        group="patient", control_group="control", n_group=6, n_control=5, p=0.02
    )
    figure = Forest(label="tail", estimate="irr", low="low", high="high", null=1, log=True, facet="method")
    write_result(make_result("case_control", "Compared", table, figure=figure), root)


def plain(text: str) -> str:
    return pd.Series([text]).str.replace(r"<[^>]+>", "", regex=True)[0]


def test_the_lead_is_the_robust_ratio_with_its_interval(root: Path) -> None:
    write_comparison(root, 1.3)
    (sentence,) = group_glance.verdict(load_group(root))
    assert plain(sentence) == (
        "Group patient (6 people): 2.50 times as many smaller regions as control (5); "
        "95 % interval 1.30 to 4.60, p 0.020."
    )


def test_an_interval_that_holds_one_is_called_no_clear_difference(root: Path) -> None:
    write_comparison(root, 0.8)
    (sentence,) = group_glance.verdict(load_group(root))
    assert plain(sentence).endswith("p 0.020, so no clear difference.")


def test_without_a_comparison_the_lead_is_the_count_beside_what_is_expected(root: Path) -> None:
    group = load_group(root)
    group.analyses.clear()
    sentences = [plain(sentence) for sentence in group_glance.verdict(group)]
    assert sentences
    assert all("are expected of one" in sentence for sentence in sentences)


def test_the_leading_regions_are_those_of_most_people_of_the_compared_group(root: Path) -> None:
    write_comparison(root, 1.3)
    found = group_glance.leading(load_group(root))
    table = read_table(root / "group" / "group_prevalence.tsv")
    shares = table[table["group"] == "patient"]["share_infra"].sort_values(ascending=False)
    assert found.group == "patient"
    assert [row["share_infra"] for _, row in found.rows] == list(shares.head(len(found.rows)))


def test_regions_that_differ_after_correction_are_marked_on_the_map(root: Path) -> None:
    write_comparison(root, 1.3)
    group = load_group(root)
    record, sheet = next(iter(group.analyses.values()))
    q = pd.DataFrame({"group": "patient", "region": ["Left-Thalamus", "Right-Thalamus"], "q": [0.01, 0.3]})
    group.analyses["region_differences"] = record, type(sheet)("group_region_differences.tsv", q)
    drawing = group_glance.leading(group).drawing
    assert drawing.count("q &lt; 0.05</title>") == 1
    assert "left thalamus" in drawing[: drawing.index("q &lt; 0.05</title>")][-120:]


def test_several_models_of_one_ratio_are_folded_behind_the_told_one(root: Path) -> None:
    write_comparison(root, 1.3)
    page = write_group_report(root, figure_formats=()).read_text()
    article = page[page.index('id="analysis-case_control"') :]
    article = article[: article.index("</article>")]
    assert article.index("robust") < article.index("The same by other models") < article.index("theta = 1")


def test_the_counts_are_drawn_of_the_first_scan_of_each_person(root: Path) -> None:
    table = read_table(root / "group_deviations.tsv")
    again = table.head(1).assign(session_id="ses-9", age=table["age"].max() + 1, n_infra=77)
    write_tsv(pd.concat([table, again]), root / "group_deviations.tsv")
    page = write_group_report(root, figure_formats=()).read_text()
    assert "77 regions:" not in page
