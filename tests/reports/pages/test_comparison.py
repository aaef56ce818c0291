"""The page of a comparison is made from its tables and stands on its own."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from bids_app.normative.card import ModelCard
from bids_app.normative.compare import Comparison, write_comparison
from bids_app.reports.pages.comparison import write_comparison_report

CARDS = [
    ModelCard(
        name=name,
        version="1",
        title="<b>t</b>",
        summary="s",
        licence="GPL-3.0",
        date="2026-01-01",
        z_notes=("head size matters",),
    )
    for name in ("first", "second")
]


@pytest.fixture
def page(tmp_path):
    regions = pd.DataFrame(
        [
            {
                "region": region,
                "n": 20,
                "correlation": 0.9,
                "bias": bias,
                "rmsd": 0.3,
                "infra_a": 0.05,
                "infra_b": 0.0,
                "infra_same": 0.95,
                "infra_kappa": np.nan,
                "supra_a": 0.0,
                "supra_b": 0.0,
                "supra_same": 1.0,
                "supra_kappa": np.nan,
            }
            for region, bias in (("Left-Thalamus", -0.25), ("lh_insula_volume", 0.1))
        ]
    )
    scans = pd.DataFrame(
        {
            "participant_id": ["sub-1", "sub-2"],
            "n_regions": 2,
            "n_infra_a": [0, 3],
            "n_supra_a": 0,
            "n_infra_b": [1, 3],
            "n_supra_b": 0,
        }
    )
    write_comparison(Comparison(regions, scans, ("Brain-Stem",), ()), *CARDS, tmp_path)
    return write_comparison_report(tmp_path)


def test_models_regions_and_notes_are_there(page):
    text = page.read_text()
    for words in (
        "first",
        "second",
        "GPL-3.0",
        "head size matters",
        "Left thalamus",
        "Left insula",
        "−0.25",
        "1 region only in A",
        "For research use only",
    ):
        assert words in text, words


def test_nothing_is_loaded_and_nothing_is_unescaped(page):
    text = page.read_text()
    assert "<b>t</b>" not in text
    assert not re.search(r"(src|href)=\"https?:", text)


def test_scans_are_marked_at_their_two_counts(page):
    assert "3 under A, 3 under B: 1 scan" in page.read_text()
    assert "0 under A, 1 under B: 1 scan" in page.read_text()


def test_the_page_is_the_same_every_time(page):
    before = page.read_bytes()
    assert write_comparison_report(page.parent).read_bytes() == before
