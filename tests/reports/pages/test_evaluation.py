"""The evaluation report is made from its tables alone."""

import re

import numpy as np
import pandas as pd
import pytest

from bids_app.errors import InputError
from bids_app.normative.evaluation import evaluate, held_out, usual_groups
from bids_app.normative.evaluation_tables import write_evaluation
from bids_app.regions import ETIV
from bids_app.reports.pages.evaluation import write_evaluation_report
from bids_app.tables import read_json, read_table, write_json
from tests.normative.gaussian_model import REGIONS, GaussianModel


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(6)
    model, n = GaussianModel(), 300
    table = pd.DataFrame(
        {
            "age": rng.uniform(20, 60, n),
            "sex": rng.choice(["female", "male"], n),
            ETIV: 1.5e6,
            "site": rng.choice(["a", "b <i>"], n),
        }
    )
    volumes = model.median(table) + 10 * rng.normal(size=(n, 4))
    table = table.assign(**dict(zip(REGIONS, volumes.T)))
    found = held_out(model, table)
    about = {"model": "gaussian", "scheme": "as it is"}
    write_evaluation(tmp_path, evaluate(found, usual_groups(table)), found, table, model, about)
    return tmp_path


def test_numbers_in_text_are_those_of_the_tables(folder):
    html = write_evaluation_report(folder).read_text(encoding="utf-8")
    marked = re.findall(r'<data data-file="([^"]+)" data-row="(\d+)" data-column="(\w+)"[^>]*>([^<]+)</data>', html)
    assert len(marked) >= 6
    for file, row, column, _ in marked:
        assert column in read_table(folder / file).columns
        assert int(row) < len(read_table(folder / file))
    below = read_table(folder / "evaluation_summary.tsv").loc[0, "below"]
    assert f">{100 * below:.2f}</data> %" in html


def test_every_region_has_both_charts_and_texts_are_escaped(folder):
    html = write_evaluation_report(folder).read_text(encoding="utf-8")
    assert html.count("<svg") == 2 * len(REGIONS)
    assert html.count("Left thalamus") == 3
    assert "b &lt;i&gt;" in html
    assert "<i>" not in html


def test_the_same_tables_give_the_same_bytes(folder):
    first = write_evaluation_report(folder).read_bytes()
    assert write_evaluation_report(folder).read_bytes() == first


def test_what_the_tables_say_is_what_is_shown(folder):
    about = read_json(folder / "evaluation.json")
    write_json({**about, "scheme": "another scheme"}, folder / "evaluation.json")
    assert "another scheme" in write_evaluation_report(folder).read_text(encoding="utf-8")


def test_a_missing_table_is_an_error(folder):
    (folder / "evaluation_qq.tsv").unlink()
    with pytest.raises(InputError, match="no complete evaluation"):
        write_evaluation_report(folder)
