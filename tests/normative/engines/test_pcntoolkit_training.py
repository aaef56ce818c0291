"""What the training of a PCNtoolkit model notes of its sites."""

import numpy as np
import pandas as pd

from bids_app.normative.engines.pcntoolkit_training import site_versions


def test_a_site_of_two_versions_has_none():
    rows = [("b", "7.4.1"), ("b", "7.1.0"), ("a", "6.0.0"), ("c", "6.0.0"), ("c", "7.1.0"), ("d", None), ("e", None)]
    table = pd.DataFrame([*rows, ("e", "8.1.0"), (np.nan, "7.1.0")], columns=["site", "fs_version"])
    assert site_versions(table) == {"a": "6", "b": "7", "e": "8"}
    assert list(site_versions(table)) == ["a", "b", "e"]
